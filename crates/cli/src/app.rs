//! What every command starts from: options, configuration, state folder, repository, data sets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::ids::{DataSetName, RunId};
use plan::manifest::Manifest;
use plan::ports::{Context, DataSet, Repository, StopFlag, Watch};
use plan::{Error, InstallationId, Result};
use repository::{Location, RusticRepository};
use runner::{Hands, State};
use secrecy::SecretString;

use crate::args::Global;
use crate::config::{Config, Platform};
use crate::join::{self, Installation};
use crate::output::Output;
use crate::writers::Consent;

/// How many connections, readers or loaders a data set uses when nobody says otherwise.
const WORKERS: usize = 4;

/// A command's surroundings.
pub(crate) struct App {
    global: Global,
    /// How to print.
    pub output: Output,
    /// Raised by a signal.
    stop: StopFlag,
    watch: Arc<dyn Watch>,
}

impl App {
    pub(crate) fn new(global: Global, stop: StopFlag) -> Self {
        let output = Output::new(&global);
        let watch = output.watch();
        Self { global, output, stop, watch }
    }

    /// The same, with another configuration and state folder.
    pub(crate) fn at(&self, config: PathBuf, state_folder: PathBuf) -> Self {
        let global = Global { config: Some(config), state_folder: Some(state_folder), ..self.global.clone() };
        Self { global, output: self.output.without_results(), stop: self.stop.clone(), watch: Arc::clone(&self.watch) }
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
        Config::load(self.global.config.as_deref())
    }

    pub(crate) fn repository(&self, config: &Config) -> Result<Arc<RusticRepository>> {
        let (location, password) = self.location(config)?;
        Ok(Arc::new(RusticRepository::open(&location, &password)?))
    }

    /// The installation that is configured, or that the flags name.
    pub(crate) fn installation(&self, config: &Config) -> Result<Arc<dyn Installation>> {
        join::installation(config, &self.global, &self.stop)
    }

    /// The runs' journals: on the platform's own shelf, else in a folder of this machine.
    pub(crate) fn state(&self, config: &Config, installation: Option<&dyn Installation>) -> Result<State> {
        if let Some(installation) = installation.filter(|installation| self.keeps_journals_in_cluster(*installation))
            && let Some(shelf) = installation.shelf()
        {
            return Ok(State::on(shelf));
        }
        let folder = self.global.state_folder.clone().or_else(|| config.state_folder()).unwrap_or_else(default_state_folder);
        State::folder(&folder)
    }

    /// Whether journals stand on the platform's own shelf; else they are on this machine, and copies of them go into the repository.
    fn keeps_journals_in_cluster(&self, installation: &dyn Installation) -> bool {
        self.global.state_folder.is_none() && installation.shelf().is_some()
    }

    /// The same for commands that need no installation: in a pod there is no folder, and the platform's shelf is near.
    pub(crate) fn state_beside_sets(&self, config: &Config) -> Result<State> {
        let is_in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && config.platform()? == Platform::Kubernetes;
        let installation = is_in_pod.then(|| self.installation(config)).transpose()?;
        self.state(config, installation.as_deref())
    }

    /// For what is done without an installation: reading and looking after the repository.
    pub(crate) fn context_alone(&self, config: &Config) -> Result<Context> {
        self.context(config, runner::new_run_id(), InstallationId::default())
    }

    pub(crate) fn context(&self, config: &Config, run: RunId, installation: InstallationId) -> Result<Context> {
        let configured = config.options()?.workers.and_then(|workers| usize::try_from(workers).ok());
        let workers = self.global.workers.or(configured).unwrap_or(WORKERS).max(1);
        Ok(Context { run, installation, workers, watch: Arc::clone(&self.watch), stop: self.stop.clone() })
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
        let context = self.context(config, run, installation.id())?;
        let copies_journal = !self.keeps_journals_in_cluster(installation);
        Ok(Hands { repository, data_sets, writers, synchronise, context, copies_journal, host: host() })
    }
}

/// The manifest of a set: `latest`, a whole id, or the beginning of one.
pub(crate) fn find_set(repository: &dyn Repository, wanted: &str) -> Result<Manifest> {
    let mut manifests = repository.manifests()?;
    if manifests.is_empty() {
        return Err(Error::refused("the repository has no set").hint("Take one with `threescale-backup backup`."));
    }
    if wanted == "latest" {
        let latest = manifests.into_iter().rev().find(|manifest| manifest.safety_for.is_none());
        return latest.ok_or_else(|| {
            Error::refused("the repository has only safety copies").hint("Name one of them; `threescale-backup list` shows them.")
        });
    }
    manifests.retain(|manifest| manifest.set.as_str().starts_with(&wanted.to_lowercase()));
    match manifests.len() {
        1 => Ok(manifests.remove(0)),
        0 => Err(Error::refused(format!("there is no set {wanted}")).hint("`threescale-backup list` shows the sets.")),
        several => Err(Error::refused(format!("{several} sets begin with {wanted}")).hint("Give more of the id.")),
    }
    .and_then(|manifest| manifest.check_format().map(|()| manifest))
}

fn default_state_folder() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let user = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    let system = PathBuf::from("/var/lib");
    let is_root = rustix::process::geteuid().is_root();
    let base = if is_root { system } else { user.unwrap_or_else(|| PathBuf::from(".")) };
    base.join("threescale-backup")
}

/// The name of this machine.
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
