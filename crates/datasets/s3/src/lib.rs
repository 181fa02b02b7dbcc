//! Knows trees of files in a bucket of an S3 service: dump, stage, prove, cut over.
//!
//! The data set is the same as a folder's: porta's keys are the paths of its files, so a set of a bucket goes into a folder and one of a folder into a bucket. Kept are key,
//! bytes, ETag, time of change, type and the user's own metadata; not kept: tags, ACLs, storage classes, older versions.
//!
//! A restore puts what the bucket does not have at its key, what differs beside it (`run`), and copies inside the bucket at the cut-over.

mod address;
mod census;
mod client;
mod dump;
mod key;
mod live;
mod look;
mod parallel;
mod properties;
mod prove;
mod run;
mod some;
mod spool;
mod stage;
mod store;
mod swap;

pub use address::Bucket;
pub use client::put::Limits;
pub use store::{Options, S3Store};
