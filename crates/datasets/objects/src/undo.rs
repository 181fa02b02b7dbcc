//! Takes a cut-over back, wholly or as far as it came: what was there is put back, what was created goes.
//!
//! Two things are dangerous to delete. An APIManager takes all that the operator made from it along, with volumes: one that this run created, and the
//! operator has seen, stays, with the Secrets and ConfigMaps that it uses. A custom resource with a finalizer makes the operator delete the tenant or product *in 3scale*: its finalizers go first.

use std::cell::Cell;
use std::collections::BTreeMap;

use plan::ports::{Context, Event, Objects, Undone};
use plan::{Class, Error, Result};
use serde_json::Value;

use crate::Policy;
use crate::cut_over::{Change, Left, changes, digest, dropped};
use crate::digest::SecretKey;
use crate::leftovers;
use crate::notes::{Notes, Sheet};
use crate::object::{Key, Object, strip, text_at};
use crate::place::Spot;
use crate::sealed::sealed;
use crate::stage::unreadable;
use crate::stays::take_replicas;

/// How often an object is read again that somebody changes at the same moment.
const ATTEMPTS: u32 = 8;
/// Names of this program among the managers of an object's fields.
const MANAGER: &str = "threescale-backup";

pub(crate) fn undo(context: &Context, objects: &dyn Objects, spot: &Spot) -> Result<Undone> {
    let notes = spot.notes(context, objects);
    let heads = notes.heads()?;
    if heads.after && !heads.before {
        return Err(dropped(spot));
    }
    let Some((key, changes)) = changes(&notes)? else {
        return Ok(if heads.staged { Undone::PreviousIsLive } else { Undone::NothingThere });
    };
    leftovers::check_newest(objects, &spot.run)?;
    let way =
        Way { context, objects, key, left: left(&notes)?, keeps_apimanager: Cell::new(false), empties: spot.policy == Policy::IntoEmpty };
    for change in changes.iter().rev() {
        context.stop.check()?;
        way.take_back(change)?;
    }
    // In this order: until the last is gone the undo is not over, and may be called again.
    notes.remove(&context.stop, Some(Sheet::After))?;
    notes.remove(&context.stop, Some(Sheet::Before))?;
    Ok(Undone::PreviousIsLive)
}

fn left(notes: &Notes<'_>) -> Result<Option<BTreeMap<Key, Left>>> {
    let Some(written) = notes.read(Sheet::After)? else { return Ok(None) };
    let left = written.lines.into_iter().map(|line| serde_json::from_value::<Left>(line).map_err(|error| unreadable(&error)));
    left.map(|left| left.map(|left| (left.key.clone(), left))).collect::<Result<_>>().map(Some)
}

struct Way<'a> {
    context: &'a Context,
    objects: &'a dyn Objects,
    key: SecretKey,
    left: Option<BTreeMap<Key, Left>>,
    /// An APIManager that was created stays: so must what it uses, or the operator would make it anew with other values.
    keeps_apimanager: Cell<bool>,
    /// The namespace had no installation: nothing that the operator made from the APIManager was there before.
    empties: bool,
}

