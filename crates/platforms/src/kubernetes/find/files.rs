//! Where the files of System are: a volume that pods mount, or a bucket.

use plan::ports::{Problem, Severity};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::Sought;
use super::address::Reach;
use super::secrets::Secrets;
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

/// A bucket of files, as porta's `config/cms.yml` reads the Secret. Debug output shows no secrets.
#[derive(Debug, Clone)]
pub struct BucketAt {
    /// The Secret that says which.
    pub secret: String,
    /// The bucket's name.
    pub bucket: String,
    /// Its region.
    pub region: Option<String>,
    /// `https` or `http`.
    pub protocol: String,
    /// The service, where it is not Amazon's own for the region: its host as the Secret has it, and how it is reached.
    pub service: Option<(String, Reach)>,
    /// Whether the bucket stands in the path.
    pub path_style: bool,
    /// By whose right.
    pub right: BucketRight,
}

/// By whose right a bucket is used.
#[derive(Debug, Clone)]
pub enum BucketRight {
    /// Keys. They go before a role, as in porta.
    Keys {
        /// Access key id.
        id: SecretString,
        /// Secret access key.
        secret: SecretString,
    },
    /// A role that is given for a token of ServiceAccount `amp`.
    Role {
        /// The role.
        arn: String,
        /// Where System's pods have the token.
        token_file: String,
        /// For whom the token is.
        audience: String,
    },
}

/// Where the operator mounts the token.
const TOKEN_FILE: &str = "/var/run/secrets/openshift/serviceaccount/token";
/// For whom the operator asks for the token, when the APIManager does not say it.
const AUDIENCE: &str = "openshift";

/// The bucket of a Secret.
fn bucket(secrets: &Secrets<'_>, secret: &str, spec: &Value) -> Sought<BucketAt> {
    let text = |key: &str| Ok(secrets.value(secret, key)?.map(|value| value.expose_secret().to_owned()));
    let right = match (secrets.value(secret, "AWS_ACCESS_KEY_ID")?, secrets.value(secret, "AWS_SECRET_ACCESS_KEY")?) {
        (Some(id), Some(key)) => BucketRight::Keys { id, secret: key },
        (None, None) => match text("AWS_ROLE_ARN")? {
            Some(arn) => BucketRight::Role {
                arn,
                token_file: text("AWS_WEB_IDENTITY_TOKEN_FILE")?.unwrap_or_else(|| TOKEN_FILE.to_owned()),
                audience: spec["sts"]["audience"].as_str().filter(|text| !text.is_empty()).unwrap_or(AUDIENCE).to_owned(),
            },
            None => {
                return Err(Problem::new(Severity::Blocks, format!("Secret {secret} has neither keys nor a role for the bucket"))
                    .way_out("Put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ROLE_ARN, into it."));
            }
        },
        _ => {
            return Err(Problem::new(
                Severity::Blocks,
                format!("Secret {secret} has one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and not both"),
            )
            .way_out("Put the other into it."));
        }
    };
    let protocol = text("AWS_PROTOCOL")?.map_or_else(|| "https".to_owned(), |text| text.trim_end_matches("://").to_ascii_lowercase());
    let service = match text("AWS_HOSTNAME")? {
        None => None,
        Some(written) => {
            let bare = written.split_once("://").map_or(written.as_str(), |(_, host)| host).trim_end_matches('/');
            let usual = if protocol == "http" { 80 } else { 443 };
            let (host, port) = match bare.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
                Some((host, port)) => (host, port),
                None => (bare, usual),
            };
            Some((bare.to_owned(), secrets.reach(host, port)))
        }
    };
    Ok(BucketAt {
        secret: secret.to_owned(),
        bucket: secrets.needed(secret, "AWS_BUCKET")?.expose_secret().to_owned(),
        region: text("AWS_REGION")?,
        protocol,
        service,
        path_style: text("AWS_PATH_STYLE")?.is_some_and(|text| ["true", "1", "yes"].contains(&text.to_ascii_lowercase().as_str())),
        right,
    })
}

pub(super) fn system(
    (cluster, secrets): (&Cluster, &Secrets<'_>),
    workloads: &[FoundWorkload],
    objects: &[Value],
    upload_storage: Option<&str>,
    spec: Option<&Value>,
) -> Sought<FilesAt> {
    let s3 = spec.map_or(&Value::Null, |spec| &spec["simpleStorageService"]);
    // The older name of the same.
    let old_s3 = spec.map_or(&Value::Null, |spec| &spec["amazonSimpleStorageService"]);
    if upload_storage == Some("s3") || s3.is_object() || old_s3.is_object() {
        let secret = [&s3["configurationSecretRef"]["name"], &old_s3["awsCredentialsSecret"]["name"]].into_iter().find_map(Value::as_str);
        return match secret {
            Some(secret) => bucket(secrets, secret, s3).map(FilesAt::Bucket),
            None => {
                Err(Problem::new(Severity::Blocks, "the files are in a bucket, and the APIManager does not say which Secret tells where")
                    .way_out("Give the bucket in the configuration: [system-storage] path = \"s3://BUCKET\"."))
            }
        };
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
