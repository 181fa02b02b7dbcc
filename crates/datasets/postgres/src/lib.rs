//! KNOWS PostgreSQL 13 to 18: dump, stage, prove, cut over, undo, for zync's database and for a system database on PostgreSQL.
//!
//! The data itself is moved by `pg_dump` and `pg_restore`, which know schema, ownership and order better than anybody; this crate decides what
//! they see (one exported snapshot), judges what they did (exit status, counts, digests) and swaps databases. It must never give a password
//! to anything but a connection or a child's environment, never touch the live database before the cut-over on the side-copy road, and
//! never keep a data set in a local file.

mod address;
mod aside;
mod asker;
mod beside;
mod blockers;
mod census;
mod changing_rows;
mod child;
mod clients;
mod contents;
mod counting;
mod demands;
mod digest;
mod dump;
mod encryption;
mod facts;
mod failure;
mod fits;
mod guard;
mod identity;
mod ids;
mod in_place;
mod leftovers;
mod limits;
mod live;
mod lock;
mod long_rows;
mod look;
mod mark;
mod place;
mod pooler;
mod privileges;
mod properties;
mod public;
mod reading;
mod restore;
mod rights;
mod rules;
mod sequences;
mod server;
mod session;
mod settings;
mod sql;
mod stage;
mod staged;
mod statements;
mod store;
mod superuser;
mod swap;
mod through_psql;
mod view;

pub use address::{Address, Host};
pub use beside::RemotePrograms;
pub use place::is_stream;
pub use reading::read_rows;
pub use store::{Options, PostgresStore};

#[cfg(test)]
mod tests;
