//! Stage: loads a snapshot's databases into the place, after clearing what an earlier call of the same run left there.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Snapshot, Verb};
use plan::{Error, Queues, Result};

use super::claim::{finish, prepare};
use super::left_out::{LeftOut, base_ms};
use super::loader::Loader;
use super::place::{Method, Placed, Spot};
use super::transaction::settle_writes;
use super::{Named, RedisStore};
use crate::connection::Connection;
use crate::dump::{BIG_VALUES, Big, FUNCTIONS, part_path};
use crate::pass::server_time_ms;
use crate::rdb::source::Source;
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::{Item, Walk};
use crate::server::Server;

/// Progress is told, and the stop flag looked at, after so many keys.
pub(crate) const ADVANCE_KEYS: u64 = 10_000;

/// Sizes of values that are too long for memory, by database and position of the key.
type BigValues = HashMap<(String, u64), u64>;

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
        // All are marked before the first gets its first key, and none is whole before all are.
        for ((at, mut connection, _), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            spots.iter().try_for_each(|spot| prepare(&mut connection, at, &marks, spot))?;
        }
        let mut loaded = Vec::new();
        for (at, spots) in self.servers.iter().zip(&placed.servers) {
            let mut connection = self.connect(context, at)?;
            let server = Server::ask(&mut connection)?;
            let mut records = Vec::new();
            for spot in spots {
                let (folder, parts) = parts_of(kept, &spot.name)?;
                connection.select(spot.side.unwrap_or(spot.live))?;
                let now_ms = server_time_ms(&mut connection)?;
                let parts = Parts::begin(Arc::clone(snapshot), folder, parts)?;
                let mut left_out = LeftOut::new(placed.rules(self.name, spot), base_ms);
                let mut load = Load { store: self, context, spot, big: &big, server: &server, now_ms, left_out: &mut left_out };
                connection = load.run(parts, connection)?;
                left_out.tell(&*context.watch);
                let named = Named { name: spot.name.clone(), database: spot.live };
                records.push((spot, (placed.queues == Queues::Drop).then(|| left_out.to_text(&named)).transpose()?));
            }
            loaded.push((at, server, records));
        }
        for (at, server, records) in &loaded {
            // Another server may have taken long: a connection that rested may be gone.
            let mut connection = self.connect(context, at)?;
            finish(&mut connection, &marks, records, &functions, server, context)?;
            settle_writes(&mut connection, server)?;
        }
        Ok(())
    }
}

/// The load of one database.
struct Load<'a> {
    store: &'a RedisStore,
    context: &'a Context,
    spot: &'a Spot,
    big: &'a BigValues,
    server: &'a Server,
    now_ms: u64,
    left_out: &'a mut LeftOut,
}

