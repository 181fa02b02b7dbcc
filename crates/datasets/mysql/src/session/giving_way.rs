//! A statement that waits for a lock gives way: whoever wants a table that is asked for exclusively stands behind that request, readers too.
//!
//! The server's own limit is in whole seconds. So a second connection looks whether the statement waits, and ends it; what is at work is never ended.

use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{Session, Talk};
use crate::address::Address;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Seen waiting so often in a row, it is ended.
const LOOKS: u32 = 4;
/// Between two tries, in which everybody goes on.
pub(super) const PAUSE: Duration = Duration::from_millis(400);

/// Ends waits of a session.
pub(super) struct GivingWay {
    address: Address,
    /// Opened for the first statement that takes its time.
    control: Mutex<Option<Session>>,
    /// How long a lock is tried for.
    pub(super) limit: Duration,
    /// The same, when half of a swap is done.
    patience: Duration,
}

impl GivingWay {
    pub(super) fn new(address: Address, limit: Duration, patience: Duration) -> Self {
        Self { address, control: Mutex::new(None), limit, patience }
    }

    /// The same, with all patience.
    pub(super) fn insisting(&self) -> Self {
        Self::new(self.address.clone(), self.patience, self.patience)
    }

    /// Runs a statement of a connection; says whether its wait was ended.
    pub(super) fn watched<T>(&self, id: u32, run: impl FnOnce() -> T) -> (T, bool) {
        std::thread::scope(|scope| {
            let (done, over) = bounded::<()>(0);
            let watcher = scope.spawn(move || self.watch(id, &over));
            let outcome = run();
            drop(done);
            (outcome, watcher.join().unwrap_or(false))
        })
    }

    fn watch(&self, id: u32, over: &Receiver<()>) -> bool {
        let mut seen = 0;
        while over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            seen = if self.waits(id) { seen + 1 } else { 0 };
            if seen >= LOOKS {
                return self.ask(|control| Ok(control.rows_if_possible("give up a lock", &format!("KILL QUERY {id}"))?.is_some()));
            }
        }
        false
    }

    fn waits(&self, id: u32) -> bool {
        let sql = format!("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND STATE LIKE 'Waiting for %lock'");
        self.ask(|control| Ok(!control.rows("look whether a statement waits", &sql)?.is_empty()))
    }

    /// Where it cannot be asked, the server's own limit ends the wait.
    fn ask(&self, question: impl FnOnce(&mut Session) -> plan::Result<bool>) -> bool {
        let Ok(mut control) = self.control.lock() else { return false };
        if control.is_none() {
            *control = Session::open(&self.address, Talk::Text, None, None).ok();
        }
        let answer = control.as_mut().map(question);
        if matches!(answer, Some(Err(_))) {
            *control = None;
        }
        matches!(answer, Some(Ok(true)))
    }
}
