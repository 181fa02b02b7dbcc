//! The rows of one tenant that are not live as a set has them: read on both sides by the same rules, compared, put into the order in which they can be changed.

mod conflicts;
mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Repository, RowChange, RowsOf, TableShape};
use plan::step::RowsOwner;
use plan::{Error, Result};
use runner::RowWorker;
use sha2::{Digest as _, Sha256};
use threescale::tenant::{Belongings, Compared, Differing, Id, Named};
use threescale::verify::{Merge, Sorter};

use crate::agreement::read_rows;
use crate::sealed::room;
use conflicts::{Conflicts, Numbers};
use sides::{Besides, Had, OfLive, OfSet, Own, Unfit};

/// What may be in memory of each thing that is sorted. They hold credentials, and are sealed outside.
const HELD_MAX_BYTES: usize = 16 << 20;

/// Where both sides are.
pub(crate) struct Between<'a> {
    pub(crate) store: &'a dyn DataSet,
    pub(crate) kept: &'a KeptDataSet,
    pub(crate) repository: &'a dyn Repository,
    pub(crate) context: &'a Context,
}

/// What was found.
pub(crate) struct Looked {
    pub(crate) counts: Vec<(RowsOf, Compared)>,
    /// Stands for which rows change, and how.
    pub(crate) digest: String,
    /// In the order in which they are changed.
    changes: Changes,
    /// Conflicts, when they were asked about: how many, and the first.
    pub(crate) conflicts: (u64, Vec<String>),
    pub(crate) unfit: Unfit,
    pub(crate) left_out: BTreeSet<String>,
    pub(crate) unknown: BTreeSet<String>,
    /// Tables with live rows of the tenant that the set does not have.
    pub(crate) only_here: BTreeSet<String>,
    /// Products of the tenant in the set.
    pub(crate) services: Vec<Id>,
    /// The same, and those that it has here.
    pub(crate) products: Vec<Id>,
    /// Ids of its own applications in the master's products, in the set and here; none where one product is looked at.
    pub(crate) applications: Vec<String>,
    /// Files that its rows in the set name.
    pub(crate) named: Named,
    /// Files that its rows here name.
    pub(crate) named_here: Named,
    /// The account is another one than that of the set, though it has its number.
    pub(crate) is_another: bool,
    /// The account becomes one that 3scale deletes when its time is over.
    pub(crate) is_to_be_deleted: bool,
}

struct Changes {
    sorted: Merge,
    tables: Vec<RowsOf>,
}

impl Changes {
    fn next(&mut self) -> Result<Option<(&RowsOf, RowChange)>> {
        let Some(record) = self.sorted.next_record()? else { return Ok(None) };
        let read = || {
            let (_, rest) = record.split_first_chunk::<2>()?;
            let (table, rest) = rest.split_first_chunk::<4>()?;
            let of = self.tables.get(usize::try_from(u32::from_be_bytes(*table)).ok()?)?;
            Some((of, RowChange::read(&mut rest.get(1..)?)?))
        };
        read().map(Some).ok_or_else(|| Error::failed("a change that was sorted cannot be read back"))
    }
}

fn belongings(whose: &RowsOwner) -> Belongings {
    match whose.product {
        Some(product) => Belongings::of_product(product, &whose.with),
        None => Belongings::of_tenant(whose.tenant, whose.master, &whose.with),
    }
}

/// Looks once at both sides. `asks`: whether the live database is asked for conflicts.
pub(crate) fn look(between: &Between<'_>, whose: &RowsOwner, asks: bool) -> Result<Looked> {
    let Between { store, kept, repository, context } = between;
    let changes_rows = store.changes_rows().ok_or_else(|| Error::failed("rows of this store cannot be changed"))?;
    let live = store.live_rows().ok_or_else(|| Error::failed("rows of this store cannot be read"))?;
    let shapes: BTreeMap<String, TableShape> = changes_rows.shapes(context)?.into_iter().map(|shape| (shape.name.clone(), shape)).collect();
    let mut differing = Differing::new(&room, HELD_MAX_BYTES);
    let (mut named, mut unfit, mut would_not_fit, mut columns) = (Named::default(), Unfit::new(), Unfit::new(), BTreeMap::new());
    let mut own = Own::of(whose.tenant);
    let (mut of_set, mut besides) = (belongings(whose), Besides::new(whose));
    for round in 0..of_set.rounds() {
        let mut reader = OfSet {
            round,
            belongings: &mut of_set,
            differing: &mut differing,
            shapes: &shapes,
            named: &mut named,
            unfit: &mut unfit,
            would_not_fit: &mut would_not_fit,
            columns: &mut columns,
            besides: &mut besides,
            own: &mut own,
        };
        read_rows(kept, *repository, context, &mut reader).map_err(|error| error.during("failed to read the rows of the set"))?;
    }
    let unknown = of_set.unknown().clone();
    let (mut of_live, mut only_here, mut named_here) = (belongings(whose), BTreeSet::new(), Named::default());
    let mut reader = OfLive {
        belongings: &mut of_live,
        differing: &mut differing,
        places: BTreeMap::new(),
        round: 0,
        named: &mut named_here,
        columns: BTreeMap::new(),
        only_here: &mut only_here,
        own: &mut own,
        besides: (&mut besides, &mut of_set),
    };
    live.read(context, &mut reader).map_err(|error| error.during("failed to read the live rows"))?;
    let left_out: BTreeSet<String> = of_set.left_out().iter().chain(of_live.left_out()).cloned().collect();
    let tables = differing.tables().to_vec();
    let owner = if whose.product.is_some() { "product" } else { "tenant" };
    let mut conflicts = match asks {
        true => Some(Conflicts::new((changes_rows.finder(context)?, owner), &shapes, tables.clone(), &left_out, &room)),
        false => None,
    };
    let (mut order, mut digest) = (Ordering::new(&shapes, &tables), Sha256::new());
    let (mut is_another, mut is_to_be_deleted) = (false, false);
    let counts = differing.compare(|table, of, change| {
        is_another |= is_another_account(whose, of, &change);
        is_to_be_deleted |= is_account(whose, of, &change) && becomes_to_be_deleted(of, &change);
        order.take(table, of, &change, &mut digest)?;
        conflicts.as_mut().map_or(Ok(()), |conflicts| conflicts.change(table, &change))
    })?;
    let had = |wanted: Numbers| -> Result<Numbers> {
        let mut reader = Had { wanted, found: Numbers::new() };
        read_rows(kept, *repository, context, &mut reader).map_err(|error| error.during("failed to read the rows of the set"))?;
        Ok(reader.found)
    };
    let conflicts = conflicts.map(|conflicts| conflicts.end(had)).transpose()?.unwrap_or_default();
    let of = |belongings: &Belongings| match whose.product {
        Some(product) => BTreeSet::from([product]),
        None => belongings.ids("services").into_iter().flatten().copied().collect(),
    };
    let services = of(&of_set);
    let products = services.union(&of(&of_live)).copied().collect();
    let services = services.into_iter().collect();
    Ok(Looked {
        counts,
        digest: hex::encode(digest.finalize()),
        changes: Changes { sorted: order.sorter.sorted()?, tables },
        conflicts,
        unfit,
        unknown,
        left_out,
        only_here,
        services,
        products,
        applications: own.applications.into_iter().collect(),
        named,
        named_here,
        is_another,
        is_to_be_deleted,
    })
}

