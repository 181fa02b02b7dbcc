//! Loads a snapshot: tables, rows by N loaders, then secondary keys, then foreign keys.
//!
//! Beside the live database triggers, events, routines and views are only tried, when the rows are in, and dropped again: an event would fire before its time, and
//! whoever swaps must not meet them. They are saved in the record and made at the cut-over. In place they come last, and the database bears a mark meanwhile.

pub(crate) mod foreign_keys;
mod rows;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use plan::ports::{Context, Event, Mark, MarkRole, Road, Snapshot};
use plan::{Error, Result};

use crate::cut_over::in_place;
use crate::dump::SCHEMA_PATH;
use crate::limits;
use crate::load::Definitions;
use crate::local_infile;
use crate::mark;
use crate::objects;
use crate::place::Schemas;
use crate::quote;
use crate::record::{Document, Record, State, drop_schema};
use crate::row_parts::{self, RowPart};
use crate::schema::{FORMAT, Objects, Schema, Table, read};
use crate::server::{Kind, Server};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Loads a snapshot into a place.
pub(crate) fn stage(store: &MysqlStore, context: &Context, schemas: &Schemas, snapshot: &dyn Snapshot) -> Result<()> {
    let schema = schema_of(snapshot)?;
    let record = Record::at(schemas);
    let mut session = store.restoring(Talk::Text, schemas, None)?;
    let server = Server::ask(&mut session)?;
    match schemas.road {
        Road::SideCopy => prepare_side(&mut session, schemas, &record, &schema, &Mark::of(context, store.name, MarkRole::Previous))?,
        Road::InPlace if schemas.keeps_previous() => in_place::begin(store, context, schemas, &schema)?,
        Road::InPlace => {
            mark::put(store, &mut session, context, schemas)?;
            clear_live(&mut session, schemas, &schema)?;
        }
    }
    let definitions: Vec<Definitions> = schema.tables.iter().map(Definitions::of).collect::<Result<_>>()?;
    session.enter(schemas.target())?;
    // Before the tables whose defaults they make.
    for sequence in &schema.sequences {
        session.run(&format!("make sequence {:?}", sequence.name), &sequence.create)?;
        session.run(&format!("let sequence {:?} go on", sequence.name), &sequence.go_on(&quote::name(&sequence.name)))?;
    }
    for (table, definition) in schema.tables.iter().zip(&definitions) {
        context.stop.check()?;
        session.run(&format!("make table {:?}", table.name), &definition.create)?;
    }
    let local = !store.options.insert_only && local_infile::open(&mut session, schemas, &record)?;
    let workers = limits::workers(&mut session, context)?;
    let context = &Context { workers, ..context.clone() };
    let loaded = load(store, context, schemas, snapshot, &schema, local);
    let put_back = if schemas.keeps_previous() { local_infile::put_back(&mut session, &record) } else { Ok(()) };
    loaded.and(put_back)?;
    add_keys(store, context, schemas, &schema, &definitions)?;
    foreign_keys::add(&mut session, context, schemas, &schema, &definitions)?;
    match schemas.road {
        Road::SideCopy => {
            try_objects(&mut session, context, server.kind, schemas, &record, &schema.objects)?;
            record.write_state(&mut session, State::Staged)
        }
        Road::InPlace if schemas.keeps_previous() => in_place::end(store, context, schemas),
        Road::InPlace => {
            // A load of release 0.1.0 that is taken back: what cannot be made is in the set only.
            let watch = &context.watch;
            let mut tell = |text: &str| watch.see(Event::Warning(text));
            let unmade = objects::make_missing(&mut session, &mut tell, server.kind, &schemas.live, &schema.objects)?;
            unmade.iter().for_each(|one| tell(&one.text()));
            mark::remove(&mut session, context, &schemas.live)
        }
    }
}

/// Finds out, while all is as it was, which objects this server will refuse at the cut-over. Told now, and kept in the record for the proof.
fn try_objects(session: &mut Session, context: &Context, kind: Kind, schemas: &Schemas, record: &Record, objects: &Objects) -> Result<()> {
    let unmade = objects::try_all(session, kind, &schemas.stage, objects)?;
    for one in &unmade {
        let text = format!("{}. All else goes back; its definition stays in the set and in {}", one.text(), record.table());
        context.watch.see(Event::Warning(&text));
    }
    record.write(session, Document::NotMade, &unmade)
}

/// The schema that a snapshot holds.
pub(crate) fn schema_of(snapshot: &dyn Snapshot) -> Result<Schema> {
    let entry = snapshot.find(Path::new(SCHEMA_PATH))?;
    let bytes = snapshot.read_all(&entry)?;
    let schema: Schema = serde_json::from_slice(&bytes).map_err(|error| {
        Error::failed("failed to read the schema of the snapshot")
            .because(error)
            .hint("Use the version of threescale-backup that took the set, or a newer one.")
    })?;
    if schema.format > FORMAT {
        return Err(Error::refused(format!("the snapshot has format {}, this program reads {FORMAT}", schema.format))
            .hint("Use the version of threescale-backup that took the set, or a newer one."));
    }
    Ok(schema)
}

