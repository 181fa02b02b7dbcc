//! The command line. Every option can be given as an environment variable too; its name stands in `--help`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use plan::ids::DataSetName;
use plan::{ObjectsPolicy, Policies, Queues};

const AFTER_HELP: &str = "\
Exit codes: 0 done · 1 failed, journaled: `resume` or `undo` are possible · 2 refused or bad usage, nothing was touched · 3 a person is needed · \
10 no such repository · 11 locked by another run · 12 wrong repository password · 75 temporary, the same call may work later · 130 interrupted.";

/// Takes a complete, proven backup of a Red Hat 3scale API Management installation, and puts it back.
#[derive(Debug, Parser)]
#[command(name = "threescale-backup", version, propagate_version = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line that this program was called with.
    pub(crate) fn of_this_program() -> Self {
        Self::from_arg_matches(&command_line().get_matches()).unwrap_or_else(|error| error.exit()).with_meaning()
    }

    /// `--installation` says whose sets are meant where a command is about sets; else what this installation is called.
    fn with_meaning(mut self) -> Self {
        if self.command.is_about_sets() {
            self.global.sets_of = self.global.installation.take();
        }
        self
    }
}

/// The options, under the name that this program was called by: as a plugin it is installed as `kubectl-threescale_backup` and called `kubectl
/// threescale-backup`.
pub(crate) fn command_line() -> clap::Command {
    let called = std::env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).and_then(plugin_name);
    let command = Cli::command();
    if let Some(name) = name { command.bin_name(name) } else { command }
}

/// The variables of all options, of every command.
pub(crate) fn variables() -> BTreeSet<String> {
    fn of(command: &clap::Command, found: &mut BTreeSet<String>) {
        found.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(ToOwned::to_owned)));
        command.get_subcommands().for_each(|inner| of(inner, found));
    }
    let mut found = BTreeSet::new();
    of(&Cli::command(), &mut found);
    found
}

/// `kubectl-threescale_backup` is `kubectl threescale-backup`: a dash parts words, an underscore is a dash.
fn plugin_name(file: &str) -> Option<String> {
    let (program, plugin) = file.split_once('-')?;
    matches!(program, "kubectl" | "oc").then(|| format!("{program} {}", plugin.replace('-', " ").replace('_', "-")))
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The configuration file [default: threescale-backup.toml, then /etc/threescale-backup.toml]
    #[arg(long, global = true, value_name = "FILE", env = "THREESCALE_BACKUP_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where the journals of runs are kept [default: /var/lib/threescale-backup as root, else the user's state folder]
    #[arg(long, global = true, value_name = "FOLDER", env = "THREESCALE_BACKUP_STATE_FOLDER")]
    pub state_folder: Option<PathBuf>,
    /// Print one JSON document on standard output
    #[arg(long, global = true, env = "THREESCALE_BACKUP_JSON")]
    pub json: bool,
    /// Print errors and results only
    #[arg(long, short, global = true, env = "THREESCALE_BACKUP_QUIET")]
    pub quiet: bool,
    /// What to log to standard error: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL", default_value = "error", env = "THREESCALE_BACKUP_LOG")]
    pub log: String,
    /// Commands about sets: whose. Others: what this installation is called, in place of [installation] name [env: THREESCALE_BACKUP_INSTALLATION, which always
    /// names this installation]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub installation: Option<String>,
    /// Whose sets are meant, when `installation` says that.
    #[arg(skip)]
    pub sets_of: Option<String>,
    /// The namespace of the 3scale installation [default: that of the kubeconfig's context, or of this pod]
    #[arg(long, short, global = true, value_name = "NAMESPACE", env = "THREESCALE_BACKUP_NAMESPACE", help_heading = "Kubernetes")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", env = "THREESCALE_BACKUP_CONTEXT", help_heading = "Kubernetes")]
    pub context: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, then ~/.kube/config, then the pod's service account]
    #[arg(long, global = true, value_name = "FILE", env = "THREESCALE_BACKUP_KUBECONFIG", help_heading = "Kubernetes")]
    pub kubeconfig: Option<PathBuf>,
    /// Act as this user
    #[arg(long = "as", global = true, value_name = "USER", env = "THREESCALE_BACKUP_AS", help_heading = "Kubernetes")]
    pub act_as: Option<String>,
    /// Run as a Job in the cluster, made from the CronJob that is installed there, and follow it
    #[arg(
        long,
        global = true,
        value_name = "CRONJOB",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        env = "THREESCALE_BACKUP_IN_CLUSTER",
        help_heading = "Kubernetes"
    )]
    pub in_cluster: Option<String>,
    /// Wait while another run holds the installation, instead of ending with exit code 11
    #[arg(long, global = true, env = "THREESCALE_BACKUP_WAIT")]
    pub wait: bool,
    /// Connections, readers or loaders at the same time, per data set [default: 4]
    #[arg(long, global = true, value_name = "N", env = "THREESCALE_BACKUP_WORKERS")]
    pub workers: Option<usize>,
}

