//! The swap and its way back.
//!
//! What the live database has is saved in the record before anything is dropped. Tables move in ONE `RENAME TABLE`, which the server does wholly or not at all; so
//! from where the tables are one sees whether it was done. Everything else is asked for before it is done. So both verbs can be interrupted anywhere and called again.

mod cover;
mod swap;

use std::collections::BTreeSet;

use plan::ids::DataSetName;
use plan::ports::{Context, Road, Undone};
use plan::{Class, Error, Result};

use crate::blockers;
use crate::mark;
use crate::objects;
use crate::place::Schemas;
use crate::quote;
use crate::record::{Document, Record, State, drop_schema};
use crate::schema::{Objects, Schema, read};
use crate::server::{Kind, Server};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;
use swap::Tables;

pub(crate) use cover::uncover;

/// What both verbs work with.
struct Swap<'a> {
    session: Session,
    context: &'a Context,
    data_set: DataSetName,
    schemas: &'a Schemas,
    record: Record,
    kind: Kind,
}

impl<'a> Swap<'a> {
    fn open(store: &MysqlStore, context: &'a Context, schemas: &'a Schemas) -> Result<Self> {
        let mut session = store.restoring(Talk::Text, schemas, Some(&schemas.live))?;
        session.be_patient();
        let kind = Server::ask(&mut session)?.kind;
        Ok(Self { session, context, data_set: store.name, schemas, record: Record::at(schemas), kind })
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
        uncover(&mut self.session, &self.schemas.live, &self.schemas.before, &self.context.run)
    }

    fn state(&mut self, state: State) -> Result<()> {
        self.record.write_state(&mut self.session, state)
    }

    fn create(&mut self, objects: &Objects) -> Result<()> {
        objects::create_missing(&mut self.session, self.context, self.kind, &self.schemas.live, objects)
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
            // What was dropped goes first where order matters; views are tried in any order.
            now.routines.extend(dropped(&saved.routines));
            now.views.extend(dropped(&saved.views));
            now.triggers = in_saved_order(&saved, dropped(&saved.triggers).into_iter().chain(now.triggers).collect());
            now.events.extend(dropped(&saved.events));
            (now.charset, now.collation) = (saved.charset, saved.collation);
        }
        self.record.write_with_state(&mut self.session, Document::Live, &now, State::Saved)?;
        Ok(now)
    }

    /// After a swap that could not be had: what was dropped comes back, the state is what it was, and the error names who is in the way.
    fn give_up(&mut self, error: Error, objects: &Objects, state: State) -> Error {
        if error.class() == Class::Interrupted || !self.session.is_alive() {
            // Stopped, or the server is gone: the next call goes on from the record.
            return error;
        }
        let busy = (error.class() == Class::Transient)
            .then(|| blockers::busy(&mut self.session, "the swap could not be had in time: somebody holds a table"));
        let is_beside = !matches!(state, State::Swapped | State::Done);
        let restored = self.create(objects).and_then(|()| if is_beside { self.uncover() } else { Ok(()) }).and_then(|()| self.state(state));
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
        Some(State::Undoing) => return Err(Error::failed("an undo of this run is half-way").hint("Finish it with `undo`.")),
        Some(State::Done) => return drop_if_empty(&mut swap),
        Some(state @ (State::Staged | State::Undone | State::Saved)) => move_in(&mut swap, state)?,
        Some(State::Swapped) => {}
    }
    let set = swap.set()?;
    swap.create(&set)?;
    swap.state(State::Done)?;
    drop_if_empty(&mut swap)
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
    let tables = Tables::read(&mut swap.session, swap.schemas)?;
    if state == State::Saved && tables.are_swapped(&swap.live()?, &set) {
        return swap.state(State::Swapped);
    }
    if let Some(missing) = tables.not_staged(&set) {
        let text = format!("the staged copy of run {} lacks table {missing:?}: nothing was changed", swap.context.run);
        return Err(Error::needs_person(text).hint(format!("Somebody changed schema {:?}. Restore again.", swap.schemas.stage)));
    }
    mark::refuse_half_loaded(&mut swap.session, &swap.schemas.live)?;
    cover::refuse_strangers(swap)?;
    swap::probe(&mut swap.session, &swap.schemas.live)?;
    let live = swap.save()?;
    cover::cover(swap)?;
    let moved = objects::drop_all(&mut swap.session, &swap.schemas.live).and_then(|()| {
        let staged = &set.tables;
        swap::rename(
            &mut swap.session,
            &[(&swap.schemas.live, &swap.schemas.before, &live.tables), (&swap.schemas.stage, &swap.schemas.live, staged)],
        )
    });
    if let Err(error) = moved {
        let state = if state == State::Saved { State::Staged } else { state };
        return Err(swap.give_up(error, &live, state));
    }
    swap.state(State::Swapped)
}

