//! The command line. Every option can be given as an environment variable too; its name stands in `--help`.

mod classes;
mod copying;
mod examples;
mod given;
mod keeping;
mod looking;
mod options;
mod tenant;
mod values;

use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, FromArgMatches, Parser, Subcommand};

pub(crate) use classes::{Classes, UsageChoice};
pub(crate) use copying::*;
pub(crate) use examples::examples;
pub(crate) use given::{called, command_line, described, matches, variables, words};
pub(crate) use keeping::*;
pub(crate) use looking::*;
pub(crate) use options::*;
pub(crate) use tenant::OneTenant;
pub(crate) use values::rate;

/// Exit codes: the code, and what it means (`docs/exit-codes.md`).
pub(crate) const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done"),
    (1, "failed, journaled: `resume` or `undo` are possible"),
    (2, "refused or bad usage, nothing was touched"),
    (3, "a person is needed"),
    (4, "a set was taken, and would not go back wholly, or was not copied or locked as it should be (--warnings-are-fine gives 0)"),
    (10, "no such repository"),
    (11, "locked by another run (--wait waits)"),
    (12, "wrong repository password"),
    (75, "temporary, the same call may work later"),
    (130, "interrupted"),
];

fn after_help() -> String {
    let codes: Vec<_> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    format!("Exit codes: {}.", codes.join(" · "))
}

/// The version, and the commit that it was built at.
pub(crate) const LONG_VERSION: &str = env!("THREESCALE_LONG_VERSION");

/// Takes a complete, proven backup of a Red Hat 3scale API Management installation, and puts it back.
#[derive(Debug, Parser)]
#[command(name = "threescale-backup", version, long_version = LONG_VERSION, propagate_version = true, after_help = after_help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line that this program was called with. Bad usage ends the program.
    pub(crate) fn of_this_program() -> Self {
        let matches = given::matches();
        Self::from_arg_matches(matches).unwrap_or_else(|error| given::refuse(&error)).with_meaning()
    }

    /// `--installation` says whose sets are meant where a command is about sets; else what this installation is called.
    fn with_meaning(mut self) -> Self {
        if self.command.is_about_sets() {
            self.global.sets_of = self.global.installation.take();
        }
        self
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The configuration file [default: threescale-backup.toml, then /etc/threescale-backup.toml]
    #[arg(long, global = true, value_name = "FILE", env = "THREESCALE_BACKUP_CONFIG", help_heading = "Every command")]
    pub config: Option<PathBuf>,
    /// Where the journals of runs are kept [default: /var/lib/threescale-backup as root, else the user's state folder]
    #[arg(long, global = true, value_name = "FOLDER", env = "THREESCALE_BACKUP_STATE_FOLDER", help_heading = "Every command")]
    pub state_folder: Option<PathBuf>,
    /// Print one JSON document on standard output, and nothing else anywhere; an error is one on standard error
    #[arg(long, global = true, env = "THREESCALE_BACKUP_JSON", help_heading = "Every command")]
    pub json: bool,
    /// Print errors and results only
    #[arg(long, short, global = true, env = "THREESCALE_BACKUP_QUIET", help_heading = "Every command")]
    pub quiet: bool,
    /// What to log to standard error: error, warn, info, debug, trace
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "error",
        env = "THREESCALE_BACKUP_LOG",
        help_heading = "Every command"
    )]
    pub log: String,
    /// Log to this file too, and to it at least what `info` says: what was done, and when. It is made, or written on; only its owner may read it
    #[arg(long, global = true, value_name = "FILE", env = "THREESCALE_BACKUP_LOG_FILE", help_heading = "Every command")]
    pub log_file: Option<PathBuf>,
    /// Write what is done, as it is done, as lines of JSON into this file or pipe; `-` is standard output, where then nothing else is printed
    #[arg(long, global = true, value_name = "FILE", env = "THREESCALE_BACKUP_EVENTS", help_heading = "Every command")]
    pub events: Option<PathBuf>,
    /// Commands about sets: whose. Others: what this installation is called, in place of [installation] name [env: THREESCALE_BACKUP_INSTALLATION, which always
    /// names this installation]
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = "Every command")]
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
    /// Use the second repository of [copies.NAME] in the place of [repository]
    #[arg(long, global = true, value_name = "NAME", env = "THREESCALE_BACKUP_REPOSITORY", value_parser = NonEmptyStringValueParser::new(), help_heading = "Every command")]
    pub repository: Option<String>,
    /// Wait while another run holds the installation, instead of ending with exit code 11
    #[arg(long, global = true, env = "THREESCALE_BACKUP_WAIT", help_heading = "Every command")]
    pub wait: bool,
    /// Connections, readers or loaders at the same time, per data set [default: 4]
    #[arg(
        long,
        global = true,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=crate::config::WORKERS_MAX),
        env = "THREESCALE_BACKUP_WORKERS",
        help_heading = "How hard to work"
    )]
    pub workers: Option<u16>,
    /// Steps of a run at the same time, such as dumps of two data sets [default: 2]
    #[arg(
        long,
        global = true,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=crate::config::JOBS_MAX),
        env = "THREESCALE_BACKUP_JOBS",
        help_heading = "How hard to work"
    )]
    pub jobs: Option<u16>,
    /// Read so many bytes a second from the stores in a backup, such as 20M, all data sets together
    #[arg(long, global = true, value_name = "RATE", value_parser = values::rate, env = "THREESCALE_BACKUP_LIMIT_READ", help_heading = "How hard to work")]
    pub limit_read: Option<NonZeroU64>,
    /// Write so many bytes a second into repositories
    #[arg(long, global = true, value_name = "RATE", value_parser = values::rate, env = "THREESCALE_BACKUP_LIMIT_UPLOAD", help_heading = "How hard to work")]
    pub limit_upload: Option<NonZeroU64>,
    /// Read so many bytes a second from repositories
    #[arg(long, global = true, value_name = "RATE", value_parser = values::rate, env = "THREESCALE_BACKUP_LIMIT_DOWNLOAD", help_heading = "How hard to work")]
    pub limit_download: Option<NonZeroU64>,
    /// Give way to all else on this machine: the lowest priority for processor and disk
    #[arg(long, global = true, env = "THREESCALE_BACKUP_NICE", help_heading = "How hard to work")]
    pub nice: bool,
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
    /// List what a set holds: its data sets; the tables, logical databases, files or objects of one
    Ls(Ls),
    /// Say which sets hold a table, a file or an object of this name
    Find(Find),
    /// Copy sets into a second repository, encrypted anew: what it lacks, each chunk verified; a set is the same set there
    Copy(Copy),
    /// List, add, change and remove the passwords that open the repository
    #[command(subcommand)]
    Key(KeyCommand),
    /// Check the repository and every set in it
    Check(Check),
    /// Repair a damaged repository: the index from the packs, damaged files set aside; says what is lost
    Repair(Repair),
    /// Lock anew, in a bucket with object lock, all that sets need and that is locked for less than half of the days
    Renew(Renew),
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
    /// What 3scale does not do by itself after a restore (billing, deletions, reports): show it, hold it longer, or let it go
    #[command(subcommand)]
    Hold(HoldCommand),
    /// List the runs, and what they still keep
    Runs,
    /// Stage and prove a set in throw-away servers; the live installation is not touched
    Rehearse(Rehearse),
    /// Write a data set of a set as plain files, for use without this program
    Export(Export),
    /// Write what a set holds of one tenant, or of one product, into a readable archive: its rows, usage and files
    Extract(Extract),
    /// Count what a set holds in Redis: by class of key, service, type and class of job; keys that nobody knows are named
    Inspect(Inspect),
    /// Write all that shows that a set is whole and goes back into one document: a page, or JSON
    Evidence(Evidence),
    /// Say what differs between two sets by what each knows of itself: rows of tables, keys, files, objects. No data is read, except with --deep
    Diff(Diff),
    /// Say whether System, Backend, the files and zync agree, live or in a set, and live whether Routes and the search index do: what only one side knows, lacks or has otherwise
    Verify(Verify),
    /// Say in one page whether the sets are young, proven and checked, and what stands open: for people, monitoring and metrics. Exit code 1: not all is well
    Status(Status),
    /// Show it all by HTTP until it is stopped: metrics, the page of `report`, the document of `status`; looks at intervals, in the background
    Serve(Serve),
    /// Write one page about the sets over time: is all well, how they grow, what is proven, what is open
    Report(Report),
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
    /// Collect what helps to find a fault into one archive, without secrets: version, configuration, what doctor, list and runs say, journals
    SupportBundle(SupportBundle),
    /// Print what a shell loads to complete commands, options, names and ids
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a page of the manual, or write all of them into a folder
    Man(Man),
}

