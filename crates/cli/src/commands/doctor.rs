//! `doctor`: reaches everything, says what is missing, changes nothing.

use std::collections::BTreeMap;

use plan::ids::DataSetName;
use plan::ports::{Findings, Problem, Repository, Road, Severity};
use plan::words::counted;
use plan::{Class, Error, Result};
use serde::Serialize;
use threescale::clock::LONGEST_HOLD;

use crate::app::App;
use crate::care;
use crate::commands::runs::Standing;
use crate::inside;
use crate::join;
use crate::output::{Table, bytes, count};
use crate::writers::Consent;

#[derive(Serialize)]
struct DoctorDocument {
    /// What the platform says about the installation.
    installation: Vec<(String, String)>,
    /// What stands in the way beyond the data sets.
    problems: Vec<Problem>,
    /// What would stand in the way of what a restore does beside the data sets, by default.
    restore_problems: Vec<Problem>,
    data_sets: BTreeMap<DataSetName, Finding>,
    /// Data sets that are neither configured nor said to be absent.
    not_configured: Vec<DataSetName>,
    /// Data sets that the configuration says are absent.
    absent: Vec<DataSetName>,
    repository: Finding,
    writers: Finding,
    /// What is neither the old data nor the new, so that no set is made of it.
    in_the_way: Option<Finding>,
    /// Runs that are not over, and what runs left whose journals are not here: a line each.
    runs: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Finding {
    Found(Box<Findings>),
    Fine(String),
    Failed { error: String, hints: Vec<String>, class: Class },
}

pub(crate) fn doctor(app: &App) -> Result<()> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let context = app.context(&config, runner::new_run_id(), installation.id())?;
    let names = join::selected(installation.as_ref(), &[])?;
    let all = names.clone();
    let mut worst: Option<Error> = None;
    let mut note = |error: Error| -> Finding {
        let finding = Finding::Failed { error: error.chain(), hints: error.hints().to_vec(), class: error.class() };
        worst.get_or_insert(error);
        finding
    };
    let mut data_sets = BTreeMap::new();
    for name in names {
        let looked = crate::join::data_set(installation.as_ref(), name, plan::Policies::default()).and_then(|store| store.look(&context));
        data_sets.insert(
            name,
            match looked {
                Ok(findings) => Finding::Found(Box::new(findings)),
                Err(error) => note(error.during(format!("failed to look at {name}"))),
            },
        );
    }
    let repository =
        match app.repository(&config).and_then(|repository| repository.try_object_lock(false).and_then(|()| repository.manifests())) {
            Ok(manifests) => Finding::Fine(counted(manifests.len(), "set", "sets")),
            Err(error) => note(error),
        };
    let writers =
        match installation.writers(&app.output, Consent::Ask).and_then(|writers| Ok((writers.can_stop(), writers.stopped(&context)?))) {
            Ok((true, stopped)) => {
                let by = if config.has("writers") { "[writers]" } else { "this program" };
                Finding::Fine(match stopped {
                    Some(true) => format!("stopped and started by {by}; they are stopped"),
                    Some(false) => format!("stopped and started by {by}; they run"),
                    None => format!("stopped and started by {by}; without `stopped` nobody knows when they are gone"),
                })
            }
            Ok((false, _)) => Finding::Fine("stopped and started by hand: no [writers]".to_owned()),
            Err(error) => note(error),
        };
    let known: BTreeMap<_, _> = data_sets.iter().filter_map(|(name, finding)| Some((*name, found(finding)?.clone()))).collect();
    let Standing { lines: runs, in_the_way } = super::runs::standing(app, &config, installation.as_ref(), &known);
    let in_the_way = in_the_way.map(|error| note(error.during("a backup is held up")));
    let mut problems = installation.problems();
    problems.extend(join::twice(installation.as_ref(), &context, &known));
    problems.extend(inside::problems(app, &config, installation.as_ref(), &all, inside::Verb::Backup));
    let by_default = care::Wanted { no_hold: false, hold_for: LONGEST_HOLD, is_to_be: false };
    // A store that cannot be looked at is told already, and would be told once more.
    let is_failed = data_sets.values().any(|finding| matches!(finding, Finding::Failed { .. }));
    let restore_problems = if is_failed { Vec::new() } else { care::look(installation.as_ref(), &context, &all, &by_default)?.problems };
    let document = DoctorDocument {
        installation: installation.facts(),
        problems,
        restore_problems,
        data_sets,
        not_configured: join::not_configured(&config),
        absent: config.absent(),
        repository,
        writers,
        in_the_way,
        runs,
    };
    app.output.line(&print(&document))?;
    if let Some(missing) = join::told_missing(&config) {
        app.output.line(&format!("configuration: warning: {missing}"))?;
    }
    app.output.document(&document)?;
    if let Some(error) = worst {
        return Err(error);
    }
    let blocking = document
        .data_sets
        .values()
        .filter_map(found)
        .flat_map(|findings| findings.backup_problems.iter())
        .chain(&document.problems)
        .filter(|problem| problem.severity == Severity::Blocks)
        .count();
    if blocking > 0 {
        return Err(Error::refused(format!("{} in the way of a backup", counted(blocking, "thing stands", "things stand")))
            .hint("They are named above, each with the way out."));
    }
    Ok(())
}

fn found(finding: &Finding) -> Option<&Findings> {
    match finding {
        Finding::Found(findings) => Some(findings),
        Finding::Fine(_) | Finding::Failed { .. } => None,
    }
}

