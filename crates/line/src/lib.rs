//! CARRIES: the bytes of a client to a server over the network, on a way that always ends.
//!
//! Client libraries and programs block in a read for as long as a connection stays open, and a proxy that has stopped forwarding keeps it open for ever:
//! neither a signal nor a keep-alive probe ends that. So they do not connect to the server, but to a door of this process, and what lies behind it can be cut:
//! when somebody waits, nothing has moved for too long and the server is not at work on anything of ours; and when a signal asks the work to stop.
//! A statement that the server works on for hours is left alone.
//!
//! Knows nothing of what the bytes mean, but for [`Opening`], by which a client's crate may end TLS here.

mod end;
mod guard;
mod pump;
mod state;
mod watchdog;
mod way;

pub use end::End;
pub use guard::{Paused, Waiting};
pub use watchdog::{Doing, Peer};
pub use way::{Door, Limits, Line, Opening};

#[cfg(test)]
mod tests;
