//! What zync should know, and which addresses are to lead here: from System's rows.

use std::collections::{HashMap, HashSet};

use plan::Result;

use super::super::atom::{put, take};
use super::super::sort::{Room, Sorter};
use super::{From, Of, host, number, record};

/// What becomes of an account's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Master,
    Serves,
    /// Suspended, or to be deleted.
    Idle,
}

struct Service {
    account: u64,
    is_deleted: bool,
    is_oauth: bool,
    deployment: Option<Vec<u8>>,
}

/// Takes rows of System in any order. Memory holds something for each provider and service.
pub struct Gateways<'a> {
    accounts: HashMap<u64, Account>,
    services: HashMap<u64, Service>,
    /// Services whose applications are clients of an identity provider that zync keeps.
    issued: HashSet<u64>,
    pub(super) has_proxies: bool,
    pub(super) rows: Sorter<'a>,
}

impl<'a> Gateways<'a> {
    /// `room` and `held_max_bytes` as in [`Sorter::new`].
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        let (accounts, services, issued) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { accounts, services, issued, has_proxies: false, rows: Sorter::new(room, held_max_bytes) }
    }

    /// A table is there, rows or not.
    pub fn table(&mut self, table: &str) {
        self.has_proxies |= table == "proxies";
    }

    /// A row of a table of [`super::super::TABLES`], its columns in that order.
    ///
    /// # Errors
    /// When there is no room to sort it.
    pub fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let id = |at: usize| cell(at).and_then(number);
        let is = |at: usize| matches!(cell(at), Some(b"1" | b"t" | b"true"));
        match table {
            "accounts" => {
                let Some(account) = id(0).filter(|_| is(1) || is(2)) else { return Ok(()) };
                let is_idle = matches!(cell(3), Some(b"suspended" | b"scheduled_for_deletion"));
                let standing = if is(2) { Account::Master } else { Account::Serves };
                self.accounts.insert(account, if is_idle { Account::Idle } else { standing });
                self.push(Of::Provider, account, 0, &[cell(6), cell(7)])
            }
            "services" => {
                let Some((service, account)) = id(0).zip(id(1)) else { return Ok(()) };
                let deployment = cell(6).map(<[u8]>::to_vec);
                let (is_deleted, is_oauth) = (cell(2) == Some(b"deleted"), cell(3) == Some(b"oauth"));
                self.services.insert(service, Service { account, is_deleted, is_oauth, deployment });
                Ok(())
            }
            "proxies" => {
                let Some((proxy, service)) = id(0).zip(id(1)) else { return Ok(()) };
                if cell(4).is_some_and(|issuer| !issuer.trim_ascii().is_empty()) {
                    self.issued.insert(service);
                }
                self.push(Of::Proxy, proxy, service, &[cell(2), cell(3)])
            }
            "cinstances" if cell(7).is_none_or(|kind| kind == b"Cinstance") => {
                let Some((application, service)) = id(0).zip(id(3)) else { return Ok(()) };
                self.push(Of::Application, application, service, &[])
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, of: Of, id: u64, service: u64, addresses: &[Option<&[u8]>]) -> Result<()> {
        let mut says = service.to_be_bytes().to_vec();
        for address in addresses {
            put(&mut says, &host(address.unwrap_or_default()));
        }
        self.rows.push(&record(of, id, From::System, &says))
    }

    /// What a record of System means, now that all rows were given.
    pub(super) fn means(&self, of: Of, id: u64, says: &[u8]) -> Wants {
        let Some((service, mut rest)) = says.split_first_chunk::<8>() else { return Wants::default() };
        let service = u64::from_be_bytes(*service);
        let hosts = [take(&mut rest).unwrap_or_default(), take(&mut rest).unwrap_or_default()];
        let nothing = Wants { service, ..Wants::default() };
        match of {
            Of::Provider => match self.accounts.get(&id) {
                Some(Account::Serves | Account::Master) => Wants { is_known: true, has_routes: true, hosts, service: 0 },
                _ => nothing,
            },
            Of::Proxy => {
                let Some(found) = self.serving(service) else { return nothing };
                let is_hosted = found.deployment.as_deref() == Some(b"hosted") && hosts.iter().any(|host| !host.is_empty());
                let is_known = is_hosted || found.is_oauth && self.issued.contains(&service);
                Wants { is_known, has_routes: is_hosted, hosts, service }
            }
            Of::Application => {
                let is_known = self.serving(service).is_some_and(|found| found.is_oauth && self.issued.contains(&service));
                Wants { is_known, ..nothing }
            }
            _ => nothing,
        }
    }

    /// A service of a tenant that serves. The master's own API has no Route of zync's.
    fn serving(&self, service: u64) -> Option<&Service> {
        let found = self.services.get(&service).filter(|found| !found.is_deleted)?;
        (self.accounts.get(&found.account) == Some(&Account::Serves)).then_some(found)
    }
}

/// What zync should have for something that System has.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// zync is to know it.
    pub(super) is_known: bool,
    /// Routes are to lead to its hosts.
    pub(super) has_routes: bool,
    /// The hosts of the portal and of its administration, or of production and staging; empty where there is none.
    pub(super) hosts: [Vec<u8>; 2],
    /// The service; 0 for a tenant.
    pub(super) service: u64,
}
