//! The swap of databases: cut over, undo, discard. Every verb first looks at which databases are there, so that it goes on from wherever a crash left it.
//!
//! Both renames are one transaction: there is no instant at which the live name is nobody's. Before it, the live database is closed to new sessions, or clients
//! that reconnect all the time (zync's queue does) would never leave the moment in which a rename is possible. The marks change in the same transaction.

mod sides;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plan::ids::DataSetName;
use plan::ports::{Context, Discard, MarkRole, Undone};
use plan::{Class, Error, Result};

use crate::address::Address;
use crate::blockers;
use crate::ids::{Keeping, Of};
use crate::mark::{self, InPlace, Tag};
use crate::place::Databases;
use crate::session::Session;
use crate::sql::{identifier, literal};
use sides::{Found, Sides};

/// How long what is live is closed to new sessions in one try: who connects meanwhile waits as long, at most.
const CLOSED: Duration = Duration::from_millis(600);
/// How long a rename waits for a lock.
const LOCK_WAIT: Duration = Duration::from_millis(300);
/// Between two tries, in which everybody is let in.
const PAUSE: Duration = Duration::from_millis(300);

/// Called with each statement before it is sent: tests end the process there.
pub(crate) type Hook = dyn Fn(&str) + Send + Sync;

/// A swap on one server.
pub(crate) struct Swap<'a> {
    /// In the maintenance database.
    pub(crate) session: Session,
    /// The run, its installation, the operator.
    pub(crate) context: &'a Context,
    /// Of which data set.
    pub(crate) data_set: DataSetName,
    /// The live database.
    pub(crate) address: &'a Address,
    /// The names.
    pub(crate) databases: &'a Databases,
    /// How long sessions may take to go.
    pub(crate) wait: Duration,
    /// See [`Hook`].
    pub(crate) hook: &'a Hook,
}

/// One of the three databases of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Live,
    Stage,
    Before,
}

/// What came of a try.
enum Tried {
    Done,
    /// Somebody was in the way.
    NotInTime(Error),
}

/// A rename, and the comment that belongs to the new name.
struct Move {
    from: Side,
    to: Side,
    comment: Option<String>,
}

/// That a staged copy may be made anew: what is there is this run's, and not cut over.
///
/// # Errors
/// [`Class::NeedsPerson`] when it is another's.
pub(crate) fn refuse_others(session: &mut Session, context: &Context, databases: &Databases) -> Result<()> {
    let sides = Sides::look(session, databases, &context.run)?;
    sides.check_owner()?;
    if sides.before.is_some() {
        return Err(Error::failed("this run has begun its cut-over: it cannot load again")
            .hint("Go on with `resume`, or take it back with `undo`."));
    }
    Ok(())
}

impl<'a> Swap<'a> {
    /// The restored data becomes live, the previous data `before`.
    ///
    /// # Errors
    /// When the sessions cannot be ended in time: they are named, and nothing is changed. [`Class::NeedsPerson`] when what is there is not what this run left.
    pub(crate) fn cut_over(&mut self) -> Result<()> {
        let sides = self.look()?;
        sides.check_owner()?;
        let live_oid = self.databases.live_oid;
        match (&sides.live, &sides.stage, &sides.before) {
            (Some(live), Some(stage), None) => {
                if live_oid.is_some_and(|oid| oid != live.oid) {
                    let text = format!("the database was replaced after run {} was planned", self.context.run);
                    return Err(sides
                        .unknown(&text)
                        .hint(format!("`undo {}` drops the staged copy; then restore again.", self.context.run)));
                }
                let looked = self.refuse_half_loaded(live)?;
                let next_ids = self.keep_ids_ahead(looked)?;
                self.exchange(&[self.out(live, stage, next_ids)?, self.moving_in(stage)])
            }
            (None, Some(_), None) if live_oid.is_none() => self.exchange(&[Move { from: Side::Stage, to: Side::Live, comment: None }]),
            (None, Some(stage), Some(before)) => {
                sides.check_swapped(stage, before)?;
                self.exchange(&[self.moving_in(stage)])
            }
            (Some(live), None, Some(before)) => {
                sides.check_swapped(live, before)?;
                self.open()
            }
            (Some(live), None, None) if live_oid.is_none() && live.is_marked_by(&self.context.run) => self.open(),
            _ => Err(sides.unknown("cannot cut over")),
        }
    }

    /// The previous data becomes live again, the restored data `stage`. Says when nothing of the run is there.
    ///
    /// # Errors
    /// As [`Swap::cut_over`].
    pub(crate) fn undo(&mut self) -> Result<Undone> {
        let sides = self.look()?;
        sides.check_owner()?;
        let live_oid = self.databases.live_oid;
        match (&sides.live, &sides.stage, &sides.before) {
            (Some(live), None, Some(before)) => {
                sides.check_swapped(live, before)?;
                let looked = self.refuse_half_loaded(live)?;
                self.carry_ids_back(before, looked);
                self.exchange(&[self.out_again(live)?, self.back(before)])?;
            }
            (None, _, Some(before)) => {
                sides.check_previous(before)?;
                self.exchange(&[self.back(before)])?;
            }
            (Some(live), None, None) if live_oid.is_none() && live.is_marked_by(&self.context.run) => {
                self.exchange(&[Move { from: Side::Live, to: Side::Stage, comment: None }])?;
            }
            (Some(_), Some(_), None) => self.open()?,
            (None, Some(_), None) if live_oid.is_none() => {}
            // Object ids and the cluster's identifier prove nothing: a copy of the data folder has the same.
            (_, None, None) => return Ok(Undone::NothingThere),
            _ => return Err(sides.unknown("cannot undo")),
        }
        Ok(Undone::PreviousIsLive)
    }

