//! An installation on the cluster: made when it is not there, and its pods' own clients.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::{Kubectl, Settings, wait_until};

/// Where system-storage is mounted in 3scale's image.
pub(crate) const STORAGE: &str = "/opt/system/public/system";
const OPERATOR: &str = "threescale-operator-controller-manager-v2";
/// `mysql` as root in the server's own pod, whatever the password is.
const MYSQL: &str = "MYSQL_PWD=$MYSQL_ROOT_PASSWORD exec mysql -h127.0.0.1 -uroot --default-character-set=utf8mb4 -N -B";

/// Stands on the namespace while a case is under way: one that failed leaves it there, and so nobody takes what it left for whole.
const IN_USE: &str = "e2e-case-under-way";

/// How many there are of each workload.
pub type Replicas = BTreeMap<String, i64>;

/// An installation.
#[derive(Debug)]
pub struct Installation {
    /// 2.14, 2.15 or 2.16.
    pub era: String,
    /// Of 2.16: which of the test cluster's variants; empty for the plain one.
    pub variant: String,
    /// Its namespace.
    pub namespace: String,
    /// Calls in its namespace.
    pub kubectl: Kubectl,
    /// Calls in the namespace of its databases: another one in 2.16.
    pub databases: Kubectl,
}

impl Installation {
    /// The installation of an era: the one that is there when it is whole, else a new one.
    ///
    /// # Panics
    /// When there is none, and no way to make one.
    #[must_use]
    pub fn of_era(settings: &Settings, era: &str) -> Self {
        let namespace = format!("{}-{}", settings.prefix, era.replace('.', ""));
        let databases = if era == "2.16" { format!("{namespace}-databases") } else { namespace.clone() };
        let found = Self {
            era: era.to_owned(),
            variant: String::new(),
            kubectl: Kubectl::new(settings, &namespace),
            databases: Kubectl::new(settings, &databases),
            namespace,
        };
        if !found.is_whole() {
            found.deploy(settings);
        }
        found.kubectl.act(&["annotate", "namespace", &found.namespace, &format!("{IN_USE}=true"), "--overwrite"]);
        found
    }

    /// A new installation of 2.16 in one of its variants.
    ///
    /// # Panics
    /// When there is no way to make one.
    #[must_use]
    pub fn of_variant(settings: &Settings, variant: &str) -> Self {
        let namespace = format!("{}-{variant}", settings.prefix);
        let databases = Kubectl::new(settings, &format!("{namespace}-databases"));
        let kubectl = Kubectl::new(settings, &namespace);
        let made = Self { era: "2.16".to_owned(), variant: variant.to_owned(), namespace, kubectl, databases };
        made.deploy(settings);
        made
    }

    /// Removes the namespaces of an installation that is not used again.
    pub fn remove(&self) {
        for namespace in [&self.namespace, &format!("{}-databases", self.namespace)] {
            self.kubectl.act(&["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"]);
        }
    }

    /// Whether the system database is PostgreSQL.
    pub(crate) fn is_on_postgres(&self) -> bool {
        self.variant == "postgres"
    }

