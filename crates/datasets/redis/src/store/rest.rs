//! Values for which the server stands still, left out of the copy while the installation serves and loaded when nobody writes any more (`--large-values during-stop`).
//!
//! Staging notes where in the set's file each of them stands, and counts them as the dump did. The note is a key beside the copy, written with the word that all else is
//! whole, so that copy and note together are what was dumped. The load goes by the note, reads the values back, compares them with the note's counts, and removes it: until
//! then there is no cut-over, and after a crash the next call loads all of them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::evidence::{Evidence, Tally};
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Snapshot, Verb};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use super::left_out::base_ms;
use super::loader::Loader;
use super::place::{Placed, Spot};
use super::prove::{account_for_expired, check_staged};
use super::standstill::stands_still;
use super::stored::{Parts, Stored};
use super::transaction::settle_writes;
use super::watching::Watching;
use super::{Named, RedisStore, ServerAt, hold};
use crate::connection::{Connection, Reply};
use crate::dump::insert_collections;
use crate::pass::{Database, Pass, server_time_ms};
use crate::rdb::Format;
use crate::rdb::source::{NoTap, Source, Tap};
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::server::Server;
use crate::tally::DatabaseTally;

/// Where a key begins in a database's file, and how many raw bytes its value has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct At {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// What is still to be loaded into a database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    values: Vec<At>,
    /// As in the set's evidence.
    pub(crate) collections: BTreeMap<String, Tally>,
}

/// What a load leaves for later. Each value has so many elements that there are never many.
pub(crate) struct Rest {
    stored: Stored,
    values: Vec<At>,
}

impl Rest {
    pub(crate) const fn of(stored: Stored) -> Self {
        Self { stored, values: Vec::new() }
    }

    /// Whether it takes a value of so many elements, which is made in one go.
    pub(crate) fn takes(&mut self, at: At, shape: Shape, elements: u64) -> bool {
        let is_long = stands_still(shape, elements, at.bytes);
        if is_long {
            self.values.push(at);
        }
        is_long
    }

    /// Loads a value that has passed already.
    pub(crate) fn load(&self, at: At, format: Format, loader: Loader) -> Result<Loader> {
        let (mut walk, head) = key_at(&self.stored, format, at, loader)?;
        load(&mut walk, head, at)?;
        Ok(walk.source.into_parts().1)
    }

    /// For the note; `None` when there is nothing.
    pub(crate) fn to_text(&self, context: &Context, named: &Named, base_ms: u64) -> Result<Option<String>> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let (format, mut tally, mut collections) = (format_of(&self.stored)?, DatabaseTally::new(base_ms), BTreeMap::new());
        for at in &self.values {
            context.stop.check()?;
            let (mut walk, head) = key_at(&self.stored, format, *at, NoTap)?;
            let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
            tally.begin_key(&head.key, shape, head.expires_ms);
            value(&mut walk.source, head.kind, format, &mut tally)?;
            tally.end_key();
        }
        insert_collections(named, &tally.buckets, &mut collections);
        let text = format!("{}: {} values are left for the time when the writers are stopped", named.name, self.values.len());
        context.watch.see(Event::Note(&text));
        let note = Note { values: self.values.clone(), collections };
        serde_json::to_string(&note).map(Some).map_err(|error| Error::failed("failed to write down what is loaded later").because(error))
    }
}

