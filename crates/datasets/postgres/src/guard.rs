//! Holds the view of a dump, and gives it back when its locks make somebody wait.
//!
//! ACCESS SHARE stops nobody but who wants a table for himself (ALTER TABLE, TRUNCATE, DROP), and behind him everybody queues who wants to read or write it: the
//! application would stand still until the dump's end. So the dump ends instead.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use plan::{Class, Error, Result};

use crate::session::{APPLICATION, Session};

/// How often it is looked.
const GLANCE: Duration = Duration::from_millis(100);

/// Sessions of this program in the database, by `$OURS$`: ours, those of `pg_dump` and of the counts.
const OURS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL \
     AND (application_name = '$NAME$' OR application_name LIKE '$NAME$ %') AND usename = session_user";

/// Sessions alone: what a standby replays waits as long as its `max_standby_streaming_delay` lets it, and nobody queues behind.
const WAITING: &str = "WITH ours AS ($OURS$) \
     SELECT w.pid, w.relation::regclass::text, coalesce(a.usename::text, '?'), coalesce(nullif(a.application_name, ''), '?') \
     FROM pg_locks w JOIN pg_locks h ON h.locktype = 'relation' AND h.granted AND h.database = w.database AND h.relation = w.relation \
     JOIN pg_stat_activity a ON a.pid = w.pid AND a.usesysid IS NOT NULL \
     WHERE w.locktype = 'relation' AND NOT w.granted AND w.mode = 'AccessExclusiveLock' \
       AND h.pid IN (SELECT pid FROM ours) AND w.pid NOT IN (SELECT pid FROM ours) LIMIT 1";

/// See the module.
pub(crate) struct Guard {
    thread: Option<JoinHandle<Option<Session>>>,
    end: Option<Sender<()>>,
    reason: Arc<Mutex<Option<Reason>>>,
}

/// Why the view is gone.
#[derive(Clone)]
enum Reason {
    /// Somebody wants a table for himself: who, and which.
    GivenBack(String),
    /// The session that held it was lost.
    Lost(String),
}

impl Guard {
    /// Watches over the locks of a session in its transaction.
    pub(crate) fn over(session: Session) -> Self {
        let (end, ended) = channel();
        let reason = Arc::new(Mutex::new(None));
        let thread = std::thread::spawn({
            let reason = Arc::clone(&reason);
            move || watch(session, &ended, &reason)
        });
        Self { thread: Some(thread), end: Some(end), reason }
    }

    /// What came of a part of the dump; when the locks were given back, that is why it failed.
    ///
    /// # Errors
    /// That, or the part's own.
    pub(crate) fn explain<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| self.failure().filter(|_| error.class() != Class::Interrupted).unwrap_or(error))
    }

    /// The session, with the view as it was.
    ///
    /// # Errors
    /// [`Class::Transient`] when it was given back.
    pub(crate) fn end(mut self) -> Result<Session> {
        self.end = None;
        let session = self.thread.take().and_then(|thread| thread.join().ok()).flatten();
        session.ok_or_else(|| self.failure().unwrap_or_else(|| Error::transient("the session that holds the snapshot was lost")))
    }

    fn failure(&self) -> Option<Error> {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reason.map(|reason| match reason {
            Reason::GivenBack(text) => {
                Error::giving_way(text).hint("The application would have waited for its end. Run the command again when no migration runs.")
            }
            Reason::Lost(text) => Error::transient(text),
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end = None;
        // It looks at once.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn watch(mut session: Session, ended: &Receiver<()>, reason: &Mutex<Option<Reason>>) -> Option<Session> {
    let ours = OURS.replace("$NAME$", APPLICATION);
    let waiting = WAITING.replace("$OURS$", &ours);
    while ended.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
        // Who is there is kept for a whole transaction otherwise.
        let found = session
            .rows("SELECT pg_stat_clear_snapshot()", "look again")
            .and_then(|_| session.rows(&waiting, "look who waits for the dump's locks"));
        let why = match found.as_deref() {
            Ok([]) => continue,
            Ok([row, ..]) => {
                let (pid, table, user, application): (i32, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
                Reason::GivenBack(format!(
                    "session {pid} of {user:?} ({application}) wants {table} for itself: what was read is given up, with its locks"
                ))
            }
            Err(error) => Reason::Lost(format!("the session that holds the snapshot was lost: {}", error.chain())),
        };
        *reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        let others = format!("SELECT pg_terminate_backend(pid) FROM ({ours}) others WHERE pid <> pg_backend_pid()");
        // When that fails, they end with their programs.
        drop(session.rows(&others, "end the dump's sessions"));
        return None;
    }
    Some(session)
}
