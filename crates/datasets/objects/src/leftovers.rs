//! The notes of all runs in the namespace: which run is half-way, which is the newest, and what stays behind.

use std::collections::BTreeMap;

use plan::ids::RunId;
use plan::ports::{Context, Discard, Holds, Leftover, Objects};
use plan::{Error, InstallationId, Result};
use serde_json::{Value, json};

use crate::kinds::secrets;
use crate::notes::{Heads, is_note, order_of, remove_all, told};
use crate::object::{name_of, text_at};
use crate::place::Spot;

/// The Secrets of one run.
#[derive(Default)]
struct Noted {
    secrets: Vec<(String, Value)>,
    heads: Heads,
}

impl Noted {
    /// Counts up with each cut-over in this namespace whose notes are still there.
    fn order(&self) -> u64 {
        let before = self.secrets.iter().find(|(name, _)| name.ends_with("-before-0"));
        before.and_then(|(_, secret)| order_of(secret)).unwrap_or_default()
    }

    fn holds(&self) -> Holds {
        let has = |sheet: &str| self.secrets.iter().any(|(name, _)| name.contains(sheet));
        match (has("-before-") || has("-after-"), has("-staged-")) {
            (true, _) => Holds::Previous,
            (false, true) => Holds::Staged,
            (false, false) => Holds::Unknown,
        }
    }
}

fn all(objects: &dyn Objects) -> Result<BTreeMap<String, Noted>> {
    let mut all: BTreeMap<String, Noted> = BTreeMap::new();
    for secret in objects.list(&secrets())?.into_iter().filter(is_note) {
        let (Some(run), Some(name)) = (told(&secret, "run").map(str::to_owned), name_of(&secret).map(str::to_owned)) else { continue };
        let noted = all.entry(run).or_default();
        noted.heads.add(&name);
        noted.secrets.push((name, secret));
    }
    Ok(all)
}

/// The run whose cut-over, or undo, is half-way.
pub(crate) fn half_loaded_by(objects: &dyn Objects) -> Result<Option<String>> {
    Ok(all(objects)?.into_iter().find(|(_, noted)| noted.heads.is_half()).map(|(run, _)| run))
}

/// Refuses to change what another run has half changed.
pub(crate) fn refuse_half(objects: &dyn Objects, own: &RunId) -> Result<()> {
    match all(objects)?.into_iter().find(|(run, noted)| noted.heads.is_half() && run != own.as_str()) {
        None => Ok(()),
        Some((run, _)) => Err(Error::needs_person(format!("the objects of the namespace are half replaced by run {run}"))
            .hint("Resume or undo that run first, or end it with `abandon`; nothing was touched.")),
    }
}

/// The order of the next cut-over.
pub(crate) fn next_order(objects: &dyn Objects) -> Result<u64> {
    Ok(all(objects)?.values().filter(|noted| noted.heads.before).map(|noted| noted.order() + 1).max().unwrap_or(0))
}

/// What another run has replaced since is not taken away from under it: its own undo would then put back what this one restored.
pub(crate) fn check_newest(objects: &dyn Objects, own: &RunId) -> Result<()> {
    let all = all(objects)?;
    let order = all.get(own.as_str()).map_or(0, Noted::order);
    match all.iter().find(|(run, noted)| *run != own.as_str() && noted.heads.before && noted.order() > order) {
        None => Ok(()),
        Some((later, _)) => Err(Error::needs_person(format!("run {later} has replaced objects since run {own} did"))
            .hint(format!("Undo that one first (`undo {later}`), then this one; or settle it. Nothing was touched."))),
    }
}

/// Refuses what is not what is to go.
pub(crate) fn check_discard(context: &Context, objects: &dyn Objects, spot: &Spot, what: Discard) -> Result<()> {
    let (heads, run) = (spot.notes(context, objects).heads()?, &spot.run);
    if heads.is_half() {
        return Err(
            Error::failed(format!("the objects are half replaced by run {run}: nothing is removed")).hint("Run resume or undo first.")
        );
    }
    if what == Discard::Staged && (heads.before || heads.after) {
        return Err(Error::needs_person(format!("the Secrets {}* hold what was there before run {run}", spot.secrets))
            .hint("It was not taken back: this is the only record, so nothing was dropped.")
            .hint(format!("`undo {run}` puts it back; `settle {run}` drops it.")));
    }
    Ok(())
}

/// Removes what a run noted, when that is what is to go.
pub(crate) fn discard(context: &Context, objects: &dyn Objects, spot: &Spot, what: Discard) -> Result<()> {
    check_discard(context, objects, spot, what)?;
    spot.notes(context, objects).remove(&context.stop, None)
}

/// What runs left, one for each.
pub(crate) fn find(objects: &dyn Objects) -> Result<Vec<Leftover>> {
    let left = all(objects)?.into_iter().map(|(run, noted)| {
        let count = noted.secrets.len();
        let prefix = noted.secrets.first().and_then(|(name, _)| name.rsplitn(3, '-').nth(2));
        let first = noted.secrets.first().map(|(_, secret)| secret);
        let name = first.and_then(|secret| told(secret, "installation"));
        let identity = first.and_then(|secret| told(secret, "installation-identity")).map(str::to_owned);
        let encoded = noted.secrets.iter().filter_map(|(_, secret)| text_at(secret, "/data/chunk"));
        Leftover {
            what: format!("{count} Secrets {}-* in namespace {}", prefix.unwrap_or_default(), objects.namespace()),
            installation: name.map(|name| InstallationId { name: name.to_owned(), identity }),
            holds: noted.holds(),
            bytes: Some(encoded.map(|text| text.len() as u64 / 4 * 3).sum()),
            handle: json!({"run": run, "is": noted.holds()}),
            run,
        }
    });
    Ok(left.collect())
}

/// Gone already is fine; another content is not.
pub(crate) fn remove(context: &Context, objects: &dyn Objects, leftover: &Leftover) -> Result<()> {
    let run = leftover.handle.get("run").and_then(Value::as_str).unwrap_or_default();
    let Some(noted) = all(objects)?.remove(run) else { return Ok(()) };
    if leftover.handle.get("is") != Some(&json!(noted.holds())) {
        return Err(Error::needs_person(format!("{} are not what they were", leftover.what))
            .hint("Nothing was removed. Look again at what is there."));
    }
    remove_all(objects, &context.stop, noted.secrets)
}
