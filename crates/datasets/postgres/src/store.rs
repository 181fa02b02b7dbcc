//! The data set: which verb is done by which file.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    ChangesRows, Context, DataSet, Discard, Dump, Findings, Held, Leftover, LiveRows, Place, Problem, Road, Snapshot, Staged, StoreKind,
    Undone, Verb,
};
use plan::{Class, Result};

use crate::address::Address;
use crate::aside::{self, What};
use crate::beside::RemotePrograms;
use crate::census::Functions;
use crate::clients::Programs;
use crate::counting::{Counting, Order};
use crate::dump::PostgresDump;
use crate::in_place::Aside;
use crate::mark::Tag;
use crate::place::Databases;
use crate::restore::Archive;
use crate::sequences::Positions;
use crate::server::Server;
use crate::session::Session;
use crate::stage::Loading;
use crate::superuser::Loan;
use crate::swap::{Hook, Swap};
use crate::{census, digest, fits, identity, leftovers, limits, lock, look, sequences, staged};

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder with `pg_dump`, `pg_restore` and `psql`; found on this machine when absent.
    pub client_folder: Option<PathBuf>,
    /// The programs beside the server (in its pod): used where none of this machine fits.
    pub programs: Option<RemotePrograms>,
    /// How long a cut-over waits for the sessions of clients to go before it gives up with nothing changed.
    pub cut_over_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { client_folder: None, programs: None, cut_over_wait: Duration::from_secs(30) }
    }
}

/// A PostgreSQL database as a data set.
pub struct PostgresStore {
    name: DataSetName,
    pub(crate) address: Address,
    cut_over_wait: Duration,
    programs: Programs,
    pub(crate) hook: Arc<Hook>,
}

impl PostgresStore {
    /// The data set of a name at an address. Nothing is connected yet.
    #[must_use]
    pub fn new(name: DataSetName, address: Address, options: Options) -> Self {
        let programs = Programs::new(options.client_folder, options.programs);
        Self { name, address, cut_over_wait: options.cut_over_wait, programs, hook: Arc::new(|_| {}) }
    }

    /// The dump with its own type, for tests.
    pub(crate) fn start_dump(&self, context: &Context) -> Result<PostgresDump> {
        PostgresDump::start(context, self.name, &self.address, self.programs.finder(context))
    }

    fn aside<'a>(&'a self, context: &'a Context, databases: &'a Databases) -> Aside<'a> {
        Aside {
            context,
            data_set: self.name,
            address: &self.address,
            fingerprint: databases.fingerprint.as_deref(),
            wait: self.cut_over_wait,
        }
    }

    /// Who makes and swaps the side database: our own role where it may, else the superuser of the server's pod.
    fn side(&self, context: &Context) -> Result<Side> {
        let Some(programs) = self.programs.superuser() else { return Ok(self.own_side()) };
        let mut session = Session::open_maintenance(&self.address)?;
        Ok(self.lent(context, programs, &mut session)?.unwrap_or_else(|| self.own_side()))
    }

    fn own_side(&self) -> Side {
        Side { address: self.address.clone(), loan: None }
    }

    /// The superuser's; `None` where our own role may swap, or no superuser is at hand.
    fn lent(&self, context: &Context, programs: &RemotePrograms, session: &mut Session) -> Result<Option<Side>> {
        if look::may_swap(session, &self.address.database)? {
            return Ok(None);
        }
        let loan = Loan::take(context, programs, &self.address, session)?;
        Ok(loan.map(|loan| Side { address: loan.address.clone(), loan: Some(loan) }))
    }

    /// The same, with a session in the maintenance database.
    fn side_and_session(&self, context: &Context) -> Result<(Side, Session)> {
        let mut session = Session::open_maintenance(&self.address)?;
        let lent = self.programs.superuser().map_or(Ok(None), |programs| self.lent(context, programs, &mut session))?;
        let Some(side) = lent else { return Ok((self.own_side(), session)) };
        drop(session);
        let session = Session::open_maintenance(&side.address)?;
        Ok((side, session))
    }

    fn swap<T>(&self, context: &Context, place: &Place, verb: impl FnOnce(&mut Swap<'_>) -> Result<T>) -> Result<T> {
        let databases = Databases::read(place)?;
        let (side, session) = self.side_and_session(context)?;
        let (wait, address, data_set) = (self.cut_over_wait, &side.address, self.name);
        verb(&mut Swap { session, context, data_set, address, databases: &databases, wait, hook: &*self.hook })
    }
}

/// An address, and what must live as long as it is used.
struct Side {
    address: Address,
    loan: Option<Loan>,
}

