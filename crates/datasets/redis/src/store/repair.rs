//! Sets keys of the live configuration right while everybody goes on, and puts them back: a key is changed only if it is what it was taken for, in the moment in which it is
//! changed (`WATCH`, `MULTI`, `EXEC`).

mod content;

use plan::ports::{Context, Fate, KeyRepair, KeyRepairs, KeyValue, LooksAtKeys, Problem, Severity};
use plan::{Error, Result};

use super::RedisStore;
use super::allowed::knows_commands_of_7;
use super::live::takes_no_writes;
use super::rewrite::words;
use super::transaction::{Commands, settle_writes};
use crate::connection::{Connection, Reply};
use crate::dump::refuse_half_loaded;
use crate::rights::For;
use crate::scan::expiries;
use crate::server::Server;
use content::{Value, after};

/// Keys that are watched, and changed, together.
const TOGETHER: usize = 50;
/// So much of previous values may be in memory, and in one transaction, unless one key alone has more.
const TOGETHER_BYTES: usize = 8 << 20;

/// A connection to a logical database, and what its server is.
struct Keys {
    connection: Connection,
    server: Server,
    is_7: bool,
}

/// What is to be done to a key by what it has.
enum Wanted {
    /// It is what it was taken for.
    Commands(Commands),
    /// Nothing is.
    Nothing(Fate),
}

impl RedisStore {
    fn keys_of(&self, context: &Context, database: &str) -> Result<Keys> {
        let (at, named) = self.of_label(database)?;
        let mut connection = self.connect(context, at)?;
        refuse_half_loaded(&mut connection, at)?;
        let server = Server::ask(&mut connection)?;
        connection.select(named.database)?;
        let is_7 = server.at_least(7, 0);
        Ok(Keys { connection, server, is_7 })
    }

    fn each(
        &self,
        context: &Context,
        database: &str,
        repairs: &[KeyRepair],
        wanted: impl Fn(&KeyRepair, Option<&KeyValue>) -> Result<Wanted>,
    ) -> Result<Vec<Fate>> {
        let mut keys = self.keys_of(context, database)?;
        let mut fates = Vec::with_capacity(repairs.len());
        let mut rest = repairs;
        while !rest.is_empty() {
            context.stop.check()?;
            let (some, later) = rest.split_at(together(rest));
            fates.extend(keys.change(some, &wanted)?);
            rest = later;
        }
        settle_writes(&mut keys.connection, &keys.server)?;
        Ok(fates)
    }
}

/// How many of the first are changed together.
fn together(repairs: &[KeyRepair]) -> usize {
    let mut bytes = 0;
    let fit = repairs.iter().take(TOGETHER).take_while(|repair| {
        bytes += repair.was.as_ref().map_or(0, |was| was.payload.len());
        bytes <= TOGETHER_BYTES
    });
    fit.count().max(1)
}

impl LooksAtKeys for Keys {
    fn values(&mut self, keys: &[&[u8]]) -> Result<Vec<Option<KeyValue>>> {
        let told = match self.is_7 {
            true => Vec::new(),
            false => expiries(&mut self.connection, &keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>())?,
        };
        for key in keys {
            if self.is_7 {
                self.connection.push(&[b"PEXPIRETIME", key]);
            }
            self.connection.push(&[b"DUMP", key]);
        }
        self.connection.flush()?;
        let mut values = Vec::with_capacity(keys.len());
        for at in 0..keys.len() {
            let expires_ms = match self.is_7 {
                true => self.connection.reply()?.ok()?.number().and_then(|at_ms| u64::try_from(at_ms).ok()),
                false => told.get(at).copied().flatten(),
            };
            values.push(match self.connection.reply()?.ok()? {
                Reply::Bytes(payload) => Some(KeyValue { payload, expires_ms }),
                _ => None,
            });
        }
        Ok(values)
    }
}