impl Global {
    /// The options given that say which cluster. An empty one says nothing.
    pub(crate) fn of_cluster(&self) -> Vec<&'static str> {
        let has_text = |text: Option<&OsStr>| text.is_some_and(|text| !text.is_empty());
        let options = [
            ("--namespace", has_text(self.namespace.as_deref().map(OsStr::new))),
            ("--context", has_text(self.context.as_deref().map(OsStr::new))),
            ("--kubeconfig", has_text(self.kubeconfig.as_deref().map(Path::as_os_str))),
            ("--as", has_text(self.act_as.as_deref().map(OsStr::new))),
        ];
        options.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the repository
    Init,
    /// Take a set; prints its id
    Backup(Backup),
    /// List the sets of this installation
    List(List),
    /// Show a set: its data sets, sizes, how each was proven, the skew between the stores
    Show(OfSet),
    /// Check the repository and every set in it
    Check(Check),
    /// Repair a damaged repository: the index from the packs, damaged files set aside; says what is lost
    Repair(Repair),
    /// Show how a set would go back, touching nothing: the same as `restore --dry-run`
    Plan(PlanArgs),
    /// Put a set back: stage, prove, cut over
    Restore(Restore),
    /// Go on with a run that was interrupted or failed
    Resume(OfRun),
    /// Put back what a run replaced
    Undo(OfRun),
    /// Drop what a run replaced and kept; there is no undo afterwards
    Settle(OfRun),
    /// End a run as it is, whatever its state; says what stays where
    Abandon(Abandon),
    /// List the runs, and what they still keep
    Runs,
    /// Stage and prove a set in throw-away servers; the live installation is not touched
    Rehearse(Rehearse),
    /// Write a data set of a set as plain files, for use without this program
    Export(Export),
    /// Apply a retention policy to the sets of this installation: shows why each set stays or goes, then asks
    Forget(Forget),
    /// Keep a set whatever the retention policy says
    Protect(Protect),
    /// End the protection of a set
    Unprotect(Unprotect),
    /// Reach everything and say what is missing; changes nothing
    Doctor,
    /// Show the whole life of a set on throw-away servers: backup under load, damage, restore, proof
    Demo(Demo),
    /// Show the configuration, check it, or print an example of it
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Whether it is about sets, of this installation or another.
    const fn is_about_sets(&self) -> bool {
        match self {
            Self::List(_) | Self::Show(_) | Self::Plan(_) | Self::Restore(_) | Self::Rehearse(_) | Self::Export(_) | Self::Forget(_) => {
                true
            }
            Self::Init
            | Self::Backup(_)
            | Self::Check(_)
            | Self::Repair(_)
            | Self::Protect(_)
            | Self::Unprotect(_)
            | Self::Resume(_)
            | Self::Undo(_)
            | Self::Settle(_)
            | Self::Abandon(_)
            | Self::Runs
            | Self::Doctor
            | Self::Config(_)
            | Self::Demo(_)
            | Self::Completions { .. }
            | Self::Man => false,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The sets of all installations in the repository
    #[arg(long, env = "THREESCALE_BACKUP_ALL_INSTALLATIONS")]
    pub all_installations: bool,
}

/// What to do about the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show each value and where it comes from; secrets are hidden
    Show,
    /// Check all of it but what only a server can tell; fetches the secrets
    Check,
    /// Print every section and key, commented
    Example,
}

#[derive(Debug, Args)]
pub(crate) struct Only {
    /// Only these data sets, separated by commas
    #[arg(long, value_name = "A,B", value_delimiter = ',', env = "THREESCALE_BACKUP_ONLY")]
    pub only: Vec<DataSetName>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub only: Only,
    /// Stop the writers while the set is taken, for an exact cut; on the platform `direct` it needs [writers]
    #[arg(long, env = "THREESCALE_BACKUP_FREEZE")]
    pub freeze: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OfSet {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
}

#[derive(Debug, Args)]
pub(crate) struct Partial {
    /// `latest` may be a set that lacks data sets of the installation
    #[arg(long, env = "THREESCALE_BACKUP_PARTIAL")]
    pub partial: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Read and verify the stored data too, all or a share such as 10%
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true, default_missing_value = "100%", env = "THREESCALE_BACKUP_READ_DATA")]
    pub read_data: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Do it; without this it only says what it would do
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
    #[command(flatten)]
    pub only: Only,
    /// Replace the live data in place, after a safety copy
    #[arg(long, env = "THREESCALE_BACKUP_IN_PLACE")]
    pub in_place: bool,
    /// The writers are stopped already
    #[arg(long, env = "THREESCALE_BACKUP_WRITERS_ARE_STOPPED")]
    pub writers_are_stopped: bool,
    /// Job queues: leave them out, or put them back. A job that was done since would be done again: cards charged, mails sent
    #[arg(long, value_enum, default_value_t = QueuesChoice::Drop, env = "THREESCALE_BACKUP_QUEUES")]
    pub queues: QueuesChoice,
    /// Kubernetes objects: create those that are missing, overwrite those that differ too, or leave them all out
    #[arg(long, value_enum, default_value_t = ObjectsChoice::Missing, env = "THREESCALE_BACKUP_OBJECTS")]
    pub objects: ObjectsChoice,
}

