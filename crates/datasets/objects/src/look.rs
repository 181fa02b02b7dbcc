//! What is there, and whether a set fits; changes nothing.

use std::collections::BTreeMap;

use plan::Result;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Findings, Objects, Problem, Road, Severity, StoreKind};

use crate::collect::{Collected, collect, wildcard_domain};
use crate::kinds::{self, Kinds, reference_only};
use crate::leftovers::half_loaded_by;
use crate::object::Key;
use crate::survive::Target;
use crate::{Policy, rights, survive};

pub(crate) fn look(context: &Context, objects: &dyn Objects) -> Result<Findings> {
    let kinds = Kinds::of_server(objects)?;
    let mut findings = Findings {
        store: "Kubernetes objects".to_owned(),
        address: format!("namespace {}", objects.namespace()),
        identity: identity(objects),
        half_loaded_by: None,
        is_gone: false,
        size_bytes: 0,
        count: None,
        backup_problems: rights::missing(objects, &kinds.all, &rights::READS)?,
        restore_problems: rights::missing(objects, &[kinds::secrets()], &rights::WRITES)?,
        road: Road::SideCopy,
        facts: Vec::new(),
    };
    if findings.backup_problems.is_empty() {
        findings.half_loaded_by = half_loaded_by(objects)?;
        let collected = collect(context, objects)?;
        findings.size_bytes = collected.objects.iter().map(|object| object.canonical().len() as u64).sum();
        findings.count = Some(collected.objects.len() as u64);
        findings.facts = facts(&collected);
        findings.backup_problems.extend(nothing(&collected, objects.namespace()));
    }
    Ok(findings)
}

/// The namespace's uid: one of the same name, made anew or in another cluster, has another. Not everybody may look at namespaces.
pub(crate) fn identity(objects: &dyn Objects) -> Option<String> {
    objects.namespace_uid().ok().flatten().map(|uid| format!("namespace {uid}"))
}

fn facts(collected: &Collected) -> Vec<(String, String)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    collected.objects.iter().for_each(|object| *counts.entry(&object.key.kind).or_default() += 1);
    let mut facts: Vec<_> = counts.into_iter().map(|(kind, count)| (kind.to_owned(), count.to_string())).collect();
    for apimanager in collected.apimanagers() {
        facts.push(("APIManager".to_owned(), apimanager.key.name.clone()));
        facts.extend(wildcard_domain(&apimanager.value).map(|domain| ("wildcard domain".to_owned(), domain.to_owned())));
    }
    facts.extend(collected.left_out.iter().map(|(kind, count)| (format!("{kind} of others, left out"), count.to_string())));
    facts
}

fn nothing(collected: &Collected, namespace: &str) -> Option<Problem> {
    if collected.objects.is_empty() {
        return Some(
            Problem::new(Severity::Blocks, format!("namespace {namespace} has no object of a 3scale installation"))
                .way_out("Name the namespace of the installation with --namespace, or leave the objects out with --objects none."),
        );
    }
    let missing = collected.apimanagers().next().is_none();
    missing.then(|| Problem::new(Severity::Note, format!("there is no APIManager in namespace {namespace}")))
}

pub(crate) fn fits(context: &Context, objects: &dyn Objects, policy: Policy, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
    if kept.kind != StoreKind::Objects {
        return Ok(vec![Problem::new(
            Severity::Blocks,
            format!("the set's data set is of kind {}, not {}", kept.kind, StoreKind::Objects),
        )]);
    }
    let mut problems = Vec::new();
    if road == Road::InPlace {
        problems.push(in_place());
    }
    let kinds = Kinds::of_server(objects)?;
    let (known, unknown) = kinds_of(&kinds, kept);
    problems.extend(unknown.into_iter().map(|(collection, count)| {
        Problem::new(Severity::Degrades, format!("the cluster has no kind {collection}: {count} objects of the set cannot go back"))
            .way_out(
                "Install the 3scale operator of the set's release in the target, or put them back by hand later from the exported set.",
            )
    }));
    problems.extend(rights::missing(objects, &known, &rights::WRITES)?);
    if problems.iter().all(|problem| problem.severity != Severity::Blocks) {
        let found = collect(context, objects)?;
        problems.extend(survive::compare(&kept.evidence, &Target { namespace: objects.namespace(), policy, found: &found }));
        problems.extend(stays(policy, &found));
    }
    Ok(problems)
}

/// Objects have no copy beside them that is swapped: what was there before is noted, and that is the side copy.
pub(crate) fn in_place() -> Problem {
    Problem::new(
        Severity::Blocks,
        "Kubernetes objects do not go back in place: what was there is noted in the namespace instead of in a safety copy",
    )
    .way_out("Leave --in-place out for this data set.")
}

/// The kinds of the set that go back: known here, and not.
fn kinds_of(kinds: &Kinds, kept: &KeptDataSet) -> (Vec<plan::ports::ObjectKind>, Vec<(String, u64)>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (collection, tally) in &kept.evidence.collections {
        let (group, kind) = collection.split_once('/').unwrap_or(("core", collection));
        let group = if group == "core" { "" } else { group };
        if reference_only(&Key::new(group, kind, "")).is_some() {
            continue;
        }
        match kinds.all.iter().find(|found| found.group() == group && found.kind == kind) {
            Some(found) => known.push(found.clone()),
            None => unknown.push((collection.clone(), tally.count)),
        }
    }
    if !known.contains(&kinds::secrets()) {
        // What a run notes lies in Secrets.
        known.push(kinds::secrets());
    }
    (known, unknown)
}

fn stays(policy: Policy, found: &Collected) -> Option<Problem> {
    let has_place = found.core("Secret", "system-database").is_some();
    (policy == Policy::Overwrite && has_place).then(|| {
        Problem::new(
            Severity::Note,
            "where the data lives stays the target's: addresses and passwords of databases and of file storage, external components and replicas",
        )
    })
}
