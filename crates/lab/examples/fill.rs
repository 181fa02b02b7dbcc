//! Starts an installation, fills it and says how long that took: `cargo run --release -p lab --example fill -- 200M [mariadb] [keep]`.
//!
//! With `keep` it stays until Enter, and its `threescale-backup.toml` is printed.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program to look at")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use lab::{Installation, InstallationOptions, MysqlKind};
use plan::ids::DataSetName;
use plan::ports::{Event, Watch};

#[derive(Default)]
struct Sums(Mutex<BTreeMap<DataSetName, (u64, u64)>>, Mutex<BTreeMap<DataSetName, (Instant, Option<Instant>)>>);

impl Watch for Sums {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::Advance { data_set, bytes, items, .. } => {
                let mut sums = self.0.lock().unwrap();
                let sum = sums.entry(data_set).or_default();
                *sum = (sum.0 + bytes, sum.1 + items);
            }
            Event::Begin { data_set, .. } => drop(self.1.lock().unwrap().insert(data_set, (Instant::now(), None))),
            Event::End { data_set, .. } => self.1.lock().unwrap().get_mut(&data_set).unwrap().1 = Some(Instant::now()),
            Event::Note(_) | Event::Warning(_) | Event::OfRecords(_) | Event::Step { .. } | Event::StepEnd { .. } => {}
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let size = args.first().map_or("20M", String::as_str);
    let (number, unit) = size.split_at(size.len() - 1);
    let size_bytes = number.parse::<u64>().unwrap() << if unit == "G" { 30 } else { 20 };
    let mysql = if args.iter().any(|arg| arg == "mariadb") { MysqlKind::Mariadb } else { MysqlKind::Mysql };
    let begun = Instant::now();
    let installation = Installation::start(&InstallationOptions { mysql, size_bytes, ..InstallationOptions::default() }).unwrap();
    println!("started in {:.1} s", begun.elapsed().as_secs_f64());
    let (begun, sums) = (Instant::now(), Sums::default());
    installation.fill(&sums).unwrap();
    println!("filled in {:.1} s", begun.elapsed().as_secs_f64());
    for (name, (bytes, items)) in sums.0.lock().unwrap().iter() {
        let (from, to) = sums.1.lock().unwrap()[name];
        println!("{name:>16} {:>8.1} MB {items:>9} items {:>6.1} s", *bytes as f64 / 1e6, (to.unwrap() - from).as_secs_f64());
    }
    let begun = Instant::now();
    let fingerprint = installation.fingerprint().unwrap();
    println!("fingerprint of {} entries in {:.1} s", fingerprint.len(), begun.elapsed().as_secs_f64());
    let peak = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", peak.lines().find(|line| line.starts_with("VmHWM")).unwrap());
    if args.iter().any(|arg| arg == "keep") {
        println!("{}", installation.toml("/tmp/repository", Path::new("/tmp/password")) + "\n" + &installation.writers_toml());
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}
