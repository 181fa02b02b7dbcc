//! A throw-away Redis server.

use std::path::{Path, PathBuf};
use std::process::Command;

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::{find, find_newest};
use crate::server::{Kind, Server};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedisKind {
    /// Redis as this machine has it (7.0 on Debian 12).
    Redis,
    /// The newest Redis of the private prefix (see `scripts/install-test-deps`).
    NewestRedis,
    /// Valkey of the private prefix.
    Valkey,
}

/// A running server. Ends with the value.
pub struct Redis {
    server: Server,
    socket: PathBuf,
    password: Option<String>,
    uses_tls: bool,
}

impl Redis {
    /// Starts an empty server with extra options as of its command line (`["--appendonly", "yes", "--requirepass", "secret"]`),
    /// which win over the lab's own (no RDB at intervals, `DEBUG` allowed). With `--tls-port 0` TLS is on the port and nothing else.
    ///
    /// # Errors
    /// When the program is missing or the server does not start; the end of its log is in the hints.
    pub fn start(options: &[&str]) -> Result<Self> {
        Self::start_kind(RedisKind::Redis, options)
    }

    /// As `start`, of another kind.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_kind(kind: RedisKind, options: &[&str]) -> Result<Self> {
        let folder = Folder::create("redis")?;
        let port = Port::reserve()?;
        let password = value_of(options, "--requirepass");
        let uses_tls = value_of(options, "--tls-port").is_some();
        let options: Vec<String> = without(options, "--tls-port");
        let socket = folder.join("sock");
        let (path, secret) = (folder.path().to_owned(), password.clone());
        let kind = Kind {
            name: if kind == RedisKind::Valkey { "Valkey" } else { "Redis" },
            stop_signal: Signal::TERM,
            launch: Box::new(move |folder, port| launch(kind, folder, port, uses_tls, &options)),
            ready: Box::new(move || {
                let output = client(&path, secret.as_deref()).arg("PING").output().during(|| "start redis-cli".to_owned())?;
                let said = String::from_utf8_lossy(&output.stdout);
                // NOPERM and NOAUTH: it serves, only not us (an ACL of the test's own).
                if said.starts_with("PONG") || said.starts_with("NOPERM") || said.starts_with("NOAUTH") {
                    return Ok(());
                }
                Err(Error::transient(format!("Redis said {:?} to PING", said.trim())))
            }),
        };
        Ok(Self { server: Server::start(kind, folder, port)?, socket, password, uses_tls })
    }

    /// `redis://[:password@]127.0.0.1:PORT/db` (`rediss://` with TLS).
    #[must_use]
    pub fn url(&self, db: u32) -> String {
        let scheme = if self.uses_tls { "rediss" } else { "redis" };
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{password}{}:{}/{db}", self.host(), self.port())
    }

    /// Always `127.0.0.1`.
    #[must_use]
    pub const fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// The port, also while the server is down.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.server.port()
    }

    /// The Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `redis-cli`, logged in (through the socket): add `-n 1`, a command, standard input.
    #[must_use]
    pub fn client(&self) -> Command {
        client(self.server.folder(), self.password.as_deref())
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The folder of the server: data in `data`, log in `server.log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// The process id, when it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.server.process_id()
    }

    /// Clean shutdown; what the server persists (AOF, or an RDB when `--save` was given) stays.
    ///
    /// # Errors
    /// When it does not end in two minutes.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// SIGKILL; what was persisted stays.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it on the same files and port.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_again(&mut self) -> Result<()> {
        self.server.start_again()
    }

    /// Stops answering, connections stay (SIGSTOP).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn freeze(&self) -> Result<()> {
        self.server.freeze()
    }

    /// Goes on after `freeze`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn thaw(&self) -> Result<()> {
        self.server.thaw()
    }
}

fn value_of(options: &[&str], name: &str) -> Option<String> {
    let at = options.iter().position(|&option| option == name)?;
    options.get(at + 1).map(|&value| value.to_owned())
}

fn without(options: &[&str], name: &str) -> Vec<String> {
    let at = options.iter().position(|&option| option == name);
    let is_kept = |index: usize| at.is_none_or(|at| index != at && index != at + 1);
    options.iter().enumerate().filter(|&(index, _)| is_kept(index)).map(|(_, &option)| option.to_owned()).collect()
}

fn client(folder: &Path, password: Option<&str>) -> Command {
    // A missing program shows itself when the command is run, with its name.
    let mut command = children::command(find("redis-cli").unwrap_or_else(|_| PathBuf::from("redis-cli")));
    command.arg("-s").arg(folder.join("sock"));
    if let Some(password) = password {
        command.env("REDISCLI_AUTH", password);
    }
    command
}

fn program(kind: RedisKind) -> Result<PathBuf> {
    match kind {
        RedisKind::Redis => find("redis-server"),
        RedisKind::NewestRedis => find_newest("redis-server"),
        RedisKind::Valkey => find_newest("valkey-server"),
    }
}

fn launch(kind: RedisKind, folder: &Path, port: u16, uses_tls: bool, options: &[String]) -> Result<Command> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).during(|| format!("make {}", data.display()))?;
    let mut command = mortal(&program(kind)?)?;
    let number = port.to_string();
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "local"])
        .args(if uses_tls { ["--port", "0", "--tls-port", &number] } else { ["--port", &number, "--tls-port", "0"] })
        .arg("--unixsocket")
        .arg(folder.join("sock"))
        .arg("--dir")
        .arg(data)
        .args(options);
    Ok(command)
}
