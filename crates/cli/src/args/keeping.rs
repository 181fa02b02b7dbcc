//! The options of commands that keep the repository in order.

use clap::Args;

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
pub(crate) struct Renew {
    /// Say what falls short, and lock nothing; exit code 1 when anything does
    #[arg(long, env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
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
    #[arg(long, env = "THREESCALE_BACKUP_NOW")]
    pub now: bool,
    /// Do it without asking; without a terminal nothing is done otherwise
    #[arg(long, short)]
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
