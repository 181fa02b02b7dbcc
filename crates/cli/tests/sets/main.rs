//! Whose sets, which set: several installations in one repository, partial sets, sets from the future, sets of earlier releases.
#![expect(clippy::unwrap_used, reason = "tests")]

mod installations;
mod partial;
mod released;
mod small;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;
mod written;
