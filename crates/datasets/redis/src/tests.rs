//! Against real servers.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod damage;
mod doors;
mod file_road;
mod file_steps;
mod fuzz;
mod generated;
mod kinds;
mod large_values;
mod leftovers;
mod limits;
mod live_reading;
mod marks;
mod merging;
mod modules;
mod neighbours;
mod pieces;
mod pull;
mod queues;
mod repair;
mod rewrite;
mod rights;
mod room;
mod rounds;
mod scene;
mod sentinels;
mod several;
mod strings;
mod told;