impl PlanArgs {
    /// What the options choose, for the plan.
    pub(crate) const fn policies(&self) -> Policies {
        Policies {
            queues: match self.queues {
                QueuesChoice::Drop => Queues::Drop,
                QueuesChoice::Keep => Queues::Keep,
            },
            objects: match self.objects {
                ObjectsChoice::Overwrite => ObjectsPolicy::Overwrite,
                ObjectsChoice::Missing | ObjectsChoice::None => ObjectsPolicy::Missing,
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueuesChoice {
    /// Leave them out
    Drop,
    /// Put them back
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectsChoice {
    /// Create what is missing
    Missing,
    /// Create what is missing, overwrite what differs
    Overwrite,
    /// Leave them out
    None,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Go on without asking. When nobody stops the writers, what they write after the cut-over begins is lost
    #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
    /// Print the plan and stop
    #[arg(long, env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OfRun {
    /// The run, or the beginning of its id; the only one that it can be when left out
    pub run: Option<String>,
    /// Go on without asking
    #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
    /// The writers are stopped already
    #[arg(long, env = "THREESCALE_BACKUP_WRITERS_ARE_STOPPED")]
    pub writers_are_stopped: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Abandon {
    /// The run, or the beginning of its id; for one whose journal is lost, what `runs` shows of it
    pub run: String,
    /// Go on without asking
    #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
    /// Remove the staged copies and marks that it left
    #[arg(long, env = "THREESCALE_BACKUP_REMOVE")]
    pub remove: bool,
    /// Remove the previous data too: there may be no other copy of it
    #[arg(long, requires = "remove", env = "THREESCALE_BACKUP_DROP_PREVIOUS")]
    pub drop_previous: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rehearse {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
    #[command(flatten)]
    pub only: Only,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
    /// The data set
    pub data_set: DataSetName,
    /// The folder to make
    #[arg(long, value_name = "FOLDER", env = "THREESCALE_BACKUP_TO")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// Keep the last N sets
    #[arg(long, value_name = "N", env = "THREESCALE_BACKUP_KEEP_LAST")]
    pub keep_last: Option<u32>,
    /// Keep the last set of each of the last N hours that have one
    #[arg(long, value_name = "N", env = "THREESCALE_BACKUP_KEEP_HOURLY")]
    pub keep_hourly: Option<u32>,
    /// … of the last N days
    #[arg(long, value_name = "N", env = "THREESCALE_BACKUP_KEEP_DAILY")]
    pub keep_daily: Option<u32>,
    /// … of the last N weeks
    #[arg(long, value_name = "N", env = "THREESCALE_BACKUP_KEEP_WEEKLY")]
    pub keep_weekly: Option<u32>,
    /// … of the last N months
    #[arg(long, value_name = "N", env = "THREESCALE_BACKUP_KEEP_MONTHLY")]
    pub keep_monthly: Option<u32>,
    /// … of the last N years
    #[arg(long, value_name = "N", env = "THREESCALE_BACKUP_KEEP_YEARLY")]
    pub keep_yearly: Option<u32>,
    /// Keep all sets younger than this, e.g. 36h, 30d, 12w
    #[arg(long, value_name = "TIME", env = "THREESCALE_BACKUP_KEEP_WITHIN")]
    pub keep_within: Option<String>,
    /// Apply the rules to sets without an installation's name too, as to one installation: version 0.1.0 took such
    #[arg(long, env = "THREESCALE_BACKUP_UNNAMED")]
    pub unnamed: bool,
    /// Then remove the stored data that no set needs: a first prune marks it, one that comes a day later deletes it
    #[arg(long, env = "THREESCALE_BACKUP_PRUNE")]
    pub prune: bool,
    /// With --prune: delete it at once. Refused while anybody else uses the repository; no backup of version 0.1.0 may run
    #[arg(long, requires = "prune", env = "THREESCALE_BACKUP_NOW")]
    pub now: bool,
    /// Do it without asking; without a terminal nothing is done otherwise
    #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Protect {
    /// The set, the beginning of its id, or `latest`
    pub set: String,
    /// Why, for those who read `list`
    #[arg(long, value_name = "TEXT", env = "THREESCALE_BACKUP_NOTE")]
    pub note: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Unprotect {
    /// The set, or the beginning of its id
    pub set: String,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How much data, e.g. 50M, 1G
    #[arg(long, value_name = "SIZE", default_value = "50M", env = "THREESCALE_BACKUP_SIZE")]
    pub size: String,
    /// Leave the servers and the repository, and say where they are
    #[arg(long, env = "THREESCALE_BACKUP_KEEP")]
    pub keep: bool,
    /// The kind of system database
    #[arg(long, value_enum, default_value_t = SystemDatabase::Mysql, env = "THREESCALE_BACKUP_SYSTEM_DATABASE")]
    pub system_database: SystemDatabase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SystemDatabase {
    /// MySQL
    Mysql,
    /// MariaDB
    Mariadb,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_named_as_it_is_called() {
        assert_eq!(plugin_name("kubectl-threescale_backup").as_deref(), Some("kubectl threescale-backup"));
        assert_eq!(plugin_name("oc-threescale_backup").as_deref(), Some("oc threescale-backup"));
        assert_eq!(plugin_name("threescale-backup"), None);
    }
}
