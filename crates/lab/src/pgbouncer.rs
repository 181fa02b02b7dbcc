//! A throw-away `PgBouncer` before a throw-away PostgreSQL: the pooler that stands before many databases.

use std::fs;
use std::path::Path;

use plan::Result;
use plan::error::During;
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::postgres::{Account, Postgres, account, as_account};
use crate::process::mortal;
use crate::programs::find;
use crate::server::{Kind, Reach, Server, write_private};

/// A running pooler. Ends with the value.
pub struct PgBouncer {
    server: Server,
}

impl PgBouncer {
    /// Starts one before a server: `mode` is `session`, `transaction` or `statement`; `lines` are more of its section `[pgbouncer]`
    /// (`ignore_startup_parameters = options`). It knows the user `postgres`.
    ///
    /// # Errors
    /// When the program is missing or does not start; the end of its log is in the hints.
    pub fn start(before: &Postgres, mode: &str, lines: &str) -> Result<Self> {
        let (folder, port, account) = (Folder::create("pgbouncer")?, Port::reserve()?, account()?);
        let users = folder.join("users.txt");
        write_private(&users, &format!("\"postgres\" \"{}\"\n", before.password()))?;
        let settings = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = {mode}\ndefault_pool_size = 8\nmax_client_conn = 100\n{lines}\n",
            before.socket().display(),
            before.port(),
            port.number(),
            users.display()
        );
        write_private(&folder.join("pgbouncer.ini"), &settings)?;
        if let Some(Account { user, group }) = account {
            for file in [folder.path(), &users, &folder.join("pgbouncer.ini")] {
                std::os::unix::fs::chown(file, Some(user), Some(group)).during(|| format!("chown {}", file.display()))?;
            }
        }
        let (number, secret) = (port.number(), before.password().to_owned());
        let kind = Kind {
            name: "PgBouncer",
            stop_signal: Signal::INT,
            launch: Box::new(move |folder, _| launch(folder, account)),
            ready: Box::new(move || {
                let mut config = postgres::Config::new();
                config.host("127.0.0.1").port(number).user("postgres").password(&secret).dbname("postgres");
                config.connect(postgres::NoTls).during(|| "log in".to_owned()).map(drop)
            }),
            reach: Reach::Loopback,
        };
        Ok(Self { server: Server::start(kind, folder, port, before.password().to_owned())? })
    }

    /// `postgresql://postgres:PASSWORD@127.0.0.1:PORT/database`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres:{}@127.0.0.1:{}/{database}", self.server.password(), self.server.port())
    }
}

fn launch(folder: &Path, account: Option<Account>) -> Result<std::process::Command> {
    if let Some(Account { user, group }) = account {
        let log = folder.join("server.log");
        if fs::metadata(&log).is_ok() {
            std::os::unix::fs::chown(&log, Some(user), Some(group)).during(|| "chown server.log".to_owned())?;
        }
    }
    let mut command = mortal(&find("pgbouncer")?)?;
    command.arg(folder.join("pgbouncer.ini"));
    as_account(&mut command, account);
    Ok(command)
}
