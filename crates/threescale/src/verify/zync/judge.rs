//! Goes through what System has and what zync knows in one order, and says where they differ.

use plan::Result;

use super::super::finding::Kind;
use super::super::look::{Difference, Look};
use super::super::sort::{Merge, Room, Sorter};
use super::gateways::Wants;
use super::known::class_in;
use super::{From, Gateways, Of, Row, Said, Settled, Zync, next};

/// Is told each address that is to lead here, with what it is of: `tenant 2`, `service 7`.
pub type Addresses<'a> = dyn FnMut(&[u8], &str) -> Result<()> + 'a;

/// Judges. Without zync only the addresses are told.
///
/// # Errors
/// When what was sorted cannot be read back, or there is no room for what is found.
pub fn judge<'r>(
    mut gateways: Gateways<'r>,
    zync: Option<Settled<'r>>,
    room: Room<'r>,
    look: &mut Look<'r>,
    addresses: &mut Addresses<'_>,
) -> Result<()> {
    let mut zync = zync.map(|Settled(zync)| zync);
    look.zync = zync.as_ref().map(|zync| zync.counts);
    let empty = || Sorter::new(room, 1);
    let system = std::mem::replace(&mut gateways.rows, empty()).sorted()?;
    let known = zync.as_mut().map(|zync| std::mem::replace(&mut zync.rows, empty()).sorted()).transpose()?;
    let mut both = Both { system: Ahead::new(system)?, known: known.map(Ahead::new).transpose()? };
    while let Some((of, id)) = both.first() {
        let mut one = One { of, id, wants: None, is_known: false, said: None, service: 0, class: Vec::new() };
        both.take(&mut one, &gateways)?;
        if let Some(wants) = one.wants.as_ref().filter(|wants| wants.has_routes) {
            let whose = one.whose();
            let mut hosts: Vec<_> = wants.hosts.iter().filter(|host| !host.is_empty()).collect();
            hosts.dedup();
            hosts.into_iter().try_for_each(|host| addresses(host, &whose))?;
        }
        if let Some(zync) = &zync {
            one.differences(&gateways, zync).into_iter().try_for_each(|(kind, detail)| one.tell(look, kind, &detail))?;
        }
    }
    Ok(())
}

/// Sorted rows, and the one that comes.
struct Ahead {
    rows: Merge,
    row: Option<Row>,
}

impl Ahead {
    fn new(mut rows: Merge) -> Result<Self> {
        let row = next(&mut rows)?;
        Ok(Self { rows, row })
    }

    /// The next row, if it is about this.
    fn take(&mut self, of: Of, id: u64) -> Result<Option<Row>> {
        if self.row.as_ref().is_none_or(|row| (row.of, row.id) != (of, id)) {
            return Ok(None);
        }
        Ok(std::mem::replace(&mut self.row, next(&mut self.rows)?))
    }
}

struct Both {
    system: Ahead,
    known: Option<Ahead>,
}

impl Both {
    /// What comes first on either side.
    fn first(&self) -> Option<(Of, u64)> {
        let of = |ahead: &Ahead| ahead.row.as_ref().map(|row| (row.of, row.id));
        of(&self.system).into_iter().chain(self.known.as_ref().and_then(of)).min()
    }

    /// All that is said of one thing.
    fn take(&mut self, one: &mut One, gateways: &Gateways<'_>) -> Result<()> {
        while let Some(row) = self.system.take(one.of, one.id)? {
            one.wants = Some(gateways.means(one.of, one.id, &row.says));
        }
        let Some(known) = &mut self.known else { return Ok(()) };
        while let Some(row) = known.take(one.of, one.id)? {
            match row.from {
                From::Model => one.said = Said::of_bytes(&row.says),
                _ if row.of == Of::Job => one.class = class_in(&row.says),
                _ => one.service = row.says.first_chunk::<8>().map_or(one.service, |service| u64::from_be_bytes(*service)),
            }
            one.is_known = true;
        }
        Ok(())
    }
}

/// What both sides say of one thing.
struct One {
    of: Of,
    id: u64,
    /// `None`: System does not have it.
    wants: Option<Wants>,
    is_known: bool,
    said: Option<Said>,
    /// As zync knows it.
    service: u64,
    class: Vec<u8>,
}

