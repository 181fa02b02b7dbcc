//! A client program that runs, on this machine or beside the server: its exit status counts and its standard error is kept. It must never outlive
//! its owner, nor see a password in its arguments.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Process, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use line::{Line, Waiting};
use plan::error::During;
use plan::ports::Input;
use plan::{Class, Error, Result};
use secrecy::ExposeSecret;

use crate::address::{Address, Host};
use crate::asker::{About, Asker};
use crate::encryption;
use crate::failure::says_lost_to_another;
use crate::session::APPLICATION;

/// How much of a child's standard error is kept: its beginning, where the first failure is.
const KEPT_ERROR_BYTES: usize = 64 << 10;

/// What to run: a program of PostgreSQL's, its arguments, and which of its streams are used.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `pg_dump`, `pg_restore`, `psql`.
    pub(crate) program: &'static str,
    /// Visible in a process list.
    pub(crate) arguments: Vec<String>,
    /// Whether it is fed.
    pub(crate) takes_input: bool,
    /// Whether what it writes is read.
    pub(crate) gives_output: bool,
    /// Whether it connects to the server at all.
    pub(crate) connects: bool,
}

impl Call {
    /// A program that only converts.
    pub(crate) fn offline(self) -> Self {
        Self { connects: false, ..self }
    }

    /// A program with its arguments, without streams.
    pub(crate) fn new<S: Into<String>>(program: &'static str, arguments: impl IntoIterator<Item = S>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program, arguments, takes_input: false, gives_output: false, connects: true }
    }

    /// More arguments.
    pub(crate) fn and<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// It will be fed.
    pub(crate) fn fed(mut self) -> Self {
        self.takes_input = true;
        self
    }

    /// What it writes will be read.
    pub(crate) fn read(mut self) -> Self {
        self.gives_output = true;
        self
    }
}

/// A running client program, wherever it runs. Dropping it ends it.
pub(crate) trait Running: Send {
    /// Its standard input, once. Dropped without [`Input::end`], the program does not take what it got for the whole.
    ///
    /// # Errors
    /// When it has none.
    fn stdin(&mut self) -> Result<Box<dyn Input>>;

    /// Its standard output, once.
    ///
    /// # Errors
    /// When it has none.
    fn stdout(&mut self) -> Result<Box<dyn Read + Send>>;

    /// Ends it now, whatever it does.
    fn stop(&mut self);

    /// Waits for its end and gives its standard error.
    ///
    /// # Errors
    /// When it ended with anything but 0: its own words are in the hints.
    fn wait(&mut self) -> Result<String>;

    /// The process id on this machine.
    #[cfg(test)]
    fn id(&self) -> Option<u32>;
}

