//! `restore --tenant`: one tenant goes back alone, into the live stores, which stay.

mod backend;
mod files;
mod fits;
mod told;

use std::sync::Arc;

use plan::choice::{Owner, Whose};
use plan::ids::{DataSetName, RunId};
use plan::manifest::Manifest;
use plan::ports::{Context, DataSet, MergedClass, Repository, Road};
use plan::step::{Action, LeftOut, RowsOwner};
use plan::{Error, Plan, Policies, Result, Target, plan_tenant};
use runner::State;
use serde::Serialize;
use threescale::tenant::{Account, Compared, Id, Product};
use threescale::verify::Only;

use super::{Prepared, classes, origin};
use crate::agreement::{self, read_rows};
use crate::app::App;
use crate::args;
use crate::commands::extract::{Which, check_with, which};
use crate::config::Config;
use crate::join::{self, Installation};
use crate::output::count;
use crate::queues::Jobs;
use crate::tenant_rows::{Between, Looked, look};
use crate::whose::Wanted;
use backend::{Before, Configuration, InBackend};
use files::{Files, Going};

const SYSTEM: DataSetName = DataSetName::SystemDatabase;

/// What becomes of the rows.
pub(super) struct OneTenant {
    tenant: Account,
    product: Option<Product>,
    /// What Backend's names of its products begin with, here and in the set.
    prefixes: Vec<String>,
    looked: Looked,
    files: Option<Files>,
    backend: InBackend,
    /// What stays as it is.
    left_out: Vec<LeftOut>,
    /// Whether nothing changes anywhere.
    is_there: bool,
}

/// The same, in JSON.
#[derive(Serialize)]
pub(super) struct TenantDocument<'a> {
    tenant: &'a Account,
    /// `null`: all of the tenant.
    product: Option<&'a Product>,
    /// What becomes of the rows, by table.
    tables: Vec<TableDocument<'a>>,
    /// Conflicts; what is named of them is in the plan's problems.
    conflicts: u64,
    /// Tables that were not asked for.
    left_out: Vec<&'a str>,
    /// Tables that this program does not know: rows by `tenant_id`.
    unknown: Vec<&'a str>,
    /// Files that its rows name; `null`: they were not looked for.
    files: Option<&'a Files>,
    /// Products of the tenant in the set.
    services: &'a [Id],
    /// How much is changed in Backend's configuration; `null`: it stays as it is.
    configuration: Option<&'a Configuration>,
    /// How the live stores agree about its products now; `null`: they were not compared.
    before: Option<&'a Before>,
}

#[derive(Serialize)]
struct TableDocument<'a> {
    table: &'a str,
    #[serde(flatten)]
    rows: Compared,
}

impl OneTenant {
    /// Whether all of it is as the set has it.
    pub(super) const fn changes_nothing(&self) -> bool {
        self.is_there
    }

    /// Whether no row is new or another.
    fn rows_are_equal(&self) -> bool {
        self.looked.counts.iter().all(|(_, compared)| compared.is_equal())
    }

    /// What becomes of keys of Backend.
    pub(super) fn classes(&self) -> &[MergedClass] {
        self.backend.usage.as_ref().map_or(&[], |usage| &usage.classes)
    }

    /// The plan as people read it.
    pub(super) fn text(&self, plan: &Plan, manifest: &Manifest) -> String {
        let mut lines: Vec<_> = origin::origin(plan, manifest).into_iter().collect();
        lines.extend(told::plan(self, plan, manifest));
        lines.join("\n")
    }

    pub(super) fn document(&self) -> TenantDocument<'_> {
        let is_told = |compared: &Compared| *compared != Compared::default();
        let tables = self.looked.counts.iter().filter(|(_, compared)| is_told(compared));
        TenantDocument {
            tenant: &self.tenant,
            product: self.product.as_ref(),
            tables: tables.map(|(of, rows)| TableDocument { table: &of.table, rows: *rows }).collect(),
            conflicts: self.looked.conflicts.0,
            left_out: self.looked.left_out.iter().map(String::as_str).collect(),
            unknown: self.looked.unknown.iter().map(String::as_str).collect(),
            files: self.files.as_ref(),
            services: &self.looked.services,
            configuration: self.backend.configuration.as_ref(),
            before: self.backend.before.as_ref(),
        }
    }
}

