//! The swap and its way back.
//!
//! What the live database has is saved in the record before anything is dropped. Tables and views move in ONE `RENAME TABLE`, which the server does wholly or not at
//! all; so from where they are one sees whether it was done. Everything else is asked for before it is done. So both verbs can be interrupted anywhere and called
//! again. An object that cannot be made stops neither: it is told and stays in the record.
//!
//! A restore in place is the same swap with nothing staged: the previous tables are moved away first, then the set is loaded where they were.

mod constraints;
mod cover;
mod defaults;
mod ids;
pub(crate) mod in_place;
mod pointing;
mod swap;

use std::collections::BTreeSet;

use plan::ids::DataSetName;
use plan::ports::{Context, Event, Road, Undone};
use plan::{Class, Error, Result};

use crate::blockers;
use crate::mark;
use crate::objects::{self, Unmade};
use crate::place::{Schemas, Side};
use crate::quote;
use crate::record::{Document, Record, State, drop_schema};
use crate::schema::{Objects, Schema, read};
use crate::server::Server;
use crate::session::{Session, Talk};
use crate::store::MysqlStore;
use swap::{Moves, Rooms};

pub(crate) use cover::uncover;
pub(crate) use ids::next_of;
pub(crate) use pointing::problems as foreign_keys;
pub(crate) use swap::drop_within;

/// What both verbs work with.
struct Swap<'a> {
    session: Session,
    context: &'a Context,
    data_set: DataSetName,
    schemas: &'a Schemas,
    record: Record,
    server: Server,
}

impl<'a> Swap<'a> {
    fn open(store: &MysqlStore, context: &'a Context, schemas: &'a Schemas) -> Result<Self> {
        let mut session = store.restoring(Talk::Text, schemas, None)?;
        session.be_patient();
        if read::exists(&mut session, &schemas.live)? {
            session.enter(&schemas.live)?;
        }
        let server = Server::ask(&mut session)?;
        Ok(Self { session, context, data_set: store.name, schemas, record: Record::at(schemas), server })
    }

    fn set(&mut self) -> Result<Objects> {
        self.record.need::<Schema>(&mut self.session, Document::Set).map(|schema| schema.objects)
    }

    fn live(&mut self) -> Result<Objects> {
        self.record.need(&mut self.session, Document::Live)
    }

    /// How far this run came.
    fn came_to(&mut self) -> Result<Option<State>> {
        self.record.state_of(&mut self.session, &self.context.run)
    }

    /// This run is not live, or no longer.
    fn uncover(&mut self) -> Result<()> {
        uncover(&mut self.session, &self.schemas.live, &self.record, &self.context.run)
    }

    fn state(&mut self, state: State) -> Result<()> {
        self.record.write_state(&mut self.session, state)
    }

