//! Measures dump and stage against `mysqldump --single-transaction | gzip` and `zcat | mysql`, on a throw-away server.
//!
//! `cargo run --release -p mysql-data-set --example measure-mysql -- [mysql|mariadb] [MiB] [workers]`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use mysql_data_set::{Address, MysqlStore, Options};
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Entry, EntryHandle, Meta, Road, Snapshot};

/// A snapshot in a folder, in the order in which it was written.
struct InFolder(PathBuf, Vec<(PathBuf, u64)>);

impl InFolder {
    fn entry(&self, index: usize) -> Entry {
        let (path, size_bytes) = self.1[index].clone();
        Entry { path, meta: Meta::default(), size_bytes, kind: plan::ports::EntryKind::File, handle: EntryHandle(Box::new(())) }
    }
}

impl Snapshot for InFolder {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<Entry>> + Send + '_>> {
        Ok(Box::new((0..self.1.len()).map(|index| Ok(self.entry(index)))))
    }

    fn find(&self, path: &Path) -> plan::Result<Entry> {
        Ok(self.entry(self.1.iter().position(|(held, _)| held == path).unwrap()))
    }

    fn read(&self, entry: &Entry) -> plan::Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::fs::File::open(self.0.join(&entry.path)).unwrap()))
    }
}

fn fill(server: &Mysql, mebibytes: u64) {
    let options = OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(server.port())
        .prefer_socket(false)
        .user(Some("root"))
        .pass(Some(server.password()));
    let mut conn = Conn::new(options).unwrap();
    conn.query_drop("CREATE DATABASE `system` CHARACTER SET utf8mb3 COLLATE utf8mb3_bin").unwrap();
    conn.query_drop("USE `system`").unwrap();
    conn.query_drop("CREATE TABLE digits (n INT)").unwrap();
    conn.query_drop("INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)").unwrap();
    for table in ["accounts", "cinstances", "event_store_events"] {
        let sql = format!(
            "CREATE TABLE {table} (id BIGINT PRIMARY KEY AUTO_INCREMENT, tenant_id BIGINT, name VARCHAR(255), state VARCHAR(20), created_at DATETIME(6), \
             price DECIMAL(20,4), data MEDIUMTEXT, user_key VARCHAR(256), flag TINYINT(1), KEY (tenant_id), KEY (name), KEY (user_key), KEY (created_at))"
        );
        conn.query_drop(sql).unwrap();
        let row = "SELECT NULL, a.n + b.n, CONCAT('a name ', a.n, RAND()), 'live', NOW(6), RAND() * 1000, CONCAT('--- \\n:a: \\'', SHA2(RAND(), 512), '\\'\\n', REPEAT('yaml: text\\n', 10)), SHA2(RAND(), 256), 1";
        conn.query_drop(format!("INSERT INTO {table} {row} FROM digits a, digits b, digits c, digits d")).unwrap();
        // A row is about 400 bytes.
        let wanted = (mebibytes << 20) / 3 / 400;
        let mut rows = 10_000;
        while rows < wanted {
            let more = rows.min(wanted - rows);
            let again = "NULL, tenant_id, CONCAT('a name ', RAND()), state, NOW(6), RAND() * 1000, CONCAT('--- \\n:a: \\'', SHA2(RAND(), 512), '\\'\\n', REPEAT('yaml: text\\n', 10)), SHA2(RAND(), 256), 1";
            conn.query_drop(format!("INSERT INTO {table} SELECT {again} FROM {table} LIMIT {more}")).unwrap();
            rows += more;
        }
        conn.query_drop(format!("ANALYZE TABLE {table}")).unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let kind = if arguments.get(1).is_some_and(|kind| kind == "mysql") { MysqlKind::Mysql } else { MysqlKind::Mariadb };
    let mebibytes = arguments.get(2).map_or(500, |text| text.parse().unwrap());
    let workers = arguments.get(3).map_or(2, |text| text.parse().unwrap());
    let server = Mysql::start(kind, &["--innodb-buffer-pool-size=1G", "--local-infile=ON", "--innodb-log-file-size=512M"]).unwrap();
    fill(&server, mebibytes);
    let folder = tempfile::tempdir().unwrap();
    let store = MysqlStore::new(DataSetName::SystemDatabase, Address::parse(&server.url("system")).unwrap(), Options::default());
    let context = Context { workers, ..Context::new("01jd0000000000000001") };

    let begin = Instant::now();
    let mut dump = store.dump(&context).unwrap();
    let (mut parts, mut bytes) = (Vec::new(), 0);
    while let Some(part) = dump.next_part().unwrap() {
        let Content::Bytes(content) = part.content else { unreachable!() };
        bytes += content.len() as u64;
        std::fs::create_dir_all(folder.path().join(&part.path).parent().unwrap()).unwrap();
        std::fs::write(folder.path().join(&part.path), &content).unwrap();
        parts.push((part.path, content.len() as u64));
    }
    let verdict = dump.finish().unwrap();
    report(&format!("dump, {workers} workers"), begin, bytes);
    let now = Timestamp::now();
    let kept = KeptDataSet {
        snapshot: SnapshotId("0".into()),
        kind: store.kind().unwrap(),
        identity: None,
        store: String::new(),
        started_at: now,
        consistent_at: now,
        finished_at: now,
        parts: parts.len() as u64,
        bytes,
        stored_bytes: 0,
        evidence: verdict.evidence,
        problems: verdict.problems,
    };

    let packed = folder.path().join("dump.sql.gz");
    let begin = Instant::now();
    let mut child = server.dump_client().args(["--single-transaction", "system"]).stdout(Stdio::piped()).spawn().unwrap();
    let gzip = std::process::Command::new("gzip")
        .stdin(child.stdout.take().unwrap())
        .stdout(std::fs::File::create(&packed).unwrap())
        .status()
        .unwrap();
    assert!(child.wait().unwrap().success() && gzip.success());
    report("mysqldump --single-transaction | gzip", begin, bytes);

    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let begin = Instant::now();
    store.stage(&context, &place, Arc::new(InFolder(folder.path().to_owned(), parts)), &kept).unwrap();
    report(&format!("stage, {workers} workers"), begin, bytes);
    let begin = Instant::now();
    let found = store.prove(&context, &place, &kept).unwrap();
    assert!(kept.evidence.differences(&found).is_empty());
    report(&format!("prove, {workers} workers"), begin, bytes);
    let begin = Instant::now();
    store.cut_over(&context, &place).unwrap();
    println!("{:<40} {:>7.2} s", "cut over", begin.elapsed().as_secs_f64());
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();

    assert!(server.client().args(["-e", "CREATE DATABASE other"]).status().unwrap().success());
    let begin = Instant::now();
    let mut zcat = std::process::Command::new("zcat").arg(&packed).stdout(Stdio::piped()).spawn().unwrap();
    let loaded = server.client().arg("other").stdin(zcat.stdout.take().unwrap()).status().unwrap();
    assert!(zcat.wait().unwrap().success() && loaded.success());
    report("zcat | mysql", begin, bytes);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("peak memory of this program: {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
}

fn report(what: &str, begin: Instant, bytes: u64) {
    let seconds = begin.elapsed().as_secs_f64();
    println!("{what:<40} {seconds:>7.2} s {:>7.1} MB/s", bytes as f64 / 1e6 / seconds);
}