/// What failed and what is missing stands first: nobody reads so far at night.
fn print(document: &DoctorDocument) -> String {
    let mut first = Vec::new();
    if let Some(Finding::Failed { error, hints, .. }) = &document.in_the_way {
        first.push(failed("runs", error, hints));
    }
    let mut table = Table::new(&["DATA SET", "STORE", "ADDRESS", "SIZE", "ELEMENTS", "ROAD BACK"]);
    let mut lines = Vec::new();
    for (name, finding) in &document.data_sets {
        match finding {
            Finding::Found(findings) => {
                let road = if findings.road == Road::SideCopy { "beside, then swap" } else { "in place" };
                let elements = findings.count.map(count).unwrap_or_default();
                table.row([
                    name.to_string(),
                    findings.store.clone(),
                    findings.address.clone(),
                    bytes(findings.size_bytes),
                    elements,
                    road.to_owned(),
                ]);
                lines.extend(findings.facts.iter().map(|(key, value)| format!("  {name}: {}", fact(key, value))));
                let told = |verb: &'static str, problems: &[Problem]| {
                    problems.iter().map(|problem| (problem.severity, tell(name.as_str(), verb, problem))).collect::<Vec<_>>()
                };
                sort(
                    [told("backup: ", &findings.backup_problems), told("restore: ", &findings.restore_problems)].concat(),
                    &mut first,
                    &mut lines,
                );
            }
            Finding::Fine(text) => lines.push(format!("  {name}: {text}")),
            Finding::Failed { error, hints, .. } => first.push(failed(&format!("  {name}"), error, hints)),
        }
    }
    let mut tail = Vec::new();
    for (what, finding) in [("repository", &document.repository), ("writers", &document.writers)] {
        match finding {
            Finding::Fine(text) => tail.push(format!("{what}: {text}")),
            Finding::Failed { error, hints, .. } => first.push(failed(what, error, hints)),
            Finding::Found(_) => {}
        }
    }
    for (verb, problems) in [("", &document.problems), ("restore: ", &document.restore_problems)] {
        let told = problems.iter().map(|problem| (problem.severity, tell("installation", verb, problem))).collect();
        sort(told, &mut first, &mut lines);
    }
    if !first.is_empty() {
        first.push(String::new());
    }
    let facts = document.installation.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
    let runs = document.runs.iter().map(|line| format!("runs: {line}")).collect();
    [first, facts, vec![table.render(), String::new()], lines, tail, runs].concat().join("\n")
}

/// What blocks to the first, the rest to the others.
fn sort(told: Vec<(Severity, String)>, first: &mut Vec<String>, others: &mut Vec<String>) {
    for (severity, line) in told {
        if severity == Severity::Blocks { first.push(line) } else { others.push(line) }
    }
}

fn failed(what: &str, error: &str, hints: &[String]) -> String {
    let hints: String = hints.iter().map(|hint| format!(" {hint}")).collect();
    format!("{what}: FAILED: {}.{hints}", error.trim_end_matches('.'))
}

fn tell(name: &str, verb: &str, problem: &Problem) -> String {
    let word = match problem.severity {
        Severity::Note => "note",
        Severity::Degrades => "warning",
        Severity::Blocks => "MISSING",
    };
    let way_out = problem.way_out.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
    format!("  {name}: {verb}{word}: {}.{way_out}", problem.text.trim_end_matches('.'))
}

/// A fact as people read it: bytes of ours with their unit. What a server says of itself stays as it says it.
fn fact(key: &str, value: &str) -> String {
    let size = key.strip_suffix("-bytes").zip(value.parse().ok());
    size.map_or_else(|| format!("{key}: {value}"), |(key, size)| format!("{key}: {}", bytes(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_and_what_is_missing_stands_first_and_nobody_counts_what_was_not_counted() {
        let zync = Findings {
            store: "PostgreSQL 15".to_owned(),
            address: "service zync-database:5432".to_owned(),
            identity: None,
            half_loaded_by: None,
            is_gone: false,
            size_bytes: 8 << 20,
            count: None,
            backup_problems: vec![Problem::new(Severity::Blocks, "a right is missing.").way_out("GRANT it.")],
            restore_problems: vec![Problem::new(Severity::Note, "slow")],
            road: Road::SideCopy,
            facts: vec![("reached".to_owned(), "forwarded port".to_owned())],
        };
        let away = || Finding::Failed { error: "nobody answers.".to_owned(), hints: vec!["Start it.".to_owned()], class: Class::Transient };
        let data_sets = BTreeMap::from([(DataSetName::ZyncDatabase, Finding::Found(Box::new(zync))), (DataSetName::SystemRedis, away())]);
        let document = DoctorDocument {
            installation: vec![("namespace".to_owned(), "3scale".to_owned())],
            problems: Vec::new(),
            restore_problems: Vec::new(),
            data_sets,
            not_configured: Vec::new(),
            absent: Vec::new(),
            repository: away(),
            writers: Finding::Fine("6 running".to_owned()),
            in_the_way: None,
            runs: Vec::new(),
        };
        let printed = print(&document);
        let lines: Vec<_> = printed.lines().map(str::trim).collect();
        let mut first = lines[..3].to_vec();
        first.sort_unstable();
        assert_eq!(
            first,
            [
                "repository: FAILED: nobody answers. Start it.",
                "system-redis: FAILED: nobody answers. Start it.",
                "zync-database: backup: MISSING: a right is missing. GRANT it.",
            ]
        );
        assert_eq!((lines[3], lines[4]), ("", "namespace: 3scale"), "facts stand behind");
        let row: Vec<_> =
            lines.iter().find(|line| line.starts_with("zync-database ")).map(|row| row.split_whitespace().collect()).unwrap_or_default();
        assert_eq!(
            row[1..],
            ["PostgreSQL", "15", "service", "zync-database:5432", "8.4", "MB", "beside,", "then", "swap"],
            "no number where none is known"
        );
        assert!(lines.contains(&"zync-database: restore: note: slow."));
    }
}
