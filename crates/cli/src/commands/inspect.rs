//! `inspect`: what a set holds in Redis, counted from the set itself.

use std::collections::BTreeMap;

use plan::ids::DataSetName;
use plan::{Error, Result};
use serde::Serialize;
use threescale::census::{Census, Sum};

use crate::app::App;
use crate::args;
use crate::output::{Table, bytes, count};
use crate::queues::census;
use crate::whose::Wanted;

#[derive(Serialize)]
struct InspectDocument<'a> {
    set: &'a str,
    data_set: DataSetName,
    databases: Vec<DatabaseDocument>,
}

#[derive(Serialize)]
struct DatabaseDocument {
    database: String,
    keys: u64,
    bytes: u64,
    /// By class; `unknown` is what nobody knows.
    classes: BTreeMap<String, SumDocument>,
    types: BTreeMap<&'static str, SumDocument>,
    services: BTreeMap<String, SumDocument>,
    jobs: Vec<JobsDocument>,
    /// The first keys that nobody knows.
    unknown: Vec<KeyDocument>,
}

#[derive(Serialize)]
struct SumDocument {
    keys: u64,
    bytes: u64,
    elements: u64,
    largest: Option<KeyDocument>,
}

#[derive(Serialize)]
struct KeyDocument {
    key: String,
    bytes: u64,
}

#[derive(Serialize)]
struct JobsDocument {
    queue: String,
    class: String,
    jobs: u64,
}

/// What nobody knows.
const UNKNOWN: &str = "unknown";

pub(crate) fn inspect(app: &App, args: &args::Inspect) -> Result<()> {
    let name = args.data_set;
    if !matches!(name, DataSetName::BackendRedis | DataSetName::SystemRedis) {
        return Err(Error::refused(format!("{name} cannot be inspected")).hint("Say backend-redis or system-redis."));
    }
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let wanted = Wanted { after: format!(" {name}"), ..Wanted::new("inspect", &args.of.set, args.of.partial.partial) };
    let manifest = app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest;
    let kept = manifest.data_sets.get(&name).ok_or_else(|| {
        let has: Vec<_> = manifest.data_sets.keys().map(|name| name.as_str()).collect();
        Error::refused(format!("set {} has no {name}", manifest.set)).hint(format!("It has {}.", has.join(", ")))
    })?;
    let context = app.context_alone(&config)?;
    let mut databases = Vec::new();
    for label in redis_data_set::labels_of(&kept.evidence) {
        let Some(census) = census(name, kept, label, repository.as_ref(), &context, args.limit)? else { continue };
        app.output.line(&shown(name, label, &census, args.limit))?;
        databases.push(document(label, census));
    }
    app.output.document(&InspectDocument { set: manifest.set.as_str(), data_set: name, databases })
}

fn shown(name: DataSetName, label: &str, census: &Census, limit: usize) -> String {
    let mut lines = vec![format!("{name} {label}: {} keys, {}", count(census.all.keys), bytes(census.all.bytes))];
    let mut tell = |head: &str, sums: Vec<(String, &Sum)>| {
        let mut table = Table::new(&[head, "KEYS", "BYTES", "LARGEST"]);
        for (what, sum) in sums {
            let largest = sum.largest.as_ref().map(|(key, size)| format!("{} {key}", bytes(*size))).unwrap_or_default();
            table.row([what, count(sum.keys), bytes(sum.bytes), largest]);
        }
        lines.push(table.render());
    };
    tell("CLASS", census.classes.iter().map(|(class, sum)| (class.map_or(UNKNOWN, |class| class.as_str()).to_owned(), sum)).collect());
    tell("TYPE", census.types.iter().map(|(kind, sum)| ((*kind).to_owned(), sum)).collect());
    if !census.services.is_empty() {
        let mut services: Vec<_> = census.services.iter().map(|(service, sum)| (service.clone(), sum)).collect();
        services.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.bytes));
        services.truncate(limit);
        tell("SERVICE", services);
    }
    if !census.jobs.is_empty() {
        let mut table = Table::new(&["QUEUE", "CLASS OF JOB", "JOBS"]);
        census.jobs.iter().for_each(|((queue, class), jobs)| table.row([queue.clone(), class.clone(), count(*jobs)]));
        lines.push(table.render());
    }
    if let Some(unknown) = census.classes.get(&None) {
        lines.push(format!("{} keys that nobody knows; they are backed up and go back as all others:", count(unknown.keys)));
        lines.extend(census.unknown.iter().map(|(key, size)| format!("  {key:?} {}", bytes(*size))));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn document(label: &str, census: Census) -> DatabaseDocument {
    DatabaseDocument {
        database: label.to_owned(),
        keys: census.all.keys,
        bytes: census.all.bytes,
        classes: census.classes.iter().map(|(class, sum)| (class.map_or(UNKNOWN, |class| class.as_str()).to_owned(), sum.into())).collect(),
        types: census.types.iter().map(|(kind, sum)| (*kind, sum.into())).collect(),
        services: census.services.iter().map(|(service, sum)| (service.clone(), sum.into())).collect(),
        jobs: census.jobs.into_iter().map(|((queue, class), jobs)| JobsDocument { queue, class, jobs }).collect(),
        unknown: census.unknown.into_iter().map(|(key, bytes)| KeyDocument { key, bytes }).collect(),
    }
}

impl From<&Sum> for SumDocument {
    fn from(sum: &Sum) -> Self {
        let largest = sum.largest.clone().map(|(key, bytes)| KeyDocument { key, bytes });
        Self { keys: sum.keys, bytes: sum.bytes, elements: sum.elements, largest }
    }
}
