//! Kinds of stores, as manifests name them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kind of store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreKind {
    /// MySQL.
    #[serde(rename = "mysql")]
    MySql,
    /// MariaDB.
    #[serde(rename = "mariadb")]
    MariaDb,
    /// PostgreSQL.
    #[serde(rename = "postgresql")]
    PostgreSql,
    /// Redis, Valkey.
    #[serde(rename = "redis")]
    Redis,
    /// A tree of files.
    #[serde(rename = "files")]
    Files,
    /// A tree of files in a bucket of an S3 service. Its sets go into a folder too, and those of a folder into a bucket: paths are keys.
    #[serde(rename = "s3")]
    Bucket,
    /// Objects of Kubernetes.
    #[serde(rename = "kubernetes-objects")]
    Objects,
    /// One that a later version of the program knows.
    #[serde(untagged)]
    Other(String),
}

impl StoreKind {
    /// Whether it is a tree of files, wherever it is: a set of one goes into any other.
    #[must_use]
    pub const fn is_files(&self) -> bool {
        matches!(self, Self::Files | Self::Bucket)
    }

    /// The kind as manifests have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
            Self::PostgreSql => "postgresql",
            Self::Redis => "redis",
            Self::Files => "files",
            Self::Bucket => "s3",
            Self::Objects => "kubernetes-objects",
            Self::Other(kind) => kind,
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
