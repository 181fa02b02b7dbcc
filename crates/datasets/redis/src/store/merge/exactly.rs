//! Looks at strings and changes them so that nobody comes between: what was written to meanwhile is looked at again, in ever smaller groups.

use plan::Result;

use crate::connection::{Connection, Reply};
use crate::pass::time_ms;
use crate::store::transaction::{Commands, in_one_trip};

/// How often a single key that others write to is tried.
const TRIES: u32 = 20;

/// A key as it is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) value: Found,
    /// Milliseconds since the epoch.
    pub(super) expires_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Text(Vec<u8>),
    /// It is no string.
    Other,
}

impl Found {
    /// The number that Redis would count on; `None` for anything else.
    pub(super) fn number(&self) -> Option<i64> {
        if let Self::Text(text) = self { number(text) } else { None }
    }
}

/// A number as Redis writes it, and takes it (`string2ll` in `src/util.c`): no sign but a minus, no leading zero.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

pub(super) fn words(arguments: &[&[u8]]) -> Vec<Vec<u8>> {
    arguments.iter().map(|argument| argument.to_vec()).collect()
}

pub(super) fn select(database: u32) -> Vec<Vec<u8>> {
    words(&[b"SELECT", database.to_string().as_bytes()])
}

/// Looks at keys of the selected database.
pub(super) fn look(connection: &mut Connection, keys: &[&[u8]]) -> Result<Vec<Seen>> {
    let asked: Commands =
        std::iter::once(words(&[b"TIME"])).chain(keys.iter().flat_map(|key| [words(&[b"GET", key]), words(&[b"PTTL", key])])).collect();
    let mut replies = connection.together(&asked)?.into_iter();
    let now_ms = time_ms(replies.next().unwrap_or(Reply::Nil).ok()?)?;
    let mut seen = Vec::with_capacity(keys.len());
    while let (Some(value), Some(left)) = (replies.next(), replies.next()) {
        let value = match value {
            Reply::Nil => Found::Nothing,
            Reply::Bytes(text) => Found::Text(text),
            Reply::Error(text) if text.starts_with("WRONGTYPE") => Found::Other,
            other => other.ok().map(|_| Found::Other)?,
        };
        let left_ms = left.ok()?.number().and_then(|left| u64::try_from(left).ok());
        seen.push(Seen { value, expires_ms: left_ms.map(|left| now_ms + left) });
    }
    Ok(seen)
}

/// What is done about a key: commands, which begin by choosing a database, and what that means.
pub(super) type Decided<O> = (Commands, O);

/// For each item: looks at its key of the live database, decides, and carries that out unless the key has changed. `done` is told what was decided, or `None` for a key that
/// changed all the time. Without `writes` nothing is carried out.
pub(super) fn exactly<'i, T, O>(
    connection: &mut Connection,
    (live, writes): (u32, bool),
    items: &'i [T],
    key: &dyn Fn(&T) -> &[u8],
    decide: &dyn Fn(&T, &Seen) -> Result<Decided<O>>,
    done: &mut dyn FnMut(&'i T, Option<O>),
) -> Result<()> {
    let (mut pending, mut tries) = (vec![items], 0);
    while let Some(some) = pending.pop() {
        let keys: Vec<&[u8]> = some.iter().map(key).collect();
        if keys.is_empty() {
            continue;
        }
        connection.select(live)?;
        if writes {
            connection.call(&[&[b"WATCH".as_slice()], keys.as_slice()].concat())?;
        }
        let seen = look(connection, &keys)?;
        let decided = some.iter().zip(&seen).map(|(item, seen)| decide(item, seen)).collect::<Result<Vec<_>>>()?;
        let commands: Commands = decided.iter().flat_map(|(commands, _)| commands.iter().cloned()).collect();
        let is_done = match (writes, commands.is_empty()) {
            (false, _) => true,
            (true, true) => connection.call(&[b"UNWATCH"]).map(|_| true)?,
            (true, false) => match in_one_trip(connection, &commands)? {
                Some(replies) => replies.into_iter().try_for_each(|reply| reply.ok().map(drop)).map(|()| true)?,
                None => false,
            },
        };
        if is_done {
            tries = 0;
            some.iter().zip(decided).for_each(|(item, (_, outcome))| done(item, Some(outcome)));
        } else if some.len() > 1 {
            let (first, second) = some.split_at(some.len() / 2);
            pending.extend([second, first]);
        } else {
            tries += 1;
            if tries < TRIES {
                pending.push(some);
            } else {
                tries = 0;
                some.iter().for_each(|item| done(item, None));
            }
        }
    }
    Ok(())
}
