//! The options of each command.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;
use plan::ids::DataSetName;
use plan::{LargeValues, ObjectsPolicy, Policies, Queues};
use threescale::verify::Rank;

use super::Classes;
use crate::output::parse_bytes;

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
    #[arg(long, value_name = "SECONDS", default_value_t = 120, env = "THREESCALE_BACKUP_DRAIN_SECONDS", requires = "freeze")]
    pub drain_seconds: u64,
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

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Read and verify the stored data too, all or a share such as 10%
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true, default_missing_value = "100%", env = "THREESCALE_BACKUP_READ_DATA")]
    pub read_data: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Do it; without this it only says what it would do
    #[arg(long, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
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
    /// Values of Redis that are so long that the live server stands still while it makes one (the plan names them): load them beside the live data with all others,
    /// or leave them out there and load them when the writers are stopped, before the cut-over
    #[arg(long, value_enum, default_value_t = LargeValuesChoice::Beside, env = "THREESCALE_BACKUP_LARGE_VALUES")]
    pub large_values: LargeValuesChoice,
    #[command(flatten)]
    pub classes: Classes,
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

/// What an operator says about job queues.
fn queues(text: &str) -> std::result::Result<Queues, String> {
    match text {
        "drop" => Ok(Queues::Drop),
        "safe" => Ok(Queues::Safe),
        "keep" => Ok(Queues::Keep),
        _ => match text.strip_prefix("only=").map(|names| names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()) {
            Some(names) if names.iter().all(|name| !name.is_empty()) => Ok(Queues::Only(names)),
            _ => Err("write drop, safe, keep, or only= and classes of jobs separated by commas".to_owned()),
        },
    }
}

/// For how long the clock is held.
fn hold_for(text: &str) -> std::result::Result<SignedDuration, String> {
    const DAYS_MAX: i64 = 90;
    let held = length_of_time(text)?;
    if held > SignedDuration::from_hours(DAYS_MAX * 24) { Err(format!("it is held for {DAYS_MAX} days at most")) } else { Ok(held) }
}

/// A size as people write it.
fn size(text: &str) -> std::result::Result<u64, String> {
    parse_bytes(text).map_err(|error| error.chain())
}

/// Hours, days or weeks.
fn length_of_time(text: &str) -> std::result::Result<SignedDuration, String> {
    const WAYS: &str = "write hours, days or weeks, such as 36h, 7d or 2w";
    const YEARS_MAX: i64 = 100;
    let unit = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        _ => return Err(WAYS.to_owned()),
    };
    let held =
        number.parse().ok().and_then(|number: i64| number.checked_mul(hours)).filter(|hours| (1..=YEARS_MAX * 366 * 24).contains(hours));
    held.map(SignedDuration::from_hours).ok_or_else(|| WAYS.to_owned())
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
        #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub of: OfSet,
    /// backend-redis or system-redis
    pub data_set: DataSetName,
    /// Name so many keys that nobody knows, and so many services
    #[arg(long, value_name = "N", default_value_t = 20, env = "THREESCALE_BACKUP_LIMIT")]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The set, the beginning of its id, or `latest`; without it, the live stores are read (nothing is changed or held up)
    pub set: Option<String>,
    #[command(flatten)]
    pub partial: Partial,
    /// End with exit code 1 when there is a difference of this rank, or a worse one
    #[arg(long, value_enum, value_name = "RANK", default_value = "drift", env = "THREESCALE_BACKUP_FAIL_ON")]
    pub fail_on: FailOn,
    /// Name so many differences of each kind
    #[arg(long, value_name = "N", default_value_t = 20, env = "THREESCALE_BACKUP_LIMIT")]
    pub limit: usize,
    /// Set right in Backend's Redis what differs, live: the plan is shown, then you are asked. `undo RUN` puts back what was
    #[arg(long, env = "THREESCALE_BACKUP_REPAIR")]
    pub repair: bool,
    /// With --repair: set right what is of this rank, or a worse one
    #[arg(long, value_enum, value_name = "RANK", default_value = "drift", env = "THREESCALE_BACKUP_REPAIR_ONLY")]
    pub only: FailOn,
    /// With --repair: show what would be done, and stop
    #[arg(long, env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
    /// With --repair: do not ask
    #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
    /// Read live stores that differ again after so many seconds: what differs no more is not told
    #[arg(long, value_name = "SECONDS", default_value_t = 5, env = "THREESCALE_BACKUP_AGAIN_AFTER")]
    pub again_after: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Backend lets in what System does not know
    Security,
    /// Customers' data that one side lacks, or will
    Loss,
    /// Configuration that differs
    Drift,
    /// What normal life leaves behind
    Note,
}

