//! What is compared with System's rows beside Backend and the files: zync's database, the Routes that lead here, the search index. What cannot be seen is said, and is no error.

use plan::ids::DataSetName;
use plan::ports::{Asking, Context, RowReader};
use plan::{Class, Policies, Result};
use serde::Serialize;
use threescale::verify::zync::{Gateways, Settled, ZYNC_STATES, ZYNC_TABLES, Zync, judge};
use threescale::verify::{Counted, Look, Room, Routes, SEARCH_INDICES};

use super::Side;
use crate::join::{Documents, Installation, Seen};

/// What may be in memory of each thing that is sorted here.
const HELD_MAX_BYTES: usize = 12 << 20;

/// Where it is read.
pub(crate) struct Beside<'a> {
    /// zync's database, or why it is not compared.
    pub(crate) zync: Result<Side<'a>, NoZync>,
    /// Whose Routes and search index are looked at; those of a set are not in it.
    pub(crate) live: Option<&'a dyn Installation>,
    /// Whether anything of this is wanted.
    pub(crate) is_wanted: bool,
}

/// Why zync's database is not compared.
#[derive(Debug, Clone)]
pub(crate) struct NoZync {
    pub(crate) why: String,
    /// There is none, or nobody said where it is.
    pub(crate) is_left_out: bool,
}

/// Something that was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Unseen {
    what: &'static str,
    why: String,
    /// Nobody asked for it.
    #[serde(skip)]
    is_left_out: bool,
}

impl Unseen {
    /// Whether it could not be compared, and was to be.
    pub(crate) const fn is_trouble(&self) -> bool {
        !self.is_left_out
    }
}

impl std::fmt::Display for Unseen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not compared: {}, because {}", self.what, self.why)
    }
}

impl<'a> Beside<'a> {
    /// Nothing of it.
    pub(crate) fn nothing() -> Self {
        Self { zync: Err(NoZync { why: String::new(), is_left_out: true }), live: None, is_wanted: false }
    }

    /// zync's database alone.
    pub(crate) fn of(zync: Option<Side<'a>>) -> Self {
        let missing = || NoZync { why: "zync-database is not among them".to_owned(), is_left_out: true };
        Self { zync: zync.ok_or_else(missing), live: None, is_wanted: true }
    }

    /// Of a live installation.
    pub(crate) fn live(installation: &'a dyn Installation) -> Self {
        Self { zync: live_zync(installation), live: Some(installation), is_wanted: true }
    }

    /// zync's database alone, of what there is.
    pub(crate) fn without_routes(self) -> Self {
        Self { live: None, ..self }
    }

    /// Takes System's rows for it.
    pub(super) fn gateways<'r>(&self, room: Room<'r>) -> Option<Gateways<'r>> {
        self.is_wanted.then(|| Gateways::new(room, HELD_MAX_BYTES))
    }

    /// Compares, when all rows of System were given.
    pub(super) fn compare<'r>(
        &self,
        gateways: Option<Gateways<'r>>,
        (rows, context): (&Side<'_>, &Context),
        room: Room<'r>,
        look: &mut Look<'r>,
    ) -> Result<Vec<Unseen>> {
        let Some(gateways) = gateways else { return Ok(Vec::new()) };
        let mut unseen = Vec::new();
        let zync = match self.zync(context, room)? {
            Ok(zync) => Some(zync),
            Err(NoZync { why, is_left_out }) => {
                unseen.push(Unseen { what: "zync", why, is_left_out });
                None
            }
        };
        let mut routes = Routes::new(room, HELD_MAX_BYTES);
        judge(gateways, zync, room, look, &mut |host, whose| routes.address(host, whose))?;
        let Some(installation) = self.live else { return Ok(unseen) };
        let listed = installation.each_route(context, &mut |route| routes.route(route));
        unseen.extend(compare_routes(told(listed)?, routes, look)?);
        let asked = installation.search_index(context, &SEARCH_INDICES.map(|index| index.name));
        unseen.extend(compare_indices(told(asked)?, (rows, context), look)?);
        Ok(unseen)
    }

    /// What zync knows, or why that cannot be said.
    fn zync<'r>(&self, context: &Context, room: Room<'r>) -> Result<Result<Settled<'r>, NoZync>> {
        let side = match &self.zync {
            Ok(side) => side,
            Err(why) => return Ok(Err(why.clone())),
        };
        let mut rows = ZyncRows(Zync::new(room, HELD_MAX_BYTES));
        match side.rows(context, &mut rows).and_then(|()| rows.0.settle(room)) {
            Ok(zync) => Ok(Ok(zync)),
            Err(error) if error.class() == Class::Interrupted => Err(error),
            // A set that cannot be read is damaged.
            Err(error) if matches!(side, Side::Set(..)) && error.class() != Class::Refused => {
                Err(side.unread(DataSetName::ZyncDatabase, error))
            }
            Err(error) => Ok(Err(NoZync { why: error.chain(), is_left_out: false })),
        }
    }
}

