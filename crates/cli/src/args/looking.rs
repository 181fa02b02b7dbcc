//! The options of commands that look: at sets, at what agrees, at whether all is well.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use plan::ids::DataSetName;
use threescale::verify::Rank;

use super::options::{OfSet, Partial};
use super::values::{interval, length_of_time, size};

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The sets of all installations in the repository
    #[arg(long, env = "THREESCALE_BACKUP_ALL_INSTALLATIONS")]
    pub all_installations: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    pub of: OfSet,
    /// The data set; without it, what the set has
    pub data_set: Option<DataSetName>,
    /// Of files and objects: a folder in it
    pub path: Option<PathBuf>,
    /// Tell so many, and how many more there are
    #[arg(long, value_name = "N", default_value_t = 1000, env = "THREESCALE_BACKUP_LIMIT")]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The name of a table, a file or an object; `*` stands for any text. With a `/` in it the whole path is meant
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// The sets, the beginnings of their ids, or `latest` [default: all of this installation, newest first]
    #[arg(value_name = "SET")]
    pub sets: Vec<String>,
    #[command(flatten)]
    pub partial: Partial,
    /// Tell so many, and how many more there are
    #[arg(long, value_name = "N", default_value_t = 1000, env = "THREESCALE_BACKUP_LIMIT")]
    pub limit: usize,
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
    #[arg(long, value_enum, value_name = "RANK", default_value = "drift", requires = "repair", env = "THREESCALE_BACKUP_REPAIR_ONLY")]
    pub only: FailOn,
    /// With --repair: show what would be done, and stop
    #[arg(long, requires = "repair", env = "THREESCALE_BACKUP_DRY_RUN")]
    pub dry_run: bool,
    /// With --repair: do not ask
    #[arg(long, short)]
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

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The set, the beginning of its id, or `latest`: the newest whole one of this installation
    pub set: String,
    #[command(flatten)]
    pub partial: Partial,
    /// The data set
    pub data_set: DataSetName,
    /// The folder to make; with --table the file
    #[arg(long, value_name = "FOLDER", env = "THREESCALE_BACKUP_TO")]
    pub to: PathBuf,
    /// One table of a database only: its rows as one file, which only you may read
    #[arg(long, value_name = "TABLE", env = "THREESCALE_BACKUP_TABLE", value_parser = NonEmptyStringValueParser::new())]
    pub table: Option<String>,
    /// With --table: how the rows are written
    #[arg(long, value_enum, default_value_t = TableFormat::Sql, env = "THREESCALE_BACKUP_FORMAT")]
    pub format: TableFormat,
}

/// How the rows of a table are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// Statements INSERT in one transaction, for the server's own client
    Sql,
    /// Comma-separated values with a line of names; NULL is empty, an empty text is ""
    Csv,
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
    /// Read both sets and compare their contents: which rows by their primary keys, and in which columns they differ; how many keys of each class; which files and objects
    #[arg(long, env = "THREESCALE_BACKUP_DEEP")]
    pub deep: bool,
    /// How many differences of each data set are named; with --deep also of each table
    #[arg(long, value_name = "N", default_value_t = 20, env = "THREESCALE_BACKUP_LIMIT")]
    pub limit: usize,
}

/// What is bad.
#[derive(Debug, Clone, Args)]
pub(crate) struct Limits {
    /// Bad when the newest whole set is older than this, e.g. 26h, 2d
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_AGE")]
    pub max_age: Option<SignedDuration>,
    /// Bad when no restore or rehearsal of a whole set was proven for this long, e.g. 8d
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_UNPROVEN")]
    pub max_unproven: Option<SignedDuration>,
    /// Bad when the repository was not checked for this long, e.g. 8d
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_UNCHECKED")]
    pub max_unchecked: Option<SignedDuration>,
    /// Bad when a second repository of the configuration has no whole set that is younger than this, or there is none at all, e.g. 26h
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_COPY_AGE")]
    pub max_copy_age: Option<SignedDuration>,
    /// Bad when a run has kept what it replaced for longer than this, e.g. 2w
    #[arg(long, value_name = "TIME", value_parser = length_of_time, env = "THREESCALE_BACKUP_MAX_KEPT")]
    pub max_kept: Option<SignedDuration>,
    /// Bad when less than this is free where the repository's folder is, e.g. 20G
    #[arg(long, value_name = "SIZE", value_parser = size, env = "THREESCALE_BACKUP_MIN_FREE")]
    pub min_free: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub limits: Limits,
    /// Write the same as metrics for Prometheus (textfile collector) too; replaced as a whole
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_METRICS")]
    pub metrics: Option<PathBuf>,
    /// Put the metrics into the Pushgateway at this address too, in the place of what was there of this installation; no password can stand in it
    #[arg(long, value_name = "URL", env = "THREESCALE_BACKUP_PUSH")]
    pub push: Option<String>,
    /// A PEM file with the only CAs that are trusted at the address of --push
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_PUSH_CA_FILE")]
    pub push_ca_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Listen here, an address and a port; anybody who reaches it may look, there is no login. Port 0 takes a free one and names it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", env = "THREESCALE_BACKUP_LISTEN")]
    pub listen: SocketAddr,
    /// Look so often, e.g. 30s, 5m, 1h; who asks in between gets what the last look found
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = interval, env = "THREESCALE_BACKUP_EVERY")]
    pub every: SignedDuration,
    #[command(flatten)]
    pub limits: Limits,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The file to make: a page that needs nothing else
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_HTML")]
    pub html: PathBuf,
    /// Put it in the place of a file that is there
    #[arg(long, env = "THREESCALE_BACKUP_REPLACE")]
    pub replace: bool,
    #[command(flatten)]
    pub limits: Limits,
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
    #[arg(long, value_name = "PRODUCT", env = "THREESCALE_BACKUP_EXTRACT_SERVICE", value_parser = NonEmptyStringValueParser::new())]
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
