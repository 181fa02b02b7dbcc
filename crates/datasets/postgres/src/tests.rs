//! Facts about this data set, against real servers. `psql` and `pg_dump` are the judges: what they see before and after, from outside.

#![expect(clippy::unwrap_used, reason = "tests")]

mod beside;
mod cut_over;
mod faults;
mod generated;
mod in_place;
mod live_reading;
mod marks;
mod network;
mod next_ids;
mod patience;
mod pooler;
mod porta;
mod privileges;
mod public;
mod rights;
mod round_trip;
mod settings;
mod sizes;
mod standby;
mod superuser;
mod tls;
mod verdicts;
mod versions;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Dump, Entry, EntryHandle, Event, Meta, Place, Road, Snapshot, Verdict, Watch};

use crate::sql::connection_string;
use crate::{Address, Options, PostgresStore};

/// Everything that a database can hold and that has been lost by somebody's backup before.
pub(crate) const RICH: &str = include_str!("tests/rich.sql");

/// A snapshot in memory.
pub(crate) struct Memory(pub(crate) Vec<(PathBuf, Vec<u8>)>);

impl Snapshot for Memory {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.0.iter().map(|(path, bytes)| {
            Ok(Entry {
                path: path.clone(),
                meta: Meta::default(),
                size_bytes: bytes.len() as u64,
                kind: plan::ports::EntryKind::File,
                handle: EntryHandle(Box::new(())),
            })
        })))
    }

    fn find(&self, path: &Path) -> plan::Result<Entry> {
        self.entries()?.flatten().find(|entry| entry.path == path).ok_or_else(|| plan::Error::failed("no such entry"))
    }

    fn read(&self, entry: &Entry) -> plan::Result<Box<dyn Read + Send>> {
        let found = self.0.iter().find(|(path, _)| *path == entry.path).unwrap();
        Ok(Box::new(std::io::Cursor::new(found.1.clone())))
    }
}

/// Remembers warnings.
#[derive(Default)]
pub(crate) struct Ear(pub(crate) Mutex<Vec<String>>);

impl Watch for Ear {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

pub(crate) fn context(run: &str) -> (Context, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let watch = Arc::clone(&ear) as Arc<dyn Watch>;
    (Context { workers: 2, watch, ..Context::new(run) }, ear)
}

pub(crate) fn store_at(url: &str) -> PostgresStore {
    let options = Options { cut_over_wait: Duration::from_secs(10), ..Options::default() };
    PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(url).unwrap(), options)
}

/// Runs statements with `psql`.
pub(crate) fn psql(server: &lab::Postgres, database: &str, statements: &str) -> String {
    let mut command = server.client();
    command.args(["-A", "-t", "-d"]).arg(connection_string(database)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The whole database as `pg_dump` writes it, with owners, grants and the database's own properties.
pub(crate) fn text(server: &lab::Postgres, database: &str) -> String {
    let mut command: Command = server.program("pg_dump");
    let output = command.args(["--create", "-d"]).arg(connection_string(database)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A token that is new for each dump.
    text.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")).collect::<Vec<_>>().join("\n")
}

/// Compares two texts of a database and shows where they part.
pub(crate) fn same(before: &str, after: &str) {
    if before != after {
        let parting = before.lines().zip(after.lines()).find(|(one, other)| one != other);
        let only = |one: &str, other: &str| {
            let known: std::collections::BTreeSet<_> = other.lines().collect();
            one.lines().filter(|line| !known.contains(line)).map(|line| line.chars().take(300).collect()).take(20).collect::<Vec<String>>()
        };
        panic!("first {parting:#?}, only before: {:#?}, only after: {:#?}", only(before, after), only(after, before));
    }
}

/// Pulls a dump to its end.
pub(crate) fn pull(mut dump: Box<dyn Dump>) -> plan::Result<(Memory, Verdict)> {
    let mut parts = Vec::new();
    while let Some(part) = dump.next_part()? {
        let Content::Bytes(bytes) = part.content else { panic!("a part that is not bytes") };
        assert!(bytes.len() <= 8 << 20);
        parts.push((part.path, bytes));
    }
    Ok((Memory(parts), dump.finish()?))
}

pub(crate) fn kept(memory: &Memory, verdict: Verdict) -> KeptDataSet {
    let now = Timestamp::now();
    KeptDataSet {
        snapshot: SnapshotId("0".repeat(64)),
        kind: plan::ports::StoreKind::PostgreSql,
        store: "PostgreSQL".into(),
        identity: None,
        started_at: now,
        consistent_at: verdict.consistent_at,
        finished_at: now,
        parts: memory.0.len() as u64,
        bytes: memory.0.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        stored_bytes: 0,
        evidence: verdict.evidence,
        problems: verdict.problems,
    }
}

/// Takes a set of one data set.
pub(crate) fn take(store: &PostgresStore) -> (Arc<Memory>, KeptDataSet) {
    let (context, _) = context("01jdbackup0000000000");
    let (memory, verdict) = pull(store.dump(&context).unwrap()).unwrap();
    assert!(memory.0.is_sorted_by_key(|(path, _)| path.clone()), "parts in the order of their names");
    let kept = kept(&memory, verdict);
    (Arc::new(memory), kept)
}

/// Reserves, stages and proves; what was proven must be what was kept.
pub(crate) fn staged(store: &PostgresStore, context: &Context, set: &(Arc<Memory>, KeptDataSet), road: Road) -> Place {
    let problems = store.fits(context, &set.1, road).unwrap();
    assert!(problems.iter().all(|problem| problem.severity < plan::ports::Severity::Blocks), "{problems:?}");
    let place = store.reserve(context, &set.1, road).unwrap();
    store.stage(context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap();
    prove(store, context, &place, &set.1);
    place
}

pub(crate) fn prove(store: &PostgresStore, context: &Context, place: &Place, kept: &KeptDataSet) {
    let evidence = store.prove(context, place, kept).unwrap();
    let differences = kept.evidence.differences(&evidence);
    assert!(differences.is_empty(), "{differences:?} {:?}", evidence.warnings);
}

/// How many connections a server that logs them has let in.
pub(crate) fn opened(server: &lab::Postgres) -> usize {
    std::fs::read_to_string(server.folder().join("server.log")).unwrap().matches("connection authorized: ").count()
}

/// Waits for a condition, with a limit.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn databases(server: &lab::Postgres) -> Vec<String> {
    let list = "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1') ORDER BY 1";
    psql(server, "postgres", list).lines().map(str::to_owned).collect()
}