    /// The tables that a cut-over brings; none in place, where they are loaded after it.
    fn staged<'b>(&self, set: &'b Objects) -> &'b [String] {
        if self.schemas.road == Road::InPlace { &[] } else { &set.tables }
    }

    /// The state in which nothing of the live database is touched yet.
    fn before_the_swap(&self) -> State {
        if self.schemas.road == Road::InPlace { State::Staging } else { State::Staged }
    }

    /// Makes what is not there. What cannot be made is told, and its definition stays in the record.
    fn make(&mut self, objects: &Objects, side: Side) -> Result<()> {
        let of = unmade_of(side);
        let watch = &self.context.watch;
        let unmade = objects::make_missing(
            &mut self.session,
            &mut |text| watch.see(Event::Warning(text)),
            self.server.kind,
            &self.schemas.live,
            objects,
        )?;
        objects::grant_again(&mut self.session, &mut |text| watch.see(Event::Warning(text)), &self.schemas.live, objects)?;
        for one in &unmade {
            let text = format!("{}. Its definition is in {} (name = '{}')", one.text(), self.record.table(), of.name());
            watch.see(Event::Warning(&text));
        }
        // What an earlier call could not put back is dropped no more.
        let mut all = if of == Document::NotPutBack {
            self.record.read::<Vec<Unmade>>(&mut self.session, of)?.unwrap_or_default()
        } else {
            Vec::new()
        };
        all.retain(|told| objects.all().all(|object| (object.kind, &object.name) != (told.object.kind, &told.object.name)));
        all.extend(unmade);
        if all.is_empty() { self.record.remove(&mut self.session, of) } else { self.record.write(&mut self.session, of, &all) }
    }

    /// A database that is not there is made, with the set's character set. The record says that there was none.
    fn make_database(&mut self, set: &Objects) -> Result<()> {
        if read::exists(&mut self.session, &self.schemas.live)? {
            return Ok(());
        }
        self.record.write(&mut self.session, Document::Absent, &true)?;
        self.create_database(set)
    }

    fn create_database(&mut self, objects: &Objects) -> Result<()> {
        create_schema(&mut self.session, "make the database, which is not there", &self.schemas.live, objects)?;
        self.session.enter(&self.schemas.live)
    }

    /// After an undo: where there was no database there is none again, unless somebody put something into it. One that holds the record goes with that.
    fn drop_database_that_was_absent(&mut self) -> Result<()> {
        if self.schemas.is_within() || !self.record.was_absent(&mut self.session)? {
            return Ok(());
        }
        let watch = &self.context.watch;
        drop_if_unused(&mut self.session, &self.schemas.live, &mut |text| watch.see(Event::Warning(text)))?;
        self.record.remove(&mut self.session, Document::Absent)
    }

    /// Saves what the live database has now, together with what was saved before: an earlier call may have dropped some of it already.
    fn save(&mut self) -> Result<Objects> {
        let mut now = read::objects(&mut self.session, &self.schemas.live)?;
        if self.record.state(&mut self.session)? == Some(State::Saved) {
            let saved = self.live()?;
            let has: BTreeSet<_> = now.all().map(|object| (object.kind, object.name.clone())).collect();
            let dropped = |of: &[crate::schema::Object]| {
                of.iter().filter(|object| !has.contains(&(object.kind, object.name.clone()))).cloned().collect::<Vec<_>>()
            };
            // What was dropped goes first where order matters.
            now.routines.extend(dropped(&saved.routines));
            now.views.extend(dropped(&saved.views));
            now.triggers = in_saved_order(&saved, dropped(&saved.triggers).into_iter().chain(now.triggers).collect());
            now.events.extend(dropped(&saved.events));
            // They went with their routines.
            let gone: Vec<_> = saved.routine_grants.iter().filter(|grant| !now.routine_grants.contains(grant)).cloned().collect();
            now.routine_grants.extend(gone);
            (now.charset, now.collation) = (saved.charset, saved.collation);
        }
        constraints::note(self)?;
        self.record.write_with_state(&mut self.session, Document::Live, &now, State::Saved)?;
        Ok(now)
    }

    /// After a swap that could not be had: what was dropped comes back, the state is what it was, and the error names who is in the way.
    fn give_up(&mut self, error: Error, objects: &Objects, side: Side, state: State) -> Error {
        if error.class() == Class::Interrupted || !self.session.is_alive() {
            // Stopped, or the server is gone: the next call goes on from the record.
            return error;
        }
        self.session.insist();
        let busy = (error.class() == Class::Transient)
            .then(|| blockers::busy(&mut self.session, "could not lock the tables in time: another session holds one"));
        let is_beside = !matches!(state, State::Swapped | State::Done);
        let restored = pointing::put_right(self, side)
            .and_then(|()| self.make(objects, side))
            .and_then(|()| if is_beside { self.uncover() } else { Ok(()) })
            .and_then(|()| self.state(state));
        let error = match busy {
            Some(busy) => busy.because(error),
            None => error,
        };
        match restored {
            Ok(()) => error.hint("Everything is as it was."),
            Err(second) => error.hint(format!(
                "Putting the triggers, views, routines and events back failed too ({}): call `resume` or `undo`.",
                second.chain()
            )),
        }
    }
}

/// Where the objects of a side that cannot be made are in the record.
const fn unmade_of(side: Side) -> Document {
    match side {
        Side::Stage => Document::NotMade,
        Side::Before => Document::NotPutBack,
    }
}

/// Triggers in the order in which they were saved; new ones last.
fn in_saved_order(saved: &Objects, mut triggers: Vec<crate::schema::Object>) -> Vec<crate::schema::Object> {
    triggers.sort_by_key(|trigger| saved.triggers.iter().position(|of_saved| of_saved.name == trigger.name).unwrap_or(usize::MAX));
    triggers
}

