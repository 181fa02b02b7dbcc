//! The Secrets that say where data sets are. Their values never leave as plain text.

use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine;
use plan::ports::{Problem, Severity};
use secrecy::SecretString;
use serde_json::Value;

use super::address::Reach;
use crate::kubernetes::client::Cluster;

/// Secrets, each read once.
pub(super) struct Secrets<'a> {
    cluster: &'a Cluster,
    read: RefCell<BTreeMap<String, Result<Value, Problem>>>,
}

impl<'a> Secrets<'a> {
    pub(super) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, read: RefCell::default() }
    }

    pub(super) fn namespace(&self) -> &str {
        self.cluster.namespace()
    }

    /// How the host of an address is reached.
    pub(super) fn reach(&self, host: &str, port: u16) -> Reach {
        self.cluster.reach(host, port, &[self.namespace()])
    }

    /// A value; `None` when it is not there or empty: the operator writes empty values for what is not used.
    pub(super) fn value(&self, secret: &str, key: &str) -> Result<Option<SecretString>, Problem> {
        let object = self.object(secret)?;
        let Some(text) = object["data"][key].as_str().filter(|text| !text.is_empty()) else { return Ok(None) };
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
        match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) if text.trim().is_empty() => Ok(None),
            Some(text) => Ok(Some(text.trim().to_owned().into())),
            None => Err(Problem::new(Severity::Blocks, format!("key {key} of Secret {secret} is not text"))),
        }
    }

    /// A value that must be there.
    pub(super) fn needed(&self, secret: &str, key: &str) -> Result<SecretString, Problem> {
        self.value(secret, key)?.ok_or_else(|| {
            Problem::new(Severity::Blocks, format!("Secret {secret} has no key {key}")).way_out(format!(
                "Put it back, or give the address of the data set in the configuration. `oc describe secret {secret}` lists the keys."
            ))
        })
    }

    fn object(&self, secret: &str) -> Result<Value, Problem> {
        if let Some(read) = self.read.borrow().get(secret) {
            return read.clone();
        }
        let path = self.cluster.path("v1", "secrets", Some(secret));
        let read = match self.cluster.get_if_there(&path) {
            Ok(Some(object)) => Ok(object),
            Ok(None) => {
                Err(Problem::new(Severity::Blocks, format!("there is no Secret {secret} in namespace {}", self.cluster.namespace()))
                    .way_out("It says where the data set is. Put it back, or give the address in the configuration."))
            }
            Err(error) => {
                let error = plan::Error::from(error);
                let problem = Problem::new(Severity::Blocks, error.chain());
                Err(match error.hints().last() {
                    Some(hint) => problem.way_out(hint.clone()),
                    None => problem,
                })
            }
        };
        self.read.borrow_mut().insert(secret.to_owned(), read.clone());
        read
    }
}
