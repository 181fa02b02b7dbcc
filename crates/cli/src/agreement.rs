//! Whether the stores of a set agree: gives the rows, keys and files of the set to what knows 3scale.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::{self, KeptDataSet, Manifest};
use plan::ports::{Context, Event, Repository, RowReader, StoreKind};
use plan::{Class, Error, Result};
use redis_data_set::{KeyReader, ReadKey};
use runner::Examine;
use threescale::verify::{Atoms, Backend, Files, Rank, Report, Spill, System, TABLES, Veil, compare};

/// What may be in memory before it is sorted outside, twice.
const HELD_MAX_BYTES: usize = 48 << 20;

/// What was found, and what could not be looked at.
pub(crate) struct Agreement {
    pub(crate) report: Report,
    /// Whether the files that rows name were looked for.
    pub(crate) files: bool,
}

/// Compares what a set holds of System with what it holds of Backend, and with the files; no server is asked. `limit`: so many differences of each kind are named.
pub(crate) fn of_set(manifest: &Manifest, repository: &dyn Repository, context: &Context, limit: usize) -> Result<Agreement> {
    let kept = |name: DataSetName| {
        manifest.data_sets.get(&name).ok_or_else(|| {
            Error::refused(format!("set {} has no {name}: whether its stores agree cannot be told", manifest.set))
                .hint("`threescale-backup list` shows which sets are whole.")
        })
    };
    let (database, redis) = (kept(DataSetName::SystemDatabase)?, kept(DataSetName::BackendRedis)?);
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| Error::failed("the system gave no random bytes").because(error))?;
    let (veil, room) = (Veil::new(key), || tempfile::tempfile().map(|file| Box::new(file) as Box<dyn Spill>) as io::Result<_>);
    let mut atoms = Atoms::new(&room, HELD_MAX_BYTES);
    let mut rows = Rows { system: System::new(veil, &room, HELD_MAX_BYTES), atoms: &mut atoms };
    read_rows(database, repository, context, &mut rows).map_err(|error| error.during("system-database of the set could not be read"))?;
    let known = rows.system.finish(&mut atoms)?;
    let mut keys = Keys { backend: Backend::new(veil, &known), atoms: &mut atoms };
    redis_data_set::read_keys(Arc::from(repository.open(&redis.snapshot)?), redis, "storage", &context.stop, &mut keys)
        .map_err(|error| error.during("backend-redis of the set could not be read"))?;
    let backend = keys.backend;
    let files = manifest.data_sets.get(&DataSetName::SystemStorage);
    if let Some(kept) = files {
        read_files(kept, repository, context, Files::new(veil), &mut atoms)
            .map_err(|error| error.during("system-storage of the set could not be read"))?;
    }
    Ok(Agreement { report: compare(atoms, &known, &backend, files.is_some(), limit)?, files: files.is_some() })
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

pub(crate) fn read_rows(kept: &KeptDataSet, repository: &dyn Repository, context: &Context, rows: &mut Rows<'_, '_>) -> Result<()> {
    let snapshot = repository.open(&kept.snapshot)?;
    match kept.kind {
        StoreKind::PostgreSql => postgres_data_set::read_rows(snapshot.as_ref(), &context.stop, rows),
        _ => mysql_data_set::read_rows(snapshot.as_ref(), &context.stop, rows),
    }
}

fn read_files(kept: &KeptDataSet, repository: &dyn Repository, context: &Context, files: Files, atoms: &mut Atoms<'_>) -> Result<()> {
    let snapshot = repository.open(&kept.snapshot)?;
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        if entry.is_file() {
            files.file(entry.path.as_os_str().as_bytes(), entry.size_bytes, atoms)?;
        }
    }
    Ok(())
}

pub(crate) struct Rows<'a, 'r> {
    pub(crate) system: System<'r>,
    pub(crate) atoms: &'a mut Atoms<'r>,
}

impl RowReader for Rows<'_, '_> {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        TABLES.iter().find(|wanted| wanted.table == table).map(|wanted| wanted.columns)
    }

    fn table(&mut self, table: &str) {
        self.system.table(table);
    }

    fn next_id(&mut self, table: &str, next: u64) {
        self.system.next_id(table, next);
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        self.system.row(table, cells, self.atoms)
    }
}

pub(crate) struct Keys<'a, 'k, 'r> {
    pub(crate) backend: Backend<'k>,
    pub(crate) atoms: &'a mut Atoms<'r>,
}

impl KeyReader for Keys<'_, '_, '_> {
    fn wants(&mut self, key: &[u8]) -> bool {
        self.backend.wants(key, self.atoms)
    }

    fn piece(&mut self, _key: &[u8], piece: &[u8]) {
        self.backend.piece(piece, self.atoms);
    }

    fn key(&mut self, _key: &ReadKey<'_>) -> Result<()> {
        self.backend.ends()
    }
}
