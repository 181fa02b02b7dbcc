//! Metrics into a Pushgateway: one group for each installation, replaced as a whole (its API: `PUT /metrics/job/NAME/instance/NAME`).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herald::Address;
use plan::{Error, Result};
use secrecy::SecretString;

/// The text format that the body has.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where it is.
pub(super) struct Gateway(Address);

impl Gateway {
    pub(super) fn at(url: &str, ca_file: Option<PathBuf>) -> Result<Self> {
        let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if authority.contains('@') {
            return Err(Error::refused(
                "the address of --push holds a login, which everybody on this machine would see in the process list",
            )
            .hint("Write it without, as http://pushgateway:9091, and let the network or a proxy say who may push."));
        }
        let unusable = |error: Error| error.during("the address of --push cannot be used");
        let address = Address::parse(&SecretString::from(url), ca_file).map_err(unusable)?;
        address.check().map_err(unusable)?;
        Ok(Self(address))
    }

    /// The instance is the installation, else the host: what a pod is called changes, and each name would stay there for ever.
    pub(super) fn put(&self, installation: &str, host: &str, metrics: String) -> Result<()> {
        let instance = if installation.is_empty() { host } else { installation };
        let [label, value] = grouped("instance", instance);
        let parts = ["metrics", "job", "threescale-backup", label.as_str(), value.as_str()];
        let address = parts.into_iter().try_fold(self.0.clone(), |address, part| address.below(part))?;
        address.put(FORMAT, metrics.into_bytes()).map_err(|error| error.during("the metrics were not pushed"))
    }
}

/// A label of the path. A value with a slash in it is written as base64 there.
fn grouped(label: &str, value: &str) -> [String; 2] {
    if value.contains('/') {
        return [format!("{label}@base64"), URL_SAFE_NO_PAD.encode(value)];
    }
    [label.to_owned(), value.to_owned()]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_name_with_a_slash_stays_one_part_of_the_path() {
        assert_eq!(grouped("instance", "prod"), ["instance", "prod"]);
        assert_eq!(grouped("instance", "db:3306/system"), ["instance@base64", "ZGI6MzMwNi9zeXN0ZW0"]);
    }

    #[test]
    fn a_login_in_the_address_is_refused_and_told_to_nobody() {
        for url in ["http://user:wabash@gateway:9091", "https://wabash@gateway", "ftp://gateway/wabash", "http://"] {
            let error = Gateway::at(url, None).err().unwrap();
            assert!(!format!("{error:?}{}", error.chain()).contains("wabash"), "{url}");
        }
        assert!(Gateway::at("http://gateway:9091/prefix", None).is_ok());
    }
}
