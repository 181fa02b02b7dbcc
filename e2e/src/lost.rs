//! An installation that is lost with its volumes, and a stand-in for what 3scale's operator does in an empty namespace: it makes everything but Secrets and
//! ConfigMaps from an APIManager. The test cluster's own stand-in makes nothing anew; it sets the replicas and the conditions.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Installation, Kubectl, Settings, wait_until};

const OPERATOR: &str = "threescale-operator-controller-manager-v2";
/// The Job that prepares the database before system-app is made, from 2.15 on.
const HOOK: &str = "system-app-pre";
/// A table that stands for the tenant that the real Job seeds into an empty database.
pub const SEEDED: &str = "seeded_by_the_hook";

/// What the operator made: to be made again.
#[derive(Debug, Clone)]
pub struct Made {
    objects: Vec<Value>,
    volumes: Vec<Value>,
    era: String,
}

impl Made {
    /// Of a whole installation.
    #[must_use]
    pub fn of(place: &Installation) -> Self {
        let configs = if place.era == "2.14" { ",deploymentconfigs" } else { "" };
        let all = place.kubectl.items(&[&format!("persistentvolumeclaims,services,deployments{configs}")]);
        let is_operators = |object: &&Value| !name(object).starts_with("threescale-operator") && name(object) != "kubernetes";
        let objects: Vec<_> = all.iter().filter(is_operators).map(bare).collect();
        let volumes = place.kubectl.items(&["persistentvolumes"]);
        let is_ours = |volume: &&Value| volume["spec"]["claimRef"]["namespace"] == place.namespace.as_str();
        Self { objects, volumes: volumes.iter().filter(is_ours).map(bare).collect(), era: place.era.clone() }
    }

    /// Takes everything away but the operator and the databases outside, with what is on the volumes; in those databases everything goes too.
    pub fn lose(&self, place: &Installation, settings: &Settings) {
        if self.era == "2.16" {
            drop(place.mysql("DROP DATABASE `system`"));
            for database in ["backend-redis", "system-redis"] {
                drop(place.redis(database, 0, &["FLUSHALL"]));
            }
        }
        let kubectl = &place.kubectl;
        kubectl.act(&["delete", "apimanagers", "--all"]);
        let kinds = if self.era == "2.14" { "deploymentconfigs,deployments" } else { "deployments" };
        let is_operators = |object: &Value| name(object).starts_with("threescale-operator");
        let others = |kinds: &str| kubectl.items(&[kinds]).into_iter().filter(|object| !is_operators(object)).collect::<Vec<_>>();
        remove(kubectl, &others(&format!("{kinds},persistentvolumeclaims,services")), &["--wait=false"]);
        if self.era == "2.14" {
            kubectl.act(&["delete", "replicationcontrollers", "--all", "--wait=false"]);
        }
        remove(kubectl, &others("pods"), &["--grace-period=0", "--force", "--wait=false"]);
        let is_clusters = |object: &Value| object["type"] == "kubernetes.io/service-account-token" || name(object).ends_with("root-ca.crt");
        let mut kept = others("secrets,configmaps");
        kept.retain(|object| !is_clusters(object) && !name(object).contains("operator"));
        remove(kubectl, &kept, &["--wait=false"]);
        let gone = || {
            let pods = kubectl.items(&["pods"]);
            let claims = kubectl.items(&["persistentvolumeclaims"]);
            (pods.iter().all(|pod| name(pod).starts_with(OPERATOR)) && claims.is_empty()).then_some(())
        };
        wait_until("all pods and claims to be gone", 400, gone);
        let node = settings.node.as_deref().expect("E2E_NODE says how to empty a volume");
        for volume in &self.volumes {
            kubectl.act(&["delete", "persistentvolume", name(volume), "--ignore-not-found"]);
            let path = volume["spec"]["hostPath"]["path"].as_str().unwrap();
            let emptied = Command::new("sh").args(["-c", &format!("{node} sh -c 'find {path} -mindepth 1 -delete'")]).status().unwrap();
            assert!(emptied.success(), "{path}: {emptied}");
            drop(kubectl.ok(&["apply", "-f", "-"], volume.to_string().as_bytes()));
        }
    }

