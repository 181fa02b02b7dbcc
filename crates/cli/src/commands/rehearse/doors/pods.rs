//! The same programs for servers that are pods: clients of this machine, at the end of a forwarded port.

use std::path::Path;

use plan::ids::DataSetName;
use plan::ports::Context;
use plan::{Error, Result};
use platforms::kubernetes::rehearsal::{DATABASE, Server, ServerKind};
use secrecy::ExposeSecret;

use super::{READER, door, write};
use crate::join::{REHEARSED_SYSTEM, RehearsalPods};

/// What makes a user who may read, told on standard input: no argument of a program has a password.
const MYSQL: &str = r#"client=mysql; command -v mysql >/dev/null 2>&1 || client=mariadb; MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec "$client" -h 127.0.0.1 -uroot"#;
const POSTGRESQL: &str =
    r#"PGPASSWORD="$POSTGRESQL_PASSWORD" exec psql -qX -v ON_ERROR_STOP=1 -h 127.0.0.1 -U "$POSTGRESQL_USER" -d "$POSTGRESQL_DATABASE""#;
/// Its client does not fail when the server refuses something.
const REDIS: &str =
    r#"client=redis-cli; command -v redis-cli >/dev/null 2>&1 || client=valkey-cli; "$client" -h 127.0.0.1 | grep -q '^OK'"#;

/// Makes a program for each server, and gives their names. Files have none: they are in a pod.
pub(in crate::commands::rehearse) fn of_pods(context: &Context, pods: &RehearsalPods, at: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, kind, server) in pods.servers() {
        if kind != ServerKind::Files {
            names.push(open(context, at, name, kind, server)?);
        }
    }
    Ok(names)
}

fn open(context: &Context, at: &Path, name: DataSetName, kind: ServerKind, server: &Server) -> Result<String> {
    let ((host, port), password) = (server.address()?, server.password().expose_secret());
    let port = port.to_string();
    match kind {
        ServerKind::MySql => {
            let client = client(name, &["mysql", "mariadb"])?;
            let users = format!(
                "CREATE USER '{READER}'@'%' IDENTIFIED BY '{password}'; GRANT SELECT, SHOW VIEW ON `{REHEARSED_SYSTEM}`.* TO '{READER}'@'%';\n"
            );
            RehearsalPods::run(context, server, MYSQL, &users)?;
            let text = format!("[client]\nuser={READER}\npassword={password}\nhost={host}\nport={port}\nprotocol=tcp\n");
            let file = write(at, &format!("{name}.cnf"), 0o600, &text)?;
            door(at, name, &[], &[&client, &format!("--defaults-file={}", file.display()), REHEARSED_SYSTEM])
        }
        ServerKind::PostgreSql => {
            let client = client(name, &["psql"])?;
            // Before version 14 there is no role that reads all.
            let users = format!(
                "CREATE ROLE {READER} LOGIN PASSWORD '{password}'; ALTER ROLE {READER} SET default_transaction_read_only = on; GRANT USAGE ON SCHEMA public TO {READER}; \
                 GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER};\n"
            );
            RehearsalPods::run(context, server, POSTGRESQL, &users)?;
            let file = write(at, &format!("{name}.pass"), 0o600, &format!("*:*:*:{READER}:{password}\n"))?;
            let file = file.display().to_string();
            let settings =
                [("PGHOST", host.as_str()), ("PGPORT", &port), ("PGUSER", READER), ("PGDATABASE", DATABASE), ("PGPASSFILE", file.as_str())];
            door(at, name, &settings, &[&client, "-X"])
        }
        ServerKind::Redis => {
            let client = client(name, &["redis-cli", "valkey-cli"])?;
            RehearsalPods::run(context, server, REDIS, &format!("ACL SETUSER {READER} on nopass ~* +@read +@connection +info\n"))?;
            // A password of the operator's own server has no business here.
            let words = [client.as_str(), "-h", &host, "-p", &port, "--user", READER, "--no-auth-warning", "--pass", "x"];
            door(at, name, &[("REDISCLI_AUTH", "")], &words)
        }
        ServerKind::Files => Err(Error::failed(format!("{name} has no server"))),
    }
}

/// A client program of this machine.
fn client(name: DataSetName, wanted: &[&str]) -> Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = wanted.iter().find(|program| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    found.map(|program| (*program).to_owned()).ok_or_else(|| {
        Error::refused(format!("--then looks into {name} by a client of this machine, and there is no {} on the PATH", wanted.join(" or ")))
            .hint("Install it, or leave the data set out by --only; the set itself was proven.")
    })
}
