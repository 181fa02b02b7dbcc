//! `restore --classes`: keys of some classes go back alone, into the live Redis of Backend and of System, which stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::choice::{Owner, Whose};
use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::ports::{Context, Counts, DataSet, GivenIds, MergedClass, Merging, Problem, Repository, Road, Severity};
use plan::step::IdCounter;
use plan::{Error, Plan, Policies, Result, Target, plan_merge};
use threescale::keys::Class;
use threescale::merging;

use super::printed::{problem_lines, step_lines};
use super::{Prepared, origin};
use crate::app::App;
use crate::args::{self, UsageChoice};
use crate::care;
use crate::config::Config;
use crate::join::{self, Installation};
use crate::output::{Table, bytes, count, local_time};
use crate::queues::Jobs;
use crate::whose::Wanted;

/// What becomes of the keys.
pub(super) struct Merged {
    pub(super) merging: Merging,
    pub(super) classes: Vec<MergedClass>,
}

impl Merged {
    /// Whether no key would be new or another.
    pub(super) fn changes_nothing(&self) -> bool {
        self.classes.iter().all(|of| of.new + of.changed == 0)
    }

    /// The plan as people read it.
    pub(super) fn text(&self, plan: &Plan, manifest: &Manifest) -> String {
        let mut lines: Vec<_> = origin::origin(plan, manifest).into_iter().collect();
        let names = self.merging.classes.join(", ");
        lines.push(format!(
            "Of set {} of {}: {names}, into the live data, which stays (run {})",
            plan.set,
            local_time(manifest.started_at),
            plan.run
        ));
        if !self.merging.services.is_empty() {
            lines.push(format!("Only of services: {}", self.merging.services.join(", ")));
        }
        lines.push(String::new());
        lines.extend(self.table());
        lines.push(String::new());
        lines.push("How:".to_owned());
        lines.extend(self.rules().map(|rule| format!("  {rule}")));
        lines.push("Steps:".to_owned());
        lines.extend(step_lines(plan));
        lines.push(String::new());
        lines.push("The installation serves all the time. No other key is touched. The numbers are those of now.".to_owned());
        lines.extend(problem_lines(plan));
        lines.join("\n")
    }

    /// What becomes of them, by class.
    pub(super) fn table(&self) -> Vec<String> {
        let mut table = Table::new(&["DATABASE", "CLASS", "IN THE SET", "BYTES", "NEW", "CHANGED", "EQUAL", "LARGEST"]);
        for of in &self.classes {
            let largest = of.largest.as_ref().map(|(key, size)| format!("{} {key}", bytes(*size))).unwrap_or_default();
            let (database, class) = (of.database.clone(), of.class.clone());
            table.row([database, class, count(of.keys), bytes(of.bytes), count(of.new), count(of.changed), count(of.equal), largest]);
        }
        let mut lines = vec![table.render()];
        for of in &self.classes {
            lines.extend(of.left.iter().map(|(why, number)| format!("{}: left: {} {why}", of.class, count(*number))));
        }
        if self.classes.is_empty() {
            lines.push("The set has no such keys.".to_owned());
        }
        lines
    }

    /// How each class goes.
    pub(super) fn rules(&self) -> impl Iterator<Item = String> {
        self.merging.classes.iter().filter_map(|class| {
            Some(match class.as_str() {
                "usage" => match self.merging.counts {
                    Counts::Max => "usage: each counter becomes the larger one of the set's and the live one (--usage max): none goes down",
                    Counts::Set => "usage: each counter becomes what the set has (--usage set), and what is counted meanwhile is added: some may go down",
                    Counts::Add => "usage: what the set has is added to each counter (--usage add): what both counted is counted twice",
                },
                "counter" => "counter: a number that was given is not given again: raised to the largest of the set's, the live one and System's",
                "events" => "events: those that System has not taken come again; where an alert was sent, or a first day's traffic told, a live note stays",
                "errors" => "errors: those that the live list lacks, behind it, as far as Backend keeps them (1000 of a service)",
                "customer-record" => "customer-record: failed web hooks that the live list lacks, before it; also those that a customer deleted since",
                "record" => "record: numbers are raised, dead jobs that are lacking are added; nothing runs them but a person",
                "guard" => "guard: what the live ones lack is added: what was held or done is not done again",
                _ => return None,
            })
        })
        .map(str::to_owned)
    }
}

