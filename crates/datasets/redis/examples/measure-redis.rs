//! Measures dump, stage and proof on keys like those of 3scale: `cargo run --release -p redis-data-set --example measure-redis -- 1000000`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example for developers")]

use std::fs;
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lab::Redis;
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Entry, EntryHandle, Meta, Road, Snapshot};
use redis_data_set::{Address, Options, RedisStore};

struct Folder(PathBuf);

impl Snapshot for Folder {
    fn entries(&self) -> plan::Result<Box<dyn Iterator<Item = plan::Result<Entry>> + Send + '_>> {
        Ok(Box::new(std::iter::empty()))
    }
    fn find(&self, path: &Path) -> plan::Result<Entry> {
        let size_bytes = fs::metadata(self.0.join(path)).map_err(|error| plan::Error::failed("find").because(error))?.len();
        let (kind, handle) = (plan::ports::EntryKind::File, EntryHandle(Box::new(())));
        Ok(Entry { path: path.to_owned(), meta: Meta::default(), size_bytes, kind, handle })
    }
    fn read(&self, entry: &Entry) -> plan::Result<Box<dyn Read + Send>> {
        Ok(Box::new(fs::File::open(self.0.join(&entry.path)).unwrap()))
    }
}

/// Stats counters by the hour, usage limits, application states.
fn fill(port: u16, keys: u64) {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let counting = std::thread::spawn(move || {
        let (mut buffer, mut lines) = (vec![0u8; 1 << 20], 0);
        while lines < keys {
            let count = answers.read(&mut buffer).unwrap();
            lines += buffer.iter().take(count).filter(|byte| **byte == b'\n').count() as u64;
        }
    });
    let mut out = BufWriter::with_capacity(1 << 20, stream);
    for number in 0..keys {
        let (service, application, metric) = (number % 50, number % 5000, number % 13);
        let day = 20_260_101 + number / 100_000;
        match number % 20 {
            0 => write!(out, "SET application/service_id:{service}/id:{number:08x}/state active\r\n"),
            1 => write!(out, "SADD service_id:{service}/applications {number:08x}\r\n"),
            2 => write!(out, "HSET service_token/token:{number:016x}/service_id:{service} permissions x\r\n"),
            3 => write!(out, "SET stats/{{service:{service}}}/cinstance:{application:08x}/metric:{metric}/minute:{number} 3 EX 86400\r\n"),
            _ => write!(out, "SET stats/{{service:{service}}}/cinstance:{application:08x}/metric:{metric}/hour:{day}{number} {number}\r\n"),
        }
        .unwrap();
    }
    out.flush().unwrap();
    counting.join().unwrap();
}

fn peak_rss() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap().split_ascii_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn main() {
    let keys: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let server = Redis::start(&["--appendonly", "yes"]).unwrap();
    fill(server.port(), keys);
    let address = |database| Address::parse(&server.url(database)).unwrap();
    let addresses = vec![("storage", address(0)), ("queues", address(1))];
    let store = RedisStore::new(DataSetName::BackendRedis, addresses, Options::default()).unwrap();
    let context = Context { workers: 2, ..Context::new("measure") };
    let folder = tempfile::tempdir().unwrap();

    let begun = Instant::now();
    let mut dump = store.dump(&context).unwrap();
    let opened = begun.elapsed();
    let mut bytes = 0;
    while let Some(part) = dump.next_part().unwrap() {
        let Content::Bytes(content) = part.content else { continue };
        bytes += content.len() as u64;
        let path = folder.path().join(part.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let verdict = dump.finish().unwrap();
    let count = verdict.evidence.count();
    let tell = |what: &str, seconds: f64| {
        println!(
            "{what:<8} {seconds:>6.2} s  {:>8.0} keys/s  {:>6.1} MB/s  peak RSS {}",
            count as f64 / seconds,
            bytes as f64 / 1e6 / seconds,
            peak_rss()
        );
    };
    println!("{count} keys, {bytes} bytes of RDB; view open after {:.2} s", opened.as_secs_f64());
    tell("dump", begun.elapsed().as_secs_f64());
    let now = jiff::Timestamp::now();
    let kept = KeptDataSet {
        snapshot: SnapshotId("s".to_owned()),
        kind: plan::ports::StoreKind::Redis,
        store: String::new(),
        identity: None,
        started_at: now,
        consistent_at: now,
        finished_at: now,
        parts: 0,
        bytes,
        stored_bytes: 0,
        evidence: verdict.evidence,
        problems: verdict.problems,
    };
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let begun = Instant::now();
    store.stage(&context, &place, Arc::new(Folder(folder.path().to_owned())), &kept).unwrap();
    tell("stage", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let found = store.prove(&context, &place, &kept).unwrap();
    tell("prove", begun.elapsed().as_secs_f64());
    println!("differences: {:?}", kept.evidence.differences(&found));
    let begun = Instant::now();
    store.cut_over(&context, &place).unwrap();
    tell("cut over", begun.elapsed().as_secs_f64());
}
