//! The same as metrics, in the text format of Prometheus (version 0.0.4): for the textfile collector of its node exporter, a Pushgateway, and `serve`.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use plan::Result;
use plan::manifest::{KeptDataSet, Manifest};

use super::judge::is_unfinished;
use super::seen::Seen;
use crate::args;
use crate::copied::Copied;
use crate::output::file;

/// Replaces the file as a whole: a collector never reads half of it.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    file::replace(path, text)
}

/// A metric and what it means. All are gauges.
pub(in crate::commands) struct Metric {
    pub(in crate::commands) name: &'static str,
    pub(in crate::commands) help: &'static str,
    pub(in crate::commands) samples: Vec<Sample>,
}

/// Labels beside the installation, and the value.
pub(in crate::commands) type Sample = (Vec<(&'static str, String)>, String);

/// One sample, without labels of its own.
pub(in crate::commands) fn one(value: impl ToString) -> Vec<Sample> {
    vec![(Vec::new(), value.to_string())]
}

/// The format. A metric without a sample is left out. With `# EOF` behind it, it is OpenMetrics 1.0 too.
pub(in crate::commands) fn text(installation: &str, metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, help, samples } in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        text.push_str(&format!("# HELP threescale_backup_{name} {help}\n# TYPE threescale_backup_{name} gauge\n"));
        for (labels, value) in samples {
            let own = labels.iter().map(|(label, value)| (*label, value.as_str()));
            let all = std::iter::once(("installation", installation)).chain(own);
            let labels: Vec<_> = all.map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            text.push_str(&format!("threescale_backup_{name}{{{}}} {value}\n", labels.join(",")));
        }
    }
    text
}

/// What was seen.
pub(in crate::commands) fn metrics(seen: &Seen, good: bool, limits: &args::Limits) -> Vec<Metric> {
    let mut all = vec![
        metric("good", "Whether status found nothing bad.", one(u8::from(good))),
        metric("status_timestamp_seconds", "When status looked.", one(seconds(seen.now))),
        metric("sets", "Sets in the repository.", one(seen.sets.len())),
    ];
    all.extend(of_newest(seen.newest().map(|set| &set.manifest)));
    all.extend(of_proofs_and_checks(seen));
    all.extend(of_copies(seen));
    all.extend([
        metric("damages", "Damages of the repository that are known.", one(seen.damaged.len())),
        metric("open_runs", "Runs that are not over.", one(seen.runs.len())),
        metric(
            "unfinished_runs",
            "Runs that are on their way, or stopped there: resume or undo ends them.",
            one(seen.runs.iter().filter(|run| is_unfinished(run)).count()),
        ),
        metric("last_week_stored_bytes", "Bytes that the sets of the last 7 days added.", one(seen.growth().0)),
        metric("repository_free_bytes", "Bytes that are free where the repository is.", number(seen.space.map(|space| space.free_bytes))),
        metric("repository_size_bytes", "Bytes that there are where the repository is.", number(seen.space.map(|space| space.total_bytes))),
        metric("clock_held_until_timestamp_seconds", "Until when jobs of 3scale's clock are held.", time(seen.held_until)),
    ]);
    all.extend(of_limits(limits));
    all
}

fn of_newest(newest: Option<&Manifest>) -> Vec<Metric> {
    let of_data_sets = |value: &dyn Fn(&KeptDataSet) -> String| -> Vec<Sample> {
        let data_sets = newest.into_iter().flat_map(|manifest| &manifest.data_sets);
        data_sets.map(|(name, kept)| (vec![("data_set", name.to_string())], value(kept))).collect()
    };
    let took = |manifest: &Manifest| manifest.finished_at.as_millisecond() - manifest.started_at.as_millisecond();
    vec![
        metric(
            "newest_set_timestamp_seconds",
            "When the backup of the newest whole set was begun.",
            time(newest.map(|manifest| manifest.started_at)),
        ),
        metric(
            "last_success_timestamp_seconds",
            "The instant of the data in the newest whole set.",
            of_data_sets(&|kept| seconds(kept.consistent_at)),
        ),
        metric("last_set_bytes", "Bytes in the newest whole set.", of_data_sets(&|kept| kept.bytes.to_string())),
        metric(
            "last_set_stored_bytes",
            "Bytes that the newest whole set added to the repository.",
            of_data_sets(&|kept| kept.stored_bytes.to_string()),
        ),
        metric(
            "last_set_elements",
            "Rows, keys, files and objects in the newest whole set.",
            of_data_sets(&|kept| kept.evidence.count().to_string()),
        ),
        metric(
            "last_set_duration_seconds",
            "How long taking the newest whole set took.",
            newest.map(|manifest| one(format!("{:.3}", took(manifest) as f64 / 1000.0))).unwrap_or_default(),
        ),
    ]
}

