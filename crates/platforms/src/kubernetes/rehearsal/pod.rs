//! The pod of a throw-away server, its Secret and its policy, from the workloads of the installation. Pure.
//!
//! What is taken from a workload: the image, where and as whom it runs, what it may use, plain variables, files of `ConfigMaps`. Not taken: claims, Secrets, tokens,
//! labels (no Service and no controller selects the pod), and what refers to a Secret.

use plan::ids::{DataSetName, RunId};
use serde_json::{Map, Value, json};

use super::scripts;
use super::{CONTAINER, OF_REHEARSAL, ServerKind, ServerOptions, owner};
use crate::kubernetes::one_off::{KEPT_OF_POD, annotations, taken};
use crate::kubernetes::writers::pods::OURS;
use crate::kubernetes::writers::workload::{RUN, list, name, text};

/// The folder of the data.
pub const FOLDER: &str = "/rehearsal";
/// The user whom a database makes for itself.
pub const USER: &str = "rehearsal";
/// The database that `PostgreSQL` makes for itself; MySQL's is called as System's.
pub const DATABASE: &str = "rehearsal";
/// MySQL's database.
const SYSTEM: &str = "system";
/// The volume's name.
const VOLUME: &str = "rehearsal";
/// The key of the Secret.
const KEY: &str = "password";
/// The most memory of what is not made after a container of the installation.
const MEMORY_LIMIT: &str = "2Gi";
/// Containers of System that have the programs for files, the best first.
const OF_SYSTEM: [&str; 3] = ["system-sidekiq", "system-provider", "system-master"];

/// What a pod is made after.
pub(super) struct Model<'a> {
    /// The workload that says where and as whom it runs.
    workload: &'a Value,
    /// Its container, whose image and settings are used.
    container: Option<&'a Value>,
    /// The image that goes before that.
    image: Option<String>,
}

/// What is wanted of a pod.
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    pub run: &'a RunId,
    pub data_set: DataSetName,
    pub kind: ServerKind,
    pub options: &'a ServerOptions,
}

/// What the server of a data set is made after: the configured image beside System's pods, else the workload of the store itself. `None`: nobody says which image.
pub(super) fn model<'a>(workloads: &[&'a Value], data_set: DataSetName, kind: ServerKind, image: Option<&str>) -> Option<Model<'a>> {
    let named = |wanted: &str| workloads.iter().copied().find(|workload| name(workload) == wanted);
    let system = || {
        let workload = named("system-sidekiq").or_else(|| named("system-app"))?;
        let containers = list(workload, "/spec/template/spec/containers");
        let container = OF_SYSTEM.iter().find_map(|wanted| containers.iter().find(|one| text(one, "/name") == *wanted));
        Some((workload, container.or_else(|| containers.first())?))
    };
    if kind == ServerKind::Files {
        return system().map(|(workload, container)| Model { workload, container: Some(container), image: None });
    }
    if let Some(image) = image {
        return system().map(|(workload, _)| Model { workload, container: None, image: Some(image.to_owned()) });
    }
    let stores: &[&str] = match (kind, data_set) {
        (ServerKind::MySql, _) => &["system-mysql"],
        (ServerKind::PostgreSql, DataSetName::ZyncDatabase) => &["zync-database"],
        (ServerKind::PostgreSql, _) => &["system-postgresql"],
        (_, DataSetName::SystemRedis) => &["system-redis"],
        _ => &["backend-redis"],
    };
    let workload = stores.iter().find_map(|store| named(store))?;
    let container = list(workload, "/spec/template/spec/containers").first()?;
    Some(Model { workload, container: Some(container), image: None })
}

