//! What stays the target's in an object that is overwritten: where the data lives, and how many pods there are.
//!
//! The other data sets go into the databases that the target's Secrets name. Were these overwritten, the installation would look elsewhere, with the passwords of
//! the past. Replicas belong to whoever stops and starts the writers during a restore. A value to stay is written as it is there, not left out: fields
//! that an earlier restore of this program applied would otherwise be removed by the server.

use serde_json::{Map, Value};

use crate::decide::at;
use crate::object::Key;

/// Secrets that say where databases are. `zync`: but for what guards the data.
const PLACES: [&str; 4] = ["system-database", "backend-redis", "system-redis", "zync"];
/// Entries of those that belong to the data, not to its place.
const OF_THE_DATA: [&str; 3] = ["NAMESPACE", "SECRET_KEY_BASE", "ZYNC_AUTHENTICATION_TOKEN"];
/// Entries of ConfigMap `system-environment` about the installation itself.
const OF_THE_INSTALLATION: [&str; 2] = ["AMP_RELEASE", "FILE_UPLOAD_STORAGE"];
/// Fields of an APIManager that say where the data lives.
const FIELDS: [&str; 13] = [
    "spec/externalComponents",
    "spec/highAvailability",
    "spec/system/fileStorage",
    "spec/system/fileStorageSpec",
    "spec/system/database",
    "spec/system/databaseSpec",
    "spec/system/redisResources",
    "spec/zync/databaseResources",
    // Whether the addresses are spoken to by TLS: a flag that does not go with its address makes the operator's preflight refuse.
    "spec/system/systemDatabaseTLSEnabled",
    "spec/system/systemRedisTLSEnabled",
    "spec/backend/backendRedisTLSEnabled",
    "spec/backend/queuesRedisTLSEnabled",
    "spec/zync/zyncDatabaseTLSEnabled",
];
/// What the operator notes on an APIManager about the installation that it keeps there. An operator of another release takes the set's for what is installed, and
/// refuses to reconcile (3scale-operator, `apimanager_controller.go`, `version_compare.go`).
const NOTES_OF_THE_OPERATOR: [&str; 3] =
    [plan::release::INSTALLED, "apps.3scale.net/threescale-operator-version", "apps.3scale.net/apimanager-confirmed-requirements-version"];

/// The object of the set as it is applied: with what stays taken from the one that is there, and without what is nobody's to put back.
pub(crate) fn with_what_stays(key: &Key, set: &Value, live: Option<&Value>) -> Value {
    let mut body = set.clone();
    if key.is_apimanager() {
        for note in NOTES_OF_THE_OPERATOR {
            take_at(&mut body, live.unwrap_or(&Value::Null), &["metadata", "annotations", note].map(str::to_owned));
        }
    }
    if let Some(live) = live {
        take(key, &mut body, live);
    }
    body
}

/// Only what no verb ever changes: replicas, which others change while a run goes on.
pub(crate) fn take_replicas(key: &Key, body: &mut Value, live: &Value) {
    if key.is_apimanager() {
        for path in replicas(body, live) {
            take_at(body, live, &path);
        }
    }
}

fn take(key: &Key, body: &mut Value, live: &Value) {
    if key.is_core("Secret") {
        let stays = |entry: &str| is_storage(live) || (PLACES.contains(&key.name.as_str()) && !OF_THE_DATA.contains(&entry));
        take_entries(body, live, stays);
    } else if key.is_core("ConfigMap") && key.is("ConfigMap", "system-environment") {
        take_entries(body, live, |entry| OF_THE_INSTALLATION.contains(&entry));
    } else if key.is_apimanager() {
        for field in FIELDS {
            take_at(body, live, &field.split('/').map(str::to_owned).collect::<Vec<_>>());
        }
        take_replicas(key, body, live);
    }
}

/// The Secret of an S3 bucket, whatever its name.
fn is_storage(secret: &Value) -> bool {
    secret.get("data").is_some_and(|data| data.get("AWS_BUCKET").is_some())
}

fn take_entries(body: &mut Value, live: &Value, stays: impl Fn(&str) -> bool) {
    let entries = |object: &Value| object.get("data").and_then(Value::as_object).map(|data| data.keys().cloned().collect::<Vec<_>>());
    let mut names = entries(body).unwrap_or_default();
    names.extend(entries(live).unwrap_or_default());
    for name in names.into_iter().filter(|name| stays(name)) {
        take_at(body, live, &["data".to_owned(), name]);
    }
}

/// Makes the value at a path as it is in `live`: there or not there.
fn take_at(body: &mut Value, live: &Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let value = at(live, path);
    let mut inner = body;
    for field in parents {
        let Some(fields) = inner.as_object_mut() else { return };
        if value.is_none() && !fields.contains_key(field) {
            return;
        }
        inner = fields.entry(field.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    let Some(fields) = inner.as_object_mut() else { return };
    match value {
        Some(value) => _ = fields.insert(last.clone(), value.clone()),
        None => _ = fields.remove(last),
    }
}

fn replicas(one: &Value, other: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for value in [one, other] {
        find_replicas(value, &mut Vec::new(), &mut found);
    }
    found
}

fn find_replicas(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (field, inner) in value.as_object().into_iter().flatten() {
        path.push(field.clone());
        if field == "replicas" {
            found.push(path.clone());
        } else if field != "status" && field != "metadata" {
            find_replicas(inner, path, found);
        }
        path.pop();
    }
}
