//! Objects of Kubernetes, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;

/// A kind of object that the API server knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectKind {
    /// `v1`, `apps.3scale.net/v1alpha1`: the version that the server prefers.
    pub api_version: String,
    /// `Secret`, `APIManager`.
    pub kind: String,
    /// `secrets`, `apimanagers`: as in paths and in RBAC rules.
    pub plural: String,
}

impl ObjectKind {
    /// A kind by its names.
    #[must_use]
    pub fn new(api_version: &str, kind: &str, plural: &str) -> Self {
        Self { api_version: api_version.to_owned(), kind: kind.to_owned(), plural: plural.to_owned() }
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// The objects of one namespace. Secrets pass through here: no implementation may log a body.
pub trait Objects: Send + Sync {
    /// The namespace.
    fn namespace(&self) -> &str;

    /// The namespace's own uid; `None` where this user may not look at it.
    ///
    /// # Errors
    /// When the server cannot be asked.
    fn namespace_uid(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// The namespaced kinds of an API group that the server has (`""`: the core group). Empty when the server does not know the group.
    ///
    /// Of all versions of the group, each kind once: in the group's preferred version if it has the kind, else in the one that does (`Tenant` is in
    /// `capabilities.3scale.net/v1alpha1` only, and the group prefers `v1beta1`).
    ///
    /// # Errors
    /// When the server cannot be asked.
    fn kinds(&self, group: &str) -> Result<Vec<ObjectKind>>;

    /// All objects of a kind. A failed listing is never an empty one.
    ///
    /// # Errors
    /// [`crate::Class::Refused`] naming the RBAC rule that is missing.
    fn list(&self, kind: &ObjectKind) -> Result<Vec<Value>>;

    /// One object; `None` when there is none of that name.
    ///
    /// # Errors
    /// As [`Objects::list`].
    fn get(&self, kind: &ObjectKind, name: &str) -> Result<Option<Value>>;

    /// Server-side apply, with this program as the field manager; conflicts are forced. `dry_run`: the server checks it, and changes nothing.
    ///
    /// # Errors
    /// When the server refuses it.
    fn apply(&self, kind: &ObjectKind, name: &str, object: &Value, dry_run: bool) -> Result<Value>;

    /// Replaces an object wholly, when it is still at its `metadata.resourceVersion`; without one, whatever it is.
    ///
    /// # Errors
    /// [`crate::Class::Transient`] when it was changed since.
    fn replace(&self, kind: &ObjectKind, name: &str, object: &Value) -> Result<Value>;

    /// Deletes an object, when it still has this `metadata.uid`. Gone already is fine.
    ///
    /// # Errors
    /// When the server refuses it, or the object under that name is another one.
    fn delete(&self, kind: &ObjectKind, name: &str, uid: &str) -> Result<()>;

    /// Whether this user may do that with objects of the kind.
    ///
    /// # Errors
    /// When the server cannot be asked.
    fn may(&self, verb: &str, kind: &ObjectKind) -> Result<bool>;
}
