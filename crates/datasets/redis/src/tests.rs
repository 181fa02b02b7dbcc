//! Against real servers.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod damage;
mod doors;
mod kinds;
mod queues;
mod rounds;
mod scene;
