//! DECIDES: the pure heart of threescale-backup.
//!
//! Ids, ports (traits), the manifest of a set, plans, steps, journal rules. Nothing in this crate reads a
//! clock, opens a file, talks to a network or starts a thread; what needs such a thing gets it through a port.

pub mod digest;
pub mod error;
pub mod evidence;
pub mod ids;
pub mod manifest;
pub mod ports;
pub mod tls;

pub use error::{Class, Error, Result};
