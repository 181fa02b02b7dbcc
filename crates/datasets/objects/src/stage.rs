//! Staging: every object that would change is tried on the server (dry run), then the whole set is noted in Secrets. Nothing is changed but these.

use plan::ids::DataSetName;
use plan::ports::{Context, Event, Objects, Snapshot, Verb};
use plan::{Class, Error, Result};
use serde_json::Value;

use crate::Policy;
use crate::decide::{Fate, decide};
use crate::digest::SecretKey;
use crate::dump;
use crate::empty::Shape;
use crate::kinds::{Kinds, Live, as_written, rank};
use crate::notes::{Notes, Sheet};
use crate::object::Object;
use crate::sealed::sealed;

const SHOWN: usize = 10;

pub(crate) fn stage(
    context: &Context,
    data_set: DataSetName,
    objects: &dyn Objects,
    shape: &Shape<'_>,
    snapshot: &dyn Snapshot,
) -> Result<()> {
    let spot = shape.spot;
    let notes = spot.notes(context, objects);
    if notes.has(Sheet::Before)? {
        return Err(
            Error::failed("the cut-over of the objects has begun already: nothing is staged over it").hint("Run resume or undo first.")
        );
    }
    notes.remove(&context.stop, None)?;
    let (key, mut kept) = dump::read(context, snapshot)?;
    kept.sort_by(|one, other| rank(&one.key).cmp(&rank(&other.key)));
    rehearse(context, data_set, objects, spot.policy, &shape.of(&kept))?;
    let lines: Vec<_> = kept.into_iter().map(|object| object.value).collect();
    notes.write(&context.stop, Sheet::Staged, &key.to_text(), &lines)
}

/// Reads back what was staged: in the order in which it goes back.
pub(crate) fn staged(notes: &Notes<'_>) -> Result<(SecretKey, Vec<Object>)> {
    let nothing = || {
        Error::failed(format!("no staged objects of run {} in namespace {}", notes.run, notes.objects.namespace()))
            .hint("Stage the set again: run restore.")
    };
    let written = notes.read(Sheet::Staged)?.ok_or_else(nothing)?;
    let kept = written.lines.into_iter().map(Object::from_value).collect::<Result<Vec<_>>>()?;
    Ok((SecretKey::from_text(&written.key)?, kept))
}

fn rehearse(context: &Context, data_set: DataSetName, objects: &dyn Objects, policy: Policy, kept: &[Object]) -> Result<()> {
    let kinds = Kinds::of_server(objects)?;
    let live = Live::of(objects, &kinds, kept)?;
    let mut refused = Vec::new();
    for object in kept {
        context.stop.check()?;
        let bytes = object.value.to_string().len() as u64;
        context.watch.see(Event::Advance { data_set, verb: Verb::Stage, bytes, items: 1 });
        let decision = decide(object, policy, &kinds, &live);
        if decision.fate == Fate::UnknownKind {
            context.watch.see(Event::Warning(&format!("{} cannot go back: the cluster has no such kind", object.key)));
        }
        let Some(kind) = decision.kind.as_ref().filter(|_| decision.changes()) else { continue };
        match objects.apply(&as_written(kind, &decision.body), &object.key.name, &decision.body, true) {
            Ok(_) => {}
            Err(error) if matches!(error.class(), Class::Transient | Class::Interrupted) => return Err(sealed(error, object)),
            Err(error) => refused.push(format!("{}: {}", object.key, sealed(error, object).chain())),
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let error = Error::failed(format!("the server refuses {} objects of the set (tried without changing anything)", refused.len()));
    Err(refused
        .into_iter()
        .take(SHOWN)
        .fold(error, Error::hint)
        .hint("Nothing was changed. Mend the target, or leave the objects out with --objects none."))
}

/// A line of [`Sheet::Before`] or [`Sheet::After`] that cannot be read.
pub(crate) fn unreadable(error: &serde_json::Error) -> Error {
    // The error's own text could repeat a piece of a Secret; its kind is enough.
    Error::needs_person(format!("what the run noted cannot be read ({:?} error)", error.classify()))
}

/// To the JSON of a line.
pub(crate) fn line(value: impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::failed("note an object").because(error))
}
