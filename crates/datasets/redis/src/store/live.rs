//! Live keys by name: what a restore sets right beside what it loads, and `hold` shows.

use std::fmt::Display;
use std::ptr;

use plan::ids::DataSetName;
use plan::ports::{Context, KeyReader, KeySession, LiveKey, LiveKeys, Members, Problem, Severity};
use plan::{Error, Result};

use super::allowed::knows_commands_of_7;
use super::transaction::unless_changed;
use super::{Named, RedisStore, ServerAt};
use crate::connection::{Connection, Reply};
use crate::rights::For;

/// A key that nobody has.
const NOBODYS: &[u8] = b"threescale-backup:nobodys";
/// Members of a set that are asked for at a time.
const SCAN_COUNT: &[u8] = b"500";

impl RedisStore {
    /// The logical database of a label, and its server.
    pub(super) fn of_label(&self, label: &str) -> Result<(&ServerAt, &Named)> {
        let databases = || self.servers.iter().flat_map(|at| at.databases.iter().map(move |named| (at, named)));
        let is_only = databases().count() == 1;
        let found = databases().find(|(_, named)| named.name == label || is_only);
        found.ok_or_else(|| Error::refused(format!("{} has no database {label:?}", self.name)))
    }

    /// The key as the installation has it.
    fn named(&self, of: &LiveKey) -> Vec<u8> {
        let namespace = self.options.namespace.as_deref().filter(|_| self.name == DataSetName::SystemRedis);
        let prefix = namespace.map(|name| format!("{}:", name.trim_end_matches(':'))).filter(|prefix| prefix.len() > 1);
        format!("{}{}", prefix.unwrap_or_default(), of.key).into_bytes()
    }
}

/// One connection to each server that was asked for a key.
struct Keys<'a> {
    store: &'a RedisStore,
    context: &'a Context,
    open: Vec<Open<'a>>,
}

struct Open<'a> {
    at: &'a ServerAt,
    connection: Connection,
    selected: Option<u32>,
}

impl Keys<'_> {
    /// A connection to the database of a key, and the key as the installation has it.
    fn at_key(&mut self, of: &LiveKey) -> Result<(&mut Connection, Vec<u8>)> {
        self.context.stop.check()?;
        let (at, named) = self.store.of_label(&of.database)?;
        let place = match self.open.iter().position(|open| ptr::eq(open.at, at)) {
            Some(place) => place,
            None => {
                self.open.push(Open { at, connection: self.store.connect(self.context, at)?, selected: None });
                self.open.len() - 1
            }
        };
        let Open { connection, selected, .. } = &mut self.open[place];
        if *selected != Some(named.database) {
            connection.select(named.database)?;
            *selected = Some(named.database);
        }
        Ok((connection, self.store.named(of)))
    }
}

/// What the server has against any write, by one that changes nothing: of a key that nobody has, only a member that is there already would be given a score.
pub(super) fn takes_no_writes(connection: &mut Connection, endpoint: impl Display) -> Result<Option<Problem>> {
    const REFUSALS: [&str; 5] = ["OOM", "READONLY", "NOREPLICAS", "MISCONF", "CLUSTERDOWN"];
    let Reply::Error(text) = connection.ask(&[b"ZADD", NOBODYS, b"XX", b"0", b"x"])? else { return Ok(None) };
    if !REFUSALS.iter().any(|word| text.starts_with(word)) {
        return Ok(None);
    }
    let way_out = way_out_of(&text);
    Ok(Some(Problem::new(Severity::Blocks, format!("{endpoint} takes no writes: {text}")).way_out(way_out)))
}

fn way_out_of(refusal: &str) -> &'static str {
    match refusal.split(' ').next().unwrap_or_default() {
        "OOM" => "Give it more memory (CONFIG SET maxmemory), or remove keys that nobody needs.",
        "READONLY" => "Name the master in the configuration, and not a replica.",
        "NOREPLICAS" => "Bring its replicas back, or lower min-replicas-to-write.",
        "MISCONF" => "It could not save its data: see its log, and the free space of its volume.",
        _ => "See its log.",
    }
}

fn number_at(connection: &mut Connection, key: &[u8]) -> Result<u64> {
    let Reply::Bytes(text) = connection.call(&[b"GET", key])? else { return Ok(0) };
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::failed(format!("{} of {} is no number", String::from_utf8_lossy(key), connection.peer())))
}

