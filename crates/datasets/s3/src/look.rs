//! Looks at a bucket and says what stands in the way of a backup or a restore. Changes nothing.

use std::sync::Arc;

use plan::manifest::KeptDataSet;
use plan::ports::{Context, Findings, Problem, Road, Severity};
use plan::{Class, Result};

use crate::client::Client;
use crate::live;
use crate::run;
use crate::stage::KEY_BYTES_MAX;

/// Looks at the live bucket.
pub(crate) fn look(client: &Arc<Client>, context: &Context) -> Result<Findings> {
    let stop = &context.stop;
    let extent = live::measure(client, stop)?;
    let settings = client.settings(stop)?;
    let runs = run::all(client, stop)?;
    let (mut backup_problems, mut restore_problems) = (Vec::new(), Vec::new());
    let problem_of = |error: &plan::Error| {
        let problem = Problem::new(Severity::Blocks, error.chain());
        if error.hints().is_empty() { problem } else { problem.way_out(error.hints().join(" ")) }
    };
    if let Some(refusal) = &extent.refusal {
        backup_problems.push(problem_of(refusal));
        restore_problems.push(problem_of(refusal));
    }
    if extent.objects == 0 {
        let text = format!("{} is empty", client.shown());
        backup_problems.push(Problem::new(Severity::Note, text).way_out("Check that it is the right bucket."));
    }
    // A right that a listing does not need.
    if let Some(first) = &extent.first {
        match client.head(stop, first) {
            Ok(_) => {}
            Err(error) if error.class() == Class::Refused => backup_problems.push(problem_of(&error)),
            Err(error) => return Err(error),
        }
    }
    if settings.versioning.as_deref() == Some("Enabled") {
        let text = "the bucket keeps versions: what a restore replaces or removes stays there as an older version, and is paid for";
        restore_problems.push(Problem::new(Severity::Note, text).way_out("A lifecycle rule for noncurrent versions removes them."));
    }
    if settings.locks_objects == Some(true) {
        let text = "the bucket locks objects: what a run leaves beside the live objects cannot be removed before its retention is over";
        restore_problems.push(
            Problem::new(Severity::Degrades, text).way_out(
                "Restore into a bucket without object lock; or let `settle` and `abandon` be done again when the retention is over.",
            ),
        );
    }
    let mut facts = vec![
        ("region".to_owned(), client.bucket.service.region.clone()),
        ("versioning".to_owned(), settings.versioning.unwrap_or_else(|| "unknown".to_owned())),
    ];
    if !extent.whole {
        facts.push(("counted".to_owned(), format!("at least {} objects and {} bytes, within 3 s", extent.objects, extent.bytes)));
    }
    Ok(Findings {
        store: "S3 bucket".to_owned(),
        address: client.bucket.address(),
        identity: Some(client.bucket.identity()),
        half_loaded_by: runs.iter().find(|run| run.is_half()).map(|run| run.run.clone()),
        is_gone: false,
        size_bytes: extent.bytes,
        count: extent.whole.then_some(extent.objects),
        backup_problems,
        restore_problems,
        road: Road::SideCopy,
        facts,
    })
}

/// What keeps a set from going into a bucket.
pub(crate) fn fits(kept: &KeptDataSet, road: Road) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !kept.kind.is_files() {
        problems.push(Problem::new(Severity::Blocks, format!("the set holds {}, not files", kept.kind)));
    }
    if road == Road::InPlace {
        let text = "a bucket is never replaced in place: what is restored is put beside the live objects first";
        problems.push(Problem::new(Severity::Blocks, text).way_out("Leave system-storage out of --in-place."));
    }
    let fact = |name: &str| kept.evidence.facts.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    let longest = fact("longest-path-bytes");
    if longest > KEY_BYTES_MAX as u64 && kept.kind != plan::ports::StoreKind::Bucket {
        let text = format!("a path in the set has {longest} bytes, a key of S3 at most {KEY_BYTES_MAX}");
        problems.push(Problem::new(Severity::Blocks, text).way_out("Restore into a folder."));
    }
    if fact("names-not-utf8") > 0 {
        let text = format!("{} names in the set are not UTF-8: a bucket has no such keys", fact("names-not-utf8"));
        problems.push(Problem::new(Severity::Blocks, text).way_out("Restore into a folder."));
    }
    let count = |name: &str| kept.evidence.collections.get(name).map_or(0, |tally| tally.count);
    let others: Vec<_> = [("symlinks", "symbolic links"), ("fifos", "pipes"), ("sockets", "sockets")]
        .into_iter()
        .filter(|(name, _)| count(name) > 0)
        .map(|(name, words)| format!("{} {words}", count(name)))
        .collect();
    if !others.is_empty() {
        problems
            .push(Problem::new(Severity::Degrades, format!("the set has {}, which a bucket does not have: left out", others.join(", "))));
    }
    if count("hard-links") > 0 {
        let text = format!("{} further names of files become objects of their own", count("hard-links"));
        problems.push(Problem::new(Severity::Note, text));
    }
    let text = match kept.kind {
        plan::ports::StoreKind::Bucket => {
            "a bucket gives every object that is put the time at which it is put: that of the set is not put back"
        }
        _ => {
            "a bucket gives every object that is put the time at which it is put, and has no modes, owners and empty folders: those of the set are not put back"
        }
    };
    problems.push(Problem::new(Severity::Note, text));
    problems
}