    /// Makes what an APIManager asks for, until it is dropped.
    #[must_use]
    pub fn make_when_asked(&self, place: &Installation) -> Making {
        let (made, kubectl, databases) = (self.clone(), place.kubectl.clone(), place.databases.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                made.look(&kubectl, &databases);
                std::thread::sleep(Duration::from_secs(2));
            }
        });
        Making { stop, thread: Some(thread) }
    }

    fn look(&self, kubectl: &Kubectl, databases: &Kubectl) {
        let Some(owner) = read(kubectl, "apimanagers").into_iter().next() else { return };
        let runs =
            read(kubectl, "deployments").iter().any(|one| name(one) == OPERATOR && one["spec"]["replicas"].as_i64().unwrap_or(1) > 0);
        if !runs {
            return;
        }
        let kinds = if self.era == "2.14" {
            "persistentvolumeclaims,services,deployments,deploymentconfigs"
        } else {
            "persistentvolumeclaims,services,deployments"
        };
        let there = read(kubectl, kinds);
        let has = |kind: &Value, wanted: &str| there.iter().any(|one| one["kind"] == *kind && name(one) == wanted);
        let waits = |object: &&Value| {
            name(object) == "system-app" && object["kind"] == "Deployment" && self.era != "2.14" && !self.is_prepared(kubectl, databases)
        };
        let missing = self.objects.iter().filter(|object| !has(&object["kind"], name(object)) && !waits(object));
        let items: Vec<_> = missing.map(|object| self.owned(object, &owner)).collect();
        if !items.is_empty() {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            drop(kubectl.run(&["create", "-f", "-"], list.to_string().as_bytes()));
        }
    }

    /// As the operator does: the Job is made when it is not there, and system-app when it ended well. Over an empty database it seeds.
    fn is_prepared(&self, kubectl: &Kubectl, databases: &Kubectl) -> bool {
        let Some(job) = read(kubectl, "jobs").into_iter().find(|job| name(job) == HOOK) else {
            let sidekiq = self.objects.iter().find(|object| name(object) == "system-sidekiq").unwrap();
            let mut template = sidekiq["spec"]["template"].clone();
            template["metadata"] = json!({});
            template["spec"]["restartPolicy"] = json!("Never");
            template["spec"]["initContainers"] = json!([]);
            let mut container = template["spec"]["containers"][0].clone();
            for field in ["livenessProbe", "readinessProbe", "args", "ports"] {
                container.as_object_mut().unwrap().remove(field);
            }
            container["command"] = json!(["bash", "-c", "exec bundle exec rake boot"]);
            template["spec"]["containers"] = json!([container]);
            let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": HOOK}, "spec": {"backoffLimit": 6, "template": template}});
            drop(kubectl.run(&["create", "-f", "-"], job.to_string().as_bytes()));
            return false;
        };
        let is_done = job["status"]["succeeded"].as_i64().unwrap_or(0) > 0;
        if is_done {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS `{SEEDED}` AS SELECT 1 AS a FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = 'system' AND table_name = 'accounts')"
            );
            let is_empty = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'system' AND table_name = 'accounts'";
            if mysql(databases, is_empty).as_deref() == Some("0") {
                mysql(databases, &sql);
            }
        }
        is_done
    }

    /// With the replicas that the APIManager names, and owned by it.
    fn owned(&self, object: &Value, owner: &Value) -> Value {
        let mut object = object.clone();
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager", "name": name(owner),
            "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]);
        if object["spec"]["replicas"].is_number() {
            object["spec"]["replicas"] = json!(asked_for(owner, name(&object)));
        }
        object
    }
}

/// Ends the stand-in when it is dropped.
#[derive(Debug)]
pub struct Making {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Deletes objects, each by its kind and name.
fn remove(kubectl: &Kubectl, objects: &[Value], options: &[&str]) {
    let names: Vec<_> =
        objects.iter().map(|object| format!("{}/{}", object["kind"].as_str().unwrap().to_lowercase(), name(object))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if !names.is_empty() {
        kubectl.act(&[&["delete", "--ignore-not-found"], options, &names].concat());
    }
}

/// How many of a workload an APIManager asks for.
fn asked_for(owner: &Value, workload: &str) -> i64 {
    let place = match workload {
        "system-app" => "system/appSpec",
        "system-sidekiq" => "system/sidekiqSpec",
        "backend-listener" => "backend/listenerSpec",
        "backend-worker" => "backend/workerSpec",
        "backend-cron" => "backend/cronSpec",
        "zync" => "zync/appSpec",
        "zync-que" => "zync/queSpec",
        _ => return 1,
    };
    owner.pointer(&format!("/spec/{place}/replicas")).and_then(Value::as_i64).unwrap_or(1)
}

fn mysql(databases: &Kubectl, sql: &str) -> Option<String> {
    let pods = read(databases, "pods");
    let pod = pods.iter().find(|pod| name(pod).starts_with("system-mysql") && pod["status"]["phase"] == "Running")?;
    let command = "MYSQL_PWD=$MYSQL_ROOT_PASSWORD exec mysql -h127.0.0.1 -uroot -N -B system";
    let output = databases.run(&["exec", "-i", name(pod), "--", "bash", "-c", command], sql.as_bytes());
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The objects of some kinds; none when they cannot be had now.
fn read(kubectl: &Kubectl, kinds: &str) -> Vec<Value> {
    let output = kubectl.run(&["get", kinds, "-o", "json"], b"");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    found["items"].as_array().cloned().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// An object as somebody would write it down.
fn bare(object: &Value) -> Value {
    let (metadata, mut spec) = (&object["metadata"], object["spec"].clone());
    for field in ["clusterIP", "clusterIPs"] {
        spec.as_object_mut().unwrap().remove(field);
    }
    if let Some(claim) = spec.get_mut("claimRef").and_then(Value::as_object_mut) {
        claim.retain(|field, _| matches!(field.as_str(), "apiVersion" | "kind" | "namespace" | "name"));
    }
    json!({"apiVersion": object["apiVersion"], "kind": object["kind"],
           "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "labels": metadata["labels"]}, "spec": spec})
}
