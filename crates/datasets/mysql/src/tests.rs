//! Tests against real servers, of both kinds.
#![expect(clippy::unwrap_used, reason = "tests")]

mod consistency;
mod crash;
mod fidelity;
mod kit;
mod marks;
mod network;
mod outage;
mod privileges;
mod ranges;
mod refusals;
mod variables;
