//! A throw-away MySQL or MariaDB server: user `root`, with another password for each.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mysql::{Conn, OptsBuilder};
use plan::Result;
use plan::error::During;
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::{find, find_mysql, find_newer_mariadb, share_of_newer_mariadb};
use crate::server::{Kind, Reach, Server, password, write_private};
use crate::template;

/// Which of the two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MysqlKind {
    /// Oracle's, of the private prefix (see `scripts/install-test-deps`).
    Mysql,
    /// MariaDB, as Debian 12 packages it (10.11).
    Mariadb,
    /// MariaDB 11.8, of the private prefix.
    NewerMariadb,
}

impl MysqlKind {
    /// Whether it is MariaDB, of whatever version.
    #[must_use]
    pub const fn is_mariadb(self) -> bool {
        matches!(self, Self::Mariadb | Self::NewerMariadb)
    }
}

/// Options that change what initialisation makes: with one of them the template is not used.
const INITIAL_OPTIONS: [&str; 4] = ["--lower-case-table-names", "--innodb-page-size", "--innodb-data-file-path", "--innodb-undo"];

/// `root` from everywhere, with a password that nobody knows until each server sets its own; each statement on one line, as `--init-file` wants it.
const MYSQL_USERS: &str = "ALTER USER 'root'@'localhost' IDENTIFIED BY 'PASSWORD';
CREATE USER 'root'@'%' IDENTIFIED BY 'PASSWORD';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
";
const MARIADB_USERS: &str = "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
FLUSH PRIVILEGES;
ALTER USER 'root'@'localhost' IDENTIFIED BY 'PASSWORD';
CREATE USER 'root'@'%' IDENTIFIED BY 'PASSWORD';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
";

/// A running server. Ends with the value.
pub struct Mysql {
    kind: MysqlKind,
    server: Server,
    socket: PathBuf,
}

impl Mysql {
    /// Starts a server with an empty data folder and extra options (`--innodb-buffer-pool-size=1G`), which win over the lab's own.
    ///
    /// # Errors
    /// When the program is missing or the server does not start; the end of its log is in the hints.
    pub fn start(kind: MysqlKind, options: &[&str]) -> Result<Self> {
        Self::start_at(Reach::Loopback, kind, options)
    }

    /// As `start`; listens on its socket only, which nobody but this user reaches.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_on_socket(kind: MysqlKind, options: &[&str]) -> Result<Self> {
        Self::start_at(Reach::Socket, kind, options)
    }

    fn start_at(reach: Reach, kind: MysqlKind, options: &[&str]) -> Result<Self> {
        let folder = Folder::create(if kind == MysqlKind::Mysql { "mysql" } else { "mariadb" })?;
        let port = Port::reserve()?;
        let data = folder.join("data");
        let initial: Vec<&str> = options
            .iter()
            .copied()
            .filter(|option| INITIAL_OPTIONS.iter().any(|initial| option.replace('_', "-").starts_with(initial)))
            .collect();
        if initial.is_empty() {
            let recipe = format!("{kind:?} {MYSQL_USERS} {MARIADB_USERS} {}", version(kind)?);
            template::copy(&recipe, &data, |to| initialise(kind, to, &initial))?;
        } else {
            initialise(kind, &data, &initial)?;
        }
        let defaults = folder.join("client.cnf");
        let socket = folder.join("sock");
        let socket_path = socket.clone();
        let password = password()?;
        write_private(&defaults, &format!("[client]\nuser=root\npassword={password}\nsocket={}\n", socket.display()))?;
        // The server reads it before it lets anybody in.
        write_private(&folder.join(PASSWORD_FILE), &set_password(&password))?;
        let secret = password.clone();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let kind_of_server = Kind {
            name: if kind == MysqlKind::Mysql { "MySQL" } else { "MariaDB" },
            stop_signal: Signal::TERM,
            launch: Box::new(move |folder, port| launch(kind, folder, port, reach, &options)),
            ready: Box::new(move || {
                let wanted = OptsBuilder::new().socket(socket.to_str()).user(Some("root")).pass(Some(&secret));
                Conn::new(wanted).during(|| "log in".to_owned()).map(drop)
            }),
            reach,
        };
        Ok(Self { kind, server: Server::start(kind_of_server, folder, port, password)?, socket: socket_path })
    }

    /// Which of the two families.
    #[must_use]
    pub const fn kind(&self) -> MysqlKind {
        self.kind
    }

    /// `mysql2://root:PASSWORD@127.0.0.1:PORT/database`; by the socket where it listens on nothing else.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        if self.is_on_its_socket_only() {
            return format!("mysql2://root:{}@/{database}?socket={}", self.password(), self.socket.display());
        }
        format!("mysql2://root:{}@{}:{}/{database}", self.password(), self.host(), self.port())
    }

    /// The Unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `mysql` or `mariadb` of the command line, logged in as root: add `-e`, a database, standard input.
    #[must_use]
    pub fn client(&self) -> Command {
        self.program("mysql", "mariadb")
    }

    /// `mysqldump` or `mariadb-dump`, logged in as root.
    #[must_use]
    pub fn dump_client(&self) -> Command {
        self.program("mysqldump", "mariadb-dump")
    }

    fn program(&self, mysql: &str, mariadb: &str) -> Command {
        let found = match self.kind {
            MysqlKind::Mysql => find_mysql(mysql),
            MysqlKind::Mariadb => find(mariadb),
            MysqlKind::NewerMariadb => find_newer_mariadb(mariadb),
        };
        // A missing program shows itself when the command is run, with its name.
        let mut command = children::command(found.unwrap_or_else(|_| PathBuf::from(mysql)));
        command.arg(format!("--defaults-file={}", self.server.folder().join("client.cnf").display()));
        command
    }
}

