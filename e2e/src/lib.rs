//! What the cases need: an installation on a cluster, the databases' own clients in its pods for looking and destroying from outside, and the program as a process.
//!
//! Nothing here uses a crate of the program: what it says of itself is proven by other means.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "tests")]

mod destroy;
mod fingerprint;
mod installation;
mod kubectl;
mod leftovers;
mod lost;
mod program;
mod settings;
mod steps;
mod wait;

pub use destroy::ALL as ALL_STORES;
pub use fingerprint::{Fingerprint, assert_equal, assert_sees_destruction};
pub use installation::{Installation, Replicas};
pub use kubectl::Kubectl;
pub use lost::{Made, Making, SEEDED};
pub use program::{Journal, Program, Stop, text};
pub use settings::Settings;
pub use steps::Steps;
pub use wait::wait_until;
