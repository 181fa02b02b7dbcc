//! ASKS: the binary `threescale-backup`. The only place where the parts are joined.

mod agreement;
mod app;
mod args;
mod away;
mod care;
mod clock;
mod commands;
mod config;
mod draining;
mod in_the_way;
mod inside;
mod join;
mod journals;
mod locks;
mod notify;
mod output;
mod queues;
mod repair;
mod rewrite;
mod sealed;
mod tenant_rows;
mod whose;
mod writers;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use plan::ports::StopFlag;
use plan::{Class, Error, Result};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

use app::App;
use args::{Cli, Command};
use notify::Notify;

fn main() -> ExitCode {
    let cli = Cli::of_this_program();
    let json = cli.global.json;
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            output::print_error(&error, json);
            ExitCode::from(error.class().exit_code())
        }
    }
}

fn start(cli: Cli) -> Result<ExitCode> {
    log_to_standard_error(&cli.global.log)?;
    let stop = StopFlag::default();
    heed_signals(&stop)?;
    if cli.global.in_cluster.is_some() {
        return commands::in_cluster(&output::Output::new(&cli.global, &stop), &cli.global, &cli.command, &stop);
    }
    let app = App::new(cli.global, stop.clone());
    let notify = Notify::of(&app, &cli.command);
    // Whatever a stopped run broke off with: it was the signal that ended it.
    let result = match run(&app, &cli.command) {
        Err(error) if app.was_interrupted() && error.class() != Class::NeedsPerson => Err(error.in_class(Class::Interrupted)),
        result => result,
    };
    if let Some(notify) = notify {
        notify.end(&result);
    }
    result
}

fn run(app: &App, command: &Command) -> Result<ExitCode> {
    let done = match command {
        Command::Backup(args) => return commands::backup(app, args),
        Command::Init => commands::init(app),
        Command::List(args) => commands::list(app, args),
        Command::Show(args) => commands::show(app, args),
        Command::Check(args) => commands::check(app, args),
        Command::Repair(args) => commands::repair(app, args),
        Command::Plan(args) => commands::plan(app, args),
        Command::Restore(args) => commands::restore(app, args),
        Command::Resume(args) => commands::resume(app, args),
        Command::Undo(args) => commands::undo(app, args),
        Command::Settle(args) => commands::settle(app, args),
        Command::Abandon(args) => commands::abandon(app, args),
        Command::Runs => commands::runs(app),
        Command::Rehearse(args) => commands::rehearse(app, args),
        Command::Export(args) => commands::export(app, args),
        Command::Extract(args) => commands::extract(app, args),
        Command::Hold(command) => commands::hold(app, command),
        Command::Inspect(args) => commands::inspect(app, args),
        Command::Verify(args) => commands::verify(app, args),
        Command::Status(args) => commands::status(app, args),
        Command::Evidence(args) => commands::evidence(app, args),
        Command::Diff(args) => commands::diff(app, args),
        Command::Report(args) => commands::report(app, args),
        Command::Forget(args) => commands::forget(app, args),
        Command::Protect(args) => commands::protect(app, args),
        Command::Unprotect(args) => commands::unprotect(app, args),
        Command::Doctor => commands::doctor(app),
        Command::Demo(args) => commands::demo(app, args),
        Command::Config(command) => commands::config(app, *command),
        Command::Completions { shell } => commands::completions(*shell),
        Command::Man => commands::man(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The first signal asks the work to stop at the next safe point; a second one ends the program as a crash would, which every run survives.
fn heed_signals(stop: &StopFlag) -> Result<()> {
    let failed = |error: std::io::Error| Error::failed("failed to handle signals").because(error);
    let mut signals = vec![signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    // A terminal that goes away stops the work too, unless it was told to outlive it (`nohup`).
    signals.extend((!is_ignored(signal_hook::consts::SIGHUP)).then_some(signal_hook::consts::SIGHUP));
    for signal in signals {
        let flag = stop.shared();
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(Class::Interrupted.exit_code()), Arc::clone(&flag))
            .map_err(failed)?;
        signal_hook::flag::register(signal, flag).map_err(failed)?;
    }
    Ok(())
}

/// Whether this program was started with a signal ignored (Linux: `SigIgn`).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// What libraries say is for those who ask for more: their failures come back as our errors, with a way out.
fn heard(level: LevelFilter) -> Targets {
    if level > LevelFilter::ERROR {
        return Targets::new().with_default(level);
    }
    OURS.iter().fold(Targets::new(), |targets, name| targets.with_target(*name, level))
}

/// Our own crates, by the names that a log line has.
const OURS: [&str; 16] = [
    "threescale_backup",
    "plan",
    "threescale",
    "beneath",
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

fn log_to_standard_error(level: &str) -> Result<()> {
    let level: LevelFilter = level
        .parse()
        .map_err(|_| Error::refused(format!("--log {level} is not a level")).hint("Levels are error, warn, info, debug, trace."))?;
    let failed = |what: &str| Error::failed(format!("failed to set up the log: {what}"));
    // The repository engine logs through `log`.
    tracing_log::LogTracer::init().map_err(|error| failed(&error.to_string()))?;
    let is_terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(heard(level)));
    tracing::subscriber::set_global_default(subscriber).map_err(|error| failed(&error.to_string()))
}
