//! Where a service is, and the connection to it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::Certificate;
use object_store::client::{ClientOptions, DnsFuture, DnsResolver};
use plan::{Error, Result};

use crate::credentials::Credentials;
use crate::keys::Keys;
use crate::origin::Origin;

/// An S3 service, and by whose right it is used. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Service {
    /// `https://host[:port]`; Amazon's own for the region when absent.
    pub endpoint: Option<String>,
    /// The region that requests are signed for; `us-east-1` where the service does not care.
    pub region: String,
    /// `https://host/bucket/key` rather than `https://bucket.host/key`. Most services that are not Amazon's want it.
    pub path_style: bool,
    /// The address of this machine at which the endpoint's host is reached: where a port is forwarded. The host stays what certificates name and requests are signed for.
    pub dial: Option<IpAddr>,
    /// PEM file with the CAs of the service; those of this machine when absent.
    pub ca_file: Option<PathBuf>,
    /// By whose right.
    pub credentials: Credentials,
    /// Where all this was read.
    pub origin: Origin,
}

impl Service {
    /// `https://host:port`.
    fn url(&self) -> String {
        let endpoint = self.endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        endpoint.unwrap_or_else(|| format!("https://s3.{}.{}", self.region, self.domain()))
    }

    /// Amazon's domain for the region (General Reference, "Service endpoints": China has its own).
    fn domain(&self) -> &'static str {
        if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    /// The host, with its port where it is not the usual one; for people, and to tell services apart.
    #[must_use]
    pub fn host(&self) -> String {
        let url = self.url();
        let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host);
        // Whoever writes a password there shall not see it again.
        host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned()
    }

    /// Whether a host is Amazon's: a bucket's name is one under all of those.
    #[must_use]
    pub fn is_amazon(host: &str) -> bool {
        [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|domain| host.ends_with(domain))
    }

    /// The URL under which the keys of a bucket begin, without a slash at its end. The bucket goes into the path where no certificate names such a host (a name with
    /// dots), or where there can be none (an address of numbers).
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the endpoint is no address.
    pub fn base(&self, bucket: &str) -> Result<String> {
        let url = self.url();
        let parts = url.split_once("://").map(|(scheme, host)| (scheme.to_ascii_lowercase(), host));
        let is_address =
            |(scheme, host): &(String, &str)| (scheme == "https" || scheme == "http") && !host.is_empty() && !host.contains('@');
        let (scheme, host) = parts.filter(is_address).ok_or_else(|| {
            Error::refused(format!("the endpoint of bucket {bucket} is no address: check {}", self.origin.endpoint()))
                .hint("Write it as https://HOST[:PORT], without user and password.")
        })?;
        let is_of_numbers = host.starts_with('[') || host.split([':', '/']).next().is_some_and(|name| name.parse::<Ipv4Addr>().is_ok());
        if self.path_style || bucket.contains('.') || is_of_numbers {
            return Ok(format!("{scheme}://{host}/{bucket}"));
        }
        Ok(format!("{scheme}://{bucket}.{host}"))
    }

    fn speaks_tls(&self) -> bool {
        !self.url().to_ascii_lowercase().starts_with("http://")
    }

    /// What any client of the service is made with.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the CA file cannot be used.
    pub fn options(&self) -> Result<ClientOptions> {
        if !self.speaks_tls() {
            if self.ca_file.is_some() && !matches!(self.credentials, Credentials::Role { .. }) {
                return Err(Error::refused(format!("there is a {}, and an endpoint without TLS", self.origin.ca_file()))
                    .hint("Write the endpoint as https://…, or leave ca-file out."));
            }
            // An image need not have any.
            return Ok(self.dialling(patient()).with_no_system_certificates(true));
        }
        self.trusting(self.dialling(patient()), self.ca_file.is_some())
    }

    /// What a client of the service that gives keys is made with. Amazon's has its certificate from the public web, whatever that of the bucket has.
    pub(crate) fn options_for_keys(&self, url: &str, is_own: bool) -> Result<ClientOptions> {
        if url.starts_with("http://") {
            return Ok(patient().with_no_system_certificates(true));
        }
        self.trusting(patient(), is_own && self.ca_file.is_some())
    }

    fn dialling(&self, options: ClientOptions) -> ClientOptions {
        match self.dial {
            None => options,
            // No proxy knows the way to a port of this machine: one that is named and never used keeps those of the environment out.
            Some(at) => options.with_dns_resolver(Arc::new(Forwarded(at))).with_proxy_url("http://127.0.0.1:9").with_proxy_excludes("*"),
        }
    }

    fn trusting(&self, options: ClientOptions, alone: bool) -> Result<ClientOptions> {
        let Some(file) = &self.ca_file else { return Ok(options) };
        tls::certificates("CA file", file)?.iter().try_fold(options.with_no_system_certificates(alone), |options, certificate| {
            let unusable = |error| Error::refused(format!("the CA file {} cannot be used", file.display())).because(error);
            Ok(options.with_root_certificate(Certificate::from_der(certificate).map_err(unusable)?))
        })
    }

    /// Who gives keys. Asks for none yet.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when no client can be made from these settings.
    pub fn keys(&self) -> Result<Arc<Keys>> {
        Keys::new(self).map(Arc::new)
    }

    /// The address of the service that gives keys for a role.
    pub(crate) fn sts(&self, given: Option<&str>) -> String {
        given.map_or_else(|| format!("https://sts.{}.{}", self.region, self.domain()), str::to_owned)
    }

    /// An error of `object_store` about these settings.
    #[must_use]
    pub fn unusable(&self, error: object_store::Error) -> Error {
        let unusable = Error::refused(format!("the settings of the S3 service {} do not work", self.host())).because(error);
        if self.ca_file.is_some() {
            return unusable;
        }
        unusable.hint(format!(
            "Where this machine has no certificates of CAs, install them (Debian: ca-certificates), or name a file with them as {}.",
            self.origin.ca_file()
        ))
    }
}

