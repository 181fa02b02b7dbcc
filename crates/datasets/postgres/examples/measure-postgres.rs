//! Measures dump, stage, proof and cut-over on some 200 MB of rows shaped like zync's entries: `cargo run --release --example measure-postgres`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Entry, EntryHandle, Meta, Road, Snapshot};
use postgres_data_set::{Address, Options, PostgresStore};

struct Memory(Vec<(PathBuf, Vec<u8>)>);

impl Snapshot for Memory {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.0.iter().map(|(path, bytes)| {
            let kind = plan::ports::EntryKind::File;
            Ok(Entry { path: path.clone(), meta: Meta::default(), size_bytes: bytes.len() as u64, kind, handle: EntryHandle(Box::new(())) })
        })))
    }
    fn find(&self, path: &Path) -> plan::Result<Entry> {
        self.entries()?.flatten().find(|entry| entry.path == path).ok_or_else(|| plan::Error::failed("no such entry"))
    }
    fn read(&self, entry: &Entry) -> plan::Result<Box<dyn Read + Send>> {
        let bytes = self.0.iter().find(|(path, _)| *path == entry.path).unwrap().1.clone();
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }
}

fn main() {
    let server = lab::Postgres::start(&[]).unwrap();
    let sql = |database: &str, text: &str| assert!(server.client().args(["-d", database, "-c", text]).status().unwrap().success());
    sql("postgres", "CREATE DATABASE zync");
    sql(
        "zync",
        "CREATE TABLE entries (id bigserial PRIMARY KEY, data jsonb, tenant_id bigint, model_id bigint, created_at timestamp DEFAULT now()); \
         INSERT INTO entries (data, tenant_id, model_id) SELECT jsonb_build_object('id', n, 'hash', md5(n::text), 'state', 'active', 'text', repeat(md5((n * 7)::text), 3)), n % 50, n % 1000 \
         FROM generate_series(1, 900000) n; CREATE INDEX ON entries (model_id); ANALYZE",
    );
    let store = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url("zync")).unwrap(), Options::default());
    let context = Context { workers: 2, ..Context::new("01jd0000000000000001") };

    let clock = Instant::now();
    let mut dump = store.dump(&context).unwrap();
    let opened = clock.elapsed();
    let mut parts = Vec::new();
    while let Some(part) = dump.next_part().unwrap() {
        let Content::Bytes(bytes) = part.content else { unreachable!() };
        parts.push((part.path, bytes));
    }
    let read = clock.elapsed();
    let verdict = dump.finish().unwrap();
    let bytes: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("dump: {bytes} bytes; view open after {opened:.2?}, read {read:.2?}, counted {:.2?}", clock.elapsed());

    let now = jiff::Timestamp::now();
    let kept = KeptDataSet {
        snapshot: SnapshotId("0".repeat(64)),
        kind: plan::ports::StoreKind::PostgreSql,
        store: "PostgreSQL".into(),
        identity: None,
        started_at: now,
        consistent_at: verdict.consistent_at,
        finished_at: now,
        parts: parts.len() as u64,
        bytes: bytes as u64,
        stored_bytes: 0,
        evidence: verdict.evidence,
        problems: verdict.problems,
    };
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let timed = |what: &str, work: &mut dyn FnMut()| {
        let clock = Instant::now();
        work();
        println!("{what}: {:.2?}", clock.elapsed());
    };
    let snapshot: Arc<dyn Snapshot> = Arc::new(Memory(parts));
    timed("stage", &mut || store.stage(&context, &place, Arc::clone(&snapshot), &kept).unwrap());
    timed("prove", &mut || {
        let found = store.prove(&context, &place, &kept).unwrap();
        assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
    });
    timed("cut over", &mut || store.cut_over(&context, &place).unwrap());
    timed("undo", &mut || assert_eq!(store.undo(&context, &place).unwrap(), plan::ports::Undone::PreviousIsLive));
    timed("discard", &mut || store.discard(&context, &place, plan::ports::Discard::Previous).unwrap());
}
