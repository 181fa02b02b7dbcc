//! Removes what a run left beside the live database. Never touches the live database.

use plan::ports::{Context, Discard, Road};
use plan::{Error, Result};

use crate::cut_over::uncover;
use crate::local_infile;
use crate::mark;
use crate::place::Schemas;
use crate::quote;
use crate::record::{Record, State, TABLE, drop_schema};
use crate::schema::read;
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Drops both schemas of the run; of a restore in place, its mark. The previous data goes only when it is what is to go.
pub(crate) fn discard(store: &MysqlStore, context: &Context, schemas: &Schemas, what: Discard) -> Result<()> {
    let mut session = store.restoring(Talk::Text, schemas, None)?;
    if schemas.road == Road::InPlace {
        // A staged copy there is none; a mark that stays says that the live data is not whole.
        return if what == Discard::Previous { mark::remove(&mut session, context, &schemas.live) } else { Ok(()) };
    }
    let record = Record::at(schemas);
    let state = record.state_of(&mut session, &context.run)?;
    match state {
        Some(State::Saved | State::Swapped | State::Undoing) => {
            return Err(Error::failed("a cut-over of this run is half-way: its schemas are still needed")
                .hint("Go on with `resume`, or take it back with `undo`; then discard."));
        }
        Some(State::Done) if what == Discard::Staged => {
            return Err(Error::needs_person(format!("run {} is cut over: schema {:?} is the previous data", context.run, schemas.before))
                .hint("Nothing was dropped. `undo` makes it live again; `settle` drops it."));
        }
        Some(State::Done) => {}
        None => refuse_unmarked(&mut session, schemas)?,
        Some(State::Staging | State::Staged | State::Undone) => {
            let others = read::table_names(&mut session, &schemas.before)?.into_iter().filter(|name| name != TABLE).count();
            if others > 0 {
                return Err(Error::needs_person(format!(
                    "schema {:?} holds {others} tables, and no record says what they are",
                    schemas.before
                ))
                .hint("Look at them; drop the schema by hand when they are not needed."));
            }
        }
    }
    if state.is_some_and(|state| state != State::Done) {
        uncover(&mut session, &schemas.live, &schemas.before, &context.run)?;
    }
    if state.is_some() {
        local_infile::put_back(&mut session, &record)?;
    }
    drop_schema(&mut session, &schemas.stage)?;
    drop_schema(&mut session, &schemas.before)
}

/// Without a record nobody can say whose tables there are: a run writes it before it makes any, and drops it last.
fn refuse_unmarked(session: &mut Session, schemas: &Schemas) -> Result<()> {
    for schema in [&schemas.stage, &schemas.before] {
        let tables = read::table_names(session, schema)?.into_iter().filter(|name| name != TABLE).count();
        if tables > 0 {
            return Err(Error::needs_person(format!("schema {schema:?} holds {tables} tables, and no record says whose they are"))
                .hint(format!("Nothing was dropped. Look at them. When they are not needed: DROP DATABASE {}", quote::name(schema))));
        }
    }
    Ok(())
}

/// Bytes that the server says both schemas take.
pub(crate) fn kept_bytes(store: &MysqlStore, schemas: &Schemas) -> Result<u64> {
    let mut session = store.session(Talk::Text, None)?;
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({}, {})",
        quote::text(&schemas.stage),
        quote::text(&schemas.before)
    );
    Ok(session.rows("read sizes", &sql)?.first().map_or(0, |record| record.number(0)))
}
