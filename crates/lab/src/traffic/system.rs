//! system-app: writes rows, makes invoices with their numbers, and keeps files together with their rows.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use plan::Result;
use plan::error::During;

use super::CALL_LIMIT;
use super::tasks::Task;
use crate::data::Shape;
use crate::installation::{Installation, SYSTEM_DATABASE};

/// A connection by address, as system-app has it.
struct Database {
    port: u16,
    password: String,
    conn: Option<Conn>,
}

impl Database {
    fn of(installation: &Installation) -> Self {
        Self { port: installation.mysql.port(), password: installation.mysql.password().to_owned(), conn: None }
    }

    fn conn(&mut self) -> Result<&mut Conn> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.connect()?,
        };
        Ok(self.conn.insert(conn))
    }

    fn connect(&self) -> Result<Conn> {
        let options = OptsBuilder::new()
            .ip_or_hostname(Some("127.0.0.1"))
            .tcp_port(self.port)
            .prefer_socket(false)
            .user(Some("root"))
            .pass(Some(&self.password))
            .db_name(Some(SYSTEM_DATABASE))
            .tcp_connect_timeout(Some(CALL_LIMIT))
            .read_timeout(Some(CALL_LIMIT))
            .write_timeout(Some(CALL_LIMIT));
        Conn::new(options).during(|| "connect to the system database".to_owned())
    }
}

pub(super) struct Provider {
    database: Database,
    shape: Shape,
    /// Part of ids that must be unique over several runs of the writers.
    run: u128,
}

impl Provider {
    pub(super) fn new(installation: &Installation) -> Self {
        let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_micros());
        Self { database: Database::of(installation), shape: installation.shape().clone(), run }
    }
}

impl Task for Provider {
    fn write(&mut self, number: u64) -> Result<u64> {
        let (provider, run) = (2 + number % self.shape.providers, self.run);
        let buyer =
            2 + self.shape.providers + (number % (self.shape.buyers / self.shape.providers)) * self.shape.providers + (provider - 2);
        let application = 1 + number * 7 % self.shape.applications;
        let mut statements = vec![
            "INSERT INTO heartbeats (source, at) VALUES ('lab', UTC_TIMESTAMP(3))".to_owned(),
            format!(
                "INSERT INTO event_store_events (stream, event_type, event_id, data, provider_id, created_at) VALUES ('all', 'LiveEvent', '{run}-{number}', 'ü', {provider}, UTC_TIMESTAMP())"
            ),
            format!(
                "UPDATE cinstances SET first_daily_traffic_at = UTC_TIMESTAMP(), updated_at = UTC_TIMESTAMP() WHERE id = {application}"
            ),
        ];
        if number.is_multiple_of(5) {
            statements.push("START TRANSACTION".to_owned());
            statements.push(format!(
                "INSERT INTO invoices (provider_account_id, buyer_account_id, period, currency, created_at, updated_at) VALUES ({provider}, {buyer}, '2026-01-01', 'EUR', UTC_TIMESTAMP(), UTC_TIMESTAMP())"
            ));
            statements.push("SET @invoice = LAST_INSERT_ID()".to_owned());
            statements.push("CALL sp_invoices_friendly_id(@invoice)".to_owned());
            statements.push(format!(
                "INSERT INTO line_items (invoice_id, name, cost, contract_id) VALUES (@invoice, 'live', {number}, {application})"
            ));
            statements.push("COMMIT".to_owned());
        }
        if number.is_multiple_of(3) {
            statements.push("DELETE FROM event_store_events ORDER BY id LIMIT 1".to_owned());
            statements.push(format!(
                "INSERT INTO audits (auditable_id, auditable_type, action, created_at, provider_id, audited_changes) VALUES ({application}, 'Cinstance', 'update', UTC_TIMESTAMP(), {provider}, 'live ✓')"
            ));
        }
        let conn = self.database.conn()?;
        for statement in &statements {
            conn.query_drop(statement).during(|| "write to the system database".to_owned())?;
        }
        Ok(statements.len() as u64)
    }

    fn disconnect(&mut self) {
        self.database.conn = None;
    }
}

/// How many live files there are at most: the oldest is then written anew.
const FILES: u64 = 300;

pub(super) struct Files {
    database: Database,
    root: PathBuf,
}

impl Files {
    pub(super) fn new(installation: &Installation) -> Self {
        Self { database: Database::of(installation), root: installation.storage().to_owned() }
    }
}

impl Task for Files {
    fn write(&mut self, number: u64) -> Result<u64> {
        let name = format!("live {}.png", number % FILES);
        let folder = self.root.join("provider-2/2026/02/01");
        let attempt = || -> std::io::Result<()> {
            fs::create_dir_all(&folder)?;
            let text = format!("file {number} ").repeat(usize::try_from(1 + number % 700).unwrap_or(1));
            // In place, as paperclip does: a reader may see it half-written.
            File::create(folder.join(&name))?.write_all(text.as_bytes())?;
            if number.is_multiple_of(7) {
                match fs::remove_file(folder.join(format!("live {}.png", (number / 2) % FILES))) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        attempt().during(|| "write a file".to_owned())?;
        if number.is_multiple_of(10) {
            // A file that a row names is there before the row, and stays.
            let (name, content) = (format!("row {number}.png"), format!("of row {number}"));
            fs::write(folder.join(format!("row {number}-live.png")), &content).during(|| "write a file".to_owned())?;
            let row = format!(
                "INSERT INTO cms_files (provider_id, attachment_file_name, attachment_file_size, random_secret, path, created_at) VALUES (2, '{name}', {}, 'live', '/{name}', UTC_TIMESTAMP())",
                content.len()
            );
            // Its error is the database's, not the folder's.
            if self.database.conn().and_then(|conn| conn.query_drop(row).during(|| "write a row".to_owned())).is_err() {
                self.disconnect();
            }
        }
        Ok(1)
    }

    fn disconnect(&mut self) {
        self.database.conn = None;
    }
}
