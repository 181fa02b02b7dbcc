//! Replaces what is in the live database, in one transaction: it ends equal to the set, or stays as it was. For a role that may make no other database.
//!
//! `pg_restore` turns the archive into statements for one `psql` session that has begun the transaction and moved the live data aside ([`crate::aside`]);
//! `pg_restore` writes the COMMIT last. Whatever fails before it, `psql` goes without one and the server rolls back. The previous data stays aside until it is settled.
//!
//! Meanwhile the database bears a mark. It goes in the same transaction; after a kill it stays, and says that nobody ended the run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plan::ids::DataSetName;
use plan::ports::{Context, Discard, StopFlag, Undone};
use plan::{Error, Result};

use crate::address::Address;
use crate::aside::{self, What};
use crate::blockers;
use crate::facts;
use crate::failure::lost_to_another;
use crate::ids::{Keeping, Of};
use crate::mark::{self, Tag};
use crate::properties::Properties;
use crate::rights::Rights;
use crate::rules::{EXTENSIONS_PARTS, Omissions, Tolerance};
use crate::server::Server;
use crate::session::Session;
use crate::stage::Loading;
use crate::through_psql::Script;

/// How long the sessions of others may take to go in one try.
const CLEARING_WAIT: Duration = Duration::from_millis(600);
/// How long a lock is waited for before all that are held are given back: behind it the application would wait.
const LOCK_WAIT: Duration = Duration::from_millis(300);
/// Between two tries, in which everybody is let in.
const PAUSE: Duration = Duration::from_millis(300);

/// Begins the transaction; sets what the role, the database or the server may have set otherwise. Errors come with their codes until [`BEGUN`].
const BEGIN: &str = r"
\set ON_ERROR_STOP on
\set VERBOSITY verbose
SET default_transaction_read_only = off; SET statement_timeout = 0; SET client_min_messages = warning;
BEGIN;
";
const BEGUN: &str = "\\set VERBOSITY default\n";

/// Ends the sessions of others and does it, for so long as somebody else holds a lock.
fn in_turns<T>(
    address: &Address,
    stop: &StopFlag,
    wait: Duration,
    mut attempt: impl FnMut(Session) -> Result<T>,
) -> Result<(T, Option<Error>)> {
    let deadline = Instant::now() + wait;
    loop {
        let mut session = Session::open(address)?;
        // A session that stays does harm only when it holds a lock.
        let left = blockers::end_sessions(&mut session, &[&address.database], Instant::now() + CLEARING_WAIT, stop).err();
        stop.check()?;
        match attempt(session) {
            Ok(done) => return Ok((done, left)),
            Err(error) if !lost_to_another(&error) => return Err(error),
            Err(error) if Instant::now() >= deadline => {
                return Err(left.iter().flat_map(Error::hints).fold(error, |error, hint| error.hint(hint.clone())));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

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
        let tolerance = staying(&rights, &facts::list(&self.kept.evidence, facts::EXTENSIONS)?);
        // What an earlier call of this run loaded is not the previous data.
        let (what, then) = if is_again { (What::Stage, aside::drop(What::Stage, run)) } else { (What::Before, String::new()) };
        let out = aside::out(self.context, self.data_set, what, Some(facts::major(&self.kept.evidence, facts::CLIENT_MAJOR)?))?;
        let wait = format!("SET LOCAL lock_timeout = {};\n", LOCK_WAIT.as_millis());
        let first = format!("{BEGIN}{wait}{out}{then}DROP SCHEMA IF EXISTS {};\n{BEGUN}", mark::SCHEMA);
        let what = "replace the contents of the live database (it is as it was)";
        let script = Script { first: &first, in_one_transaction: true, what };
        drop(session);
        let (omissions, left) = in_turns(self.address, &self.context.stop, self.wait, |session| {
            let mut omissions = Omissions::of(&rights);
            omissions.tolerance = tolerance.clone();
            self.replace(session, &mut omissions, &script).map(|()| omissions)
        })?;
        if let Some(left) = left {
            self.warn(&format!("{}; {}", left.chain(), left.hints().join(" ")));
        }
        let mut session = Session::open(self.address)?;
        omissions.tell(self.context, self.data_set);
        self.tell_public(&mut session, &rights)?;
        if let Some(tag) = aside::find(&mut session, What::Before, run)? {
            let keeping = Keeping { context: self.context, data_set: self.data_set };
            let previous = keeping.standing(&mut session, Of::Before(run))?;
            let next_ids = keeping.ahead(&mut session, &previous)?;
            aside::note(&mut session, run, &Tag { tolerance: omissions.tolerance, next_ids, ..tag })?;
        }
        session.cancellable(&[&self.context.stop], |session| session.run("ANALYZE", "gather the planner's statistics"))
    }

    fn replace(&self, mut session: Session, omissions: &mut Omissions<'_>, script: &Script<'_>) -> Result<()> {
        mark::put(&mut session, self.context, self.data_set, &self.address.database)?;
        drop(session);
        let replaced = self.through_psql(self.address, omissions, script);
        if replaced.is_err() {
            // It is as it was. What cannot be removed now is removed by the next call.
            drop(Session::open(self.address).and_then(|mut session| mark::remove(&mut session, self.context)));
        }
        replaced
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
    /// How long a lock is tried for.
    pub(crate) wait: Duration,
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
        let Some(tag) = aside::find(&mut session, What::Before, run)? else {
            mark::remove(&mut session, self.context)?;
            let is_previous = aside::find(&mut session, What::Stage, run)?.is_some() || aside::fingerprint(&mut session)? == fingerprint;
            return Ok(if is_previous { Undone::PreviousIsLive } else { Undone::NothingThere });
        };
        self.refuse_out_of_order(&mut session)?;
        self.carry_ids_back(&mut session, &tag);
        let out = aside::out(self.context, self.data_set, What::Stage, None)?;
        let (extensions, back) = (aside::drop_extensions(run), aside::back(What::Before, run));
        let statements = format!("BEGIN; SET LOCAL lock_timeout = {}; {extensions} {out} {back} COMMIT", LOCK_WAIT.as_millis());
        drop(session);
        in_turns(self.address, &self.context.stop, self.wait, |mut session| {
            session.run(&statements, "put the previous data back (all is as it was)")
        })?;
        mark::remove(&mut Session::open(self.address)?, self.context)?;
        Ok(Undone::PreviousIsLive)
    }

    /// What cannot be done of it is told, and stops no undo.
    fn carry_ids_back(&self, session: &mut Session, tag: &Tag) {
        let keeping = Keeping { context: self.context, data_set: self.data_set };
        let restored = keeping.standing(session, Of::Live);
        let carried = restored.and_then(|restored| keeping.carry_back(session, Of::Before(&self.context.run), &restored, &tag.next_ids));
        carried.unwrap_or_else(|error| keeping.not_carried_back(&error));
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
