//! Which release of 3scale an installation is, as its objects tell.

use plan::release::{ENVIRONMENT, INSTALLED};
use serde_json::Value;

use crate::collect::Collected;

/// See [`plan::release::release`]. Pods are not collected.
pub(crate) fn release(collected: &Collected) -> Option<String> {
    let noted = |apimanager: &Value| apimanager.get("metadata")?.get("annotations")?.get(INSTALLED)?.as_str().map(str::to_owned);
    let environment =
        || collected.core("ConfigMap", "system-environment")?.value.get("data")?.get(ENVIRONMENT)?.as_str().map(str::to_owned);
    let noted = collected.apimanagers().find_map(|apimanager| noted(&apimanager.value));
    plan::release::release(noted.as_deref(), None, environment().as_deref())
}
