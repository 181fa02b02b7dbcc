//! `verify --repair`: sets right in Backend what differs from System, while everybody goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use plan::ids::{DataSetName, RunId};
use plan::journal::Run;
use plan::ports::{Context, Problem};
use plan::step::{Output, WantedRepairs};
use plan::{Error, IdsAhead, Plan, Repair, Result, plan_repair};
use serde::Serialize;
use threescale::repair::Agreed;
use threescale::rewrite::Counts;
use threescale::verify::{Kind, Rank, Report};

use super::{VerifyDocument, document, live, shown, verdict};
use crate::agreement::{self, Agreement, Sides};
use crate::app::App;
use crate::args;
use crate::care;
use crate::commands::backup::{look_at_all, with_way_out};
use crate::config::Config;
use crate::in_the_way;
use crate::join::{self, Installation};
use crate::journals;
use crate::locks;
use crate::output::count;
use crate::repair::{self, ROOM, refuse_unknown_schema, repairer};
use crate::writers::Consent;

/// Backend's keys that are compared, and set right.
const STORAGE: &str = "storage";

#[derive(Serialize)]
struct RepairDocument<'a> {
    /// `null` where nothing was done.
    run: Option<&'a RunId>,
    /// What is set right, or would be.
    repairs: Vec<KindRepairs>,
    /// What differs and stays.
    left_alone: Vec<LeftAlone>,
    /// So many keys were set right; `null` where nothing was done.
    keys: Option<u64>,
    /// So many stay as they are: somebody changed them meanwhile.
    keys_changed_meanwhile: Option<u64>,
    /// The stores after it, or as they are where nothing was done.
    verify: VerifyDocument<'a>,
}

#[derive(Serialize)]
struct KindRepairs {
    kind: &'static str,
    rank: Rank,
    written: u64,
    changed: u64,
    removed: u64,
}

#[derive(Serialize)]
struct LeftAlone {
    kind: &'static str,
    rank: Rank,
    count: u64,
    why: String,
}

/// What was found, and what is done about it.
struct Prepared {
    agreement: Agreement,
    repairs: Option<Agreed>,
    counts: BTreeMap<Kind, Counts>,
    ids: Option<IdsAhead>,
    problems: Vec<Problem>,
    rank: Rank,
}

pub(super) fn verify_and_repair(app: &App, args: &args::Verify) -> Result<()> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let run = runner::new_run_id();
    let context = app.context(&config, run.clone(), installation.id())?;
    let sides = live(installation.as_ref())?;
    let names = [DataSetName::SystemDatabase, DataSetName::BackendRedis];
    let mut data_sets = join::data_sets(installation.as_ref(), &names, &plan::Policies::default())?;
    let found = look_at_all(&data_sets, &context)?;
    let backend = data_sets.get(&DataSetName::BackendRedis).and_then(|store| store.key_repairs());
    let lacks = backend.map_or_else(|| Ok(None), |keys| keys.lacks(&context))?;
    let mut prepared = prepare(app, args, installation.as_ref(), &context, &sides)?;
    let mut plan = plan_repair(run, found.clone(), prepared.repair());
    plan.installation = Some(join::identified(installation.as_ref(), &context, &found));
    plan.problems.extend(std::mem::take(&mut prepared.problems));
    plan.problems.extend(lacks);
    app.output.line(&prepared.text(&plan))?;
    if args.dry_run {
        app.output.document(&prepared.document(None, &prepared.agreement, args))?;
        return refused(&plan);
    }
    if plan.steps.is_empty() {
        // The end is that of `verify`, which looks at more than what is set right here.
        return end(app, args, (&sides, &context), &prepared, None);
    }
    refused(&plan)?;
    for name in installation.names() {
        if plan.stores().contains(&name) && !data_sets.contains_key(&name) {
            data_sets.insert(name, installation.data_set(name, plan::Policies::default())?);
        }
    }
    let repairs = prepared.repairs.take();
    let done = carry_out(app, &config, installation.as_ref(), (plan, data_sets), repairs, args.yes)?;
    end(app, args, (&sides, &context), &prepared, Some(&done))
}

