//! What people are told of a tenant that goes back.

use plan::Plan;
use plan::ids::SetId;
use plan::manifest::Manifest;
use plan::step::{LeftOut, RowsOwner};
use plan::words::in_one_line;
use threescale::tenant::{Compared, Id, Lost};

use super::OneTenant;
use super::backend::Before;
use super::files::Files;
use crate::commands::restore::printed::{problem_lines, step_lines};
use crate::output::{Table, count, local_time};
use crate::tenant_rows::Looked;

pub(super) fn owner(whose: &RowsOwner) -> String {
    let product = whose.product.map(|product| format!("product {product} of ")).unwrap_or_default();
    format!("{product}tenant {}", whose.tenant)
}

/// How much changes, in one line.
pub(super) fn reason(looked: &Looked) -> String {
    let sum = |number: fn(&Compared) -> u64| count(looked.counts.iter().map(|(_, compared)| number(compared)).sum());
    format!(
        "{} inserted, {} updated, {} deleted: in one transaction, which is proven before it ends; all of it or nothing",
        sum(|of| of.insert),
        sum(|of| of.update),
        sum(|of| of.delete)
    )
}

pub(super) fn plan(one: &OneTenant, plan: &Plan, manifest: &Manifest) -> Vec<String> {
    let product = one.product.as_ref().map(|product| format!("product {} ({:?}) of ", product.id, product.system_name)).unwrap_or_default();
    let (set, when) = (&plan.set, local_time(manifest.started_at));
    let mut lines = vec![
        format!(
            "Of set {set} of {when}: {product}tenant {} ({:?}), into the live database, which stays (run {})",
            one.tenant.id, one.tenant.org_name, plan.run
        ),
        String::new(),
    ];
    let mut table = Table::new(&["TABLE", "INSERT", "UPDATE", "DELETE", "EQUAL"]);
    let mut equal = 0;
    for (of, compared) in &one.looked.counts {
        if compared.is_equal() {
            equal += u64::from(compared.equal > 0);
            continue;
        }
        let Compared { insert, update, delete, equal, .. } = *compared;
        table.row([in_one_line(&of.table).into_owned(), count(insert), count(update), count(delete), count(equal)]);
    }
    if one.rows_are_equal() {
        lines.push("All rows are as the set has them.".to_owned());
    } else {
        lines.push(table.render());
        lines.push(format!("{} tables more have rows of it, all as the set has them.", count(equal)));
    }
    let stay: u64 = one.looked.counts.iter().map(|(_, compared)| compared.stay).sum();
    if stay > 0 {
        lines.push(format!("{} counters of invoices stay at their larger number: none is given twice.", count(stay)));
    }
    let names = |names: &std::collections::BTreeSet<String>| names.iter().map(|name| in_one_line(name)).collect::<Vec<_>>().join(", ");
    if !one.looked.left_out.is_empty() {
        lines.push(format!("Left as they are: {}; --with names those that go back too.", names(&one.looked.left_out)));
    }
    if !one.looked.unknown.is_empty() {
        lines.push(format!("Not known, and taken by tenant_id where they have it: {}.", names(&one.looked.unknown)));
    }
    if let Some(files) = &one.files {
        lines.push(format!("Its files: {}.", of_files(files)));
        if files.surplus > 0 {
            let list = listed(&files.first_surplus, files.surplus);
            lines.push(format!("{} files that its rows here name are not in the set, and stay: {list}.", count(files.surplus as u64)));
        }
        lines.extend(lost(files));
    }
    lines.extend(in_backend(one));
    if !plan.steps.is_empty() {
        lines.push(String::new());
        lines.push("Steps:".to_owned());
        lines.extend(step_lines(plan));
        lines.push(String::new());
        lines.push("The installation serves all the time. Nothing of others is touched. What changes in these rows before they are locked stops the run, and then nothing is changed.".to_owned());
    }
    let whose = RowsOwner {
        tenant: one.tenant.id,
        master: None,
        product: one.product.as_ref().map(|product| product.id),
        with: Vec::new(),
        products: Vec::new(),
        prefixes: one.prefixes.clone(),
        applications: Vec::new(),
        left_out: one.left_out.clone(),
        shown: String::new(),
    };
    lines.extend(to_do(set, &whose, &one.looked.services, one.files.as_ref()));
    lines.extend(problem_lines(plan));
    lines
}

