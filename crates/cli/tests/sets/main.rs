//! Whose sets, whose runs: several installations in one repository, two machines, partial sets, sets from the future, what earlier releases wrote, runs and their ends.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod copies;
mod differences;
mod dist;
mod documents;
mod effort;
mod evidence;
mod installations;
mod journals;
mod keys;
mod left;
mod locked;
mod machine;
mod notify;
mod partial;
mod proofs;
mod released;
mod restorable;
mod runs;
mod seen;
mod serve;
mod sink;
mod small;
mod status;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod support;
mod two_machines;
mod units;
mod written;