impl Load<'_> {
    fn run(&mut self, parts: Parts, connection: Connection) -> Result<Connection> {
        // The version is known only from the header.
        let mut walk = Walk::begin(Source::new(parts, None))?;
        let format = walk.format;
        if !self.server.accepts(format) {
            return Err(Error::refused(format!("RDB version {} cannot be loaded by {}", format.version, self.server)));
        }
        walk.source.tap = Some(Loader::new(connection, format.version));
        let (mut keys, mut expired, mut told, mut told_bytes) = (0u64, 0u64, 0u64, 0u64);
        loop {
            match walk.next()? {
                Item::Key(head) if let Some(class) = self.left_out.class(&head.key) => {
                    let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
                    self.left_out.tally.begin_key(&head.key, shape, head.expires_ms);
                    value(&mut walk.source, head.kind, format, &mut self.left_out.tally)?;
                    self.left_out.add(&head.key, class);
                    keys += 1;
                }
                Item::Key(head) if head.expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms) => {
                    expired += 1;
                    value(&mut walk.source, head.kind, format, &mut ())?;
                    keys += 1;
                }
                Item::Key(head) => {
                    let long = self.big.get(&(self.spot.name.clone(), keys)).copied();
                    let kind = head.kind;
                    if let Some(loader) = &mut walk.source.tap {
                        loader.begin(head, long)?;
                    }
                    walk.source.tap_on()?;
                    value(&mut walk.source, kind, format, &mut ())?;
                    walk.source.tap_off()?;
                    if let Some(loader) = &mut walk.source.tap {
                        loader.end()?;
                    }
                    keys += 1;
                }
                Item::End { .. } => break,
                _ => {}
            }
            if keys - told >= ADVANCE_KEYS || walk.source.offset() - told_bytes >= 4 << 20 {
                self.advance(walk.source.offset() - told_bytes, keys - told);
                (told, told_bytes) = (keys, walk.source.offset());
                self.context.stop.check()?;
            }
        }
        walk.source.at_end()?;
        self.advance(walk.source.offset() - told_bytes, keys - told);
        if expired > 0 {
            let note = format!("{}: {expired} of {keys} keys had expired since the backup and were left out", self.spot.name);
            self.context.watch.see(Event::Note(&note));
        }
        let (_parts, loader, _buffer) = walk.source.into_parts();
        let mut loader = loader.ok_or_else(|| Error::failed("no loader"))?;
        loader.drain(0)?;
        Ok(loader.connection)
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

fn big_values(snapshot: &Arc<dyn Snapshot>, evidence: &Evidence) -> Result<BigValues> {
    if !evidence.facts.contains_key("big-values") {
        return Ok(BigValues::new());
    }
    let bytes = snapshot.read_all(&snapshot.find(Path::new(BIG_VALUES))?)?;
    let list: Vec<Big> = serde_json::from_slice(&bytes).map_err(|error| Error::failed("read the list of big values").because(error))?;
    Ok(list.into_iter().map(|big| ((big.database, big.key), big.bytes)).collect())
}

pub(crate) fn functions(snapshot: &Arc<dyn Snapshot>, evidence: &Evidence) -> Result<Vec<Vec<u8>>> {
    let count: u32 = evidence.facts.get("functions").and_then(|count| count.parse().ok()).unwrap_or(0);
    (1..=count).map(|number| snapshot.read_all(&snapshot.find(Path::new(&format!("{FUNCTIONS}/{number:04}.lua")))?)).collect()
}

/// The folder of a database's file in the snapshot, and how many parts it has.
pub(crate) fn parts_of(kept: &KeptDataSet, name: &str) -> Result<(String, u64)> {
    let fact = |fact: &str| kept.evidence.facts.get(&format!("{fact}.{name}"));
    match (fact("folder"), fact("parts").and_then(|parts| parts.parse().ok())) {
        (Some(folder), Some(parts)) => Ok((folder.clone(), parts)),
        _ => Err(Error::refused(format!("the set has no database {name:?}"))),
    }
}

/// The parts of a file, joined; the next ones are read while the server loads.
pub(crate) struct Parts {
    ahead: Receiver<Result<Vec<u8>>>,
    now: io::Cursor<Vec<u8>>,
}

impl Parts {
    pub(crate) fn begin(snapshot: Arc<dyn Snapshot>, folder: String, parts: u64) -> Result<Self> {
        let (sender, ahead) = sync_channel(1);
        std::thread::Builder::new()
            .name("redis-parts".to_owned())
            .spawn(move || {
                for number in 1..=parts {
                    let part = snapshot.find(&part_path(&folder, number)).and_then(|entry| snapshot.read_all(&entry));
                    let failed = part.is_err();
                    if sender.send(part).is_err() || failed {
                        return;
                    }
                }
            })
            .map_err(|error| Error::failed("start a thread").because(error))?;
        Ok(Self { ahead, now: io::Cursor::default() })
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.now.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.ahead.recv() {
                Ok(part) => self.now = io::Cursor::new(part.map_err(io::Error::other)?),
                Err(_) => return Ok(0),
            }
        }
    }
}
