//! Objects of a namespace, as JSON ([`plan::ports::Objects`]).

use plan::ports::{ObjectKind, Objects};
use plan::{Class, Error, Result};
use serde_json::{Value, json};

use super::client::Cluster;
use super::error::{ApiError, Rule};

/// Who the server notes as the owner of applied fields.
const FIELD_MANAGER: &str = "threescale-backup";

impl Cluster {
    fn path_of(&self, kind: &ObjectKind, name: Option<&str>) -> String {
        self.path(&kind.api_version, &kind.plural, name)
    }

    /// Whether this user may do that.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub fn is_allowed(&self, rule: &Rule) -> Result<bool, ApiError> {
        self.is_allowed_for(rule, None)
    }

    /// The same, with the object of a name.
    pub(super) fn is_allowed_for(&self, rule: &Rule, name: Option<&str>) -> Result<bool, ApiError> {
        let (resource, part) = rule.resource.split_once('/').unwrap_or((&rule.resource, ""));
        let question = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": rule.namespace, "verb": rule.verb, "group": rule.group, "resource": resource, "subresource": part, "name": name,
            }},
        });
        let answer = self.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &question)?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// The versions of an API group, the preferred one first; none when the server does not know the group.
    fn versions(&self, group: &str) -> Result<Vec<String>, ApiError> {
        if group.is_empty() {
            return Ok(vec!["v1".to_owned()]);
        }
        let Some(found) = self.get_if_there(&format!("/apis/{group}"))? else { return Ok(Vec::new()) };
        let preferred = found["preferredVersion"]["groupVersion"].as_str().map(str::to_owned);
        let others = found["versions"].as_array().into_iter().flatten();
        let others = others.filter_map(|version| version["groupVersion"].as_str()).filter(|version| preferred.as_deref() != Some(version));
        Ok(preferred.clone().into_iter().chain(others.map(str::to_owned)).collect())
    }
}

impl Objects for Cluster {
    fn namespace(&self) -> &str {
        Self::namespace(self)
    }

    fn namespace_uid(&self) -> Result<Option<String>> {
        let namespace = Self::namespace(self);
        match self.get_if_there(&format!("/api/v1/namespaces/{namespace}")) {
            Ok(found) => Ok(found.and_then(|found| found["metadata"]["uid"].as_str().map(str::to_owned))),
            // A Role of the namespace gives no right to look at the namespace itself.
            Err(error) => match Error::from(error) {
                error if error.class() == Class::Refused => Ok(None),
                error => Err(error),
            },
        }
    }

    fn kinds(&self, group: &str) -> Result<Vec<ObjectKind>> {
        let mut kinds: Vec<ObjectKind> = Vec::new();
        // A kind may be in another version than the one that its group prefers: Tenant is in v1alpha1 beside Products in v1beta1.
        for version in self.versions(group)? {
            let root = if version.contains('/') { "apis" } else { "api" };
            let found = self.get(&format!("/{root}/{version}"))?;
            for resource in found["resources"].as_array().into_iter().flatten() {
                let (Some(plural), Some(kind)) = (resource["name"].as_str(), resource["kind"].as_str()) else { continue };
                // Parts of objects (`deployments/scale`) are no kinds of their own.
                let is_known = kinds.iter().any(|known| known.kind == kind);
                if resource["namespaced"] == true && !plural.contains('/') && !is_known {
                    kinds.push(ObjectKind::new(&version, kind, plural));
                }
            }
        }
        Ok(kinds)
    }

    fn list(&self, kind: &ObjectKind) -> Result<Vec<Value>> {
        Ok(Self::list(self, &self.path_of(kind, None), None)?)
    }

    fn get(&self, kind: &ObjectKind, name: &str) -> Result<Option<Value>> {
        let found = self.get_if_there(&self.path_of(kind, Some(name)))?;
        Ok(found)
    }

    fn apply(&self, kind: &ObjectKind, name: &str, object: &Value, dry_run: bool) -> Result<Value> {
        Ok(self.apply_as(&self.path_of(kind, Some(name)), FIELD_MANAGER, object, dry_run)?)
    }

    fn replace(&self, kind: &ObjectKind, name: &str, object: &Value) -> Result<Value> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", self.path_of(kind, Some(name)));
        self.put(&path, object).map_err(|error| {
            let is_changed = error.is_conflict();
            let error = Error::from(error);
            if is_changed { error.in_class(Class::Transient).hint("Somebody changed it in between: look at it again.") } else { error }
        })
    }

    fn delete(&self, kind: &ObjectKind, name: &str, uid: &str) -> Result<()> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        match Self::delete(self, &self.path_of(kind, Some(name)), &options) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) if error.is_conflict() => Err(Error::from(error)
                .in_class(Class::NeedsPerson)
                .hint("Under that name there is another object now than the one to delete.")),
            Err(error) => Err(error.into()),
        }
    }

    fn may(&self, verb: &str, kind: &ObjectKind) -> Result<bool> {
        let namespace = Some(Self::namespace(self).to_owned());
        let rule = Rule { verb: verb.to_owned(), group: kind.group().to_owned(), resource: kind.plural.clone(), namespace };
        Ok(self.is_allowed(&rule)?)
    }
}
