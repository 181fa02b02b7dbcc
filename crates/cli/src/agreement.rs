//! Whether the stores agree: gives the rows, keys and files, of a set or as they are live, to what knows 3scale.

mod beside;

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::{self, KeptDataSet, Manifest};
use plan::ports::{Context, DataSet, Event, FileReader, KeyReader, ReadKey, Repository, RowReader, StoreKind};
use plan::step::RowsOwner;
use plan::{Class, Error, Policies, Result};
use runner::Examine;
use threescale::verify::zync::Gateways;
use threescale::verify::{Atoms, Backend, Files, Finding, Known, Look, Only, Rank, Report, Room, Spill, System, TABLES, Veil, compare};

pub(crate) use self::beside::{Beside, NoZync, Unseen};
use crate::join::{self, Installation};

/// What may be in memory before it is sorted outside, three times.
const HELD_MAX_BYTES: usize = 48 << 20;
/// Backend's keys that are compared.
const STORAGE: &str = "storage";

/// What was found, and what could not be looked at.
pub(crate) struct Agreement {
    pub(crate) report: Report,
    /// Whether the files that rows name were looked for.
    pub(crate) files: bool,
    /// How often the stores were read.
    pub(crate) looks: u8,
    /// What was not compared, and why.
    pub(crate) unseen: Vec<Unseen>,
}

/// Where a side is read.
#[derive(Clone)]
pub(crate) enum Side<'a> {
    Set(&'a KeptDataSet, &'a dyn Repository),
    Live(Arc<dyn DataSet>),
}

/// What is compared with what. Without files none are looked for.
pub(crate) struct Sides<'a> {
    pub(crate) rows: Side<'a>,
    pub(crate) keys: Side<'a>,
    pub(crate) files: Option<Side<'a>>,
    pub(crate) beside: Beside<'a>,
    /// Nothing but these.
    pub(crate) only: Option<Only>,
}

/// What of a tenant is compared.
pub(crate) fn of_tenant(whose: &RowsOwner) -> Only {
    Only::new(&whose.products, &whose.prefixes, &whose.applications)
}

impl<'a> Sides<'a> {
    /// Rows and keys, and nothing else.
    pub(crate) fn of(rows: Side<'a>, keys: Side<'a>) -> Self {
        Self { rows, keys, files: None, beside: Beside::nothing(), only: None }
    }
}

impl Sides<'_> {
    /// Whether none is of a set.
    fn are_live(&self) -> bool {
        [Some(&self.rows), Some(&self.keys), self.files.as_ref()].into_iter().flatten().all(|side| matches!(side, Side::Live(_)))
    }

    /// Whether some are of a set and some are live.
    pub(crate) fn are_mixed(&self) -> bool {
        let all = || [Some(&self.rows), Some(&self.keys), self.files.as_ref()].into_iter().flatten();
        all().any(|side| matches!(side, Side::Live(_))) && all().any(|side| matches!(side, Side::Set(..)))
    }
}

/// Each side as `of_set` gives it, else as it is live; `None` where the installation has no rows or no keys. What is beside them is compared where all are live.
pub(crate) fn sides<'a>(installation: &'a dyn Installation, of_set: &dyn Fn(DataSetName) -> Option<Side<'a>>) -> Result<Option<Sides<'a>>> {
    let there = installation.names();
    let live = |name: DataSetName| there.contains(&name).then(|| join::data_set(installation, name, Policies::default()).map(Side::Live));
    let side = |name: DataSetName| of_set(name).map(Ok).or_else(|| live(name)).transpose();
    let (Some(rows), Some(keys)) = (side(DataSetName::SystemDatabase)?, side(DataSetName::BackendRedis)?) else { return Ok(None) };
    let mut sides = Sides { files: side(DataSetName::SystemStorage)?, ..Sides::of(rows, keys) };
    if sides.are_live() {
        sides.beside = Beside::live(installation);
    }
    Ok(Some(sides))
}

/// What is live of some products and applications: System, Backend and zync; `None` where the installation has no rows or no keys.
pub(crate) fn sides_of(installation: &dyn Installation, only: Only) -> Result<Option<Sides<'_>>> {
    let sides = sides(installation, &|_| None)?;
    Ok(sides.map(|sides| Sides { files: None, beside: sides.beside.without_routes(), only: Some(only), ..sides }))
}

/// What is shown of a difference beside its kind.
pub(crate) fn told(finding: &Finding) -> String {
    let parts = [("service", &finding.service), ("application", &finding.application), ("", &finding.detail)];
    let told = parts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| format!("{what} {text}").trim_start().to_owned());
    told.collect::<Vec<_>>().join(", ")
}

/// The first differences that are no notes.
pub(crate) fn first(report: &Report, limit: usize) -> Vec<String> {
    let kinds = report.kinds.iter().filter(|(kind, _)| kind.rank() != Rank::Note);
    let all = kinds.flat_map(|(kind, found)| found.examples.iter().map(|finding| format!("{} ({})", kind.code(), told(finding))));
    all.take(limit).collect()
}

