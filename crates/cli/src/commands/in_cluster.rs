//! `--in-cluster`: the command runs as a Job in the cluster, where the repository and the databases are near; this program follows it.
//!
//! What is decided here: which CronJob is the template, which options go along, which of the log's lines are results. The exit code is that of the program in
//! the cluster.

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use plan::ports::StopFlag;
use plan::{Error, Result};
use platforms::kubernetes::{Said, SubmittedJob, Wanted};

use crate::args::{self, Command, Global, command_line};
use crate::join;
use crate::output::Output;

/// What begins each line of a result in the log of the program in the cluster.
const MARK: &str = "result: ";
/// The CronJob for what takes sets and looks after them.
const FOR_BACKUP: &str = "threescale-backup";
/// The CronJob for what changes the installation: another service account.
const FOR_RESTORE: &str = "threescale-backup-restore";
/// The CronJob for what tries in pods whether sets go back: another one again.
const FOR_REHEARSE: &str = "threescale-backup-rehearse";
/// Options that say where the cluster is, or that name files of this machine.
const LEFT_HERE: [&str; 9] = ["in_cluster", "config", "state_folder", "namespace", "context", "kubeconfig", "act_as", "log_file", "events"];

/// Submits the command, follows it, and gives its exit code.
pub(crate) fn in_cluster(output: &Output, global: &Global, command: &Command, stop: &StopFlag) -> Result<ExitCode> {
    let cron_job = template(command)?;
    if global.events.is_some() {
        return Err(Error::refused("--events tells what is done on this machine, and the command would run in the cluster")
            .hint("Leave --events out: what the program in the cluster says is shown here."));
    }
    let cron_job = global.in_cluster.as_deref().filter(|name| !name.is_empty()).unwrap_or(cron_job);
    let mut arguments = arguments(args::matches())?;
    // In the image there are no servers.
    if matches!(command, Command::Rehearse(args) if !args.pods) {
        arguments.push("--pods".to_owned());
    }
    if let Some(question) = question(command) {
        match output.ask(&question)? {
            Some(true) => arguments.push("--yes".to_owned()),
            Some(false) => return Err(Error::refused("nothing was touched")),
            // The program in the cluster decides, as it does when nobody can be asked there.
            None => {}
        }
    }
    // Not the flag of this program: asking the Job to stop takes calls too.
    let cluster = join::connect(global, &StopFlag::default())?;
    let job = SubmittedJob::submit(&cluster, &Wanted { cron_job, arguments: &arguments, mark: MARK })?;
    output.note(&format!("submitted Job {} in namespace {}: {}", job.name(), cluster.namespace(), arguments.join(" ")));
    let mut failed = Ok(());
    let status = job.follow(stop, &mut |said| match said {
        Said::Note(text) => output.note(text),
        Said::Line(line) => match line.strip_prefix(MARK).or_else(|| (line == MARK.trim_end()).then_some("")) {
            Some(result) => failed = output.raw_line(result),
            // It was as quiet as it was told to be.
            None => output.line_of_log(line),
        },
    })?;
    failed?;
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// The CronJob that a command is made from.
fn template(command: &Command) -> Result<&'static str> {
    match command {
        Command::Init
        | Command::Backup(_)
        | Command::List(_)
        | Command::Show(_)
        | Command::Ls(_)
        | Command::Find(_)
        | Command::Copy(_)
        | Command::Check(_)
        | Command::Repair(_)
        | Command::Renew(_)
        | Command::Inspect(_)
        | Command::Verify(_)
        | Command::Status(_)
        | Command::Diff(_)
        | Command::Forget(_)
        | Command::Protect(_)
        | Command::Unprotect(_)
        | Command::Runs
        | Command::Doctor => Ok(FOR_BACKUP),
        Command::Restore(args) if args.plan.then.is_some() => Err(Error::refused("the image has no shell for the command of --then").hint(
            "Leave --then out, or leave --in-cluster out: then the command runs here, and the stores are reached through forwarded ports.",
        )),
        Command::Plan(_) | Command::Restore(_) | Command::Resume(_) | Command::Undo(_) | Command::Settle(_) | Command::Abandon(_) => {
            Ok(FOR_RESTORE)
        }
        Command::Rehearse(args) if args.then.is_some() => {
            Err(Error::refused("the image has no shell and no clients for the command of --then")
                .hint("Leave --then out, or say --pods instead of --in-cluster: then the servers are pods, and the command runs here."))
        }
        Command::Rehearse(_) => Ok(FOR_REHEARSE),
        Command::Hold(_) | Command::Key(_) => Err(Error::refused("this command does not run in the cluster")
            .hint("Leave --in-cluster out: it reaches the installation from here.")),
        Command::Serve(_) => Err(Error::refused("this command does not end, and is no Job").hint(
            "The chart runs it as a Deployment: `helm upgrade threescale-backup deploy/chart --reuse-values --set serve.enabled=true`.",
        )),
        Command::Config(_) => {
            Err(Error::refused("this command is about the configuration of this machine").hint("Leave --in-cluster out."))
        }
        Command::Export(_)
        | Command::Evidence(_)
        | Command::Report(_)
        | Command::Extract(_)
        | Command::Demo(_)
        | Command::SupportBundle(_)
        | Command::Completions { .. }
        | Command::Man(_) => Err(Error::refused("this command does not run in the cluster")
            .hint("It needs programs or folders that the image does not have. Leave --in-cluster out.")),
    }
}

