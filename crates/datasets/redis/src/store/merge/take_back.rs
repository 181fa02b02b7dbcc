//! Takes a merge back, record by record: what was added goes, what came since stays. A record goes in the same transaction as what it is about.

use plan::ports::{Context, Event};
use plan::{Error, Result};
use threescale::census::printable;

use super::exactly::{Found, Seen, exactly, select, words};
use super::records::{Counted, Of, Raised};
use crate::connection::{Connection, Reply};
use crate::scan::page;
use crate::store::transaction::{Commands, in_one_trip};

/// Members that are taken out together.
const TOGETHER: usize = 500;
/// Keys that are named.
const NAMED_MAX: usize = 5;

/// A record of a string.
struct Record {
    key: Vec<u8>,
    name: Vec<u8>,
    was: Was,
}

enum Was {
    Counted(Counted),
    Raised(Raised),
    Made(Vec<u8>),
}

/// How a string went back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    Wholly,
    /// What was added was taken away, what was counted since stays.
    WentOn,
    /// It stays as it is.
    Stays,
}

/// What is told at the end.
#[derive(Default)]
pub(super) struct Outcome {
    went_on: u64,
    stay: u64,
    first: Vec<String>,
}

impl Outcome {
    pub(super) fn tell(&self, context: &Context, database: &str) {
        if self.went_on > 0 {
            let text = format!(
                "{database}: {} counters were counted on since: what the run added to them is taken away, what was counted since stays",
                self.went_on
            );
            context.watch.see(Event::Warning(&text));
        }
        if self.stay > 0 {
            let text = format!(
                "{database}: {} keys stay as they are, because they went on, were begun anew, or became something else since: {}{}",
                self.stay,
                self.first.join(", "),
                if self.stay > self.first.len() as u64 { ", …" } else { "" }
            );
            context.watch.see(Event::Warning(&text));
        }
    }

    fn add(&mut self, record: &Record, back: Back) {
        match back {
            Back::Wholly => {}
            Back::WentOn => self.went_on += 1,
            Back::Stays => self.stays(&record.key),
        }
    }

    fn stays(&mut self, key: &[u8]) {
        self.stay += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(printable(key));
        }
    }
}

/// Takes back all that the side database has on record.
pub(super) fn take_back(context: &Context, connection: &mut Connection, live: u32, side: u32) -> Result<Outcome> {
    let (mut outcome, mut cursor) = (Outcome::default(), b"0".to_vec());
    loop {
        context.stop.check()?;
        connection.select(side)?;
        let (next, names) = page(connection, &cursor)?;
        for some in names.chunks(TOGETHER) {
            strings(connection, (live, side), some, &mut outcome)?;
            for name in some {
                let (key, is_taken) = match Of::read(name) {
                    Some((Of::Members, key)) => (key, members(context, connection, (live, side), name, (b"SREM", key))?),
                    Some((Of::Scored, key)) => (key, members(context, connection, (live, side), name, (b"ZREM", key))?),
                    Some((Of::AtEnd, key)) => (key, entries(connection, (live, side), name, (b"-1", key))?),
                    Some((Of::AtBegin, key)) => (key, entries(connection, (live, side), name, (b"1", key))?),
                    _ => continue,
                };
                if !is_taken {
                    outcome.stays(key);
                }
            }
        }
        if next == b"0" {
            return Ok(outcome);
        }
        cursor = next;
    }
}

