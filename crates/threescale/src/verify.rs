//! Whether System and Backend agree: what Backend should have is worked out from System's rows, what it has is read from its keys, and both are compared in one order.
//!
//! Memory holds what is known of services, plans and metrics, and nothing for each application: those are sorted outside ([`sort`]). No value that lets anybody in is kept:
//! of keys, tokens and the like only a digest under a key of this run, so that what is spilled tells nothing.
//!
//! Sources: what System writes is porta's `app/lib/backend/model_extensions/*.rb`, `app/workers/backend_metric_worker.rb`, `app/services/service_token_service.rb`; how Backend
//! keeps and reads it apisonator's `lib/3scale/backend/{service,application,metric,usage_limit,service_token,alert_limit}.rb`.

mod atom;
mod backend;
mod compare;
mod files;
mod finding;
mod look;
pub mod sort;
mod system;

use plan::Result;
use sha2::{Digest as _, Sha256};

pub use backend::Backend;
pub use compare::compare;
pub use files::Files;
pub use finding::{Finding, Found, Kind, Rank, Report};
pub use look::Look;
pub use sort::{Room, Sorter, Spill};
pub use system::{Known, System, TABLES, Wanted};

/// Digests what must not be seen. The key is random and lives as long as the run.
#[derive(Clone, Copy)]
pub struct Veil([u8; 16]);

impl Veil {
    /// Of a random key.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    fn of(&self, value: &[u8]) -> [u8; 16] {
        let digest = Sha256::new().chain_update(self.0).chain_update(value).finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }
}

/// How apisonator writes a part of a key (`storage_key_helpers.rb`).
fn encoded(text: &[u8]) -> Vec<u8> {
    text.iter().map(|&byte| if byte == b' ' { b'+' } else { byte }).collect()
}

/// What is compared: facts of both sides, sorted by whom they are about.
pub struct Atoms<'a>(Sorter<'a>);

impl<'a> Atoms<'a> {
    /// As [`Sorter::new`].
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self(Sorter::new(room, held_max_bytes))
    }

    fn push(&mut self, atom: &atom::Atom<'_>) -> Result<()> {
        self.0.push(&atom.record())
    }
}