impl Way<'_> {
    fn take_back(&self, change: &Change) -> Result<()> {
        for attempt in 1.. {
            let live = self.objects.get(&change.kind, &change.key.name)?;
            let done = match (&change.before, &live) {
                (None, None) => Ok(()),
                (None, Some(live)) => self.remove(change, live),
                (Some(before), None) => self.make_again(change, before),
                (Some(before), Some(live)) => self.put_back(change, before, live),
            };
            match done {
                // Somebody wrote between our reading and our writing: look again.
                Err(error) if error.class() == Class::Transient && attempt < ATTEMPTS => self.context.stop.check()?,
                done => return done.map_err(|error| self.told(error, change)),
            }
        }
        Ok(())
    }

    fn told(&self, error: Error, change: &Change) -> Error {
        let secrets = [Some(&change.body), change.before.as_ref()].into_iter().flatten();
        let error = secrets.filter_map(|value| Object::from_value(value.clone()).ok()).fold(error, |error, object| sealed(error, &object));
        error.during(format!("failed to take back {}", change.key))
    }

    fn warn(&self, text: &str) {
        self.context.watch.see(Event::Warning(text));
    }

    /// What was created goes, when it is the one that was created.
    fn remove(&self, change: &Change, live: &Value) -> Result<()> {
        let uid = text_at(live, "/metadata/uid").unwrap_or_default();
        let is_ours = match &self.left {
            Some(left) => left.get(&change.key).is_some_and(|left| left.uid == uid),
            None => is_managed(live),
        };
        if !is_ours {
            self.warn(&format!("{} was not there before and was made by somebody else since: it stays", change.key));
            return Ok(());
        }
        if change.key.is_apimanager() && is_in_use(live) && !self.empties {
            self.keeps_apimanager.set(true);
            self.warn(&format!(
                "{} was created by this run and stays: deleting it would delete all that the operator made from it, with volumes; to remove it and \
                 nothing else use kubectl delete --cascade=orphan",
                change.key
            ));
            return Ok(());
        }
        if self.keeps_apimanager.get() && change.key.group.is_empty() {
            self.warn(&format!("{} was created by this run and stays with the APIManager", change.key));
            return Ok(());
        }
        self.warn_of_change(change, live);
        if live.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|finalizers| !finalizers.is_empty()) {
            let mut bare = live.clone();
            if let Some(metadata) = bare.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("finalizers");
            }
            self.objects.replace(&change.kind, &change.key.name, &bare)?;
        }
        self.objects.delete(&change.kind, &change.key.name, uid)
    }

    /// Somebody deleted it since.
    fn make_again(&self, change: &Change, before: &Value) -> Result<()> {
        self.warn(&format!("{} was deleted by somebody else since the cut-over: it is made again", change.key));
        self.objects.apply(&change.kind, &change.key.name, &strip(before), false).map(drop)
    }

    fn put_back(&self, change: &Change, before: &Value, live: &Value) -> Result<()> {
        let body = as_before(&change.key, before, live);
        if strip(&body) == strip(live) {
            return Ok(());
        }
        self.warn_of_change(change, live);
        self.objects.replace(&change.kind, &change.key.name, &body).map(drop)
    }

    fn warn_of_change(&self, change: &Change, live: &Value) {
        let left = self.left.as_ref().and_then(|left| left.get(&change.key));
        // The operator works on all of what this run brought: that is no change of somebody else's.
        if !self.empties && left.is_some_and(|left| left.digest != digest(&self.key, live)) {
            self.warn(&format!("{} was changed by somebody else since the cut-over: the change is lost", change.key));
        }
    }
}

/// The live object with the content of before. Owners, finalizers and versions are the live one's, and so are replicas: nothing here ever changed them.
fn as_before(key: &Key, before: &Value, live: &Value) -> Value {
    let mut body = serde_json::Map::new();
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (field, value) in fields(before).into_iter().filter(|(field, _)| field != "metadata" && field != "status") {
        body.insert(field, value);
    }
    for field in ["metadata", "status", "apiVersion", "kind"] {
        if let Some(value) = live.get(field) {
            body.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in ["labels", "annotations"] {
            match before.get("metadata").and_then(|metadata| metadata.get(field)) {
                Some(value) => _ = metadata.insert(field.to_owned(), value.clone()),
                None => _ = metadata.remove(field),
            }
        }
    }
    let mut body = Value::Object(body);
    take_replicas(key, &mut body, live);
    body
}

/// Whether the operator has seen an APIManager: it fills in its spec, and then its status.
fn is_in_use(apimanager: &Value) -> bool {
    let changed = apimanager.pointer("/metadata/generation").and_then(Value::as_i64).is_some_and(|generation| generation > 1);
    changed || apimanager.get("status").and_then(Value::as_object).is_some_and(|status| !status.is_empty())
}

/// Whether this program applied it: for a cut-over that ended before it could note what it left.
fn is_managed(live: &Value) -> bool {
    let managers = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    managers.into_iter().flatten().any(|field| text_at(field, "/manager").is_some_and(|manager| manager.starts_with(MANAGER)))
}