#[derive(Debug, Args)]
pub(crate) struct SupportBundle {
    /// The file to make, a tar. Only you may read it
    #[arg(long, value_name = "FILE", env = "THREESCALE_BACKUP_TO")]
    pub to: PathBuf,
    /// How many journals, the newest ones
    #[arg(long, value_name = "N", default_value_t = 20, env = "THREESCALE_BACKUP_JOURNALS")]
    pub journals: usize,
}

/// Which page of the manual.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command, such as `restore` or `hold release`; or `threescale-backup.toml`, the configuration [default: the program]
    #[arg(value_name = "PAGE", conflicts_with = "to")]
    pub page: Vec<String>,
    /// Write all pages into this folder, which is made when it is not there
    #[arg(long, value_name = "FOLDER", env = "THREESCALE_BACKUP_MAN_TO")]
    pub to: Option<PathBuf>,
    /// Write the reference of all commands, options, variables and keys into this folder, as Markdown: reference.md and configuration.md
    #[arg(long, value_name = "FOLDER", env = "THREESCALE_BACKUP_MAN_BOOK", conflicts_with_all = ["to", "page"])]
    pub book: Option<PathBuf>,
}

impl Command {
    /// Whether it is about sets, of this installation or another.
    const fn is_about_sets(&self) -> bool {
        match self {
            Self::List(_)
            | Self::Show(_)
            | Self::Ls(_)
            | Self::Find(_)
            | Self::Copy(_)
            | Self::Plan(_)
            | Self::Restore(_)
            | Self::Rehearse(_)
            | Self::Export(_)
            | Self::Extract(_)
            | Self::Inspect(_)
            | Self::Verify(_)
            | Self::Diff(_)
            | Self::Evidence(_)
            | Self::Status(_)
            | Self::Serve(_)
            | Self::Report(_)
            | Self::Forget(_) => true,
            Self::Init
            | Self::Backup(_)
            | Self::Key(_)
            | Self::Check(_)
            | Self::Repair(_)
            | Self::Renew(_)
            | Self::Protect(_)
            | Self::Unprotect(_)
            | Self::Resume(_)
            | Self::Undo(_)
            | Self::Settle(_)
            | Self::Abandon(_)
            | Self::Runs
            | Self::Hold(_)
            | Self::Doctor
            | Self::Config(_)
            | Self::Demo(_)
            | Self::SupportBundle(_)
            | Self::Completions { .. }
            | Self::Man(_) => false,
        }
    }
}
