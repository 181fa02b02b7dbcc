//! The options of commands that take a set, put one back, and go on with runs.

use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;
use plan::ids::DataSetName;
use plan::{LargeValues, ObjectsPolicy, Policies, Queues};

use super::values::{hold_for, queues};
use super::{Classes, OneTenant};

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

#[derive(Debug, Clone, Args)]
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
    /// With --freeze: how long, in seconds, the jobs that wait are let be done before their workers stop, while nobody makes new ones; 0: not at all. On the platform
    /// `direct` it needs [writers] stop-makers
    #[arg(long, value_name = "SECONDS", default_value_t = 120, env = "THREESCALE_BACKUP_DRAIN_SECONDS")]
    pub drain_seconds: u64,
    /// Read every file and every object, also those that seem not to have changed since the set before; a file whose content did nevertheless is told
    #[arg(long, env = "THREESCALE_BACKUP_READ_ALL")]
    pub read_all: bool,
    /// Exit with 0, not with 4, when the set was taken and will not go back, or not wholly: for schedules that take another code for "no set"
    #[arg(long, env = "THREESCALE_BACKUP_WARNINGS_ARE_FINE")]
    pub warnings_are_fine: bool,
    /// Do not compare what the set holds of System, of Backend and of the files: saves reading them back
    #[arg(long, env = "THREESCALE_BACKUP_NO_VERIFY")]
    pub no_verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OfSet {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Partial {
    /// `latest` may be a set that lacks data sets of the installation
    #[arg(long, env = "THREESCALE_BACKUP_PARTIAL")]
    pub partial: bool,
}

#[derive(Debug, Clone, Args)]
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
    /// Jobs that wait: `drop` them, put back those that may be done twice (`safe`), all (`keep`), or those of some classes (`only=CLASS,…`). A job that was done since
    /// would be done again: cards charged, mails sent
    #[arg(long, value_name = "drop|safe|keep|only=CLASS,…", value_parser = queues, default_value = "drop", env = "THREESCALE_BACKUP_QUEUES")]
    pub queues: Queues,
    /// How long 3scale neither bills, nor deletes, nor sends reports by itself after a restore of the system database: 36h, 7d, 2w
    #[arg(long, value_name = "TIME", value_parser = hold_for, default_value = "7d", env = "THREESCALE_BACKUP_HOLD_FOR")]
    pub hold_for: SignedDuration,
    /// Let 3scale's clock strike: by a restored database it bills, deletes and sends at its next tick
    #[arg(long, env = "THREESCALE_BACKUP_NO_HOLD")]
    pub no_hold: bool,
    /// Where the system database and Backend's Redis both go back: the configuration in Backend is made what System has by this program (`own`), by 3scale's own task
    /// (`rake`), or not at all (`none`)
    #[arg(long, value_enum, default_value_t = RewriteChoice::Own, env = "THREESCALE_BACKUP_REWRITE")]
    pub rewrite: RewriteChoice,
    /// Kubernetes objects: create those that are missing, overwrite those that differ too, or leave them all out
    #[arg(long, value_enum, default_value_t = ObjectsChoice::Missing, env = "THREESCALE_BACKUP_OBJECTS")]
    pub objects: ObjectsChoice,
    /// Files in a bucket: take away what the set does not have (kept for `undo`); without this it stays, and is told
    #[arg(long, env = "THREESCALE_BACKUP_REMOVE_EXTRA")]
    pub remove_extra: bool,
    /// Do not compare what goes back with what stays as it is, nor, when all is done, the live stores with each other
    #[arg(long, env = "THREESCALE_BACKUP_NO_VERIFY")]
    pub no_verify: bool,
    /// Values of Redis that are so long that the live server stands still while it makes one, and that cannot be loaded in pieces (the plan names them): load them
    /// beside the live data with all others, or leave them out there and load them when the writers are stopped, before the cut-over
    #[arg(long, value_enum, default_value_t = LargeValuesChoice::Beside, env = "THREESCALE_BACKUP_LARGE_VALUES")]
    pub large_values: LargeValuesChoice,
    /// Run this (by `sh`) when all is staged and proven, before the writers are stopped and anything live is touched, and go on only when it ends with 0; else the run stops
    /// with exit code 3: `resume` runs it again, `undo` drops what was staged. Each staged store is a program on its PATH that answers what only reads: `system-database -e
    /// 'SELECT …'` (PostgreSQL: `-c`), `backend-redis -n 1 GET …`; the files of a folder are in `$THREESCALE_STAGED/system-storage`. The command stands in the journal:
    /// write no secret into it
    #[arg(long, value_name = "COMMAND", env = "THREESCALE_BACKUP_RESTORE_THEN", conflicts_with_all = ["classes", "tenant"])]
    pub then: Option<String>,
    #[command(flatten)]
    pub classes: Classes,
    #[command(flatten)]
    pub tenant: OneTenant,
}

/// When long values are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LargeValuesChoice {
    /// With all others
    Beside,
    /// When the writers are stopped
    DuringStop,
}