impl LiveKeys for RedisStore {
    fn lacks(&self, context: &Context) -> Result<Option<Problem>> {
        for at in &self.servers {
            let mut connection = self.connect(context, at)?;
            let is_7 = knows_commands_of_7(&mut connection)?;
            let lacks = self.lacking(context, at, is_7, &[For::All, For::Live], &[])?;
            if !lacks.is_nothing() {
                let what = format!("single keys cannot be read and written at {}", at.address.endpoint());
                return Ok(Some(lacks.problem(Severity::Blocks, &what)));
            }
            if let Some(refusal) = takes_no_writes(&mut connection, at.address.endpoint())? {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    fn session<'a>(&'a self, context: &'a Context) -> Box<dyn KeySession + 'a> {
        Box::new(Keys { store: self, context, open: Vec::new() })
    }

    fn read(&self, context: &Context, database: &str, reader: &mut dyn KeyReader) -> Result<()> {
        self.read_database(context, database, reader)
    }
}

impl KeySession for Keys<'_> {
    fn members(&mut self, of: &LiveKey) -> Result<Vec<String>> {
        let (connection, key) = self.at_key(of)?;
        Ok(connection.call(&[b"ZRANGE", &key, b"0", b"-1"])?.list().iter().map(Reply::text).collect())
    }

    fn add_members(&mut self, members: &Members) -> Result<()> {
        let (connection, key) = self.at_key(&members.of)?;
        for (score, member) in &members.members {
            connection.call(&[b"ZADD", &key, b"NX", score.to_string().as_bytes(), member.as_bytes()])?;
        }
        Ok(())
    }

    fn remove_members(&mut self, of: &LiveKey, members: &[String]) -> Result<()> {
        let (connection, key) = self.at_key(of)?;
        members.iter().try_for_each(|member| connection.call(&[b"ZREM", &key, member.as_bytes()]).map(drop))
    }

    fn field(&mut self, of: &LiveKey, field: &str) -> Result<Option<String>> {
        let (connection, key) = self.at_key(of)?;
        match connection.call(&[b"HGET", &key, field.as_bytes()])? {
            Reply::Bytes(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            _ => Ok(None),
        }
    }

    fn counter(&mut self, of: &LiveKey) -> Result<u64> {
        let (connection, key) = self.at_key(of)?;
        number_at(connection, &key)
    }

    fn raise(&mut self, of: &LiveKey, to: u64) -> Result<()> {
        let (connection, key) = self.at_key(of)?;
        let more = to.saturating_sub(number_at(connection, &key)?);
        // Whoever counts on meanwhile is only brought further.
        if more > 0 { connection.call(&[b"INCRBY", &key, more.to_string().as_bytes()]).map(drop) } else { Ok(()) }
    }

    fn lower(&mut self, of: &LiveKey, from: u64, to: u64) -> Result<bool> {
        let (connection, key) = self.at_key(of)?;
        // Whoever counts on between the look and the change keeps what he has.
        connection.call(&[b"WATCH", &key])?;
        if from < to || number_at(connection, &key)? != from {
            return connection.call(&[b"UNWATCH"]).map(|_| false);
        }
        let lower = match to {
            0 => vec![b"DEL".to_vec(), key],
            to => vec![b"INCRBY".to_vec(), key, format!("-{}", from - to).into_bytes()],
        };
        unless_changed(connection, &vec![lower])
    }

    fn some_of_set(&mut self, of: &LiveKey, from: u64) -> Result<(Vec<String>, u64)> {
        let (connection, key) = self.at_key(of)?;
        let page = connection.call(&[b"SSCAN", &key, from.to_string().as_bytes(), b"COUNT", SCAN_COUNT])?.list();
        let [cursor, members] = page.as_slice() else {
            return Err(Error::failed(format!("{} does not answer SSCAN as Redis does", connection.peer())));
        };
        let next = cursor.text().parse().map_err(|_| Error::failed(format!("{}: SSCAN gives no cursor", connection.peer())))?;
        Ok((members.clone().list().iter().map(Reply::text).collect(), next))
    }

    fn length(&mut self, of: &LiveKey) -> Result<u64> {
        let (connection, key) = self.at_key(of)?;
        match connection.call(&[b"LLEN", &key])? {
            Reply::Number(length) => Ok(u64::try_from(length).unwrap_or_default()),
            _ => Ok(0),
        }
    }

    fn remove_from_set(&mut self, of: &LiveKey, members: &[String]) -> Result<()> {
        let (connection, key) = self.at_key(of)?;
        members.iter().try_for_each(|member| connection.call(&[b"SREM", &key, member.as_bytes()]).map(drop))
    }
}
