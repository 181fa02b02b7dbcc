//! Names and ids. Newtypes, so that one is never given for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A data set of an installation. Declared in the order in which a restore cuts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSetName {
    /// Secrets, ConfigMaps, the APIManager and the other custom resources of 3scale in its namespace.
    KubernetesObjects,
    /// MySQL, MariaDB or PostgreSQL database of System (porta); the source of truth of the configuration.
    SystemDatabase,
    /// Files that System reads and writes (CMS files, invoices, logos).
    SystemStorage,
    /// PostgreSQL database of zync.
    ZyncDatabase,
    /// Redis of Backend (apisonator): storage and queues.
    BackendRedis,
    /// Redis of System: Sidekiq.
    SystemRedis,
}

impl DataSetName {
    /// All data sets, in the order in which a restore cuts over.
    pub const ALL: [Self; 6] =
        [Self::KubernetesObjects, Self::SystemDatabase, Self::SystemStorage, Self::ZyncDatabase, Self::BackendRedis, Self::SystemRedis];

    /// Those with a store of their own, which somebody writes to: all but the objects of Kubernetes. In the same order.
    pub const STORES: [Self; 5] = [Self::SystemDatabase, Self::SystemStorage, Self::ZyncDatabase, Self::BackendRedis, Self::SystemRedis];

    /// The name as written on the command line, in the configuration and in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KubernetesObjects => "kubernetes-objects",
            Self::SystemDatabase => "system-database",
            Self::SystemStorage => "system-storage",
            Self::ZyncDatabase => "zync-database",
            Self::BackendRedis => "backend-redis",
            Self::SystemRedis => "system-redis",
        }
    }
}

impl fmt::Display for DataSetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DataSetName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "system-mysql" {
            return Ok(Self::SystemDatabase);
        }
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|name| name.as_str()).collect();
            Error::refused(format!("unknown data set {text:?}")).hint(format!("Data sets are: {}.", known.join(", ")))
        })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id! {
    /// A set: one backup of an installation. Sorts by time (a ULID in lower case).
    SetId
}
id! {
    /// A run of a plan, as the journal knows it. Sorts by time (a ULID in lower case).
    ///
    /// Only `0-9a-z`: it is part of the names of side schemas, side folders and marker keys.
    RunId
}
id! {
    /// A snapshot: one data set in the repository (restic's snapshot id, 64 hexadecimal digits).
    SnapshotId
}

impl RunId {
    /// The last ten characters: enough to name things of a run where names are short.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(self.0.len().saturating_sub(10)..).unwrap_or(&self.0)
    }
}
