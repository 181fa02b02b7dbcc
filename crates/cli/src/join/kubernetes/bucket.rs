//! Files of System in a bucket, as 3scale's Secret says where it is and by whose right it is used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::bucket::{Credentials, Origin, Service, Token};
use plan::ports::DataSet;
use plan::{Policies, Result};
use platforms::kubernetes::Cluster;
use platforms::kubernetes::find::{BucketAt, BucketRight};
use s3_data_set::Bucket;

use super::asked_tokens::AskedTokens;
use super::reached;
use super::ways::{Dialled, Ways};
use crate::join::bucket;

/// Whose pods use the bucket: the operator gives the role to this ServiceAccount.
const ACCOUNT: &str = "amp";
/// porta signs for this region when the Secret names none.
const REGION: &str = "us-east-1";

/// The data set; `ca_file` is that of `[system-storage.s3]`, for which a Secret has no name.
pub(super) fn store(
    cluster: &Cluster,
    ways: &mut Ways,
    at: &BucketAt,
    ca_file: Option<PathBuf>,
    policies: Policies,
) -> Result<Arc<dyn DataSet>> {
    let way = at.service.as_ref().map(|(_, reach)| ways.to(reach)).transpose()?;
    let credentials = match &at.right {
        BucketRight::Keys { id, secret } => Credentials::Keys { id: id.clone(), secret: secret.clone() },
        BucketRight::Role { arn, token_file, audience } => Credentials::Role {
            arn: arn.clone(),
            session: None,
            sts: std::env::var("AWS_ENDPOINT_URL_STS").ok().filter(|url| !url.is_empty()),
            token: token(cluster, token_file, audience),
        },
    };
    let forwarded = way.as_ref().is_some_and(|way| way.forwarded().is_some());
    let mut legend: Vec<_> = way.iter().filter_map(|way| way.forwarded()).collect();
    // The host of a forwarded port stays that of the service: its certificate names it.
    let host = |way: &Dialled| match &at.service {
        Some((written, _)) if forwarded => written.rsplit_once(':').map_or(written.as_str(), |(host, _)| host).to_owned(),
        _ if way.host.contains(':') => format!("[{}]", way.host),
        _ => way.host.clone(),
    };
    let end = way.as_ref().map(|way| format!("{}:{}", host(way), way.port));
    legend.extend(end.clone().zip(legend.first().map(|(_, what)| what.clone())));
    let service = Service {
        endpoint: end.map(|end| format!("{}://{end}", at.protocol)),
        dial: way.as_ref().filter(|_| forwarded).and_then(|way| way.host.parse().ok()),
        region: at.region.clone().unwrap_or_else(|| REGION.to_owned()),
        path_style: at.path_style || forwarded,
        ca_file,
        credentials,
        origin: Origin::Secret(at.secret.clone()),
    };
    let known_as = at.service.as_ref().map(|(host, _)| host.clone());
    let bucket = Bucket { name: at.bucket.clone(), service, known_as, retry: bucket::RETRY };
    let host = at.service.as_ref().map_or("Amazon S3", |(host, _)| host.as_str());
    let origin = format!("Secret {}", at.secret);
    let trouble = Box::new(move |since| way.as_ref().and_then(|way| way.trouble(since)));
    let address = format!("{} at {host}", at.bucket);
    Ok(reached(bucket::store(&bucket, policies)?, address, &origin, (forwarded, legend), trouble, Vec::new()))
}

/// The token: mounted into our own pod as into System's, else asked for and kept in memory.
fn token(cluster: &Cluster, file: &str, audience: &str) -> Token {
    if cluster.is_inside() && Path::new(file).exists() {
        return Token::File(file.into());
    }
    let (cluster, audience) = (cluster.clone(), audience.to_owned());
    Token::Asked(Arc::new(AskedTokens::new(move || {
        let error = |error: plan::Error| error.during(format!("failed to get a token of ServiceAccount {ACCOUNT} for the bucket's role"));
        cluster.token(ACCOUNT, &audience).map_err(error)
    })))
}
