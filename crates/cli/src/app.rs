//! What every command starts from: options, configuration, state folder, repository, data sets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, DataSet, Repository, StopFlag, Watch};
use plan::{Class, Error, InstallationId, Result};
use repository::{Location, RusticRepository};
use runner::{Hands, State};
use secrecy::SecretString;

use crate::agreement;
use crate::args::{self, Global};
use crate::away::Away;
use crate::config::{Config, Platform, Sources};
use crate::effort::Effort;
use crate::join::{self, Installation};
use crate::journals;
use crate::onlook;
use crate::output::Output;
use crate::rates::{Of, Rates};
use crate::repair;
use crate::rewrite;
use crate::writers::Consent;
use crate::{tenant_files, tenant_rows};

/// How long `--wait` waits for the end of somebody's lock of the repository: longer than any backup, copy or prune takes.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A command's surroundings.
pub(crate) struct App {
    global: Global,
    /// How to print.
    pub output: Output,
    /// Raised by a signal.
    stop: StopFlag,
    watch: Arc<dyn Watch>,
    /// Whether the environment goes before the file; not for an installation of this program's own.
    heeds_environment: bool,
    /// Warnings about the configuration that were told.
    told: Mutex<BTreeSet<String>>,
}

impl App {
    pub(crate) fn new(global: Global, output: Output, stop: StopFlag) -> Self {
        let watch = output.watch();
        Self { global, output, stop, watch, heeds_environment: true, told: Mutex::default() }
    }

    /// The same, with another configuration and state folder, and nothing else: what was set for the real installation would lead there.
    pub(crate) fn at(&self, config: PathBuf, state_folder: PathBuf) -> Self {
        let global = Global {
            config: Some(config),
            state_folder: Some(state_folder),
            namespace: None,
            context: None,
            kubeconfig: None,
            act_as: None,
            repository: None,
            ..self.global.clone()
        };
        let (output, stop, watch) = (self.output.without_results(), self.stop.clone(), Arc::clone(&self.watch));
        Self { global, output, stop, watch, heeds_environment: false, told: Mutex::default() }
    }

