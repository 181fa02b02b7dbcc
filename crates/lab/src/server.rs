//! What all throw-away servers have in common: folder, port, password, process, log, readiness, stop, kill, start again.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::Process;

const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(120);
const LOG_TAIL_BYTES: usize = 4096;

type Launch = Box<dyn Fn(&Path, u16) -> Result<Command> + Send + Sync>;
type Ready = Box<dyn Fn() -> Result<()> + Send + Sync>;

/// How one kind of server is run.
pub(crate) struct Kind {
    /// For messages: "MySQL".
    pub(crate) name: &'static str,
    /// Asks it to end cleanly.
    pub(crate) stop_signal: Signal,
    /// The command, made by `process::mortal`; the log is added here.
    pub(crate) launch: Launch,
    /// Whether it serves a client (the port is asked before).
    pub(crate) ready: Ready,
    /// Whether it listens on loopback, or on its socket alone.
    pub(crate) reach: Reach,
}

/// From where a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every user of this machine, by loopback, with the password.
    Loopback,
    /// This user alone: the socket is in a folder that nobody else enters.
    Socket,
}

/// A password that was never used before: 128 random bits, which mean nothing to a URL, a shell or SQL.
pub(crate) fn password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("failed to draw a password").because(error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file that only its owner reads, from its first byte on.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(file);
    made.and_then(|mut made| made.write_all(text.as_bytes())).during(|| format!("write {}", file.display()))
}

/// A server in a folder on a port. Ends with the value.
pub struct Server {
    kind: Kind,
    password: String,
    // Declared before the folder: a field dropped later must not lose its files under it.
    process: Option<Process>,
    port: Port,
    folder: Folder,
}

impl Server {
    pub(crate) fn start(kind: Kind, folder: Folder, port: Port, password: String) -> Result<Self> {
        let mut server = Self { kind, password, process: None, port, folder };
        server.start_again()?;
        Ok(server)
    }

    /// Always `127.0.0.1`.
    #[must_use]
    pub const fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// The password of its superuser (of everybody, for a Redis): another one for each server. Empty for none.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn is_on_its_socket_only(&self) -> bool {
        self.kind.reach == Reach::Socket
    }

    /// The port, also while the server is down.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// The folder of the server: data in `data`, log in `server.log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// The process id, when it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Starts it on the same data and the same port; nothing to do when it runs.
    ///
    /// # Errors
    /// When it does not start; the end of its log is in the hints.
    pub fn start_again(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_none()
        {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.log()).during(|| format!("open {}", self.log().display()))?;
        let mut command = (self.kind.launch)(self.folder.path(), self.port.number())?;
        let other = log.try_clone().during(|| "open the server's log".to_owned())?;
        command.stdin(Stdio::null()).stdout(log).stderr(other).current_dir(self.folder.path());
        let mut process = Process::start(command)?;
        self.wait_until_ready(&mut process).map_err(|error| self.with_log(error))?;
        self.process = Some(process);
        Ok(())
    }

    fn wait_until_ready(&self, process: &mut Process) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port.number()));
        loop {
            if let Some(status) = process.ended()? {
                return Err(Error::failed(format!("{} ended while it started: {status}", self.kind.name)));
            }
            let listens = match self.kind.reach {
                Reach::Loopback => TcpStream::connect_timeout(&address, Duration::from_secs(1)).map(drop),
                Reach::Socket => Ok(()),
            };
            match listens.during(|| format!("connect to {address}")).and_then(|()| (self.kind.ready)()) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    return Err(error.during(format!("{} was not ready within {} s", self.kind.name, START_LIMIT.as_secs())));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn with_log(&self, error: Error) -> Error {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let tail = text.get(text.len().saturating_sub(LOG_TAIL_BYTES)..).unwrap_or(&text);
        error.hint(format!("End of its log: {}", String::from_utf8_lossy(tail).trim()))
    }

    /// Ends it cleanly (PostgreSQL ends sessions); what it persists stays. Nothing to do when it does not run.
    ///
    /// # Errors
    /// When it does not end in two minutes.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.stop(self.kind.stop_signal, STOP_LIMIT).map_err(|error| self.with_log(error)).map(drop)
    }

    /// SIGKILL, to its children too; what was persisted stays.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGSTOP: connections stay open and nothing answers; sessions of PostgreSQL go on, as they are processes of their own.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn freeze(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), |process| process.send(Signal::STOP))
    }

    /// SIGCONT: goes on after `freeze`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn thaw(&self) -> Result<()> {
        self.process.as_ref().map_or(Ok(()), |process| process.send(Signal::CONT))
    }
}
