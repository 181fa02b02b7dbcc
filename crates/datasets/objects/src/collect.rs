//! Gathers what belongs to the installation from a namespace. A listing that fails is an error, never an empty one.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::{Context, Objects};
use serde_json::Value;

use crate::belongs::Belongings;
use crate::kinds::{self, APPS, CAPABILITIES, Kinds};
use crate::object::{Object, name_of, text_at};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// In the order of a snapshot.
    pub objects: Vec<Object>,
    /// Secrets and ConfigMaps that are other people's, by kind.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Custom resources whose id inside 3scale stands in their status only, which does not go back.
    pub without_id: Vec<String>,
    /// Secrets and ConfigMaps of other namespaces that custom resources refer to.
    pub elsewhere: Vec<String>,
    /// Whether the server knows the custom resources of 3scale at all.
    pub has_operator: bool,
}

pub(crate) fn collect(context: &Context, objects: &dyn Objects) -> Result<Collected> {
    let kinds = Kinds::of_server(objects)?;
    let mut collected = Collected { has_operator: kinds.has_operator(), ..Collected::default() };
    let mut belongings = Belongings::default();
    for kind in kinds.all.iter().filter(|kind| [APPS, CAPABILITIES].contains(&kind.group())) {
        context.stop.check()?;
        for custom in kinds::list(objects, kind)? {
            belongings.learn(&custom, objects.namespace());
            if lacks_id(&custom) {
                collected.without_id.push(format!("{} {}", kind.kind, name_of(&custom).unwrap_or_default()));
            }
            collected.objects.push(Object::stripped(&custom)?);
        }
    }
    collected.elsewhere = belongings.elsewhere.iter().cloned().collect();
    for kind in &kinds.all {
        context.stop.check()?;
        match (kind.group(), kind.kind.as_str()) {
            ("", "Secret") => collected.take(kinds::list(objects, kind)?, "Secret", |object| belongings.has_secret(object))?,
            ("", _) => collected.take(kinds::list(objects, kind)?, "ConfigMap", |object| belongings.has_config_map(object))?,
            (APPS | CAPABILITIES, _) => {}
            _ => collected.take(kinds::list(objects, kind)?, "Route", |object| belongings.has_route(object))?,
        }
    }
    collected.objects.sort_by_cached_key(Object::path);
    Ok(collected)
}

impl Collected {
    fn take(&mut self, found: Vec<Value>, kind: &'static str, belongs: impl Fn(&Value) -> bool) -> Result<()> {
        for object in found {
            if belongs(&object) {
                self.objects.push(Object::stripped(&object)?);
            } else {
                *self.left_out.entry(kind).or_default() += 1;
            }
        }
        Ok(())
    }

    /// An object of the core group by its name.
    pub(crate) fn core(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.key.is_core(kind) && object.key.name == name)
    }

    pub(crate) fn apimanagers(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| object.key.is_apimanager())
    }
}

/// Newer operators note the id of what they made in an annotation, which goes back; older ones only in the status: then the operator makes it a second time.
fn lacks_id(custom: &Value) -> bool {
    let ids = ["/status/tenantId", "/status/accountID", "/status/developerUserID", "/status/applicationID"];
    let Some(id) = ids.iter().find_map(|pointer| custom.pointer(pointer)).and_then(Value::as_i64).filter(|id| *id != 0) else {
        return false;
    };
    let annotations = custom.pointer("/metadata/annotations").and_then(Value::as_object);
    !annotations.into_iter().flatten().any(|(_, value)| value.as_str() == Some(&id.to_string()))
}

/// The wildcard domain of an APIManager.
pub(crate) fn wildcard_domain(apimanager: &Value) -> Option<&str> {
    text_at(apimanager, "/spec/wildcardDomain")
}
