//! Platform `kubernetes`: an installation that lives in the pods of a namespace, on Kubernetes from 1.20 on and OpenShift.
//!
//! A [`Cluster`] is the way in; all else is had from it. This is the only place that knows the API's client, and its runtime. Every call blocks.
//!
//! What is sent and received are JSON values, not types of one Kubernetes version: the same code talks to all of them, and OpenShift's kinds are as near
//! as the others.

mod client;
mod config;
mod empty;
mod error;
mod exec;
pub mod find;
mod forward;
mod job;
mod log;
pub mod memcache;
mod objects;
mod one_off;
pub mod rehearsal;
mod request;
mod routes;
mod rules;
#[cfg(test)]
mod scripted;
pub mod shelf;
pub mod sync;
mod target;
mod token;
pub mod volume;
mod websocket;
pub mod writers;

pub use client::Cluster;
pub use config::{Options, namespace};
pub use error::{ApiError, Rule};
pub use exec::Container;
pub use forward::{Forward, Trouble};
pub use job::{RESULT_MARK, Said, SubmittedJob, Wanted};
pub use log::LogOptions;
pub use rules::{Permissions, needed};
pub use target::{FoundPod, Target};
pub use token::AccountToken;
