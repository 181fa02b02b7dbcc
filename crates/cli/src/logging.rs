//! The log: to standard error, and to a file.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use plan::{Error, Result};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

use crate::args::Global;
use crate::output::{LogLines, TOLD};

/// Our own crates, by the names that a log line has, and what is told to people.
const OURS: [&str; 18] = [
    "threescale_backup",
    TOLD,
    "plan",
    "threescale",
    "beneath",
    "bucket",
    "children",
    "tls",
    "line",
    "herald",
    "repository",
    "runner",
    "platforms",
    "mysql_data_set",
    "postgres_data_set",
    "redis_data_set",
    "files_data_set",
    "objects_data_set",
];

/// Sets the log up.
pub(crate) fn log(global: &Global) -> Result<()> {
    let level: LevelFilter = global.log.parse().map_err(|_| {
        Error::refused(format!("--log {} is not a level", global.log))
            .hint("Levels are error, warn, info, debug, trace; a file is named by --log-file.")
    })?;
    let failed = |what: &str| Error::failed(format!("failed to set up the log: {what}"));
    // The repository engine logs through `log`.
    tracing_log::LogTracer::init().map_err(|error| failed(&error.to_string()))?;
    let is_terminal = std::io::stderr().is_terminal();
    // What people are told anyway is not told twice; an error is told always.
    let is_wanted = (global.quiet || global.json) && level > LevelFilter::ERROR;
    let told = if is_wanted { level } else { LevelFilter::OFF };
    let heard_here = heard(level).with_target(TOLD, told);
    let lines = tracing_subscriber::fmt::layer().with_writer(LogLines).with_ansi(is_terminal).with_filter(heard_here);
    let file = global.log_file.as_deref().map(open).transpose()?;
    let file = file.map(|file| {
        let level = level.max(LevelFilter::INFO);
        let targets = if level > LevelFilter::INFO { heard(level) } else { ours(level).with_default(LevelFilter::WARN) };
        tracing_subscriber::fmt::layer().with_writer(Mutex::new(file)).with_ansi(false).with_filter(targets)
    });
    let subscriber = tracing_subscriber::registry().with(lines).with(file);
    tracing::subscriber::set_global_default(subscriber).map_err(|error| failed(&error.to_string()))
}

/// What libraries say is for those who ask for more: their failures come back as our errors, with a way out.
fn heard(level: LevelFilter) -> Targets {
    if level > LevelFilter::ERROR { Targets::new().with_default(level) } else { ours(level) }
}

fn ours(level: LevelFilter) -> Targets {
    OURS.iter().fold(Targets::new(), |targets, name| targets.with_target(*name, level))
}

/// Made, or written on. Names of hosts and users are nobody else's business.
fn open(path: &Path) -> Result<std::fs::File> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|error| Error::refused(format!("failed to open the log file {}", path.display())).because(error))
}
