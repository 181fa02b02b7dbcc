//! The dump of the named logical databases: one RDB file each, cut into parts, and what was counted while the data passed.
//!
//! A thread reads the servers and makes the parts; at most two wait to be taken. Layout of the snapshot (documented in `docs/set-format.md`):
//! `0001-storage.rdb/00000001.part …` (joined in order: a valid RDB of that database alone), `big-values.json` (raw sizes of values that are too
//! long for memory), `functions/0001.lua` (function libraries: they belong to the server, not to a database).

mod files;

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use plan::evidence::{Evidence, Tally};
use plan::ports::{Context, Dump, Part, StopFlag, Verb, Verdict};
use plan::{Error, Queues, Result};
use threescale::queues::Selection;

use crate::connection::{Connection, Limits};
use crate::pass::{Database, Pass, server_time_ms};
use crate::queues::{FACT, IN_FLIGHT, NAMESPACE, PROBE, selection};
use crate::replication::{Asked, SETTINGS, open_view};
use crate::server::Server;
use crate::store::discard::share_of_memory;
use crate::store::functions::{codes, note_libraries};
use crate::store::limits::what_ends_a_pull;
use crate::store::mark::{HALF, MARK, OLD_HALF, half_loaded_by};
use crate::store::modules::note_modules;
use crate::store::{Named, RedisStore, ServerAt};
use crate::tally::Buckets;
use files::Files;

pub(crate) use files::{BIG_VALUES, Big, FUNCTIONS};

/// A payload longer than this is refused by a server with standard settings (`proto-max-bulk-len`).
const PAYLOAD_MAX_BYTES: u64 = 512 << 20;

/// How a server is read.
enum Reading {
    View(Box<crate::replication::View>),
    Scan(Box<Connection>),
}

/// A server whose view is open.
struct Opened {
    server: Server,
    reading: Reading,
    now_ms: u64,
    consistent_at: Timestamp,
}

/// Opens the view of one server.
fn open(at: &ServerAt, limits: &Limits) -> Result<Opened> {
    let mut connection = Connection::open(&at.address, limits)?;
    let server = Server::ask(&mut connection)?;
    refuse_half_loaded(&mut connection, at)?;
    let now_ms = server_time_ms(&mut connection)?;
    match open_view(&at.address, limits)? {
        Asked::View(view) => Ok(Opened { server, now_ms, consistent_at: view.consistent_at, reading: Reading::View(view) }),
        Asked::Forbidden => Ok(Opened { server, now_ms, consistent_at: Timestamp::now(), reading: Reading::Scan(Box::new(connection)) }),
    }
}

/// Data that a run is replacing, or swapping, is neither the old nor the new.
pub(crate) fn refuse_half_loaded(connection: &mut Connection, at: &ServerAt) -> Result<()> {
    for named in &at.databases {
        connection.select(named.database)?;
        if let Some(run) = half_loaded_by(connection)? {
            return Err(half_loaded(named, at, &format!("run {run}")));
        }
    }
    Ok(())
}

fn half_loaded(named: &Named, at: &ServerAt, by: &str) -> Error {
    Error::refused(format!("{} (database {} of {}) is half replaced by {by}", named.name, named.database, at.address.endpoint()))
        .hint("It is neither the old data nor the new. Resume or undo that run, or end it with `abandon`; then back up.")
}

/// A dump that runs.
pub(crate) struct RedisDump {
    parts: Option<Receiver<Part>>,
    thread: Option<JoinHandle<Result<Verdict>>>,
    verdict: Option<Verdict>,
    abort: StopFlag,
}

impl RedisDump {
    /// Opens the view of the first server, and begins to read it.
    pub(crate) fn begin(store: &RedisStore, context: &Context) -> Result<Self> {
        let abort = StopFlag::default();
        let mut limits = store.limits(context);
        limits.stops.push(abort.clone());
        let servers = store.servers.clone();
        let first = servers.first().ok_or_else(|| Error::refused("no address"))?;
        let first = open(first, &limits)?;
        let (sender, parts) = sync_channel(1);
        let (part_bytes, namespace) = (store.options.part_bytes, store.options.namespace.clone());
        let maker = Maker { data_set: store.name, part_bytes, namespace, context: context.clone(), limits };
        let thread = std::thread::Builder::new()
            .name("redis-dump".to_owned())
            .spawn(move || maker.run(&servers, first, Files::new(sender, &servers, maker.part_bytes)))
            .map_err(|error| Error::failed("failed to start a thread").because(error))?;
        Ok(Self { parts: Some(parts), thread: Some(thread), verdict: None, abort })
    }

    fn join(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let verdict = thread.join().unwrap_or_else(|_| Err(Error::failed("the thread that reads the server panicked")))?;
        self.verdict = Some(verdict);
        Ok(())
    }
}

