//! Starts and fills an installation for `scripts/bench`: `installation SIZE FOLDER [mysql|mariadb]`, SIZE such as `50M` or `1G`.
//!
//! Writes into FOLDER, readable by its owner only: `threescale-backup.toml` and its `key`, `client.cnf` for MySQL's clients (no secret in
//! argv), and `installation.sh` with what a script wants to know. Then prints READY. Everything ends and is removed when standard input
//! closes. Must never be sent SIGKILL while its folders matter: the servers end with it, but their folders stay until the next lab starts.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a script")]

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lab::{Installation, InstallationOptions, MysqlKind, PostgresVersion, SYSTEM_DATABASE, Server, ZYNC_DATABASE};
use plan::error::During;
use plan::ports::Silent;
use plan::{Error, Result};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("installation: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<()> {
    let usage = || Error::refused("usage: installation SIZE FOLDER [mysql|mariadb]");
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (size, folder) = (args.first().ok_or_else(usage)?, PathBuf::from(args.get(1).ok_or_else(usage)?));
    let mysql = match args.get(2).map(String::as_str) {
        None | Some("mysql") => MysqlKind::Mysql,
        Some("mariadb") => MysqlKind::Mariadb,
        Some(_) => return Err(usage()),
    };
    // Before servers are filled for a minute.
    std::fs::create_dir_all(&folder).during(|| format!("make the folder {}", folder.display()))?;
    let installation = Installation::start(&InstallationOptions { mysql, size_bytes: bytes(size)?, ..InstallationOptions::default() })?;
    installation.fill(&Silent)?;
    describe(&installation, &folder)?;
    println!("READY");
    std::io::stdin().read_to_end(&mut Vec::new()).during(|| "wait for the end of standard input".to_owned())?;
    Ok(())
}

fn bytes(size: &str) -> Result<u64> {
    let wrong = || Error::refused(format!("{size} is not a size such as 50M or 1G"));
    let (number, shift) = match size.strip_suffix('G') {
        Some(number) => (number, 30),
        None => (size.strip_suffix('M').ok_or_else(wrong)?, 20),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift)).ok_or_else(wrong)
}

fn describe(installation: &Installation, folder: &Path) -> Result<()> {
    let key = folder.join("key");
    write_private(&key, "a password for the benchmark only\n")?;
    let toml = installation.toml(&folder.join("repository").display().to_string(), &key);
    write_private(&folder.join("threescale-backup.toml"), &toml)?;
    let mysql = &installation.mysql;
    let defaults = folder.join("client.cnf");
    write_private(&defaults, &format!("[client]\nuser=root\npassword={}\nsocket={}\n", mysql.password(), mysql.socket().display()))?;
    let (postgres, redis) = (&installation.postgres, &installation.backend_redis);
    let lines = [
        ("mysql_client", program(&mysql.client())),
        ("mysql_dump", program(&mysql.dump_client())),
        ("mysql_defaults", defaults.display().to_string()),
        ("mysql_socket", mysql.socket().display().to_string()),
        ("mysql_port", mysql.port().to_string()),
        ("mysql_pid", process_id(mysql)?),
        ("mysql_url", mysql.url(SYSTEM_DATABASE)),
        ("system_database", SYSTEM_DATABASE.to_owned()),
        ("postgres_programs", PostgresVersion::Own.programs()?.display().to_string()),
        ("postgres_host", postgres.folder().display().to_string()),
        ("postgres_port", postgres.port().to_string()),
        ("postgres_passfile", postgres.folder().join("client.pass").display().to_string()),
        ("postgres_pid", process_id(postgres)?),
        ("postgres_url", postgres.url(ZYNC_DATABASE)),
        ("redis_socket", redis.socket().display().to_string()),
        ("redis_password", redis.password().to_owned()),
        ("redis_pid", process_id(redis)?),
        ("redis_url", redis.url(0)),
        ("system_redis_pid", process_id(&installation.system_redis)?),
        ("storage", installation.storage().display().to_string()),
        ("config", folder.join("threescale-backup.toml").display().to_string()),
    ];
    // Single quotes: no path of the lab has one.
    let text: String = lines.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
    write_private(&folder.join("installation.sh"), &text)
}

fn process_id(server: &Server) -> Result<String> {
    server.process_id().map(|id| id.to_string()).ok_or_else(|| Error::failed("a server has ended"))
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let open = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).during(|| format!("write {}", path.display()))
}
