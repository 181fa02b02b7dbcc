//! What runs left on the servers of the data set: marked databases, marks in the live ones, files beside the server's own. Whoever began the runs.
//!
//! A run of version 0.1.0 had its id in the name of its marks: these are looked for with `SCAN`, for so many keys in each database.

use std::collections::BTreeMap;

use plan::ports::{Context, Holds, Leftover};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use super::discard::share_of_memory;
use super::mark::{HALF, MARK, Mark, OLD_HALF, OLD_PREVIOUS, OLD_STAGING, Role, Seen, UNDONE, read};
use super::transaction::{clear, command, settle_writes};
use super::{RedisStore, ServerAt, hold};
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// How many rounds of `SCAN` a search for old marks may take in each database, and keys in each.
const ROUNDS: u32 = 100;
const COUNT: &[u8] = b"10000";
/// Keys of runs, beside the marks, that may stay in a live database.
const LEFT_OUT: &str = "threescale-backup:left-out:";
const BY_FILE: &str = "threescale-backup:file:";

/// By what a leftover is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
enum Handle {
    /// A side database: all of it goes, when the key still says this.
    Database { address: String, number: u32, key: String, says: String },
    /// A key in a live database.
    Key { address: String, number: u32, key: String, says: String },
    /// A file or folder in the server's data folder.
    File { name: String },
}

impl RedisStore {
    pub(crate) fn find_leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        let mut found = Vec::new();
        for (at, mut connection, server) in self.connect_all(context)? {
            for number in (0..1024).filter(|number| server.keys(*number).0 > 0) {
                connection.select(number)?;
                if at.databases.iter().any(|named| named.database == number) {
                    self.in_live(at, &mut connection, number, &mut found)?;
                } else {
                    self.in_side(context, at, &mut connection, &server, number, &mut found)?;
                }
            }
        }
        for (name, bytes) in self.files_left(context)? {
            let (run, holds) = match (name.strip_suffix("-previous"), name.strip_suffix(".rdb.part")) {
                (Some(rest), _) => (rest, Holds::Previous),
                (_, Some(rest)) => (rest, Holds::Staged),
                _ => continue,
            };
            let run = run.strip_prefix("threescale-backup-").unwrap_or(run).to_owned();
            let what = format!("{name} in the data folder of {}", self.name);
            found.push(Leftover { what, run, installation: None, holds, bytes: Some(bytes), handle: to_value(&Handle::File { name })? });
        }
        Ok(found)
    }

    fn in_live(&self, at: &ServerAt, connection: &mut Connection, number: u32, found: &mut Vec<Leftover>) -> Result<()> {
        let endpoint = at.address.endpoint();
        let address = endpoint.to_string();
        if let Some(says) = text(connection, HALF)? {
            let mark = serde_json::from_str::<Mark>(&says).ok();
            let what = format!("the mark that database {number} of {endpoint} is half replaced");
            found.push(leftover(
                what,
                mark.as_ref(),
                Holds::Mark,
                None,
                &Handle::Key { address: address.clone(), number, key: HALF.to_owned(), says },
            )?);
        }
        for (key, run) in old_keys(connection, &[OLD_HALF, LEFT_OUT, BY_FILE])? {
            let Some(says) = text(connection, &key)? else { continue };
            let what = format!("the key {key} in database {number} of {endpoint}");
            let handle = to_value(&Handle::Key { address: address.clone(), number, key, says })?;
            found.push(Leftover { what, run, installation: None, holds: Holds::Mark, bytes: None, handle });
        }
        Ok(())
    }

    fn in_side(
        &self,
        context: &Context,
        at: &ServerAt,
        connection: &mut Connection,
        server: &Server,
        number: u32,
        found: &mut Vec<Leftover>,
    ) -> Result<()> {
        let endpoint = at.address.endpoint();
        let held =
            hold::on_record(connection)?.map(|policy| format!(", for which maxmemory-policy is held at noeviction: it was {policy}"));
        let (what, address) = (format!("database {number} of {endpoint}{}", held.unwrap_or_default()), endpoint.to_string());
        let bytes = Some(share_of_memory(server, server.keys(number).0));
        let key = if read(connection, UNDONE)? == Seen::Nothing { MARK } else { UNDONE };
        match read(connection, key)? {
            Seen::Mark(mark) if mark.data_set != self.name => {}
            // Of another installation beside this one, with databases of its own. What is about a database of this one is told, by whatever name.
            Seen::Mark(mark)
                if at.databases.iter().all(|named| named.database != mark.live) && !mark.installation.is(&context.installation) => {}
            Seen::Mark(mark) => {
                let holds = match mark.role {
                    Role::Claimed | Role::Loading | Role::Staged => Holds::Staged,
                    // Of data that is live again.
                    Role::Previous if key == UNDONE => Holds::Mark,
                    Role::Previous => Holds::Previous,
                    Role::InPlace | Role::Swapping => Holds::Unknown,
                };
                let says = text(connection, key)?.unwrap_or_default();
                let of = if mark.merged { ": on record how to take back the keys that it put into the live data" } else { "" };
                found.push(leftover(
                    format!("{what}{of}"),
                    Some(&mark),
                    holds,
                    bytes,
                    &Handle::Database { address, number, key: key.to_owned(), says },
                )?);
            }
            Seen::Unknown => {
                let Some(says) = text(connection, MARK)? else { return Ok(()) };
                found.push(leftover(what, None, Holds::Unknown, bytes, &Handle::Database { address, number, key: MARK.to_owned(), says })?);
            }
            Seen::Nothing => {
                for (key, run) in old_keys(connection, &[OLD_STAGING, OLD_PREVIOUS])? {
                    let holds = if key.starts_with(OLD_PREVIOUS) { Holds::Previous } else { Holds::Staged };
                    let Some(says) = text(connection, &key)? else { continue };
                    let handle = to_value(&Handle::Database { address: address.clone(), number, key, says })?;
                    found.push(Leftover { what: what.clone(), run, installation: None, holds, bytes, handle });
                }
            }
        }
        Ok(())
    }

    /// Gone already is fine; another content is not.
    pub(crate) fn remove_left(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        let handle: Handle = serde_json::from_value(leftover.handle.clone())
            .map_err(|error| Error::refused(format!("{} cannot be removed by this program", leftover.what)).because(error))?;
        let (address, number, key, says, whole) = match handle {
            Handle::File { name } => {
                let is_ours = name.starts_with("threescale-backup-") && (name.ends_with("-previous") || name.ends_with(".rdb.part"));
                if !is_ours || name.contains('/') {
                    return Err(Error::refused(format!("{name} is no file of this program")));
                }
                return self.remove_file_left(context, &name);
            }
            Handle::Database { address, number, key, says } => (address, number, key, says, true),
            Handle::Key { address, number, key, says } => (address, number, key, says, false),
        };
        let at = self.servers.iter().find(|at| at.address.endpoint().to_string() == address);
        let at = at.ok_or_else(|| Error::refused(format!("{address} is not in the configuration: {} was not removed", leftover.what)))?;
        let is_live = at.databases.iter().any(|named| named.database == number);
        if (whole && is_live) || !key.as_bytes().starts_with(crate::MARKER_PREFIX) {
            return Err(Error::needs_person(format!("{} is live data: nothing was removed", leftover.what)));
        }
        let mut connection = self.connect(context, at)?;
        let server = Server::ask(&mut connection)?;
        connection.select(number)?;
        connection.call(&[b"WATCH", key.as_bytes()])?;
        match text(&mut connection, &key)? {
            None if !whole || connection.call(&[b"DBSIZE"])?.number() == Some(0) => return Ok(()),
            Some(found) if found == says => {}
            _ => {
                return Err(Error::needs_person(format!("{} is not what it was: its mark has changed", leftover.what))
                    .hint("Nothing was removed. Look again at what is there."));
            }
        }
        let held = hold::on_record(&mut connection)?;
        let removal = if whole { command(&["FLUSHDB", "ASYNC"]) } else { command(&["DEL", &key, hold::POLICY]) };
        clear(&mut connection, &vec![removal])?;
        hold::let_go(&mut connection, at, held)?;
        settle_writes(&mut connection, &server)
    }
}

