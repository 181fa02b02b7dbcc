//! A child process whose exit status counts and whose standard error is kept. It must never outlive its owner, nor see a password in its arguments.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child as Process, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use plan::error::During;
use plan::{Error, Result};
use secrecy::ExposeSecret;

use crate::address::{Address, Host};
use crate::clients::Clients;
use crate::session::APPLICATION;
use crate::tls;

/// How much of a child's standard error is kept: its beginning, where the first failure is.
const KEPT_ERROR_BYTES: usize = 64 << 10;

/// A running child.
pub(crate) struct Child {
    name: String,
    process: Process,
    errors: Option<JoinHandle<String>>,
    ended: bool,
}

/// A command that will log in at an address: everything libpq needs is in its environment, and nothing of ours leaks in.
///
/// # Errors
/// [`plan::Class::Refused`] when the TLS options cannot be given to the client.
pub(crate) fn command(clients: &Clients, program: &str, address: &Address) -> Result<Command> {
    let mut command = Command::new(clients.program(program));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    let host = match &address.host {
        Host::Name(name) => PathBuf::from(name),
        Host::Socket(folder) => folder.clone(),
    };
    command.env("PGHOST", host).env("PGPORT", address.port.to_string()).env("PGUSER", &address.user);
    command.env("PGAPPNAME", APPLICATION).env("PGCONNECT_TIMEOUT", "10").env("PGGSSENCMODE", "disable").env("LC_ALL", "C");
    // No file of ours may be asked instead: an absent password is an error, not a question.
    command.env("PGPASSFILE", "/dev/null").env("PGSERVICEFILE", "/dev/null");
    if let Some(password) = &address.password {
        command.env("PGPASSWORD", password.expose_secret());
    }
    command.envs(tls::environment(address.tls.as_ref(), clients.major)?);
    Ok(command)
}

impl Child {
    /// Starts a command with piped streams.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(mut command: Command, stdin: Stdio, stdout: Stdio) -> Result<Self> {
        let name = PathBuf::from(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let spawned = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn();
        let mut process = spawned.during(|| format!("start {name}"))?;
        let errors = process.stderr.take().map(|stream| std::thread::spawn(move || kept(stream)));
        Ok(Self { name, process, errors, ended: false })
    }

    /// Its standard input, once.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn stdin(&mut self) -> Result<ChildStdin> {
        self.process.stdin.take().ok_or_else(|| Error::failed(format!("{} has no standard input", self.name)))
    }

    /// Its standard output, once.
    ///
    /// # Errors
    /// When it has none.
    pub(crate) fn stdout(&mut self) -> Result<ChildStdout> {
        self.process.stdout.take().ok_or_else(|| Error::failed(format!("{} has no standard output", self.name)))
    }

    /// The process id.
    #[cfg(test)]
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end and gives its standard error.
    ///
    /// # Errors
    /// When it ended with anything but 0: its own words are in the hints.
    pub(crate) fn wait(&mut self) -> Result<String> {
        let status = self.process.wait().during(|| format!("wait for {}", self.name))?;
        self.ended = true;
        let said = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(said);
        }
        let failure = Error::failed(format!("{} failed ({status})", self.name));
        Err(if said.trim().is_empty() { failure } else { failure.hint(said.trim().to_owned()) })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            // Both fail only when the process is gone already.
            drop(self.process.kill());
            drop(self.process.wait());
        }
    }
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
