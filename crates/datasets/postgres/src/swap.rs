//! The swap of databases: cut over, undo, discard. Every verb first looks at which databases are there, so that it goes on from wherever a crash left it.
//!
//! Both renames are one transaction: there is no instant at which the live name is nobody's. Before it, the live database is closed to new sessions, or clients
//! that reconnect all the time (zync's queue does) would never leave the moment in which a rename is possible.

use std::time::{Duration, Instant};

use plan::ports::StopFlag;
use plan::{Class, Error, Result};

use crate::blockers;
use crate::place::Databases;
use crate::session::Session;
use crate::sql::{identifier, literal};

/// Called with each statement before it is sent: tests end the process there.
pub(crate) type Hook = dyn Fn(&str) + Send + Sync;

/// A swap on one server.
pub(crate) struct Swap<'a> {
    /// In the maintenance database.
    pub(crate) session: Session,
    /// The names.
    pub(crate) databases: &'a Databases,
    /// How long sessions may take to go.
    pub(crate) wait: Duration,
    /// The operator.
    pub(crate) stop: &'a StopFlag,
    /// See [`Hook`].
    pub(crate) hook: &'a Hook,
}

/// A database that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    oid: u32,
    open: bool,
}

impl Swap<'_> {
    /// The restored data becomes live, the previous data `before`.
    ///
    /// # Errors
    /// When the sessions cannot be ended in time: they are named, and nothing is changed.
    pub(crate) fn cut_over(&mut self) -> Result<()> {
        let Databases { live, stage, before, live_oid, .. } = self.databases;
        match self.look()? {
            (Some(_), Some(_), None) => self.exchange(&[(live, before), (stage, live)]),
            (None, Some(_), None) if live_oid.is_none() => self.exchange(&[(stage, live)]),
            (None, Some(_), Some(_)) => self.exchange(&[(stage, live)]),
            (Some(_), None, Some(_)) => self.open(),
            (Some(_), None, None) if live_oid.is_none() => self.open(),
            found => Err(self.unknown("cut over", &found)),
        }
    }

    /// The previous data becomes live again, the restored data `stage`.
    ///
    /// # Errors
    /// As [`Swap::cut_over`].
    pub(crate) fn undo(&mut self) -> Result<()> {
        let Databases { live, stage, before, live_oid, .. } = self.databases;
        match self.look()? {
            (Some(_), None, Some(_)) => self.exchange(&[(live, stage), (before, live)]),
            (None, _, Some(_)) => self.exchange(&[(before, live)]),
            (Some(_), None, None) if live_oid.is_none() => self.exchange(&[(live, stage)]),
            (None, _, None) if live_oid.is_none() => Ok(()),
            (Some(_), Some(_), None) => self.open(),
            (Some(found), None, None) if *live_oid == Some(found.oid) => self.open(),
            found => Err(self.unknown("undo", &found).hint("The previous data is gone when the run was settled.")),
        }
    }

    /// Drops what is beside the live database.
    ///
    /// # Errors
    /// When the live database is not there: then one of the others may be the only copy.
    pub(crate) fn discard(&mut self) -> Result<()> {
        let Databases { stage, before, live_oid, .. } = self.databases;
        let found = self.look()?;
        match found {
            (None, _, Some(_)) => {
                Err(Error::needs_person(format!("{:?} is not there: {before:?} may be the only copy", self.databases.live))
                    .hint("Call undo or resume first."))
            }
            (None, Some(_), None) if live_oid.is_some() => {
                Err(Error::needs_person(format!("{:?} is not there: {stage:?} may be the only copy", self.databases.live)))
            }
            // The previous data under the live name proves an undo or no cut-over, `before` next to it is then not ours to explain.
            (Some(live), _, Some(_)) if *live_oid == Some(live.oid) => Err(self.unknown("discard", &found)),
            (_, staged, previous) => {
                for (name, _) in [(stage, staged), (before, previous)].into_iter().filter(|(_, found)| found.is_some()) {
                    (self.hook)("DROP DATABASE");
                    blockers::drop_database(&mut self.session, name)?;
                }
                Ok(())
            }
        }
    }

    /// Bytes of what is beside the live database.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn kept_bytes(&mut self) -> Result<u64> {
        let Databases { stage, before, .. } = self.databases;
        let query = format!(
            "SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database WHERE datname IN ({}, {})",
            literal(stage),
            literal(before)
        );
        let bytes: i64 = self.session.row(&query, "ask for the size of the side databases")?.get(0);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// Live, stage, before.
    fn look(&mut self) -> Result<(Option<Found>, Option<Found>, Option<Found>)> {
        let rows = self.session.rows("SELECT datname::text, oid, datallowconn FROM pg_database", "look which databases are there")?;
        let find = |name: &str| {
            let row = rows.iter().find(|row| row.get::<_, String>(0) == name)?;
            Some(Found { oid: row.get(1), open: row.get(2) })
        };
        let Databases { live, stage, before, .. } = self.databases;
        Ok((find(live), find(stage), find(before)))
    }

    /// Closes, frees, renames, opens.
    fn exchange(&mut self, renames: &[(&String, &String)]) -> Result<()> {
        let deadline = Instant::now() + self.wait;
        let names: Vec<&str> = renames.iter().map(|(from, _)| from.as_str()).collect();
        let outcome = self.close_and_rename(renames, &names, deadline);
        let Err(error) = outcome else { return Ok(()) };
        // Whatever happened, what is live must take sessions again. When that fails, too, the next call does it.
        Err(match self.open() {
            Ok(()) => error.hint("Nothing was changed."),
            Err(second) => error.hint(format!("The live database could not be opened again: {}. Call resume or undo.", second.chain())),
        })
    }

    fn close_and_rename(&mut self, renames: &[(&String, &String)], names: &[&str], deadline: Instant) -> Result<()> {
        for name in names {
            self.send(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", identifier(name)), "close a database to new sessions")?;
        }
        loop {
            (self.hook)("end sessions");
            blockers::end_sessions(&mut self.session, names, deadline, self.stop)?;
            match self.rename(renames) {
                // Somebody was between login and the list of sessions, or holds a lock: look again who it is.
                Err(error) if error.class() == Class::Transient && Instant::now() < deadline => {
                    self.session.run("ROLLBACK", "roll the renames back")?
                }
                Err(error) => {
                    // Fails only when the connection is lost, and the transaction with it.
                    drop(self.session.run("ROLLBACK", "roll the renames back"));
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn rename(&mut self, renames: &[(&String, &String)]) -> Result<()> {
        self.send("BEGIN", "begin the renames")?;
        self.send("SET LOCAL lock_timeout = '5s'", "bound the wait for locks")?;
        for (from, to) in renames {
            self.send(&format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to)), &format!("rename {from} to {to}"))?;
        }
        for (_, to) in renames.iter().filter(|(_, to)| *to != &self.databases.before) {
            self.send(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", identifier(to)), "open a database to sessions")?;
        }
        self.send("COMMIT", "commit the renames")
    }

    /// Lets sessions in again after an exchange that did not come to its end.
    fn open(&mut self) -> Result<()> {
        let (live, stage, _) = self.look()?;
        for (name, found) in [(&self.databases.live, live), (&self.databases.stage, stage)] {
            if found.is_some_and(|found| !found.open) {
                self.send(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", identifier(name)), "open a database to sessions")?;
            }
        }
        Ok(())
    }

    fn send(&mut self, statement: &str, what: &str) -> Result<()> {
        (self.hook)(statement);
        self.session.run(statement, what)
    }

    fn unknown(&self, verb: &str, (live, stage, before): &(Option<Found>, Option<Found>, Option<Found>)) -> Error {
        let Databases { live: live_name, stage: stage_name, before: before_name, .. } = self.databases;
        let there = |name: &str, found: &Option<Found>| format!("{name:?} is {}", if found.is_some() { "there" } else { "not there" });
        let state = [there(live_name, live), there(stage_name, stage), there(before_name, before)].join(", ");
        Error::needs_person(format!("cannot {verb}: {state}"))
    }
}