/// What becomes of counters.
pub(super) const fn counts(usage: Option<UsageChoice>) -> Counts {
    match usage {
        None | Some(UsageChoice::Max) => Counts::Max,
        Some(UsageChoice::Set) => Counts::Set,
        Some(UsageChoice::Add) => Counts::Add,
    }
}

/// What was asked for, and makes sense together.
fn asked(args: &args::Classes) -> Result<(Vec<Class>, Merging)> {
    let mut classes = args.classes.clone();
    if args.usage.is_some() && !classes.contains(&Class::Usage) {
        return Err(Error::refused("--usage says what becomes of counters of usage, and the class usage is not asked for")
            .hint("Say --classes usage too, or leave --usage out."));
    }
    if let Some(class) = classes.iter().find(|class| !args.service.is_empty() && !merging::has_services(**class)) {
        return Err(Error::refused(format!("keys of the class {class} are of no service: --service cannot narrow them"))
            .hint("Leave out the class, or --service."));
    }
    // Events are known by ids: what gives them must be ahead of them.
    if classes.contains(&Class::Events) && args.service.is_empty() {
        classes.push(Class::Counter);
    }
    classes.sort();
    classes.dedup();
    let counts = counts(args.usage);
    let mut services = args.service.iter().map(|service| called(service)).collect::<Result<Vec<_>>>()?;
    services.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    services.dedup();
    let merging = Merging { classes: classes.iter().map(|class| class.as_str().to_owned()).collect(), services, counts };
    Ok((classes, merging))
}

/// What Backend calls a service.
fn called(service: &str) -> Result<String> {
    match service.parse::<u64>() {
        Ok(id) => Ok(id.to_string()),
        Err(_) if merging::is_service(service) => Ok(service.to_owned()),
        Err(_) => Err(Error::refused(format!("{service:?} is no id of a service")).hint(
            "Keys are told apart by ids: with --classes, --service takes numbers, behind the prefix of the account where it has one; `inspect` lists them.",
        )),
    }
}

/// The same, as it is written after a set in a command.
fn as_written(args: &args::Classes, merging: &Merging) -> String {
    let names: Vec<_> = args.classes.iter().map(|class| class.as_str()).collect();
    let mut text = format!(" --classes {}", names.join(","));
    if !merging.services.is_empty() {
        text.push_str(&format!(" --service {}", merging.services.join(",")));
    }
    if args.usage.is_some() {
        text.push_str(&format!(" --usage {}", merging.counts));
    }
    text
}