pub(super) fn prepare(
    app: &App,
    config: &Config,
    installation: &dyn Installation,
    args: &args::PlanArgs,
    verb: &'static str,
) -> Result<Prepared> {
    let asked = &args.tenant;
    let service = match args.classes.service.as_slice() {
        [] => None,
        [service] => Some(service.as_str()),
        _ => return Err(Error::refused("--tenant takes one product: --service names several").hint("Restore them one after the other.")),
    };
    check_with(&asked.with, service.is_some())?;
    let repository: Arc<dyn Repository> = app.repository(config)?;
    let run = runner::new_run_id();
    let context = app.context(config, run.clone(), installation.id())?;
    let wanted = Wanted { after: as_written(args), ..Wanted::new(verb, &args.set, args.partial.partial) };
    let manifest = app.find_set_for(installation, &context, repository.as_ref(), &wanted)?.manifest;
    let kept = manifest.data_sets.get(&SYSTEM).cloned();
    let kept = kept.filter(|_| installation.names().contains(&SYSTEM)).ok_or_else(|| {
        Error::refused(format!("rows of a tenant are in {SYSTEM}, which set {} or the installation does not have", manifest.set))
    })?;
    let mut data_sets = join::data_sets(installation, &[SYSTEM], &Policies::default())?;
    let found = crate::commands::backup::look_at_all(&data_sets, &context)?;
    let (Some(store), Some(findings)) = (data_sets.get(&SYSTEM), found.get(&SYSTEM)) else {
        return Err(Error::failed(format!("{SYSTEM} was not looked at")));
    };
    let refused = fits::before_reading(store.as_ref(), &manifest, &kept, findings, installation.release().as_deref())?;
    if let Some(error) = refused {
        return Err(error);
    }
    let read = |reader: &mut dyn plan::ports::RowReader| read_rows(&kept, repository.as_ref(), &context, reader);
    let meant = which(&Which { tenant: asked.tenant.as_deref(), service }, read)?;
    let mut whose = RowsOwner {
        tenant: meant.tenant.id,
        master: meant.master,
        product: meant.product.as_ref().map(|product| product.id),
        with: asked.with.clone(),
        products: Vec::new(),
        prefixes: prefixes(store.as_ref(), &context, &meant.tenant)?,
        applications: Vec::new(),
        left_out: Vec::new(),
        shown: String::new(),
    };
    let between = Between { store: store.as_ref(), kept: &kept, repository: repository.as_ref(), context: &context };
    let mut looked = look(&between, &whose, true)?;
    whose.shown.clone_from(&looked.digest);
    whose.products.clone_from(&looked.products);
    whose.applications.clone_from(&looked.applications);
    let (files, going) = match whose.product {
        // A product has no files: those of the developer portal are the tenant's.
        Some(_) => (None, None),
        None => files::look(app, installation, (&manifest, repository.as_ref()), &context, (&mut looked, !asked.rows_only))?,
    };
    let problems = fits::problems(store.as_ref(), &context, &looked)?;
    let place = backend::Place {
        app,
        installation,
        manifest: &manifest,
        repository: repository.as_ref(),
        context: &context,
        system: (store, findings),
    };
    let mut backend = backend::look(&place, args, &whose, &looked.services)?;
    whose.left_out.clone_from(&backend.left_out);
    if whose.product.is_none() && manifest.data_sets.contains_key(&DataSetName::SystemStorage) && (asked.rows_only || files.is_none()) {
        whose.left_out.push(LeftOut::Files);
    }
    let left_out = whose.left_out.clone();
    let target = Target { findings: findings.clone(), kept, road: Road::SideCopy, fits: problems, rest: None };
    let mut beside = backend.beside_rows(&whose);
    if let Some(Going { store, beside: files }) = going {
        data_sets.insert(DataSetName::SystemStorage, store);
        beside.files = Some(files);
    }
    let mut one = OneTenant {
        tenant: meant.tenant,
        product: meant.product,
        prefixes: whose.prefixes.clone(),
        looked,
        files,
        backend,
        left_out,
        is_there: false,
    };
    one.is_there = one.rows_are_equal() && beside.files.is_none() && beside.merge.is_none() && beside.keys.is_none();
    let reason = (!one.is_there).then(|| told::reason(&one.looked));
    let mut plan = plan_tenant(run, manifest.set.clone(), target, whose, reason, beside);
    plan.problems.append(&mut one.backend.problems);
    data_sets.extend(one.backend.store.take().map(|store| (DataSetName::BackendRedis, store)));
    let here = Whose::Ours { id: installation.id(), store: join::first_identity(installation, &context, &found) };
    plan.from = manifest.installation.clone().filter(|_| here.owner(&manifest) == Owner::Other);
    plan.installation = Some(join::identified(installation, &context, &found));
    plan.problems.extend(plan.from.is_some().then(fits::of_another_installation));
    plan.problems.extend(join::twice(installation, &context, &found));
    Ok(Prepared {
        repository,
        data_sets,
        manifest,
        plan,
        jobs: Jobs::default(),
        objects: Vec::new(),
        estimate: None,
        merged: None,
        tenant: Some(one),
    })
}