/// Starts a program of this machine, with all that libpq needs to log in at an address in its environment, and nothing of ours leaks in. `options` are those of
/// its session.
///
/// # Errors
/// [`plan::Class::Refused`] when the TLS options cannot be given to the client; also when it cannot be started.
pub(crate) fn start(folder: &Path, major: u32, options: &str, address: &Address, call: &Call) -> Result<Box<dyn Running>> {
    let mut command = children::command(folder.join(call.program));
    command.args(&call.arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    let (host, line) = match &address.host {
        Host::Name(name) if call.connects => (PathBuf::from(name), Some(Line::open(name, address.port, &address.limits)?)),
        Host::Name(name) => (PathBuf::from(name), None),
        Host::Socket(folder) => (folder.clone(), None),
    };
    command
        .env("PGHOST", host)
        .env("PGPORT", address.port.to_string())
        .env("PGUSER", &address.user)
        .env("PGOPTIONS", options)
        .envs(SETTINGS);
    if let Some(line) = &line {
        // A name of its own, by which the server is asked about it.
        let name = format!("{APPLICATION} {} {}", std::process::id(), CHILDREN.fetch_add(1, Ordering::SeqCst));
        command.env("PGHOSTADDR", "127.0.0.1").env("PGPORT", line.port().to_string()).env("PGAPPNAME", &name);
        line.set_peer(Arc::new(Asker::new(address.clone(), About::Application(name))));
    }
    if let Some(password) = &address.password {
        command.env("PGPASSWORD", password.expose_secret());
    }
    command.envs(encryption::environment(address.tls.as_ref(), major)?);
    let piped = |wanted| if wanted { Stdio::piped() } else { Stdio::null() };
    let spawned = command.stdin(piped(call.takes_input)).stdout(piped(call.gives_output)).stderr(Stdio::piped()).spawn();
    let mut process = spawned.during(|| format!("start {}", call.program))?;
    let errors = process.stderr.take().map(|stream| std::thread::spawn(move || kept(stream)));
    Ok(Box::new(Child { name: call.program, process, errors, ended: false, line: line.map(Arc::new) }))
}

/// How many there were.
static CHILDREN: AtomicU32 = AtomicU32::new(0);

/// Settings of libpq that are the same everywhere. No file may be asked for a password: an absent one is an error, not a question.
pub(crate) const SETTINGS: [(&str, &str); 6] = [
    ("PGAPPNAME", APPLICATION),
    ("PGCONNECT_TIMEOUT", "10"),
    ("PGGSSENCMODE", "disable"),
    ("LC_ALL", "C"),
    ("PGPASSFILE", "/dev/null"),
    ("PGSERVICEFILE", "/dev/null"),
];

/// A program on this machine.
struct Child {
    name: &'static str,
    process: Process,
    errors: Option<JoinHandle<String>>,
    ended: bool,
    /// Its way to the server.
    line: Option<Arc<Line>>,
}

impl Running for Child {
    fn stdin(&mut self) -> Result<Box<dyn Input>> {
        let stdin = self.process.stdin.take().ok_or_else(|| Error::failed(format!("{} has no standard input", self.name)))?;
        Ok(Box::new(Pipe { pipe: stdin, line: self.line.clone() }))
    }

    fn stdout(&mut self) -> Result<Box<dyn Read + Send>> {
        let stdout = self.process.stdout.take().ok_or_else(|| Error::failed(format!("{} has no standard output", self.name)))?;
        Ok(Box::new(Pipe { pipe: stdout, line: self.line.clone() }))
    }

    fn stop(&mut self) {
        // Fails only when the process is gone already.
        drop(self.process.kill());
    }

    fn wait(&mut self) -> Result<String> {
        let waiting = waiting(self.line.as_deref());
        let status = self.process.wait().during(|| format!("wait for {}", self.name))?;
        drop(waiting);
        self.ended = true;
        let said = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(said);
        }
        let class = class_of(&said);
        let failure = Error::new(class, format!("{} failed ({status})", self.name));
        let failure = if said.trim().is_empty() { failure } else { failure.hint(said.trim().to_owned()) };
        Err(match &self.line {
            Some(line) => line.explain(failure),
            None => failure,
        })
    }

    #[cfg(test)]
    fn id(&self) -> Option<u32> {
        Some(self.process.id())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.stop();
            drop(self.process.wait());
        }
    }
}

fn waiting(line: Option<&Line>) -> Option<Waiting> {
    line.map(Line::waiting)
}

/// A stream of a program of this machine: whoever reads or writes it waits for the server. What goes in short is seen by the program itself: an archive has
/// its own end, a transaction its COMMIT.
struct Pipe<T> {
    pipe: T,
    line: Option<Arc<Line>>,
}

impl<T: Read> Read for Pipe<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let _waiting = waiting(self.line.as_deref());
        self.pipe.read(buffer)
    }
}

impl<T: Write> Write for Pipe<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _waiting = waiting(self.line.as_deref());
        self.pipe.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

impl Input for Pipe<ChildStdin> {
    fn end(mut self: Box<Self>) -> Result<()> {
        self.pipe.flush().during(|| "write to a program's standard input".to_owned())
    }
}

/// What the programs say (in the C locale) when the connection breaks, or the server goes away or has no room: the same call may work later.
const LOST: [&str; 9] = [
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "connection to server was lost",
    "SSL SYSCALL error",
    "SSL connection has been closed unexpectedly",
    "terminating connection",
    "the database system is ",
];

/// What a program's failure means, by what it said.
pub(crate) fn class_of(said: &str) -> Class {
    // The server's own hint names the setting.
    if said.contains("out of shared memory") {
        return Class::Refused;
    }
    let is_passing = LOST.iter().any(|words| said.contains(words)) || says_lost_to_another(said);
    if is_passing { Class::Transient } else { Class::Failed }
}

/// Reads to the end, so that the child never blocks on a full pipe, and keeps the beginning.
fn kept(mut stream: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        let room = KEPT_ERROR_BYTES.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(length.min(room)));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// An error of a stream: what a port put into it, or the machine's own.
pub(crate) fn of_stream(error: io::Error, what: &str) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error.during(what.to_owned()),
        Err(error) => Error::failed(what.to_owned()).because(error),
    }
}
