//! One pass over logical databases of a server, key by key, by replication or by `SCAN` and `DUMP`: keys are tallied, and their raw bytes go to a
//! keeper (the files of a dump, or nobody for a proof).

use std::collections::BTreeMap;
use std::io::Read;

use plan::ports::{Context, Event, Verb};
use plan::{Error, Result};
use threescale::keys::{Class, Store};
use threescale::queues::{Fate, Selection};

use crate::MARKER_PREFIX;
use crate::connection::{Connection, Reply};
use crate::queues::fate;
use crate::rdb::Format;
use crate::rdb::module::type_name;
use crate::rdb::source::{NoTap, Source, Tap};
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::replication::{Framing, View};
use crate::store::standstill::Longest;
use crate::tally::{Buckets, DatabaseTally};

/// The key that the readiness probe of 3scale's own pods writes into database 0, at each start and every few seconds (3scale-operator 2.15,
/// `pkg/3scale/amp/component/redis.go`): in what is live it says nothing of what was loaded.
pub(crate) const PROBE_KEY: &str = "liveness-probe";
/// Functions of one server that are kept at most.
const FUNCTIONS_MAX_BYTES: usize = 16 << 20;
/// Progress is told after so many bytes.
const ADVANCE_BYTES: u64 = 4 << 20;

/// Keeps the raw bytes that pass.
pub(crate) trait Keeper: Tap {
    /// The format is known; databases follow.
    fn begin(&mut self, format: Format, aux: &BTreeMap<String, Vec<u8>>) -> Result<()>;
    /// Keys of this database (position in [`Pass::databases`]) follow.
    fn database(&mut self, position: usize) -> Result<()>;
    /// A hint of its sizes.
    fn sizes(&mut self, keys: u64, expires: u64) -> Result<()>;
    /// A key; its value follows through the tap.
    fn key(&mut self, head: &KeyHead) -> Result<()>;
    /// The value had so many raw bytes.
    fn key_end(&mut self, raw_bytes: u64) -> Result<()>;
    /// Every database was there.
    fn end(&mut self) -> Result<()>;
}

impl Keeper for NoTap {
    fn begin(&mut self, _format: Format, _aux: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        Ok(())
    }
    fn database(&mut self, _position: usize) -> Result<()> {
        Ok(())
    }
    fn sizes(&mut self, _keys: u64, _expires: u64) -> Result<()> {
        Ok(())
    }
    fn key(&mut self, _head: &KeyHead) -> Result<()> {
        Ok(())
    }
    fn key_end(&mut self, _raw_bytes: u64) -> Result<()> {
        Ok(())
    }
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A database of the pass.
pub(crate) struct Database {
    pub(crate) number: u32,
    pub(crate) tally: DatabaseTally,
    /// Keys that had expired before the pass began: they are not there any more for any client.
    pub(crate) expired: u64,
    /// Keys of this program: markers of runs.
    pub(crate) markers: Vec<String>,
    /// What a restore takes.
    selection: Selection,
    /// How many keys there are that it leaves out, and how long the queues among them.
    pub(crate) left_out: u64,
    pub(crate) queues: BTreeMap<String, u64>,
    /// Queues of which it takes some jobs.
    pub(crate) by_job: DatabaseTally,
    /// The key of the probe.
    pub(crate) probe: DatabaseTally,
    /// Reports of traffic that are not counted yet; only Backend's storage has such.
    pub(crate) in_flight: Option<u64>,
    pub(crate) longest: Longest,
}

impl Database {
    pub(crate) fn new(number: u32, base_ms: u64, selection: Selection) -> Self {
        let [tally, by_job, probe] = [(); 3].map(|()| DatabaseTally::new(base_ms));
        let in_flight = (selection.store() == Some(Store::BackendStorage)).then_some(0);
        Self {
            number,
            tally,
            expired: 0,
            markers: Vec::new(),
            selection,
            left_out: 0,
            queues: BTreeMap::new(),
            by_job,
            probe,
            in_flight,
            longest: Longest::default(),
        }
    }

    /// All keys but those of which some jobs are taken.
    pub(crate) fn buckets(&self) -> Buckets {
        let mut buckets = self.tally.buckets.clone();
        buckets.merge(&self.probe.buckets);
        buckets
    }

