//! A restore in place: the previous data is set aside by the same swap as beside, with nothing staged, then the set is loaded where it was.
//!
//! So its way back is a rename too, from the first statement on, and needs neither a proof nor the safety copy.

use plan::ports::{Context, Mark, MarkRole, Road};
use plan::{Error, Result};

use super::{Swap, constraints, drop_within, half_undone, ids, move_in, pointing};
use crate::mark;
use crate::objects;
use crate::place::{Schemas, Side};
use crate::quote;
use crate::record::{Document, State, drop_schema};
use crate::schema::{Schema, read};
use crate::store::MysqlStore;

/// Sets the previous data aside and leaves an empty database that bears the mark of the load; called again, drops what an earlier call loaded.
///
/// # Errors
/// When the tables cannot be had in time: nothing is changed then.
pub(crate) fn begin(store: &MysqlStore, context: &Context, schemas: &Schemas, schema: &Schema) -> Result<()> {
    let mut swap = Swap::open(store, context, schemas)?;
    mark::refuse_another(&mut swap.session, context, &schemas.live)?;
    let state = match swap.came_to()? {
        None | Some(State::Staging | State::Staged | State::Undone) => prepare(store, &mut swap, schema)?,
        Some(State::Undoing) => return Err(half_undone()),
        Some(state) => state,
    };
    mark::put(store, &mut swap.session, context, schemas)?;
    if matches!(state, State::Swapped | State::Done) {
        swap.state(State::Swapped)?;
        clear(&mut swap)?;
    } else if let Err(error) = move_in(&mut swap, state) {
        if swap.came_to().is_ok_and(|state| state == Some(State::Staging)) {
            unmark(&mut swap)?;
        }
        return Err(error);
    }
    constraints::free_names(&mut swap)?;
    objects::set_defaults(&mut swap.session, &schemas.live, &schema.objects.charset, &schema.objects.collation)
}

/// The record, with the set in it; the database, if there is none.
fn prepare(store: &MysqlStore, swap: &mut Swap<'_>, schema: &Schema) -> Result<State> {
    // The record is in it.
    let is_made = swap.schemas.is_within() && !read::exists(&mut swap.session, &swap.schemas.live)?;
    if is_made {
        swap.create_database(&schema.objects)?;
    }
    let mark = Mark::of(swap.context, store.name, MarkRole::Previous);
    swap.record.create(&mut swap.session, &mark, &swap.schemas.live, is_made)?;
    swap.record.write_with_state(&mut swap.session, Document::Set, schema, State::Staging)?;
    // What an undo of an earlier load took out of the live database.
    let aside = swap.schemas.aside();
    if aside.is_whole() {
        drop_schema(&mut swap.session, &aside.schema)?
    } else {
        drop_within(&mut swap.session, &aside)?
    }
    swap.make_database(&schema.objects)?;
    Ok(State::Staging)
}

/// Drops what an earlier call loaded: everything but the previous data, which is seen to be whole first.
fn clear(swap: &mut Swap<'_>) -> Result<()> {
    let (set, live) = (swap.set()?, swap.live()?);
    let rooms = super::Rooms::read(&mut swap.session, swap.schemas)?;
    if let Some(missing) = rooms.not_kept(&live) {
        let text = format!("what run {} replaced lacks table {missing:?}: nothing was dropped", swap.context.run);
        return Err(Error::needs_person(text).hint(format!("Somebody changed schema {:?}.", swap.schemas.kept().schema)));
    }
    let database = &swap.schemas.live;
    objects::drop_all(&mut swap.session, database)?;
    for table in read::table_names(&mut swap.session, database)? {
        let sql = format!("DROP TABLE IF EXISTS {}", quote::qualified(database, &table));
        swap.session.run(&format!("drop table {table:?} of an earlier load"), &sql)?;
    }
    pointing::set_aside(swap, Side::Stage, &[], &set.tables)
}

/// The load is whole: makes the objects and takes the mark away.
pub(crate) fn end(store: &MysqlStore, context: &Context, schemas: &Schemas) -> Result<()> {
    let mut swap = Swap::open(store, context, schemas)?;
    let set = swap.set()?;
    pointing::put_right(&mut swap, Side::Stage)?;
    ids::keep_ahead_of_kept(&mut swap)?;
    swap.make(&set, Side::Stage)?;
    swap.state(State::Done)?;
    unmark(&mut swap)
}

/// The database is not half loaded, or no longer.
pub(super) fn unmark(swap: &mut Swap<'_>) -> Result<()> {
    if swap.schemas.road == Road::InPlace { mark::remove(&mut swap.session, swap.context, &swap.schemas.live) } else { Ok(()) }
}
