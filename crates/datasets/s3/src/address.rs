//! Which bucket, where, and how patiently it is asked.

use std::sync::Arc;
use std::time::Duration;

use bucket::{Keys, Service};
use object_store::client::{HttpClient, HttpConnector as _, ReqwestConnector};
use plan::Result;

/// A bucket of an S3 service.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// The service, and by whose right it is used.
    pub service: Service,
    /// The host by which it is known, where the endpoint is the end of a forwarded port.
    pub known_as: Option<String>,
    /// How long a request that fails is tried again.
    pub retry: Duration,
}

impl Bucket {
    /// For people: `bucket NAME at HOST`.
    pub(crate) fn shown(&self) -> String {
        format!("bucket {}", self.address())
    }

    /// `NAME at HOST`.
    pub(crate) fn address(&self) -> String {
        format!("{} at {}", self.name, self.host())
    }

    /// What tells it from others.
    pub(crate) fn identity(&self) -> String {
        // Amazon's hosts of a bucket are many (regions, FIPS, virtual), and its name is one in all of them.
        let host = self.host();
        let host = if Service::is_amazon(&host) { "amazonaws.com" } else { &host };
        format!("bucket {host}/{}", self.name)
    }

    fn host(&self) -> String {
        self.known_as.clone().unwrap_or_else(|| self.service.host())
    }

    /// The client and who gives it keys.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it cannot be made from these settings.
    pub(crate) fn connect(&self) -> Result<(HttpClient, Arc<Keys>)> {
        let options = self.service.options()?.with_timeout_disabled();
        let http = ReqwestConnector::default().connect(&options).map_err(|error| self.service.unusable(error))?;
        Ok((http, self.service.keys()?))
    }
}

#[cfg(test)]
mod tests {
    use bucket::{Credentials, Origin};

    use super::*;

    #[test]
    fn a_bucket_of_amazon_is_one_under_all_its_hosts() {
        let identity = |endpoint: Option<&str>| {
            let service = Service {
                endpoint: endpoint.map(ToOwned::to_owned),
                region: "eu-west-1".to_owned(),
                path_style: false,
                dial: None,
                ca_file: None,
                credentials: Credentials::Keys { id: "id".into(), secret: "secret".into() },
                origin: Origin::Secret("aws-auth".to_owned()),
            };
            Bucket { name: "files".to_owned(), service, known_as: None, retry: Duration::ZERO }.identity()
        };
        assert_eq!(identity(None), identity(Some("https://s3-fips.eu-west-1.amazonaws.com")));
        assert_ne!(identity(None), identity(Some("http://minio:9000")));
        assert_ne!(identity(Some("http://minio:9000")), identity(Some("http://minio:9001")));
    }
}
