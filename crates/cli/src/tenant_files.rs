//! The files of one tenant: those that its rows in a set name.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use plan::Result;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Repository, RowReader, Snapshot};
use plan::step::RowsOwner;
use runner::FileFinder;
use threescale::tenant::{Belongings, Named};

use crate::agreement::read_rows;

/// Rows of these name files, or say whose such rows are.
const TABLES: [&str; 4] = ["accounts", "cms_files", "invoices", "profiles"];

/// Reads what tells of files, round by round.
struct OfFiles<'a> {
    round: usize,
    belongings: &'a mut Belongings,
    named: &'a mut Named,
    columns: BTreeMap<String, Vec<String>>,
}

impl RowReader for OfFiles<'_> {
    fn wants_all(&mut self, table: &str, columns: &[&str]) -> bool {
        let is_wanted = TABLES.contains(&table) && self.belongings.wants(self.round, table, columns);
        if is_wanted {
            self.columns.insert(table.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect());
        }
        is_wanted
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        if self.belongings.has(table, cells)
            && let Some(columns) = self.columns.get(table)
        {
            self.named.row(table, columns, cells);
        }
        Ok(())
    }
}

/// What the rows of a tenant in a set name.
fn named(whose: &RowsOwner, system: &KeptDataSet, repository: &dyn Repository, context: &Context) -> Result<Named> {
    let mut belongings = Belongings::of_tenant(whose.tenant, whose.master, &[]);
    let (mut named, mut read) = (Named::default(), BTreeSet::new());
    for round in 0..belongings.rounds() {
        let mut reader = OfFiles { round, belongings: &mut belongings, named: &mut named, columns: BTreeMap::new() };
        read_rows(system, repository, context, &mut reader).map_err(|error| error.during("failed to read the rows of the set"))?;
        read.extend(reader.columns.into_keys());
        if read.len() == TABLES.len() {
            break;
        }
    }
    Ok(named)
}

/// Those of a snapshot that are named.
pub(crate) fn of_snapshot(named: &mut Named, snapshot: &dyn Snapshot, context: &Context) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        if entry.is_file() && named.has(entry.path.as_os_str().as_bytes()) {
            files.insert(entry.path);
        }
    }
    Ok(files)
}

/// Finds them again when a run stages them.
pub(crate) fn file_finder() -> FileFinder {
    Arc::new(|hands, whose, system, snapshot| {
        let mut named = named(whose, system, hands.repository.as_ref(), &hands.context)?;
        of_snapshot(&mut named, snapshot, &hands.context)
    })
}