fn leftover(what: String, mark: Option<&Mark>, holds: Holds, bytes: Option<u64>, handle: &Handle) -> Result<Leftover> {
    let run = mark.map_or_else(|| "of another version".to_owned(), |mark| mark.run.clone());
    Ok(Leftover { what, run, installation: mark.map(|mark| mark.installation.clone()), holds, bytes, handle: to_value(handle)? })
}

fn to_value(handle: &Handle) -> Result<serde_json::Value> {
    serde_json::to_value(handle).map_err(|error| Error::failed("note what was found").because(error))
}

fn text(connection: &mut Connection, key: &str) -> Result<Option<String>> {
    Ok(match connection.call(&[b"GET", key.as_bytes()])? {
        Reply::Bytes(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    })
}

/// Keys of the selected database that begin so, with the run that follows.
fn old_keys(connection: &mut Connection, prefixes: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut cursor = b"0".to_vec();
    for _ in 0..ROUNDS {
        let Reply::List(reply) = connection.ask(&[b"SCAN", &cursor, b"MATCH", b"threescale-backup:*", b"COUNT", COUNT])? else { break };
        let mut reply = reply.into_iter();
        let (Some(Reply::Bytes(next)), Some(keys)) = (reply.next(), reply.next()) else { break };
        for key in keys.list().iter().map(Reply::text) {
            if let Some(run) = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix)).map(str::to_owned) {
                found.insert(key, run);
            }
        }
        if next == b"0" {
            break;
        }
        cursor = next;
    }
    Ok(found)
}
