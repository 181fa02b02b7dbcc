//! What was given: the options with their variables, as people write them, and what bad usage is told as.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory};
use plan::Error;

use super::Cli;
use crate::output::print_error;

/// Options that mean nothing without another one: command, option, and those of which one is wanted. As variables, which stand there for every call, they say nothing without it.
const DEPENDENT: [(&str, &str, &[&str]); 13] = [
    ("plan", "service", &["classes", "tenant"]),
    ("plan", "usage", &["classes", "tenant"]),
    ("restore", "service", &["classes", "tenant"]),
    ("restore", "usage", &["classes", "tenant"]),
    ("plan", "with", &["tenant"]),
    ("restore", "with", &["tenant"]),
    ("plan", "rows_only", &["tenant"]),
    ("restore", "rows_only", &["tenant"]),
    ("restore", "domain", &["into_empty"]),
    ("backup", "drain_seconds", &["freeze"]),
    ("forget", "now", &["prune"]),
    ("abandon", "drop_previous", &["remove"]),
    ("export", "format", &["table"]),
];

/// That a person is not asked, as a variable: each command has its own, so that what is set for a scheduled `forget` lets no restore go.
const YES: [(&str, &str); 9] = [
    ("abandon", "THREESCALE_BACKUP_ABANDON_YES"),
    ("forget", "THREESCALE_BACKUP_YES"),
    ("release", "THREESCALE_BACKUP_HOLD_RELEASE_YES"),
    ("repair", "THREESCALE_BACKUP_REPAIR_YES"),
    ("restore", "THREESCALE_BACKUP_RESTORE_YES"),
    ("resume", "THREESCALE_BACKUP_RESUME_YES"),
    ("settle", "THREESCALE_BACKUP_SETTLE_YES"),
    ("undo", "THREESCALE_BACKUP_UNDO_YES"),
    ("verify", "THREESCALE_BACKUP_VERIFY_YES"),
];

/// The options of every command, with their variables.
pub(crate) fn described() -> clap::Command {
    fn with_variables(command: clap::Command) -> clap::Command {
        let own = YES.iter().find(|(name, _)| *name == command.get_name()).map(|(_, variable)| *variable);
        let change = move |arg: Arg| match (arg.get_id().as_str(), own) {
            ("yes", Some(variable)) => as_people_write_it(arg.env(variable)),
            _ => as_people_write_it(arg),
        };
        command.mut_args(change).mut_subcommands(with_variables)
    }
    with_variables(Cli::command())
}

/// `yes`, `1` and `on` are `true` too.
fn as_people_write_it(arg: Arg) -> Arg {
    if matches!(arg.get_action(), ArgAction::SetTrue) { arg.value_parser(BoolishValueParser::new()) } else { arg }
}

/// The same, under the name that this program was called by.
pub(crate) fn command_line() -> clap::Command {
    without_empty_variables(described()).bin_name(called())
}

/// The name that this program was called by: as a plugin it is installed as `kubectl-threescale_backup` and called `kubectl threescale-backup`.
pub(crate) fn called() -> String {
    let called = std::env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).and_then(plugin_name);
    name.unwrap_or_else(|| "threescale-backup".to_owned())
}

/// `kubectl-threescale_backup` is `kubectl threescale-backup`: a dash parts words, an underscore is a dash.
fn plugin_name(file: &str) -> Option<String> {
    let (program, plugin) = file.split_once('-')?;
    matches!(program, "kubectl" | "oc").then(|| format!("{program} {}", plugin.replace('-', " ").replace('_', "-")))
}

/// An empty variable says nothing, as one that is not there.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let reset = |arg: Arg| if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg };
    command.mut_args(reset).mut_subcommands(without_empty_variables)
}

/// The variables of all options, of every command.
pub(crate) fn variables() -> BTreeSet<String> {
    fn of(command: &clap::Command, found: &mut BTreeSet<String>) {
        found.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(ToOwned::to_owned)));
        command.get_subcommands().for_each(|inner| of(inner, found));
    }
    let mut found = BTreeSet::new();
    of(&described(), &mut found);
    found
}

/// What this program was called with, read once. Bad usage, `--help` and `--version` end it.
pub(crate) fn matches() -> &'static ArgMatches {
    static MATCHES: OnceLock<ArgMatches> = OnceLock::new();
    MATCHES.get_or_init(|| matches_of(std::env::args_os().collect()).unwrap_or_else(|error| refuse(&error)))
}

/// The words by which the command is called: `hold release`.
pub(crate) fn words() -> String {
    let (mut deepest, mut words) = (matches(), Vec::new());
    while let Some((word, inner)) = deepest.subcommand() {
        words.push(word);
        deepest = inner;
    }
    words.join(" ")
}