/// `2 security, 1 drift: unknown-user-key (service 4, application x)`; `None` when nothing differs but what normal life leaves behind.
pub(crate) fn differences(report: &Report, limit: usize) -> Option<String> {
    counted(report).differences().map(|counts| format!("{counts}: {}", first(report, limit).join("; ")))
}

/// Before the stores are read again.
pub(crate) type Pause<'a> = &'a dyn Fn() -> Result<()>;

/// Compares what a set holds of System with what it holds of Backend, and with the files; no server is asked. `limit`: so many differences of each kind are named.
pub(crate) fn of_set(manifest: &Manifest, repository: &dyn Repository, context: &Context, limit: usize) -> Result<Agreement> {
    let kept = |name: DataSetName| {
        let missing = || {
            Error::refused(format!("set {} has no {name}: whether its stores agree cannot be told", manifest.set))
                .hint("`threescale-backup list` shows which sets are whole.")
        };
        manifest.data_sets.get(&name).map(|kept| Side::Set(kept, repository)).ok_or_else(missing)
    };
    let files = manifest.data_sets.get(&DataSetName::SystemStorage).map(|kept| Side::Set(kept, repository));
    let zync = manifest.data_sets.get(&DataSetName::ZyncDatabase).map(|kept| Side::Set(kept, repository));
    let zync = zync.ok_or_else(|| NoZync { why: format!("the set has no {}", DataSetName::ZyncDatabase), is_left_out: true });
    let beside = Beside { zync, live: None, is_wanted: true };
    let sides = Sides { files, beside, ..Sides::of(kept(DataSetName::SystemDatabase)?, kept(DataSetName::BackendRedis)?) };
    of_sides(&sides, context, limit, None)
}

/// Compares. Of live stores, which go on while they are read, the differences are told that are still there after a pause.
pub(crate) fn of_sides(sides: &Sides<'_>, context: &Context, limit: usize, again: Option<Pause<'_>>) -> Result<Agreement> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| Error::failed("the system gave no random bytes").because(error))?;
    let (veil, room) = (Veil::new(key), || tempfile::tempfile().map(|file| Box::new(file) as Box<dyn Spill>) as io::Result<_>);
    let (first, unseen) = look(sides, context, veil, &room)?;
    let files = sides.files.is_some();
    match again.filter(|_| first.found_any()) {
        None => Ok(Agreement { report: first.report(limit)?, files, looks: 1, unseen }),
        Some(pause) => {
            pause()?;
            let (now, unseen) = look(sides, context, veil, &room)?;
            Ok(Agreement { report: first.still_in(now, limit)?, files, looks: 2, unseen })
        }
    }
}

fn look<'r>(sides: &Sides<'_>, context: &Context, veil: Veil, room: Room<'r>) -> Result<(Look<'r>, Vec<Unseen>)> {
    let mut gateways = sides.beside.gateways(room);
    let mut look = gather(sides, context, veil, (room, HELD_MAX_BYTES), gateways.as_mut(), |atoms, known, backend| {
        compare(atoms, known, backend, sides.files.is_some(), Look::new(room, HELD_MAX_BYTES))
    })?;
    let unseen = sides.beside.compare(gateways, (&sides.rows, context), room, &mut look)?;
    Ok((look, unseen))
}

/// Reads all sides once, and gives what they say. `gateways` is told System's rows, too.
pub(crate) fn gather<'r, T>(
    sides: &Sides<'_>,
    context: &Context,
    veil: Veil,
    (room, held_max_bytes): (Room<'r>, usize),
    gateways: Option<&mut Gateways<'r>>,
    then: impl FnOnce(Atoms<'r>, &Known, &Backend<'_>) -> Result<T>,
) -> Result<T> {
    let mut atoms = Atoms::new(room, held_max_bytes).only(sides.only.clone());
    let mut rows = Rows { system: System::new(veil, room, held_max_bytes), gateways, atoms: &mut atoms };
    sides.rows.rows(context, &mut rows).map_err(|error| sides.rows.unread(DataSetName::SystemDatabase, error))?;
    let known = rows.system.finish(&mut atoms)?;
    let mut keys = Keys { backend: Backend::new(veil, &known), atoms: &mut atoms };
    sides.keys.keys(context, &mut keys).map_err(|error| sides.keys.unread(DataSetName::BackendRedis, error))?;
    let mut backend = keys.backend;
    backend.ends()?;
    if let Some(side) = &sides.files {
        let files = Files::new(veil);
        let read = side.files(context, &mut |path, size_bytes| files.file(path, size_bytes, &mut atoms));
        read.map_err(|error| side.unread(DataSetName::SystemStorage, error))?;
    }
    then(atoms, &known, &backend)
}