    /// SQL in the system database where that is PostgreSQL, by the server's own client.
    #[must_use]
    pub fn system_psql(&self, sql: &str) -> String {
        let command = ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "system", "system"];
        String::from_utf8_lossy(&self.exec("system-postgresql", None, &command, sql.as_bytes())).into_owned()
    }

    fn deploy(&self, settings: &Settings) {
        let Some(deploy) = &settings.deploy else {
            panic!(
                "there is no installation of era {} in namespace {}, and E2E_DEPLOY does not say how to make one",
                self.era, self.namespace
            )
        };
        let variant = if self.variant.is_empty() { String::new() } else { format!(" --variant {}", self.variant) };
        let command = format!("{deploy} --era {} --namespace {}{variant}", self.era, self.namespace);
        let call = || Command::new("sh").args(["-c", &command]).env("KUBECONFIG", &settings.kubeconfig).output().unwrap();
        // It begins anew each time. Its own patience may be too short on a busy machine: the second time the images are there.
        let first = call();
        let output = if first.status.success() { first } else { call() };
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Everything runs, nothing of an earlier case that failed is in the way, and the seed data is there.
    fn is_whole(&self) -> bool {
        let names = ["system-app", "system-sidekiq", "backend-listener", "zync", OPERATOR];
        let runs =
            self.is_free() && names.iter().all(|name| self.replicas().get(*name).is_some_and(|count| *count > 0)) && self.are_all_ready();
        runs && self.leftovers().is_empty() && self.is_seeded()
    }

    fn is_free(&self) -> bool {
        let namespace = self.kubectl.run(&["get", "namespace", &self.namespace, "-o", "json"], b"");
        namespace.status.success() && !String::from_utf8_lossy(&namespace.stdout).contains(IN_USE)
    }

    fn is_seeded(&self) -> bool {
        let rows = self.mysql_try("SELECT COUNT(*) FROM system.accounts");
        rows.is_some_and(|rows| rows.trim() == "7") && self.redis("system-redis", 1, &["LLEN", "webhooks:failures:provider-2"]) == "3"
    }

    /// The running pod of a workload, when there is one that is ready and not being deleted.
    #[must_use]
    pub fn pod_of(&self, workload: &str) -> Option<String> {
        let client = self.client_of(workload);
        let label = if self.era == "2.14" && workload != OPERATOR { "deploymentConfig" } else { "deployment" };
        let selector = if workload == OPERATOR { "control-plane=controller-manager".to_owned() } else { format!("{label}={workload}") };
        let pods = client.items(&["pods", "-l", &selector]);
        pods.iter().find(|pod| is_ready(pod)).and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned)
    }

    /// Whether a workload has any pod at all.
    #[must_use]
    pub fn has_pods(&self, workload: &str) -> bool {
        let label = if self.era == "2.14" { "deploymentConfig" } else { "deployment" };
        !self.client_of(workload).items(&["pods", "-l", &format!("{label}={workload}")]).is_empty()
    }

    fn client_of(&self, workload: &str) -> &Kubectl {
        if matches!(workload, "system-mysql" | "system-postgresql" | "backend-redis" | "system-redis" | "s3") {
            &self.databases
        } else {
            &self.kubectl
        }
    }

    /// Runs a command in a container of a workload's pod.
    #[must_use]
    pub fn exec(&self, workload: &str, container: Option<&str>, command: &[&str], input: &[u8]) -> Vec<u8> {
        let pod = wait_until(&format!("a ready pod of {workload}"), 180, || self.pod_of(workload));
        let mut arguments = vec!["exec", "-i", &pod];
        if let Some(container) = container {
            arguments.extend(["-c", container]);
        }
        arguments.push("--");
        arguments.extend(command);
        self.client_of(workload).ok(&arguments, input)
    }

    /// SQL in the system database, by the server's own client.
    #[must_use]
    pub fn mysql(&self, sql: &str) -> String {
        let command = format!("{MYSQL} system");
        String::from_utf8_lossy(&self.exec("system-mysql", None, &["bash", "-c", &command], sql.as_bytes())).into_owned()
    }

    fn mysql_try(&self, sql: &str) -> Option<String> {
        let pod = self.pod_of("system-mysql")?;
        let output = self.databases.run(&["exec", "-i", &pod, "--", "bash", "-c", MYSQL], sql.as_bytes());
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// SQL in the zync database, by the server's own client.
    #[must_use]
    pub fn psql(&self, sql: &str) -> String {
        let command = ["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "zync", "zync_production"];
        String::from_utf8_lossy(&self.exec("zync-database", None, &command, sql.as_bytes())).into_owned()
    }

    /// A command in a logical database of a Redis, by the server's own client.
    #[must_use]
    pub fn redis(&self, workload: &str, database: u32, command: &[&str]) -> String {
        let number = database.to_string();
        let all = [&["redis-cli", "-n", number.as_str()], command].concat();
        String::from_utf8_lossy(&self.exec(workload, None, &all, b"")).trim_end().to_owned()
    }

    /// A shell script in the folder of the system files.
    #[must_use]
    pub fn files(&self, script: &str) -> String {
        let script = format!("cd {STORAGE} && {script}");
        String::from_utf8_lossy(&self.exec("system-app", Some("system-provider"), &["bash", "-c", &script], b"")).into_owned()
    }

    /// Whether the system files are in a bucket.
    pub(crate) fn has_bucket(&self) -> bool {
        self.variant == "s3"
    }

    /// A script of Python in the pod of the S3 server: `s3` is a client there, `bucket` its arguments, `keys` those of all objects.
    #[must_use]
    pub fn bucket(&self, script: &str) -> String {
        const CLIENT: &str = "import sys, os, hashlib; sys.path.insert(0, '/opt/s3'); import boto3
from botocore.config import Config
s3 = boto3.client('s3', endpoint_url='http://127.0.0.1:9000', config=Config(s3={'addressing_style': 'path'}))
bucket = {'Bucket': os.environ['S3_BUCKET']}
keys = [one['Key'] for page in s3.get_paginator('list_objects_v2').paginate(**bucket) for one in page.get('Contents', [])]
";
        String::from_utf8_lossy(&self.exec("s3", None, &["python3", "-c", &format!("{CLIENT}{script}")], b"")).into_owned()
    }

    /// The tasks that were run, in order: `TASK ARGUMENTS`.
    #[must_use]
    pub fn tasks(&self) -> Vec<String> {
        let log = self.files("cat .rake-log 2>/dev/null || true");
        log.lines().filter_map(|line| line.splitn(3, ' ').nth(2)).map(str::to_owned).collect()
    }

    /// How many replicas each workload should have, the operator's own too; not the program's.
    #[must_use]
    pub fn replicas(&self) -> Replicas {
        let mut found = Replicas::new();
        for kind in if self.era == "2.14" { &["deployments", "deploymentconfigs"][..] } else { &["deployments"] } {
            for item in self.kubectl.items(&[kind, "-l", "app.kubernetes.io/name!=threescale-backup"]) {
                let name = item["metadata"]["name"].as_str().unwrap().to_owned();
                found.insert(name, item["spec"]["replicas"].as_i64().unwrap_or(1));
            }
        }
        found
    }

    fn are_all_ready(&self) -> bool {
        let mut pods = self.kubectl.items(&["pods"]);
        if self.databases.namespace() != self.namespace {
            pods.extend(self.databases.items(&["pods"]));
        }
        let workload = |pod: &Value| {
            let labels = &pod["metadata"]["labels"];
            // A ReplicationController labels its pods `deployment` too, with its own name.
            let name = labels["deploymentConfig"].as_str().or_else(|| labels["deployment"].as_str());
            name.or_else(|| (labels["control-plane"] == "controller-manager").then_some(OPERATOR)).map(str::to_owned)
        };
        let ready: Vec<String> = pods.iter().filter(|pod| is_ready(pod)).filter_map(workload).collect();
        self.replicas().iter().all(|(name, count)| *count == 0 || ready.contains(name))
    }

    /// Waits until every workload has the pods that it should have, all ready.
    pub fn wait_ready(&self) {
        wait_until("all workloads to be ready", 240, || self.are_all_ready().then_some(()));
    }

    /// The highest row of the table that system-app writes to once a second.
    #[must_use]
    pub fn heartbeat(&self) -> u64 {
        let sql = "SELECT COALESCE(MAX(id), 0) FROM heartbeats";
        let answer = if self.is_on_postgres() { self.system_psql(sql) } else { self.mysql(sql) };
        answer.trim().parse().unwrap()
    }

    /// How many rows of that table there are up to this one.
    #[must_use]
    pub fn heartbeats_to(&self, row: u64) -> u64 {
        self.mysql(&format!("SELECT COUNT(*) FROM heartbeats WHERE id <= {row}")).trim().parse().unwrap()
    }

    /// How often backend-listener counted.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.redis("backend-redis", 0, &["GET", "stats/{service:2}/metric:1/eternity"]).parse().unwrap_or(0)
    }

    /// Waits until all that write have written again.
    pub fn wait_writing(&self) {
        let (row, count) = (self.heartbeat(), self.counter());
        wait_until("rows of system-app and counts of backend-listener", 90, || {
            (self.heartbeat() > row && self.counter() > count).then_some(())
        });
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.variant.is_empty() {
            self.kubectl.act(&["annotate", "namespace", &self.namespace, &format!("{IN_USE}-")]);
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    let all = pod["status"]["containerStatuses"].as_array();
    pod["metadata"]["deletionTimestamp"].is_null()
        && pod["status"]["phase"] == "Running"
        && all.is_some_and(|all| all.iter().all(|one| one["ready"] == true))
}
