//! What is found in the Secrets, as the sections of a configuration that say the same.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use plan::ids::DataSetName;
use plan::{Error, Result};
use platforms::kubernetes::find::address::Reach;
use platforms::kubernetes::find::{DatabaseAt, DatabaseKind, RedisAt};
use secrecy::{ExposeSecret, SecretString};
use tls::{Tls, TlsMode};

use super::memory::InMemory;
use super::ways::Dialled;
use crate::config::{DatabaseSection, RedisSection};

/// The superuser of PostgreSQL's images.
const SUPERUSER: &str = "postgres";

/// The section of a database. The files must live as long as it is used.
pub(super) fn database(at: &DatabaseAt, way: &Dialled) -> Result<(DatabaseSection, Vec<InMemory>)> {
    let (user, password) = match &at.admin_password {
        Some(password) => (SUPERUSER, Some(password.clone())),
        None => (at.user.as_str(), at.password.clone()),
    };
    let scheme = match at.kind {
        DatabaseKind::MySql => "mysql2",
        DatabaseKind::PostgreSql => "postgresql",
    };
    let url = format!("{scheme}://{}@{}:{}/{}", encoded(user), host(way), way.port, encoded(&at.database));
    let mut kept = Vec::new();
    let tls = match mode(at.tls_mode.as_deref())? {
        None | Some(TlsMode::Disable) => None,
        Some(mode) => Some(certificates(mode, way, &at.certificates, &mut kept)?),
    };
    let section = DatabaseSection { url: url.into(), password, tls, log_bin: None, client_folder: None, lock_wait_seconds: None };
    Ok((section, kept))
}

/// The section of a Redis data set: one server of System, two databases of Backend.
pub(super) fn redis(
    name: DataSetName,
    servers: &[&RedisAt],
    ways: &[Option<std::sync::Arc<Dialled>>],
    is_inside: bool,
) -> Result<(RedisSection, Vec<InMemory>)> {
    let mut section = RedisSection::default();
    let mut kept = Vec::new();
    for (position, (at, way)) in servers.iter().zip(ways).enumerate() {
        let url = address(at, way.as_deref());
        let (hosts, role) = sentinels(at, is_inside)?;
        if at.is_tls && section.tls.is_none() {
            let mode = if at.certificates.ca.is_some() { TlsMode::VerifyCa } else { TlsMode::Require };
            section.tls = match way {
                Some(way) => Some(certificates(mode, way, &at.certificates, &mut kept)?),
                None => Some(Tls::of_mode(mode)),
            };
        }
        section.namespace.clone_from(&at.key_prefix);
        if let Some(sentinels) = &at.sentinels {
            section.sentinel_username = sentinels.user.as_ref().map(|user| user.expose_secret().to_owned());
            section.sentinel_password.clone_from(&sentinels.password);
        }
        match (name, position) {
            (DataSetName::BackendRedis, 0) => {
                (section.storage_url, section.storage_sentinel_hosts, section.storage_sentinel_role) = (Some(url), hosts, role);
            }
            (DataSetName::BackendRedis, _) => {
                (section.queues_url, section.queues_sentinel_hosts, section.queues_sentinel_role) = (Some(url), hosts, role);
            }
            _ => (section.url, section.sentinel_hosts, section.sentinel_role) = (Some(url), hosts, role),
        }
    }
    Ok((section, kept))
}

fn address(at: &RedisAt, way: Option<&Dialled>) -> SecretString {
    let scheme = if at.is_tls { "rediss" } else { "redis" };
    let user = at.user.as_deref().map(encoded).unwrap_or_default();
    let login = match &at.password {
        Some(password) => format!("{user}:{}@", encoded(password.expose_secret())),
        None if user.is_empty() => String::new(),
        None => format!("{user}@"),
    };
    let place = match (way, &at.sentinels) {
        (Some(way), _) => format!("{}:{}", host(way), way.port),
        (None, Some(sentinels)) => sentinels.group.clone(),
        (None, None) => String::new(),
    };
    format!("{scheme}://{login}{place}/{}", at.database).into()
}

/// Sentinels answer with addresses of the cluster's own network.
fn sentinels(at: &RedisAt, is_inside: bool) -> Result<(Option<String>, Option<String>)> {
    let Some(sentinels) = &at.sentinels else { return Ok((None, None)) };
    let mut hosts = Vec::new();
    for reach in &sentinels.reaches {
        match reach {
            Reach::External { host, port } => hosts.push(format!("redis://{host}:{port}")),
            Reach::Service { namespace, name, port } if is_inside => hosts.push(format!("redis://{name}.{namespace}.svc:{port}")),
            Reach::Service { .. } => {
                return Err(Error::refused(format!(
                    "{} is behind sentinels in the cluster, whose answers lead nowhere from here",
                    at.origin
                ))
                .hint("Run it in the cluster: --in-cluster.")
                .hint("Or give the server's own address in the configuration."));
            }
        }
    }
    Ok((Some(hosts.join(",")), Some(sentinels.role.clone())))
}

fn certificates(mode: TlsMode, way: &Dialled, from: &platforms::kubernetes::find::Certificates, kept: &mut Vec<InMemory>) -> Result<Tls> {
    let mut file = |content: &Option<SecretString>| -> Result<Option<std::path::PathBuf>> {
        let Some(content) = content else { return Ok(None) };
        let made = InMemory::of(content)?;
        let path = made.path();
        kept.push(made);
        Ok(Some(path))
    };
    // The certificate names the Service, not the end of a forwarded port; the way itself goes through the API server's own TLS.
    let mode = if mode == TlsMode::VerifyFull && way.forwarded().is_some() { TlsMode::VerifyCa } else { mode };
    Ok(Tls {
        mode: Some(mode),
        ca_file: file(&from.ca)?,
        client_certificate_file: file(&from.certificate)?,
        client_key_file: file(&from.key)?,
    })
}

/// Words of libpq and of MySQL.
fn mode(text: Option<&str>) -> Result<Option<TlsMode>> {
    let word = text.unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    Ok(Some(match word.as_str() {
        "" | "preferred" | "prefer" | "allow" => return Ok(None),
        "disable" | "disabled" => TlsMode::Disable,
        "require" | "required" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" | "verify-identity" => TlsMode::VerifyFull,
        other => {
            return Err(Error::refused(format!("the mode of TLS {other:?} is not known")).hint("Give the address in the configuration."));
        }
    }))
}

fn host(way: &Dialled) -> String {
    if way.host.contains(':') { format!("[{}]", way.host) } else { way.host.clone() }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
