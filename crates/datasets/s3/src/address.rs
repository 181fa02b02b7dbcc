//! Which bucket, where, and by whose right: as porta's Secret and the configuration say it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::client::{ClientOptions, HttpClient, HttpConnector as _, ReqwestConnector};
use object_store::{Certificate, RetryConfig};
use plan::{Error, Result};
use secrecy::{ExposeSecret as _, SecretString};

/// A bucket of an S3 service.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// `https://host:port` of the service; Amazon's for the region when absent.
    pub endpoint: Option<String>,
    /// The host by which it is known, where the endpoint is the end of a forwarded port.
    pub known_as: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket stands in the path of a URL, instead of in the host name.
    pub path_style: bool,
    /// PEM file with the CAs of the service; those of this machine when absent.
    pub ca_file: Option<PathBuf>,
    /// By whose right.
    pub credentials: Credentials,
    /// How long a request that fails is tried again.
    pub retry: Duration,
}

/// By whose right a bucket is used.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Keys that stay.
    Keys {
        /// Access key id.
        id: SecretString,
        /// Secret access key.
        secret: SecretString,
    },
    /// A role that is taken on with a token of the cluster (STS, AssumeRoleWithWebIdentity).
    Role {
        /// The role's name: `arn:…`.
        arn: String,
        /// File with the token; read anew whenever keys are asked for.
        token_file: PathBuf,
    },
    /// What the cluster gives this pod: variables that begin with `AWS_`.
    Environment(BTreeMap<String, String>),
}

