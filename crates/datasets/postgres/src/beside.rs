//! PostgreSQL's programs beside the server: in its pod, whose programs always have the server's own version. They reach the server from there, by
//! an address that means something only there; user and password go with the environment, never with the arguments.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plan::ports::{Context, Input, Process, Program, Remote};
use plan::{Error, Result};
use secrecy::SecretString;

use crate::address::Address;
use crate::child::{Call, Running, SETTINGS, class_of, of_stream};

/// Finds the programs as the images have them: in `PATH`, by the shell's start file of software collections, or in a folder of a version's own.
pub(crate) const FIND: &str = r#"
if ! command -v pg_dump >/dev/null 2>&1 && [ -r "${BASH_ENV:-}" ]; then . "$BASH_ENV"; fi
for folder in /usr/pgsql-*/bin /usr/lib/postgresql/*/bin /opt/rh/*/root/usr/bin; do PATH="$PATH:$folder"; done
export PATH
for name in pg_dump pg_restore psql; do command -v "$name" >/dev/null || { echo "$name is not here" >&2; exit 127; }; done
"#;
/// What a version has to say, at most.
const VERSION_MAX_BYTES: u64 = 4096;

/// Programs beside a server, and how they reach it from there.
#[derive(Clone)]
pub struct RemotePrograms {
    /// Where they run: the server's container.
    pub remote: Arc<dyn Remote>,
    /// The server as seen from there: `127.0.0.1`, or the folder of its socket.
    pub host: String,
    /// Its port there.
    pub port: u16,
    /// Whether the superuser may be asked over the server's socket there: in a pod of 3scale's own.
    pub superuser: bool,
}

impl fmt::Debug for RemotePrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemotePrograms({})", self.remote.place())
    }
}

impl RemotePrograms {
    /// Version of `pg_dump`, as it says it.
    ///
    /// # Errors
    /// When the place cannot be reached, or has not got all three programs.
    pub(crate) fn version(&self, context: &Context) -> Result<String> {
        let program = Program::script(&format!("{FIND}exec \"$@\""), &["pg_dump", "--version"]);
        let place = self.remote.place();
        let mut process = self.remote.start(context, &program)?;
        let mut said = String::new();
        if let Some(output) = process.output() {
            let what = "ask for the version of pg_dump";
            output.take(VERSION_MAX_BYTES).read_to_string(&mut said).map_err(|error| of_stream(error, what))?;
        }
        process.finish()?.success(format!("PostgreSQL's programs are not in {place}"))?;
        // `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
        let version = said.split_whitespace().nth(2).map(str::to_owned);
        version.ok_or_else(|| Error::failed(format!("pg_dump in {place} does not tell its version")))
    }

    /// Starts one, with all that libpq needs to log in over there; `options` are those of its session.
    ///
    /// # Errors
    /// As [`Remote::start`].
    pub(crate) fn start(&self, context: &Context, options: &str, address: &Address, call: &Call) -> Result<Box<dyn Running>> {
        let silent = if call.gives_output { "" } else { " >/dev/null" };
        let script = format!("{FIND}exec \"$@\"{silent}");
        let arguments: Vec<&str> = std::iter::once(call.program).chain(call.arguments.iter().map(String::as_str)).collect();
        let mut program = Program::script(&script, &arguments);
        program.takes_input = call.takes_input;
        let port = self.port.to_string();
        // What the image sets for its own server must not win over what is set here.
        let own = [
            ("PGHOST", self.host.as_str()),
            ("PGHOSTADDR", ""),
            ("PGPORT", &port),
            ("PGUSER", &address.user),
            ("PGOPTIONS", options),
            ("PGSSLMODE", "prefer"),
        ];
        let settings = own.into_iter().chain(SETTINGS);
        program.environment = settings.map(|(name, value)| (name.to_owned(), SecretString::from(value))).collect();
        if let Some(password) = &address.password {
            program.environment.push(("PGPASSWORD".to_owned(), password.clone()));
        }
        let process = self.remote.start(context, &program)?;
        Ok(Box::new(Beside { name: call.program, place: self.remote.place(), process: Some(process), unread: Arc::default() }))
    }
}

/// A program that runs beside the server.
struct Beside {
    name: &'static str,
    place: String,
    /// `None` when it was stopped.
    process: Option<Box<dyn Process>>,
    /// Whether its output was taken and has not been read to its end.
    unread: Arc<AtomicBool>,
}

impl Beside {
    fn process(&mut self) -> Result<&mut Box<dyn Process>> {
        self.process.as_mut().ok_or_else(|| Error::failed(format!("{} was stopped before its end", self.name)))
    }
}

impl Running for Beside {
    fn stdin(&mut self) -> Result<Box<dyn Input>> {
        let name = self.name;
        self.process()?.input().ok_or_else(|| Error::failed(format!("{name} has no standard input")))
    }

    fn stdout(&mut self) -> Result<Box<dyn Read + Send>> {
        let (name, unread) = (self.name, Arc::clone(&self.unread));
        let output = self.process()?.output().ok_or_else(|| Error::failed(format!("{name} has no standard output")))?;
        unread.store(true, Ordering::SeqCst);
        Ok(Box::new(ToItsEnd { output, unread }))
    }

    fn stop(&mut self) {
        self.process = None;
    }

    fn wait(&mut self) -> Result<String> {
        if self.unread.load(Ordering::SeqCst) {
            // It may wait for a reader that has gone.
            self.stop();
        }
        let what = format!("{} in {}", self.name, self.place);
        if let Some(mut output) = self.process()?.output() {
            io::copy(&mut output, &mut io::sink()).map_err(|error| of_stream(error, &what))?;
        }
        let process = self.process.take().ok_or_else(|| Error::failed(format!("{what} was stopped before its end")))?;
        let ended = process.finish().map_err(|error| error.during(what.clone()))?;
        if ended.status == 0 {
            return Ok(ended.said);
        }
        let class = class_of(&ended.said);
        let failure = Error::new(class, format!("{} failed (exit status {}) in {}", self.name, ended.status, self.place));
        Err(if ended.said.trim().is_empty() { failure } else { failure.hint(ended.said.trim().to_owned()) })
    }

    #[cfg(test)]
    fn id(&self) -> Option<u32> {
        None
    }
}

/// Output that tells whether it was read to its end.
struct ToItsEnd {
    output: Box<dyn Read + Send>,
    unread: Arc<AtomicBool>,
}

impl Read for ToItsEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.unread.store(false, Ordering::SeqCst);
        }
        Ok(count)
    }
}