/// Compares the live stores as `verify` does.
fn end(app: &App, args: &args::Verify, (sides, context): (&Sides<'_>, &Context), prepared: &Prepared, done: Option<&Run>) -> Result<()> {
    let pause = || app.pause(Duration::from_secs(args.again_after));
    let after = agreement::of_sides(sides, context, args.limit, Some(&pause))?;
    if done.is_some() || after.report.kinds != prepared.agreement.report.kinds {
        app.output.line(&format!("\n{}", shown(None, &after)))?;
    }
    app.output.document(&prepared.document(done, &after, args))?;
    verdict(None, &after, args)
}

type DataSets = BTreeMap<DataSetName, Arc<dyn plan::ports::DataSet>>;

/// Asks, and carries the plan out.
fn carry_out(
    app: &App,
    config: &Config,
    installation: &dyn Installation,
    (plan, data_sets): (Plan, DataSets),
    repairs: Option<Agreed>,
    yes: bool,
) -> Result<Run> {
    let state = app.state(config, Some(installation))?;
    let mut hands = app.hands(config, installation, app.repository(config)?, data_sets, plan.run.clone(), Consent::Given)?;
    hands.context.installation = plan.installation.clone().unwrap_or_default();
    hands.repairer = Some(repairer(repairs));
    let copies = hands.copies_journal.then_some(Arc::clone(&hands.repository));
    let refuse_what_is_in_the_way = || in_the_way::of_repair(&journals::known(&state, copies.as_deref(), &hands.context.installation)?);
    refuse_what_is_in_the_way()?;
    if !yes {
        match app.output.ask("Set this right?")? {
            Some(true) => {}
            Some(false) => return Err(Error::refused("not carried out; nothing was touched")),
            None => return Err(Error::refused("nobody can be asked whether to set this right").hint("Say --yes.")),
        }
    }
    // Not before the answer: a person may think for long. What he was shown is looked at again by the run.
    let _locks = locks::take(app, &state, installation, &hands.context)?;
    refuse_what_is_in_the_way()?;
    let journal = state.begin(plan)?;
    runner::run(&journal, &hands).map_err(|error| with_way_out(error, &journal.run()))?;
    let run = journal.run();
    let id = &run.plan.run;
    app.output.line(&format!(
        "run {id} finished. What was is kept: `undo {id}` puts it back where it stands as it was left, `settle {id}` drops it."
    ))?;
    Ok(run)
}

fn prepare(app: &App, args: &args::Verify, installation: &dyn Installation, context: &Context, sides: &Sides<'_>) -> Result<Prepared> {
    let rank = args.only.rank();
    let files = sides.files.is_some();
    let first = repair::look(sides, context, rank)?;
    if !first.found_any() {
        let agreement = Agreement { report: first.report(args.limit)?, files, looks: 1, unseen: Vec::new() };
        return Ok(Prepared { agreement, repairs: None, counts: BTreeMap::new(), ids: None, problems: Vec::new(), rank });
    }
    app.pause(Duration::from_secs(args.again_after))?;
    let (report, agreed) = first.still_in(repair::look(sides, context, rank)?, args.limit, ROOM)?;
    let (counts, mut problems, mut ids) = (agreed.counts.clone(), Vec::new(), None);
    if report.kinds.keys().any(|kind| is_counter(*kind) && kind.rank() <= rank) {
        let clock = care::Wanted { no_hold: true, hold_for: SignedDuration::ZERO, is_to_be: false };
        let found = care::look(installation, context, &[DataSetName::BackendRedis], &clock)?;
        ids = found.care.ids;
        problems.extend(found.problems);
    }
    let agreement = Agreement { report, files, looks: 2, unseen: Vec::new() };
    let prepared = Prepared { agreement, repairs: Some(agreed), counts, ids, problems, rank };
    if !prepared.counts.is_empty() {
        refuse_unknown_schema(installation.data_set(DataSetName::SystemDatabase, plan::Policies::default())?.as_ref(), context)?;
    }
    Ok(prepared)
}

/// Counters of ids that are behind System's rows.
const fn is_counter(kind: Kind) -> bool {
    matches!(kind, Kind::EventsBehind | Kind::AlertsBehind)
}

fn refused(plan: &Plan) -> Result<()> {
    if plan.steps.is_empty() { Ok(()) } else { plan.check() }
}

impl Prepared {
    fn repair(&self) -> Repair {
        let sum = |number: fn(&Counts) -> u64| count(self.counts.values().map(number).sum());
        let reason = format!(
            "{} written, {} changed, {} removed; a key that somebody changes meanwhile stays",
            sum(|counts| counts.written),
            sum(|counts| counts.changed),
            sum(|counts| counts.removed)
        );
        let keys = plan::Keys {
            data_set: DataSetName::BackendRedis,
            database: STORAGE.to_owned(),
            wanted: WantedRepairs { rank: self.rank.as_str().to_owned(), products: None, prefixes: Vec::new(), applications: Vec::new() },
            reason,
        };
        Repair { keys: (!self.counts.is_empty()).then_some(keys), ids: self.ids.clone() }
    }

    /// Why a difference of a kind stays; `None` where something is done about it.
    fn left_alone(&self, kind: Kind) -> Option<String> {
        if self.counts.contains_key(&kind) || is_counter(kind) && self.ids.is_some() && kind.rank() <= self.rank {
            return None;
        }
        Some(match kind.repair() {
            _ if kind.rank() > self.rank => format!("only what is {} or worse is set right (--only)", self.rank.as_str()),
            Some(way_out) => way_out.to_owned(),
            None => "nothing has to be done".to_owned(),
        })
    }

    fn text(&self, plan: &Plan) -> String {
        let report: &Report = &self.agreement.report;
        let mut lines = vec![shown(None, &self.agreement)];
        if plan.steps.is_empty() {
            lines.push("There is nothing that --repair sets right.".to_owned());
            return lines.join("\n");
        }
        lines.push(format!("\nRepair (run {}), while everybody goes on:", plan.run));
        for (kind, Counts { written, changed, removed }) in &self.counts {
            let parts = [(written, "written"), (changed, "changed"), (removed, "removed")].into_iter().filter(|(number, _)| **number > 0);
            let parts: Vec<_> = parts.map(|(number, what)| format!("{} {what}", count(*number))).collect();
            lines.push(format!("  {} {}: {}", kind.rank().as_str(), kind.code(), parts.join(", ")));
        }
        for kind in report.kinds.keys() {
            lines.extend(self.left_alone(*kind).map(|why| format!("  {} {} stays: {why}", kind.rank().as_str(), kind.code())));
        }
        lines.push("Steps:".to_owned());
        let width = plan.steps.iter().map(|step| step.action.to_string().len()).max().unwrap_or(0);
        lines.extend(plan.steps.iter().map(|step| format!("  {:>2}. {:<width$} {}", step.id, step.action.to_string(), step.reason)));
        lines.extend(plan.problems.iter().map(|problem| format!("warning: {}", problem.sentence())));
        lines.join("\n")
    }

    fn document<'a>(&self, run: Option<&'a Run>, agreement: &'a Agreement, args: &args::Verify) -> RepairDocument<'a> {
        let repaired = run.and_then(|run| {
            run.plan.steps.iter().find_map(|step| match run.output(step.id) {
                Some(Output::Repaired { keys, left }) => Some((*keys, *left)),
                _ => None,
            })
        });
        let repairs = self.counts.iter().map(|(kind, Counts { written, changed, removed })| KindRepairs {
            kind: kind.code(),
            rank: kind.rank(),
            written: *written,
            changed: *changed,
            removed: *removed,
        });
        let left_alone = self.agreement.report.kinds.iter().filter_map(|(kind, found)| {
            Some(LeftAlone { kind: kind.code(), rank: kind.rank(), count: found.count, why: self.left_alone(*kind)? })
        });
        RepairDocument {
            run: run.map(|run| &run.plan.run),
            repairs: repairs.collect(),
            left_alone: left_alone.collect(),
            keys: repaired.map(|(keys, _)| keys),
            keys_changed_meanwhile: repaired.map(|(_, left)| left),
            verify: document(None, agreement, args),
        }
    }
}
