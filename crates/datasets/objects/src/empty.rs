//! Objects for a namespace that has no installation: as the set has them, but for the domain, where another one is wished, and for the writers, which wait for the
//! data. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Policy;
use crate::collect::wildcard_domain;
use crate::digest::decoded;
use crate::object::Object;
use crate::place::Spot;

/// How the objects of a run are shaped before they go back.
pub(crate) struct Shape<'a> {
    pub spot: &'a Spot,
    /// See [`crate::Options::hold`].
    pub hold: Option<fn(&mut Value)>,
}

impl Shape<'_> {
    /// The kept objects as they go back.
    pub(crate) fn of(&self, kept: &[Object]) -> Vec<Object> {
        let mut shaped = kept.to_vec();
        if self.spot.policy != Policy::IntoEmpty {
            return shaped;
        }
        let old = kept.iter().filter(|object| object.key.is_apimanager()).find_map(|object| wildcard_domain(&object.value));
        let domains = old.zip(self.spot.domain.as_deref());
        for object in &mut shaped {
            if let Some((old, new)) = domains {
                rename(object, old, new);
            }
            if let Some(hold) = self.hold.filter(|_| object.key.is_apimanager()) {
                hold(&mut object.value);
            }
        }
        shaped
    }
}

/// Where the objects themselves name the domain. The rows of the database do too, and are not objects.
fn rename(object: &mut Object, old: &str, new: &str) {
    if object.key.is_apimanager() {
        if let Some(domain) = object.value.pointer_mut("/spec/wildcardDomain") {
            *domain = new.into();
        }
    } else if object.key.is_core("ConfigMap") && object.key.is("ConfigMap", "system-environment") {
        if let Some(domain) = object.value.pointer_mut("/data/THREESCALE_SUPERDOMAIN").filter(|domain| **domain == old) {
            *domain = new.into();
        }
    } else if object.key.is_core("Secret") && object.key.is("Secret", "backend-listener") {
        for value in object.value.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(serde_json::Map::values_mut) {
            let text = value.as_str().and_then(decoded).and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some(text) = text.filter(|text| text.contains(old)) {
                *value = STANDARD.encode(text.replace(old, new)).into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use plan::ids::RunId;
    use serde_json::json;

    use super::*;
    use crate::Options;

    fn hold(api_manager: &mut Value) {
        api_manager["spec"]["system"]["appSpec"]["replicas"] = json!(0);
    }

    fn kept() -> Vec<Object> {
        let all = [
            json!({"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager", "metadata": {"name": "a"}, "spec": {"wildcardDomain": "old.example"}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "system-environment"}, "data": {"THREESCALE_SUPERDOMAIN": "old.example"}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "backend-listener"},
                   "data": {"route_endpoint": STANDARD.encode("https://backend-3scale.old.example"), "service_endpoint": STANDARD.encode("http://backend-listener:3000")}}),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "system-smtp"}, "data": {"domain": STANDARD.encode("old.example")}}),
        ];
        all.into_iter().map(|value| Object::from_value(value).unwrap()).collect()
    }

    fn shaped(policy: Policy, domain: Option<&str>) -> Vec<Value> {
        let options = Options { policy, hold: Some(hold), domain: domain.map(str::to_owned) };
        let spot = Spot::new(&RunId("r".to_owned()), "n", &options);
        Shape { spot: &spot, hold: options.hold }.of(&kept()).into_iter().map(|object| object.value).collect()
    }

    #[test]
    fn into_an_empty_namespace_the_writers_wait_and_the_domain_may_be_another() {
        let [api_manager, environment, listener, smtp]: [Value; 4] = shaped(Policy::IntoEmpty, Some("new.example")).try_into().unwrap();
        assert_eq!(api_manager["spec"], json!({"wildcardDomain": "new.example", "system": {"appSpec": {"replicas": 0}}}));
        assert_eq!(environment["data"]["THREESCALE_SUPERDOMAIN"], "new.example");
        assert_eq!(listener["data"]["route_endpoint"], STANDARD.encode("https://backend-3scale.new.example"));
        assert_eq!(listener["data"]["service_endpoint"], STANDARD.encode("http://backend-listener:3000"));
        assert_eq!(smtp["data"]["domain"], STANDARD.encode("old.example"), "who sends mail is nobody's domain here");
        let [api_manager, environment, _, _]: [Value; 4] = shaped(Policy::IntoEmpty, None).try_into().unwrap();
        assert_eq!(api_manager["spec"]["wildcardDomain"], "old.example");
        assert_eq!(environment["data"]["THREESCALE_SUPERDOMAIN"], "old.example");
    }

    #[test]
    fn elsewhere_nothing_is_shaped() {
        let plain: Vec<_> = kept().into_iter().map(|object| object.value).collect();
        for policy in [Policy::Missing, Policy::Overwrite] {
            assert_eq!(shaped(policy, Some("new.example")), plain);
        }
    }
}
