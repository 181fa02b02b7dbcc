//! What of a tenant is in Backend: usage of its products that goes back, the configuration that its rows want there, and how the live stores agree about it now.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::{self, Manifest};
use plan::ports::{Context, DataSet, Findings, GivenIds, Merging, Problem, Repository, Road, Severity};
use plan::step::{LeftOut, RowsOwner, WantedRepairs};
use plan::{BesideRows, Class, Error, MergeBeside, Result, Target, release};
use serde::Serialize;
use threescale::rewrite::{Counts, known_releases, knows};
use threescale::tenant::Id;
use threescale::verify::{Rank, names};

use crate::agreement::{self, Side, Sides};
use crate::args;
use crate::commands::backup::look_at_all;
use crate::commands::restore::{agreeing, classes};
use crate::join::{self, Installation};
use crate::output::count;
use crate::{app::App, repair};

const BACKEND: DataSetName = DataSetName::BackendRedis;
/// So many differences are named.
const NAMED: usize = 3;
/// Where Backend's configuration is.
const STORAGE: &str = "storage";
/// Of its own products all is set right: what lets nobody in while Backend does not know a product would, when it does.
const RANK: Rank = Rank::Note;

/// See the module.
#[derive(Default)]
pub(super) struct InBackend {
    /// Where it is; `None` where it stays as it is.
    pub(super) store: Option<Arc<dyn DataSet>>,
    /// What becomes of its usage.
    pub(super) usage: Option<classes::Merged>,
    target: Option<Target>,
    /// What is changed in the configuration; `None` where it stays as it is.
    pub(super) configuration: Option<Configuration>,
    /// How the live stores agree now; `None` where they were not compared.
    pub(super) before: Option<Before>,
    /// What stays as it is.
    pub(super) left_out: Vec<LeftOut>,
    pub(super) problems: Vec<Problem>,
}

/// How much is changed in Backend's configuration.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Configuration {
    written: u64,
    changed: u64,
    removed: u64,
}

/// How the live stores agree about its products and applications.
#[derive(Debug, Serialize)]
pub(super) struct Before {
    /// Differences by rank.
    #[serde(flatten)]
    pub(super) agreement: manifest::Agreement,
    /// The first of them.
    pub(super) first: Vec<String>,
}

impl Configuration {
    fn is_nothing(self) -> bool {
        self.written + self.changed + self.removed == 0
    }

    pub(super) fn told(self) -> String {
        format!("{} written, {} changed, {} removed", count(self.written), count(self.changed), count(self.removed))
    }
}

/// Where it is looked at.
pub(super) struct Place<'a> {
    pub(super) app: &'a App,
    pub(super) installation: &'a dyn Installation,
    pub(super) manifest: &'a Manifest,
    pub(super) repository: &'a dyn Repository,
    pub(super) context: &'a Context,
    /// The system database, and what was found of it.
    pub(super) system: (&'a Arc<dyn DataSet>, &'a Findings),
}

/// Looks at it. `services`: its products in the set.
pub(super) fn look(at: &Place<'_>, args: &args::PlanArgs, whose: &RowsOwner, services: &[Id]) -> Result<InBackend> {
    let mut found = InBackend::default();
    if whose.products.is_empty() && whose.applications.is_empty() {
        return Ok(found);
    }
    let has_usage = at.manifest.data_sets.contains_key(&BACKEND);
    let nothing_goes_back = [LeftOut::Configuration].into_iter().chain(has_usage.then_some(LeftOut::Usage)).collect();
    if !at.installation.names().contains(&BACKEND) {
        found.left_out = nothing_goes_back;
        return Ok(found);
    }
    if !args.no_verify {
        found.before = before(at, whose)?;
    }
    if args.tenant.rows_only {
        found.left_out = nothing_goes_back;
        return Ok(found);
    }
    found.look(at, args, whose, services).map_err(|error| match error.class() {
        Class::Interrupted => error,
        _ => error.hint("`--rows-only` puts the rows back and leaves Backend as it is."),
    })?;
    Ok(found)
}

/// How the live stores agree about it now.
fn before(at: &Place<'_>, whose: &RowsOwner) -> Result<Option<Before>> {
    let compared = || {
        let sides = agreement::sides_of(at.installation, agreement::of_tenant(whose))?;
        sides.map(|sides| agreeing::compared(at.app, &sides, at.context)).transpose()
    };
    match compared() {
        Ok(agreement) => Ok(agreement.map(|agreement| Before {
            first: agreement::first(&agreement.report, NAMED),
            agreement: agreement::counted(&agreement.report),
        })),
        Err(error) if error.class() == Class::Interrupted => Err(error),
        Err(error) => {
            at.app.output.note(&format!("how the live stores agree about it now is not known: {}", error.chain()));
            Ok(None)
        }
    }
}

