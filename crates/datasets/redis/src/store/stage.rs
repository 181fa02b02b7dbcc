//! Stage: loads a snapshot's databases into the place, after clearing what an earlier call of the same run left there.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Discard, Event, Road, Snapshot, Verb};
use plan::{Error, Queues, Result};
use threescale::queues::Fate;

use super::claim::{Loaded, finish, prepare};
use super::functions::tell_further;
use super::hold;
use super::left_out::{LeftOut, base_ms};
use super::loader::Loader;
use super::pieces::is_possible;
use super::place::{Method, Placed, Spot};
use super::rest::{At, Rest};
use super::stored::{Parts, Stored};
use super::transaction::{is_full, settle_writes};
use super::watching::Watching;
use super::{Named, RedisStore, ServerAt};
use crate::connection::Connection;
use crate::dump::{BIG_VALUES, Big, FUNCTIONS};
use crate::pass::server_time_ms;
use crate::rdb::elements::Elements;
use crate::rdb::source::Source;
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::server::Server;

/// Progress is told, and the stop flag looked at, after so many keys.
pub(crate) const ADVANCE_KEYS: u64 = 10_000;
/// Beside live data also the server is looked at, after so many keys, or bytes of the set.
const LOOK_KEYS: u64 = 5_000;
const LOOK_BYTES: u64 = 1 << 20;

/// Sizes of values that are too long for memory, by database, then by position of the key.
type BigValues = HashMap<String, HashMap<u64, u64>>;

impl RedisStore {
    pub(crate) fn stage_into(&self, context: &Context, placed: &Placed, snapshot: &Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        if placed.method == Method::File {
            return self.stage_by_file(context, placed, snapshot, kept);
        }
        let big = big_values(snapshot, &kept.evidence)?;
        let base_ms = base_ms(kept)?;
        let functions = functions(snapshot, &kept.evidence)?;
        self.check_known(context, placed)?;
        let marks = self.marks(context, placed);
        let is_back = placed.road == Road::InPlace && placed.is_put_back(kept);
        // All are marked before the first gets its first key, and none is whole before all are.
        for ((at, mut connection, _), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            spots.iter().try_for_each(|spot| prepare(&mut connection, at, &marks, spot))?;
            match hold::hold(&mut connection, at, spots) {
                Err(error) if placed.road == Road::InPlace => context.watch.see(Event::Warning(&error.chain())),
                held => held?,
            }
        }
        let loaded = self.load(context, placed, snapshot, kept, &big, base_ms);
        let loaded = loaded.map_err(|error| self.step_back(context, placed, error))?;
        for (at, server, records) in &loaded {
            // Another server may have taken long: a connection that rested may be gone.
            let mut connection = self.connect(context, at)?;
            let held = self.held(&mut connection, placed, records)?;
            finish(&mut connection, &marks, records, &functions, server, context)?;
            hold::let_go(&mut connection, at, held)?;
            if is_back && server.at_least(7, 0) {
                tell_further(&mut connection, &functions, context)?;
            }
            settle_writes(&mut connection, server)?;
        }
        Ok(())
    }

    /// In place the policy was held for the load only.
    fn held(&self, connection: &mut Connection, placed: &Placed, records: &[Loaded<'_>]) -> Result<Option<String>> {
        let Some(Loaded { spot, .. }) = records.first().filter(|_| placed.road == Road::InPlace) else { return Ok(None) };
        connection.select(spot.live)?;
        hold::on_record(connection)
    }

    /// Where the server would suffer, what was loaded beside its data goes at once.
    fn step_back(&self, context: &Context, placed: &Placed, error: Error) -> Error {
        let is_harm = is_full(&error) || error.class() == plan::Class::Refused;
        if placed.road == Road::InPlace || !is_harm {
            return error;
        }
        match self.discard_at(context, placed, Discard::Staged) {
            Ok(()) => error.hint("What was loaded is dropped; the live data was not touched."),
            Err(other) => error.hint(format!("What was loaded could not be dropped yet: {}.", other.chain())),
        }
    }

    /// Loads all databases; gives what was left out of each.
    fn load<'a>(
        &'a self,
        context: &Context,
        placed: &'a Placed,
        snapshot: &Arc<dyn Snapshot>,
        kept: &KeptDataSet,
        big: &BigValues,
        base_ms: u64,
    ) -> Result<Vec<LoadedServer<'a>>> {
        let mut loaded = Vec::new();
        for (at, spots) in self.servers.iter().zip(&placed.servers) {
            let mut connection = self.connect(context, at)?;
            let server = Server::ask(&mut connection)?;
            let beside = placed.road == Road::SideCopy;
            let mut watching = if beside { Some(Watching::begin(self, context, at, kept.bytes)?) } else { None };
            let mut before = 0;
            let mut records = Vec::new();
            for spot in spots {
                let stored = Stored::of(Arc::clone(snapshot), kept, &spot.name)?;
                let mut rest = placed.rest.then(|| Rest::of(stored.clone()));
                connection.select(spot.side.unwrap_or(spot.live))?;
                let now_ms = server_time_ms(&mut connection)?;
                let mut left_out = LeftOut::new(placed.selection(self.name, spot), base_ms);
                let watching = watching.as_mut();
                let mut load = Load {
                    store: self,
                    context,
                    spot,
                    big,
                    server: &server,
                    now_ms,
                    left_out: &mut left_out,
                    rest: rest.as_mut(),
                    watching,
                    before,
                };
                (connection, before) = load.run(stored.read()?, connection)?;
                left_out.tell(&*context.watch);
                let named = Named { name: spot.name.clone(), database: spot.live };
                let rest = rest.map(|rest| rest.to_text(context, &named, base_ms)).transpose()?.flatten();
                records.push(Loaded {
                    spot,
                    left_out: (placed.queues != Queues::Keep).then(|| left_out.to_text(&named)).transpose()?,
                    rest,
                });
            }
            loaded.push((at, server, records));
        }
        Ok(loaded)
    }
}