/// Finds every host at one address.
#[derive(Debug)]
struct Forwarded(IpAddr);

impl DnsResolver for Forwarded {
    fn resolve(&self, _host: &str) -> DnsFuture {
        let at = self.0;
        Box::pin(async move { Ok(vec![at]) })
    }
}

fn patient() -> ClientOptions {
    // A client needs a provider of the process for TLS; another part of the program may have chosen the same one already.
    drop(rustls::crypto::ring::default_provider().install_default());
    ClientOptions::new().with_read_timeout(Duration::from_secs(60)).with_connect_timeout(Duration::from_secs(10)).with_allow_http(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::credentials::Token;

    fn service(endpoint: Option<&str>, path_style: bool) -> Service {
        Service {
            endpoint: endpoint.map(ToOwned::to_owned),
            region: "eu-west-1".to_owned(),
            path_style,
            dial: None,
            ca_file: None,
            credentials: Credentials::Keys { id: "AKIAVISIBLE".into(), secret: "hunter2-secret".into() },
            origin: Origin::Section("[system-storage.s3]".to_owned()),
        }
    }

    #[test]
    fn the_bucket_stands_in_the_host_or_in_the_path() {
        let base = |name, endpoint, path_style| service(endpoint, path_style).base(name).unwrap();
        assert_eq!(base("files", None, false), "https://files.s3.eu-west-1.amazonaws.com");
        assert_eq!(base("files", None, true), "https://s3.eu-west-1.amazonaws.com/files");
        assert_eq!(base("my.files", None, false), "https://s3.eu-west-1.amazonaws.com/my.files");
        assert_eq!(base("files", Some("HTTP://minio:9000/"), true), "http://minio:9000/files");
        assert_eq!(base("files", Some("http://10.0.0.7:9000"), false), "http://10.0.0.7:9000/files");
        assert_eq!(base("files", Some("http://[::1]:9000"), false), "http://[::1]:9000/files");
        let fips = "https://s3-fips.us-east-1.amazonaws.com";
        assert_eq!(base("files", Some(fips), false), "https://files.s3-fips.us-east-1.amazonaws.com");
        let china = Service { region: "cn-north-1".to_owned(), ..service(None, false) };
        assert_eq!(china.base("files").unwrap(), "https://files.s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(china.sts(None), "https://sts.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn an_endpoint_that_is_no_address_is_refused_without_what_is_in_it() {
        for endpoint in ["minio:9000", "ftp://minio", "https://", "https://me:hunter2@minio"] {
            for path_style in [false, true] {
                let error = service(Some(endpoint), path_style).base("files").unwrap_err();
                let text = format!("{error:?}");
                assert!(
                    error.class() == plan::Class::Refused && text.contains("[system-storage.s3]") && !text.contains("hunter2"),
                    "{text}"
                );
            }
        }
        assert_eq!(service(Some("https://me:hunter2@minio:9000"), true).host(), "minio:9000");
    }

    #[test]
    fn a_ca_file_without_tls_is_a_contradiction_unless_a_role_has_a_service_with_tls() {
        let plain = Service { ca_file: Some("ca.pem".into()), ..service(Some("http://minio:9000"), true) };
        assert_eq!(plain.options().unwrap_err().class(), plan::Class::Refused);
        let credentials = Credentials::Role { arn: "arn".to_owned(), session: None, sts: None, token: Token::File("token".into()) };
        assert!(Service { credentials, ..plain }.options().is_ok());
    }

    #[test]
    fn no_key_is_shown() {
        let shown = format!("{:?}", service(None, false));
        assert!(!shown.contains("AKIAVISIBLE") && !shown.contains("hunter2"), "{shown}");
    }
}
