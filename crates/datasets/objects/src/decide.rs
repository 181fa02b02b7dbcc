//! Decides what happens to one object of the set, given what is there. Pure.

use plan::ports::ObjectKind;
use serde_json::Value;

use crate::Policy;
use crate::kinds::{Kinds, Live, reference_only};
use crate::object::{Object, strip};
use crate::stays::with_what_stays;

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Equal already.
    Same,
    /// It is missing, and is created.
    Created,
    /// It differs, and the set's fields are put over it.
    Overwritten,
    /// It differs, and stays as it is.
    Stays,
    /// An APIManager beside another one: two would fight over the same objects.
    Beside,
    /// Kept for reference only.
    Reference(&'static str),
    /// The target does not know the kind.
    UnknownKind,
}

/// A decision, and what it is made of.
pub(crate) struct Decision {
    pub fate: Fate,
    pub kind: Option<ObjectKind>,
    /// What would be applied.
    pub body: Value,
    /// Where it differs from what is there.
    pub paths: Vec<Vec<String>>,
}

impl Decision {
    pub(crate) fn changes(&self) -> bool {
        matches!(self.fate, Fate::Created | Fate::Overwritten)
    }
}

pub(crate) fn decide(object: &Object, policy: Policy, kinds: &Kinds, live: &Live) -> Decision {
    let kind = kinds.of(object);
    let found = live.get(&object.key);
    let body = with_what_stays(&object.key, &object.value, found);
    let mut paths = Vec::new();
    if let Some(found) = found {
        differing(&body, &strip(found), &mut Vec::new(), &mut paths);
        // The same object in another version of its kind.
        paths.retain(|path| path.as_slice() != ["apiVersion"]);
    }
    let fate = match (reference_only(&object.key), &kind, found) {
        (Some(why), ..) => Fate::Reference(why),
        (None, None, _) => Fate::UnknownKind,
        (None, Some(_), None) if object.key.is_apimanager() && !live.apimanagers.is_empty() => Fate::Beside,
        (None, Some(_), None) => Fate::Created,
        (None, Some(_), Some(_)) if paths.is_empty() => Fate::Same,
        (None, Some(_), Some(_)) => match policy {
            Policy::Missing | Policy::IntoEmpty => Fate::Stays,
            Policy::Overwrite => Fate::Overwritten,
        },
    };
    Decision { fate, kind, body, paths }
}

/// The paths at which the target is not as the set says. What only the target has is no difference: it stays (newer releases add keys).
pub(crate) fn differing(set: &Value, target: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match (set, target) {
        (Value::Object(set), Value::Object(target)) => {
            for (field, want) in set {
                at.push(field.clone());
                match target.get(field) {
                    Some(have) => differing(want, have, at, found),
                    None if is_empty(want) => {}
                    None => found.push(at.clone()),
                }
                at.pop();
            }
        }
        _ if set == target => {}
        _ => found.push(at.clone()),
    }
}

/// The server leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The value at a path.
pub(crate) fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, field| value.get(field))
}
