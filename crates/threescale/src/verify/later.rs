//! What is judged only when all of an application, or of a service, is seen.

use std::collections::BTreeMap;

use super::finding::Kind;

/// User keys of a service that are kept until it ends.
const ASTRAY_MAX: usize = 10_000;

/// Keys, or referrers, of an application that Backend lacks, until it is known whether it has any: with none of them it asks for none (apisonator,
/// `validators/key.rb` and `validators/referrer.rb`).
#[derive(Default)]
pub(super) struct Doors {
    lacks: Vec<Vec<u8>>,
    has_any: bool,
}

impl Doors {
    /// Backend lacks one.
    pub(super) fn lacks(&mut self, item: &[u8]) {
        self.lacks.push(item.to_vec());
    }

    /// Backend has one.
    pub(super) const fn has_one(&mut self) {
        self.has_any = true;
    }

    /// All of the application are seen: what is to be told of which. `is_checked`: whether the service wants them.
    pub(super) fn end(&mut self, is_checked: bool, one: Kind, none: Kind) -> Vec<(Kind, Vec<u8>)> {
        let Self { mut lacks, has_any } = std::mem::take(self);
        let opens = is_checked && !has_any;
        if opens {
            lacks.truncate(1);
        }
        lacks.into_iter().map(|item| (if opens { none } else { one }, item)).collect()
    }
}

/// A user key that one side has with an application, and the other has not.
pub(super) struct Astray {
    pub(super) kind: Kind,
    pub(super) application: Vec<u8>,
    pub(super) item: Vec<u8>,
}

/// Those of a service, by the key: two applications may have been given each other's.
#[derive(Default)]
pub(super) struct UserKeys(BTreeMap<Vec<u8>, Vec<Astray>>);

impl UserKeys {
    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < ASTRAY_MAX
    }

    /// One that is not on both sides.
    pub(super) fn add(&mut self, kind: Kind, application: &[u8], item: &[u8]) {
        self.0.entry(item.to_vec()).or_default().push(Astray { kind, application: application.to_vec(), item: item.to_vec() });
    }

    /// All of the service are seen: what is to be told.
    pub(super) fn end(&mut self) -> Vec<Astray> {
        let mut told = Vec::new();
        for (_, mut astray) in std::mem::take(&mut self.0) {
            let is_lacking = |one: &Astray| one.kind != Kind::UnknownUserKey;
            if astray.iter().any(is_lacking) && !astray.iter().all(is_lacking) {
                // Both applications have it, each on one side.
                astray.retain(is_lacking);
                astray.iter_mut().for_each(|one| one.kind = Kind::UserKeyElsewhere);
            }
            told.extend(astray);
        }
        told
    }
}
