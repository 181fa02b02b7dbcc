//! A throw-away PostgreSQL server: user `postgres`, password `lab`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::find;
use crate::server::{Kind, Server};
use crate::template;

/// A running server. Ends with the value.
pub struct Postgres {
    server: Server,
}

/// PostgreSQL refuses to run as root.
#[derive(Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Postgres {
    /// Starts a server with an empty cluster and extra options (`["-c", "work_mem=64MB"]`), which win over the lab's own.
    ///
    /// # Errors
    /// When the program is missing or the server does not start; the end of its log is in the hints.
    pub fn start(options: &[&str]) -> Result<Self> {
        let account = account()?;
        let folder = Folder::create("postgres")?;
        let port = Port::reserve()?;
        let recipe = format!("postgres {:?} 1", find("postgres")?.canonicalize().ok());
        template::copy(&recipe, &folder.join("data"), |to| initialise(to, account))?;
        if let Some(Account { user, group }) = account {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).during(|| format!("chown {}", folder.path().display()))?;
        }
        let pass_file = folder.join("client.pass");
        fs::write(&pass_file, "*:*:*:postgres:lab\n").during(|| format!("write {}", pass_file.display()))?;
        set_mode(&pass_file, 0o600)?;
        let options = options.iter().map(|option| readable(option, folder.path(), account)).collect::<Result<Vec<_>>>()?;
        let (path, number) = (folder.path().to_owned(), port.number());
        let kind = Kind {
            name: "PostgreSQL",
            stop_signal: Signal::INT,
            launch: Box::new(move |folder, port| launch(folder, port, account, &options)),
            ready: Box::new(move || {
                let mut config = postgres::Config::new();
                config.host_path(&path).port(number).user("postgres").password("lab").dbname("postgres");
                config.connect(postgres::NoTls).during(|| "log in".to_owned()).map(drop)
            }),
        };
        Ok(Self { server: Server::start(kind, folder, port)? })
    }

    /// `postgresql://postgres:lab@127.0.0.1:PORT/database`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:lab@{}:{}/{database}", self.host(), self.port())
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

    /// The folder of the Unix socket, as `host=` of a connection string takes it.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.server.folder()
    }

    /// `psql`, logged in as `postgres` to the database `postgres`: add `-d`, `-c`, standard input.
    #[must_use]
    pub fn client(&self) -> Command {
        let mut command = self.program("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1"]);
        command
    }

    /// Another client program (`pg_dump`, `pg_restore`), logged in the same way.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        // A missing program shows itself when the command is run, with its name.
        let mut command = children::command(find(name).unwrap_or_else(|_| PathBuf::from(name)));
        command
            .env("PGHOST", self.server.folder())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .env("PGPASSFILE", self.server.folder().join("client.pass"));
        command
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

    /// Fast shutdown (sessions are ended); the data stays.
    ///
    /// # Errors
    /// When it does not end in two minutes.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// SIGKILL, to its children too; the data stays.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it on the same data and port.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_again(&mut self) -> Result<()> {
        self.server.start_again()
    }

    /// Accepts no new connection, sessions go on (SIGSTOP to the postmaster).
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

/// The account to run under: none other when this process is not root's.
fn account() -> Result<Option<Account>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let text = fs::read_to_string("/etc/passwd").during(|| "read /etc/passwd".to_owned())?;
    let line = ["postgres", "nobody"].iter().find_map(|name| text.lines().find(|line| line.split(':').next() == Some(name)));
    let mut fields = line.unwrap_or_default().split(':').skip(2).map(str::parse::<u32>);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok(Some(Account { user, group })),
        _ => {
            Err(Error::refused("no user postgres on this machine, and PostgreSQL does not run as root")
                .hint("Run scripts/install-test-deps."))
        }
    }
}

/// An option that names a file of certificates, with a copy that the account may read; PostgreSQL wants the key to be its own.
fn readable(option: &str, folder: &Path, account: Option<Account>) -> Result<String> {
    let Some((name, file)) = option.split_once('=').filter(|(name, _)| name.starts_with("ssl_") && name.ends_with("_file")) else {
        return Ok(option.to_owned());
    };
    let copy = folder.join(name);
    fs::copy(file, &copy).during(|| format!("copy {file}"))?;
    set_mode(&copy, 0o600)?;
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(&copy, Some(user), Some(group)).during(|| format!("chown {}", copy.display()))?;
    }
    Ok(format!("{name}={}", copy.display()))
}

fn set_mode(file: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).during(|| format!("chmod {}", file.display()))
}

fn as_account(command: &mut Command, account: Option<Account>) -> &mut Command {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

fn initialise(data: &Path, account: Option<Account>) -> Result<()> {
    let password = data.with_extension("pw");
    fs::write(&password, "lab\n").during(|| format!("write {}", password.display()))?;
    fs::create_dir(data).during(|| format!("make {}", data.display()))?;
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(data, Some(user), Some(group)).during(|| format!("chown {}", data.display()))?;
    }
    let mut command = children::command(find("initdb")?);
    command
        .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
        .arg(format!("--pwfile={}", password.display()))
        .arg(format!("--pgdata={}", data.display()))
        // Its own working folder may be closed to the account.
        .current_dir("/");
    template::run(as_account(&mut command, account))?;
    fs::remove_file(&password).during(|| format!("remove {}", password.display()))
}

/// Durability is left to the operating system: a killed server loses nothing, a killed machine takes the lab with it.
fn launch(folder: &Path, port: u16, account: Option<Account>, options: &[String]) -> Result<Command> {
    if let Some(Account { user, group }) = account
        && fs::metadata(folder.join("server.log")).is_ok_and(|meta| meta.uid() != user)
    {
        std::os::unix::fs::chown(folder.join("server.log"), Some(user), Some(group)).during(|| "chown server.log".to_owned())?;
    }
    let mut command = mortal(&find("postgres")?)?;
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=50"])
        .args(["-c", &format!("port={port}"), "-c", &format!("unix_socket_directories={}", folder.display())])
        .args(options);
    as_account(&mut command, account);
    Ok(command)
}