/// Swaps the staged copy and the live tables.
pub(crate) fn cut_over(store: &MysqlStore, context: &Context, schemas: &Schemas) -> Result<()> {
    if schemas.road == Road::InPlace {
        return Ok(());
    }
    let mut swap = Swap::open(store, context, schemas)?;
    match swap.came_to()? {
        None => return Err(nothing_there(&swap)),
        Some(State::Staging) => {
            return Err(Error::failed("there is no whole staged copy to cut over to").hint("Stage and prove again."));
        }
        Some(State::Undoing) => return Err(half_undone()),
        Some(State::Done) => return drop_if_empty(&mut swap),
        Some(state @ (State::Staged | State::Undone | State::Saved)) => move_in(&mut swap, state)?,
        Some(State::Swapped) => {}
    }
    swap.session.insist();
    let set = swap.set()?;
    defaults::put_right(&mut swap)?;
    pointing::put_right(&mut swap, Side::Stage)?;
    ids::keep_ahead_of_kept(&mut swap)?;
    swap.make(&set, Side::Stage)?;
    swap.state(State::Done)?;
    drop_if_empty(&mut swap)
}

fn half_undone() -> Error {
    Error::failed("an undo of this run is half-way").hint("Finish it with `undo`.")
}

/// Somebody else ended the run, or this is another server.
fn nothing_there(swap: &Swap<'_>) -> Error {
    let Schemas { stage, before, .. } = swap.schemas;
    Error::needs_person(format!("there is neither a staged copy nor previous data of run {} here: nothing was changed", swap.context.run))
        .hint(format!("They would be in the schemas {stage:?} and {before:?}. Look whether this is the server that the run was begun on."))
}

/// Until the tables are swapped.
fn move_in(swap: &mut Swap<'_>, state: State) -> Result<()> {
    let set = swap.set()?;
    let staged = swap.staged(&set).to_vec();
    let rooms = Rooms::read(&mut swap.session, swap.schemas)?;
    if state == State::Saved && rooms.are_swapped(&swap.live()?, &staged) {
        return swap.state(State::Swapped);
    }
    if let Some(missing) = rooms.not_staged(&staged) {
        let text = format!("the staged copy of run {} lacks table {missing:?}: nothing was changed", swap.context.run);
        return Err(Error::needs_person(text).hint(format!("Somebody changed schema {:?}. Restore again.", swap.schemas.stage)));
    }
    if swap.schemas.road == Road::SideCopy {
        mark::refuse_half_loaded(&mut swap.session, &swap.schemas.live)?;
    }
    cover::refuse_strangers(swap)?;
    pointing::refuse_immovable(swap)?;
    swap.make_database(&set)?;
    swap::probe(&mut swap.session, &swap.schemas.live)?;
    ids::keep_ahead(swap, &staged)?;
    let live = swap.save()?;
    cover::cover(swap)?;
    let moved = pointing::set_aside(swap, Side::Before, &live.tables, &set.tables).and_then(|()| {
        let schemas = swap.schemas;
        objects::drop_all_but_views(&mut swap.session, &schemas.live)?;
        let mut moves = Moves::default();
        moves.add(&schemas.live(), &schemas.kept(), &live.tables);
        moves.add(&schemas.live(), &schemas.kept_views(), rooms.live_views(&live.views));
        moves.add(&schemas.aside(), &schemas.live(), &staged);
        moves.run(&mut swap.session)
    });
    if let Err(error) = moved {
        let state = if state == State::Saved { swap.before_the_swap() } else { state };
        return Err(swap.give_up(error, &live, Side::Before, state));
    }
    swap.state(State::Swapped)
}