impl Keys {
    /// Changes some together; where somebody was faster with one of them, one by one.
    fn change(&mut self, repairs: &[KeyRepair], wanted: &impl Fn(&KeyRepair, Option<&KeyValue>) -> Result<Wanted>) -> Result<Vec<Fate>> {
        let keys: Vec<&[u8]> = repairs.iter().map(|repair| repair.key.as_slice()).collect();
        self.connection.call(&[&[b"WATCH".as_slice()], keys.as_slice()].concat())?;
        let (mut commands, mut fates) = (Vec::new(), Vec::with_capacity(repairs.len()));
        for (repair, now) in repairs.iter().zip(self.values(&keys)?) {
            match wanted(repair, now.as_ref())? {
                Wanted::Commands(some) => {
                    commands.extend(some);
                    fates.push(Fate::Done);
                }
                Wanted::Nothing(fate) => fates.push(fate),
            }
        }
        if commands.is_empty() {
            self.connection.call(&[b"UNWATCH"])?;
            return Ok(fates);
        }
        match (self.execute(&commands)?, repairs) {
            (true, _) => Ok(fates),
            (false, [_]) => Ok(vec![Fate::Changed]),
            (false, _) => {
                let one_by_one = repairs.iter().map(|repair| self.change(std::slice::from_ref(repair), wanted));
                Ok(one_by_one.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
            }
        }
    }

    /// In one transaction, in one round trip. Whether it was done: not when what was watched has changed.
    fn execute(&mut self, commands: &Commands) -> Result<bool> {
        let connection = &mut self.connection;
        connection.push(&[b"MULTI"]);
        for command in commands {
            connection.push(&command.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        connection.push(&[b"EXEC"]);
        connection.flush()?;
        let mut refused = None;
        for _ in 0..=commands.len() {
            if let Err(error) = connection.reply()?.ok() {
                refused.get_or_insert(error);
            }
        }
        let done = connection.reply()?;
        match (refused, done) {
            (Some(error), _) => Err(error.during(format!("failed to set keys right at {}", connection.peer()))),
            (None, Reply::List(replies)) => {
                let peer = connection.peer().to_owned();
                let done = replies.into_iter().try_for_each(|reply| reply.ok().map(drop));
                done.map(|()| true).map_err(|error| error.during(format!("failed to set keys right at {peer}")))
            }
            (None, Reply::Nil) => Ok(false),
            (None, other) => {
                Err(other.ok().err().unwrap_or_else(|| Error::failed(format!("{} answered EXEC with no list", connection.peer()))))
            }
        }
    }
}

impl KeyRepairs for RedisStore {
    fn lacks(&self, context: &Context) -> Result<Option<Problem>> {
        for at in &self.servers {
            let mut connection = self.connect(context, at)?;
            let is_7 = knows_commands_of_7(&mut connection)?;
            let lacks = self.lacking(context, at, is_7, &[For::All, For::Rewrite, For::Repair], &[])?;
            if !lacks.is_nothing() {
                let what = format!("the configuration cannot be set right at {}", at.address.endpoint());
                return Ok(Some(lacks.problem(Severity::Blocks, &what)));
            }
            if let Some(refusal) = takes_no_writes(&mut connection, at.address.endpoint())? {
                return Ok(Some(refusal));
            }
        }
        Ok(None)
    }

    fn looks_at(&self, context: &Context, database: &str) -> Result<Box<dyn LooksAtKeys>> {
        Ok(Box::new(self.keys_of(context, database)?))
    }

    fn make(&self, context: &Context, database: &str, repairs: &[KeyRepair]) -> Result<Vec<Fate>> {
        self.each(context, database, repairs, |repair, now| {
            let (was, now) = (Value::of(repair.was.as_ref())?, Value::of(now)?);
            let then = after(was.as_ref(), &repair.changes);
            Ok(match () {
                () if now == then => Wanted::Nothing(Fate::WasSo),
                () if now == was => Wanted::Commands(made_by(was.as_ref(), repair)),
                () => Wanted::Nothing(Fate::Changed),
            })
        })
    }

    fn take_back(&self, context: &Context, database: &str, repairs: &[KeyRepair]) -> Result<Vec<Fate>> {
        self.each(context, database, repairs, |repair, now| {
            let (was, now) = (Value::of(repair.was.as_ref())?, Value::of(now)?);
            let then = after(was.as_ref(), &repair.changes);
            Ok(match () {
                () if now == was => Wanted::Nothing(Fate::WasSo),
                () if now == then => Wanted::Commands(vec![back(repair)]),
                () => Wanted::Nothing(Fate::Changed),
            })
        })
    }
}

/// A key of another type than 3scale's is none that anybody reads.
fn made_by(was: Option<&Value>, repair: &KeyRepair) -> Commands {
    let mut commands = Vec::with_capacity(repair.changes.len() + 1);
    if was.is_some_and(|was| was.is_of_another_type(&repair.changes)) {
        commands.push(vec![b"DEL".to_vec(), repair.key.clone()]);
    }
    commands.extend(repair.changes.iter().map(|change| words(change).into_iter().map(<[u8]>::to_vec).collect()));
    commands
}

fn back(repair: &KeyRepair) -> Vec<Vec<u8>> {
    let Some(KeyValue { payload, expires_ms }) = &repair.was else { return vec![b"DEL".to_vec(), repair.key.clone()] };
    let expires = expires_ms.unwrap_or_default().to_string().into_bytes();
    [b"RESTORE".to_vec(), repair.key.clone(), expires, payload.clone(), b"REPLACE".to_vec(), b"ABSTTL".to_vec()].into()
}
