//! Addresses as 3scale's Secrets write them, and how a server at one is reached from here.

use std::fmt;

use percent_encoding::percent_decode_str;
use plan::Result;
use secrecy::{ExposeSecret, SecretString};

use crate::kubernetes::client::Cluster;
use crate::kubernetes::forward::Forward;
use crate::kubernetes::target::Target;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By a Service of the cluster: its port is forwarded, or dialled when this runs in the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
    /// At its address, from here.
    External {
        /// Its name or number.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl Reach {
    /// By the address in a Secret of a namespace. A name without a dot is a Service of the namespace, and `name.namespace.svc` one of that namespace.
    #[must_use]
    pub fn of(host: &str, port: u16, namespace: &str) -> Self {
        let bare = host.trim_end_matches('.').trim_end_matches(".cluster.local");
        let service = |name: &str, namespace: &str| Self::Service { namespace: namespace.to_owned(), name: name.to_owned(), port };
        let parts: Vec<_> = bare.split('.').collect();
        match parts.as_slice() {
            [name] if !bare.contains(':') && *name != "localhost" => service(name, namespace),
            [name, of, "svc"] => service(name, of),
            _ => Self::External { host: host.to_owned(), port },
        }
    }
}

impl Reach {
    /// `name.namespace`, which may be a Service.
    pub(super) fn short_service(host: &str) -> Option<(&str, &str)> {
        let (name, namespace) = host.trim_end_matches('.').split_once('.')?;
        let is_label = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (is_label(name) && is_label(namespace)).then_some((name, namespace))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name, port } => write!(f, "Service {name}:{port} in namespace {namespace}"),
            Self::External { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A server's address for now. Keeps the forwarded port open, when there is one.
pub struct Way {
    /// What to dial.
    pub host: String,
    /// What to dial.
    pub port: u16,
    /// The forwarded port.
    pub forward: Option<Forward>,
}

impl Cluster {
    /// Makes the way to a server: forwards a port where that is needed.
    ///
    /// # Errors
    /// When the Service has no pod, or there is none of that name, or it is not allowed.
    pub fn way_to(&self, reach: &Reach) -> Result<Way> {
        match reach {
            Reach::External { host, port } => Ok(Way { host: host.clone(), port: *port, forward: None }),
            Reach::Service { namespace, name, port } if self.is_inside() => {
                Ok(Way { host: format!("{name}.{namespace}.svc"), port: *port, forward: None })
            }
            Reach::Service { namespace, name, port } => {
                let forward = self.forward(&Target::service(namespace, name), *port)?;
                let address = forward.address();
                Ok(Way { host: address.ip().to_string(), port: address.port(), forward: Some(forward) })
            }
        }
    }
}

/// The parts of a URL, as 3scale writes them.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub scheme: String,
    pub user: Option<String>,
    pub password: Option<SecretString>,
    pub host: String,
    pub port: Option<u16>,
    /// Without its first slash.
    pub path: String,
    pub query: Vec<(String, String)>,
}

impl Address {
    /// Takes a URL apart; `None` when it is none. Passwords may be percent-encoded, or hold characters that ought to be.
    pub(super) fn parse(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        let (scheme, rest) = text.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // The last one: a password may hold an @.
        let (user_info, place) = rest.rsplit_once('@').map_or((None, rest), |(info, place)| (Some(info), place));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (user, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            Some((user, password)) => (decoded(user), decoded(password)),
            None => (None, None),
        };
        let (host, port) = host_and_port(authority)?;
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            user,
            password: password.map(Into::into),
            host,
            port,
            path: decoded(path).unwrap_or_default(),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        })
    }
}

/// `host:port`, `host`, `[::1]:port`.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn decoded(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| percent_decode_str(text).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(&text.to_owned().into()).unwrap()
    }

    #[test]
    fn addresses_of_every_era_are_taken_apart() {
        let mysql = parse("mysql2://root:9e93@system-mysql/system");
        assert_eq!(
            (mysql.scheme.as_str(), mysql.user.as_deref(), mysql.host.as_str(), mysql.port),
            ("mysql2", Some("root"), "system-mysql", None)
        );
        assert_eq!((mysql.path.as_str(), mysql.password.unwrap().expose_secret()), ("system", "9e93"));
        let redis = parse("rediss://:p%40ss%3Aw%2Fd@redis.threescale-databases.svc:6380/1");
        assert_eq!((redis.user, redis.password.unwrap().expose_secret()), (None, "p@ss:w/d"));
        assert_eq!((redis.host.as_str(), redis.port, redis.path.as_str()), ("redis.threescale-databases.svc", Some(6380), "1"));
        let odd = parse("postgresql://zync:a@b@[::1]:5433/zync_production?sslmode=require");
        assert_eq!((odd.host.as_str(), odd.port, odd.password.unwrap().expose_secret()), ("::1", Some(5433), "a@b"));
        assert_eq!(odd.query, [("sslmode".to_owned(), "require".to_owned())]);
        assert!(Address::parse(&"not a url".to_owned().into()).is_none());
        assert!(Address::parse(&"redis://host:port/0".to_owned().into()).is_none());
    }

    #[test]
    fn a_host_is_a_service_or_is_dialled() {
        let service = |name: &str, namespace: &str| Reach::Service { namespace: namespace.into(), name: name.into(), port: 1 };
        assert_eq!(Reach::of("backend-redis", 1, "a"), service("backend-redis", "a"));
        assert_eq!(Reach::of("redis.b.svc", 1, "a"), service("redis", "b"));
        assert_eq!(Reach::of("redis.b.svc.cluster.local.", 1, "a"), service("redis", "b"));
        for host in ["db.example.com", "10.0.0.1", "localhost", "::1", "redis.b"] {
            assert_eq!(Reach::of(host, 1, "a"), Reach::External { host: host.into(), port: 1 }, "{host}");
        }
    }
}
