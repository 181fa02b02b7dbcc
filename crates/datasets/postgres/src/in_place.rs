//! Replaces what is in the live database, in one transaction: it ends equal to the set, or stays as it was. For a role that may make no other database.
//!
//! `pg_restore` turns the archive into statements for one `psql` session that has begun the transaction and moved the live data aside ([`crate::aside`]);
//! `pg_restore` writes the COMMIT last. Whatever fails before it, `psql` goes without one and the server rolls back. The previous data stays aside until it is settled.
//!
//! Meanwhile the database bears a mark. It goes in the same transaction; after a kill it stays, and says that nobody ended the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plan::ids::DataSetName;
use plan::ports::{Context, Discard, Undone};
use plan::{Error, Result};

use crate::address::Address;
use crate::aside::{self, What};
use crate::blockers;
use crate::facts;
use crate::failure::has_code;
use crate::mark::{self, Tag};
use crate::properties::Properties;
use crate::rights::Rights;
use crate::rules::{EXTENSIONS_PARTS, Omissions, Tolerance};
use crate::server::Server;
use crate::session::Session;
use crate::stage::Loading;
use crate::through_psql::Script;

/// How long sessions of others may take to go.
const CLEARING_WAIT: Duration = Duration::from_secs(10);
/// How long an undo waits for a lock before it gives back those that it has; and how long it is tried.
const LOCK_WAIT: Duration = Duration::from_millis(300);
const UNDO_WAIT: Duration = Duration::from_secs(60);

/// Begins the transaction; sets what the role, the database or the server may have set otherwise.
const BEGIN: &str = r"
\set ON_ERROR_STOP on
SET default_transaction_read_only = off; SET statement_timeout = 0; SET lock_timeout = '60s'; SET client_min_messages = warning;
BEGIN;
";

impl Loading<'_> {
    /// Replaces the contents of the live database.
    ///
    /// # Errors
    /// When anything fails: then the live database is as it was.
    pub(crate) fn in_place(&self) -> Result<()> {
        let mut session = Session::open(self.address)?;
        let server = Server::read(&mut session)?;
        let run = &self.context.run;
        let is_again = aside::find(&mut session, What::Before, run)?.is_some();
        if is_again {
            session.run(&aside::drop_extensions(run), "drop the extensions that an earlier call made")?;
        }
        let rights = Rights::read(&mut session, &server)?.beside_what_is_there(&mut session)?;
        if let Some(live) = Properties::read(&mut session, &self.address.database, server.major)? {
            let differing = self.archive.properties()?.differences(&live);
            if !differing.is_empty() {
                self.warn(&format!("the database itself stays as it is, other than in the set: {}", differing.join(", ")));
            }
        }
        let mut omissions = Omissions::of(&rights);
        omissions.tolerance = staying(&rights, &facts::list(&self.kept.evidence, facts::EXTENSIONS)?);
        // What an earlier call of this run loaded is not the previous data.
        let (what, then) = if is_again { (What::Stage, aside::drop(What::Stage, run)) } else { (What::Before, String::new()) };
        let out = aside::out(self.context, self.data_set, what, Some(facts::major(&self.kept.evidence, facts::CLIENT_MAJOR)?))?;
        let first = format!("{BEGIN}{out}{then}DROP SCHEMA IF EXISTS {};\n", mark::SCHEMA);
        let what = "replace the contents of the live database (it is as it was)";
        let script = Script { first: &first, in_one_transaction: true, what };
        let cleared = blockers::end_sessions(&mut session, &[&self.address.database], Instant::now() + CLEARING_WAIT, &self.context.stop);
        // A session that stays does harm only when it holds a lock; the wait for locks is bounded, too.
        if let Err(error) = cleared {
            self.context.stop.check()?;
            self.warn(&format!("{}; {}", error.chain(), error.hints().join(" ")));
        }
        mark::put(&mut session, self.context, self.data_set, &self.address.database)?;
        drop(session);
        let replaced = self.through_psql(self.address, &mut omissions, &script);
        let mut session = match Session::open(self.address) {
            Ok(session) => session,
            Err(error) => return replaced.and(Err(error)),
        };
        if replaced.is_err() {
            // It is as it was. What cannot be removed now is removed by the next call.
            drop(mark::remove(&mut session, self.context));
        }
        replaced?;
        omissions.tell(self.context, self.data_set);
        self.tell_public(&mut session, &rights)?;
        if let Some(tag) = aside::find(&mut session, What::Before, run)? {
            aside::note(&mut session, run, &Tag { tolerance: omissions.tolerance, ..tag })?;
        }
        session.cancellable(&[&self.context.stop], |session| session.run("ANALYZE", "gather the planner's statistics"))
    }
}

/// What stays, whatever the set has.
fn staying(rights: &Rights, of_the_set: &BTreeSet<String>) -> Tolerance {
    let count = |kind| u64::try_from(rights.staying(kind).count()).unwrap_or(u64::MAX);
    // Of the superuser's own event triggers, those of the set stand beside those that are aside.
    let mut more: BTreeMap<String, u64> = [("extensions", count("EXTENSION")), ("event triggers", u64::MAX), ("schemas", count("SCHEMA"))]
        .map(|(kind, count)| (kind.to_owned(), count))
        .into();
    if rights.staying("EXTENSION").any(|name| name != "plpgsql" && !of_the_set.contains(name)) {
        more.extend(EXTENSIONS_PARTS.map(|kind| (kind.to_owned(), u64::MAX)));
    }
    Tolerance { more, ..Tolerance::default() }
}