/// A server whose databases are loaded, and what was left out of each.
type LoadedServer<'a> = (&'a ServerAt, Server, Vec<Loaded<'a>>);

/// The load of one database.
struct Load<'a, 'w> {
    store: &'a RedisStore,
    context: &'a Context,
    spot: &'a Spot,
    big: &'a BigValues,
    server: &'a Server,
    now_ms: u64,
    left_out: &'a mut LeftOut,
    /// What is loaded later, where that is wanted.
    rest: Option<&'a mut Rest>,
    /// Beside live data.
    watching: Option<&'a mut Watching<'w>>,
    /// Bytes of the set that went into the server before this database.
    before: u64,
}

impl Load<'_, '_> {
    /// Gives the connection back, and how many bytes of the set have gone into the server by now.
    fn run(&mut self, parts: Parts, connection: Connection) -> Result<(Connection, u64)> {
        // The version is known only from the header.
        let mut walk = Walk::begin(Source::new(parts, None))?;
        let format = walk.format;
        if !self.server.accepts(format) {
            return Err(Error::refused(format!("RDB version {} cannot be loaded by {}", format.version, self.server)));
        }
        walk.source.tap = Some(Loader::new(connection, format.version, self.store.options.pieces_from)?);
        let big = self.big.get(&self.spot.name);
        let (mut keys, mut expired, mut told, mut told_bytes) = (0u64, 0u64, 0u64, 0u64);
        loop {
            let offset = walk.source.offset();
            match walk.next()? {
                Item::Key(head) if let Some(fate) = self.left_out.fate(&head, format)? => {
                    match (fate, walk.source.tap.take()) {
                        (Fate::ByJob, Some(mut loader)) => {
                            self.left_out.sift(&mut walk.source, &head, format, &mut loader)?;
                            walk.source.tap = Some(loader);
                        }
                        (_, loader) => {
                            walk.source.tap = loader;
                            self.left_out.pass_over(&mut walk.source, &head, format)?;
                        }
                    }
                    keys += 1;
                }
                Item::Key(head) if head.expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms) => {
                    expired += 1;
                    value(&mut walk.source, head.kind, format, &mut ())?;
                    keys += 1;
                }
                Item::Key(head) => {
                    let long = big.and_then(|big| big.get(&keys)).copied();
                    if let Some(bytes) = long {
                        self.look(&mut walk, bytes)?;
                    }
                    match (is_possible(&head, format), self.rest.is_some()) {
                        (true, _) if long.is_some() && takes_pieces(&walk, &head) => load_in_pieces(&mut walk, head)?,
                        (false, true) => self.load_unless_it_takes_long(&mut walk, head, offset, long)?,
                        _ => load(&mut walk, head, long)?,
                    }
                    keys += 1;
                }
                Item::End { .. } => break,
                _ => {}
            }
            if keys - told >= LOOK_KEYS || walk.source.offset() - told_bytes >= LOOK_BYTES {
                self.advance(walk.source.offset() - told_bytes, keys - told);
                (told, told_bytes) = (keys, walk.source.offset());
                self.context.stop.check()?;
                self.look_in_passing(&mut walk)?;
            }
        }
        walk.source.at_end()?;
        self.advance(walk.source.offset() - told_bytes, keys - told);
        if expired > 0 {
            let note = format!("{}: {expired} of {keys} keys had expired since the backup and were left out", self.spot.name);
            self.context.watch.see(Event::Note(&note));
        }
        let done = walk.source.offset();
        let (_parts, loader, _buffer) = walk.source.into_parts();
        let mut loader = loader.ok_or_else(|| Error::failed("no loader"))?;
        loader.settle()?;
        let done = self.before + done;
        if let Some(watching) = &mut self.watching {
            watching.look(done, 0)?;
        }
        Ok((loader.connection, done))
    }

    /// For values that cannot be loaded in pieces. One that is too long for memory is counted first, and read once more when it is to be loaded now.
    fn load_unless_it_takes_long(
        &mut self,
        walk: &mut Walk<Parts, Option<Loader>>,
        head: KeyHead,
        offset: u64,
        long: Option<u64>,
    ) -> Result<()> {
        let (kind, format) = (head.kind, walk.format);
        let shape = Shape::of(kind, format).ok_or_else(|| unknown(kind, format))?;
        let mut counted = Elements::of(shape);
        let before = walk.source.offset();
        if long.is_none() {
            begin(walk, head, None)?;
        }
        value(&mut walk.source, kind, format, &mut counted)?;
        walk.source.tap_off()?;
        let at = At { offset, bytes: walk.source.offset() - before };
        let Some(rest) = self.rest.as_mut() else { return Ok(()) };
        if rest.takes(at, shape, counted.count()) {
            // What the loader has gathered it forgets with the next key.
            return Ok(());
        }
        match (long, walk.source.tap.take()) {
            (Some(_), Some(loader)) => walk.source.tap = Some(rest.load(at, format, loader)?),
            (_, mut loader) => {
                loader.iter_mut().try_for_each(Loader::end)?;
                walk.source.tap = loader;
            }
        }
        Ok(())
    }

    /// Looks at the live server, when it has taken what was sent. A value of `coming` bytes is next.
    fn look(&mut self, walk: &mut Walk<Parts, Option<Loader>>, coming: u64) -> Result<()> {
        let Some(watching) = &mut self.watching else { return Ok(()) };
        if let Some(loader) = &mut walk.source.tap {
            loader.settle()?;
        }
        watching.look(self.before + walk.source.offset(), coming)
    }

    /// Asks how the live server is behind what was sent, and judges what it answered the last time: it never waits for this program.
    fn look_in_passing(&mut self, walk: &mut Walk<Parts, Option<Loader>>) -> Result<()> {
        let done = self.before + walk.source.offset();
        let (Some(watching), Some(loader)) = (&mut self.watching, &mut walk.source.tap) else { return Ok(()) };
        if let Some((server, done)) = loader.state()? {
            watching.judge(&server, done, 0)?;
        }
        loader.ask_state(done)
    }

    fn advance(&self, bytes: u64, items: u64) {
        self.context.watch.see(Event::Advance { data_set: self.store.name, verb: Verb::Stage, bytes, items });
    }
}

