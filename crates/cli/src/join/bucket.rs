//! Files of System in a bucket, from what a section of the configuration says of it.

use std::sync::Arc;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::DataSet;
use plan::{Error, Policies, Result};
use s3_data_set::{Bucket, Credentials, Options, S3Store};

use super::repository::{Right, check_ca_file, path_style, region, right};
use crate::config::S3Section;

/// How long a request that fails is tried again.
pub(super) const RETRY: Duration = Duration::from_secs(60);

/// The bucket of `[system-storage]`.
pub(super) fn configured(name: &str, section: Option<S3Section>) -> Result<Bucket> {
    let header = "[system-storage.s3]";
    if name.is_empty() || name.contains(['/', '@', ':']) {
        return Err(Error::refused("[system-storage] path names no bucket").hint(
            "Write path = \"s3://BUCKET\": 3scale's keys begin at the top of a bucket, and keys of access do not belong into the address.",
        ));
    }
    let section = section.unwrap_or_default();
    check_ca_file(&section, header)?;
    let credentials = match right(&section, header)? {
        Right::Keys { id, secret } => Credentials::Keys { id, secret },
        Right::Environment(variables) => Credentials::Environment(variables),
    };
    Ok(Bucket {
        name: name.to_owned(),
        path_style: path_style(&section),
        region: region(&section),
        endpoint: section.endpoint,
        known_as: None,
        ca_file: section.ca_file,
        credentials,
        retry: RETRY,
    })
}

/// A bucket as a data set.
pub(super) fn store(bucket: &Bucket, policies: Policies) -> Result<Arc<dyn DataSet>> {
    let options = Options { remove_extra: policies.remove_extra, ..Options::default() };
    Ok(Arc::new(S3Store::new(DataSetName::SystemStorage, bucket, options)?))
}
