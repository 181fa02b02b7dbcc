//! The difference between a set and a namespace, for people: which objects, at which paths, and what a restore would do about it. Never the content of a Secret.

use std::fmt;

use plan::Result;
use plan::ports::{Context, Objects, Snapshot};
use serde_json::Value;

use crate::Policy;
use crate::decide::{Fate, at, decide};
use crate::digest::{SecretKey, decoded};
use crate::dump;
use crate::kinds::{Kinds, Live, rank};
use crate::object::{Key, Object};

/// How one object of the set compares with the target, and what a restore does about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// API group; empty for the core group.
    pub group: String,
    /// `Secret`, `APIManager`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What is there.
    pub state: State,
    /// What a restore does about it.
    pub effect: Effect,
    /// Where it differs.
    pub changes: Vec<Change>,
}

/// What is there under the name of an object of the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All that the set says of it.
    Same,
    /// Nothing.
    Missing,
    /// Something else.
    Differs,
}

/// What a restore does about an object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing to do.
    None,
    /// It is created.
    Created,
    /// The fields that differ are put over the target's.
    Overwritten,
    /// It stays as it is, and why.
    Stays(&'static str),
}

/// A path at which an object differs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Field names joined with `/`: `data/ACCESS_TOKEN`.
    pub path: String,
    /// Digest of the set's value, of Secrets only; keyed with a key of this one comparison.
    pub set: Option<String>,
    /// Digest of the target's value, of Secrets only; `None` also when there is none.
    pub target: Option<String>,
    /// Whether the target has no value there.
    pub absent: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match (&self.set, &self.target) {
            (Some(set), Some(target)) => write!(f, " ({set} in the set, {target} here)"),
            (Some(set), None) if self.absent => write!(f, " ({set} in the set, absent here)"),
            _ if self.absent => f.write_str(" (absent here)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Same => "same",
            State::Missing => "missing",
            State::Differs => "differs",
        };
        write!(f, "{} {}: {state}", self.kind, self.name)?;
        match &self.effect {
            Effect::None => {}
            Effect::Created => f.write_str(", is created")?,
            Effect::Overwritten => f.write_str(", is overwritten")?,
            Effect::Stays(why) => write!(f, ", stays: {why}")?,
        }
        let changes: Vec<_> = self.changes.iter().map(Change::to_string).collect();
        if changes.is_empty() { Ok(()) } else { write!(f, "; {}", changes.join(", ")) }
    }
}

pub(crate) fn compare(context: &Context, objects: &dyn Objects, policy: Policy, snapshot: &dyn Snapshot) -> Result<Vec<Difference>> {
    let (_, mut kept) = dump::read(context, snapshot)?;
    kept.sort_by(|one, other| rank(&one.key).cmp(&rank(&other.key)));
    let kinds = Kinds::of_server(objects)?;
    let live = Live::of(objects, &kinds, &kept)?;
    let key = SecretKey::random()?;
    Ok(kept.iter().map(|object| difference(object, policy, &kinds, &live, &key)).collect())
}

fn difference(object: &Object, policy: Policy, kinds: &Kinds, live: &Live, key: &SecretKey) -> Difference {
    let decision = decide(object, policy, kinds, live);
    let found = live.get(&object.key);
    let state = match found {
        None => State::Missing,
        Some(_) if decision.paths.is_empty() => State::Same,
        Some(_) => State::Differs,
    };
    let effect = match decision.fate {
        Fate::Same => Effect::None,
        Fate::Created => Effect::Created,
        Fate::Overwritten => Effect::Overwritten,
        Fate::Stays => Effect::Stays("--objects missing"),
        Fate::Beside => Effect::Stays("there is another APIManager"),
        Fate::Reference(why) => Effect::Stays(why),
        Fate::UnknownKind => Effect::Stays("the cluster has no such kind"),
    };
    let changes = decision.paths.iter().map(|path| change(&object.key, path, &decision.body, found, key)).collect();
    let Key { group, kind, name } = object.key.clone();
    Difference { group, kind, name, state, effect, changes }
}

fn change(object: &Key, path: &[String], set: &Value, target: Option<&Value>, key: &SecretKey) -> Change {
    let shown = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        object.is_core("Secret").then(|| key.shown(&decoded(&text).unwrap_or(text.into_bytes())))
    };
    let there = target.and_then(|target| at(target, path));
    Change { path: path.join("/"), set: at(set, path).and_then(shown), target: there.and_then(shown), absent: there.is_none() }
}