impl Deref for Mysql {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Mysql {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

fn program(kind: MysqlKind) -> Result<PathBuf> {
    match kind {
        MysqlKind::Mysql => find_mysql("mysqld"),
        MysqlKind::Mariadb => find("mariadbd"),
        MysqlKind::NewerMariadb => find_newer_mariadb("mariadbd"),
    }
}

fn version(kind: MysqlKind) -> Result<String> {
    let output =
        children::command(program(kind)?).args(["--no-defaults", "--version"]).output().during(|| "ask the server's version".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn initialise(kind: MysqlKind, data: &Path, options: &[&str]) -> Result<()> {
    let users = data.with_extension("sql");
    let text = if kind == MysqlKind::Mysql { MYSQL_USERS } else { MARIADB_USERS };
    write_private(&users, &text.replace("PASSWORD", &password()?))?;
    let (data_option, done) = (format!("--datadir={}", data.display()), data.join("auto.cnf"));
    match kind {
        MysqlKind::Mysql => template::run(
            children::command(program(kind)?)
                .args(["--no-defaults", "--initialize-insecure", &format!("--init-file={}", users.display()), &data_option])
                .args(as_root())
                .args(options),
        )?,
        MysqlKind::Mariadb => template::run(
            children::command(find("mariadb-install-db")?)
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
                .args([&data_option, &format!("--extra-file={}", users.display())])
                .args(as_root())
                .args(options),
        )?,
        MysqlKind::NewerMariadb => bootstrap(data, &data_option, &users, options)?,
    }
    // Each server makes its own identity at its first start.
    if done.exists() {
        fs::remove_file(&done).during(|| format!("remove {}", done.display()))?;
    }
    fs::remove_file(&users).during(|| format!("remove {}", users.display()))
}

/// What makes the system tables of MariaDB, in this order, in files that come with it.
const BOOTSTRAP: [&str; 5] = [
    "mariadb_system_tables.sql",
    "mariadb_performance_tables.sql",
    "mariadb_system_tables_data.sql",
    "fill_help_tables.sql",
    "mariadb_sys_schema.sql",
];

/// As `mariadb-install-db` does it: that script looks for its files in the system only.
fn bootstrap(data: &Path, data_option: &str, users: &Path, options: &[&str]) -> Result<()> {
    fs::create_dir_all(data).during(|| format!("make {}", data.display()))?;
    let script = data.with_extension("bootstrap");
    // Unset, the account of the socket would be made beside root's own.
    let mut text = String::from("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n");
    for file in BOOTSTRAP.iter().map(|name| share_of_newer_mariadb(name)).chain([Ok(users.to_owned())]) {
        let file = file?;
        text.push_str(&fs::read_to_string(&file).during(|| format!("read {}", file.display()))?);
        text.push('\n');
    }
    write_private(&script, &text)?;
    let input = fs::File::open(&script).during(|| format!("open {}", script.display()))?;
    template::run(
        children::command(program(MysqlKind::NewerMariadb)?)
            .args(["--no-defaults", "--bootstrap", data_option, "--log-warnings=0", "--enforce-storage-engine="])
            .args(["--max-allowed-packet=8M", "--net-buffer-length=16K"])
            .args(own_folders(MysqlKind::NewerMariadb)?)
            .args(as_root())
            .args(options)
            .stdin(Stdio::from(input)),
    )?;
    fs::remove_file(&script).during(|| format!("remove {}", script.display()))
}

/// Where a server in a private prefix finds its messages and character sets; the others know.
fn own_folders(kind: MysqlKind) -> Result<Vec<String>> {
    if kind != MysqlKind::NewerMariadb {
        return Ok(Vec::new());
    }
    Ok(vec![
        format!("--lc-messages-dir={}", share_of_newer_mariadb("")?.display()),
        format!("--character-sets-dir={}", share_of_newer_mariadb("charsets")?.display()),
    ])
}

/// Run at every start, not written to the binary log.
const PASSWORD_FILE: &str = "password.sql";

fn set_password(password: &str) -> String {
    let users = ["localhost", "%"].map(|host| format!("ALTER USER 'root'@'{host}' IDENTIFIED BY '{password}';\n"));
    format!("SET sql_log_bin = 0;\n{}", users.concat())
}

fn as_root() -> Option<&'static str> {
    rustix::process::getuid().is_root().then_some("--user=root")
}

/// Durability is left to the operating system: a killed server loses nothing, a killed machine takes the lab with it.
fn launch(kind: MysqlKind, folder: &Path, port: u16, reach: Reach, options: &[String]) -> Result<Command> {
    let mut command = mortal(&program(kind)?)?;
    command
        .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--secure-file-priv="])
        .args(["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--max-binlog-size=64M", "--loose-mysqlx=OFF"])
        .arg(format!("--port={port}"))
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--socket={}", folder.join("sock").display()))
        .arg(format!("--pid-file={}", folder.join("pid").display()))
        // A MariaDB that starts deletes every #sql* file in its temporary folder, those of other running servers too.
        .arg(format!("--tmpdir={}", folder.display()))
        .arg(format!("--init-file={}", folder.join(PASSWORD_FILE).display()))
        .args((reach == Reach::Socket).then_some("--skip-networking"))
        .args(own_folders(kind)?)
        .args(as_root())
        .args(options);
    Ok(command)
}