fn live_zync<'a>(installation: &dyn Installation) -> Result<Side<'a>, NoZync> {
    let name = DataSetName::ZyncDatabase;
    let left_out = |why: String| Err(NoZync { why, is_left_out: true });
    if installation.absent().contains(&name) {
        return left_out("the installation is declared to have none".to_owned());
    }
    if !installation.names().contains(&name) {
        return left_out(format!("{name} is not configured"));
    }
    installation.data_set(name, Policies::default()).map(Side::Live).map_err(|error| NoZync { why: error.chain(), is_left_out: false })
}

/// An error is a reason, unless somebody wants this to end.
fn told<T>(seen: Result<Seen<T>>) -> Result<Seen<T>> {
    match seen {
        Err(error) if error.class() == Class::Interrupted => Err(error),
        Err(error) => Ok(Seen::Not(error.chain())),
        seen => seen,
    }
}

fn compare_routes(listed: Seen<()>, routes: Routes<'_>, look: &mut Look<'_>) -> Result<Option<Unseen>> {
    let why = match listed {
        Seen::NotHere | Seen::NotConfigured(_) => return Ok(None),
        Seen::Not(why) => why,
        Seen::All(()) if routes.are_of_zync() || routes.addresses() == 0 => return routes.compare(look).map(|()| None),
        Seen::All(()) => format!(
            "zync has made none in the namespace, for {} addresses of System: either something else leads to them (an Ingress), or zync could not make them yet; \
             `kubectl exec deployment/system-sidekiq -- bash -c 'bundle exec rake zync:resync:domains'` lets it try",
            routes.addresses()
        ),
    };
    Ok(Some(Unseen { what: "Routes", why, is_left_out: false }))
}

fn compare_indices(asked: Seen<Documents>, (rows, context): (&Side<'_>, &Context), look: &mut Look<'_>) -> Result<Option<Unseen>> {
    let said = |why| Ok(Some(Unseen { what: "the search index", why, is_left_out: false }));
    let found = match asked {
        Seen::NotHere => return Ok(None),
        Seen::NotConfigured(why) => return Ok(Some(Unseen { what: "the search index", why, is_left_out: true })),
        Seen::Not(why) => return said(why),
        Seen::All(found) => found,
    };
    let Side::Live(system) = rows else { return said("the rows are those of a set".to_owned()) };
    let Some(live) = system.live_rows() else { return said("System's rows cannot be counted".to_owned()) };
    let (mut missing, mut rows) = (Vec::new(), Asking::new(|| live.session(context)));
    for (name, has) in found {
        let Some(index) = SEARCH_INDICES.iter().find(|index| index.name == name) else { continue };
        let Some(has) = has else {
            missing.push(name);
            continue;
        };
        let mut count = |question: &str| match rows.ask(|rows| rows.count(question)) {
            Err(error) if error.class() == Class::Interrupted => Err(error),
            Err(_) => Ok(None),
            counted => counted,
        };
        // A table that the release does not have has no index either.
        if let (Some(least), Some(most)) = (count(index.least)?, count(index.most)?) {
            Counted { name, has, least, most }.compare(look)?;
        }
    }
    if missing.is_empty() { Ok(None) } else { said(format!("searchd has no index {}", missing.join(", "))) }
}

struct ZyncRows<'r>(Zync<'r>);

impl RowReader for ZyncRows<'_> {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        ZYNC_TABLES.iter().chain([&ZYNC_STATES]).find(|wanted| wanted.table == table).map(|wanted| wanted.columns)
    }

    fn table(&mut self, table: &str) {
        self.0.table(table);
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        self.0.row(table, cells)
    }
}
