//! Knows Redis (5 to 8) and Valkey: dump, stage, prove, cut over.
//!
//! The data set is the *logical databases* that the addresses name, never the whole server. A dump is a fresh RDB by the replication
//! handshake, parsed as it streams (by `SCAN` and `DUMP` where replication is forbidden); a restore goes by `RESTORE` into empty logical databases beside the
//! live ones, is proven there, and comes live by `SWAPDB` in one transaction.
//!
//! The client is our own: no crate speaks PSYNC, and values must pass as streams, whatever their size. Must never hold a data set,
//! a whole value, or a list of keys in memory; must never touch a database that no address names and no marker of the run is in.

mod address;
mod connection;
mod data_set;
mod dump;
mod pass;
mod queues;
mod rdb;
mod reading;
mod replication;
mod rights;
mod scan;
mod server;
mod store;
mod tally;

pub use address::{Address, Dial, Endpoint, SentinelAt, Sentinels};
pub use dump::is_stream;
pub use queues::{labels_of, namespace_of, queues_of, usage_in_flight};
pub use reading::{read_digests, read_keys};
pub use server::loads;
pub use store::{FileRoad, Options, RedisStore, Restart};

/// The name under which connections of this program are seen in `CLIENT LIST`.
pub(crate) const CLIENT_NAME: &str = "threescale-backup";
/// All keys that this program makes begin so; they are never part of a dump or a proof.
pub(crate) const MARKER_PREFIX: &[u8] = b"threescale-backup:";

#[cfg(test)]
mod tests;
