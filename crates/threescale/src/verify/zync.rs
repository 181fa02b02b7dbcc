//! Whether zync's database knows what System has, and which addresses are to lead to the installation.
//!
//! zync copies providers, proxies, services and applications of System by their ids, and keeps of each what System last said of it: the newest of its `entries`. An entry without
//! data means that System said there is no such thing; then zync has taken away the Routes, or the OIDC client. zync never deletes a row of its own.
//!
//! Sources: zync's `db/structure.sql`, `app/models/{model,notification,entry,integration,integration_state}.rb`, `app/jobs/process_entry_job.rb`,
//! `app/services/integration/kubernetes_service.rb`; porta's `app/workers/zync_worker.rb`, `app/events/zync_event.rb`, `app/subscribers/publish_zync_event_subscriber.rb`,
//! `lib/tasks/zync.rake`.

mod gateways;
mod judge;
mod known;

use plan::Result;
use serde::Serialize;

use super::atom::{put, take};
use super::system::Wanted;

pub use gateways::Gateways;
pub use judge::{Addresses, judge};
pub use known::{Settled, Zync};

/// All that is wanted of zync's database.
pub const ZYNC_TABLES: [Wanted; 8] = [
    wanted("tenants", &["id"]),
    wanted("providers", &["id"]),
    wanted("proxies", &["id", "service_id"]),
    wanted("applications", &["id", "service_id"]),
    wanted("models", &["id", "record_type", "record_id"]),
    wanted("entries", &["id", "model_id", "data"]),
    wanted("integrations", &["id", "type", "model_id", "state"]),
    wanted("que_jobs", &["id", "job_class", "error_count", "finished_at", "expired_at", "args"]),
];

/// Wanted too, where there is one: which attempts of an integration failed.
pub const ZYNC_STATES: Wanted = wanted("integration_states", &["model_id", "integration_id", "success", "finished_at"]);

const fn wanted(table: &'static str, columns: &'static [&'static str]) -> Wanted {
    Wanted { table, columns }
}

/// How much of zync was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ZyncCounts {
    /// Tenants that zync knows.
    pub tenants: u64,
    /// Proxies (services with their gateway) that zync knows.
    pub proxies: u64,
    /// Applications that zync knows.
    pub applications: u64,
    /// Jobs of que that are still to be done.
    pub jobs: u64,
    /// Those of them that failed before and are tried again.
    pub jobs_failing: u64,
}

/// What a record is about. The numbers sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Provider = 1,
    Proxy = 2,
    Service = 3,
    Application = 4,
    Client = 5,
    /// A job that was given up; zync alone has it.
    Job = 6,
}

impl Of {
    const ALL: [Self; 6] = [Self::Provider, Self::Proxy, Self::Service, Self::Application, Self::Client, Self::Job];

    fn at(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|of| *of as u8 == number)
    }

    /// As `models.record_type` has it.
    fn called(name: &[u8]) -> Option<Self> {
        match name {
            b"Provider" => Some(Self::Provider),
            b"Proxy" => Some(Self::Proxy),
            b"Service" => Some(Self::Service),
            b"Application" => Some(Self::Application),
            b"Client" => Some(Self::Client),
            _ => None,
        }
    }
}

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// A row of System.
    System = 0,
    /// A row of zync.
    Row = 1,
    /// A model of zync, with what its entries say.
    Model = 2,
}

/// `what`, its id, who says it, and what he says.
fn record(of: Of, id: u64, from: From, says: &[u8]) -> Vec<u8> {
    [&[of as u8][..], &id.to_be_bytes(), &[from as u8], says].concat()
}

/// What System last said of something, as zync keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// Whether zync has ever asked.
    has_entry: bool,
    /// Whether there was such a thing then.
    has_data: bool,
    /// The hosts, as far as the entry names them: of the portal and of its administration, or of production and staging.
    hosts: [Option<Vec<u8>>; 2],
    /// `hosted` or another way in which the gateway is deployed; empty where the entry does not say.
    deployment: Vec<u8>,
    /// The last attempt to bring it to a Route or an identity provider failed.
    has_failed: bool,
}

impl Said {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.has_entry), u8::from(self.has_data), u8::from(self.has_failed)];
        for host in &self.hosts {
            bytes.push(u8::from(host.is_some()));
            put(&mut bytes, host.as_deref().unwrap_or_default());
        }
        put(&mut bytes, &self.deployment);
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let ([has_entry, has_data, has_failed], mut rest) = bytes.split_first_chunk::<3>()?;
        let mut host = || -> Option<Option<Vec<u8>>> {
            let (is_there, after) = rest.split_first()?;
            rest = after;
            let host = take(&mut rest)?;
            Some((*is_there == 1).then_some(host))
        };
        let hosts = [host()?, host()?];
        let deployment = take(&mut rest)?;
        Some(Self { has_entry: *has_entry == 1, has_data: *has_data == 1, hosts, deployment, has_failed: *has_failed == 1 })
    }
}

/// The host of a URL, or of what stands alone, in small letters, without a port; empty when there is none.
fn host(address: &[u8]) -> Vec<u8> {
    let rest = address.windows(3).position(|part| part == b"://").map_or(address, |at| address.get(at + 3..).unwrap_or_default());
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let place = authority.iter().rposition(|&byte| byte == b'@').map_or(authority, |at| authority.get(at + 1..).unwrap_or_default());
    let end = place.iter().rposition(|&byte| byte == b':').unwrap_or(place.len());
    place.get(..end).unwrap_or_default().trim_ascii().to_ascii_lowercase()
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What was sorted, read back.
struct Row {
    of: Of,
    id: u64,
    from: From,
    says: Vec<u8>,
}

impl Row {
    fn read(record: &[u8]) -> Option<Self> {
        let (of, rest) = record.split_first()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let (from, says) = rest.split_first()?;
        let from = match *from {
            0 => From::System,
            1 => From::Row,
            _ => From::Model,
        };
        Some(Self { of: Of::at(*of)?, id: u64::from_be_bytes(*id), from, says: says.to_vec() })
    }
}

/// The next of what was sorted.
fn next(rows: &mut super::sort::Merge) -> Result<Option<Row>> {
    let unread = || plan::Error::failed("what was sorted cannot be read back");
    rows.next_record()?.map(|record| Row::read(&record).ok_or_else(unread)).transpose()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_is_what_a_route_is_made_of() {
        for (address, wanted) in [
            ("https://api-2.Example.com:443", "api-2.example.com"),
            ("http://h/path?x=y:1", "h"),
            ("https://user:secret@h.example:8443/p@th", "h.example"),
            ("provider.example.com", "provider.example.com"),
            ("", ""),
            ("https://", ""),
        ] {
            assert_eq!(host(address.as_bytes()), wanted.as_bytes(), "{address}");
        }
    }

    proptest! {
        #[test]
        fn what_was_said_is_read_back(entry: bool, data: bool, failed: bool, one: Option<Vec<u8>>, two: Option<Vec<u8>>, deployment: Vec<u8>) {
            let said = Said { has_entry: entry, has_data: data, hosts: [one, two], deployment, has_failed: failed };
            prop_assert_eq!(Said::of_bytes(&said.to_bytes()).unwrap(), said);
        }

        #[test]
        fn any_address_has_a_host_or_none(address: Vec<u8>) {
            prop_assert!(!host(&address).contains(&b'/'));
        }
    }
}