/// What a person at a terminal is asked before it is done; the program in the cluster has no terminal to ask at.
fn question(command: &Command) -> Option<String> {
    match command {
        Command::Restore(args) if !args.yes && !args.dry_run => Some(format!(
            "Put set {} back? `plan {} --in-cluster` shows what that does. Carry it out without showing the plan first?",
            args.plan.set, args.plan.set
        )),
        Command::Undo(args) if !args.yes => Some("Put back what the run replaced? What was written since is lost.".to_owned()),
        Command::Settle(args) if !args.yes => Some("Drop what the run replaced? There is no undo afterwards.".to_owned()),
        _ => None,
    }
}

/// The command line for the program in the cluster: what was given here by option or variable, without what is about this machine.
fn arguments(matches: &ArgMatches) -> Result<Vec<String>> {
    let mut line = command_line();
    line.build();
    let Some((name, matches)) = matches.subcommand() else { return Err(Error::refused("there is no command")) };
    let command = line.find_subcommand(name).ok_or_else(|| Error::refused(format!("there is no command {name}")))?;
    let (mut options, mut positionals) = (vec![name.to_owned()], Vec::new());
    for arg in command.get_arguments().filter(|arg| !LEFT_HERE.contains(&arg.get_id().as_str())) {
        if !is_given(matches, arg) {
            continue;
        }
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            if matches.get_flag(arg.get_id().as_str()) {
                options.push(format!("--{}", arg.get_long().unwrap_or_default()));
            }
            continue;
        }
        for value in matches.get_raw(arg.get_id().as_str()).into_iter().flatten() {
            let value = value.to_str().ok_or_else(|| Error::refused(format!("{} is not text", arg.get_id())))?;
            match arg.get_long() {
                Some(long) => options.push(format!("--{long}={value}")),
                None => positionals.push(value.to_owned()),
            }
        }
    }
    options.extend(positionals);
    Ok(options)
}

fn is_given(matches: &ArgMatches, arg: &Arg) -> bool {
    // `--help` and `--version` are arguments too, and have no value.
    let source = matches.try_contains_id(arg.get_id().as_str()).ok().and_then(|_| matches.value_source(arg.get_id().as_str()));
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(line: &str) -> Vec<String> {
        arguments(&command_line().try_get_matches_from(line.split(' ')).unwrap()).unwrap()
    }

    #[test]
    fn what_is_about_this_machine_stays_here_and_all_else_goes_along() {
        let here = "--in-cluster --kubeconfig /k --context=c --as me --config=/c.toml --state-folder /s -n ns";
        assert_eq!(
            of(&format!("threescale-backup {here} restore latest --only system-database,zync-database --yes --queues keep --json")),
            ["restore", "--only=system-database", "--only=zync-database", "--queues=keep", "--yes", "--json", "latest"]
        );
        assert_eq!(of("threescale-backup backup --in-cluster=other -q --workers=2"), ["backup", "--quiet", "--workers=2"]);
    }

    #[test]
    fn what_was_not_given_is_left_to_the_cluster() {
        assert_eq!(of("threescale-backup resume --in-cluster"), ["resume"]);
        assert_eq!(of("threescale-backup check --read-data --in-cluster"), ["check", "--read-data=100%"]);
    }

    #[test]
    fn what_changes_the_installation_uses_the_other_account() {
        let backup = Command::Backup(crate::args::Backup {
            only: crate::args::Only { only: Vec::new() },
            freeze: false,
            drain_seconds: 0,
            read_all: false,
            warnings_are_fine: false,
            no_verify: false,
        });
        assert_eq!(template(&backup).unwrap(), FOR_BACKUP);
        let undo = Command::Undo(crate::args::OfRun { run: None, yes: false, writers_are_stopped: false });
        assert_eq!(template(&undo).unwrap(), FOR_RESTORE);
        assert!(template(&Command::Man(crate::args::Man { page: Vec::new(), to: None, book: None })).is_err());
    }
}
