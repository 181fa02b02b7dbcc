//! The same as metrics, in the text format of Prometheus (version 0.0.4): for the textfile collector of its node exporter.

use std::path::Path;

use jiff::Timestamp;
use plan::Result;

use super::seen::Seen;
use crate::copied::Copied;
use crate::output::file;

/// Replaces the file as a whole: a collector never reads half of it.
pub(super) fn write(path: &Path, seen: &Seen, good: bool) -> Result<()> {
    file::replace(path, &text(seen, good))
}

/// A metric and what it means.
struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

/// Labels beside the installation, and the value.
type Sample = (Vec<(&'static str, String)>, String);

fn text(seen: &Seen, good: bool) -> String {
    let mut text = String::new();
    for Metric { name, help, samples } in metrics(seen, good).into_iter().filter(|metric| !metric.samples.is_empty()) {
        text.push_str(&format!("# HELP threescale_backup_{name} {help}\n# TYPE threescale_backup_{name} gauge\n"));
        for (labels, value) in samples {
            let all = std::iter::once(("installation", seen.installation.clone())).chain(labels);
            let labels: Vec<_> = all.map(|(label, value)| format!("{label}=\"{}\"", escaped(&value))).collect();
            text.push_str(&format!("threescale_backup_{name}{{{}}} {value}\n", labels.join(",")));
        }
    }
    text
}

fn metrics(seen: &Seen, good: bool) -> Vec<Metric> {
    let one = |value: String| vec![(Vec::new(), value)];
    let number = |value: Option<u64>| value.map(|value| one(value.to_string())).unwrap_or_default();
    let time = |value: Option<Timestamp>| value.map(|value| one(seconds(value))).unwrap_or_default();
    let newest = seen.newest().map(|set| &set.manifest);
    let of_data_sets = |value: &dyn Fn(&plan::manifest::KeptDataSet) -> String| -> Vec<Sample> {
        let data_sets = newest.into_iter().flat_map(|manifest| &manifest.data_sets);
        data_sets.map(|(name, kept)| (vec![("data_set", name.to_string())], value(kept))).collect()
    };
    let metric = |name, help, samples| Metric { name, help, samples };
    let took = |manifest: &plan::manifest::Manifest| manifest.finished_at.as_millisecond() - manifest.started_at.as_millisecond();
    vec![
        metric("good", "Whether status found nothing bad.", one(u8::from(good).to_string())),
        metric("status_timestamp_seconds", "When status looked.", one(seconds(seen.now))),
        metric("sets", "Sets in the repository.", one(seen.sets.len().to_string())),
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
        metric(
            "last_proven_timestamp_seconds",
            "When a whole set was last proven by a restore or a rehearsal.",
            time(seen.proven().map(|(_, proof)| proof.finished_at)),
        ),
        metric(
            "last_check_timestamp_seconds",
            "When the repository was last checked.",
            time(seen.checks.last().map(|checked| checked.finished_at)),
        ),
        metric(
            "everything_read_since_timestamp_seconds",
            "Every pack that there was then has been read since.",
            time(seen.everything_read_since()),
        ),
        metric(
            "copy_newest_timestamp_seconds",
            "The instant at which the newest whole set in a second repository was begun.",
            seen.copies.iter().filter_map(|copied| Some((copy_label(copied), seconds(copied.newest_started_at?)))).collect(),
        ),
        metric(
            "copy_timestamp_seconds",
            "When sets were last copied into a second repository.",
            seen.copies.iter().map(|copied| (copy_label(copied), seconds(copied.finished_at))).collect(),
        ),
        metric("damages", "Damages of the repository that are known.", one(seen.damaged.len().to_string())),
        metric("open_runs", "Runs that are not over.", one(seen.runs.len().to_string())),
        metric("stored_bytes_last_7_days", "Bytes that the sets of the last 7 days added.", one(seen.growth().0.to_string())),
        metric("repository_free_bytes", "Bytes that are free where the repository is.", number(seen.space.map(|space| space.free_bytes))),
        metric("clock_held_until_timestamp_seconds", "Until when jobs of 3scale's clock are held.", time(seen.held_until)),
    ]
}

fn copy_label(copied: &Copied) -> Vec<(&'static str, String)> {
    vec![("copy", copied.called().to_owned())]
}

fn seconds(time: Timestamp) -> String {
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