/// What Backend's names of its products begin with, in the set and here.
fn prefixes(store: &dyn DataSet, context: &Context, tenant: &Account) -> Result<Vec<String>> {
    let live = store.live_rows().ok_or_else(|| Error::failed("rows of this store cannot be read"))?;
    let mut all = live.session(context)?.texts(&format!("SELECT COALESCE(service_preffix, '') FROM accounts WHERE id = {}", tenant.id))?;
    all.push(tenant.prefix.clone());
    all.retain(|prefix| !prefix.is_empty());
    all.sort();
    all.dedup();
    Ok(all)
}

/// The options, as they are written after a set in a command.
fn as_written(args: &args::PlanArgs) -> String {
    let mut text = args.tenant.tenant.as_ref().map(|tenant| format!(" --tenant {tenant:?}")).unwrap_or_default();
    text.extend(args.classes.service.iter().map(|service| format!(" --service {service}")));
    text.extend(args.classes.usage.map(|usage| format!(" --usage {}", classes::counts(Some(usage)))));
    text.push_str(if args.tenant.rows_only { " --rows-only" } else { "" });
    if !args.tenant.with.is_empty() {
        text.push_str(&format!(" --with {}", args.tenant.with.join(",")));
    }
    text
}

/// Says how the live rows are when the run is done, and what is left to do. Gives what of it the live stores are compared about.
pub(crate) fn after(app: &App, config: &Config, state: &State, run: &RunId) -> Result<Option<Only>> {
    let installation = app.installation(config)?;
    let plan = runner::report(state, run)?.run.plan;
    let whose = plan.steps.iter().find_map(|step| match &step.action {
        Action::KeepRows { whose, .. } => Some(whose),
        _ => None,
    });
    let kept = plan.data_sets.get(&SYSTEM).and_then(|planned| planned.kept.as_ref());
    let (Some(whose), Some(kept)) = (whose, kept) else { return Ok(None) };
    let store = installation.data_set(SYSTEM, Policies::default())?;
    let looked = read_again(app, config, store.as_ref(), kept, whose)
        .map_err(|error| error.hint("The rows are changed; only this last look failed."))?;
    let differ: u64 = looked.counts.iter().map(|(_, compared)| compared.insert + compared.update + compared.delete).sum();
    let equal: u64 = looked.counts.iter().map(|(_, compared)| compared.equal).sum();
    app.output.line(&match differ {
        0 => format!("read again: all {} rows of {} are as the set has them", count(equal), told::owner(whose)),
        _ => {
            format!("read again: {} rows of {} are not as the set has them: somebody changed them since", count(differ), told::owner(whose))
        }
    })?;
    told::to_do(&plan.set, whose, &looked.services, None).iter().try_for_each(|line| app.output.line(line))?;
    let is_in_backend = !whose.products.is_empty() || !whose.applications.is_empty();
    Ok(is_in_backend.then(|| agreement::of_tenant(whose)))
}

fn read_again(app: &App, config: &Config, store: &dyn DataSet, kept: &plan::manifest::KeptDataSet, whose: &RowsOwner) -> Result<Looked> {
    let context: Context = app.context_alone(config)?;
    let repository: Arc<dyn Repository> = app.repository(config)?;
    look(&Between { store, kept, repository: repository.as_ref(), context: &context }, whose, false)
}
