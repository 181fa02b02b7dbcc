//! Statements that belong together: all of them or none, and again when the server ended them for another session's.

use plan::{Error, Result};

use super::{Session, code};

/// How often they are tried. MariaDB locks an empty table whole for its first rows (MDEV-515), and of two sessions that want that one is ended.
const TRIES: u32 = 20;

impl Session {
    /// Does the work in a transaction of its own; `go_on` says between two tries whether it may be tried once more.
    ///
    /// # Errors
    /// The work's, or `go_on`'s: nothing of it is committed then.
    pub(crate) fn in_transaction(
        &mut self,
        what: &str,
        go_on: impl Fn() -> Result<()>,
        mut work: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        for tried in 1.. {
            self.run(what, "START TRANSACTION")?;
            self.is_in_transaction = true;
            let done = work(self);
            self.is_in_transaction = false;
            match done {
                Ok(()) => break,
                Err(error) if tried < TRIES && lost_to_another(&error) => self.run("take a transaction back", "ROLLBACK")?,
                Err(error) => return Err(error),
            };
            go_on()?;
        }
        self.run(what, "COMMIT").map(drop)
    }
}

/// Whether the server ended a statement for another session's: it waited too long for a row, or closed a circle of such waits. The transaction may be tried again.
fn lost_to_another(error: &Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(|cause| {
        let refusal = cause.downcast_ref::<mysql::MySqlError>();
        refusal.is_some_and(|refusal| matches!(refusal.code, code::DEADLOCK | code::LOCK_WAIT_TIMEOUT))
    })
}