impl Side<'_> {
    fn unread(&self, name: DataSetName, error: Error) -> Error {
        match self {
            Self::Set(..) => error.during(format!("{name} of the set could not be read")),
            Self::Live(_) => error.during(format!("{name} could not be read")),
        }
    }

    fn rows(&self, context: &Context, rows: &mut dyn RowReader) -> Result<()> {
        match self {
            Self::Live(store) => store.live_rows().ok_or_else(|| cannot(store.as_ref()))?.read(context, rows),
            Self::Set(kept, repository) => read_rows(kept, *repository, context, rows),
        }
    }

    fn keys(&self, context: &Context, keys: &mut Keys<'_, '_, '_>) -> Result<()> {
        match self {
            Self::Live(store) => store.live_keys().ok_or_else(|| cannot(store.as_ref()))?.read(context, STORAGE, keys),
            Self::Set(kept, repository) => {
                redis_data_set::read_keys(Arc::from(repository.open(&kept.snapshot)?), kept, STORAGE, &context.stop, keys)
            }
        }
    }

    fn files(&self, context: &Context, reader: &mut FileReader<'_>) -> Result<()> {
        match self {
            Self::Live(store) => store.live_files().ok_or_else(|| cannot(store.as_ref()))?.each_file(context, reader),
            Self::Set(kept, repository) => {
                for entry in repository.open(&kept.snapshot)?.entries()? {
                    context.stop.check()?;
                    let entry = entry?;
                    if entry.is_file() {
                        reader(entry.path.as_os_str().as_bytes(), entry.size_bytes)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The rows that a set holds of System.
pub(crate) fn read_rows(kept: &KeptDataSet, repository: &dyn Repository, context: &Context, rows: &mut dyn RowReader) -> Result<()> {
    let snapshot = repository.open(&kept.snapshot)?;
    match kept.kind {
        StoreKind::PostgreSql => postgres_data_set::read_rows(snapshot.as_ref(), &context.stop, rows),
        _ => mysql_data_set::read_rows(snapshot.as_ref(), &context.stop, rows),
    }
}

fn cannot(store: &dyn DataSet) -> Error {
    Error::failed(format!("{} has nothing of the kind to read", store.name()))
}

/// What looks at a set that is being taken. Where it cannot be told, a warning says why, and the set is taken.
pub(crate) fn examine() -> Examine {
    Arc::new(|manifest, repository, context| {
        let is_there = |name: &DataSetName| manifest.data_sets.contains_key(name);
        if ![DataSetName::SystemDatabase, DataSetName::BackendRedis].iter().all(is_there) {
            return Ok(None);
        }
        match of_set(manifest, repository, context, 0) {
            Ok(agreement) => Ok(Some(counted(&agreement.report))),
            Err(error) if error.class() == Class::Interrupted => Err(error),
            Err(error) => {
                let text = format!("whether the stores of the set agree is not known: {}", error.chain());
                context.watch.see(Event::Warning(&text));
                Ok(None)
            }
        }
    })
}

/// Differences by rank.
pub(crate) fn counted(report: &Report) -> manifest::Agreement {
    let [security, loss, drift, note] = Rank::ALL.map(|rank| report.count(rank));
    manifest::Agreement { security, loss, drift, note }
}

pub(crate) struct Rows<'a, 'r> {
    pub(crate) system: System<'r>,
    /// Who is told the same rows.
    pub(crate) gateways: Option<&'a mut Gateways<'r>>,
    pub(crate) atoms: &'a mut Atoms<'r>,
}

impl RowReader for Rows<'_, '_> {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        TABLES.iter().find(|wanted| wanted.table == table).map(|wanted| wanted.columns)
    }

    fn table(&mut self, table: &str) {
        self.system.table(table);
        if let Some(gateways) = &mut self.gateways {
            gateways.table(table);
        }
    }

    fn next_id(&mut self, table: &str, next: u64) {
        self.system.next_id(table, next);
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        if let Some(gateways) = &mut self.gateways {
            gateways.row(table, cells)?;
        }
        self.system.row(table, cells, self.atoms)
    }
}

pub(crate) struct Keys<'a, 'k, 'r> {
    pub(crate) backend: Backend<'k>,
    pub(crate) atoms: &'a mut Atoms<'r>,
}

impl KeyReader for Keys<'_, '_, '_> {
    fn wants(&self, key: &[u8]) -> bool {
        self.backend.wants(key)
    }

    fn begin(&mut self, key: &[u8]) {
        self.backend.begin(key, self.atoms);
    }

    fn piece(&mut self, _key: &[u8], piece: &[u8]) {
        self.backend.piece(piece, self.atoms);
    }

    fn key(&mut self, _key: &ReadKey<'_>) -> Result<()> {
        self.backend.ends()
    }
}

#[cfg(test)]
mod tests;