impl PlanArgs {
    /// Whether only keys of some classes, or the rows of one tenant, go back.
    pub(crate) const fn is_of_a_part(&self) -> bool {
        !self.classes.classes.is_empty() || self.tenant.tenant.is_some()
    }

    /// What the options choose, for the plan.
    pub(crate) fn policies(&self) -> Policies {
        Policies {
            queues: self.queues.clone(),
            objects: match self.objects {
                ObjectsChoice::Overwrite => ObjectsPolicy::Overwrite,
                ObjectsChoice::IntoEmpty => ObjectsPolicy::IntoEmpty,
                ObjectsChoice::Missing | ObjectsChoice::None => ObjectsPolicy::Missing,
            },
            remove_extra: self.remove_extra,
            large_values: match self.large_values {
                LargeValuesChoice::Beside => LargeValues::Beside,
                LargeValuesChoice::DuringStop => LargeValues::DuringStop,
            },
        }
    }
}

/// What to do with the clock.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldCommand {
    /// Show what is held, until when, and what it would do
    Status,
    /// Hold it from now on for this long
    Extend {
        /// The job; all when left out
        job: Option<String>,
        /// How long: 36h, 7d, 2w
        #[arg(long = "for", value_name = "TIME", value_parser = hold_for, default_value = "7d", env = "THREESCALE_BACKUP_HOLD_FOR")]
        hold_for: SignedDuration,
    },
    /// Let it strike at its next tick
    Release {
        /// The job; all when left out
        job: Option<String>,
        /// Go on without asking
        #[arg(long, short)]
        yes: bool,
    },
}

/// Who makes the configuration in Backend what System has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RewriteChoice {
    /// This program, before Backend is used; 3scale's own task where it cannot
    Own,
    /// 3scale's own task, backend:storage:rewrite, when backend-listener runs again
    Rake,
    /// Nobody
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectsChoice {
    /// Create what is missing
    Missing,
    /// Create what is missing, overwrite what differs
    Overwrite,
    /// Leave them out
    None,
    /// What `--into-empty` does with them
    #[value(skip)]
    IntoEmpty,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Go on without asking. When nobody stops the writers, what they write after the cut-over begins is lost
    #[arg(long, short)]
    pub yes: bool,
    /// Print the plan and stop
    #[arg(long, env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
    /// Kubernetes: a lost installation comes back in a namespace that has none. Objects first, then the operator makes the rest, then the data; the same call again
    /// goes on where it was interrupted
    #[arg(long, env = "THREESCALE_BACKUP_INTO_EMPTY", conflicts_with_all = ["objects", "only", "in_place", "classes", "tenant", "then"])]
    pub into_empty: bool,
    /// With --into-empty: the domain of the installation, where it is not to be the set's
    #[arg(long, value_name = "DOMAIN", env = "THREESCALE_BACKUP_DOMAIN")]
    pub domain: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OfRun {
    /// The run, or the beginning of its id; the only one that it can be when left out
    pub run: Option<String>,
    /// Go on without asking
    #[arg(long, short)]
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
    #[arg(long, short)]
    pub yes: bool,
    /// Remove the staged copies and marks that it left
    #[arg(long, env = "THREESCALE_BACKUP_REMOVE")]
    pub remove: bool,
    /// The stores that the run is of are not here any more
    #[arg(long, env = "THREESCALE_BACKUP_STORE_IS_GONE")]
    pub store_is_gone: bool,
    /// Remove the previous data too: there may be no other copy of it
    #[arg(long, env = "THREESCALE_BACKUP_DROP_PREVIOUS")]
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
    /// Kubernetes (in a Job of --in-cluster always): the throw-away servers are pods in the installation's namespace, from the images of its own stores or those of
    /// `[rehearse]` in the configuration, and not programs of this machine
    #[arg(long, env = "THREESCALE_BACKUP_PODS")]
    pub pods: bool,
    /// Then run this (by `sh`) while the throw-away servers are there. Each store is a program on its PATH that reads and cannot write: `system-database -e 'SELECT …'`,
    /// `zync-database -c 'SELECT …'`, `backend-redis -n 1 GET …`; the files are in `$THREESCALE_REHEARSAL/system-storage`, except with --pods. Ends with 1 when the command fails
    #[arg(long, value_name = "COMMAND", env = "THREESCALE_BACKUP_THEN")]
    pub then: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How much data, e.g. 50M, 1G
    #[arg(long, value_name = "SIZE", default_value = "50M", env = "THREESCALE_BACKUP_SIZE")]
    pub size: String,
    /// Leave the servers and the repository, and say where they are
    #[arg(long, env = "THREESCALE_BACKUP_KEEP")]
    pub keep: bool,
    /// Start and fill the servers only, and leave them to you until Ctrl-C: docs/tutorial.md begins with it
    #[arg(long, env = "THREESCALE_BACKUP_SERVERS_ONLY", conflicts_with = "keep")]
    pub servers_only: bool,
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