/// Whether it is the row of the tenant's own account.
fn is_account(whose: &RowsOwner, of: &RowsOf, change: &RowChange) -> bool {
    of.table == "accounts" && of.key_of(change.row()) == [Some(whose.tenant.to_string().into_bytes())]
}

/// An account that was made at another time is another's, whatever its number.
fn is_another_account(whose: &RowsOwner, of: &RowsOf, change: &RowChange) -> bool {
    let made = of.columns.iter().position(|column| column == "created_at");
    let (Some(was), Some(becomes), Some(at)) = (&change.was, &change.becomes, made) else { return false };
    is_account(whose, of, change) && was.get(at) != becomes.get(at)
}

/// porta, `app/models/account/states.rb`: the state of an account that is deleted in some days.
fn becomes_to_be_deleted(of: &RowsOf, change: &RowChange) -> bool {
    let at = of.columns.iter().position(|column| column == "state");
    let state = at.zip(change.becomes.as_ref()).and_then(|(at, cells)| cells.get(at)?.as_deref());
    state == Some(b"scheduled_for_deletion".as_slice())
}

/// The order of changes: rows go before those that they refer to, and come after them; what changes in a table before what is new there.
struct Ordering {
    sorter: Sorter<'static>,
    depths: Vec<u8>,
}

impl Ordering {
    fn new(shapes: &BTreeMap<String, TableShape>, tables: &[RowsOf]) -> Self {
        let depths = tables.iter().map(|of| depth(shapes, &of.table, 0)).collect();
        Self { sorter: Sorter::new(&room, HELD_MAX_BYTES), depths }
    }

    fn take(&mut self, table: usize, of: &RowsOf, change: &RowChange, digest: &mut Sha256) -> Result<()> {
        let depth = self.depths.get(table).copied().unwrap_or_default();
        let (phase, depth, kind) = match (&change.was, &change.becomes) {
            (_, None) => (0, u8::MAX - depth, 0),
            (Some(_), _) => (1, depth, 0),
            (None, _) => (1, depth, 1),
        };
        let mut record = vec![phase, depth];
        record.extend_from_slice(&u32::try_from(table).unwrap_or(u32::MAX).to_be_bytes());
        record.push(kind);
        let mut about = Vec::new();
        plan::ports::write_cells(of.key_of(change.row()).iter().map(Option::as_deref), &mut about);
        [of.table.as_bytes(), &[0, phase, kind], &about].iter().for_each(|bytes| digest.update(bytes));
        change.write(&mut record);
        self.sorter.push(&record)
    }
}

/// How many tables stand before a table, by foreign keys. A ring ends somewhere.
fn depth(shapes: &BTreeMap<String, TableShape>, table: &str, above: u8) -> u8 {
    let others = shapes.get(table).into_iter().flat_map(|shape| &shape.refers).filter(|reference| reference.table != table);
    if above > 30 {
        return 0;
    }
    others.map(|reference| depth(shapes, &reference.table, above + 1).saturating_add(1)).max().unwrap_or(0)
}

/// Works out what a run changes: what was shown, and nothing else.
pub(crate) fn row_worker() -> RowWorker {
    Arc::new(|hands, whose, kept, give| {
        let store = hands.data_sets.get(&DataSetName::SystemDatabase);
        let store = store.ok_or_else(|| Error::refused("the system database is in the plan and not in the configuration"))?;
        let between = Between { store: store.as_ref(), kept, repository: hands.repository.as_ref(), context: &hands.context };
        let mut looked = look(&between, whose, false)?;
        if looked.digest != whose.shown {
            return Err(Error::failed("no row was changed: others differ from the set now than the plan showed")
                .hint("Somebody works in the tenant. End this run by `undo`, and plan again."));
        }
        while let Some((of, change)) = looked.changes.next()? {
            give(of, change)?;
        }
        Ok(())
    })
}
