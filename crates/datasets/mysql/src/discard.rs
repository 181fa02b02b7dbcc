//! Removes what a run left beside the live database. Never touches the live database.

use plan::ports::{Context, Discard, Event, Road};
use plan::{Error, Result};

use crate::cut_over::{self, drop_within, uncover};
use crate::local_infile;
use crate::mark;
use crate::objects::Unmade;
use crate::place::{self, Schemas};
use crate::quote;
use crate::record::{Document, Record, State, TABLE, drop_schema};
use crate::schema::read;
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Drops what the run has beside the live database and within it; of a restore in place, its mark too. The previous data goes only when it is what is to go, and the
/// definitions of objects that an undo could not put back only when all goes.
pub(crate) fn discard(store: &MysqlStore, context: &Context, schemas: &Schemas, what: Discard) -> Result<()> {
    let mut session = store.restoring(Talk::Text, schemas, None)?;
    if !schemas.keeps_previous() {
        // A staged copy there is none; a mark that stays says that the live data is not whole.
        return if what == Discard::Previous { mark::remove(&mut session, context, &schemas.live) } else { Ok(()) };
    }
    let (record, state) = found(&mut session, context, schemas, what)?;
    if schemas.road == Road::InPlace {
        mark::remove(&mut session, context, &schemas.live)?;
    }
    if state.is_some_and(|state| state != State::Done) {
        uncover(&mut session, &schemas.live, &record, &context.run)?;
    }
    let mut keeps_definitions = false;
    let was_absent = state != Some(State::Done) && record.was_absent(&mut session)?;
    if state.is_some() {
        local_infile::put_back(&mut session, &record)?;
        let not_put_back = record.read::<Vec<Unmade>>(&mut session, Document::NotPutBack)?.unwrap_or_default();
        keeps_definitions = what == Discard::Staged && !not_put_back.is_empty();
    }
    for room in [schemas.aside(), schemas.kept_views(), schemas.kept()] {
        if !room.is_whole() {
            drop_within(&mut session, &room)?;
        }
    }
    drop_schema(&mut session, &schemas.stage)?;
    if keeps_definitions {
        return Ok(());
    }
    record.drop_with_schema(&mut session)?;
    // It was made for the record.
    if was_absent && schemas.is_within() {
        cut_over::drop_if_unused(&mut session, &schemas.live, &mut |text| context.watch.see(Event::Warning(text)))?;
    }
    Ok(())
}

/// What [`discard`] would refuse.
pub(crate) fn check(store: &MysqlStore, context: &Context, schemas: &Schemas, what: Discard) -> Result<()> {
    if !schemas.keeps_previous() {
        return Ok(());
    }
    found(&mut store.session(Talk::Text, None)?, context, schemas, what).map(drop)
}

/// The run's record and what it says; refuses what is still needed, and what is not what is to go.
fn found(session: &mut Session, context: &Context, schemas: &Schemas, what: Discard) -> Result<(Record, Option<State>)> {
    let record = Record::at(schemas);
    let state = record.state_of(session, &context.run)?;
    match state {
        Some(State::Saved | State::Swapped | State::Undoing) => {
            return Err(Error::failed("a cut-over of this run is half-way: what it has beside is still needed")
                .hint("Go on with `resume`, or take it back with `undo`; then discard."));
        }
        Some(State::Done) if what == Discard::Staged => {
            let kept = schemas.kept().schema;
            return Err(Error::needs_person(format!("run {} is cut over: schema {kept:?} has the previous data", context.run))
                .hint("Nothing was dropped. `undo` makes it live again; `settle` drops it."));
        }
        Some(State::Done) => {}
        None => refuse_unmarked(session, schemas)?,
        Some(State::Staging | State::Staged | State::Undone) => {
            let kept = schemas.kept();
            let others = read::all_names(session, &kept.schema)?.into_iter().filter(|(name, _)| name != TABLE && kept.has(name)).count();
            if others > 0 {
                return Err(Error::needs_person(format!(
                    "schema {:?} holds {others} tables, and no record says what they are",
                    kept.schema
                ))
                .hint("Look at them; drop them by hand when they are not needed."));
            }
        }
    }
    Ok((record, state))
}

/// Without a record nobody can say whose tables there are: a run writes it before it makes any, and drops it last.
fn refuse_unmarked(session: &mut Session, schemas: &Schemas) -> Result<()> {
    for room in [schemas.aside(), schemas.kept()] {
        let all = read::all_names(session, &room.schema)?.into_iter();
        let names: Vec<String> = all.map(|(name, _)| name).filter(|name| name != TABLE && room.has(name)).collect();
        if let Some(first) = names.first() {
            let (schema, count) = (&room.schema, names.len());
            // Within the live schema, only what bears the run's name.
            let by_hand = if room.is_whole() {
                format!("DROP DATABASE {}", quote::name(schema))
            } else {
                format!("DROP TABLE {} and the like", quote::qualified(schema, first))
            };
            return Err(Error::needs_person(format!("schema {schema:?} holds {count} tables, and no record says whose they are"))
                .hint(format!("Nothing was dropped. Look at them. When they are not needed: {by_hand}")));
        }
    }
    Ok(())
}

/// Bytes that the server says a run's schemas take, and its tables in the live one.
pub(crate) fn bytes(session: &mut Session, schemas: &[&str], live: &str, short: &str) -> Result<u64> {
    let names: Vec<String> = schemas.iter().map(|name| quote::text(name)).collect();
    let sql = format!(
        "SELECT TABLE_SCHEMA = {0}, TABLE_NAME, DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({0}, {1})",
        quote::text(live),
        if names.is_empty() { "NULL".to_owned() } else { names.join(", ") }
    );
    let mut sum = 0;
    for record in session.rows("read sizes", &sql)? {
        let is_ours = record.number(0) == 0 || place::run_of(&record.text(1)?) == Some(short);
        sum += if is_ours { record.number(2) } else { 0 };
    }
    Ok(sum)
}

/// Bytes that are kept at a place.
pub(crate) fn kept_bytes(store: &MysqlStore, schemas: &Schemas) -> Result<u64> {
    let mut session = store.session(Talk::Text, None)?;
    bytes(&mut session, &[&schemas.stage, &schemas.before], &schemas.live, schemas.short())
}
