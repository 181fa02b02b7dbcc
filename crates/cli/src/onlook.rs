//! `restore --then`: a command of the operator's looks at what is staged before it goes live. For it each store is a program of its data set's name, which asks this process; so no
//! password of a store leaves it, and nothing can be written.

mod door;
mod talk;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab::Folder;
use plan::error::During as _;
use plan::ids::DataSetName;
use plan::ports::{Context, Event, Staged, StopFlag};
use plan::{Error, Result};
use runner::{Looking, Onlooker};
use serde_json::{Map, Value, json};

pub(crate) use door::asked;

/// Tells the command in which folder the programs are; they are on its `PATH`, too.
const FOLDER: &str = "THREESCALE_STAGED";
/// The same in a rehearsal: one command serves both.
const FOLDER_OF_REHEARSALS: &str = "THREESCALE_REHEARSAL";
const SOCKET: &str = "socket";
/// How often it is looked whether the command has ended, or is to be ended.
const GLANCE: Duration = Duration::from_millis(20);

/// Runs the command, to its end or until the operator stops it.
pub(crate) fn onlooker(json: bool) -> Onlooker {
    Arc::new(move |looking| look(looking, json))
}

fn look(looking: &Looking<'_>, json: bool) -> Result<()> {
    let context = looking.context;
    context.stop.check()?;
    let folder = Folder::create("then")?;
    let (stores, unseen) = open(folder.path(), looking)?;
    let names: Vec<_> = stores.keys().map(String::as_str).collect();
    let mut text = format!("running the command of --then, which looks at {}", names.join(", "));
    if !unseen.is_empty() {
        text.push_str(&format!("; it does not see {}", unseen.join(", ")));
    }
    context.watch.see(Event::Note(&text));
    let document = json!({ "run": context.run, "set": looking.set, "folder": folder.path(), "data_sets": stores });
    let socket = folder.path().join(SOCKET);
    let listener = UnixListener::bind(&socket).during(|| format!("listen at {}", socket.display()))?;
    // Questions that are not answered when the command has ended are in nobody's interest, whoever still waits for them.
    let (clients, asking) = (&Clients::default(), &Context { stop: context.stop.child(), ..context.clone() });
    let status = std::thread::scope(|scope| {
        scope.spawn(move || {
            for client in listener.incoming() {
                let Ok((client, kept)) = client.and_then(|client| Ok((client.try_clone()?, client))) else { continue };
                let Some(number) = clients.enter(kept) else { return };
                scope.spawn(move || {
                    // Who goes away in the middle of an answer wants no more of it.
                    talk::answer(client, looking, asking).ok();
                    clients.leave(number);
                });
            }
        });
        let status = run(looking.command, folder.path(), &document, json, &context.stop);
        asking.stop.raise();
        clients.end();
        // Wakes the thread that listens.
        drop(UnixStream::connect(&socket));
        status
    })?;
    if status.success() {
        context.watch.see(Event::Note("the command of --then ended with 0: the restore goes on"));
        return Ok(());
    }
    Err(Error::needs_person(format!("the command of --then ended with {status}")).hint("What is staged was proven, and stays as it is."))
}

/// Who asks at the moment.
#[derive(Default)]
struct Clients(Mutex<Asking>);

#[derive(Default)]
struct Asking {
    is_over: bool,
    last: u64,
    by_number: BTreeMap<u64, UnixStream>,
}

impl Clients {
    /// One more, with the number by which it goes again; `None` when it is over.
    fn enter(&self, client: UnixStream) -> Option<u64> {
        let mut asking = self.lock();
        if asking.is_over {
            return None;
        }
        asking.last += 1;
        let number = asking.last;
        asking.by_number.insert(number, client);
        Some(number)
    }

    fn leave(&self, number: u64) {
        self.lock().by_number.remove(&number);
    }

    /// Ends each connection, so that nothing here waits for who is silent or does not read.
    fn end(&self) {
        let mut asking = self.lock();
        asking.is_over = true;
        for client in asking.by_number.values() {
            drop(client.shutdown(Shutdown::Both));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Asking> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes what leads to each store, and gives a document of them, with the names of those to which nothing leads.
fn open(folder: &Path, looking: &Looking<'_>) -> Result<(Map<String, Value>, Vec<&'static str>)> {
    let program = std::env::current_exe().map_err(|error| Error::failed("where this program is cannot be found out").because(error))?;
    let (mut stores, mut unseen) = (Map::new(), Vec::new());
    for (name, data_set, place) in &looking.staged {
        let at = folder.join(name.as_str());
        let store = match data_set.staged(place)? {
            None => {
                unseen.push(name.as_str());
                continue;
            }
            Some(Staged::Folder(tree)) => {
                symlink(&tree, &at).map_err(|error| Error::failed(format!("{} could not be made", at.display())).because(error))?;
                json!({ "kind": data_set.kind()?, "folder": at })
            }
            Some(Staged::Answers) => {
                write_door(&at, &program, &folder.join(SOCKET), *name)?;
                json!({ "kind": data_set.kind()?, "program": at })
            }
        };
        stores.insert(name.to_string(), store);
    }
    Ok((stores, unseen))
}

fn write_door(at: &Path, program: &Path, socket: &Path, name: DataSetName) -> Result<()> {
    let quoted = |path: &Path| format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"));
    let script = format!("#!/bin/sh\nexec {} {} {} {name} \"$@\"\n", quoted(program), door::WORD, quoted(socket));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(at);
    let written = made.and_then(|mut file| file.write_all(script.as_bytes()));
    written.map_err(|error| Error::failed(format!("{} could not be written", at.display())).because(error))
}

/// Starts the command with the document on its standard input, and waits for it. It ends, with all that it started, when the operator stops the run.
fn run(command: &str, folder: &Path, document: &Value, json: bool, stop: &StopFlag) -> Result<ExitStatus> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(PathBuf::from(folder)).chain(std::env::split_paths(&path)));
    let path = path.map_err(|error| Error::failed("the PATH cannot be added to").because(error))?;
    let mut shell = children::command("sh");
    shell.args(["-c", command]).env(FOLDER, folder).env(FOLDER_OF_REHEARSALS, folder).env("PATH", path).stdin(Stdio::piped());
    // With --json standard output is the document's alone.
    if json {
        shell.stdout(Stdio::from(std::io::stderr()));
    }
    let child = shell.process_group(0).spawn().map_err(|error| Error::failed("sh could not be started").because(error))?;
    let mut child = Ending(child);
    if let Some(mut input) = child.0.stdin.take() {
        // A command that does not read it needs nothing of it; it is smaller than a pipe.
        drop(input.write_all(document.to_string().as_bytes()));
    }
    loop {
        if let Some(status) = child.0.try_wait().during(|| "wait for the command of --then".to_owned())? {
            return Ok(status);
        }
        stop.check()?;
        std::thread::sleep(GLANCE);
    }
}

/// A command that does not outlive this value, nor does anything that it started.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        children::end_group(&mut self.0);
    }
}

/// What is asked of a store.
fn ask(looking: &Looking<'_>, context: &Context, name: &str, words: &[String], to: &mut dyn std::io::Write) -> Result<()> {
    let found = looking.staged.iter().find(|(data_set, ..)| data_set.as_str() == name);
    let (_, data_set, place) = found.ok_or_else(|| Error::refused(format!("{name} is not staged")))?;
    data_set.ask_staged(context, place, words, to)
}
