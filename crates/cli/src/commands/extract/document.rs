//! The manifest of an archive, which is also what `--json` prints.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use threescale::tenant::{Account, Belongings, Product};

/// Of the archive: `major.minor`.
pub(super) const FORMAT: &str = "1.0";

#[derive(Serialize)]
pub(super) struct ManifestDocument {
    pub(super) format: &'static str,
    pub(super) program_version: &'static str,
    pub(super) set: String,
    /// Store and version of the system database.
    pub(super) store: String,
    /// The moment of which the rows are.
    pub(super) consistent_at: Timestamp,
    pub(super) release: Option<String>,
    pub(super) newest_migration: Option<String>,
    pub(super) tenant: Account,
    /// When it is an archive of one product.
    pub(super) product: Option<Product>,
    pub(super) tables: BTreeMap<String, TableDocument>,
    /// Tables of the set that were not asked for.
    pub(super) left_out: Vec<String>,
    /// Tables of the set that this program does not know.
    pub(super) unknown: Vec<String>,
    /// Keys of Backend; `null`: not read.
    pub(super) usage: Option<u64>,
    /// `null`: not read.
    pub(super) files: Option<FilesDocument>,
}

#[derive(Serialize)]
pub(super) struct TableDocument {
    pub(super) columns: Vec<String>,
    pub(super) rows: u64,
    /// Of these, rows that refer to what is gone or another's.
    pub(super) by_tenant_id_alone: u64,
    /// Rows that are not in the archive: they refer to rows of the tenant, and their `tenant_id` names another.
    pub(super) of_another: u64,
}

#[derive(Default, Serialize)]
pub(super) struct FilesDocument {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// That rows name and the set does not have.
    pub(super) missing: usize,
}

/// What was found, by table.
pub(super) fn tables(belongings: &Belongings, mut columns: BTreeMap<String, Vec<String>>) -> BTreeMap<String, TableDocument> {
    let found = belongings.tallies().iter().map(|(table, tally)| {
        let columns = columns.remove(table).unwrap_or_default();
        let document =
            TableDocument { columns, rows: tally.rows, by_tenant_id_alone: tally.by_tenant_id_alone, of_another: tally.of_another };
        (table.clone(), document)
    });
    found.collect()
}