impl FailOn {
    pub(crate) const fn rank(self) -> Rank {
        match self {
            Self::Security => Rank::Security,
            Self::Loss => Rank::Loss,
            Self::Drift => Rank::Drift,
            Self::Note => Rank::Note,
        }
    }
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
    #[arg(long, short, env = "THREESCALE_BACKUP_YES")]
    pub yes: bool,
    /// Print the plan and stop
    #[arg(long, env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
    /// Kubernetes: a lost installation comes back in a namespace that has none. Objects first, then the operator makes the rest, then the data; the same call again
    /// goes on where it was interrupted
    #[arg(long, env = "THREESCALE_BACKUP_INTO_EMPTY", conflicts_with_all = ["objects", "only", "in_place", "classes"])]
    pub into_empty: bool,
    /// With --into-empty: the domain of the installation, where it is not to be the set's
    #[arg(long, value_name = "DOMAIN", requires = "into_empty", env = "THREESCALE_BACKUP_DOMAIN")]
    pub domain: Option<String>,
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
    /// The stores that the run is of are not here any more
    #[arg(long, env = "THREESCALE_BACKUP_STORE_IS_GONE")]
    pub store_is_gone: bool,
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
pub(crate) struct Evidence {
    #[command(flatten)]
    pub of: OfSet,
    /// The file, which must not be there yet: FILE.html, a page that needs nothing else, with the JSON in it; or FILE.json
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_TO")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The first set, the beginning of its id, or `latest`
    pub from: String,
    /// The second one
    #[arg(default_value = "latest")]
    pub to: String,
    #[command(flatten)]
    pub partial: Partial,
    /// How many differences of each data set are named
    #[arg(long, value_name = "N", default_value_t = 20, env = "THREESCALE_BACKUP_LIMIT")]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Bad (exit code 1) when the newest whole set is older than this, e.g. 26h, 2d
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_AGE")]
    pub max_age: Option<SignedDuration>,
    /// Bad when no restore or rehearsal of a whole set was proven for this long, e.g. 8d
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_UNPROVEN")]
    pub max_unproven: Option<SignedDuration>,
    /// Bad when the repository was not checked for this long, e.g. 8d
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_UNCHECKED")]
    pub max_unchecked: Option<SignedDuration>,
    /// Bad when a run has kept what it replaced for longer than this, e.g. 2w
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_KEPT")]
    pub max_kept: Option<SignedDuration>,
    /// Bad when less than this is free where the repository's folder is, e.g. 20G
    #[arg(long, value_name = "SIZE", value_parser = size, env = "THREESCALE_BACKUP_MIN_FREE")]
    pub min_free: Option<u64>,
    /// Write the same as metrics for Prometheus (textfile collector) too; replaced as a whole
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_METRICS")]
    pub metrics: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Extract {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
    /// The tenant: the number of its account, a domain of it, or the name of its organisation
    #[arg(long, value_name = "TENANT", required_unless_present = "service", env = "THREESCALE_BACKUP_TENANT", value_parser = NonEmptyStringValueParser::new())]
    pub tenant: Option<String>,
    /// Of one product only: its number, or its system name
    #[arg(long, value_name = "PRODUCT", env = "THREESCALE_BACKUP_SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub service: Option<String>,
    /// The file to make. It holds passwords and keys, and only you may read it
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_TO")]
    pub to: PathBuf,
    /// Tables that are left out otherwise: audits, deleted_objects, event_store_events, user_sessions
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',', env = "THREESCALE_BACKUP_WITH")]
    pub with: Vec<String>,
    /// The rows once more as SQL, which the server's own client loads: docs/one-tenant.md says how
    #[arg(long, env = "THREESCALE_BACKUP_SQL")]
    pub sql: bool,
    /// Rows only: no usage, no files
    #[arg(long, env = "THREESCALE_BACKUP_TABLES_ONLY")]
    pub tables_only: bool,
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
    /// Keep all sets younger than this, e.g. 36h, 30d, 12w, 6mo
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