fn strings(connection: &mut Connection, (live, side): (u32, u32), names: &[Vec<u8>], outcome: &mut Outcome) -> Result<()> {
    let wanted: Vec<_> = names
        .iter()
        .filter_map(|name| match Of::read(name)? {
            (of @ (Of::Count | Of::Raised | Of::Made), key) => Some((of, key, name)),
            _ => None,
        })
        .collect();
    connection.select(side)?;
    let asked: Commands = wanted.iter().map(|(_, _, name)| words(&[b"GET", name])).collect();
    let mut records = Vec::with_capacity(wanted.len());
    for ((of, key, name), reply) in wanted.into_iter().zip(connection.together(&asked)?) {
        // SCAN may tell a key twice.
        let Reply::Bytes(text) = reply.ok()? else { continue };
        let was = match of {
            Of::Count => Was::Counted(Counted::read(&text)?),
            Of::Raised => Was::Raised(Raised::read(&text)?),
            _ => Was::Made(text),
        };
        records.push(Record { key: key.to_vec(), name: name.clone(), was });
    }
    let forget = |record: &Record| [select(side), words(&[b"DEL", &record.name])];
    let decide = |record: &Record, seen: &Seen| {
        let (commands, back) = how(record, seen);
        let all = std::iter::once(select(live)).chain(commands).chain(forget(record)).collect();
        Ok((all, back))
    };
    let mut busy = Vec::new();
    exactly(connection, (live, true), &records, &|record: &Record| &record.key, &decide, &mut |record, back| match back {
        Some(back) => outcome.add(record, back),
        None => busy.push(record),
    })?;
    // Counted on all the time: what was added is taken away, whatever it is by now.
    for record in busy {
        let (commands, back) = match &record.was {
            Was::Counted(counted) => {
                (vec![words(&[b"INCRBY", &record.key, counted.added.saturating_neg().to_string().as_bytes()])], Back::WentOn)
            }
            Was::Raised(_) | Was::Made(_) => (Commands::new(), Back::Stays),
        };
        let all: Commands = std::iter::once(select(live)).chain(commands).chain(forget(record)).collect();
        in_one_trip(connection, &all)?.unwrap_or_default().into_iter().try_for_each(|reply| reply.ok().map(drop))?;
        outcome.add(record, back);
    }
    Ok(())
}

fn how(record: &Record, seen: &Seen) -> (Commands, Back) {
    let taken = match &record.was {
        Was::Counted(counted) => counted.taken_back(&record.key, seen),
        Was::Raised(raised) => raised.taken_back(&record.key, seen),
        Was::Made(value) => match &seen.value {
            Found::Nothing => Some(Commands::new()),
            Found::Text(now) if now == value => Some(vec![words(&[b"DEL", &record.key])]),
            _ => None,
        },
    };
    match (taken, &record.was) {
        (None, _) => (Commands::new(), Back::Stays),
        (Some(commands), Was::Counted(counted)) if counted.went_on(seen) => (commands, Back::WentOn),
        (Some(commands), _) => (commands, Back::Wholly),
    }
}

/// Whether the live key is still what it was: one that has become something else is none of the run's any more.
fn unless_of_another_type(replies: Option<Vec<Reply>>) -> Result<bool> {
    let mut is_same = true;
    for reply in replies.unwrap_or_default() {
        match reply {
            Reply::Error(text) if text.starts_with("WRONGTYPE") => is_same = false,
            reply => drop(reply.ok()?),
        }
    }
    Ok(is_same)
}

fn members(
    context: &Context,
    connection: &mut Connection,
    (live, side): (u32, u32),
    name: &[u8],
    (remove, key): (&[u8], &[u8]),
) -> Result<bool> {
    let (mut cursor, mut is_same) = (b"0".to_vec(), true);
    loop {
        context.stop.check()?;
        connection.select(side)?;
        let mut reply = connection.call(&[b"SSCAN", name, &cursor, b"COUNT", b"500"])?.list().into_iter();
        let (Some(Reply::Bytes(next)), Some(some)) = (reply.next(), reply.next()) else {
            return Err(Error::failed("SSCAN answered something else than a cursor and members"));
        };
        let some: Vec<Vec<u8>> =
            some.list().into_iter().filter_map(|member| if let Reply::Bytes(member) = member { Some(member) } else { None }).collect();
        if !some.is_empty() {
            let all = |head: &[&[u8]]| words(head).into_iter().chain(some.iter().cloned()).collect::<Vec<_>>();
            let commands = vec![select(live), all(&[remove, key]), select(side), all(&[b"SREM", name])];
            is_same &= unless_of_another_type(in_one_trip(connection, &commands)?)?;
        }
        if next == b"0" {
            return Ok(is_same);
        }
        cursor = next;
    }
}

/// `end`: where `LREM` begins to look for one.
fn entries(connection: &mut Connection, (live, side): (u32, u32), name: &[u8], (end, key): (&[u8], &[u8])) -> Result<bool> {
    connection.select(side)?;
    let added = connection.call(&[b"LRANGE", name, b"0", b"-1"])?.list();
    let mut commands = vec![select(live)];
    for entry in added {
        if let Reply::Bytes(entry) = entry {
            commands.push(words(&[b"LREM", key, end, &entry]));
        }
    }
    commands.extend([select(side), words(&[b"DEL", name])]);
    unless_of_another_type(in_one_trip(connection, &commands)?)
}
