//! The lock of an installation at its database: an advisory lock, held by a session of its own, let go by the server when that ends, however it ends.
//!
//! The session is in the database `postgres`: one in the live database would keep it from being renamed, one in `template1` would keep others from making
//! databases. A role that may not connect to `postgres` gets no lock here: the local lock and the marks are all there is then. **Limit:** a machine that vanishes
//! without closing its connection holds the lock until the server's keep-alive gives it up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plan::ports::{Context, Held};
use plan::{Class, Error, Result};

use crate::address::Address;
use crate::session::Session;
use crate::sql::literal;

/// Where the lock is.
const DATABASE: &str = "postgres";
/// How long the server may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// PostgreSQL cuts a longer name.
const APPLICATION_NAME_BYTES: usize = 63;

/// A held lock.
struct Lock(Mutex<Session>);

/// Takes the lock, without waiting; `None` where there can be none.
///
/// # Errors
/// [`Class::Locked`] when another session has it: it is named.
pub(crate) fn take(address: &Address, context: &Context) -> Result<Option<Box<dyn Held>>> {
    if address.database == DATABASE {
        return Ok(None);
    }
    let place = address.with_database(DATABASE);
    let mut session = match Session::open(&place) {
        Ok(session) => session,
        Err(error) if error.class() == Class::Refused => return Ok(None),
        Err(error) => return Err(error),
    };
    session.run(&format!("SET application_name = {}", literal(&name(context))), "name the session")?;
    let key = format!("('x' || substr(md5({}), 1, 16))::bit(64)::bigint", literal(&format!("threescale-backup {}", address.database)));
    let got = session.row(&format!("SELECT pg_try_advisory_lock({key})"), "take the lock of the database")?;
    if got.get(0) { Ok(Some(Box::new(Lock(Mutex::new(session))))) } else { Err(taken(&mut session, address, &key)) }
}

/// What others see of us: no right is needed for it.
fn name(context: &Context) -> String {
    let text = format!("threescale-backup lock, run {}, {}", context.run, context.installation.name);
    let mut end = text.len().min(APPLICATION_NAME_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().trim_end_matches([' ', ',']).to_owned()
}

fn taken(session: &mut Session, address: &Address, key: &str) -> Error {
    let error = Error::new(Class::Locked, format!("another run holds the lock of the database at {address}"));
    let query = format!(
        "SELECT a.pid, coalesce(a.usename::text, '?'), coalesce(a.application_name, '?'), coalesce(host(a.client_addr), 'an unknown host') \
         FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND (l.classid::bigint << 32) | l.objid::bigint = {key}"
    );
    let Ok(rows) = session.rows(&query, "look who holds the lock") else { return error };
    let Some(row) = rows.first() else { return error.hint("It was let go in this moment: try again.") };
    let (pid, user, application, host): (i32, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    error
        .hint(format!("It is held by session {pid} of role {user:?} from {host}: {application}."))
        .hint(format!("Wait for that run's end. When it is dead and only its session is left: SELECT pg_terminate_backend({pid})"))
}

impl Held for Lock {
    /// One question to the server, with a limit: the lock is held as long as the session is.
    fn is_held(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_alive(PATIENCE)
    }
}
