//! The document as a page.

use plan::checked::Checked;
use plan::manifest::KeptDataSet;
use plan::proof::Proof;
use sha2::{Digest, Sha256};

use super::EvidenceDocument;
use crate::output::html::{self, Cell, escaped, table};
use crate::output::{bytes, count, duration_ms, local_time};

/// `json`: the same for programs; it is in the page, with its digest.
pub(super) fn page(document: &EvidenceDocument<'_>, json: &str) -> String {
    let title = format!("Evidence of set {}", document.manifest.set);
    let parts = [
        format!("<h1>{}</h1>\n", escaped(&title)),
        summary(document),
        "<h2>What is in it</h2>\n<p>Counts and digests were taken under the same view as the data, while it was read.</p>\n".to_owned(),
        data_sets(document),
        "<h2>Restores and rehearsals</h2>\n".to_owned(),
        proofs(&document.proven_by, document.manifest.data_sets.len()),
        "<h2>Checks of the repository since</h2>\n".to_owned(),
        checks(&document.checks),
        "<h2>What the backup told</h2>\n".to_owned(),
        told(document),
        "<h2>Collections</h2>\n".to_owned(),
        document.manifest.data_sets.iter().map(|(name, kept)| collections(name.as_str(), kept)).collect(),
        for_programs(document, json),
    ];
    html::page(&title, &parts.concat())
}

fn summary(document: &EvidenceDocument<'_>) -> String {
    let manifest = document.manifest;
    let installation = manifest.installation.clone().unwrap_or_default();
    let taken = format!(
        "{}, taken from {installation} at {} by {} on {}; whole: {}.",
        manifest.extent(),
        local_time(manifest.started_at),
        manifest.program_version,
        manifest.host,
        if manifest.is_whole() { "yes" } else { "no" }
    );
    let (class, verdict) = match document.proven_by.last() {
        None => ("soft", "It was not put back or rehearsed yet: the counts and digests of its backup and the checks of the repository are all that there is.".to_owned()),
        Some(proof) => {
            let class = if proof.failure.is_some() { "bad" } else { "good" };
            (class, format!("{} {} at {}.", proof.word(), proof.extent(manifest.data_sets.len()), local_time(proof.finished_at)))
        }
    };
    let damage = document.damage.map(|damage| format!("<p class=\"bad\">Damaged: {}</p>\n", escaped(damage))).unwrap_or_default();
    format!("<p>{}</p>\n<p class=\"{class}\">{}</p>\n{damage}", escaped(taken), escaped(verdict))
}

fn data_sets(document: &EvidenceDocument<'_>) -> String {
    let head = [
        ("Data set", false),
        ("Store", false),
        ("View", false),
        ("Size", true),
        ("Elements", true),
        ("Digest", false),
        ("Snapshot", false),
    ];
    let rows = document.manifest.data_sets.iter().map(|(name, kept)| {
        vec![
            Cell::Text(name.to_string()),
            Cell::Text(kept.store.clone()),
            Cell::Text(local_time(kept.consistent_at)),
            Cell::Number(bytes(kept.bytes)),
            Cell::Number(count(kept.evidence.count())),
            Cell::Code(document.digests.get(name).map(ToString::to_string).unwrap_or_default()),
            Cell::Code(kept.snapshot.as_str().to_owned()),
        ]
    });
    table(&head, rows)
}

fn proofs(proofs: &[Proof], of: usize) -> String {
    if proofs.is_empty() {
        return "<p>None.</p>\n".to_owned();
    }
    let head =
        [("When", false), ("What", false), ("By", false), ("Took", true), ("Downtime", true), ("Equal to the set", false), ("Run", false)];
    let row = |proof: &Proof| {
        let equal: Vec<_> =
            proof.data_sets.iter().map(|(name, proven)| format!("{name} (in {}, digest {})", proven.store, proven.digest)).collect();
        let failure = proof.failure.as_ref().map(|failure| format!("; {failure}")).unwrap_or_default();
        vec![
            Cell::Text(local_time(proof.finished_at)),
            Cell::Text(format!("{} {}{failure}", proof.word(), proof.extent(of))),
            Cell::Text(format!("{} on {}", proof.program_version, proof.host)),
            Cell::Number(duration_ms(proof.finished_at.as_millisecond() - proof.started_at.as_millisecond())),
            Cell::Number(proof.downtime_ms.map(duration_ms).unwrap_or_default()),
            Cell::Text(equal.join(", ")),
            Cell::Code(proof.run.to_string()),
        ]
    };
    table(&head, proofs.iter().map(row))
}

fn checks(checks: &[Checked]) -> String {
    if checks.is_empty() {
        return "<p>None.</p>\n".to_owned();
    }
    let head = [("When", false), ("On", false), ("Found", false), ("Packs read", true), ("Bytes read", true)];
    let row = |checked: &Checked| {
        vec![
            Cell::Text(local_time(checked.finished_at)),
            Cell::Text(checked.host.clone()),
            Cell::Text(if checked.whole { "nothing wrong" } else { "damage" }.to_owned()),
            Cell::Number(format!("{} of {}", count(checked.packs_read), count(checked.packs))),
            Cell::Number(format!("{} of {}", bytes(checked.read_bytes), bytes(checked.pack_bytes))),
        ]
    };
    table(&head, checks.iter().map(row))
}

/// What does not go back, differences between the stores, and the warnings.
fn told(document: &EvidenceDocument<'_>) -> String {
    let manifest = document.manifest;
    let mut told: Vec<_> = manifest.missing().iter().map(|(name, why)| format!("without {name}: {why}")).collect();
    told.extend(manifest.problems().map(|(name, problem)| format!("{name}: {}", problem.sentence())));
    told.extend(
        manifest.agreement.and_then(plan::manifest::Agreement::differences).map(|differences| format!("its stores differ: {differences}")),
    );
    for (name, kept) in &manifest.data_sets {
        told.extend(kept.evidence.warnings.iter().map(|warning| format!("{name}: {warning}")));
    }
    if told.is_empty() {
        return "<p>Nothing.</p>\n".to_owned();
    }
    format!("<ul>\n{}</ul>\n", told.iter().map(|line| format!("<li>{}</li>\n", escaped(line))).collect::<String>())
}

fn collections(name: &str, kept: &KeptDataSet) -> String {
    let rows = kept
        .evidence
        .collections
        .iter()
        .map(|(name, tally)| vec![Cell::Text(name.clone()), Cell::Number(count(tally.count)), Cell::Code(tally.digest.to_string())]);
    let number = kept.evidence.collections.len() as u64;
    let table = table(&[("Collection", false), ("Elements", true), ("Digest", false)], rows);
    format!("<details><summary>{}: {}</summary>\n{table}</details>\n", escaped(name), count(number))
}

fn for_programs(document: &EvidenceDocument<'_>, json: &str) -> String {
    let digest = hex::encode(Sha256::digest(json.as_bytes()));
    format!(
        "<h2>For programs</h2>\n<details><summary>The same as JSON (SHA-256 <code>{digest}</code>)</summary>\n<pre>{}</pre></details>\n<p class=\"soft\">Written by {} on {} \
         at {}, from the repository {}.</p>\n",
        escaped(json),
        escaped(document.written_by),
        escaped(&document.host),
        escaped(local_time(document.written_at)),
        escaped(&document.repository)
    )
}