/// The variables of Amazon's own clients that name a role; each way is whole or not there.
const WAYS: [[(&str, AmazonS3ConfigKey); 2]; 2] = [
    [("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn), ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile)],
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ],
];
const OPTIONAL: [(&str, AmazonS3ConfigKey); 2] =
    [("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName), ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint)];

impl Bucket {
    /// `https://host:port` of the service.
    pub(crate) fn service(&self) -> String {
        let endpoint = self.endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        endpoint.unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", self.region))
    }

    /// The URL under which keys begin, without a slash at its end. A name with dots goes into the path: no certificate names such a host.
    pub(crate) fn base(&self) -> Result<String> {
        let service = self.service();
        if self.path_style || self.name.contains('.') {
            return Ok(format!("{service}/{}", self.name));
        }
        let (scheme, host) = service.split_once("://").ok_or_else(|| {
            Error::refused(format!("the endpoint {service:?} of bucket {} is no address", self.name))
                .hint("Write it as https://HOST[:PORT].")
        })?;
        Ok(format!("{scheme}://{}.{host}", self.name))
    }

    /// For people: `bucket NAME at HOST`.
    pub(crate) fn shown(&self) -> String {
        format!("bucket {}", self.address())
    }

    /// `NAME at HOST`.
    pub(crate) fn address(&self) -> String {
        format!("{} at {}", self.name, self.host())
    }

    /// What tells it from others. The name of a bucket is one in the whole service.
    pub(crate) fn identity(&self) -> String {
        // Amazon's hosts of a bucket are many (regions, FIPS, virtual), and its name is one in all of them.
        let host = self.host();
        let host = if host.ends_with(".amazonaws.com") { "amazonaws.com" } else { &host };
        format!("bucket {host}/{}", self.name)
    }

    fn host(&self) -> String {
        if let Some(host) = &self.known_as {
            return host.clone();
        }
        let service = self.service();
        service.split_once("://").map_or(service.clone(), |(_, host)| host.to_owned())
    }

    fn speaks_tls(&self) -> bool {
        !self.service().starts_with("http://")
    }

    /// The client and who gives it keys.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it cannot be made from these settings.
    pub(crate) fn connect(&self) -> Result<(HttpClient, AwsCredentialProvider)> {
        // The client needs a provider of the process for TLS; another part of the program may have chosen the same one already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let refused = |error: object_store::Error| {
            let error = Error::refused(format!("the settings of {} do not work", self.shown())).because(error);
            if self.speaks_tls() && self.ca_file.is_none() {
                return error.hint(
                    "Where this machine has no certificates of CAs, install them (Debian: ca-certificates), or name a file with them as ca-file.",
                );
            }
            error
        };
        let options = self.options()?;
        let http = ReqwestConnector::default().connect(&options).map_err(refused)?;
        let builder = AmazonS3Builder::new().with_bucket_name(&self.name).with_region(&self.region).with_client_options(options);
        let builder = builder.with_retry(RetryConfig { max_retries: 2, ..RetryConfig::default() });
        let store = self.with_credentials(builder)?.build().map_err(refused)?;
        Ok((http, std::sync::Arc::clone(store.credentials())))
    }

    fn options(&self) -> Result<ClientOptions> {
        let mut options = ClientOptions::new()
            .with_timeout_disabled()
            .with_read_timeout(Duration::from_secs(60))
            .with_connect_timeout(Duration::from_secs(10))
            .with_allow_http(true);
        if !self.speaks_tls() {
            if let Some(file) = &self.ca_file {
                return Err(Error::refused(format!("{} has a ca-file ({}), and an endpoint without TLS", self.shown(), file.display()))
                    .hint("Write the endpoint as https://…, or leave ca-file out."));
            }
            // An image need not have any.
            return Ok(options.with_no_system_certificates(true));
        }
        if let Some(file) = &self.ca_file {
            options = options.with_no_system_certificates(true);
            for certificate in tls::certificates("CA file", file)? {
                let certificate = Certificate::from_der(&certificate);
                let unusable = |error| Error::refused(format!("the CA file {} cannot be used", file.display())).because(error);
                options = options.with_root_certificate(certificate.map_err(unusable)?);
            }
        }
        Ok(options)
    }

    fn with_credentials(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
        let variables = match &self.credentials {
            Credentials::Keys { id, secret } => {
                return Ok(builder.with_access_key_id(id.expose_secret()).with_secret_access_key(secret.expose_secret()));
            }
            Credentials::Role { arn, token_file } => {
                let named = builder.with_config(AmazonS3ConfigKey::RoleArn, arn);
                return Ok(named.with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file.display().to_string()));
            }
            Credentials::Environment(variables) => variables,
        };
        let value = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let Some(way) = WAYS.iter().find(|way| way.iter().all(|(name, _)| value(name).is_some())) else {
            return Err(Error::refused(format!("{} is to be used by a workload identity, and the environment names no role", self.shown()))
                .hint("A cluster gives a pod AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE when its service account has a role: see its annotations.")
                .hint("Elsewhere set access-key-id and secret-access-key in [system-storage.s3]."));
        };
        let given = way.iter().chain(&OPTIONAL).filter_map(|(name, key)| Some((*key, value(name)?)));
        Ok(given.fold(builder, |builder, (key, value)| builder.with_config(key, value)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn bucket(name: &str, endpoint: Option<&str>, path_style: bool) -> Bucket {
        Bucket {
            name: name.to_owned(),
            endpoint: endpoint.map(ToOwned::to_owned),
            known_as: None,
            region: "eu-west-1".to_owned(),
            path_style,
            ca_file: None,
            credentials: Credentials::Keys { id: "id".into(), secret: "secret".into() },
            retry: Duration::ZERO,
        }
    }

    #[test]
    fn the_bucket_stands_in_the_host_or_in_the_path() {
        let base = |name, endpoint, path_style| bucket(name, endpoint, path_style).base().unwrap();
        assert_eq!(base("files", None, false), "https://files.s3.eu-west-1.amazonaws.com");
        assert_eq!(base("files", None, true), "https://s3.eu-west-1.amazonaws.com/files");
        assert_eq!(base("my.files", None, false), "https://s3.eu-west-1.amazonaws.com/my.files");
        assert_eq!(base("files", Some("http://minio:9000/"), true), "http://minio:9000/files");
        let fips = "https://s3-fips.us-east-1.amazonaws.com";
        assert_eq!(base("files", Some(fips), false), "https://files.s3-fips.us-east-1.amazonaws.com");
        assert!(bucket("files", Some("minio:9000"), false).base().is_err());
    }

    #[test]
    fn a_bucket_of_amazon_is_one_under_all_its_hosts() {
        let identity = |endpoint| bucket("files", endpoint, false).identity();
        assert_eq!(identity(None), identity(Some("https://s3-fips.eu-west-1.amazonaws.com")));
        assert_ne!(identity(None), identity(Some("http://minio:9000")));
        assert_ne!(identity(Some("http://minio:9000")), identity(Some("http://minio:9001")));
    }

    #[test]
    fn a_ca_file_without_tls_is_a_contradiction() {
        let odd = Bucket { ca_file: Some("ca.pem".into()), ..bucket("files", Some("http://minio:9000"), true) };
        assert_eq!(odd.connect().unwrap_err().class(), plan::Class::Refused);
    }
}
