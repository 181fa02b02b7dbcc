//! A throw-away Redis Sentinel, with a password of its own.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::find;
use crate::redis::{Redis, client};
use crate::server::{Kind, Reach, Server, password, write_private};
use crate::tls::Tls;

/// What a sentinel wants of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentinelLogin {
    /// Nothing.
    Nothing,
    /// A password.
    Password,
    /// A password of the user `watcher`; everybody else is shut out.
    User,
}

/// How a sentinel is set up.
#[derive(Clone, Copy)]
pub struct SentinelOptions<'a> {
    /// The group's name.
    pub group: &'a str,
    /// The name or number by which it knows and tells the server.
    pub host: &'a str,
    /// How many must agree that a server is down.
    pub quorum: u32,
    /// Nothing but TLS, towards the server too; a client's certificate is taken, not wanted.
    pub tls: Option<&'a Tls>,
    /// What it wants of its clients.
    pub login: SentinelLogin,
    /// Its password; one that was never used before when there is none.
    pub password: Option<&'a str>,
}

impl SentinelOptions<'_> {
    /// In plain text and without a password, by the number of loopback.
    pub const PLAIN: SentinelOptions<'static> =
        SentinelOptions { group: "group", host: "127.0.0.1", quorum: 1, tls: None, login: SentinelLogin::Nothing, password: None };
}

/// A running sentinel. Ends with the value.
pub struct Sentinel {
    server: Server,
    login: SentinelLogin,
}

impl Sentinel {
    /// Starts one that watches a server.
    ///
    /// # Errors
    /// When the program is missing or it does not start; the end of its log is in the hints.
    pub fn start(watched: &Redis, options: &SentinelOptions<'_>) -> Result<Self> {
        let folder = Folder::create("sentinel")?;
        let port = Port::reserve()?;
        let secret = options.password.map_or_else(password, |given| Ok(given.to_owned()))?;
        write_private(&folder.join(SETTINGS_FILE), &settings(watched, options, port.number(), &secret, &folder.join("sock")))?;
        let login = options.login;
        let (socket, known) = (folder.join("sock"), secret.clone());
        let kind = Kind {
            name: "Sentinel",
            stop_signal: Signal::TERM,
            launch: Box::new(|folder, _| {
                let mut command = mortal(&find("redis-server")?)?;
                command.arg(folder.join(SETTINGS_FILE)).arg("--sentinel");
                Ok(command)
            }),
            ready: Box::new(move || {
                let output = client_of(&socket, login, &known).arg("PING").output().during(|| "start redis-cli".to_owned())?;
                let said = String::from_utf8_lossy(&output.stdout);
                if said.contains("PONG") { Ok(()) } else { Err(Error::transient(format!("a sentinel said {:?} to PING", said.trim()))) }
            }),
            reach: Reach::Loopback,
        };
        Ok(Self { server: Server::start(kind, folder, port, secret)?, login })
    }

    /// `redis-cli`, logged in (through the socket): add a command.
    #[must_use]
    pub fn client(&self) -> Command {
        client_of(&self.server.folder().join("sock"), self.login, self.server.password())
    }
}

impl Deref for Sentinel {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Sentinel {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// It writes into it what it learns.
const SETTINGS_FILE: &str = "sentinel.conf";

fn client_of(socket: &Path, login: SentinelLogin, password: &str) -> Command {
    let password = if login == SentinelLogin::Nothing { "" } else { password };
    let mut command = client(socket, password);
    if login == SentinelLogin::User {
        command.args(["--user", "watcher"]);
    }
    command
}

fn settings(watched: &Redis, options: &SentinelOptions<'_>, port: u16, secret: &str, socket: &Path) -> String {
    let SentinelOptions { group, host, quorum, tls, login, .. } = options;
    let listens = match tls {
        None => format!("port {port}\n"),
        Some(tls) => {
            let (certificate, key) = tls.server();
            let file = |name: &str, file: PathBuf| format!("{name} {}\n", file.display());
            [
                format!("port 0\ntls-port {port}\ntls-replication yes\ntls-auth-clients optional\n"),
                file("tls-ca-cert-file", tls.ca()),
                file("tls-cert-file", certificate),
                file("tls-key-file", key),
            ]
            .concat()
        }
    };
    let guarded = match login {
        SentinelLogin::Nothing => "protected-mode no\n".to_owned(),
        SentinelLogin::Password => format!("requirepass \"{secret}\"\n"),
        SentinelLogin::User => format!(
            "user default off\nuser watcher on \">{secret}\" ~* &* +@all\nsentinel sentinel-user watcher\nsentinel sentinel-pass \"{secret}\"\n"
        ),
    };
    let auth = if watched.password().is_empty() { String::new() } else { format!("sentinel auth-pass {group} {}\n", watched.password()) };
    format!(
        "{listens}bind 127.0.0.1\nunixsocket {}\n{guarded}sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n\
         sentinel monitor {group} {host} {} {quorum}\n{auth}sentinel down-after-milliseconds {group} 1000\nsentinel failover-timeout {group} 3000\n",
        socket.display(),
        watched.port()
    )
}
