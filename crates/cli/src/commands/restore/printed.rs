//! A plan as people read it.

use plan::manifest::Manifest;
use plan::ports::{Road, Severity};
use plan::step::Action;
use plan::{Plan, Purpose};

use super::origin;
use crate::output::{Table, bytes, count, duration_ms, local_time};
use crate::rates::Estimate;

/// The plan as people read it.
pub(crate) fn print_plan(plan: &Plan, manifest: &Manifest, estimate: Option<&Estimate>) -> String {
    let mut lines: Vec<_> = origin::origin(plan, manifest).into_iter().collect();
    let is_rehearsal = plan.purpose == Purpose::Rehearse;
    let what = if is_rehearsal { "Rehearsal" } else { "Restore" };
    lines.push(format!("{what} of set {} of {}: {} (run {})", plan.set, local_time(manifest.started_at), manifest.extent(), plan.run));
    lines.push(String::new());
    let mut table = Table::new(&["DATA SET", "FROM", "INTO", "SIZE", "ELEMENTS", "ROAD", "WHAT IS THERE NOW"]);
    for (name, planned) in &plan.data_sets {
        let Some(kept) = &planned.kept else { continue };
        let (road, fate) = match planned.road {
            Road::SideCopy if is_rehearsal => ("beside, then swap", "removed with the server"),
            Road::SideCopy => ("beside, then swap", "kept until `settle`"),
            Road::InPlace => ("in place", "replaced, after a safety copy"),
        };
        let there = match planned.findings.is_gone {
            true => "nothing: it is made".to_owned(),
            false => format!("{}, {fate}", bytes(planned.findings.size_bytes)),
        };
        table.row([
            name.to_string(),
            kept.store.clone(),
            format!("{} {}", planned.findings.store, planned.findings.address),
            bytes(kept.bytes),
            count(kept.evidence.count()),
            road.to_owned(),
            there,
        ]);
    }
    lines.push(table.render());
    lines.push(String::new());
    lines.push("Steps:".to_owned());
    lines.extend(step_lines(plan));
    lines.push(String::new());
    let first_cut = plan
        .steps
        .iter()
        .find(|step| matches!(step.action, Action::StopWriters { .. } | Action::CutOver { .. } | Action::SafetyCopy { .. }));
    if is_rehearsal {
        lines.push("The installation is not touched, nor asked.".to_owned());
    } else if let Some(cut) = first_cut {
        lines.push(format!("The installation serves until step {}.", cut.id));
    }
    lines.push(format!(
        "Estimated: {}{} of space {}; the cut-over takes seconds.",
        estimate
            .and_then(Estimate::ms)
            .map(|ms| format!("about {} to stage and prove, as fast as before; ", duration_ms(ms)))
            .unwrap_or_default(),
        bytes(estimated_space_bytes(plan)),
        if is_rehearsal { "for the throw-away servers" } else { "beside the live data" }
    ));
    if let Some(unknown) = estimate.map(|estimate| &estimate.unknown).filter(|unknown| !unknown.is_empty()) {
        let names: Vec<_> = unknown.iter().map(|name| name.as_str()).collect();
        lines.push(format!(
            "How long it takes to stage and prove is not known: this machine has not yet done it with {}.",
            names.join(", ")
        ));
    }
    lines.extend(problem_lines(plan));
    lines.join("\n")
}

/// What stands in the way, or is to be known.
pub(super) fn problem_lines(plan: &Plan) -> impl Iterator<Item = String> {
    plan.all_problems().map(|(name, problem)| {
        let place = name.map(|name| format!("{name}: ")).unwrap_or_default();
        let word = match problem.severity {
            Severity::Note => "note",
            Severity::Degrades => "warning",
            Severity::Blocks => "REFUSED",
        };
        let way_out = problem.way_out.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
        format!("{word}: {place}{}.{way_out}", problem.text.trim_end_matches('.'))
    })
}

/// The steps of a plan.
pub(super) fn step_lines(plan: &Plan) -> impl Iterator<Item = String> {
    let width = plan.steps.iter().map(|step| step.action.to_string().len()).max().unwrap_or(0);
    plan.steps.iter().map(move |step| format!("  {:>2}. {:<width$}  {}", step.id.to_string(), step.action.to_string(), step.reason))
}

pub(super) fn estimated_space_bytes(plan: &Plan) -> u64 {
    let beside = plan.data_sets.values().filter(|planned| planned.road == Road::SideCopy);
    beside.filter_map(|planned| planned.kept.as_ref()).map(|kept| kept.bytes).sum()
}
