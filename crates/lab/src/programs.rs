//! Where the programs of the servers are: PATH, the folders that Debian keeps out of it, and MySQL's private prefix.

use std::path::{Path, PathBuf};

use plan::{Error, Result};

use crate::postgres::PostgresVersion;

/// The file of a program.
///
/// # Errors
/// When it is in none of the folders, with the way to install it.
pub fn find(name: &str) -> Result<PathBuf> {
    search_path()
        .into_iter()
        .chain(postgres_folders())
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
        .ok_or_else(|| missing(name))
}

/// A program of Oracle's MySQL: of the private prefix, or of the machine when that is not MariaDB's.
pub(crate) fn find_mysql(name: &str) -> Result<PathBuf> {
    let own = prefix("THREESCALE_BACKUP_MYSQL_PREFIX", "mysql").map(|prefix| prefix.join("bin").join(name)).filter(|file| is_program(file));
    let others = || search_path().into_iter().map(|folder| folder.join(name)).find(|file| is_program(file) && !is_mariadb(file));
    own.or_else(others).ok_or_else(|| missing(&format!("{name} of MySQL")))
}

fn missing(name: &str) -> Error {
    Error::refused(format!("no program {name} on this machine")).hint("Run scripts/install-test-deps.")
}

/// A program of the newest Redis or of Valkey: of their private prefix only.
pub(crate) fn find_newest(name: &str) -> Result<PathBuf> {
    let own = prefix("THREESCALE_BACKUP_REDIS_PREFIX", "redis").map(|prefix| prefix.join("bin").join(name));
    own.filter(|file| is_program(file)).ok_or_else(|| missing(&format!("{name} of the newest version")))
}

/// The server of Redis 6.2: of its private prefix only.
pub(crate) fn find_redis6() -> Result<PathBuf> {
    let own = prefix("THREESCALE_BACKUP_REDIS6_PREFIX", "redis6").map(|prefix| prefix.join("bin/redis-server"));
    own.filter(|file| is_program(file)).ok_or_else(|| missing("redis-server of Redis 6.2"))
}

/// A program of Prometheus: of its private prefix only.
pub(crate) fn find_prometheus(name: &str) -> Result<PathBuf> {
    let own = prefix("THREESCALE_BACKUP_PROMETHEUS_PREFIX", "prometheus").map(|prefix| prefix.join("bin").join(name));
    own.filter(|file| is_program(file)).ok_or_else(|| missing(name))
}

/// A program of MariaDB 11.8: of its private prefix only.
pub(crate) fn find_newer_mariadb(name: &str) -> Result<PathBuf> {
    let own = prefix("THREESCALE_BACKUP_MARIADB_PREFIX", "mariadb").map(|prefix| prefix.join("bin").join(name));
    own.filter(|file| is_program(file)).ok_or_else(|| missing(&format!("{name} of MariaDB 11.8")))
}

/// A file or folder of `/usr/share/mariadb` of that prefix.
pub(crate) fn share_of_newer_mariadb(name: &str) -> Result<PathBuf> {
    let prefix = prefix("THREESCALE_BACKUP_MARIADB_PREFIX", "mariadb").ok_or_else(|| missing("mariadbd of MariaDB 11.8"))?;
    Ok(prefix.join("root/usr/share/mariadb").join(name))
}

/// A program of PostgreSQL of a version: of the machine's packages, or of the private prefix.
pub(crate) fn find_postgres(version: PostgresVersion, name: &str) -> Result<PathBuf> {
    let number = match version {
        PostgresVersion::Own => return find(name),
        PostgresVersion::V13 => "13",
        PostgresVersion::V16 => "16",
        PostgresVersion::V17 => "17",
        PostgresVersion::V18 => "18",
    };
    // Root's home is closed to the account of its servers.
    let shared = Some(PathBuf::from("/var/cache/threescale-backup/postgresql"));
    let folders = [prefix("THREESCALE_BACKUP_POSTGRES_PREFIX", "postgresql"), shared];
    let files = folders.into_iter().flatten().map(|prefix| prefix.join(number).join("bin").join(name));
    files.into_iter().find(|file| is_program(file)).ok_or_else(|| missing(&format!("{name} of PostgreSQL {number}")))
}

/// Where `scripts/install-test-deps` unpacks what this Debian lacks.
fn prefix(variable: &str, name: &str) -> Option<PathBuf> {
    let set = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set.or_else(|| std::env::home_dir().map(|home| home.join(".cache/threescale-backup").join(name)))
}

fn is_mariadb(file: &Path) -> bool {
    let output = children::command(file).args(["--no-defaults", "--version"]).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("MariaDB"))
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from)).collect()
}

/// Newest first.
fn postgres_folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))).collect()
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
