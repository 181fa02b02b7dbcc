//! Addresses as 3scale's Secrets write them, and how a server at one is reached from here.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use plan::Result;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::kubernetes::client::Cluster;
use crate::kubernetes::forward::Forward;
use crate::kubernetes::request::path_in;
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
    /// A pod of the cluster, by its name: of a StatefulSet, or behind a number that a sentinel tells. Reached as a Service is.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The name by which it is known in the cluster.
        host: String,
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
    /// By the address in a Secret of a namespace. A name without a dot is a Service of the namespace, `name.namespace.svc` one of that namespace, and
    /// `pod.name.namespace.svc` a pod behind it.
    #[must_use]
    pub fn of(host: &str, port: u16, namespace: &str) -> Self {
        let bare = host.trim_end_matches('.').trim_end_matches(".cluster.local");
        let service = |name: &str, namespace: &str| Self::Service { namespace: namespace.to_owned(), name: name.to_owned(), port };
        let parts: Vec<_> = bare.split('.').collect();
        match parts.as_slice() {
            [name] if !bare.contains(':') && *name != "localhost" => service(name, namespace),
            [name, of, "svc"] => service(name, of),
            [name, _, of, "svc"] => Self::Pod { namespace: (*of).to_owned(), name: (*name).to_owned(), host: bare.to_owned(), port },
            _ => Self::External { host: host.to_owned(), port },
        }
    }

    /// Its host and port as they are known in the cluster, or from here where it is not in it.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        match self {
            Self::Service { namespace, name, port } => (format!("{name}.{namespace}.svc"), *port),
            Self::Pod { host, port, .. } | Self::External { host, port } => (host.clone(), *port),
        }
    }

    /// `name.namespace`, which may be a Service.
    fn short_service(host: &str) -> Option<(&str, &str)> {
        let (name, namespace) = host.trim_end_matches('.').split_once('.')?;
        let is_label = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (is_label(name) && is_label(namespace)).then_some((name, namespace))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { namespace, name, port } => write!(f, "Service {name}:{port} in namespace {namespace}"),
            Self::Pod { namespace, name, port, .. } => write!(f, "pod {name}:{port} in namespace {namespace}"),
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
    /// How a host and port are reached that somebody in a namespace tells. As in the cluster itself, `name.namespace` is a Service of that namespace before it is
    /// a name of somebody else's; a number is that of a Service or a pod of these namespaces before it is one of another network.
    #[must_use]
    pub fn reach(&self, host: &str, port: u16, namespaces: &[&str]) -> Reach {
        let own = namespaces.first().copied().unwrap_or_else(|| self.namespace());
        let reach = Reach::of(host, port, own);
        // Who may not look has to dial it.
        let is_there =
            |name: &str, namespace: &str| matches!(self.get_if_there(&path_in(namespace, "v1", "services", Some(name))), Ok(Some(_)));
        match &reach {
            Reach::Service { name, .. } if !host.contains('.') => {
                let other = namespaces.iter().skip(1).find(|namespace| !is_there(name, own) && is_there(name, namespace));
                other.map_or(reach.clone(), |namespace| Reach::Service { namespace: (*namespace).to_owned(), name: name.clone(), port })
            }
            Reach::External { .. } => match (host.parse::<IpAddr>(), Reach::short_service(host)) {
                (Ok(_), _) => namespaces.iter().find_map(|namespace| self.behind_number(host, port, namespace)).unwrap_or(reach),
                (_, Some((name, namespace))) if is_there(name, namespace) => {
                    Reach::Service { namespace: namespace.to_owned(), name: name.to_owned(), port }
                }
                _ => reach,
            },
            Reach::Service { .. } | Reach::Pod { .. } => reach,
        }
    }

    /// The Service or the pod of a namespace that has this number.
    fn behind_number(&self, number: &str, port: u16, namespace: &str) -> Option<Reach> {
        let list = |kind: &str| self.list(&path_in(namespace, "v1", kind, None), None).unwrap_or_default();
        let name = |object: &Value| object["metadata"]["name"].as_str().map(str::to_owned);
        if let Some(found) = list("services").iter().find(|service| service["spec"]["clusterIP"] == number) {
            return Some(Reach::Service { namespace: namespace.to_owned(), name: name(found)?, port });
        }
        let pods = list("pods");
        let found = pods.iter().find(|pod| pod["status"]["podIP"] == number && pod["status"]["phase"] == "Running")?;
        Some(Reach::Pod { namespace: namespace.to_owned(), name: name(found)?, host: number.to_owned(), port })
    }

    /// Makes the way to a server: forwards a port where that is needed.
    ///
    /// # Errors
    /// When the Service has no pod, or there is none of that name, or it is not allowed.
    pub fn way_to(&self, reach: &Reach) -> Result<Way> {
        let (target, port) = match reach {
            Reach::Service { namespace, name, port } => (Target::service(namespace, name), *port),
            Reach::Pod { namespace, name, port, .. } => (Target::pod(namespace, name), *port),
            Reach::External { host, port } => return Ok(Way { host: host.clone(), port: *port, forward: None }),
        };
        if self.is_inside() {
            let (host, port) = reach.host_and_port();
            return Ok(Way { host, port, forward: None });
        }
        let forward = self.forward(&target, port)?;
        let address = forward.address();
        Ok(Way { host: address.ip().to_string(), port: address.port(), forward: Some(forward) })
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

    /// The names of its parameters.
    pub(super) fn parameters(&self) -> Vec<String> {
        self.query.iter().map(|(name, _)| name.clone()).collect()
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
        let pod = Reach::Pod { namespace: "b".into(), name: "redis-0".into(), host: "redis-0.redis.b.svc".into(), port: 1 };
        assert_eq!(Reach::of("redis-0.redis.b.svc.cluster.local", 1, "a"), pod);
        for host in ["db.example.com", "10.0.0.1", "localhost", "::1", "redis.b"] {
            assert_eq!(Reach::of(host, 1, "a"), Reach::External { host: host.into(), port: 1 }, "{host}");
        }
    }
}
