//! KNOWS 3scale: what its keys, jobs and tables are, what may be done twice, what the clock does by itself. Pure: bytes and rows in, findings out.
//!
//! The knowledge is data (`data/*.tsv`, each row with its source); what is written here is how it is read. A key or a job that no row knows is told, and never dropped as if
//! it were known.

pub mod census;
pub mod clock;
pub mod jobs;
pub mod keys;
pub mod merging;
mod pattern;
pub mod queues;
pub mod repair;
pub mod rewrite;
mod rows;
pub mod tables;
pub mod tenant;
pub mod verify;
