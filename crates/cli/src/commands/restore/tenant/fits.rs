//! Whether the rows of a tenant go into the live database: what refuses the plan, before anything is touched.

use std::cmp::Ordering;

use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Context, DataSet, Findings, Problem, Severity, StoreKind};
use plan::{Error, Result, release};

use crate::output::count;
use crate::tenant_rows::Looked;

/// What makes it useless to compare any row.
pub(super) fn before_reading(
    store: &dyn DataSet,
    manifest: &Manifest,
    kept: &KeptDataSet,
    found: &Findings,
    here: Option<&str>,
) -> Result<Option<Error>> {
    let refused = |text: String| {
        Some(
            Error::refused(text)
                .hint("Rows go back alone into a database of the same schema only. `extract SET --tenant T` writes them to be read."),
        )
    };
    let is_postgres = |kind: &StoreKind| *kind == StoreKind::PostgreSql;
    if is_postgres(&store.kind()?) != is_postgres(&kept.kind) {
        return Ok(refused(format!("the set is of {}, here is {}", kept.store, found.store)));
    }
    if let (Some(there), Some(here)) = (manifest.release.as_deref(), here)
        && release::compare(there, here).is_some_and(Ordering::is_ne)
    {
        return Ok(refused(format!("the set is of 3scale {there}, here is {here}")));
    }
    let newest = found.facts.iter().find(|(name, _)| name == release::SCHEMA).map(|(_, newest)| newest);
    if let (Some(there), Some(here)) = (&manifest.newest_migration, newest)
        && there != here
    {
        return Ok(refused(format!("the newest migration of the set's system database is {there}, that of the database here is {here}")));
    }
    Ok(None)
}

/// What was found when the rows were compared, and what the user lacks.
pub(super) fn problems(store: &dyn DataSet, context: &Context, looked: &Looked) -> Result<Vec<Problem>> {
    let blocks = |text: String| Problem::new(Severity::Blocks, text);
    let mut problems = Vec::new();
    if looked.is_another {
        let text = "the account here was made at another time than that of the set: it is another tenant, which has its number".to_owned();
        problems.push(blocks(text).way_out("`extract SET --tenant T` writes what the set holds of it."));
    }
    problems.extend(looked.unfit.iter().map(|(table, why)| blocks(format!("rows of {table} do not fit: {why}"))));
    let (conflicts, first) = &looked.conflicts;
    problems.extend(first.iter().map(|conflict| blocks(conflict.clone())));
    let more = conflicts.saturating_sub(first.len() as u64);
    problems.extend((more > 0).then(|| blocks(format!("{} more conflicts", count(more)))));
    let changed = looked.counts.iter().filter(|(_, compared)| !compared.is_equal());
    let tables: Vec<&str> = changed.map(|(of, _)| of.table.as_str()).collect();
    if let Some(changes) = store.changes_rows() {
        problems.extend(changes.rows_lack(context, &tables)?);
    }
    if !looked.only_here.is_empty() {
        let tables: Vec<_> = looked.only_here.iter().map(String::as_str).collect();
        let text = format!("the set has no table {}: rows of the tenant there stay as they are", tables.join(", "));
        problems.push(Problem::new(Severity::Note, text));
    }
    Ok(problems)
}

pub(super) fn of_another_installation() -> Problem {
    let text = "the set is of another installation: the tenant here is another one, unless this one was made of that set or of a copy";
    Problem::new(Severity::Degrades, text)
}
