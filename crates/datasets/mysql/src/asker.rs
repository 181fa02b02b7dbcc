//! Asks the server, over a connection of its own, what it does about a statement that says nothing: long work is let be, a way that has died is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use line::{Doing, Limits, Peer};
use mysql::prelude::Queryable;
use mysql::{Row, Value};

use crate::address::Address;
use crate::session::connect;

/// States in which the server itself waits for the network.
const STATES_OF_THE_NETWORK: [&str; 5] =
    ["Sending to client", "Receiving from client", "Writing to net", "Reading from net", "Waiting for client"];

/// Asks about one connection.
pub(crate) struct Asker {
    address: Address,
    id: u32,
    /// Its statements are short and better not torn: a signal waits for them.
    is_patient: AtomicBool,
}

impl Asker {
    pub(crate) const fn new(address: Address, id: u32) -> Self {
        Self { address, id, is_patient: AtomicBool::new(false) }
    }

    pub(crate) fn be_patient(&self) {
        self.is_patient.store(true, Ordering::SeqCst);
    }

    fn look(&self, end: bool, limit: Duration) -> Result<Doing, mysql::Error> {
        let address = self.address.clone().with_limits(Limits::of_asking(limit));
        // A line that cannot be had is a server that cannot be reached.
        let Ok((mut conn, line)) = connect(&address, None) else { return Ok(Doing::Nothing) };
        let _waiting = line.as_ref().map(line::Line::waiting);
        let rows: Vec<Row> = conn.query("SHOW PROCESSLIST")?;
        let cell = |row: &Row, index: usize| match row.as_ref(index) {
            Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let is_ours = |row: &&Row| cell(row, 0) == self.id.to_string();
        let Some(row) = rows.iter().find(is_ours) else { return Ok(Doing::Nothing) };
        if !matches!(cell(row, 4).as_str(), "Query" | "Execute") || STATES_OF_THE_NETWORK.contains(&cell(row, 6).as_str()) {
            return Ok(Doing::Nothing);
        }
        if !end || self.is_patient.load(Ordering::SeqCst) {
            return Ok(Doing::Work);
        }
        conn.query_drop(format!("KILL {}", self.id)).map(|()| Doing::Ended)
    }
}

impl Peer for Asker {
    fn ask(&self, end: bool, limit: Duration) -> Doing {
        match self.look(end, limit) {
            Ok(doing) => doing,
            // It answers: there are too many connections, or it had ended just now.
            Err(mysql::Error::MySqlError(_)) => Doing::Untold,
            Err(_) => Doing::Nothing,
        }
    }
}
