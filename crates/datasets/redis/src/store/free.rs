//! Empty logical databases that nobody calls his own: places for a copy beside the live data. `SWAPDB` needs them on the same server.
//!
//! An empty database may be live: a queue without jobs, or the very loss that is being mended. So what any data set of the installation names is never free, whatever
//! the address by which it is reached; nor what a mark of any run calls live.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use plan::Result;
use plan::ports::{Context, DataSet};

use super::mark::{MARK, Seen, read};
use super::{RedisStore, ServerAt, twice};
use crate::CLIENT_NAME;
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// The other data sets of the installation that may be on the same servers.
#[derive(Default)]
pub(crate) struct Spared(Mutex<Vec<Arc<dyn DataSet>>>);

impl Spared {
    pub(crate) fn add(&self, other: Arc<dyn DataSet>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(other);
    }

    fn all(&self) -> Vec<Arc<dyn DataSet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Spared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter().map(|other| other.name())).finish()
    }
}

impl RedisStore {
    /// Those that are free, ascending.
    ///
    /// # Errors
    /// Also when another data set of the installation cannot be asked whether it is on this server.
    pub(crate) fn free_databases(&self, context: &Context, at: &ServerAt, connection: &mut Connection) -> Result<Vec<u32>> {
        let server = Server::ask(connection)?;
        let named = at.databases.iter().map(|named| named.database);
        let mut taken: BTreeSet<u32> = named.chain(self.named_live(context, &server)?).collect();
        taken.extend(marked_live(connection, &server));
        taken.extend(used_databases(connection)?);
        let mut free = Vec::new();
        for number in (0..count(connection)?.min(1024)).filter(|number| server.keys(*number).0 == 0 && !taken.contains(number)) {
            if connection.ask(&[b"SELECT", number.to_string().as_bytes()])?.ok().is_ok() {
                free.push(number);
            }
        }
        Ok(free)
    }

    /// Databases of this server that this data set or another one of the installation names.
    fn named_live(&self, context: &Context, server: &Server) -> Result<BTreeSet<u32>> {
        let mut parts = self.parts_of_servers(context)?;
        for other in self.spared.all() {
            let asked = other.parts(context);
            parts.extend(asked.map_err(|error| error.during(format!("cannot ask which databases are those of {}", other.name())))?);
        }
        let own: Vec<String> = twice::known_by(server).map(|id| format!("{id}/")).collect();
        Ok(parts.keys().filter_map(|part| own.iter().find_map(|id| part.strip_prefix(id)?.parse().ok())).collect())
    }
}

/// What the marks of runs, of whatever installation, say is live. A database that this user may not read tells nothing.
fn marked_live(connection: &mut Connection, server: &Server) -> BTreeSet<u32> {
    let mut live = BTreeSet::new();
    for number in (0..1024).filter(|number| server.keys(*number).0 > 0) {
        if connection.select(number).is_ok()
            && let Ok(Seen::Mark(mark)) = read(connection, MARK)
        {
            live.insert(mark.live);
        }
    }
    live
}

/// How many logical databases a server has.
fn count(connection: &mut Connection) -> Result<u32> {
    match connection.ask(&[b"CONFIG", b"GET", b"databases"])?.list().get(1).and_then(Reply::number) {
        Some(count) => Ok(u32::try_from(count).unwrap_or(16)),
        // CONFIG is forbidden: ask for databases until there are no more.
        None => (0..256)
            .find_map(|number| match connection.ask(&[b"SELECT", number.to_string().as_bytes()]) {
                // A database that is not allowed is no end.
                Ok(Reply::Error(text)) if !text.starts_with("NOPERM") => Some(Ok(number)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
            .unwrap_or(Ok(256)),
    }
}

/// Databases that clients of others have selected: an empty one of these may be live. None where `CLIENT LIST` is forbidden.
fn used_databases(connection: &mut Connection) -> Result<BTreeSet<u32>> {
    let Reply::Bytes(list) = connection.ask(&[b"CLIENT", b"LIST"])? else { return Ok(BTreeSet::new()) };
    let list = String::from_utf8_lossy(&list);
    let field = |line: &str, name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    let others = list.lines().filter(|line| field(line, "name").as_deref() != Some(CLIENT_NAME));
    Ok(others.filter_map(|line| field(line, "db")?.parse().ok()).collect())
}