/// The pod.
pub(super) fn pod(model: &Model<'_>, wanted: &Wanted<'_>) -> Value {
    let none = Value::Null;
    // What a container of System is set up with is not for a copy of its files.
    let settings = if wanted.kind == ServerKind::Files { &none } else { model.container.unwrap_or(&none) };
    let (mut volumes, mut mounts) = files_of_config_maps(model.workload, settings);
    let limit = wanted.options.volume_limit.as_ref().map(|limit| json!({"sizeLimit": limit}));
    volumes.push(json!({"name": VOLUME, "emptyDir": limit.unwrap_or_else(|| json!({}))}));
    mounts.extend(folders(wanted.kind).iter().map(|folder| json!({"name": VOLUME, "mountPath": folder})));
    let container = container(model, wanted, settings, mounts);

    let mut spec = model.workload.pointer("/spec/template/spec").map(|spec| taken(spec, &KEPT_OF_POD)).unwrap_or_default();
    for not_taken in ["volumes", "hostNetwork", "shareProcessNamespace", "enableServiceLinks", "hostAliases"] {
        spec.remove(not_taken);
    }
    if let Some(affinity) = model.workload.pointer("/spec/template/spec/affinity/nodeAffinity") {
        spec.insert("affinity".to_owned(), json!({"nodeAffinity": affinity}));
    }
    spec.insert("automountServiceAccountToken".to_owned(), json!(false));
    spec.insert("enableServiceLinks".to_owned(), json!(false));
    spec.insert("containers".to_owned(), json!([container]));
    spec.insert("volumes".to_owned(), json!(volumes));
    spec.insert("restartPolicy".to_owned(), json!("Never"));
    spec.insert("activeDeadlineSeconds".to_owned(), json!(wanted.options.seconds_max));
    spec.insert("terminationGracePeriodSeconds".to_owned(), json!(10));
    let labels =
        json!({OURS.0: OURS.1, "app.kubernetes.io/managed-by": OURS.1, RUN: wanted.run.as_str(), OF_REHEARSAL: wanted.data_set.as_str()});
    let metadata = json!({"name": wanted.name, "labels": labels, "annotations": annotations(model.workload)});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn container(model: &Model<'_>, wanted: &Wanted<'_>, settings: &Value, mounts: Vec<Value>) -> Map<String, Value> {
    let none = Value::Null;
    let of_image = model.container.unwrap_or(&none);
    let mut container = Map::new();
    container.insert("name".to_owned(), json!(CONTAINER));
    container.insert("image".to_owned(), model.image.as_ref().map_or_else(|| of_image["image"].clone(), |image| json!(image)));
    if let Some(policy) = of_image.get("imagePullPolicy") {
        container.insert("imagePullPolicy".to_owned(), policy.clone());
    }
    let security = of_image.get("securityContext").cloned().unwrap_or_else(|| json!({"allowPrivilegeEscalation": false}));
    container.insert("securityContext".to_owned(), security);
    container.insert("resources".to_owned(), resources(settings, wanted.options.memory_limit.as_deref()));
    let (script, ready) = match wanted.kind {
        ServerKind::MySql => (scripts::MYSQL, Some(scripts::MYSQL_READY)),
        ServerKind::PostgreSql => (scripts::POSTGRESQL, Some(scripts::POSTGRESQL_READY)),
        ServerKind::Redis => (scripts::REDIS, Some(scripts::REDIS_READY)),
        ServerKind::Files => (scripts::IDLE, None),
    };
    container.insert("command".to_owned(), json!(["sh", "-c", script, OURS.1, redis_program(settings, wanted.kind)]));
    if let Some(ready) = ready {
        let exec = json!({"command": ["sh", "-c", scripts::BY_ENTRYPOINT, OURS.1, ready]});
        container
            .insert("readinessProbe".to_owned(), json!({"exec": exec, "periodSeconds": 2, "timeoutSeconds": 10, "failureThreshold": 3}));
    }
    container.insert("env".to_owned(), json!(environment(settings, wanted)));
    container.insert("volumeMounts".to_owned(), json!(mounts));
    // Why it ended is told without its log.
    container.insert("terminationMessagePolicy".to_owned(), json!("FallbackToLogsOnError"));
    container
}

/// Where the volume is mounted: Red Hat's images have their data in one folder, to others it is said.
fn folders(kind: ServerKind) -> &'static [&'static str] {
    match kind {
        ServerKind::MySql => &[FOLDER, "/var/lib/mysql/data"],
        ServerKind::PostgreSql => &[FOLDER, "/var/lib/pgsql/data"],
        ServerKind::Redis | ServerKind::Files => &[FOLDER],
    }
}

/// As in the installation where that is known, with requests and a limit of memory in any case.
fn resources(settings: &Value, memory_limit: Option<&str>) -> Value {
    let mut all = settings.get("resources").and_then(Value::as_object).cloned().unwrap_or_default();
    all.remove("claims");
    if !all.contains_key("requests") {
        all.insert("requests".to_owned(), json!({"cpu": "100m", "memory": "256Mi"}));
    }
    let limits = all.entry("limits").or_insert_with(|| json!({}));
    if let Some(limits) = limits.as_object_mut() {
        match memory_limit {
            Some(limit) => drop(limits.insert("memory".to_owned(), json!(limit))),
            None => drop(limits.entry("memory").or_insert_with(|| json!(MEMORY_LIMIT))),
        }
    }
    Value::Object(all)
}