impl One {
    /// What is told of it.
    fn differences(&self, gateways: &Gateways<'_>, zync: &Zync<'_>) -> Vec<(Kind, String)> {
        let mut found = Vec::new();
        let said = self.said.clone().unwrap_or_default();
        if self.of == Of::Job {
            return vec![(Kind::ZyncJobGivenUp, format!("job {}, {}", self.id, String::from_utf8_lossy(&self.class)))];
        }
        if said.has_failed && (self.wants.is_some() || said.has_data) {
            found.push((Kind::ZyncFailed, self.what()));
        }
        let is_compared = match self.of {
            Of::Provider => true,
            Of::Proxy => gateways.has_proxies,
            Of::Application => zync.has("applications"),
            _ => false,
        };
        if !is_compared {
            return found;
        }
        match &self.wants {
            Some(wants) if wants.is_known => found.extend(self.lacking(wants, &said)),
            Some(_) => {}
            None if !self.is_known => {}
            None => found.push((self.surplus(&said, zync), self.what())),
        }
        found
    }

    /// System has it, and zync is to know it.
    fn lacking(&self, wants: &Wants, said: &Said) -> Option<(Kind, String)> {
        if !said.has_entry {
            let kind = match self.of {
                Of::Provider => Kind::ZyncTenantMissing,
                Of::Proxy => Kind::ZyncProxyMissing,
                _ => Kind::ZyncApplicationMissing,
            };
            return Some((kind, self.what()));
        }
        if !said.has_data {
            return Some((Kind::ZyncTookAway, self.what()));
        }
        if !wants.has_routes {
            return None;
        }
        let is_deployed_elsewhere = self.of == Of::Proxy && !said.deployment.is_empty() && said.deployment != b"hosted";
        let pairs = wants.hosts.iter().zip(&said.hosts).filter_map(|(host, known)| Some((host, known.as_deref()?)));
        let differs = pairs.into_iter().find(|(host, known)| !host.is_empty() && host.as_slice() != *known);
        match differs {
            Some((host, known)) => {
                let detail = format!("{}: {} instead of {}", self.what(), shown(known), shown(host));
                Some((Kind::ZyncAddressDiffers, detail))
            }
            None if is_deployed_elsewhere => Some((Kind::ZyncTookAway, self.what())),
            None => None,
        }
    }

    /// zync knows it, and System has no such thing.
    fn surplus(&self, said: &Said, zync: &Zync<'_>) -> Kind {
        match self.of {
            _ if !said.has_data => Kind::ZyncLeftover,
            Of::Provider => Kind::ZyncUnknownTenant,
            Of::Proxy => Kind::ZyncUnknownProxy,
            _ if zync.oidc.contains(&self.service) => Kind::ZyncUnknownApplication,
            _ => Kind::ZyncLeftover,
        }
    }

    fn service(&self) -> u64 {
        self.wants.as_ref().map_or(self.service, |wants| wants.service)
    }

    /// `tenant 2`, `service 7`.
    fn whose(&self) -> String {
        if self.of == Of::Provider { self.what() } else { format!("service {}", self.service()) }
    }

    fn what(&self) -> String {
        let word = match self.of {
            Of::Provider => "tenant",
            Of::Proxy => "proxy",
            Of::Service => "service",
            Of::Application => "row of cinstances",
            Of::Client => "row of zync's clients",
            Of::Job => "job",
        };
        format!("{word} {}", self.id)
    }

    fn tell(&self, look: &mut Look<'_>, kind: Kind, detail: &str) -> Result<()> {
        let service = Some(self.service()).filter(|service| *service > 0).map(|service| service.to_string()).unwrap_or_default();
        let item = [&[self.of as u8][..], &self.id.to_be_bytes()].concat();
        look.add(&Difference { kind, service: service.as_bytes(), application: b"", item: &item, detail: detail.as_bytes() })
    }
}

fn shown(host: &[u8]) -> String {
    if host.is_empty() { "no address".to_owned() } else { String::from_utf8_lossy(host).into_owned() }
}