/// Takes a cut-over back, as far as it came. Without a record nothing was swapped here, by this run: that is said.
pub(crate) fn undo(store: &MysqlStore, context: &Context, schemas: &Schemas) -> Result<Undone> {
    if !schemas.keeps_previous() {
        return Err(Error::needs_person("a restore in place by release 0.1.0 has no previous data beside it")
            .hint("Restore the safety copy that was taken before it."));
    }
    let mut swap = Swap::open(store, context, schemas)?;
    let state = match swap.came_to()? {
        None => return Ok(Undone::NothingThere),
        Some(State::Staging | State::Staged | State::Undone) => {
            swap.uncover()?;
            in_place::unmark(&mut swap)?;
            return swap.drop_database_that_was_absent().map(|()| Undone::PreviousIsLive);
        }
        Some(state) => state,
    };
    cover::refuse_covered(&mut swap)?;
    let (set, live) = (swap.set()?, swap.live()?);
    if !read::exists(&mut swap.session, &schemas.live)? {
        // Dropped after the cut-over, or by an earlier call of this.
        swap.create_database(&live)?;
    }
    let rooms = Rooms::read(&mut swap.session, schemas)?;
    let is_swapped = state != State::Saved || rooms.are_swapped(&live, swap.staged(&set));
    if is_swapped {
        if state != State::Undoing || !rooms.are_swapped_back(&live) {
            move_out(&mut swap, &rooms, state, &set, &live)?;
        }
        swap.session.insist();
        constraints::put_back(&mut swap)?;
    }
    pointing::put_right(&mut swap, Side::Before)?;
    if is_swapped {
        ids::carry_back(&mut swap)?;
    }
    swap.make(&live, Side::Before)?;
    swap.uncover()?;
    in_place::unmark(&mut swap)?;
    swap.drop_database_that_was_absent()?;
    let state = if is_swapped { State::Undone } else { swap.before_the_swap() };
    swap.state(state).map(|()| Undone::PreviousIsLive)
}

/// Until the previous tables are live again.
fn move_out(swap: &mut Swap<'_>, rooms: &Rooms<'_>, state: State, set: &Objects, live: &Objects) -> Result<()> {
    if let Some(missing) = rooms.not_kept(live) {
        let text = format!("what run {} replaced lacks table {missing:?}: nothing was changed", swap.context.run);
        return Err(Error::needs_person(text).hint(format!("Somebody changed schema {:?}.", swap.schemas.kept().schema)));
    }
    if swap.schemas.road == Road::SideCopy {
        mark::refuse_half_loaded(&mut swap.session, &swap.schemas.live)?;
    }
    swap::probe(&mut swap.session, &swap.schemas.live)?;
    swap.state(State::Undoing)?;
    if !swap.schemas.is_within() {
        create_schema(&mut swap.session, "make the schema for the restored data", &swap.schemas.stage, set)?;
    }
    if swap.schemas.road == Road::SideCopy {
        let set: Schema = swap.record.need(&mut swap.session, Document::Set)?;
        defaults::drop_stand_ins(swap, &set)?;
    }
    // Everything that is live now goes, also what was made since the cut-over.
    let restored = read::table_names(&mut swap.session, &swap.schemas.live)?;
    let moved = pointing::set_aside(swap, Side::Stage, &restored, &live.tables).and_then(|()| {
        let schemas = swap.schemas;
        objects::drop_all(&mut swap.session, &schemas.live)?;
        let mut moves = Moves::default();
        moves.add(&schemas.live(), &schemas.aside(), &restored);
        moves.add(&schemas.kept(), &schemas.live(), &live.tables);
        moves.add(&schemas.kept_views(), &schemas.live(), rooms.kept_views(&live.views));
        moves.run(&mut swap.session)
    });
    match moved {
        Ok(()) => Ok(()),
        Err(error) => {
            let state = if state == State::Undoing { State::Swapped } else { state };
            Err(swap.give_up(error, set, Side::Stage, state))
        }
    }
}

/// Drops the live database, which a run made where there was none, if it holds nothing; else says that it stays.
pub(crate) fn drop_if_unused(session: &mut Session, live: &str, tell: &mut dyn FnMut(&str)) -> Result<()> {
    if !read::exists(session, live)? {
        return Ok(());
    }
    if read::all_names(session, live)?.is_empty() && objects::existing(session, live)?.is_empty() {
        return session.run("drop the database that was not there", &format!("DROP DATABASE IF EXISTS {}", quote::name(live))).map(drop);
    }
    tell(&format!("there was no database {live:?} before this run; it stays, because somebody put something into it"));
    Ok(())
}

/// With the character set and collation of the objects that go into it.
fn create_schema(session: &mut Session, what: &str, schema: &str, objects: &Objects) -> Result<()> {
    let Objects { charset, collation, .. } = objects;
    let sql = format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET {charset} COLLATE {collation}", quote::name(schema));
    session.run(what, &sql).map(drop)
}

/// The side schema has nothing left after the swap.
fn drop_if_empty(swap: &mut Swap<'_>) -> Result<()> {
    if read::table_names(&mut swap.session, &swap.schemas.stage)?.is_empty() {
        drop_schema(&mut swap.session, &swap.schemas.stage)?;
    }
    Ok(())
}