/// What no row brings back. `files`: what was found of them, before the run.
pub(super) fn to_do(set: &SetId, whose: &RowsOwner, services: &[Id], files: Option<&Files>) -> Vec<String> {
    let mut lines = Vec::new();
    if whose.left_out.contains(&LeftOut::Configuration) {
        lines.push("  Backend's configuration: threescale-backup verify --repair".to_owned());
    }
    if whose.left_out.contains(&LeftOut::Usage) && !services.is_empty() {
        let prefix = |service: &Id| match whose.prefixes.as_slice() {
            [] => vec![service.to_string()],
            prefixes => prefixes.iter().map(|prefix| format!("{prefix}{service}")).collect(),
        };
        let list = services.iter().flat_map(prefix).collect::<Vec<_>>().join(",");
        lines.push(format!("  counters of usage: threescale-backup restore {set} --classes usage --service {list}"));
    }
    let is_whole = files.is_some_and(|files| files.missing + files.other == 0);
    if whose.left_out.contains(&LeftOut::Files) && !is_whole {
        let found = files.map(|files| format!("{}: ", of_files(files))).unwrap_or_default();
        let command = format!("threescale-backup extract {set} --tenant {} --to tenant.tar && tar -xf tenant.tar files", whose.tenant);
        lines.push(format!("  files: {found}{command}, and copy them to the same paths of System's files"));
    }
    if whose.product.is_none() {
        lines.push("  routes of its domains: bundle exec rake zync:resync:domains, in system-app".to_owned());
    }
    if !lines.is_empty() {
        lines.insert(0, "Not done by this run; do it afterwards where it is needed:".to_owned());
    }
    lines
}

/// Which of its files are not there as the set has them.
fn of_files(Files { in_the_set, missing, other, first, .. }: &Files) -> String {
    if missing + other == 0 {
        return format!("all {} in the set are there", count(*in_the_set as u64));
    }
    format!(
        "of {} in the set {} are missing here and {} are others ({})",
        count(*in_the_set as u64),
        count(*missing as u64),
        count(*other as u64),
        listed(first, missing + other)
    )
}

fn listed(first: &[String], all: usize) -> String {
    let more = if first.len() < all { ", …" } else { "" };
    format!("{}{more}", first.iter().map(|path| in_one_line(path)).collect::<Vec<_>>().join(", "))
}

/// Files that nothing brings back.
fn lost(files: &Files) -> Option<String> {
    let row = |lost: &Lost| lost.row.map_or_else(|| lost.table.to_owned(), |row| format!("row {row} of {}", lost.table));
    let first: Vec<_> = files.first_lost.iter().map(|lost| format!("{} ({})", lost.file, row(lost))).collect();
    let (number, list) = (count(files.lost as u64), listed(&first, files.lost));
    (files.lost > 0)
        .then(|| format!("warning: {number} files that its rows in the set name are neither in the set nor here, and stay lost: {list}."))
}

/// What becomes of what Backend has of it, and how the live stores agree.
fn in_backend(one: &OneTenant) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(usage) = &one.backend.usage {
        if usage.changes_nothing() {
            lines.push("Its usage in Backend has all that the set has.".to_owned());
        } else {
            lines.push(String::new());
            lines.extend(usage.table());
            lines.extend(usage.rules().map(|rule| format!("  {rule}")));
        }
    }
    if let Some(configuration) = one.backend.configuration {
        let counted = if one.product.is_some() {
            "; counted with backends and accounts as the set has them, and done by those that are here"
        } else {
            ""
        };
        lines.push(format!("Backend's configuration for its products, as these rows want it: {}{counted}.", configuration.told()));
    }
    if let Some(Before { agreement, first }) = &one.backend.before {
        lines.push(match agreement.differences() {
            Some(counts) => format!("The live stores differ about it now: {counts}: {}.", first.join("; ")),
            None => "The live stores agree about it now.".to_owned(),
        });
    }
    lines
}
