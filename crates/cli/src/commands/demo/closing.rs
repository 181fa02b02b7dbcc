//! The demo's last page: a table of what was done, how long it took, and whether it is back.

use std::time::Duration;

use lab::Fingerprint;
use plan::Result;
use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::step::Action;
use runner::Report;
use serde::Serialize;

use super::peak_memory_bytes;
use crate::app::App;
use crate::output::{Table, bytes, count, duration_ms, rate};

/// What the table is made of.
pub(super) struct Numbers<'a> {
    pub first: &'a Manifest,
    pub second: &'a Manifest,
    pub report: &'a Report,
    pub before: &'a Fingerprint,
    pub differences: &'a [String],
    pub took: Duration,
}

#[derive(Serialize)]
struct DemoDocument<'a> {
    equal: bool,
    differences: &'a [String],
    compared: usize,
    bytes: u64,
    first_stored_bytes: u64,
    second_stored_bytes: u64,
    first_skew_ms: u64,
    downtime_ms: Option<i64>,
    cut_over_ms: Option<i64>,
    peak_memory_bytes: Option<u64>,
    data_sets: Vec<DataSetNumbers>,
}

#[derive(Serialize)]
struct DataSetNumbers {
    data_set: DataSetName,
    elements: u64,
    bytes: u64,
    stored_bytes: u64,
    dump_ms: i64,
    stage_ms: Option<i64>,
    prove_ms: Option<i64>,
    cut_over_ms: Option<i64>,
    equal: bool,
}

pub(super) fn print(app: &App, numbers: &Numbers<'_>) -> Result<()> {
    let rows: Vec<_> = DataSetName::STORES.into_iter().filter_map(|name| row(numbers, name)).collect();
    let mut table = Table::new(&["DATA SET", "ELEMENTS", "SIZE", "STORED", "DUMP", "RATE", "STAGE", "RATE", "PROVE", "CUT OVER", "BACK"]);
    for row in &rows {
        let time = |time: Option<i64>| time.map(duration_ms).unwrap_or_default();
        table.row([
            row.data_set.to_string(),
            count(row.elements),
            bytes(row.bytes),
            bytes(row.stored_bytes),
            duration_ms(row.dump_ms),
            rate(row.bytes, row.dump_ms),
            time(row.stage_ms),
            row.stage_ms.map(|time| rate(row.bytes, time)).unwrap_or_default(),
            time(row.prove_ms),
            time(row.cut_over_ms),
            if row.equal { "equal".to_owned() } else { "DIFFERS".to_owned() },
        ]);
    }
    let document = document(numbers, rows);
    let line = |text: &str| app.output.line(text);
    line("")?;
    line(&table.render())?;
    line("")?;
    line(&format!("compared from outside     {} checksums, {} differences", document.compared, document.differences.len()))?;
    line(&format!("stored by the first set   {} of {}", bytes(document.first_stored_bytes), bytes(numbers.first.bytes())))?;
    line(&format!("stored by the second set  {}", bytes(document.second_stored_bytes)))?;
    line(&format!("skew under load           {} ms between the earliest and the latest view", document.first_skew_ms))?;
    line(&format!("installation not serving  {}", document.downtime_ms.map(duration_ms).unwrap_or_default()))?;
    line(&format!(
        "peak memory               {} (this process, with the demo's own writers and generator)",
        document.peak_memory_bytes.map(bytes).unwrap_or_default()
    ))?;
    line(&format!("the whole demo            {}", duration_ms(i64::try_from(numbers.took.as_millis()).unwrap_or(i64::MAX))))?;
    app.output.document(&document)
}

fn row(numbers: &Numbers<'_>, name: DataSetName) -> Option<DataSetNumbers> {
    let kept = numbers.first.data_sets.get(&name)?;
    let time = |is_wanted: &dyn Fn(&Action) -> bool| {
        let step = numbers.report.steps.iter().find(|step| step.action.data_set() == Some(name) && is_wanted(&step.action))?;
        Some(step.succeeded_at?.as_millisecond() - step.started_at?.as_millisecond())
    };
    let prefix = format!("{name}/");
    Some(DataSetNumbers {
        data_set: name,
        elements: kept.evidence.count(),
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        dump_ms: kept.finished_at.as_millisecond() - kept.started_at.as_millisecond(),
        stage_ms: time(&|action| matches!(action, Action::Stage { .. })),
        prove_ms: time(&|action| matches!(action, Action::Prove { .. })),
        cut_over_ms: time(&|action| matches!(action, Action::CutOver { .. })),
        equal: !numbers.differences.iter().any(|difference| difference.starts_with(&prefix)),
    })
}

fn document<'a>(numbers: &Numbers<'a>, data_sets: Vec<DataSetNumbers>) -> DemoDocument<'a> {
    DemoDocument {
        equal: numbers.differences.is_empty(),
        differences: numbers.differences,
        compared: numbers.before.keys().filter(|name| !name.contains("/expiring")).count(),
        bytes: numbers.first.bytes(),
        first_stored_bytes: numbers.first.stored_bytes(),
        second_stored_bytes: numbers.second.stored_bytes(),
        first_skew_ms: numbers.first.skew_ms(),
        downtime_ms: numbers.report.downtime_ms(),
        cut_over_ms: numbers.report.cut_over_ms(),
        peak_memory_bytes: peak_memory_bytes(),
        data_sets,
    }
}