/// Undo, and the removal of what is aside, in the live database.
pub(crate) struct Aside<'a> {
    /// The run, its installation, the operator.
    pub(crate) context: &'a Context,
    /// Of which data set.
    pub(crate) data_set: DataSetName,
    /// The live database.
    pub(crate) address: &'a Address,
    /// What was live when the place was reserved; `None` in journals of releases that moved nothing aside.
    pub(crate) fingerprint: Option<&'a str>,
}

impl Aside<'_> {
    /// Moves the restored data aside and the previous data back, in one transaction.
    ///
    /// # Errors
    /// When a lock cannot be had in time, or what is aside is another's: nothing is changed.
    pub(crate) fn undo(&self) -> Result<Undone> {
        let Some(fingerprint) = self.fingerprint else { return Err(no_way_back()) };
        let run = &self.context.run;
        let mut session = Session::open(self.address)?;
        if aside::find(&mut session, What::Before, run)?.is_none() {
            mark::remove(&mut session, self.context)?;
            let is_previous = aside::find(&mut session, What::Stage, run)?.is_some() || aside::fingerprint(&mut session)? == fingerprint;
            return Ok(if is_previous { Undone::PreviousIsLive } else { Undone::NothingThere });
        }
        self.refuse_out_of_order(&mut session)?;
        let out = aside::out(self.context, self.data_set, What::Stage, None)?;
        let (extensions, back) = (aside::drop_extensions(run), aside::back(What::Before, run));
        let wait = LOCK_WAIT.as_millis();
        let statements = format!("BEGIN; SET LOCAL lock_timeout = {wait}; {extensions} {out} {back} COMMIT");
        let deadline = Instant::now() + UNDO_WAIT;
        loop {
            let round = Instant::now() + CLEARING_WAIT;
            if blockers::end_sessions(&mut session, &[&self.address.database], round, &self.context.stop).is_err() {
                self.context.stop.check()?;
            }
            match session.run(&statements, "put the previous data back (all is as it was)") {
                Ok(()) => break,
                // Behind a lock that is waited for the application would wait: it is given back before the next try.
                Err(error) if has_code(&error, "55P03") && Instant::now() < deadline => session.run("ROLLBACK", "give the locks back")?,
                Err(error) => return Err(error),
            }
        }
        mark::remove(&mut session, self.context)?;
        Ok(Undone::PreviousIsLive)
    }

    /// What a later run moved aside is what this one had put there.
    fn refuse_out_of_order(&self, session: &mut Session) -> Result<()> {
        let all = aside::all(session)?.into_iter().filter(|aside| aside.what == What::Before);
        let later = all.skip_while(|aside| aside.tag.threescale_backup.run != self.context.run).nth(1);
        let Some(later) = later else { return Ok(()) };
        let owner = later.tag.threescale_backup.owner();
        Err(Error::needs_person(format!("{owner} replaced the data after run {}: nothing was changed", self.context.run))
            .hint(format!("Take that run back first, or settle it: `undo {}`.", later.tag.threescale_backup.run)))
    }

    /// Refuses what is another's.
    ///
    /// # Errors
    /// The server's; [`plan::Class::NeedsPerson`] when something is.
    pub(crate) fn check_discard(&self, what: Discard) -> Result<()> {
        let mut session = Session::open(self.address)?;
        going(what).iter().try_for_each(|what| aside::find(&mut session, *what, &self.context.run).map(drop))
    }

    /// Drops what is aside.
    ///
    /// # Errors
    /// The server's; [`plan::Class::NeedsPerson`] when it is another's.
    pub(crate) fn discard(&self, what: Discard) -> Result<()> {
        let run = &self.context.run;
        let mut session = Session::open(self.address)?;
        for what in going(what).iter().copied() {
            if aside::find(&mut session, what, run)?.is_some() {
                session.run(&format!("BEGIN; {} COMMIT", aside::drop(what, run)), "drop what is aside")?;
            }
        }
        // A mark that stays says that a load has not ended.
        if what == Discard::Previous { mark::remove(&mut session, self.context) } else { Ok(()) }
    }

    /// Bytes of what is aside.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn kept_bytes(&self) -> Result<u64> {
        aside::bytes(&mut Session::open(self.address)?, &self.context.run)
    }
}

const fn going(what: Discard) -> &'static [What] {
    match what {
        Discard::Staged => &[What::Stage],
        Discard::Previous => &[What::Stage, What::Before],
    }
}

/// What `undo` says of a place that a release before 0.2.0 restored in place.
fn no_way_back() -> Error {
    Error::needs_person("the data was replaced in place: there is no previous copy on the server")
        .hint("Restore the safety copy that was taken into the repository before: `restore` of the set marked as the run's safety copy.")
}
