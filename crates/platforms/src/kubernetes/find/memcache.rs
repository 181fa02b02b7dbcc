//! System's caches: Secret system-memcache says where they are. The installation's own is a workload, and is emptied by stopping it; others are told to forget
//! ([`crate::kubernetes::memcache`]).

use plan::ports::{Problem, Severity};
use secrecy::ExposeSecret;

use super::address::{Address, Reach};
use super::secrets::Secrets;
use super::workloads::FoundWorkload;
use super::{Sought, workloads};
use crate::kubernetes::client::Cluster;

const SECRET: &str = "system-memcache";
const KEY: &str = "SERVERS";
/// Of the installation's own workload and its Service.
const OWN: &str = "system-memcache";
const PORT: u16 = 11211;

/// Those that are not the installation's own workload.
pub(super) fn system(secrets: &Secrets<'_>, found: &[FoundWorkload]) -> Sought<Vec<Reach>> {
    // Without the Secret, System asks its own Service.
    let Ok(Some(list)) = secrets.value(SECRET, KEY) else { return Ok(Vec::new()) };
    let mut servers = Vec::new();
    for entry in list.expose_secret().split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (host, port) = parse(entry).ok_or_else(|| {
            Problem::new(
                Severity::Degrades,
                format!("key {KEY} of Secret {SECRET} is no list of hosts: what System has cached cannot be emptied"),
            )
            .way_out("After a restore restart those memcached servers. The value is not shown: it may hold a password.")
        })?;
        servers.push(secrets.reach(&host, port));
    }
    let has_own = found.iter().any(|workload| workload.name == OWN);
    let is_own = |reach: &Reach| matches!(reach, Reach::Service { namespace, name, .. } if name == OWN && namespace == secrets.namespace());
    servers.retain(|reach| !(has_own && is_own(reach)));
    Ok(servers)
}

/// The same, for who has nothing but the cluster.
pub(in crate::kubernetes) fn outside(cluster: &Cluster) -> plan::Result<Sought<Vec<Reach>>> {
    let found = workloads::of_threescale(&workloads::look(cluster)?, &[]);
    Ok(system(&Secrets::new(cluster), &found))
}

/// As Dalli takes them: `host`, `host:port`, `host:port:weight`, `memcached://user:password@host:port`.
fn parse(entry: &str) -> Option<(String, u16)> {
    if entry.contains("://") {
        let address = Address::parse(&entry.to_owned().into())?;
        return Some((address.host, address.port.unwrap_or(PORT)));
    }
    let (host, rest) = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => entry.split_once(':').map_or((entry, None), |(host, rest)| (host, Some(rest))),
    };
    let port = match rest.and_then(|rest| rest.split(':').next()) {
        Some(port) => port.parse().ok()?,
        None => PORT,
    };
    (!host.is_empty() && !host.starts_with('/')).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn servers_are_read_as_system_reads_them() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        for (entry, wanted) in [
            ("cache", at("cache", 11211)),
            ("cache:1", at("cache", 1)),
            ("cache.example:1:5", at("cache.example", 1)),
            ("[::1]:2", at("::1", 2)),
            ("memcached://me:p%40ss@cache:3", at("cache", 3)),
            ("memcached://cache", at("cache", 11211)),
            ("cache:x", None),
            ("/run/memcached.sock", None),
            ("", None),
        ] {
            assert_eq!(parse(entry), wanted, "{entry}");
        }
    }
}