    /// The key has ended.
    fn note(&mut self, key: &[u8], fate: Fate) {
        if self.in_flight.is_some() && key == threescale::queues::IN_FLIGHT {
            self.in_flight = Some(self.tally.length());
        }
        let Fate::LeftOut(class) = fate else { return };
        self.left_out += 1;
        if class == Class::Jobs {
            note_counted(&mut self.queues, printable(key), self.tally.length());
        }
    }
}

/// The pass, and what it found.
pub(crate) struct Pass<'a> {
    pub(crate) context: &'a Context,
    pub(crate) data_set: plan::ids::DataSetName,
    pub(crate) verb: Verb,
    /// Ascending by number.
    pub(crate) databases: Vec<Database>,
    /// The server's clock before the pass: what expires earlier is expired.
    pub(crate) now_ms: u64,
    pub(crate) format: Option<Format>,
    /// Whether the server computed a checksum, and it was right.
    pub(crate) checked: bool,
    pub(crate) functions: Vec<Vec<u8>>,
    pub(crate) module_aux: u64,
    pub(crate) module_keys: u64,
    /// Values of modules, by the name of their type.
    pub(crate) modules: BTreeMap<String, u64>,
    pub(crate) largest: u64,
    told: (u64, u64),
    done: (u64, u64),
}

impl<'a> Pass<'a> {
    pub(crate) fn new(context: &'a Context, data_set: plan::ids::DataSetName, verb: Verb, databases: Vec<Database>, now_ms: u64) -> Self {
        Self {
            context,
            data_set,
            verb,
            databases,
            now_ms,
            format: None,
            checked: false,
            functions: Vec::new(),
            module_aux: 0,
            module_keys: 0,
            modules: BTreeMap::new(),
            largest: 0,
            told: (0, 0),
            done: (0, 0),
        }
    }

    /// Reads the RDB of a view. The whole RDB is read, of which only the databases of the pass are tallied and kept.
    pub(crate) fn by_replication<K: Keeper>(&mut self, view: View, keeper: K) -> Result<K> {
        let View { connection, framing, .. } = view;
        let mut walk = Walk::begin(Source::new(connection, keeper))?;
        let format = walk.format;
        self.format = Some(format);
        let mut aux = Some(BTreeMap::new());
        let mut position = None;
        loop {
            let item = walk.next()?;
            if let Item::Aux(name, text) = item {
                if let Some(aux) = &mut aux {
                    aux.insert(String::from_utf8_lossy(&name).into_owned(), text);
                }
                continue;
            }
            if !matches!(item, Item::Function(_) | Item::ModuleAux)
                && let Some(aux) = aux.take()
            {
                walk.source.tap.begin(format, &aux)?;
            }
            match item {
                Item::Aux(..) => {}
                Item::Function(code) => self.keep_function(code)?,
                Item::ModuleAux => self.module_aux += 1,
                Item::Database(number) => {
                    position = self.databases.iter().position(|database| u64::from(database.number) == number);
                    if let Some(position) = position {
                        walk.source.tap.database(position)?;
                    }
                }
                Item::Sizes(keys, expires) if position.is_some() => walk.source.tap.sizes(keys, expires)?,
                Item::Sizes(..) => {}
                Item::Key(head) => match position {
                    Some(position) => {
                        self.key(&mut walk.source, format, &head, position)?;
                        walk.reuse(head.key);
                    }
                    None => {
                        value(&mut walk.source, head.kind, format, &mut ())?;
                        walk.reuse(head.key);
                    }
                },
                Item::End { checked } => {
                    self.checked = checked;
                    break;
                }
            }
            self.advance(walk.source.offset())?;
        }
        let whole = match framing {
            Framing::Length(length) => walk.source.offset() == length,
            Framing::Mark(mark) => walk.source.exact::<40>()? == mark,
        };
        if !whole {
            return Err(Error::transient("the RDB does not end where the server said"));
        }
        let (_left, mut keeper, _buffer) = walk.source.into_parts();
        keeper.end()?;
        self.tell();
        Ok(keeper)
    }

