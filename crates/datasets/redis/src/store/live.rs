//! Live keys by name: what a restore sets right beside what it loads, and `hold` shows.

use std::fmt::Display;

use plan::ids::DataSetName;
use plan::ports::{Context, KeyReader, LiveKey, LiveKeys, Members, Problem, Severity};
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

    /// A connection to the database of a key, and the key as the installation has it.
    fn at_key(&self, context: &Context, of: &LiveKey) -> Result<(Connection, Vec<u8>)> {
        let (at, named) = self.of_label(&of.database)?;
        let mut connection = self.connect(context, at)?;
        connection.select(named.database)?;
        let namespace = self.options.namespace.as_deref().filter(|_| self.name == DataSetName::SystemRedis);
        let prefix = namespace.map(|name| format!("{}:", name.trim_end_matches(':'))).filter(|prefix| prefix.len() > 1);
        Ok((connection, format!("{}{}", prefix.unwrap_or_default(), of.key).into_bytes()))
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

    fn members(&self, context: &Context, of: &LiveKey) -> Result<Vec<String>> {
        let (mut connection, key) = self.at_key(context, of)?;
        Ok(connection.call(&[b"ZRANGE", &key, b"0", b"-1"])?.list().iter().map(Reply::text).collect())
    }

    fn add_members(&self, context: &Context, members: &Members) -> Result<()> {
        let (mut connection, key) = self.at_key(context, &members.of)?;
        for (score, member) in &members.members {
            connection.call(&[b"ZADD", &key, b"NX", score.to_string().as_bytes(), member.as_bytes()])?;
        }
        Ok(())
    }

    fn remove_members(&self, context: &Context, of: &LiveKey, members: &[String]) -> Result<()> {
        let (mut connection, key) = self.at_key(context, of)?;
        members.iter().try_for_each(|member| connection.call(&[b"ZREM", &key, member.as_bytes()]).map(drop))
    }

    fn field(&self, context: &Context, of: &LiveKey, field: &str) -> Result<Option<String>> {
        let (mut connection, key) = self.at_key(context, of)?;
        match connection.call(&[b"HGET", &key, field.as_bytes()])? {
            Reply::Bytes(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            _ => Ok(None),
        }
    }

    fn counter(&self, context: &Context, of: &LiveKey) -> Result<u64> {
        let (mut connection, key) = self.at_key(context, of)?;
        number_at(&mut connection, &key)
    }

    fn raise(&self, context: &Context, of: &LiveKey, to: u64) -> Result<()> {
        let (mut connection, key) = self.at_key(context, of)?;
        let more = to.saturating_sub(number_at(&mut connection, &key)?);
        // Whoever counts on meanwhile is only brought further.
        if more > 0 { connection.call(&[b"INCRBY", &key, more.to_string().as_bytes()]).map(drop) } else { Ok(()) }
    }

    fn lower(&self, context: &Context, of: &LiveKey, from: u64, to: u64) -> Result<bool> {
        let (mut connection, key) = self.at_key(context, of)?;
        // Whoever counts on between the look and the change keeps what he has.
        connection.call(&[b"WATCH", &key])?;
        if from < to || number_at(&mut connection, &key)? != from {
            return connection.call(&[b"UNWATCH"]).map(|_| false);
        }
        let lower = match to {
            0 => vec![b"DEL".to_vec(), key],
            to => vec![b"INCRBY".to_vec(), key, format!("-{}", from - to).into_bytes()],
        };
        unless_changed(&mut connection, &vec![lower])
    }

    fn each_of_set(&self, context: &Context, of: &LiveKey, each: &mut dyn FnMut(Vec<String>) -> Result<()>) -> Result<()> {
        let (mut connection, key) = self.at_key(context, of)?;
        let mut cursor = "0".to_owned();
        loop {
            context.stop.check()?;
            let page = connection.call(&[b"SSCAN", &key, cursor.as_bytes(), b"COUNT", SCAN_COUNT])?.list();
            cursor = page.first().map(Reply::text).unwrap_or_default();
            each(page.into_iter().nth(1).map(Reply::list).unwrap_or_default().iter().map(Reply::text).collect())?;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    fn length(&self, context: &Context, of: &LiveKey) -> Result<u64> {
        let (mut connection, key) = self.at_key(context, of)?;
        match connection.call(&[b"LLEN", &key])? {
            Reply::Number(length) => Ok(u64::try_from(length).unwrap_or_default()),
            _ => Ok(0),
        }
    }

    fn remove_from_set(&self, context: &Context, of: &LiveKey, members: &[String]) -> Result<()> {
        let (mut connection, key) = self.at_key(context, of)?;
        members.iter().try_for_each(|member| connection.call(&[b"SREM", &key, member.as_bytes()]).map(drop))
    }

    fn read(&self, context: &Context, database: &str, reader: &mut dyn KeyReader) -> Result<()> {
        self.read_database(context, database, reader)
    }
}
