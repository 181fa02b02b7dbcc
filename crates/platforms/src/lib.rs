//! REACHES: how an installation is got at. One folder per platform, one match arm where the parts are joined.
//!
//! [`direct`]: every store is reached by its address, and writers are stopped and started by the operator's own commands.
//! [`kubernetes`]: an installation that lives in the pods of a namespace, on Kubernetes or OpenShift.

pub mod direct;
pub mod kubernetes;