impl InBackend {
    fn look(&mut self, at: &Place<'_>, args: &args::PlanArgs, whose: &RowsOwner, services: &[Id]) -> Result<()> {
        let data_sets = join::data_sets(at.installation, &[BACKEND], &plan::Policies::default())?;
        let findings = look_at_all(&data_sets, at.context)?.remove(&BACKEND);
        let (Some(store), Some(findings)) = (data_sets.into_values().next(), findings) else {
            return Err(Error::failed(format!("{BACKEND} was not looked at")));
        };
        self.usage(at, args, (store.as_ref(), &findings), (whose, services))?;
        self.configuration(at, &store, whose)?;
        self.store = Some(store);
        Ok(())
    }

    fn usage(
        &mut self,
        at: &Place<'_>,
        args: &args::PlanArgs,
        (store, findings): (&dyn DataSet, &Findings),
        (whose, services): (&RowsOwner, &[Id]),
    ) -> Result<()> {
        if services.is_empty() {
            return Ok(());
        }
        let Some(kept) = at.manifest.data_sets.get(&BACKEND) else {
            let text = format!("the set has no {BACKEND}: usage of its products stays as it is");
            self.problems.push(Problem::new(Severity::Note, text));
            return Ok(());
        };
        let keys = store.merges_keys().ok_or_else(|| Error::failed(format!("no keys of {BACKEND} can go back alone")))?;
        let merging = Merging {
            classes: vec!["errors".to_owned(), "usage".to_owned()],
            services: names(services, &whose.prefixes).into_iter().collect(),
            counts: classes::counts(args.classes.usage),
        };
        let snapshot = Arc::from(at.repository.open(&kept.snapshot)?);
        let seen = keys
            .foresee(at.context, &snapshot, kept, &merging, &GivenIds::new())
            .map_err(|error| error.during(format!("failed to look what becomes of the usage in {BACKEND}")))?;
        let merged = classes::Merged { merging, classes: seen.classes };
        if !merged.changes_nothing() {
            let target = Target { findings: findings.clone(), kept: kept.clone(), road: Road::SideCopy, fits: Vec::new(), rest: None };
            self.target = Some(target);
            self.problems.extend(seen.problems.into_iter().map(leaving_it_out));
        }
        self.usage = Some(merged);
        Ok(())
    }

    /// What the rows of the set want of the live configuration.
    fn configuration(&mut self, at: &Place<'_>, store: &Arc<dyn DataSet>, whose: &RowsOwner) -> Result<()> {
        let (_, system) = at.system;
        let newest = system.facts.iter().find(|(name, _)| name == release::SCHEMA).map(|(_, newest)| newest.as_str());
        if !newest.is_some_and(knows) {
            let newest = newest.map_or_else(|| "not known".to_owned(), |newest| format!("{newest:?}"));
            let text = format!(
                "Backend's configuration stays as it is: the newest migration of the system database is {newest}, and this program knows the rules of {}",
                known_releases()
            );
            let by_hand = plan::ports::SyncTask::BackendConfiguration.by_hand();
            self.problems.push(Problem::new(Severity::Degrades, text).way_out(format!("3scale's own task writes it: {by_hand}")));
            return Ok(());
        }
        let kept = at.manifest.data_sets.get(&DataSetName::SystemDatabase);
        let kept = kept.ok_or_else(|| Error::failed("the set has no rows"))?;
        let sides =
            Sides { only: Some(agreement::of_tenant(whose)), ..Sides::of(Side::Set(kept, at.repository), Side::Live(Arc::clone(store))) };
        let mut all = Configuration::default();
        for Counts { written, changed, removed } in repair::look(&sides, at.context, RANK)?.counted()?.into_values() {
            all.written += written;
            all.changed += changed;
            all.removed += removed;
        }
        if !all.is_nothing()
            && let Some(keys) = store.key_repairs()
        {
            self.problems.extend(keys.lacks(at.context)?.map(leaving_it_out));
        }
        self.configuration = Some(all);
        Ok(())
    }

    /// What is done about it, for the plan.
    pub(super) fn beside_rows(&mut self, whose: &RowsOwner) -> BesideRows {
        let merge = self.target.take().zip(self.usage.as_ref()).map(|(target, merged)| {
            let sum = |number: fn(&plan::ports::MergedClass) -> u64| count(merged.classes.iter().map(number).sum());
            let reason = format!("{} keys are new, {} change; who counts meanwhile counts on", sum(|of| of.new), sum(|of| of.changed));
            MergeBeside { target, merging: merged.merging.clone(), reason }
        });
        let keys = self.configuration.filter(|of| !of.is_nothing()).map(|of| plan::Keys {
            data_set: BACKEND,
            database: STORAGE.to_owned(),
            wanted: WantedRepairs {
                rank: RANK.as_str().to_owned(),
                products: Some(whose.products.clone()),
                prefixes: whose.prefixes.clone(),
                applications: whose.applications.clone(),
            },
            reason: format!("as the rows want it: {}; a key that somebody changes meanwhile stays", of.told()),
        });
        BesideRows { files: None, merge, keys }
    }
}

/// What stands in the way in Backend stands not in the way of the rows.
fn leaving_it_out(problem: Problem) -> Problem {
    let way_out = problem.way_out.clone().map(|text| format!("{text} ")).unwrap_or_default();
    problem.way_out(format!("{way_out}`--rows-only` puts the rows back and leaves Backend as it is."))
}
