//! One file per command.

mod abandon;
mod backup;
mod check;
mod config;
mod demo;
mod doctor;
mod export;
mod forget;
mod hold;
mod in_cluster;
mod inspect;
mod manual;
mod protect;
mod rehearse;
mod repair;
mod restore;
mod runs;
mod sets;

pub(crate) use abandon::abandon;
pub(crate) use backup::{backup, take};
pub(crate) use check::check;
pub(crate) use config::config;
pub(crate) use demo::demo;
pub(crate) use doctor::doctor;
pub(crate) use export::export;
pub(crate) use forget::forget;
pub(crate) use hold::hold;
pub(crate) use in_cluster::in_cluster;
pub(crate) use inspect::inspect;
pub(crate) use manual::{completions, man};
pub(crate) use protect::{protect, unprotect};
pub(crate) use rehearse::rehearse;
pub(crate) use repair::repair;
pub(crate) use restore::{carry_out, plan, restore};
pub(crate) use runs::{resume, runs, settle, undo};
pub(crate) use sets::{init, list, show};
