//! The cut-over: what is there is noted first, wholly; then object after object is applied, in the order of `kinds`; then what it left is noted.

use plan::ports::{Context, ObjectKind, Objects};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::decide;
use crate::digest::SecretKey;
use crate::empty::Shape;
use crate::kinds::{Kinds, Live, as_written};
use crate::leftovers;
use crate::notes::{Notes, Sheet};
use crate::object::{Key, Object, canonical, strip, text_at};
use crate::place::Spot;
use crate::sealed::sealed;
use crate::stage::{line, staged, unreadable};

/// An object that the cut-over changes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Change {
    pub key: Key,
    /// In the version that the server prefers: `before` is in it.
    pub kind: ObjectKind,
    /// What is applied.
    pub body: Value,
    /// What was there, as the server gave it; `None`: nothing.
    pub before: Option<Value>,
}

/// An object as the cut-over left it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Left {
    pub key: Key,
    pub uid: String,
    /// Keyed digest of the stripped object.
    pub digest: String,
}

pub(crate) fn cut_over(context: &Context, objects: &dyn Objects, shape: &Shape<'_>) -> Result<()> {
    let spot = shape.spot;
    let notes = spot.notes(context, objects);
    let heads = notes.heads()?;
    match (heads.before, heads.after) {
        (true, true) => return Ok(()),
        (false, true) => return Err(dropped(spot)),
        (false, false) if !heads.staged => {
            return Err(Error::needs_person(format!("there is neither the staged set nor anything else of run {} in the namespace", spot.run))
                .hint("Look whether this is the namespace that the run was made for, and whether somebody has deleted its Secrets. Nothing was touched."));
        }
        (_, false) => {}
    }
    let (key, changes) = match changes(&notes)? {
        Some(noted) => noted,
        None => {
            leftovers::refuse_half(objects, &spot.run)?;
            note_before(context, objects, shape, &notes)?
        }
    };
    let mut left = Vec::new();
    for change in &changes {
        context.stop.check()?;
        let object = Object::from_value(change.body.clone())?;
        let name = &change.key.name;
        let now = objects
            .apply(&as_written(&change.kind, &change.body), name, &change.body, false)
            .map_err(|error| sealed(error, &object).during(format!("failed to put back {}", change.key)))?;
        // What it left is read in the version in which it will be read later.
        let now = if as_written(&change.kind, &change.body) == change.kind { Some(now) } else { objects.get(&change.kind, name)? };
        let now = now.unwrap_or_default();
        let uid = text_at(&now, "/metadata/uid").unwrap_or_default().to_owned();
        left.push(line(Left { key: change.key.clone(), uid, digest: digest(&key, &now) })?);
    }
    notes.write(&context.stop, Sheet::After, &key.to_text(), &left)
}

/// `settle` has begun to drop what was there before.
pub(crate) fn dropped(spot: &Spot) -> Error {
    Error::needs_person(format!("what run {} noted of the objects before its cut-over was dropped already (settle)", spot.run))
        .hint("Restore an older set instead.")
}

/// The changes that were decided before the first of them, with what was there; `None` before that.
pub(crate) fn changes(notes: &Notes<'_>) -> Result<Option<(SecretKey, Vec<Change>)>> {
    let Some(written) = notes.read(Sheet::Before)? else { return Ok(None) };
    let changes =
        written.lines.into_iter().map(|line| serde_json::from_value(line).map_err(|error| unreadable(&error))).collect::<Result<_>>()?;
    Ok(Some((SecretKey::from_text(&written.key)?, changes)))
}

/// What tells whether an object is still as it was left.
pub(crate) fn digest(key: &SecretKey, object: &Value) -> String {
    key.shown(&canonical(&without_replicas(strip(object))))
}

/// Whoever starts the writers sets replicas after the cut-over: that is no change of somebody else's.
fn without_replicas(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.remove("replicas");
            for inner in fields.values_mut() {
                *inner = without_replicas(inner.take());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_replicas(item.take())),
        _ => {}
    }
    value
}

fn note_before(context: &Context, objects: &dyn Objects, shape: &Shape<'_>, notes: &Notes<'_>) -> Result<(SecretKey, Vec<Change>)> {
    let kept = shape.of(&staged(notes)?.1);
    let kinds = Kinds::of_server(objects)?;
    let live = Live::of(objects, &kinds, &kept)?;
    let mut changes = Vec::new();
    for object in kept {
        let decision = decide(&object, shape.spot.policy, &kinds, &live);
        if decision.changes()
            && let Some(kind) = decision.kind
        {
            let before = live.get(&object.key).map(without_bookkeeping);
            changes.push(Change { key: object.key, kind, body: decision.body, before });
        }
    }
    let key = SecretKey::random()?;
    let lines = changes.iter().map(line).collect::<Result<Vec<_>>>()?;
    notes.write_in_order(&context.stop, Sheet::Before, &key.to_text(), &lines, leftovers::next_order(objects)?)?;
    Ok((key, changes))
}

/// Managed fields are large and the server's, the status is the operator's.
fn without_bookkeeping(live: &Value) -> Value {
    let mut before = live.clone();
    if let Some(fields) = before.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    }
    before
}
