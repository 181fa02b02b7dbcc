//! Tests against real servers, of both kinds.
#![expect(clippy::unwrap_used, reason = "tests")]

mod consistency;
mod crash;
mod definitions;
mod elsewhere;
mod fidelity;
mod generated;
mod grants;
mod history;
mod in_place;
mod kit;
mod limits;
mod marks;
mod network;
mod next_ids;
mod objects;
mod odd;
mod outage;
mod privileges;
mod ranges;
mod refusals;
mod rights;
mod variables;
mod verdicts;
