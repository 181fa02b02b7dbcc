//! What is not configured, on the platform `direct`: it is named, so that nobody takes a part of the installation for all of it.

use plan::Error;
use plan::ids::DataSetName;

use crate::config::{Config, Platform};

/// The data sets that are neither configured nor said to be absent. On Kubernetes all others are found.
pub(crate) fn not_configured(config: &Config) -> Vec<DataSetName> {
    if config.platform().ok() != Some(Platform::Direct) {
        return Vec::new();
    }
    let (there, absent) = (config.data_sets(), config.absent());
    DataSetName::STORES.into_iter().filter(|name| !there.contains(name) && !absent.contains(name)).collect()
}

/// `4 of 5 data sets: no [zync-database] (…)`; `None` when all are configured.
pub(crate) fn told_missing(config: &Config) -> Option<String> {
    let missing = not_configured(config);
    let wanted = DataSetName::STORES.len() - config.absent().iter().filter(|name| DataSetName::STORES.contains(name)).count();
    let sections: Vec<_> = missing.iter().map(|name| format!("[{name}]")).collect();
    let way_out = match missing.as_slice() {
        [] => return None,
        [one] => format!("set `[{one}] absent = true` if this installation has none"),
        _ => "set `absent = true` in the section of each that this installation does not have".to_owned(),
    };
    Some(format!("{} of {wanted} data sets: no {} ({way_out})", wanted - missing.len(), sections.join(", ")))
}

/// Nothing can be done without one.
pub(crate) fn nothing_configured() -> Error {
    Error::refused("the installation is empty: no data set is configured")
        .hint("Add sections such as [system-database] to the configuration; `threescale-backup config example` shows them.")
}