fn of_proofs_and_checks(seen: &Seen) -> Vec<Metric> {
    let last = seen.checks.last();
    vec![
        metric(
            "last_proven_timestamp_seconds",
            "When a whole set was last proven by a restore or a rehearsal.",
            time(seen.proven().map(|(_, proof)| proof.finished_at)),
        ),
        metric(
            "proof_failed",
            "Whether the last restore or rehearsal failed, and nothing was proven since.",
            one(u8::from(seen.failed_proof().is_some())),
        ),
        metric("last_check_timestamp_seconds", "When the repository was last checked.", time(last.map(|checked| checked.finished_at))),
        metric(
            "last_check_good",
            "Whether the last check found nothing wrong.",
            last.map(|checked| one(u8::from(checked.whole))).unwrap_or_default(),
        ),
        metric(
            "everything_read_since_timestamp_seconds",
            "Every pack that there was then has been read since.",
            time(seen.everything_read_since()),
        ),
    ]
}

/// Of second repositories: what was said of each last, and those of the configuration into which nothing was copied yet.
fn of_copies(seen: &Seen) -> Vec<Metric> {
    let label = |name: &str| vec![("copy", name.to_owned())];
    let of = |value: &dyn Fn(&Copied) -> Option<String>| -> Vec<Sample> {
        seen.copies.iter().filter_map(|copied| Some((label(copied.called()), value(copied)?))).collect()
    };
    let whole = || seen.sets.iter().filter(|set| set.manifest.is_whole()).count();
    let never = seen.copies_wanted.iter().filter(|name| seen.copied_to(name).is_none());
    let mut behind = of(&|copied| Some(seen.behind(copied).to_string()));
    behind.extend(never.map(|name| (label(name), whole().to_string())));
    vec![
        metric(
            "copy_newest_timestamp_seconds",
            "The instant at which the newest whole set in a second repository was begun.",
            of(&|copied| copied.newest_started_at.map(seconds)),
        ),
        metric(
            "copy_timestamp_seconds",
            "When sets were last copied into a second repository.",
            of(&|copied| Some(seconds(copied.finished_at))),
        ),
        metric("copy_sets_behind", "Whole sets that are younger than the newest in a second repository.", behind),
    ]
}

/// The limits that were given: alerts compare with them, so that they stand in one place.
fn of_limits(limits: &args::Limits) -> Vec<Metric> {
    let length = |value: Option<SignedDuration>| value.map(|value| one(value.as_secs())).unwrap_or_default();
    vec![
        metric("max_age_seconds", "The newest whole set is bad when it is older (--max-age).", length(limits.max_age)),
        metric("max_unproven_seconds", "It is bad when no whole set was proven for longer (--max-unproven).", length(limits.max_unproven)),
        metric(
            "max_unchecked_seconds",
            "It is bad when the repository was not checked for longer (--max-unchecked).",
            length(limits.max_unchecked),
        ),
        metric(
            "max_copy_age_seconds",
            "A second repository is bad when its newest whole set is older (--max-copy-age).",
            length(limits.max_copy_age),
        ),
        metric("max_kept_seconds", "A run is bad when it has kept what it replaced for longer (--max-kept).", length(limits.max_kept)),
        metric("min_free_bytes", "It is bad when less is free where the repository is (--min-free).", number(limits.min_free)),
    ]
}

const fn metric(name: &'static str, help: &'static str, samples: Vec<Sample>) -> Metric {
    Metric { name, help, samples }
}

fn number(value: Option<u64>) -> Vec<Sample> {
    value.map(one).unwrap_or_default()
}

fn time(value: Option<Timestamp>) -> Vec<Sample> {
    value.map(|value| one(seconds(value))).unwrap_or_default()
}

/// Seconds since 1970.
pub(in crate::commands) fn seconds(time: Timestamp) -> String {
    format!("{:.3}", time.as_millisecond() as f64 / 1000.0)
}

/// The value of a label (exposition formats, "Text format details").
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_its_place_whatever_an_installation_is_called() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