/// Takes a cut-over back, as far as it came. Without a record nothing was swapped here, by this run: that is said.
pub(crate) fn undo(store: &MysqlStore, context: &Context, schemas: &Schemas) -> Result<Undone> {
    if schemas.road == Road::InPlace {
        return Err(Error::needs_person("a restore in place has no previous data beside it")
            .hint("Restore the safety copy that was taken before it."));
    }
    let mut swap = Swap::open(store, context, schemas)?;
    let state = match swap.came_to()? {
        None => return Ok(Undone::NothingThere),
        Some(State::Staging | State::Staged | State::Undone) => return swap.uncover().map(|()| Undone::PreviousIsLive),
        Some(state) => state,
    };
    cover::refuse_covered(&mut swap)?;
    let (set, live) = (swap.set()?, swap.live()?);
    let tables = Tables::read(&mut swap.session, schemas)?;
    if state == State::Saved && !tables.are_swapped(&live, &set) {
        swap.create(&live)?;
        swap.uncover()?;
        return swap.state(State::Staged).map(|()| Undone::PreviousIsLive);
    }
    if !(state == State::Undoing && tables.are_swapped_back(&live)) {
        if let Some(missing) = tables.not_kept(&live) {
            let text = format!("what run {} replaced lacks table {missing:?}: nothing was changed", context.run);
            return Err(Error::needs_person(text).hint(format!("Somebody changed schema {:?}.", schemas.before)));
        }
        mark::refuse_half_loaded(&mut swap.session, &schemas.live)?;
        move_out(&mut swap, state, &set, &live)?;
    }
    swap.create(&live)?;
    swap.uncover()?;
    swap.state(State::Undone).map(|()| Undone::PreviousIsLive)
}

/// Until the previous tables are live again.
fn move_out(swap: &mut Swap<'_>, state: State, set: &Objects, live: &Objects) -> Result<()> {
    swap::probe(&mut swap.session, &swap.schemas.live)?;
    swap.state(State::Undoing)?;
    let sql = format!(
        "CREATE DATABASE IF NOT EXISTS {} CHARACTER SET {} COLLATE {}",
        quote::name(&swap.schemas.stage),
        set.charset,
        set.collation
    );
    swap.session.run("make the schema for the restored data", &sql)?;
    // Everything that is live now goes, also what was made since the cut-over.
    let restored = read::table_names(&mut swap.session, &swap.schemas.live)?;
    let moved = objects::drop_all(&mut swap.session, &swap.schemas.live).and_then(|()| {
        let (schemas, session) = (swap.schemas, &mut swap.session);
        swap::rename(session, &[(&schemas.live, &schemas.stage, &restored), (&schemas.before, &schemas.live, &live.tables)])
    });
    match moved {
        Ok(()) => Ok(()),
        Err(error) => {
            let state = if state == State::Undoing { State::Swapped } else { state };
            Err(swap.give_up(error, set, state))
        }
    }
}

/// The side schema has nothing left after the swap.
fn drop_if_empty(swap: &mut Swap<'_>) -> Result<()> {
    if read::table_names(&mut swap.session, &swap.schemas.stage)?.is_empty() {
        drop_schema(&mut swap.session, &swap.schemas.stage)?;
    }
    Ok(())
}
