//! What TAB offers: names of data sets, ids of sets and of runs. The shell asks the program itself (`COMPLETE=bash`), while a person waits.
//!
//! So it is quick or silent: no command is run for a password, no cluster is asked, and what is not there within two seconds is not offered.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use clap::Arg;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use plan::ids::DataSetName;
use plan::ports::{Repository as _, StopFlag};
use repository::RusticRepository;
use runner::State;

use crate::app::default_state_folder;
use crate::args::{described, variables};
use crate::config::{Config, Sources};
use crate::join;
use crate::output::local_time;

const WAIT_MAX: Duration = Duration::from_secs(2);
/// More than anybody reads.
const OFFERED_MAX: usize = 100;

/// When the shell asks, answers it and ends the program.
pub(crate) fn answer_the_shell() {
    CompleteEnv::with_factory(command_line).complete();
}

/// The command line, with what each value may be.
pub(crate) fn command_line() -> clap::Command {
    fn with_values(command: clap::Command) -> clap::Command {
        command.mut_args(with_value).mut_subcommands(with_values)
    }
    with_values(described())
}

fn with_value(arg: Arg) -> Arg {
    let is_positional = arg.is_positional();
    match (arg.get_id().as_str(), is_positional) {
        ("set" | "sets" | "from" | "to", true) => arg.add(ArgValueCandidates::new(|| within(sets))),
        ("run", true) => arg.add(ArgValueCandidates::new(|| within(runs))),
        ("data_set", true) | ("only", false) => arg.add(ArgValueCandidates::new(data_sets)),
        _ => arg,
    }
}

fn data_sets() -> Vec<CompletionCandidate> {
    DataSetName::ALL.iter().map(|name| CompletionCandidate::new(name.as_str())).collect()
}

/// What is found in time. The thread is left behind: the program ends when the shell has its answer.
fn within(find: fn() -> Option<Vec<CompletionCandidate>>) -> Vec<CompletionCandidate> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(find())));
    receiver.recv_timeout(WAIT_MAX).ok().flatten().unwrap_or_default()
}

/// `latest`, and the sets, newest first.
fn sets() -> Option<Vec<CompletionCandidate>> {
    let config = config()?;
    if config.asks_a_command("repository") {
        return None;
    }
    let (location, password) = join::repository(&config, &StopFlag::default()).ok()?;
    let mut manifests = RusticRepository::open(&location, &password).ok()?.manifests().ok()?;
    manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.finished_at));
    let of_set = |manifest: &plan::manifest::Manifest| {
        let whose = manifest.installation.as_ref().map(|id| id.name.as_str()).unwrap_or_default();
        let help = format!("{} {whose}", local_time(manifest.finished_at));
        CompletionCandidate::new(manifest.set.as_str()).help(Some(help.trim().to_owned().into()))
    };
    let latest = CompletionCandidate::new("latest").help(Some("the newest whole set".into()));
    Some(std::iter::once(latest).chain(manifests.iter().take(OFFERED_MAX).map(of_set)).collect())
}

/// The runs whose journals are on this machine, newest first.
fn runs() -> Option<Vec<CompletionCandidate>> {
    let configured = config().and_then(|config| config.state_folder().ok().flatten());
    let folder = given("--state-folder", "THREESCALE_BACKUP_STATE_FOLDER").map(PathBuf::from).or(configured);
    let state = State::folder_to_look_at(&folder.unwrap_or_else(default_state_folder)).ok()?;
    let all = state.all().ok()?.into_iter().rev().take(OFFERED_MAX);
    let help = |run: &plan::Result<plan::journal::Run>| {
        run.as_ref().map_or_else(|_| "its journal cannot be read".to_owned(), |run| run.describe())
    };
    Some(all.map(|(id, run)| CompletionCandidate::new(id.as_str()).help(Some(help(&run).into()))).collect())
}

fn config() -> Option<Config> {
    let file = given("--config", "THREESCALE_BACKUP_CONFIG").map(PathBuf::from);
    let sources = Sources { file: file.as_deref(), variables: std::env::vars_os().collect(), options: variables(), cluster: Vec::new() };
    Config::load(&sources).ok()
}

/// The value of an option on the line that is being written, else of its variable.
fn given(option: &str, variable: &str) -> Option<OsString> {
    let words: Vec<_> = std::env::args_os().skip_while(|word| word != "--").collect();
    let beside = words.iter().filter_map(|word| word.to_str()?.strip_prefix(option)?.strip_prefix('=')).map(OsString::from).next();
    let behind = words.iter().position(|word| word == OsStr::new(option)).and_then(|place| words.get(place + 1).cloned());
    beside.or(behind).or_else(|| std::env::var_os(variable)).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::command_line;

    /// That an option is there is known to the crate; which have values of ours is looked at here.
    #[test]
    fn every_set_run_and_data_set_has_values() {
        fn positionals(command: &clap::Command, found: &mut Vec<String>) {
            found.extend(
                command
                    .get_positionals()
                    .filter(|arg| arg.get::<clap_complete::engine::ArgValueCandidates>().is_none())
                    .map(|arg| format!("{} {}", command.get_name(), arg.get_id())),
            );
            command.get_subcommands().for_each(|inner| positionals(inner, found));
        }
        let mut without = Vec::new();
        positionals(&command_line(), &mut without);
        assert_eq!(without, ["ls path", "find name", "remove key", "extend job", "release job", "completions shell", "man page"]);
    }
}