/// Empty side schemas, with the set's own schema in the record.
fn prepare_side(session: &mut Session, schemas: &Schemas, record: &Record, schema: &Schema, mark: &Mark) -> Result<()> {
    match record.state_of(session, &mark.run)? {
        None | Some(State::Staging | State::Staged | State::Undone) => {}
        Some(State::Saved | State::Swapped | State::Done | State::Undoing) => {
            return Err(Error::failed("this run has begun its cut-over: it cannot load again")
                .hint("Go on with `resume`, or take it back with `undo`."));
        }
    }
    record.create(session, mark, &schemas.live, false)?;
    record.write_with_state(session, Document::Set, schema, State::Staging)?;
    drop_schema(session, &schemas.stage)?;
    let (charset, collation) = (&schema.objects.charset, &schema.objects.collation);
    let sql = format!("CREATE DATABASE {} CHARACTER SET {charset} COLLATE {collation}", quote::name(&schemas.stage));
    session.run("make the schema for the staged copy", &sql).map(drop).map_err(|error| {
        error.hint(format!(
            "GRANT ALL ON {}.* TO this user, or restore in place.",
            quote::name(&format!("{}\\_\\_%", schemas.live.replace('_', "\\_")))
        ))
    })
}

/// In place, for places of release 0.1.0, which keep nothing: everything of the live database goes.
fn clear_live(session: &mut Session, schemas: &Schemas, schema: &Schema) -> Result<()> {
    objects::drop_all(session, &schemas.live)?;
    for table in read::table_names(session, &schemas.live)? {
        session.run(&format!("drop table {table:?}"), &format!("DROP TABLE IF EXISTS {}", quote::qualified(&schemas.live, &table)))?;
    }
    objects::set_defaults(session, &schemas.live, &schema.objects.charset, &schema.objects.collation)
}

/// Statistics as they were (MySQL 8.0.31 and newer). What the server does not take is told, and stops nothing.
fn give_histograms(session: &mut Session, context: &Context, table: &Table) -> Result<()> {
    for (column, data) in &table.histograms {
        let (of, name) = (quote::name(&table.name), quote::name(column));
        let sql = format!("ANALYZE NO_WRITE_TO_BINLOG TABLE {of} UPDATE HISTOGRAM ON {name} USING DATA {}", quote::comment(data));
        // It says in its answer whether it took it.
        let answer = session.rows_if_possible("give a histogram back", &sql)?.unwrap_or_default();
        let is_taken = answer.iter().any(|record| record.text(2).is_ok_and(|kind| kind == "status"));
        if !is_taken {
            let text = format!("the histogram of {of}.{name} was not taken. Make it anew: ANALYZE TABLE {of} UPDATE HISTOGRAM ON {name}");
            context.watch.see(Event::Warning(&text));
        }
    }
    Ok(())
}

/// Hands every part to the next free loader.
fn load(store: &MysqlStore, context: &Context, schemas: &Schemas, snapshot: &dyn Snapshot, schema: &Schema, local: bool) -> Result<()> {
    let folders: HashMap<String, usize> = schema.tables.iter().enumerate().map(|(at, table)| (quote::file_name(&table.name), at)).collect();
    let (parts, taken) = crossbeam_channel::bounded::<(usize, RowPart)>(1);
    std::thread::scope(|scope| {
        let mut loaders = Vec::new();
        for _ in 0..context.workers {
            let taken = taken.clone();
            loaders.push(scope.spawn(move || rows::load_parts(store, context, schemas, snapshot, schema, local, &taken)));
        }
        drop(taken);
        let handed = hand_out(context, snapshot, &folders, &parts);
        drop(parts);
        let mut outcome = Ok(());
        for loader in loaders {
            outcome = outcome.and(loader.join().unwrap_or_else(|_| Err(Error::failed("a loader ended early"))));
        }
        outcome.and(handed)
    })
}

fn hand_out(
    context: &Context,
    snapshot: &dyn Snapshot,
    folders: &HashMap<String, usize>,
    parts: &crossbeam_channel::Sender<(usize, RowPart)>,
) -> Result<()> {
    let mut is_over = false;
    row_parts::each(snapshot, &context.stop, |folder, part| {
        let table = folders.get(&*folder.to_string_lossy()).ok_or_else(|| {
            Error::failed(format!("the snapshot holds rows of a table that its schema does not have: {}", part.path.display()))
        })?;
        // When no loader is left, each says why itself.
        is_over = is_over || parts.send((*table, part)).is_err();
        Ok(())
    })
}

/// Adds the secondary keys, several tables at a time.
fn add_keys(store: &MysqlStore, context: &Context, schemas: &Schemas, schema: &Schema, definitions: &[Definitions]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let add = || -> Result<()> {
        let mut session = store.restoring(Talk::Text, schemas, Some(schemas.target()))?;
        loop {
            context.stop.check()?;
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(table), Some(definition)) = (schema.tables.get(index), definitions.get(index)) else { return Ok(()) };
            for statement in definition.add_keys(&quote::name(&table.name)) {
                session.run(&format!("add the keys of table {:?}", table.name), &statement)?;
            }
            give_histograms(&mut session, context, table)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..context.workers).map(|_| scope.spawn(add)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(Error::failed("a worker ended early"))))
            .fold(Ok(()), Result::and)
    })
}