impl DataSet for PostgresStore {
    fn name(&self) -> DataSetName {
        self.name
    }

    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::PostgreSql)
    }

    fn identity(&self, _context: &Context) -> Result<Option<String>> {
        let mut session = match Session::open(&self.address) {
            Err(error) if error.class() == Class::Refused => Session::open_maintenance(&self.address)?,
            opened => opened?,
        };
        identity::of(&mut session, &self.address.database)
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        look::look(&self.address, self.programs.finder(context))
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        fits::problems(&self.address, kept, road, self.programs.finder(context))
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        Ok(Box::new(self.start_dump(context)?))
    }

    fn reserve(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        let mut session = match road {
            Road::SideCopy => Session::open_maintenance(&self.address)?,
            Road::InPlace => Session::open(&self.address)?,
        };
        let live_oid = look::object_id(&mut session, &self.address.database)?;
        let fingerprint = if road == Road::InPlace { Some(aside::fingerprint(&mut session)?) } else { None };
        Databases { fingerprint, ..Databases::new(road, &self.address.database, live_oid, &context.run) }.write()
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        let databases = Databases::read(place)?;
        let side = match databases.road {
            Road::SideCopy => self.side(context)?,
            Road::InPlace => Side { address: self.address.clone(), loan: None },
        };
        let mut session = match databases.road {
            Road::SideCopy => Session::open_maintenance(&side.address)?,
            Road::InPlace => Session::open(&side.address)?,
        };
        let server = Server::read(&mut session)?;
        drop(session);
        let clients = fits::clients(&server, &kept.evidence, self.programs.finder(context))?;
        let archive = Archive::new(snapshot, kept);
        let own = side.loan.is_some().then_some(&self.address);
        let loading = Loading {
            context,
            data_set: self.name,
            address: &side.address,
            own,
            clients: &clients,
            archive,
            kept,
            wait: self.cut_over_wait,
        };
        match databases.road {
            Road::SideCopy => loading.beside(&databases),
            Road::InPlace => loading.in_place(),
        }
    }

    fn staged(&self, place: &Place) -> Result<Option<Staged>> {
        staged::staged(place)
    }

    fn ask_staged(&self, context: &Context, place: &Place, words: &[String], answer: &mut dyn Write) -> Result<()> {
        staged::answer(&self.side(context)?.address, context, place, words, answer)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        let databases = Databases::read(place)?;
        let name = if databases.road == Road::SideCopy { &databases.stage } else { &databases.live };
        let side = match databases.road {
            Road::SideCopy => self.side(context)?,
            Road::InPlace => Side { address: self.address.clone(), loan: None },
        };
        let address = side.address.with_database(name);
        let mut session = Session::open(&address)?;
        let tables = digest::tables(&mut session)?;
        let order = Order {
            address,
            snapshot: None,
            tables,
            sessions_max: limits::counters(&mut session)?,
            data_set: self.name,
            verb: Verb::Prove,
        };
        let counting = Counting::start(context, order)?;
        let mut evidence = Evidence { objects: census::take(&mut session, Functions::of(&kept.evidence))?, ..Evidence::default() };
        let tag = match databases.road {
            Road::SideCopy => Tag::of_this_database(&mut session)?,
            Road::InPlace => aside::find(&mut session, What::Before, &context.run)?,
        };
        let mut raised = Positions::new();
        if let Some(tag) = tag {
            tag.tolerance.apply(&kept.evidence.objects, &mut evidence.objects);
            // One that is used up stands at its last, as the positions of a set have it.
            let position = |next: i128| i64::try_from(next).unwrap_or(if next < 0 { i64::MIN } else { i64::MAX });
            raised = tag.next_ids.into_iter().map(|(name, next)| (format!("sequence {name}"), position(next))).collect();
        }
        let positions = sequences::positions(&mut session, 0)?;
        evidence.collections = counting.finish()?;
        sequences::compare(&kept.evidence, &positions, &raised, &mut evidence)?;
        Ok(evidence)
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        if Databases::read(place)?.road == Road::InPlace {
            return Ok(());
        }
        self.swap(context, place, |swap| swap.cut_over())
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        let databases = Databases::read(place)?;
        if databases.road == Road::InPlace {
            return self.aside(context, &databases).undo();
        }
        self.swap(context, place, |swap| swap.undo())
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        let databases = Databases::read(place)?;
        if databases.road == Road::InPlace {
            return self.aside(context, &databases).check_discard(what);
        }
        self.swap(context, place, |swap| swap.check_discard(what))
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        let databases = Databases::read(place)?;
        if databases.road == Road::InPlace {
            return self.aside(context, &databases).discard(what);
        }
        self.swap(context, place, |swap| swap.discard(what))
    }

    fn keeps_previous(&self, place: &Place) -> bool {
        Databases::read(place).is_ok_and(|databases| databases.road == Road::SideCopy || databases.fingerprint.is_some())
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        let databases = Databases::read(place)?;
        if databases.road == Road::InPlace {
            return self.aside(context, &databases).kept_bytes();
        }
        self.swap(context, place, |swap| swap.kept_bytes())
    }

    fn lock(&self, context: &Context) -> Result<Option<Box<dyn Held>>> {
        lock::take(&self.address, context)
    }

    fn live_rows(&self) -> Option<&dyn LiveRows> {
        Some(self)
    }

    fn changes_rows(&self) -> Option<&dyn ChangesRows> {
        Some(self)
    }

    fn leftovers(&self, _context: &Context) -> Result<Vec<Leftover>> {
        leftovers::list(&self.address)
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        leftovers::remove(&self.side(context)?.address, leftover)
    }
}