    /// Refuses what is not what is to go.
    ///
    /// # Errors
    /// [`Class::NeedsPerson`] when what is there may be the only copy, or is another's.
    pub(crate) fn check_discard(&mut self, what: Discard) -> Result<()> {
        self.going(what).map(drop)
    }

    fn going(&mut self, what: Discard) -> Result<Sides<'a>> {
        let sides = self.look()?;
        sides.check_owner()?;
        let Databases { live: live_name, stage, before, live_oid, .. } = self.databases;
        match (&sides.live, &sides.stage, &sides.before) {
            (None, _, Some(_)) => {
                return Err(Error::needs_person(format!("{live_name:?} is not there: {before:?} may be the only copy"))
                    .hint("Call undo or resume first."));
            }
            (None, Some(_), None) if live_oid.is_some() => {
                return Err(Error::needs_person(format!("{live_name:?} is not there: {stage:?} may be the only copy")));
            }
            (Some(_), _, Some(_)) if what == Discard::Staged => {
                return Err(Error::needs_person(format!("run {} is cut over: database {before:?} is the previous data", self.context.run))
                    .hint("Nothing was dropped. `undo` makes it live again; `settle` drops it."));
            }
            // The previous data under the live name proves an undo or no cut-over, `before` next to it is then not ours to explain.
            (Some(live), _, Some(_)) if *live_oid == Some(live.oid) => return Err(sides.unknown("cannot discard")),
            // What is live by now is no matter: only that `before` is what this run put there.
            (_, _, Some(previous)) => sides.check_previous(previous)?,
            _ => {}
        }
        Ok(sides)
    }

    /// Drops what is beside the live database: the previous data only when it is what is to go.
    ///
    /// # Errors
    /// As [`Swap::check_discard`].
    pub(crate) fn discard(&mut self, what: Discard) -> Result<()> {
        let sides = self.going(what)?;
        let Databases { live: live_name, stage, before, .. } = self.databases;
        for (name, _) in [(stage, &sides.stage), (before, &sides.before)].into_iter().filter(|(_, found)| found.is_some()) {
            (self.hook)("DROP DATABASE");
            blockers::drop_database(&mut self.session, name)?;
        }
        if let Some(live) = sides.live.as_ref().filter(|live| what == Discard::Previous && live.is_marked_by(&self.context.run)) {
            self.send(&mark::comment_on(live_name, live.own_comment().as_deref()), "remove the mark on the live database")?;
        }
        Ok(())
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

    fn look(&mut self) -> Result<Sides<'a>> {
        Sides::look(&mut self.session, self.databases, &self.context.run)
    }

    const fn keeping(&self) -> Keeping<'a> {
        Keeping { context: self.context, data_set: self.data_set }
    }

    fn session_in(&self, side: Side) -> Result<Session> {
        Session::open(&self.address.with_database(self.name(side)))
    }

    /// The session in the live database that has looked into it, else one that is opened.
    fn in_live(&self, looked: Option<Session>) -> Result<Session> {
        looked.map_or_else(|| self.session_in(Side::Live), Ok)
    }

    /// The staged sequences go on where the live ones do. Gives where that is.
    fn keep_ids_ahead(&mut self, looked: Option<Session>) -> Result<BTreeMap<String, i128>> {
        // An earlier call may have closed them.
        self.open()?;
        let live = self.keeping().standing(&mut self.in_live(looked)?, Of::Live)?;
        self.keeping().ahead(&mut self.session_in(Side::Stage)?, &live)
    }

    /// The previous sequences give no id that the restored ones gave. What cannot be done of it is told, and stops no undo.
    fn carry_ids_back(&mut self, before: &Found, looked: Option<Session>) {
        let Some(then) = before.tag().map(|tag| tag.next_ids).filter(|then| !then.is_empty()) else { return };
        let carry = || {
            self.open()?;
            let restored = self.keeping().standing(&mut self.in_live(looked)?, Of::Live)?;
            let name = identifier(&self.databases.before);
            self.send(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"), "open a database to sessions")?;
            self.keeping().carry_back(&mut self.session_in(Side::Before)?, Of::Live, &restored, &then)
        };
        if let Err(error) = carry() {
            self.keeping().not_carried_back(&error);
        }
    }

    /// The live data goes to `before`, with a mark that says what came in its place.
    fn out(&self, live: &Found, stage: &Found, next_ids: BTreeMap<String, i128>) -> Result<Move> {
        let tag = Tag::of(self.context, self.data_set, MarkRole::Previous, &self.databases.live, live.own_comment());
        let tag = Tag { replaced_by: Some(stage.oid), next_ids, ..tag };
        Ok(Move { from: Side::Live, to: Side::Before, comment: Some(tag.put_on(&self.databases.before)?) })
    }

    /// The staged data becomes live, with its own comment.
    fn moving_in(&self, stage: &Found) -> Move {
        let comment = stage.tag().map(|tag| mark::comment_on(&self.databases.live, tag.comment.as_deref()));
        Move { from: Side::Stage, to: Side::Live, comment }
    }

    /// The restored data goes back to `stage`, marked as a staged copy.
    fn out_again(&self, live: &Found) -> Result<Move> {
        let tag = Tag::of(self.context, self.data_set, MarkRole::Staged, &self.databases.live, live.own_comment());
        Ok(Move { from: Side::Live, to: Side::Stage, comment: Some(tag.put_on(&self.databases.stage)?) })
    }

    /// The previous data becomes live again, with its own comment.
    fn back(&self, before: &Found) -> Move {
        let comment = before.tag().map(|tag| mark::comment_on(&self.databases.live, tag.comment.as_deref()));
        Move { from: Side::Before, to: Side::Live, comment }
    }

    /// Nobody swaps what is being replaced in place. What takes no sessions cannot be looked into: an earlier call of ours closed it. Gives the session that looked.
    fn refuse_half_loaded(&self, live: &Found) -> Result<Option<Session>> {
        if !live.open {
            return Ok(None);
        }
        let mut session = self.session_in(Side::Live)?;
        match InPlace::find(&mut session)? {
            Some(found) => Err(found.refusal(&self.databases.live)),
            None => Ok(Some(session)),
        }
    }

    const fn name(&self, side: Side) -> &'a String {
        match side {
            Side::Live => &self.databases.live,
            Side::Stage => &self.databases.stage,
            Side::Before => &self.databases.before,
        }
    }

    /// Closes, frees, renames, opens. When it cannot be had at once, all is let in again before the next try.
    fn exchange(&mut self, moves: &[Move]) -> Result<()> {
        let deadline = Instant::now() + self.wait;
        let names: Vec<&str> = moves.iter().map(|one| self.name(one.from).as_str()).collect();
        loop {
            let (error, is_final) = match self.close_and_rename(moves, &names, deadline.min(Instant::now() + CLOSED)) {
                Ok(Tried::Done) => return Ok(()),
                Ok(Tried::NotInTime(error)) => (error, Instant::now() >= deadline),
                Err(error) => (error, true),
            };
            // Whatever happened, what is live must take sessions again. When that fails, too, the next call does it.
            if let Err(second) = self.open() {
                return Err(error.hint(format!("The live database could not be opened again: {}. Call resume or undo.", second.chain())));
            }
            if is_final {
                return Err(error.hint("Nothing was changed."));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn close_and_rename(&mut self, moves: &[Move], names: &[&str], deadline: Instant) -> Result<Tried> {
        for name in names {
            self.send(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", identifier(name)), "close a database to new sessions")?;
        }
        loop {
            (self.hook)("end sessions");
            if let Err(error) = blockers::end_sessions(&mut self.session, names, deadline, &self.context.stop) {
                self.context.stop.check()?;
                return Ok(Tried::NotInTime(error));
            }
            match self.rename(moves) {
                // Somebody was between login and the list of sessions, or holds a lock: look again who it is.
                Err(error) if error.class() == Class::Transient && Instant::now() < deadline => {
                    self.session.run("ROLLBACK", "roll the renames back")?
                }
                Err(error) => {
                    // Fails only when the connection is lost, and the transaction with it.
                    drop(self.session.run("ROLLBACK", "roll the renames back"));
                    return if error.class() == Class::Transient { Ok(Tried::NotInTime(error)) } else { Err(error) };
                }
                Ok(()) => return Ok(Tried::Done),
            }
        }
    }

    fn rename(&mut self, moves: &[Move]) -> Result<()> {
        self.send("BEGIN", "begin the renames")?;
        self.send(&format!("SET LOCAL lock_timeout = {}", LOCK_WAIT.as_millis()), "bound the wait for locks")?;
        for one in moves {
            let (from, to) = (self.name(one.from), self.name(one.to));
            self.send(&format!("ALTER DATABASE {} RENAME TO {}", identifier(from), identifier(to)), &format!("rename {from} to {to}"))?;
            if let Some(comment) = &one.comment {
                self.send(comment, "say whose a database is")?;
            }
        }
        for one in moves.iter().filter(|one| one.to != Side::Before) {
            let to = identifier(self.name(one.to));
            self.send(&format!("ALTER DATABASE {to} ALLOW_CONNECTIONS true"), "open a database to sessions")?;
        }
        self.send("COMMIT", "commit the renames")
    }

    /// Lets sessions in again after an exchange that did not come to its end.
    fn open(&mut self) -> Result<()> {
        let sides = self.look()?;
        for (name, found) in [(&self.databases.live, sides.live), (&self.databases.stage, sides.stage)] {
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
}