pub(super) fn prepare(
    app: &App,
    config: &Config,
    installation: &dyn Installation,
    args: &args::PlanArgs,
    verb: &'static str,
) -> Result<Prepared> {
    let (classes, merging) = asked(&args.classes)?;
    let repository: Arc<dyn Repository> = app.repository(config)?;
    let run = runner::new_run_id();
    let context = app.context(config, run.clone(), installation.id())?;
    let wanted = Wanted { after: as_written(&args.classes, &merging), ..Wanted::new(verb, &args.set, args.partial.partial) };
    let manifest = app.find_set_for(installation, &context, repository.as_ref(), &wanted)?.manifest;
    let names = names_in(installation, &manifest, &classes)?;
    let mut data_sets = join::data_sets(installation, &names, &Policies::default())?;
    let mut asking = Asking { installation, context: &context, problems: Vec::new(), beside: BTreeMap::new() };
    let (ids, given) = if classes.contains(&Class::Counter) { asking.ids()? } else { (Vec::new(), GivenIds::new()) };
    let (mut problems, beside) = (asking.problems, asking.beside);
    let found = crate::commands::backup::look_at_all(&data_sets, &context)?;
    let (mut targets, mut foreseen) = (BTreeMap::new(), Vec::new());
    for (name, findings) in &found {
        let (Some(kept), Some(store)) = (manifest.data_sets.get(name), data_sets.get(name)) else { continue };
        let keys = store.merges_keys().ok_or_else(|| Error::failed(format!("no keys of {name} can go back alone")))?;
        let snapshot = Arc::from(repository.open(&kept.snapshot)?);
        let seen = keys
            .foresee(&context, &snapshot, kept, &merging, &given)
            .map_err(|error| error.during(format!("failed to look what becomes of the keys of {name}")))?;
        foreseen.extend(seen.classes);
        let target = Target { findings: findings.clone(), kept: kept.clone(), road: Road::SideCopy, fits: seen.problems, rest: None };
        targets.insert(*name, target);
    }
    let mut plan = plan_merge(run, manifest.set.clone(), targets, &merging, &ids);
    let here = Whose::Ours { id: installation.id(), store: join::first_identity(installation, &context, &found) };
    plan.from = manifest.installation.clone().filter(|_| here.owner(&manifest) == Owner::Other);
    plan.installation = Some(join::identified(installation, &context, &found));
    if plan.from.is_some() {
        let text =
            "the set is of another installation: its keys go to services and applications that have the same ids here, whoever they are";
        problems.push(Problem::new(Severity::Degrades, text));
    }
    problems.extend(join::twice(installation, &context, &found));
    plan.problems.extend(problems);
    data_sets.extend(beside);
    let merged = Some(Merged { merging, classes: foreseen });
    Ok(Prepared { repository, data_sets, manifest, plan, jobs: Jobs::default(), objects: Vec::new(), estimate: None, merged, tenant: None })
}

/// The data sets that have keys of these classes, of those that the set and the installation both have.
fn names_in(installation: &dyn Installation, manifest: &Manifest, classes: &[Class]) -> Result<Vec<DataSetName>> {
    let names = merging::data_sets_of(classes);
    let there: Vec<_> =
        names.iter().copied().filter(|name| manifest.data_sets.contains_key(name) && installation.names().contains(name)).collect();
    for class in classes {
        let of = merging::data_sets_of(&[*class]);
        if of.iter().any(|name| there.contains(name)) {
            continue;
        }
        let of: Vec<_> = of.iter().map(|name| name.as_str()).collect();
        let has: Vec<_> = manifest.data_sets.keys().map(|name| name.as_str()).collect();
        return Err(Error::refused(format!(
            "keys of the class {class} are in {}, which the set or the installation does not have",
            of.join(", ")
        ))
        .hint(format!("Set {} has {}.", manifest.set, has.join(", "))));
    }
    Ok(there)
}

/// Asks System which ids it has.
struct Asking<'a> {
    installation: &'a dyn Installation,
    context: &'a Context,
    problems: Vec<Problem>,
    beside: BTreeMap<DataSetName, Arc<dyn DataSet>>,
}

impl Asking<'_> {
    fn ids(&mut self) -> Result<(Vec<IdCounter>, GivenIds)> {
        let asked = self.asked();
        let why = match asked {
            Ok(Some(ids)) => return Ok(ids),
            Ok(None) => "there is none to be asked".to_owned(),
            Err(error) => {
                self.context.stop.check()?;
                error.chain()
            }
        };
        self.beside.clear();
        let text = format!("nobody can say which events the system database has: those of events/queue do not come back: {why}");
        self.problems.push(Problem::new(Severity::Degrades, text).way_out("With the system database configured and up they do."));
        Ok((Vec::new(), GivenIds::new()))
    }

    fn asked(&mut self) -> Result<Option<(Vec<IdCounter>, GivenIds)>> {
        let system = DataSetName::SystemDatabase;
        if !self.installation.names().contains(&system) {
            return Ok(None);
        }
        let store = self.installation.data_set(system, Policies::default())?;
        let counters = care::counters();
        let Some(given) = store.live_rows().map(|rows| runner::given_ids(rows, self.context, &counters)).transpose()? else {
            return Ok(None);
        };
        self.beside.insert(system, store);
        Ok(Some((counters, given)))
    }
}
