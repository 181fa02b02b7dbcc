//! ASKS: the binary `threescale-backup`. The only place where the parts are joined.

mod agreement;
mod app;
mod args;
mod away;
mod care;
mod clock;
mod commands;
mod completing;
mod config;
mod copied;
mod draining;
mod effort;
mod in_the_way;
mod inside;
mod join;
mod journals;
mod locks;
mod logging;
mod notify;
mod onlook;
mod output;
mod queues;
mod rates;
mod repair;
mod rewrite;
mod sealed;
mod tenant_files;
mod tenant_rows;
mod whose;
mod writers;

use std::process::ExitCode;
use std::sync::Arc;

use plan::ports::StopFlag;
use plan::{Class, Error, Result};

use app::App;
use args::{Cli, Command};
use logging::log;
use notify::Notify;
use output::Output;

fn main() -> ExitCode {
    completing::answer_the_shell();
    if let Some(code) = onlook::asked() {
        return code;
    }
    let cli = Cli::of_this_program();
    let (json, stop) = (cli.global.json, StopFlag::default());
    let output = match log(&cli.global).and_then(|()| Output::new(&cli.global, &stop)) {
        Ok(output) => output,
        Err(error) => {
            output::print_error(&error, json, Vec::new());
            return ExitCode::from(error.class().exit_code());
        }
    };
    let result = start(cli, &output, &stop);
    output.end(result)
}

fn start(cli: Cli, output: &Output, stop: &StopFlag) -> Result<ExitCode> {
    heed_signals(stop)?;
    output.begin(&args::words());
    if cli.global.in_cluster.is_some() {
        return commands::in_cluster(output, &cli.global, &cli.command, stop);
    }
    let app = App::new(cli.global, output.clone(), stop.clone());
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
        Command::Ls(args) => commands::ls(app, args),
        Command::Find(args) => commands::find(app, args),
        Command::Copy(args) => commands::copy(app, args),
        Command::Key(command) => commands::key(app, command),
        Command::Check(args) => commands::check(app, args),
        Command::Repair(args) => commands::repair(app, args),
        Command::Renew(args) => commands::renew(app, args),
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
        Command::Serve(args) => commands::serve(app, args),
        Command::Evidence(args) => commands::evidence(app, args),
        Command::Diff(args) => commands::diff(app, args),
        Command::Report(args) => commands::report(app, args),
        Command::Forget(args) => commands::forget(app, args),
        Command::Protect(args) => commands::protect(app, args),
        Command::Unprotect(args) => commands::unprotect(app, args),
        Command::Doctor => commands::doctor(app),
        Command::Demo(args) => commands::demo(app, args),
        Command::Config(command) => commands::config(app, *command),
        Command::Completions { shell } => commands::completions(app, *shell),
        Command::SupportBundle(args) => commands::support_bundle(app, args),
        Command::Man(args) => commands::man(app, args),
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
