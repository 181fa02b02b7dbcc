//! A throw-away Redis server, with another password for each.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::{find, find_newest, find_redis6};
use crate::server::{Kind, Reach, Server, password, write_private};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RedisKind {
    /// Redis as this machine has it (7.0 on Debian 12).
    Redis,
    /// Redis 6.2, as 3scale 2.14 and 2.15 ship it. It has no TLS.
    Redis6,
    /// The newest Redis of the private prefix (see `scripts/install-test-deps`).
    NewestRedis,
    /// Valkey of the private prefix.
    Valkey,
}

impl RedisKind {
    /// All, from the oldest.
    pub const ALL: [Self; 4] = [Self::Redis6, Self::Redis, Self::NewestRedis, Self::Valkey];

    /// The version of its program; `None` where there is none on this machine.
    #[must_use]
    pub fn version(self) -> Option<String> {
        let output = children::command(program(self).ok()?).arg("--version").output().ok()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.split_whitespace().find_map(|word| word.strip_prefix("v=").map(str::to_owned))
    }
}

/// A running server. Ends with the value.
pub struct Redis {
    server: Server,
    socket: PathBuf,
    uses_tls: bool,
}

impl Redis {
    /// Starts an empty server with extra options as of its command line (`["--appendonly", "yes"]`), which win over the lab's own (no RDB at
    /// intervals, `DEBUG` allowed, a random password). `--requirepass ""` is a server without a password. With `--tls-port 0` TLS is on the port and nothing else.
    ///
    /// # Errors
    /// When the program is missing or the server does not start; the end of its log is in the hints.
    pub fn start(options: &[&str]) -> Result<Self> {
        Self::start_kind(RedisKind::Redis, options)
    }

    /// As `start`; listens on its socket only, which nobody but this user reaches.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_on_socket(kind: RedisKind, options: &[&str]) -> Result<Self> {
        Self::start_at(Reach::Socket, kind, options)
    }

    /// As `start`, of another kind.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_kind(kind: RedisKind, options: &[&str]) -> Result<Self> {
        Self::start_at(Reach::Loopback, kind, options)
    }

    fn start_at(reach: Reach, kind: RedisKind, options: &[&str]) -> Result<Self> {
        let folder = Folder::create("redis")?;
        let port = Port::reserve()?;
        let password = value_of(options, "--requirepass").map_or_else(password, Ok)?;
        write_private(&folder.join(SETTINGS_FILE), &format!("requirepass \"{password}\"\n"))?;
        let uses_tls = value_of(options, "--tls-port").is_some();
        let options: Vec<String> = without(options, &["--tls-port", "--requirepass"]);
        let socket = folder.join("sock");
        let (path, secret) = (folder.path().to_owned(), password.clone());
        let kind = Kind {
            name: if kind == RedisKind::Valkey { "Valkey" } else { "Redis" },
            stop_signal: Signal::TERM,
            launch: Box::new(move |folder, port| launch(kind, folder, port, uses_tls, reach, &options)),
            ready: Box::new(move || {
                let output = client(&path.join("sock"), &secret).arg("PING").output().during(|| "start redis-cli".to_owned())?;
                let said = String::from_utf8_lossy(&output.stdout);
                // NOPERM and NOAUTH: it serves, only not us (an ACL of the test's own).
                if said.starts_with("PONG") || said.starts_with("NOPERM") || said.starts_with("NOAUTH") {
                    return Ok(());
                }
                Err(Error::transient(format!("Redis said {:?} to PING", said.trim())))
            }),
            reach,
        };
        Ok(Self { server: Server::start(kind, folder, port, password)?, socket, uses_tls })
    }

    /// `redis://[:PASSWORD@]127.0.0.1:PORT/db` (`rediss://` with TLS); by the socket where it listens on nothing else.
    #[must_use]
    pub fn url(&self, db: u32) -> String {
        if self.is_on_its_socket_only() {
            return self.socket_url(db);
        }
        let scheme = if self.uses_tls { "rediss" } else { "redis" };
        format!("{scheme}://{}{}:{}/{db}", self.login(), self.host(), self.port())
    }

    /// `unix://[:PASSWORD@]/path?db=N`.
    #[must_use]
    pub fn socket_url(&self, db: u32) -> String {
        format!("unix://{}{}?db={db}", self.login(), self.socket.display())
    }

    fn login(&self) -> String {
        if self.password().is_empty() { String::new() } else { format!(":{}@", self.password()) }
    }

    /// The Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `redis-cli`, logged in (through the socket): add `-n 1`, a command, standard input.
    #[must_use]
    pub fn client(&self) -> Command {
        client(&self.socket, self.password())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

fn value_of(options: &[&str], name: &str) -> Option<String> {
    let at = options.iter().position(|&option| option == name)?;
    options.get(at + 1).map(|&value| value.to_owned())
}

/// The password: an argument would show it to everybody.
const SETTINGS_FILE: &str = "redis.conf";

fn without(options: &[&str], names: &[&str]) -> Vec<String> {
    let is_named = |index: usize| options.get(index).is_some_and(|option| names.contains(option));
    let is_kept = |index: usize| !is_named(index) && !index.checked_sub(1).is_some_and(is_named);
    options.iter().enumerate().filter(|&(index, _)| is_kept(index)).map(|(_, &option)| option.to_owned()).collect()
}

pub(crate) fn client(socket: &Path, password: &str) -> Command {
    // A missing program shows itself when the command is run, with its name.
    let mut command = children::command(find("redis-cli").unwrap_or_else(|_| PathBuf::from("redis-cli")));
    command.arg("-s").arg(socket);
    if !password.is_empty() {
        command.env("REDISCLI_AUTH", password);
    }
    command
}

fn program(kind: RedisKind) -> Result<PathBuf> {
    match kind {
        RedisKind::Redis => find("redis-server"),
        RedisKind::Redis6 => find_redis6(),
        RedisKind::NewestRedis => find_newest("redis-server"),
        // As packages install it, where there is no private prefix.
        RedisKind::Valkey => find_newest("valkey-server").or_else(|_| find("valkey-server")),
    }
}

fn launch(kind: RedisKind, folder: &Path, port: u16, uses_tls: bool, reach: Reach, options: &[String]) -> Result<Command> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).during(|| format!("make {}", data.display()))?;
    let mut command = mortal(&program(kind)?)?;
    let number = if reach == Reach::Socket { "0".to_owned() } else { port.to_string() };
    command.arg(folder.join(SETTINGS_FILE)).args(["--bind", "127.0.0.1", "--save", ""]);
    // Redis 6.2 allows DEBUG to everybody, and this one was built without TLS: it would stop at these words.
    if kind != RedisKind::Redis6 {
        command.args(["--enable-debug-command", "local"]).args(["--tls-port", if uses_tls { &number } else { "0" }]);
    }
    command
        .args(["--port", if uses_tls { "0" } else { &number }])
        .arg("--unixsocket")
        .arg(folder.join("sock"))
        .arg("--dir")
        .arg(data)
        .args(options);
    Ok(command)
}