fn matches_of(words: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    let without = |is_left: &dyn Fn(&str, &str) -> bool| {
        DEPENDENT.iter().filter(|(command, option, _)| !is_left(command, option)).fold(command_line(), |line, (command, option, _)| {
            line.mut_subcommand(*command, |inner| inner.mut_arg(*option, |arg| arg.env(Resettable::Reset)))
        })
    };
    let alone = match without(&|_, _| false).try_get_matches_from(words.clone()) {
        // The help tells all variables.
        Err(error) if !error.use_stderr() => return command_line().try_get_matches_from(words),
        alone => alone?,
    };
    let Some((name, inner)) = alone.subcommand() else { return Ok(alone) };
    let alone_here = |(command, option, others): &&(&str, &str, &[&str])| {
        *command == name
            && inner.value_source(option) == Some(ValueSource::CommandLine)
            && !others.iter().any(|other| is_given(inner, other))
    };
    if let Some((_, option, others)) = DEPENDENT.iter().find(alone_here) {
        let option = option.replace('_', "-");
        let others: Vec<String> = others.iter().map(|other| format!("--{}", other.replace('_', "-"))).collect();
        let text = format!("--{option} means something with {} only", others.join(" or "));
        return Err(command_line().error(ErrorKind::MissingRequiredArgument, text));
    }
    let is_left = |command: &str, option: &str| {
        DEPENDENT.iter().any(|(its, own, others)| {
            command == name && (*its, *own) == (command, option) && others.iter().any(|other| is_given(inner, other))
        })
    };
    without(&is_left).try_get_matches_from(words)
}

/// Whether an option says something.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    match matches.try_get_one::<bool>(id) {
        Ok(flag) => flag.copied().unwrap_or_default(),
        Err(_) => matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable)),
    }
}

/// Ends the program as usage does: what was asked for on standard output, or what is wrong, as a document where one is wanted.
pub(super) fn refuse(error: &clap::Error) -> ! {
    if !error.use_stderr() || !wants_json() {
        match help_in_place_of(error) {
            // Nobody is there to read it: the exit code says it all the same.
            Some(help) => drop(std::io::stderr().lock().write_all(help.as_bytes())),
            None => error.exit(),
        }
        std::process::exit(i32::from(plan::Class::Refused.exit_code()));
    }
    print_error(&bad_usage(&error.to_string()), true, Vec::new());
    std::process::exit(i32::from(plan::Class::Refused.exit_code()))
}

/// Where only the name of a command is lacking: the help, which has them in order. Clap shows it itself where no variable is set.
fn help_in_place_of(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    if error.kind() != ErrorKind::MissingSubcommand {
        return None;
    }
    let mut command = command_line();
    command.build();
    for word in name.split(' ') {
        command = command.find_subcommand(word).cloned().unwrap_or(command);
    }
    Some(command.render_help().to_string())
}

/// What clap says, as an error of ours: the first paragraph says what is wrong.
fn bad_usage(told: &str) -> Error {
    let in_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = told.split("\n\n").map(in_one_line).filter(|text| !text.is_empty());
    let what = paragraphs.next().unwrap_or_default();
    paragraphs.fold(Error::refused(what.trim_start_matches("error: ")), Error::hint)
}

/// Whether a document is wanted, of a command line that could not be read.
fn wants_json() -> bool {
    let is_true = |text: OsString| ["1", "on", "t", "true", "y", "yes"].iter().any(|word| text.eq_ignore_ascii_case(word));
    let mut words = std::env::args_os().skip(1).take_while(|word| word != "--");
    words.any(|word| word == "--json") || std::env::var_os("THREESCALE_BACKUP_JSON").is_some_and(is_true)
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

    #[test]
    fn every_command_that_asks_has_its_own_variable_not_to() {
        fn of(command: &clap::Command, found: &mut Vec<String>) {
            let yes = command.get_arguments().find(|arg| arg.get_id() == "yes");
            found.extend(yes.map(|arg| arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()));
            command.get_subcommands().for_each(|inner| of(inner, found));
        }
        let mut found = Vec::new();
        of(&described(), &mut found);
        found.sort();
        let mut wanted: Vec<_> = YES.iter().map(|(_, variable)| (*variable).to_owned()).collect();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn an_option_that_needs_another_is_refused_without_it() {
        let of = |line: &str| matches_of(line.split(' ').map(OsString::from).collect()).map_err(|error| error.to_string());
        for line in [
            "plan latest --service 3",
            "restore latest --domain d",
            "forget --now",
            "abandon r --drop-previous",
            "backup --drain-seconds 1",
            "export latest system-database --to f --format csv",
        ] {
            let error = of(&format!("threescale-backup {line}")).err().unwrap_or_default();
            assert!(error.contains(" means something with --"), "{line}: {error}");
        }
        for line in ["plan latest --service 3 --classes usage", "forget --now --prune", "backup --freeze --drain-seconds 1"] {
            assert!(of(&format!("threescale-backup {line}")).is_ok(), "{line}");
        }
    }

    #[test]
    fn bad_usage_has_its_way_out() {
        let error = bad_usage("error: unexpected argument '--x' found\n\n  tip: a similar argument exists: '--y'\n\nUsage: a b\n");
        assert_eq!(error.to_string(), "unexpected argument '--x' found");
        assert_eq!(error.hints(), ["tip: a similar argument exists: '--y'", "Usage: a b"]);
    }
}
