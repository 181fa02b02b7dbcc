//! Where the files of System are: a volume that pods mount, or a bucket.

use plan::ports::{Problem, Severity};
use serde_json::Value;

use super::Place;
use super::workloads::FoundWorkload;
use crate::kubernetes::client::Cluster;
use crate::kubernetes::target::Target;

/// Where 3scale's images keep them.
const MOUNT: &str = "/opt/system/public/system";
/// Who mounts them, the preferred first: system-app serves them, sidekiq makes invoices.
const OWNERS: [&str; 2] = ["app", "sidekiq"];

/// Where the files of System are.
#[derive(Debug, Clone)]
pub enum FilesAt {
    /// On a volume, reached through a container that mounts it.
    Volume {
        /// The pods that mount it.
        target: Target,
        /// The workload of those pods.
        workload: String,
        /// The container.
        container: String,
        /// The folder there.
        path: String,
        /// The claim of the volume; none when it is of another kind (`emptyDir`).
        claim: Option<String>,
    },
    /// In a bucket.
    Bucket(BucketAt),
}

/// A bucket of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketAt {
    /// The Secret that says which, and with which keys (`AWS_BUCKET`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, …); `None` when the APIManager does not tell.
    pub secret: Option<String>,
}

pub(super) fn system(
    cluster: &Cluster,
    workloads: &[FoundWorkload],
    objects: &[Value],
    upload_storage: Option<&str>,
    spec: Option<&Value>,
) -> Place<FilesAt> {
    let s3 = spec.map_or(&Value::Null, |spec| &spec["simpleStorageService"]);
    // The older name of the same.
    let old_s3 = spec.map_or(&Value::Null, |spec| &spec["amazonSimpleStorageService"]);
    if upload_storage == Some("s3") || s3.is_object() || old_s3.is_object() {
        let secret = [&s3["configurationSecretRef"]["name"], &old_s3["awsCredentialsSecret"]["name"]].into_iter().find_map(Value::as_str);
        return Ok(FilesAt::Bucket(BucketAt { secret: secret.map(str::to_owned) }));
    }
    let owners = OWNERS
        .iter()
        .filter_map(|element| workloads.iter().find(|workload| workload.component == "system" && workload.element == *element));
    // One that runs, if any does.
    let mut owners: Vec<_> = owners.collect();
    owners.sort_by_key(|workload| workload.pods_ready == 0);
    for workload in owners {
        let object = objects.iter().find(|object| object["metadata"]["name"] == workload.name.as_str());
        if let Some((container, claim)) = object.and_then(mounted) {
            return Ok(FilesAt::Volume {
                target: workload.target(cluster.namespace()),
                workload: workload.name.clone(),
                container,
                path: MOUNT.to_owned(),
                claim,
            });
        }
    }
    Err(Problem::new(Severity::Blocks, format!("neither system-app nor system-sidekiq mounts a volume at {MOUNT}"))
        .way_out("Give the folder in the configuration, or leave the data set out."))
}

/// The container that mounts them, and the claim of what it mounts.
fn mounted(object: &Value) -> Option<(String, Option<String>)> {
    let pod = &object["spec"]["template"]["spec"];
    for container in pod["containers"].as_array()? {
        let mounts = container["volumeMounts"].as_array();
        let Some(mount) = mounts.and_then(|mounts| mounts.iter().find(|mount| mount["mountPath"] == MOUNT)) else { continue };
        let volume = pod["volumes"].as_array()?.iter().find(|volume| volume["name"] == mount["name"])?;
        let claim = volume["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned);
        return Some((container["name"].as_str()?.to_owned(), claim));
    }
    None
}