/// The program of the installation's own Redis, where its pod names one: in older images it is not where programs are looked for.
fn redis_program(settings: &Value, kind: ServerKind) -> &str {
    let first = list(settings, "/command").first().and_then(Value::as_str).unwrap_or_default();
    let is_server =
        kind == ServerKind::Redis && first.starts_with('/') && (first.ends_with("/redis-server") || first.ends_with("/valkey-server"));
    if is_server { first } else { "" }
}

/// Plain variables of the container that is the model, without passwords; then what makes the users.
fn environment(settings: &Value, wanted: &Wanted<'_>) -> Vec<Value> {
    let ours: &[(&str, Option<&str>)] = match wanted.kind {
        ServerKind::MySql => {
            &[("MYSQL_USER", Some(USER)), ("MYSQL_DATABASE", Some(SYSTEM)), ("MYSQL_PASSWORD", None), ("MYSQL_ROOT_PASSWORD", None)]
        }
        ServerKind::PostgreSql => &[
            ("POSTGRESQL_USER", Some(USER)),
            ("POSTGRESQL_DATABASE", Some(DATABASE)),
            ("POSTGRESQL_PASSWORD", None),
            ("POSTGRESQL_ADMIN_PASSWORD", None),
            ("POSTGRES_USER", Some(USER)),
            ("POSTGRES_DB", Some(DATABASE)),
            ("POSTGRES_PASSWORD", None),
        ],
        ServerKind::Redis => &[("REDISCLI_AUTH", None)],
        ServerKind::Files => &[],
    };
    let is_plain = |variable: &&Value| {
        let name = text(variable, "/name");
        let is_secret = ["PASS", "AUTH", "SECRET", "TOKEN", "URL"].iter().any(|word| name.contains(word));
        variable.get("value").is_some() && !is_secret && !ours.iter().any(|(known, _)| *known == name)
    };
    let made = ours.iter().map(|(name, value)| match value {
        Some(value) => json!({"name": name, "value": value}),
        None => json!({"name": name, "valueFrom": {"secretKeyRef": {"name": wanted.name, "key": KEY}}}),
    });
    list(settings, "/env").iter().filter(is_plain).cloned().chain(made).collect()
}

/// Volumes of `ConfigMaps`, and where the container mounts them: settings of the server.
fn files_of_config_maps(workload: &Value, settings: &Value) -> (Vec<Value>, Vec<Value>) {
    let volumes: Vec<Value> =
        list(workload, "/spec/template/spec/volumes").iter().filter(|volume| volume.get("configMap").is_some()).cloned().collect();
    let is_of = |mount: &&Value| volumes.iter().any(|volume| text(volume, "/name") == text(mount, "/name"));
    let mounts: Vec<Value> = list(settings, "/volumeMounts").iter().filter(is_of).cloned().collect();
    let is_mounted = |volume: &Value| mounts.iter().any(|mount| text(mount, "/name") == text(volume, "/name"));
    let volumes = volumes.into_iter().filter(is_mounted).collect();
    (volumes, mounts)
}

/// The Secret of a pod that is there: it goes with it.
pub(super) fn secret(pod: &Value, password: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": beside(pod), "stringData": {KEY: password}})
}

/// Lets in who is a Job of this program, and nothing out.
pub(super) fn policy(pod: &Value) -> Value {
    let selected = json!({"matchLabels": {RUN: pod["metadata"]["labels"][RUN], OF_REHEARSAL: pod["metadata"]["labels"][OF_REHEARSAL]}});
    let jobs = json!({"matchLabels": {OURS.0: OURS.1}, "matchExpressions": [{"key": OF_REHEARSAL, "operator": "DoesNotExist"}]});
    let spec = json!({"podSelector": selected, "policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [{"podSelector": jobs}]}], "egress": []});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": beside(pod), "spec": spec})
}

fn beside(pod: &Value) -> Value {
    json!({"name": name(pod), "labels": pod["metadata"]["labels"], "ownerReferences": owner(pod)})
}
