//! Files of System in a bucket, as 3scale's Secret says where it is and by whose right it is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::ports::DataSet;
use plan::{Policies, Result};
use platforms::kubernetes::Cluster;
use platforms::kubernetes::find::{BucketAt, BucketRight};
use s3_data_set::{Bucket, Credentials};

use super::memory::InMemory;
use super::reached;
use super::ways::Ways;
use crate::join::bucket;

/// Whose pods use the bucket: the operator gives the role to this ServiceAccount.
const ACCOUNT: &str = "amp";
/// porta signs for this region when the Secret names none.
const REGION: &str = "us-east-1";

/// The data set.
pub(super) fn store(cluster: &Cluster, ways: &mut Ways, at: &BucketAt, policies: Policies) -> Result<Arc<dyn DataSet>> {
    let way = at.service.as_ref().map(|(_, reach)| ways.to(reach)).transpose()?;
    let (credentials, kept) = match &at.right {
        BucketRight::Keys { id, secret } => (Credentials::Keys { id: id.clone(), secret: secret.clone() }, Vec::new()),
        BucketRight::Role { arn, token_file, audience } => {
            let (token_file, kept) = token(cluster, token_file, audience)?;
            (Credentials::Role { arn: arn.clone(), token_file }, kept)
        }
    };
    let forwarded = way.as_ref().is_some_and(|way| way.forwarded().is_some());
    let bucket = Bucket {
        name: at.bucket.clone(),
        endpoint: way.as_ref().map(|way| {
            let host = if way.host.contains(':') { format!("[{}]", way.host) } else { way.host.clone() };
            format!("{}://{host}:{}", at.protocol, way.port)
        }),
        known_as: at.service.as_ref().map(|(host, _)| host.clone()),
        region: at.region.clone().unwrap_or_else(|| REGION.to_owned()),
        // There is no name before an address of numbers.
        path_style: at.path_style || forwarded,
        ca_file: None,
        credentials,
        retry: bucket::RETRY,
    };
    let host = at.service.as_ref().map_or("Amazon S3", |(host, _)| host.as_str());
    let origin = format!("Secret {}", at.secret);
    Ok(reached(bucket::store(&bucket, policies)?, format!("{} at {host}", at.bucket), &origin, way.into_iter().collect(), kept))
}

/// The file of the token: mounted into our own pod as into System's, else asked for and kept in memory.
fn token(cluster: &Cluster, file: &str, audience: &str) -> Result<(PathBuf, Vec<InMemory>)> {
    if cluster.is_inside() && Path::new(file).exists() {
        return Ok((file.into(), Vec::new()));
    }
    let error = |error: plan::Error| error.during(format!("failed to get a token of ServiceAccount {ACCOUNT} for the bucket's role"));
    let made = InMemory::of(&cluster.token(ACCOUNT, audience).map_err(error)?)?;
    Ok((made.path(), vec![made]))
}
