//! Asks the server, over a connection of its own, what it does about a statement that says nothing: long work is let be, a way that has died is not.

use std::time::Duration;

use line::{Doing, Limits, Peer};
use plan::Result;

use crate::address::Address;
use crate::session::Session;
use crate::sql::literal;

/// Whom it asks about.
pub(crate) enum About {
    /// The session of a backend. A signal cancels its statements where they may be cancelled, and waits for the others.
    Backend(i32),
    /// The sessions of a client program, by the name that it gave. A signal ends it.
    Application(String),
}

/// See the module.
pub(crate) struct Asker {
    address: Address,
    about: About,
}

impl Asker {
    pub(crate) const fn new(address: Address, about: About) -> Self {
        Self { address, about }
    }

    fn is_at_work(&self, limit: Duration) -> Result<bool> {
        let mut session = Session::open_unwatched(&self.address.with_limits(Limits::of_asking(limit)))?;
        let which = match &self.about {
            About::Backend(pid) => format!("pid = {pid}"),
            About::Application(name) => format!("application_name = {}", literal(name)),
        };
        // One that waits for its client is not at work: what it says does not arrive.
        let query = format!(
            "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE {which} AND state IN ('active', 'fastpath function call') \
             AND wait_event_type IS DISTINCT FROM 'Client'"
        );
        Ok(session.row(&query, "ask what the server does")?.get::<_, i64>(0) > 0)
    }
}

impl Peer for Asker {
    fn ask(&self, end: bool, limit: Duration) -> Doing {
        if end && matches!(self.about, About::Application(_)) {
            return Doing::Nothing;
        }
        match self.is_at_work(limit) {
            Ok(true) => Doing::Work,
            Ok(false) => Doing::Nothing,
            // The server itself said no: it is there.
            Err(error) if error.chain().contains("SQLSTATE") => Doing::Untold,
            Err(_) => Doing::Nothing,
        }
    }
}
