//! An API server in memory, at the port: versions, uids, server-side apply, owners and the garbage collector, finalizers, rights, and failures at any call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use plan::ports::{ObjectKind, Objects};
use plan::{Error, Result};
use serde_json::{Value, json};

/// When a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fails {
    /// It never reaches the server.
    Before,
    /// It does its work, and the answer is lost.
    After,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<(String, String), Value>,
    kinds: Vec<ObjectKind>,
    counter: u64,
    calls: usize,
    failing: Option<(usize, Fails)>,
    denied: BTreeSet<(String, String)>,
    refused: BTreeMap<String, String>,
    conflicts: usize,
    namespace_uid: Option<String>,
}

pub(crate) struct Server {
    namespace: String,
    state: Mutex<State>,
}

impl Server {
    pub(crate) fn new(namespace: &str) -> Arc<Self> {
        let kinds = [
            ("v1", "Secret", "secrets"),
            ("v1", "ConfigMap", "configmaps"),
            ("v1", "Pod", "pods"),
            ("apps.3scale.net/v1alpha1", "APIManager", "apimanagers"),
            ("apps.3scale.net/v1alpha1", "APIManagerRestore", "apimanagerrestores"),
            ("capabilities.3scale.net/v1alpha1", "Tenant", "tenants"),
            ("capabilities.3scale.net/v1beta1", "Product", "products"),
            ("capabilities.3scale.net/v1beta1", "DeveloperAccount", "developeraccounts"),
            ("capabilities.3scale.net/v1beta1", "ProxyConfigPromote", "proxyconfigpromotes"),
            ("route.openshift.io/v1", "Route", "routes"),
        ];
        let kinds = kinds.iter().map(|(version, kind, plural)| ObjectKind::new(version, kind, plural)).collect();
        Arc::new(Self { namespace: namespace.to_owned(), state: Mutex::new(State { kinds, ..State::default() }) })
    }

    /// Somebody else makes an object; its uid.
    pub(crate) fn add(&self, mut object: Value) -> String {
        let mut state = self.state.lock().unwrap();
        let kind = state.kinds.iter().find(|kind| object["kind"] == kind.kind.as_str()).unwrap().clone();
        let uid = state.stamp(&mut object, true);
        object["metadata"]["namespace"] = self.namespace.clone().into();
        object["metadata"]["managedFields"] = json!([{"manager": "kubectl", "operation": "Update"}]);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        state.objects.insert((kind.plural, name), object);
        uid
    }

    /// Somebody else changes an object.
    pub(crate) fn change(&self, plural: &str, name: &str, how: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock().unwrap();
        let mut object = state.objects.remove(&(plural.to_owned(), name.to_owned())).unwrap();
        how(&mut object);
        state.stamp(&mut object, false);
        state.objects.insert((plural.to_owned(), name.to_owned()), object);
    }

    pub(crate) fn own(&self, plural: &str, name: &str, uid: &str) {
        let owner = json!([{"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager", "name": "apimanager-sample", "uid": uid}]);
        self.change(plural, name, |object| object["metadata"]["ownerReferences"] = owner);
    }

    pub(crate) fn remove(&self, plural: &str, name: &str) {
        self.state.lock().unwrap().objects.remove(&(plural.to_owned(), name.to_owned())).unwrap();
    }

