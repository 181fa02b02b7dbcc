//! Whether System and Backend agree: what Backend should have is worked out from System's rows, what it has is read from its keys, and both are compared in one order.
//!
//! Memory holds what is known of services, plans and metrics, and nothing for each application: those are sorted outside ([`sort`]). No value that lets anybody in is kept:
//! of keys, tokens and the like only a digest under a key of this run, so that what is spilled tells nothing.
//!
//! Sources: what System writes is porta's `app/lib/backend/model_extensions/*.rb`, `app/workers/backend_metric_worker.rb`, `app/services/service_token_service.rb`; how Backend
//! keeps and reads it apisonator's `lib/3scale/backend/{service,application,metric,usage_limit,service_token,alert_limit}.rb`.

pub(crate) mod atom;
mod backend;
mod compare;
pub(crate) mod facts;
mod files;
mod finding;
mod later;
mod look;
mod routes;
mod search;
pub mod sort;
mod system;
pub mod zync;

use std::collections::BTreeSet;

use plan::Result;
use sha2::{Digest as _, Sha256};

pub use backend::Backend;
pub use compare::compare;
pub(crate) use compare::{Judge, is_of_backend_api, topic_name};
pub use files::Files;
pub(crate) use files::{cms as cms_file, pdf as pdf_file};
pub use finding::{Finding, Found, Kind, Rank, Report};
pub use look::Look;
pub(crate) use look::of_fact;
pub use routes::Routes;
pub use search::{Counted, SEARCH_INDICES, SearchIndex};
pub use sort::{Merge, Room, Sorter, Spill};
pub use system::{Known, System, TABLES, Wanted};

/// Digests what must not be seen. The key is random and lives as long as the run.
#[derive(Clone, Copy)]
pub struct Veil(Option<[u8; 16]>);

impl Veil {
    /// Of a random key.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self(Some(key))
    }

    /// Values as they are, for who writes them ([`crate::rewrite`]): what is sorted outside of memory must be sealed then.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    fn of(&self, value: &[u8]) -> Vec<u8> {
        let Some(key) = self.0 else { return value.to_vec() };
        let digest = Sha256::new().chain_update(key).chain_update(value).finalize();
        digest.first_chunk::<16>().copied().unwrap_or_default().to_vec()
    }

    /// Whether facts are said that nobody compares and a rewrite needs.
    const fn tells_all(&self) -> bool {
        self.0.is_none()
    }
}

/// How apisonator writes a part of a key (`storage_key_helpers.rb`).
fn encoded(text: &[u8]) -> Vec<u8> {
    text.iter().map(|&byte| if byte == b' ' { b'+' } else { byte }).collect()
}

/// What is looked at alone: products, and applications in products of the master.
#[derive(Debug, Clone, Default)]
pub struct Only {
    /// As Backend may call them.
    products: BTreeSet<Vec<u8>>,
    /// Their ids, as they stand in keys.
    applications: BTreeSet<Vec<u8>>,
    /// Products of the master, as Backend calls them: known when System's rows are. All that is said of them is taken down, because it tells what is to be thought of the applications.
    of_master: BTreeSet<Vec<u8>>,
}

impl Only {
    /// `products`: their numbers. Backend calls a product by its number, behind the `service_preffix` of its provider, and may have what it was called before that was given.
    #[must_use]
    pub fn new(products: &[u64], prefixes: &[String], applications: &[String]) -> Self {
        Self {
            products: names(products, prefixes).into_iter().map(String::into_bytes).collect(),
            applications: applications.iter().map(|id| encoded(id.as_bytes())).collect(),
            of_master: BTreeSet::new(),
        }
    }

    fn wants(&self, product: &[u8]) -> bool {
        self.products.contains(product) || self.of_master.contains(product)
    }

    pub(crate) fn tells(&self, product: &[u8], application: &[u8]) -> bool {
        self.products.contains(product) || self.applications.contains(application) && self.of_master.contains(product)
    }
}

/// What Backend may call products, by their numbers.
#[must_use]
pub fn names(products: &[u64], prefixes: &[String]) -> BTreeSet<String> {
    let of = |prefix: &str| products.iter().map(|product| format!("{prefix}{product}")).collect::<Vec<_>>();
    prefixes.iter().map(String::as_str).chain([""]).flat_map(of).collect()
}

/// What is compared: facts of both sides, sorted by whom they are about.
pub struct Atoms<'a> {
    sorter: Sorter<'a>,
    only: Option<Only>,
}

impl<'a> Atoms<'a> {
    /// As [`Sorter::new`].
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self { sorter: Sorter::new(room, held_max_bytes), only: None }
    }

    /// Nothing but facts of these, and what is found in them.
    #[must_use]
    pub fn only(self, only: Option<Only>) -> Self {
        Self { only, ..self }
    }

    /// Whether facts of a product are looked at.
    fn wants(&self, product: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.wants(product))
    }

    /// What is looked at alone; `None`: all.
    pub(crate) const fn narrowed(&self) -> Option<&Only> {
        self.only.as_ref()
    }

    /// Whether what is found of a product, or of an application of it, is told and set right.
    pub(crate) fn tells(&self, product: &[u8], application: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|only| only.tells(product, application))
    }

    /// A product of the master, as Backend calls it. Told before all facts.
    fn of_master(&mut self, product: &[u8]) {
        if let Some(only) = self.only.as_mut().filter(|only| !only.applications.is_empty()) {
            only.of_master.insert(product.to_vec());
        }
    }

    fn push(&mut self, atom: &atom::Atom<'_>) -> Result<()> {
        // Who says that a provider's key is one of all says so for a product.
        let is_of_all = atom.topic == atom::Topic::InProviders;
        if is_of_all || self.wants(atom.service) { self.sorter.push(&atom.record()) } else { Ok(()) }
    }

    /// All of them, in order.
    pub(crate) fn sorted(self) -> Result<sort::Merge> {
        self.sorter.sorted()
    }
}
