//! A throw-away PostgreSQL server: user `postgres`, with another password for each.

use std::fs;
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plan::error::During;
use plan::{Error, Result};
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::find_postgres;
use crate::server::{Kind, Reach, Server, password, write_private};
use crate::template;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostgresVersion {
    /// The newest of this machine's packages: 15 on Debian 12.
    Own,
    /// 13, of a private prefix (see `scripts/install-test-deps`), as the others are.
    V13,
    /// 16.
    V16,
    /// 17: the first with `transaction_timeout`.
    V17,
    /// 18.
    V18,
}

impl PostgresVersion {
    /// All of them, from old to new.
    pub const ALL: [Self; 5] = [Self::V13, Self::Own, Self::V16, Self::V17, Self::V18];

    /// The folder with its `postgres`, `psql`, `pg_dump` and `pg_restore`.
    ///
    /// # Errors
    /// When it is not on this machine, with the way to install it.
    pub fn programs(self) -> Result<PathBuf> {
        let file = find_postgres(self, "pg_dump")?;
        Ok(file.parent().map_or(file.clone(), Path::to_owned))
    }
}

/// A running server. Ends with the value.
pub struct Postgres {
    version: PostgresVersion,
    server: Server,
}

/// PostgreSQL refuses to run as root.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Postgres {
    /// Starts a server with an empty cluster and extra options (`["-c", "work_mem=64MB"]`), which win over the lab's own.
    ///
    /// # Errors
    /// When the program is missing or the server does not start; the end of its log is in the hints.
    pub fn start(options: &[&str]) -> Result<Self> {
        Self::start_at(PostgresVersion::Own, Reach::Loopback, options)
    }

    /// As `start`, another version.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_version(version: PostgresVersion, options: &[&str]) -> Result<Self> {
        Self::start_at(version, Reach::Loopback, options)
    }

    /// As `start`; listens on its socket only, which nobody but this user reaches.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_on_socket(options: &[&str]) -> Result<Self> {
        Self::start_at(PostgresVersion::Own, Reach::Socket, options)
    }

    fn start_at(version: PostgresVersion, reach: Reach, options: &[&str]) -> Result<Self> {
        let account = account()?;
        let folder = Folder::create("postgres")?;
        let port = Port::reserve()?;
        let recipe = format!("postgres {:?} 2", find_postgres(version, "postgres")?.canonicalize().ok());
        let password = password()?;
        template::copy(&recipe, &folder.join("data"), |to| initialise(version, to, account))?;
        if let Some(Account { user, group }) = account {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).during(|| format!("chown {}", folder.path().display()))?;
        }
        let pass_file = folder.join("client.pass");
        write_private(&pass_file, &format!("*:*:*:postgres:{password}\n"))?;
        set_password(version, &folder.join("data"), account, &password)?;
        Self::serve(version, folder, port, reach, options, password)
    }

    /// Starts a hot standby of it as it is now, which follows nobody: a base backup that is opened for reading. Same password.
    ///
    /// # Errors
    /// As `start`.
    pub fn standby(&self) -> Result<Self> {
        let folder = Folder::create("standby")?;
        let port = Port::reserve()?;
        let data = folder.join("data");
        let mut command = self.program("pg_basebackup");
        template::run(command.args(["--no-password", "--checkpoint=fast", "--wal-method=fetch", "--pgdata"]).arg(&data))?;
        write_private(&data.join("standby.signal"), "")?;
        if let Some(Account { user, group }) = account()? {
            let mut chown = children::command("chown");
            template::run(chown.arg("-R").arg(format!("{user}:{group}")).arg(folder.path()))?;
        }
        write_private(&folder.join("client.pass"), &format!("*:*:*:postgres:{}\n", self.password()))?;
        Self::serve(self.version, folder, port, Reach::Loopback, &[], self.password().to_owned())
    }

    fn serve(version: PostgresVersion, folder: Folder, port: Port, reach: Reach, options: &[&str], password: String) -> Result<Self> {
        let account = account()?;
        let secret = password.clone();
        let options = options.iter().map(|option| readable(option, folder.path(), account)).collect::<Result<Vec<_>>>()?;
        let (path, number) = (folder.path().to_owned(), port.number());
        let kind = Kind {
            name: "PostgreSQL",
            stop_signal: Signal::INT,
            launch: Box::new(move |folder, port| launch(version, folder, port, account, reach, &options)),
            ready: Box::new(move || {
                let mut config = postgres::Config::new();
                config.host_path(&path).port(number).user("postgres").password(&secret).dbname("postgres");
                config.connect(postgres::NoTls).during(|| "log in".to_owned()).map(drop)
            }),
            reach,
        };
        Ok(Self { version, server: Server::start(kind, folder, port, password)? })
    }

    /// `postgresql://postgres:PASSWORD@127.0.0.1:PORT/database`; by the socket where it listens on nothing else.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        if self.is_on_its_socket_only() { self.socket_url(database) } else { self.url_as("postgres", self.password(), database) }
    }

    /// The same for another role.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgresql://{user}:{password}@{}:{}/{database}", self.host(), self.port())
    }

    /// `postgresql://postgres:PASSWORD@/database?host=FOLDER&port=PORT`.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        format!("postgresql://postgres:{}@/{database}?host={}&port={}", self.password(), self.socket().display(), self.port())
    }

    /// The folder of the Unix socket, as `host=` of a connection string takes it.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.server.folder()
    }

    /// `psql` of the server's own version, logged in as `postgres` to the database `postgres`: add `-d`, `-c`, standard input.
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
        let mut command = children::command(find_postgres(self.version, name).unwrap_or_else(|_| PathBuf::from(name)));
        command
            .env("PGHOST", self.server.folder())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres")
            .env("PGPASSFILE", self.server.folder().join("client.pass"));
        command
    }
}

impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Postgres {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

/// The account to run under: none other when this process is not root's.
pub(crate) fn account() -> Result<Option<Account>> {
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

pub(crate) fn as_account(command: &mut Command, account: Option<Account>) -> &mut Command {
    if let Some(Account { user, group }) = account {
        command.uid(user).gid(group);
    }
    command
}

fn initialise(version: PostgresVersion, data: &Path, account: Option<Account>) -> Result<()> {
    let file = data.with_extension("pw");
    // Nobody's: each server sets its own before it serves.
    write_private(&file, &format!("{}\n", password()?))?;
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(&file, Some(user), Some(group)).during(|| format!("chown {}", file.display()))?;
    }
    fs::create_dir(data).during(|| format!("make {}", data.display()))?;
    if let Some(Account { user, group }) = account {
        std::os::unix::fs::chown(data, Some(user), Some(group)).during(|| format!("chown {}", data.display()))?;
    }
    let mut command = children::command(find_postgres(version, "initdb")?);
    command
        .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"])
        .arg(format!("--pwfile={}", file.display()))
        .arg(format!("--pgdata={}", data.display()))
        // Its own working folder may be closed to the account.
        .current_dir("/");
    template::run(as_account(&mut command, account))?;
    fs::remove_file(&file).during(|| format!("remove {}", file.display()))
}

/// Without a server that anybody could reach meanwhile; the password is in no argument.
fn set_password(version: PostgresVersion, data: &Path, account: Option<Account>, password: &str) -> Result<()> {
    let mut command = children::command(find_postgres(version, "postgres")?);
    command.args(["--single", "-F", "-D"]).arg(data).args(["-c", "exit_on_error=true", "postgres"]).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = as_account(&mut command, account).spawn().during(|| "start postgres".to_owned())?;
    if let Some(mut stdin) = process.stdin.take() {
        let statement = format!("ALTER ROLE postgres PASSWORD '{password}';\n");
        stdin.write_all(statement.as_bytes()).during(|| "write to postgres".to_owned())?;
    }
    let output = process.wait_with_output().during(|| "wait for postgres".to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::failed(format!("postgres failed: {}", output.status)).hint(format!("It said: {said}")))
}

/// Durability is left to the operating system: a killed server loses nothing, a killed machine takes the lab with it.
fn launch(
    version: PostgresVersion,
    folder: &Path,
    port: u16,
    account: Option<Account>,
    reach: Reach,
    options: &[String],
) -> Result<Command> {
    if let Some(Account { user, group }) = account
        && fs::metadata(folder.join("server.log")).is_ok_and(|meta| meta.uid() != user)
    {
        std::os::unix::fs::chown(folder.join("server.log"), Some(user), Some(group)).during(|| "chown server.log".to_owned())?;
    }
    let mut command = mortal(&find_postgres(version, "postgres")?)?;
    command
        .arg("-D")
        .arg(folder.join("data"))
        .args([
            "-c",
            if reach == Reach::Socket { "listen_addresses=" } else { "listen_addresses=127.0.0.1" },
            "-c",
            "fsync=off",
            "-c",
            "max_connections=50",
            // In its folder: a server that is killed leaves nothing in the machine's shared memory.
            "-c",
            "dynamic_shared_memory_type=mmap",
        ])
        .args(["-c", &format!("port={port}"), "-c", &format!("unix_socket_directories={}", folder.display())])
        .args(options);
    as_account(&mut command, account);
    Ok(command)
}
