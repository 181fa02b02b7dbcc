//! Writes a synthetic stream into a new repository in 8 MiB parts, reads it back, and prints rates and peak memory.
//!
//! `cargo run --release -p repository --example throughput -- FOLDER [MiB] [readers]`
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for people")]

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plan::evidence::Evidence;
use plan::ids::{DataSetName, SetId};
use plan::ports::{Context, Dump, Keep, Part, Repository as _, Silent, StopFlag, Verdict};
use repository::{Location, ReadData, RusticRepository};

const PART_BYTES: usize = 8 << 20;

/// Rows that compress some six times, as a dump of a database does.
struct Rows {
    part: u64,
    parts: u64,
}

impl Dump for Rows {
    fn next_part(&mut self) -> plan::Result<Option<Part>> {
        if self.part == self.parts {
            return Ok(None);
        }
        self.part += 1;
        let mut bytes = Vec::with_capacity(PART_BYTES + 256);
        let mut row = self.part << 32;
        while bytes.len() < PART_BYTES {
            row += 1;
            let noise = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            bytes.extend_from_slice(row.to_string().as_bytes());
            bytes.extend_from_slice(b"\tuser-account-");
            bytes.extend_from_slice(noise.to_string().as_bytes());
            bytes.extend_from_slice(b"\t2026-11-22 15:00:00\t\\N\tapproved\tSome text that is the same in all rows\t0\t1\n");
        }
        bytes.truncate(PART_BYTES);
        Ok(Some(Part::bytes(format!("tables/accounts/{:08}", self.part), bytes)))
    }

    fn finish(self: Box<Self>) -> plan::Result<Verdict> {
        Ok(Verdict { evidence: Evidence::default(), consistent_at: jiff::Timestamp::now(), problems: Vec::new() })
    }
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.iter().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() -> plan::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |place: usize, default: u64| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let location = Location::Folder(PathBuf::from(arguments.first().expect("a folder")));
    let (mebibytes, readers) = (number(1, 2048), number(2, 2));
    let password = "benchmark".into();
    RusticRepository::init(&location, &password)?;
    let repository = RusticRepository::open(&location, &password)?;
    let context = Context { workers: 2, ..Context::new("bench") };
    let mut snapshot = None;
    for round in ["first", "second"] {
        let keep = Keep { set: SetId(round.into()), data_set: DataSetName::SystemDatabase, earlier: None };
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let kept = repository.keep(&context, &keep, Box::new(Rows { part: 0, parts: mebibytes / 8 }))?;
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{round} backup: {} MB in {seconds:.1} s = {:.0} MB/s, {:.1} CPU-s, stored {} MB; peak memory {} MiB",
            kept.bytes / 1_000_000,
            kept.bytes as f64 / 1e6 / seconds,
            cpu_seconds() - cpu,
            kept.stored_bytes / 1_000_000,
            peak_mib()
        );
        snapshot = Some(kept.snapshot);
    }
    let repository = RusticRepository::open(&location, &password)?;
    let snapshot = repository.open(&snapshot.expect("kept"))?;
    let entries = Mutex::new(snapshot.entries()?);
    let (began, cpu, total) = (Instant::now(), cpu_seconds(), AtomicU64::new(0));
    let next = || entries.lock().expect("no panic").next().transpose().expect("listed");
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                let mut buffer = vec![0; 1 << 20];
                while let Some(entry) = next() {
                    if !entry.is_file() {
                        continue;
                    }
                    let mut reader = snapshot.read(&entry).expect("read");
                    loop {
                        let count = reader.read(&mut buffer).expect("read");
                        if count == 0 {
                            break;
                        }
                        total.fetch_add(count as u64, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (seconds, bytes) = (began.elapsed().as_secs_f64(), total.load(Ordering::Relaxed));
    println!(
        "read by {readers}: {} MB in {seconds:.1} s = {:.0} MB/s, {:.1} CPU-s; peak memory {} MiB",
        bytes / 1_000_000,
        bytes as f64 / 1e6 / seconds,
        cpu_seconds() - cpu,
        peak_mib()
    );
    let began = Instant::now();
    let report = repository.check(ReadData::All, &StopFlag::default(), &Silent)?;
    println!("check of all data: whole: {}, {:.1} s; peak memory {} MiB", report.is_whole(), began.elapsed().as_secs_f64(), peak_mib());
    Ok(())
}