impl Dump for RedisDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        match self.parts.as_ref().and_then(|parts| parts.recv().ok()) {
            Some(part) => Ok(Some(part)),
            None => self.join().map(|()| None),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Verdict> {
        if self.thread.is_some() {
            return Err(Error::failed("the dump was not read to its end"));
        }
        self.verdict.take().ok_or_else(|| Error::failed("the dump has failed"))
    }
}

impl Drop for RedisDump {
    fn drop(&mut self) {
        self.abort.raise();
        self.parts = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the thread needs.
struct Maker {
    data_set: plan::ids::DataSetName,
    part_bytes: usize,
    namespace: Option<String>,
    context: Context,
    limits: Limits,
}

impl Maker {
    fn run(&self, servers: &[ServerAt], first: Opened, mut files: Files) -> Result<Verdict> {
        let mut evidence = Evidence::default();
        let base_ms = first.now_ms / 60_000 * 60_000;
        evidence.facts.insert("expiry-base-ms".to_owned(), base_ms.to_string());
        if let Some(namespace) = &self.namespace {
            evidence.facts.insert(NAMESPACE.to_owned(), namespace.clone());
        }
        let mut first = Some(first);
        let mut consistent_at = None;
        for at in servers {
            let opened = match first.take() {
                Some(opened) => opened,
                None => open(at, &self.limits)?,
            };
            // With several servers the earliest view counts.
            consistent_at.get_or_insert(opened.consistent_at);
            files = self.server(at, opened, base_ms, files, &mut evidence)?;
        }
        files.finish(&mut evidence)?;
        Ok(Verdict { evidence, consistent_at: consistent_at.unwrap_or_else(Timestamp::now), problems: Vec::new() })
    }

    fn server(&self, at: &ServerAt, opened: Opened, base_ms: u64, files: Files, evidence: &mut Evidence) -> Result<Files> {
        let databases = at.databases.iter().map(|named| Database::new(named.database, base_ms, self.selection(named))).collect();
        let mut pass = Pass::new(&self.context, self.data_set, Verb::Dump, databases, opened.now_ms);
        let (mut files, road) = match opened.reading {
            Reading::View(view) => (self.pulled(at, pass.by_replication(*view, files))?, "replication"),
            Reading::Scan(mut connection) => {
                let files = pass.by_scan(&mut connection, &opened.server, files)?;
                refuse_half_loaded(&mut connection, at)?;
                (files, "scan")
            }
        };
        // The view has its own word: what was marked in it was half at that moment.
        for (named, database) in at.databases.iter().zip(&pass.databases) {
            if let Some(key) = database.markers.iter().find(|key| *key == HALF || *key == MARK || key.starts_with(OLD_HALF)) {
                let by = key.strip_prefix(OLD_HALF).map_or_else(|| "a run that has just begun".to_owned(), |run| format!("run {run}"));
                return Err(half_loaded(named, at, &by));
            }
        }
        note_modules(&opened.server, &pass.modules, &mut evidence.facts);
        note_server(at, &opened.server, &pass, road, evidence);
        if road == "scan" {
            self.scanned_functions(at, &opened.server, &mut pass)?;
        }
        let mut connection = Connection::open(&at.address, &self.limits)?;
        note_libraries(&mut connection, &pass.functions, &mut evidence.facts)?;
        files.functions.append(&mut pass.functions);
        for (named, database) in at.databases.iter().zip(pass.databases) {
            for (queue, jobs) in &database.queues {
                evidence.facts.insert(format!("{FACT}{}.{queue}", named.name), jobs.to_string());
            }
            if let Some(reports) = database.in_flight {
                evidence.facts.insert(IN_FLIGHT.to_owned(), reports.to_string());
            }
            evidence.facts.extend(database.longest.facts(&named.name));
            let probe = serde_json::to_string(&database.probe.buckets.persistent);
            let probe = probe.map_err(|error| Error::failed("failed to write down the key of the probe").because(error))?;
            evidence.facts.insert(format!("{PROBE}{}", named.name), probe);
            note_database(named, &database.buckets(), database.expired, &database.markers, evidence);
        }
        Ok(files)
    }

    /// A pull that broke is told what may have ended it.
    fn pulled(&self, at: &ServerAt, read: Result<Files>) -> Result<Files> {
        read.map_err(|error| {
            let limits = Limits { stops: Vec::new(), ..self.limits.clone() };
            let settings = || Connection::open(&at.address, &limits).and_then(|mut connection| what_ends_a_pull(&mut connection));
            match (error.class() == plan::Class::Transient).then(settings) {
                Some(Ok(Some(settings))) => error.hint(settings),
                _ => error,
            }
        })
    }

    /// Queues are listed in the evidence, whatever a restore will do with them.
    fn selection(&self, named: &Named) -> Selection {
        selection(self.data_set, &named.name, self.namespace.as_deref(), Queues::Drop)
    }

    /// Function libraries do not come with `SCAN`.
    fn scanned_functions(&self, at: &ServerAt, server: &Server, pass: &mut Pass<'_>) -> Result<()> {
        if !server.at_least(7, 0) {
            return Ok(());
        }
        let mut connection = Connection::open(&at.address, &self.limits)?;
        pass.functions.extend(codes(&mut connection)?);
        Ok(())
    }
}

/// The fact that tells the RDB version of a database's file. Sets of version 0.2 and before tell those of all files only.
pub(crate) fn rdb_version(name: &str) -> String {
    format!("rdb-version.{name}")
}

fn note_server(at: &ServerAt, server: &Server, pass: &Pass<'_>, road: &str, evidence: &mut Evidence) {
    let facts = &mut evidence.facts;
    join_fact(facts, "store", &server.to_string());
    let version = pass.format.map_or(0, |format| format.version).to_string();
    join_fact(facts, "rdb-version", &version);
    facts.extend(at.databases.iter().map(|named| (rdb_version(&named.name), version.clone())));
    join_fact(facts, "dump-road", road);
    add_fact(facts, "used-memory", server.number("used_memory"));
    add_fact(facts, "memory-bytes", share_of_memory(server, at.databases.iter().map(|named| server.keys(named.database).0).sum()));
    let largest = facts.get("largest-value-bytes").and_then(|text| text.parse().ok()).unwrap_or(0).max(pass.largest);
    facts.insert("largest-value-bytes".to_owned(), largest.to_string());
    add_fact(facts, "module-keys", pass.module_keys);
    if road == "replication" {
        join_fact(facts, "rdb-checksum", if pass.checked { "checked" } else { "off" });
    } else {
        evidence.warnings.push(format!(
            "{}: replication is forbidden, keys were read by SCAN and DUMP: they are not of one point in time unless the writers were stopped",
            at.address
        ));
    }
    if pass.module_aux > 0 {
        evidence.warnings.push(format!("{}: the global data of {} modules is not in the set", at.address, pass.module_aux));
    }
    if pass.largest + 64 > PAYLOAD_MAX_BYTES {
        evidence.warnings.push(format!(
            "{}: a value has {} bytes; it can only be restored where proto-max-bulk-len is larger than that",
            at.address, pass.largest
        ));
    }
}

fn note_database(named: &Named, buckets: &Buckets, expired: u64, markers: &[String], evidence: &mut Evidence) {
    evidence.facts.insert(format!("database.{}", named.name), named.database.to_string());
    add_fact(&mut evidence.facts, "expired-at-dump", expired);
    // Held for this very view.
    let markers: Vec<&str> = markers.iter().map(String::as_str).filter(|key| *key != SETTINGS).collect();
    if !markers.is_empty() {
        evidence.warnings.push(format!(
            "{}: left out {}: keys of a run of this program that has not ended",
            named.name,
            markers.join(", ")
        ));
    }
    insert_collections(named, buckets, &mut evidence.collections);
}

/// The collections of a database: `storage/persistent`, `storage/volatile/<end of the bucket>`, `storage/volatile-fields/<end of the bucket>`.
pub(crate) fn insert_collections(named: &Named, buckets: &Buckets, into: &mut std::collections::BTreeMap<String, Tally>) {
    into.insert(format!("{}/persistent", named.name), buckets.persistent);
    for (end_ms, tally) in &buckets.volatile {
        into.insert(format!("{}/volatile/{end_ms}", named.name), *tally);
    }
    for (end_ms, tally) in &buckets.fields {
        into.insert(format!("{}/volatile-fields/{end_ms}", named.name), *tally);
    }
}

fn join_fact(facts: &mut std::collections::BTreeMap<String, String>, name: &str, value: &str) {
    let fact = facts.entry(name.to_owned()).or_default();
    if !fact.split(", ").any(|part| part == value) {
        if !fact.is_empty() {
            fact.push_str(", ");
        }
        fact.push_str(value);
    }
}

fn add_fact(facts: &mut std::collections::BTreeMap<String, String>, name: &str, value: u64) {
    let before: u64 = facts.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    facts.insert(name.to_owned(), (before + value).to_string());
}

/// Where a database's parts are, in the order of the store's databases.
pub(crate) fn folder(position: usize, name: &str) -> String {
    format!("{:04}-{name}.rdb", position + 1)
}

/// Whether a folder of a snapshot is a logical database: an RDB file that is cut into parts, `00000001.part` and so on.
#[must_use]
pub fn is_stream(folder: &std::path::Path) -> bool {
    folder.components().count() == 1 && folder.extension().is_some_and(|extension| extension == "rdb")
}

/// Path of a part, counted from 1.
pub(crate) fn part_path(folder: &str, number: u64) -> std::path::PathBuf {
    std::path::PathBuf::from(format!("{folder}/{number:08}.part"))
}

/// All names of a store's databases, in order.
pub(crate) fn all_named(servers: &[ServerAt]) -> impl Iterator<Item = &Named> {
    servers.iter().flat_map(|server| server.databases.iter())
}
