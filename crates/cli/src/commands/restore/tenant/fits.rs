//! Whether the rows of a tenant go into the live database: what refuses the plan, before anything is touched.

use std::cmp::Ordering;

use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Context, DataSet, Findings, Problem, Severity, StoreKind};
use plan::{Error, Result, release};
use threescale::tenant::Compared;

use crate::output::count;

/// What was issued and charged stands in these.
const BILLED: [&str; 4] = ["invoices", "line_items", "payment_intents", "payment_transactions"];
/// Who knows what stands in these is let in.
const CREDENTIALS: [&str; 4] = ["access_tokens", "application_keys", "service_tokens", "user_sessions"];
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
    problems.extend(billed_again(looked));
    problems.extend(let_in_again(looked));
    if looked.is_to_be_deleted {
        let text = "the account is scheduled for deletion in the set: it is again then, and 3scale's clock deletes the tenant when that time is over";
        let way_out =
            "`hold extend daily_jobs` before it holds the clock; resume the tenant in the master's portal, then `hold release daily_jobs`.";
        problems.push(Problem::new(Severity::Degrades, text).way_out(way_out));
    }
    if !looked.only_here.is_empty() {
        let tables: Vec<_> = looked.only_here.iter().map(String::as_str).collect();
        let text = format!("the set has no table {}: rows of the tenant there stay as they are", tables.join(", "));
        problems.push(Problem::new(Severity::Note, text));
    }
    Ok(problems)
}

/// Who puts back what was billed makes 3scale bill again what was billed since.
fn billed_again(looked: &Looked) -> Option<Problem> {
    let changed = looked.counts.iter().filter(|(of, compared)| BILLED.contains(&of.table.as_str()) && !compared.is_equal());
    let mut tables: Vec<&str> = changed.map(|(of, _)| of.table.as_str()).collect();
    tables.sort_unstable();
    let text = format!(
        "rows of {} change: what was issued and charged since the set is forgotten, and 3scale may issue and charge it once more at the next tick of its clock",
        tables.join(", ")
    );
    let way_out = "`hold extend billing_jobs` before it holds that tick; look at the invoices, then `hold release billing_jobs`.";
    (!tables.is_empty()).then(|| Problem::new(Severity::Degrades, text).way_out(way_out))
}

/// Who puts back credentials lets those in again that were locked out since.
fn let_in_again(looked: &Looked) -> Option<Problem> {
    let come_back = |compared: &Compared| compared.insert + compared.update;
    let some = looked.counts.iter().filter(|(of, compared)| CREDENTIALS.contains(&of.table.as_str()) && come_back(compared) > 0);
    let mut some: Vec<String> = some.map(|(of, compared)| format!("{} {}", of.table, count(come_back(compared)))).collect();
    some.sort();
    let text = format!("credentials come back ({}): those that were revoked since the set let in again", some.join(", "));
    (!some.is_empty()).then(|| Problem::new(Severity::Degrades, text).way_out("Revoke once more, afterwards, what was revoked."))
}

pub(super) fn of_another_installation() -> Problem {
    let text = "the set is of another installation: the tenant here is another one, unless this one was made of that set or of a copy";
    Problem::new(Severity::Degrades, text)
}
