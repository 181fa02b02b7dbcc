//! S3 services, from what a section of the configuration says of them; files of System in a bucket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bucket::{Credentials, Origin, Service};
use plan::ids::DataSetName;
use plan::ports::DataSet;
use plan::{Error, Policies, Result};
use s3_data_set::{Bucket, Options, S3Store};

use crate::config::S3Section;

/// How long a request that fails is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// The service of a section; `header` is the section's.
pub(super) fn service(section: S3Section, header: &str) -> Result<Service> {
    if let Some(file) = &section.ca_file {
        tls::certificates("CA file", file).map_err(|error| error.during(format!("{header} ca-file cannot be used")))?;
    }
    Ok(Service {
        credentials: credentials(&section, header)?,
        region: section.region.unwrap_or_else(|| "us-east-1".to_owned()),
        path_style: section.path_style.unwrap_or(section.endpoint.is_some()),
        endpoint: section.endpoint,
        dial: None,
        ca_file: section.ca_file,
        origin: Origin::Section(header.to_owned()),
    })
}

fn credentials(section: &S3Section, header: &str) -> Result<Credentials> {
    let missing = |key: &str| Error::refused(format!("{header} has no {key}"));
    match (section.credentials.as_deref().unwrap_or("keys"), &section.access_key_id, &section.secret_access_key) {
        ("keys", id, secret) => Ok(Credentials::Keys {
            id: id.clone().ok_or_else(|| missing("access-key-id"))?,
            secret: secret.clone().ok_or_else(|| missing("secret-access-key"))?,
        }),
        (_, None, None) => Credentials::of_environment(&environment(), header),
        _ => Err(Error::refused(format!("{header} has keys, and credentials = \"workload-identity\""))
            .hint("Leave out access-key-id and secret-access-key, or credentials.")),
    }
}

/// The variables of Amazon's own clients.
fn environment() -> BTreeMap<String, String> {
    let texts = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, _)| name.starts_with("AWS_")).collect()
}

/// The bucket of `[system-storage]`.
pub(super) fn configured(name: &str, section: Option<S3Section>) -> Result<Bucket> {
    if name.is_empty() || name.contains(['/', '@', ':']) {
        return Err(Error::refused("[system-storage] path names no bucket").hint(
            "Write path = \"s3://BUCKET\": 3scale's keys begin at the top of a bucket, and keys of access do not belong into the address.",
        ));
    }
    let service = service(section.unwrap_or_default(), "[system-storage.s3]")?;
    Ok(Bucket { name: name.to_owned(), service, known_as: None, retry: RETRY })
}

/// A bucket as a data set.
pub(super) fn store(bucket: &Bucket, policies: Policies) -> Result<Arc<dyn DataSet>> {
    let options = Options { remove_extra: policies.remove_extra, ..Options::default() };
    Ok(Arc::new(S3Store::new(DataSetName::SystemStorage, bucket, options)?))
}
