//! The lock of an installation at its database: `GET_LOCK`, held by a connection of its own, let go by the server when that ends, however it ends.
//!
//! The name is made of the database's name, so that it is the same from every machine. **Limits:** in a cluster with several writers (Galera, group replication)
//! each server has locks of its own; a machine that vanishes without closing its connection holds the lock until the server's keep-alive gives it up.

use std::sync::{Mutex, PoisonError};

use plan::ports::Held;
use plan::{Class, Error, Result};

use crate::quote;
use crate::server::Server;
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// A held lock.
struct Lock {
    session: Mutex<Session>,
    name: String,
}

/// Takes the lock, without waiting.
///
/// # Errors
/// [`Class::Locked`] when another connection has it; what can be seen of it is told.
pub(crate) fn take(store: &MysqlStore) -> Result<Box<dyn Held>> {
    // No default database: nothing that is done to schemas concerns this connection.
    let mut session = store.session(Talk::Text, None)?;
    let server = Server::ask(&mut session)?;
    let name = name(&mut session, &server, &store.address.database)?;
    match session.value("take the lock of the database", &format!("SELECT GET_LOCK('{name}', 0)"))?.as_deref() {
        Some("1") => Ok(Box::new(Lock { session: Mutex::new(session), name })),
        Some("0") => Err(taken(store, &mut session, &name)),
        _ => Err(Error::failed(format!("{} did not say whether it gave the lock", store.address))),
    }
}

/// At most 64 characters, and compared without case: a digest of the database's name.
fn name(session: &mut Session, server: &Server, database: &str) -> Result<String> {
    let database = if server.lower_case_table_names == 0 { database.to_owned() } else { database.to_lowercase() };
    let sql = format!("SELECT CONCAT('threescale-backup:', LEFT(SHA2({}, 256), 40))", quote::text(&database));
    session.value("name the lock of the database", &sql)?.ok_or_else(|| Error::failed("the server made no name for the lock"))
}

fn taken(store: &MysqlStore, session: &mut Session, name: &str) -> Error {
    let error = Error::new(Class::Locked, format!("another run holds the lock of the database at {}", store.address));
    let holder = session.value("look who holds the lock", &format!("SELECT IS_USED_LOCK('{name}')")).ok().flatten();
    let Some(id) = holder.filter(|id| id.parse::<u64>().is_ok()) else {
        return error.hint("It was let go in this moment: try again.");
    };
    let sql = format!("SELECT USER, HOST, TIME FROM information_schema.PROCESSLIST WHERE ID = {id}");
    let seen = session.rows_if_possible("look who holds the lock", &sql).ok().flatten();
    let whose = seen.as_ref().and_then(|rows| rows.first()).map_or_else(
        || "which cannot be looked at without PROCESS".to_owned(),
        |record| {
            let text = |index| record.text(index).unwrap_or_default();
            format!("of {}@{}, idle for {} s", text(0), text(1), text(2))
        },
    );
    error
        .hint(format!("It is held by connection {id} {whose}."))
        .hint(format!("Wait for that run's end. When it is dead and only its connection is left: KILL {id}"))
}

impl Held for Lock {
    /// One question to the server.
    fn is_held(&self) -> bool {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = format!("SELECT IS_USED_LOCK('{}') = CONNECTION_ID()", self.name);
        session.value("look whether the lock is held", &sql).ok().flatten().as_deref() == Some("1")
    }
}
