//! Versions of objects, and what locks them (user guide, "Locking objects with Object Lock"; API reference, PutObject, PutObjectRetention, DeleteObject).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::objects::{Bucket, S3Object};

/// What locks a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Lock {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: String,
    /// Until when.
    pub until: Timestamp,
}

/// A version of an object, or a mark that hides those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Version {
    /// Its id.
    pub id: String,
    /// What it is; `None`: a delete marker.
    pub object: Option<S3Object>,
    /// What locks it.
    pub lock: Option<S3Lock>,
}

/// Why the service says no: a status and a code.
pub(super) type Refusal = (u16, &'static str);

/// All versions, by key, oldest first.
#[derive(Default)]
pub(super) struct Versions {
    pub(super) of: BTreeMap<String, Vec<S3Version>>,
    made: u64,
}

impl Versions {
    /// Adds one, or a mark.
    pub(super) fn add(&mut self, key: &str, object: Option<S3Object>) {
        self.made += 1;
        let id = format!("version-{}", self.made);
        self.of.entry(key.to_owned()).or_default().push(S3Version { id, object, lock: None });
    }

    /// The version that is meant; the newest, if none is named.
    fn meant(&mut self, key: &str, id: Option<&str>) -> Result<&mut S3Version, Refusal> {
        let all = self.of.get_mut(key).ok_or((404, "NoSuchKey"))?;
        let found = match id {
            None => all.last_mut().ok_or((404, "NoSuchKey"))?,
            Some(id) => all.iter_mut().find(|version| version.id == id).ok_or((404, "NoSuchVersion"))?,
        };
        if found.object.is_none() { Err((405, "MethodNotAllowed")) } else { Ok(found) }
    }
}

impl Bucket {
    /// What a request to lock must have to be looked at at all.
    pub(super) fn may_lock(&self, lock: &S3Lock) -> Result<(), Refusal> {
        match (&self.versions, lock.mode.as_str()) {
            (None, _) => Err((400, "InvalidRequest")),
            (_, "GOVERNANCE" | "COMPLIANCE") if lock.until > self.clock.now() => Ok(()),
            _ => Err((400, "InvalidArgument")),
        }
    }

    /// Locks a version: for longer, or where nothing locks it now; the mode of what is locked stays.
    pub(super) fn lock(&mut self, key: &str, id: Option<&str>, lock: S3Lock) -> Result<(), Refusal> {
        self.may_lock(&lock)?;
        let now = self.clock.now();
        let version = self.versions.as_mut().ok_or((400, "InvalidRequest"))?.meant(key, id)?;
        match &version.lock {
            Some(held) if held.until > now && (held.mode != lock.mode || held.until > lock.until) => Err((403, "AccessDenied")),
            _ => {
                version.lock = Some(lock);
                Ok(())
            }
        }
    }

    /// What locks a version.
    pub(super) fn lock_of(&mut self, key: &str, id: Option<&str>) -> Result<S3Lock, Refusal> {
        let version = self.versions.as_mut().ok_or((400, "InvalidRequest"))?.meant(key, id)?;
        version.lock.clone().ok_or((404, "NoSuchObjectLockConfiguration"))
    }

    /// Removes a version, or a mark, for good. What lies before it is seen again.
    pub(super) fn remove_version(&mut self, key: &str, id: &str) -> Result<(), Refusal> {
        let now = self.clock.now();
        let Some(versions) = &mut self.versions else { return Err((404, "NoSuchVersion")) };
        let all = versions.of.get_mut(key).ok_or((404, "NoSuchVersion"))?;
        let place = all.iter().position(|version| version.id == id).ok_or((404, "NoSuchVersion"))?;
        if all.get(place).and_then(|version| version.lock.as_ref()).is_some_and(|lock| lock.until > now) {
            return Err((403, "AccessDenied"));
        }
        all.remove(place);
        match all.last().and_then(|version| version.object.clone()) {
            Some(object) => drop(self.objects.insert(key.to_owned(), object)),
            None => drop(self.objects.remove(key)),
        }
        Ok(())
    }

    /// Lets all locks end so much sooner, as if that time had passed.
    pub(super) fn age_locks(&mut self, by: SignedDuration) {
        let all = self.versions.iter_mut().flat_map(|versions| versions.of.values_mut()).flatten();
        all.filter_map(|version| version.lock.as_mut()).for_each(|lock| lock.until -= by);
    }
}