impl crate::rdb::source::Tap for Option<Loader> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.as_mut().map_or(Ok(()), |loader| loader.take(bytes))
    }
}

/// Loads a key; its value is next in the source.
fn load(walk: &mut Walk<Parts, Option<Loader>>, head: KeyHead, long: Option<u64>) -> Result<()> {
    let (kind, format) = (head.kind, walk.format);
    begin(walk, head, long)?;
    value(&mut walk.source, kind, format, &mut ())?;
    walk.source.tap_off()?;
    walk.source.tap.iter_mut().try_for_each(Loader::end)
}

fn takes_pieces(walk: &Walk<Parts, Option<Loader>>, head: &KeyHead) -> bool {
    walk.source.tap.as_ref().is_some_and(|loader| loader.takes_pieces(head))
}

fn load_in_pieces(walk: &mut Walk<Parts, Option<Loader>>, head: KeyHead) -> Result<()> {
    let mut loader = walk.source.tap.take().ok_or_else(|| Error::failed("no loader"))?;
    loader.in_pieces(&mut walk.source, &head)?;
    walk.source.tap = Some(loader);
    walk.reuse(head.key);
    Ok(())
}

fn begin(walk: &mut Walk<Parts, Option<Loader>>, head: KeyHead, long: Option<u64>) -> Result<()> {
    if let Some(loader) = &mut walk.source.tap {
        let room = loader.begin(head, long)?;
        walk.reuse(room);
    }
    walk.source.tap_on()
}

fn big_values(snapshot: &Arc<dyn Snapshot>, evidence: &Evidence) -> Result<BigValues> {
    if !evidence.facts.contains_key("big-values") {
        return Ok(BigValues::new());
    }
    let bytes = snapshot.read_all(&snapshot.find(Path::new(BIG_VALUES))?)?;
    let list: Vec<Big> =
        serde_json::from_slice(&bytes).map_err(|error| Error::failed("failed to read the list of big values").because(error))?;
    let mut values = BigValues::new();
    for big in list {
        values.entry(big.database).or_default().insert(big.key, big.bytes);
    }
    Ok(values)
}

pub(crate) fn functions(snapshot: &Arc<dyn Snapshot>, evidence: &Evidence) -> Result<Vec<Vec<u8>>> {
    let count: u32 = evidence.facts.get("functions").and_then(|count| count.parse().ok()).unwrap_or(0);
    (1..=count).map(|number| snapshot.read_all(&snapshot.find(Path::new(&format!("{FUNCTIONS}/{number:04}.lua")))?)).collect()
}
