//! Whether a Route leads to each address that System has. Source: zync's `app/services/integration/kubernetes_service.rb` (`RouteSpec`, labels, `verify_route_status`).

use plan::Result;
use plan::ports::ReadRoute;

use super::finding::Kind;
use super::look::{Difference, Look};
use super::sort::{Room, Sorter};

/// An address that System has.
const WANTED: u8 = 0;
/// Of a Route: it is refused, it is zync's.
const REFUSED: u8 = 1;
const OF_ZYNC: u8 = 2;

/// Takes addresses and Routes in any order.
pub struct Routes<'a> {
    hosts: Sorter<'a>,
    of_zync: u64,
    addresses: u64,
}

impl<'a> Routes<'a> {
    /// `room` and `held_max_bytes` as in [`Sorter::new`].
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self { hosts: Sorter::new(room, held_max_bytes), of_zync: 0, addresses: 0 }
    }

    /// An address that is to lead here, and whose it is.
    ///
    /// # Errors
    /// When there is no room to sort it.
    pub fn address(&mut self, host: &[u8], whose: &str) -> Result<()> {
        self.addresses += 1;
        self.push(host, &[&[WANTED][..], whose.as_bytes()].concat())
    }

    /// A Route that there is.
    ///
    /// # Errors
    /// When there is no room to sort it.
    pub fn route(&mut self, route: &ReadRoute<'_>) -> Result<()> {
        self.of_zync += u64::from(route.is_of_zync);
        let flags = u8::from(route.is_refused) * REFUSED + u8::from(route.is_of_zync) * OF_ZYNC;
        self.push(&route.host.to_ascii_lowercase(), &[WANTED + 1, flags])
    }

    fn push(&mut self, host: &[u8], says: &[u8]) -> Result<()> {
        let mut record = Vec::with_capacity(host.len() + says.len() + 2);
        super::atom::put(&mut record, host);
        record.extend_from_slice(says);
        self.hosts.push(&record)
    }

    /// Whether zync has made any Route at all: where not, somebody else makes what leads here, or nobody does.
    #[must_use]
    pub const fn are_of_zync(&self) -> bool {
        self.of_zync > 0
    }

    /// Addresses that System has.
    #[must_use]
    pub const fn addresses(&self) -> u64 {
        self.addresses
    }

    /// Compares.
    ///
    /// # Errors
    /// When what was sorted cannot be read back, or there is no room for what is found.
    pub fn compare(self, look: &mut Look<'_>) -> Result<()> {
        look.addresses = Some(0);
        let mut records = self.hosts.sorted()?;
        let mut one = One::default();
        while let Some(record) = records.next_record()? {
            let mut rest = &*record;
            let (Some(host), Some((side, says))) = (super::atom::take(&mut rest), rest.split_first()) else { continue };
            if host != one.host {
                std::mem::replace(&mut one, One { host, ..One::default() }).tell(look)?;
            }
            match (*side, says.first()) {
                (WANTED, _) => one.whose = Some(one.whose.take().unwrap_or_else(|| says.to_vec())),
                (_, Some(flags)) => {
                    one.routes += 1;
                    one.refused += u64::from(flags & REFUSED > 0);
                    one.of_zync |= flags & OF_ZYNC > 0;
                }
                _ => {}
            }
        }
        one.tell(look)
    }
}

/// All that is said of a host.
#[derive(Default)]
struct One {
    host: Vec<u8>,
    whose: Option<Vec<u8>>,
    routes: u64,
    refused: u64,
    of_zync: bool,
}

impl One {
    fn tell(self, look: &mut Look<'_>) -> Result<()> {
        if self.whose.is_some() {
            look.addresses = look.addresses.map(|addresses| addresses + 1);
        }
        let kind = match &self.whose {
            Some(_) if self.routes == 0 => Kind::RouteMissing,
            Some(_) if self.routes == self.refused => Kind::RouteRefused,
            None if self.of_zync => Kind::UnknownRoute,
            _ => return Ok(()),
        };
        let whose = self.whose.as_deref().map(|whose| [b" (", whose, b")"].concat()).unwrap_or_default();
        let detail = [self.host.as_slice(), &whose].concat();
        look.add(&Difference { kind, service: b"", application: b"", item: &self.host, detail: &detail })
    }
}