    /// Whether a signal asked the work to stop.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.stop.is_raised()
    }

    /// Whether a lock is waited for.
    pub(crate) const fn waits(&self) -> bool {
        self.global.wait
    }

    /// Waits, unless a signal asks the work to stop.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.stop.check()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        self.stop.check()
    }

    /// The name of this machine.
    #[expect(clippy::unused_self, reason = "asked through the surroundings, as all else")]
    pub(crate) fn host(&self) -> String {
        host()
    }

    /// Where the configured repository is, and its password.
    pub(crate) fn location(&self, config: &Config) -> Result<(Location, SecretString)> {
        join::repository(config, &self.stop)
    }

    pub(crate) fn config(&self) -> Result<Config> {
        let config = self.meant(Config::load(&self.sources())?);
        self.tell(&config);
        self.effort(&config)?.hold(&self.stop);
        Ok(config)
    }

    /// The same, with all that is wrong with it.
    pub(crate) fn config_with_errors(&self) -> Result<(Config, Vec<Error>)> {
        let (config, errors) = Config::look(&self.sources())?;
        self.tell(&config);
        Ok((self.meant(config), errors))
    }

    /// What options say in the place of the configuration.
    fn meant(&self, config: Config) -> Config {
        config.called(self.global.installation.as_deref()).in_repository(self.global.repository.as_deref())
    }

    fn sources(&self) -> Sources<'_> {
        let variables = if self.heeds_environment { std::env::vars_os().collect() } else { Vec::new() };
        Sources { file: self.global.config.as_deref(), variables, options: args::variables(), cluster: self.global.of_cluster() }
    }

    /// Says once what is not wrong, and should be otherwise.
    fn tell(&self, config: &Config) {
        config.warnings().iter().cloned().for_each(|warning| self.tell_once(warning));
    }

    fn tell_once(&self, warning: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains(&warning) {
            self.output.note(&format!("warning: {warning}"));
            told.insert(warning);
        }
    }

    pub(crate) const fn global(&self) -> &Global {
        &self.global
    }

    pub(crate) const fn stop(&self) -> &StopFlag {
        &self.stop
    }

    pub(crate) fn repository(&self, config: &Config) -> Result<Arc<RusticRepository>> {
        let (location, password) = self.location(config)?;
        tracing::info!("opening the repository at {location}");
        let opened = RusticRepository::open(&location, &password).map_err(|error| match config.in_copy() {
            Some(copy) if error.class() == Class::NoRepository => Error::new(Class::NoRepository, error.to_string())
                .hint(format!("Make it with `threescale-backup init --repository {copy}`, or correct [copies.{copy}] url.")),
            _ => error,
        });
        Ok(Arc::new(self.patient(opened?)))
    }

    /// The repository, with locks that are waited for when that is wished.
    pub(crate) fn patient(&self, repository: RusticRepository) -> RusticRepository {
        if self.waits() { repository.waiting(LOCK_WAIT_MAX, self.stop.clone()) } else { repository }
    }

    /// The same for a command that is part of another, with the same configuration: its results are notes of that one.
    pub(crate) fn without_results(&self) -> Self {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            global: self.global.clone(),
            output: self.output.without_results(),
            stop: self.stop.clone(),
            watch: Arc::clone(&self.watch),
            heeds_environment: self.heeds_environment,
            told: Mutex::new(told),
        }
    }

    /// The same for another thread of the same command.
    pub(crate) fn beside(&self) -> Self {
        Self {
            global: self.global.clone(),
            output: self.output.clone(),
            stop: self.stop.clone(),
            watch: Arc::clone(&self.watch),
            heeds_environment: self.heeds_environment,
            told: Mutex::default(),
        }
    }

    /// Who watches the work.
    pub(crate) fn watch(&self) -> Arc<dyn Watch> {
        Arc::clone(&self.watch)
    }

    /// The repository for what can be done without it, and whether it is there. That it is not is told.
    pub(crate) fn repository_if_there(&self, config: &Config) -> (Arc<dyn Repository>, bool) {
        match self.repository(config) {
            Ok(repository) => (repository, true),
            Err(error) => {
                self.output.note(&format!(
                    "warning: the repository cannot be opened, so what other machines did with the runs is not known here, and what is done now is not known there: {}",
                    error.chain()
                ));
                (Arc::new(Away::because(&error)), false)
            }
        }
    }

    /// The installation that is configured, or that the flags name.
    pub(crate) fn installation(&self, config: &Config) -> Result<Arc<dyn Installation>> {
        join::installation(config, &self.global, &self.stop)
    }

    /// What there is of an installation, which may be nothing yet, or nothing any more. `domain`: the one that it is to have.
    pub(crate) fn installation_even_nothing(&self, config: &Config, domain: Option<&str>) -> Result<Arc<dyn Installation>> {
        join::installation_even_nothing(config, &self.global, &self.stop, domain)
    }

    /// The same, of which nothing is printed: what it finds is taken as a document.
    pub(crate) fn captured(&self) -> Self {
        let (output, stop) = (self.output.captured(), self.stop.clone());
        let watch = output.watch();
        Self { global: self.global.clone(), output, stop, watch, heeds_environment: self.heeds_environment, told: Mutex::default() }
    }

    /// The same, where sets of this name are meant unless another was said.
    pub(crate) fn about_sets_of(&self, name: &str) -> Self {
        let sets_of = self.global.sets_of.clone().or_else(|| Some(name.to_owned()));
        let (output, stop, watch) = (self.output.clone(), self.stop.clone(), Arc::clone(&self.watch));
        Self {
            global: Global { sets_of, ..self.global.clone() },
            output,
            stop,
            watch,
            heeds_environment: self.heeds_environment,
            told: Mutex::default(),
        }
    }

    /// The runs' journals: on the platform's own shelf, else in a folder of this machine.
    pub(crate) fn state(&self, config: &Config, installation: Option<&dyn Installation>) -> Result<State> {
        self.remove_left();
        if let Some(installation) = installation.filter(|installation| self.keeps_journals_in_cluster(*installation))
            && let Some(shelf) = installation.shelf()
        {
            self.tell_local_runs(config, installation)?;
            return Ok(State::on(shelf));
        }
        State::folder(&self.state_folder(config)?)
    }

    /// Removes the throw-away servers' folders of a call that was killed, and says so: what is in them may be a production's data.
    fn remove_left(&self) {
        for folder in lab::remove_left() {
            self.output.note(&format!("removed {}, which a call that was killed had left", folder.display()));
        }
    }

    /// Whether journals stand on the platform's own shelf; else they are on this machine, and copies of them go into the repository.
    fn keeps_journals_in_cluster(&self, installation: &dyn Installation) -> bool {
        self.global.state_folder.is_none() && installation.shelf().is_some()
    }

    /// Says once which runs of the installation have their journals on this machine, where nobody looks for them while they stand in the cluster.
    fn tell_local_runs(&self, config: &Config, installation: &dyn Installation) -> Result<()> {
        if let Some(warning) = journals::left_in(&self.state_folder(config)?, &installation.id()) {
            self.tell_once(warning);
        }
        Ok(())
    }

    /// The same for commands that only look: nothing is made, and nothing needs to be writable.
    pub(crate) fn state_to_look_at(&self, config: &Config, installation: Option<&dyn Installation>) -> Result<State> {
        if let Some(installation) = installation.filter(|installation| self.keeps_journals_in_cluster(*installation))
            && let Some(shelf) = installation.shelf()
        {
            self.tell_local_runs(config, installation)?;
            return Ok(State::on(shelf));
        }
        State::folder_to_look_at(&self.state_folder(config)?)
    }

    /// The same for commands that need no installation, and can do without journals: in a pod there is no folder, and the platform's shelf is near.
    pub(crate) fn state_beside_sets(&self, config: &Config) -> Result<State> {
        let is_in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && config.platform()? == Platform::Kubernetes;
        let installation = is_in_pod.then(|| self.installation(config)).transpose()?;
        self.state_to_look_at(config, installation.as_deref()).or_else(|error| {
            self.output.note(&format!("note: {}; restores and rehearsals of the sets are not shown", error.chain()));
            Ok(State::without_runs())
        })
    }

    /// The folder of the journals, where they are on this machine.
    pub(crate) fn journals_folder(&self, config: &Config, installation: &dyn Installation) -> Option<PathBuf> {
        if self.keeps_journals_in_cluster(installation) { None } else { self.state_folder(config).ok() }
    }

    /// Where journals are kept that are on this machine.
    pub(crate) fn state_folder(&self, config: &Config) -> Result<PathBuf> {
        let configured = || config.state_folder();
        Ok(self.global.state_folder.clone().map_or_else(configured, |folder| Ok(Some(folder)))?.unwrap_or_else(default_state_folder))
    }

    /// For what is done without an installation: reading and looking after the repository.
    pub(crate) fn context_alone(&self, config: &Config) -> Result<Context> {
        self.context(config, runner::new_run_id(), InstallationId::default())
    }

    /// How hard to work.
    pub(crate) fn effort(&self, config: &Config) -> Result<Effort> {
        Effort::of(&self.global, config)
    }

    pub(crate) fn context(&self, config: &Config, run: RunId, installation: InstallationId) -> Result<Context> {
        let workers = self.effort(config)?.workers;
        Ok(Context { run, installation, workers, watch: Arc::clone(&self.watch), stop: self.stop.clone() })
    }

    /// How fast the verbs were here before. In a pod there is no folder that stays.
    pub(crate) fn rates(&self, config: &Config, of: Of) -> Option<Rates> {
        let is_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let is_usual = self.effort(config).is_ok_and(|effort| effort.is_usual());
        self.state_folder(config).ok().filter(|_| !is_pod && is_usual).map(|folder| Rates::new(folder, of))
    }

    /// What is done is noted, so that the next plan knows how long it takes.
    pub(crate) fn noting_rates(&self, config: &Config, of: Of, context: Context) -> Context {
        match self.rates(config, of) {
            Some(rates) => Context { watch: rates.watching(Arc::clone(&context.watch)), ..context },
            None => context,
        }
    }

    /// Everything that a run calls, for these data sets.
    pub(crate) fn hands(
        &self,
        config: &Config,
        installation: &dyn Installation,
        repository: Arc<dyn Repository>,
        data_sets: BTreeMap<DataSetName, Arc<dyn DataSet>>,
        run: RunId,
        consent: Consent,
    ) -> Result<Hands> {
        let (writers, synchronise) = (installation.writers(&self.output, consent)?, installation.synchronise()?);
        let context = self.noting_rates(config, Of::Installation, self.context(config, run, installation.id())?);
        let copies_journal = !self.keeps_journals_in_cluster(installation);
        let (rests, examine) = (installation.rests(), Some(agreement::examine()));
        Ok(Hands {
            repository,
            data_sets,
            writers,
            synchronise,
            context,
            copies_journal,
            host: host(),
            reads_all: false,
            lanes: self.effort(config)?.jobs,
            rests,
            examine,
            rewriter: Some(rewrite::rewriter()),
            repairer: Some(repair::repairer(None)),
            row_worker: Some(tenant_rows::row_worker()),
            file_finder: Some(tenant_files::file_finder()),
            onlooker: Some(onlook::onlooker(self.output.json)),
        })
    }
}

/// Where journals are kept when nobody says otherwise.
pub(crate) fn default_state_folder() -> PathBuf {
    // An empty one says nothing, as those of ours.
    let folder = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    let system = PathBuf::from("/var/lib");
    let is_root = rustix::process::geteuid().is_root();
    let base = if is_root { system } else { user.unwrap_or_else(|| PathBuf::from(".")) };
    base.join("threescale-backup")
}

/// The name of this machine.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