impl RedisStore {
    pub(crate) fn load_rest_at(&self, context: &Context, placed: &Placed, snapshot: &Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.check_known(context, placed)?;
        let marks = self.marks(context, placed);
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            for spot in spots {
                let Some(side) = spot.side else { continue };
                check_staged(&mut connection, &marks, at, spot, side)?;
                let Some(note) = note(&mut connection, placed)? else { continue };
                // A restart in between has read the policy of the configuration.
                if hold::on_record(&mut connection)?.is_some() {
                    hold::again(&mut connection, at, &server)?;
                }
                let stored = Stored::of(Arc::clone(snapshot), kept, &spot.name)?;
                let keys = self.load_noted(context, at, side, &stored, &note, kept)?;
                self.prove_noted(context, placed, &mut connection, &server, (spot, side), &keys, note, base_ms(kept)?)?;
                connection.call(&[b"DEL", placed.rest_note().as_bytes()])?;
            }
            settle_writes(&mut connection, &server)?;
        }
        Ok(())
    }

    /// Loads what is noted; gives the keys.
    fn load_noted(
        &self,
        context: &Context,
        at: &ServerAt,
        side: u32,
        stored: &Stored,
        note: &Note,
        kept: &KeptDataSet,
    ) -> Result<Vec<Vec<u8>>> {
        let mut connection = self.connect(context, at)?;
        connection.select(side)?;
        let now_ms = server_time_ms(&mut connection)?;
        let mut watching = Watching::begin(self, context, at, kept.bytes)?;
        let format = format_of(stored)?;
        let mut loader = Loader::new(connection, format.version, self.options.pieces_from)?;
        let mut keys = Vec::new();
        for value in &note.values {
            context.stop.check()?;
            watching.look(0, value.bytes)?;
            let (mut walk, head) = key_at(stored, format, *value, loader)?;
            keys.push(head.key.clone());
            if head.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms) {
                load(&mut walk, head, *value)?;
            }
            loader = walk.source.into_parts().1;
            loader.settle()?;
            context.watch.see(Event::Advance { data_set: self.name, verb: Verb::Stage, bytes: value.bytes, items: 1 });
        }
        Ok(keys)
    }

    /// Reads them back, and compares.
    #[expect(clippy::too_many_arguments, reason = "one call, all of it is needed")]
    fn prove_noted(
        &self,
        context: &Context,
        placed: &Placed,
        connection: &mut Connection,
        server: &Server,
        (spot, side): (&Spot, u32),
        keys: &[Vec<u8>],
        note: Note,
        base_ms: u64,
    ) -> Result<()> {
        let database = Database::new(side, base_ms, placed.selection(self.name, spot));
        let mut pass = Pass::new(context, self.name, Verb::Stage, vec![database], server_time_ms(connection)?);
        pass.by_keys(connection, server, keys)?;
        let (mut found, wanted) = (Evidence::default(), Evidence { collections: note.collections, ..Evidence::default() });
        let named = Named { name: spot.name.clone(), database: spot.live };
        for database in &pass.databases {
            insert_collections(&named, &database.tally.buckets, &mut found.collections);
        }
        account_for_expired(&wanted.collections, &mut found.collections, base_ms, server_time_ms(connection)?);
        let differences = wanted.differences(&found);
        if differences.is_empty() {
            return Ok(());
        }
        let error = Error::failed(format!("the values of {} that were loaded last do not equal the set", spot.name));
        let error = differences.into_iter().fold(error, Error::hint);
        Err(error.hint("The live data was not swapped. `resume` loads them again; `undo` drops what was staged."))
    }
}

/// What is noted in the selected database.
pub(crate) fn note(connection: &mut Connection, placed: &Placed) -> Result<Option<Note>> {
    if !placed.rest {
        return Ok(None);
    }
    match connection.call(&[b"GET", placed.rest_note().as_bytes()])? {
        Reply::Bytes(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::failed("the note of what is loaded later cannot be read").because(error).hint("`undo`, and restore again.")
        }),
        _ => Ok(None),
    }
}

/// A cut-over brings in nothing that is not whole.
pub(crate) fn check_loaded(connection: &mut Connection, placed: &Placed, spots: &[Spot]) -> Result<()> {
    for spot in spots {
        let Some(side) = spot.side else { continue };
        connection.select(side)?;
        if note(connection, placed)?.is_some() {
            return Err(Error::failed(format!("some values of {} are not loaded yet", spot.name)).hint("`resume` loads them."));
        }
    }
    Ok(())
}

fn format_of(stored: &Stored) -> Result<Format> {
    Ok(Walk::begin(Source::new(stored.read()?, NoTap))?.format)
}

/// The key at a place of the file; its value is next.
fn key_at<T: Tap>(stored: &Stored, format: Format, at: At, tap: T) -> Result<(Walk<Parts, T>, KeyHead)> {
    let mut walk = Walk::at(Source::new(stored.read_from(at.offset)?, tap), format);
    match walk.next()? {
        Item::Key(head) => Ok((walk, head)),
        _ => Err(Error::failed(format!("there is no key at byte {} of the set's file", at.offset))),
    }
}

fn load(walk: &mut Walk<Parts, Loader>, head: KeyHead, at: At) -> Result<()> {
    let (kind, format) = (head.kind, walk.format);
    walk.source.tap.begin(head, Some(at.bytes))?;
    walk.source.tap_on()?;
    value(&mut walk.source, kind, format, &mut ())?;
    walk.source.tap_off()?;
    walk.source.tap.end()
}
