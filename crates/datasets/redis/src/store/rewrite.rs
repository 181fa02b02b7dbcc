//! Writes keys of configuration into a copy that is whole: the staged one beside the live data, or the live data that was replaced in place.

use plan::ports::{Context, KeyChange, KeyChanges, Problem, Severity};
use plan::{Error, Result};

use super::RedisStore;
use super::allowed::knows_commands_of_7;
use super::place::Placed;
use super::prove::select_loaded;
use super::transaction::settle_writes;
use crate::connection::{Connection, Reply};
use crate::rights::For;

/// Changes whose replies may be outstanding.
const AHEAD: usize = 1000;

impl RedisStore {
    pub(crate) fn change_keys_at(&self, context: &Context, placed: &Placed, database: &str, changes: &mut dyn KeyChanges) -> Result<()> {
        let marks = self.marks(context, placed);
        let is_only = placed.servers.iter().flatten().count() == 1;
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            let Some(spot) = spots.iter().find(|spot| spot.name == database || is_only) else { continue };
            select_loaded(&mut connection, &marks, at, spot)?;
            make(context, &mut connection, changes)?;
            return settle_writes(&mut connection, &server);
        }
        Err(Error::refused(format!("{} has no database {database:?}", self.name)))
    }

    pub(crate) fn rewrite_lacks(&self, context: &Context) -> Result<Option<Problem>> {
        for at in &self.servers {
            let is_7 = knows_commands_of_7(&mut self.connect(context, at)?)?;
            let lacks = self.lacking(context, at, is_7, &[For::Rewrite], &[])?;
            if !lacks.is_nothing() {
                let what = format!("the configuration cannot be written at {}", at.address.endpoint());
                return Ok(Some(lacks.problem(Severity::Degrades, &what)));
            }
        }
        Ok(None)
    }
}

fn make(context: &Context, connection: &mut Connection, changes: &mut dyn KeyChanges) -> Result<()> {
    let mut batch = Vec::with_capacity(AHEAD);
    loop {
        context.stop.check()?;
        batch.clear();
        while batch.len() < AHEAD
            && let Some(change) = changes.next_change()?
        {
            connection.push(&words(&change));
            batch.push(change);
        }
        if batch.is_empty() {
            return Ok(());
        }
        connection.flush()?;
        let mut misfits = Vec::new();
        for change in &batch {
            match connection.reply()? {
                Reply::Error(text) if is_of_another_type(&text) => misfits.push(change),
                reply => {
                    _ = reply.ok().map_err(|error| error.during(format!("failed to write the configuration at {}", connection.peer())))?
                }
            }
        }
        misfits.into_iter().try_for_each(|change| make_anew(connection, change))?;
    }
}

/// A key of another type than 3scale's is none that anybody reads.
fn make_anew(connection: &mut Connection, change: &KeyChange) -> Result<()> {
    match connection.ask(&words(change))? {
        Reply::Error(text) if is_of_another_type(&text) => {
            connection.call(&[b"DEL", change.key()])?;
            connection.call(&words(change)).map(drop)
        }
        reply => reply.ok().map(drop),
    }
}

fn is_of_another_type(error: &str) -> bool {
    error.starts_with("WRONGTYPE")
}

pub(super) fn words(change: &KeyChange) -> Vec<&[u8]> {
    match change {
        KeyChange::Set { key, value } => vec![b"SET", key, value],
        KeyChange::Add { key, member } => vec![b"SADD", key, member],
        KeyChange::SetField { key, field, value } => vec![b"HSET", key, field, value],
        KeyChange::Take { key, member } => vec![b"SREM", key, member],
        KeyChange::Remove { key } => vec![b"DEL", key],
    }
}
