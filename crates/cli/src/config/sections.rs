//! The sections, typed: what [`super::keys`] names, as the parts want it. What the table does not name never comes here.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use tls::Tls;

/// The repository, or a second one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RepositorySection {
    /// A folder, or `s3://bucket/prefix`.
    pub url: String,
    pub password: Option<SecretString>,
    /// `governance`, or `compliance`.
    pub object_lock: Option<String>,
    pub object_lock_days: Option<u32>,
    pub s3: Option<S3Section>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct S3Section {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// `keys`, or `workload-identity`.
    pub credentials: Option<String>,
    pub access_key_id: Option<SecretString>,
    pub secret_access_key: Option<SecretString>,
    /// PEM file with the CAs of the service; those of this machine when absent.
    pub ca_file: Option<PathBuf>,
    /// `true`: bucket in the path; `false`: bucket in the host name.
    pub path_style: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct DatabaseSection {
    pub url: SecretString,
    /// Instead of a password in the URL.
    pub password: Option<SecretString>,
    #[serde(default)]
    pub tls: Option<Tls>,
    /// MySQL: whether loads are written to the binary log: `auto`, `always`, `never`.
    pub log_bin: Option<String>,
    /// PostgreSQL: folder with `pg_dump` and `pg_restore`.
    pub client_folder: Option<PathBuf>,
    /// How long a cut-over waits for a lock before it names the blocker and gives up.
    pub lock_wait_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct StorageSection {
    /// A folder, or `s3://bucket`.
    pub path: String,
    /// Leave out, with a warning, what cannot be read.
    #[serde(default)]
    pub skip_unreadable: bool,
    pub s3: Option<S3Section>,
}

impl StorageSection {
    /// The bucket's name, where it is one.
    pub(crate) fn bucket(&self) -> Option<&str> {
        self.path.strip_prefix("s3://").map(|name| name.trim_end_matches('/'))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RedisSection {
    /// system-redis.
    pub url: Option<SecretString>,
    /// backend-redis: storage.
    pub storage_url: Option<SecretString>,
    /// backend-redis: queues.
    pub queues_url: Option<SecretString>,
    pub password: Option<SecretString>,
    /// Of both of Backend's, and of sentinels.
    pub tls: Option<Tls>,
    pub storage_tls: Option<Tls>,
    pub queues_tls: Option<Tls>,
    /// As `SENTINEL_HOSTS` in 3scale's Secrets: `redis://host:26379,redis://host2:26379`.
    pub sentinel_hosts: Option<String>,
    pub storage_sentinel_hosts: Option<String>,
    pub queues_sentinel_hosts: Option<String>,
    /// As `SENTINEL_ROLE`: `master` or `slave`.
    pub sentinel_role: Option<String>,
    pub storage_sentinel_role: Option<String>,
    pub queues_sentinel_role: Option<String>,
    pub sentinel_username: Option<String>,
    /// system-redis: `NAMESPACE` of the Secret (3scale 2.14 and before); keys begin with it.
    pub namespace: Option<String>,
    pub sentinel_password: Option<SecretString>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct WritersSection {
    pub stop: String,
    /// Stops those that make jobs for the others.
    pub stop_makers: Option<String>,
    pub start: String,
    pub stopped: Option<String>,
    pub wait_seconds_max: Option<u64>,
}

/// The pods of a rehearsal.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RehearseSection {
    pub mysql_image: Option<String>,
    pub postgresql_image: Option<String>,
    pub redis_image: Option<String>,
    pub memory_limit: Option<String>,
    pub volume_limit: Option<String>,
    /// How long a pod may be there.
    pub hours_max: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct OptionsSection {
    /// Connections, readers or loaders at the same time, per data set.
    pub workers: Option<u64>,
    /// Steps of a run at the same time.
    pub jobs: Option<u64>,
    /// Bytes a second, as people write them.
    pub limit_read: Option<String>,
    pub limit_upload: Option<String>,
    pub limit_download: Option<String>,
    /// Whether to give way to all else on this machine.
    pub nice: Option<bool>,
    /// How long a server may be silent, while it is waited for and at work on nothing, before the connection is given up.
    pub io_seconds_max: Option<u64>,
}