    /// One key of a database of the pass; its value is next in the source.
    pub(crate) fn key<R: Read, K: Keeper>(
        &mut self,
        source: &mut Source<R, K>,
        format: Format,
        head: &KeyHead,
        position: usize,
    ) -> Result<()> {
        let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
        let database = self.databases.get_mut(position).ok_or_else(|| Error::failed("a database that is not in the pass"))?;
        if head.key.starts_with(MARKER_PREFIX) {
            database.markers.push(String::from_utf8_lossy(&head.key).into_owned());
            return value(source, head.kind, format, &mut ());
        }
        if head.expires_ms.is_some_and(|expires_ms| expires_ms <= self.now_ms) {
            database.expired += 1;
            return value(source, head.kind, format, &mut ());
        }
        self.module_keys += u64::from(shape == Shape::Module);
        source.tap.key(head)?;
        source.tap_on()?;
        let from = source.offset();
        let fate = fate(&database.selection, &head.key, shape, head.expires_ms.is_some());
        let tally = match fate {
            _ if head.key == PROBE_KEY.as_bytes() => &mut database.probe,
            Fate::ByJob => &mut database.by_job,
            _ => &mut database.tally,
        };
        tally.begin_key(&head.key, shape, head.expires_ms);
        let read = value(source, head.kind, format, tally);
        read.map_err(|error| error.during(format!("failed to read the key {:?} of database {}", printable(&head.key), database.number)))?;
        tally.end_key();
        let length = tally.length();
        if let Some(id) = tally.module {
            note_counted(&mut self.modules, type_name(id), 1);
        }
        database.note(&head.key, fate);
        source.tap_off()?;
        let raw_bytes = source.offset() - from;
        self.largest = self.largest.max(raw_bytes);
        if let Some(database) = self.databases.get_mut(position) {
            database.longest.note(head, format, length, raw_bytes);
        }
        self.done.1 += 1;
        source.tap.key_end(raw_bytes)
    }

    fn keep_function(&mut self, code: Vec<u8>) -> Result<()> {
        let bytes: usize = self.functions.iter().map(Vec::len).sum();
        if bytes + code.len() > FUNCTIONS_MAX_BYTES {
            return Err(Error::failed(format!("the server has more than {FUNCTIONS_MAX_BYTES} bytes of function libraries")));
        }
        self.functions.push(code);
        Ok(())
    }

    /// Tells the watcher how far it is, from time to time, and looks at the stop flag.
    pub(crate) fn advance(&mut self, bytes: u64) -> Result<()> {
        self.done.0 = bytes;
        if bytes - self.told.0 >= ADVANCE_BYTES {
            self.tell();
            self.context.stop.check()?;
        }
        Ok(())
    }

    pub(crate) fn tell(&mut self) {
        let (bytes, items) = (self.done.0 - self.told.0, self.done.1 - self.told.1);
        self.told = self.done;
        self.context.watch.see(Event::Advance { data_set: self.data_set, verb: self.verb, bytes, items });
    }
}

/// The server's clock, milliseconds since the epoch.
pub(crate) fn server_time_ms(connection: &mut Connection) -> Result<u64> {
    time_ms(connection.call(&[b"TIME"])?)
}

/// What `TIME` answered, in milliseconds.
pub(crate) fn time_ms(reply: Reply) -> Result<u64> {
    let time = reply.list();
    let part = |at: usize| time.get(at).and_then(|part| part.text().parse::<u64>().ok());
    match (part(0), part(1)) {
        (Some(seconds), Some(micros)) => Ok(seconds * 1000 + micros / 1000),
        _ => Err(Error::failed("the server does not tell the time")),
    }
}

/// Names (of queues of one database, of types of modules) that are told apart; 3scale has eleven queues.
const NAMES_MAX: usize = 500;

/// Adds to what is counted by name. Memory stays bounded whatever the names are.
pub(crate) fn note_counted(queues: &mut BTreeMap<String, u64>, name: String, length: u64) {
    let name = if queues.len() < NAMES_MAX || queues.contains_key(&name) { name } else { "(others)".to_owned() };
    *queues.entry(name).or_default() += length;
}

/// A key for people: cut, without control characters.
pub(crate) fn printable(key: &[u8]) -> String {
    String::from_utf8_lossy(key.get(..key.len().min(80)).unwrap_or_default()).into_owned()
}