    pub(crate) fn get_now(&self, plural: &str, name: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(&(plural.to_owned(), name.to_owned())).cloned()
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Value> {
        self.state.lock().unwrap().objects.iter().map(|((plural, name), object)| (format!("{plural}/{name}"), object.clone())).collect()
    }

    pub(crate) fn forget_group(&self, group: &str) {
        self.state.lock().unwrap().kinds.retain(|kind| kind.group() != group);
    }

    pub(crate) fn deny(&self, verb: &str, plural: &str) {
        self.state.lock().unwrap().denied.insert((verb.to_owned(), plural.to_owned()));
    }

    /// The server refuses what is applied under a name, with these words.
    pub(crate) fn refuse(&self, name: &str, words: &str) {
        self.state.lock().unwrap().refused.insert(name.to_owned(), words.to_owned());
    }

    pub(crate) fn refuse_nothing(&self) {
        self.state.lock().unwrap().refused.clear();
    }

    /// The user may look at the namespace.
    pub(crate) fn show_uid(&self, uid: &str) {
        self.state.lock().unwrap().namespace_uid = Some(uid.to_owned());
    }

    /// The next replacements find that somebody was faster.
    pub(crate) fn conflict(&self, times: usize) {
        self.state.lock().unwrap().conflicts = times;
    }

    /// The `number`-th call from now on fails, and all after it: the program is dead.
    pub(crate) fn die_at(&self, number: usize, how: Fails) {
        let mut state = self.state.lock().unwrap();
        state.calls = 0;
        state.failing = Some((number, how));
    }

    pub(crate) fn live_again(&self) {
        self.state.lock().unwrap().failing = None;
    }

    /// What the garbage collector does: objects whose owner of that uid is gone are deleted.
    pub(crate) fn collect_garbage(&self) {
        let mut state = self.state.lock().unwrap();
        let uids: BTreeSet<_> = state.objects.values().map(|object| object["metadata"]["uid"].as_str().unwrap().to_owned()).collect();
        state.objects.retain(|_, object| {
            let owners = object["metadata"].get("ownerReferences").and_then(Value::as_array);
            owners.is_none_or(|owners| owners.iter().any(|owner| uids.contains(owner["uid"].as_str().unwrap())))
        });
    }

    fn call<T>(&self, verb: &str, kind: &ObjectKind, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state.lock().unwrap();
        state.calls += 1;
        let dead = || Error::failed("the program died");
        let fails = state.failing.filter(|(number, _)| state.calls >= *number);
        if fails.is_some_and(|(number, how)| how == Fails::Before || state.calls > number) {
            return Err(dead());
        }
        if state.denied.contains(&(verb.to_owned(), kind.plural.clone())) {
            return Err(Error::refused(format!("this user may not {verb} {}", kind.plural)));
        }
        let done = work(&mut state);
        if fails.is_some() { Err(dead()) } else { done }
    }
}

impl State {
    fn stamp(&mut self, object: &mut Value, new: bool) -> String {
        self.counter += 1;
        object["metadata"]["resourceVersion"] = self.counter.to_string().into();
        if new {
            object["metadata"]["uid"] = format!("uid-{}", self.counter).into();
        }
        object["metadata"]["uid"].as_str().unwrap().to_owned()
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (field, value) in from {
                merge(into.entry(field.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// What this manager applied the last time and no longer does, goes.
fn prune(now: &mut Value, applied: &Value, object: &Value) {
    let (Some(fields), Some(applied)) = (now.as_object_mut(), applied.as_object()) else { return };
    for (field, was) in applied {
        match object.get(field) {
            None => _ = fields.remove(field),
            Some(is) => {
                if let Some(inner) = fields.get_mut(field) {
                    prune(inner, was, is);
                }
            }
        }
    }
}

/// An item of a list does not say what it is.
fn as_item(object: &Value) -> Value {
    let mut item = object.clone();
    item.as_object_mut().unwrap().retain(|field, _| field != "apiVersion" && field != "kind");
    item
}

impl Objects for Server {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn namespace_uid(&self) -> Result<Option<String>> {
        Ok(self.state.lock().unwrap().namespace_uid.clone())
    }

    fn kinds(&self, group: &str) -> Result<Vec<ObjectKind>> {
        let any = ObjectKind::new("v1", "", "");
        self.call("discover", &any, |state| Ok(state.kinds.iter().filter(|kind| kind.group() == group).cloned().collect()))
    }

    fn list(&self, kind: &ObjectKind) -> Result<Vec<Value>> {
        self.call("list", kind, |state| {
            Ok(state.objects.iter().filter(|((plural, _), _)| *plural == kind.plural).map(|(_, object)| as_item(object)).collect())
        })
    }

    fn get(&self, kind: &ObjectKind, name: &str) -> Result<Option<Value>> {
        self.call("get", kind, |state| Ok(state.objects.get(&(kind.plural.clone(), name.to_owned())).cloned()))
    }

    fn apply(&self, kind: &ObjectKind, name: &str, object: &Value, dry_run: bool) -> Result<Value> {
        self.call("patch", kind, |state| {
            if let Some(words) = state.refused.get(name) {
                return Err(Error::failed(words.clone()));
            }
            assert!(state.kinds.contains(kind), "{kind:?}");
            assert_eq!((object["kind"].as_str(), object["metadata"]["name"].as_str()), (Some(kind.kind.as_str()), Some(name)));
            for field in ["uid", "resourceVersion", "managedFields", "ownerReferences", "namespace"] {
                assert!(object["metadata"].get(field).is_none(), "{field} is applied");
            }
            let key = (kind.plural.clone(), name.to_owned());
            let before = state.objects.get(&key).cloned();
            let mut now = before.clone().unwrap_or_else(|| json!({"metadata": {}}));
            merge(&mut now, object);
            let managed = now["metadata"].get("managedFields").and_then(Value::as_array).into_iter().flatten();
            let applied = managed.filter(|field| field["manager"] == "threescale-backup").find_map(|field| field.get("applied")).cloned();
            if let Some(applied) = applied {
                prune(&mut now, &applied, object);
            }
            let managers = now["metadata"].get("managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut managers: Vec<_> = managers.into_iter().filter(|field| field["manager"] != "threescale-backup").collect();
            managers.push(json!({"manager": "threescale-backup", "operation": "Apply", "applied": object}));
            now["metadata"]["managedFields"] = managers.into();
            now["metadata"]["namespace"] = self.namespace.clone().into();
            if !dry_run && before.as_ref() != Some(&now) {
                state.stamp(&mut now, before.is_none());
                state.objects.insert(key, now.clone());
            }
            Ok(now)
        })
    }

    fn replace(&self, kind: &ObjectKind, name: &str, object: &Value) -> Result<Value> {
        self.call("update", kind, |state| {
            let key = (kind.plural.clone(), name.to_owned());
            if state.conflicts > 0 {
                state.conflicts -= 1;
                return Err(Error::transient("somebody was faster"));
            }
            let before = state.objects.get(&key).ok_or_else(|| Error::failed("not there"))?;
            if before["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                return Err(Error::transient("somebody was faster"));
            }
            let mut now = object.clone();
            assert_eq!(now["metadata"]["uid"], before["metadata"]["uid"]);
            let bare = now["metadata"].get("finalizers").is_none();
            if bare && before["metadata"].get("deletionTimestamp").is_some() {
                state.objects.remove(&key);
            } else {
                state.stamp(&mut now, false);
                state.objects.insert(key, now.clone());
            }
            Ok(now)
        })
    }

    fn delete(&self, kind: &ObjectKind, name: &str, uid: &str) -> Result<()> {
        self.call("delete", kind, |state| {
            let key = (kind.plural.clone(), name.to_owned());
            let Some(object) = state.objects.get_mut(&key) else { return Ok(()) };
            if object["metadata"]["uid"] != uid {
                return Err(Error::failed("another object"));
            }
            if object["metadata"].get("finalizers").is_some() {
                object["metadata"]["deletionTimestamp"] = "now".into();
            } else {
                state.objects.remove(&key);
            }
            Ok(())
        })
    }

    fn may(&self, verb: &str, kind: &ObjectKind) -> Result<bool> {
        let state = self.state.lock().unwrap();
        Ok(!state.denied.contains(&(verb.to_owned(), kind.plural.clone())))
    }
}
