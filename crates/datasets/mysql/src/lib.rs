//! KNOWS MySQL (8.0 to 9.x) and MariaDB (10.6 to 11.x): dump, stage, prove, cut over, undo, discard.
//!
//! # What a snapshot holds
//!
//! | path | content |
//! |---|---|
//! | `rows/<table>/<chunk>.<part>.tsv` | rows in the format of `LOAD DATA` with its default separators: tab between cells, line feed after a row, `\N` for NULL, and `\0 \t \n \\` for those bytes; all other bytes as the column holds them, in its own character set. `<table>` is the table's name with `%XX` for ASCII characters other than letters, digits, `_`, `$`, `-`. Parts have at most 8 MiB, or one row |
//! | `rows/<table>/<chunk>.<part>/<column>.tsv` | a part as columns (`columns.rs`), where it has 512 KiB or more: in `0001.tsv` the first cell of each row, and so on |
//! | `schema.json` | the schema for this program: server, tables (`SHOW CREATE TABLE`, columns with what is selected and what is assigned on load, keys, foreign keys), views, triggers, routines, events with the session settings that belong to them |
//! | `sql/1-tables.sql` | `CREATE TABLE` without the keys that can wait |
//! | `sql/2-rows-NNNNNN.sql` | `LOAD DATA LOCAL INFILE` for every part, by its path in the snapshot |
//! | `sql/3-keys.sql` | secondary keys, then foreign keys |
//! | `sql/4-objects.sql` | routines, views, triggers, events |
//!
//! After `restic restore SNAPSHOT --target DIR`, the client alone loads it into an empty database:
//!
//! ```text
//! cd DIR
//! for part in rows/*/*/; do LC_ALL=C paste "$part"*.tsv > "${part%/}.tsv"; done
//! cat sql/*.sql | mysql --local-infile=1 system
//! ```
//!
//! Values of generated columns are not kept: the server computes them. FLOAT and DOUBLE are kept as exact products (`col * 1e0`), an ENUM with an empty
//! member as its number. Every session has `time_zone = '+00:00'`.
//!
//! # Evidence
//!
//! One collection for each table, over the lines of its rows, and `(definitions)`, over one line for each table, column, key and foreign key
//! (`schema/lines.rs`). Objects: tables, columns, indexes, foreign-keys, checks, partitions, views, triggers, routines, events.
//!
//! This crate never names the repository engine and never touches the live database before the cut-over, but for a restore in place.

mod address;
mod asker;
mod beside;
mod blockers;
mod changing_rows;
mod chunk;
mod columns;
mod cut_over;
mod data_set;
mod discard;
mod dump;
mod fits;
mod identity;
mod leftovers;
mod limits;
mod live;
mod load;
mod local_infile;
mod lock;
mod look;
mod mark;
mod objects;
mod owned;
mod place;
mod privileges;
mod prove;
mod quote;
mod reading;
mod record;
mod reserve;
mod rights;
mod row;
mod row_parts;
mod schema;
mod searchd;
mod secure;
mod server;
mod session;
mod stage;
mod staged;
mod store;

pub use address::Address;
pub use reading::read_rows;
pub use searchd::documents;
pub use store::{LogBin, MysqlStore, Options};

#[cfg(test)]
mod tests;
