//! Tests against real servers, of both kinds.
#![expect(clippy::unwrap_used, reason = "tests")]

mod busy;
mod column_files;
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
mod live_reading;
mod marks;
mod network;
mod next_ids;
mod objects;
mod odd;
mod orphans;
mod outage;
mod porta;
mod privileges;
mod ranges;
mod refusals;
mod replicas;
mod rights;
mod tried_again;
mod variables;
mod verdicts;
