//! Strings: counters, numbers that never go down, and what is put where there is none.

use plan::Result;
use plan::ports::{Counts, LARGEST_ID};
use threescale::keys::Class;

use super::Merger;
use super::exactly::{Found, Seen, exactly, look, select, words};
use super::records::{Counted, Of, Raised, expire, is_same_time};
use super::told::{BUSY, Fate, NO_ID, NO_NUMBER, OTHER_TYPE, STAYS};
use crate::connection::Reply;
use crate::store::transaction::{Commands, in_one_trip};

/// A string of the set.
#[derive(Debug, Clone)]
pub(super) struct Single {
    pub(super) key: Vec<u8>,
    pub(super) class: Class,
    pub(super) what: What,
    pub(super) expires_ms: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    /// A counter of traffic.
    Count(i64),
    /// A number that never goes down.
    Raise(i64),
    /// A value where there is none.
    Missing(Vec<u8>),
}

impl Single {
    fn record(&self) -> Vec<u8> {
        let of = match self.what {
            What::Count(_) => Of::Count,
            What::Raise(_) => Of::Raised,
            What::Missing(_) => Of::Made,
        };
        of.key(&self.key)
    }

    pub(super) fn bytes(&self) -> usize {
        self.key.len() + if let What::Missing(value) = &self.what { value.len() } else { 8 }
    }

    /// Whether it adds to what is live, and to nothing else: then nobody can come between.
    const fn only_adds(&self, seen: &Seen) -> bool {
        matches!(self.what, What::Count(_)) && self.expires_ms.is_none() && seen.expires_ms.is_none()
    }
}

/// What is to be done: the text of the record, and commands of the live database.
struct Change {
    record: Vec<u8>,
    live: Commands,
}

/// Decides what becomes of a string.
fn decide(single: &Single, seen: &Seen, counts: Counts) -> (Option<Change>, Fate) {
    let is_there = seen.value != Found::Nothing;
    let fate = if is_there { Fate::Changed } else { Fate::New };
    let key = single.key.as_slice();
    let none = |fate| (None, fate);
    match (&single.what, &seen.value) {
        (_, Found::Other) => none(Fate::Left(OTHER_TYPE)),
        (What::Raise(value), _) if *value > i64::try_from(LARGEST_ID).unwrap_or(i64::MAX) => none(Fate::Left(NO_ID)),
        (What::Missing(value), Found::Text(live)) => none(if live == value { Fate::Equal } else { Fate::Left(STAYS) }),
        (What::Missing(value), Found::Nothing) => {
            let mut live = vec![words(&[b"SET", key, value])];
            live.extend(single.expires_ms.map(|at_ms| expire(key, Some(at_ms))));
            (Some(Change { record: value.clone(), live }), fate)
        }
        (What::Count(value) | What::Raise(value), _) => {
            let Some(have) = (if is_there { seen.value.number() } else { Some(0) }) else { return none(Fate::Left(NO_NUMBER)) };
            let is_raised = matches!(single.what, What::Raise(_));
            let target = match counts {
                _ if !is_there => Some(*value),
                _ if is_raised => Some(have.max(*value)),
                Counts::Max => Some(have.max(*value)),
                Counts::Set => Some(*value),
                Counts::Add => have.checked_add(*value),
            };
            // Beyond what Redis can count.
            let Some((target, added)) = target.and_then(|target| Some((target, target.checked_sub(have)?))) else {
                return none(Fate::Left(NO_NUMBER));
            };
            let now_ms = match (is_there, seen.expires_ms, single.expires_ms) {
                (false, _, of_set) => of_set,
                (true, live, _) if is_raised => live,
                // The longer life of both, that without an end is the longest: what expired sooner could not be taken back.
                (true, live, of_set) => live.zip(of_set).map(|(live, of_set)| live.max(of_set)),
            };
            let lives_on = is_same_time(seen.expires_ms, now_ms);
            if is_there && added == 0 && lives_on {
                return none(Fate::Equal);
            }
            let mut live = vec![words(&[b"INCRBY", key, added.to_string().as_bytes()])];
            live.extend((!lives_on).then(|| expire(key, now_ms)));
            let record = match is_raised {
                true => Raised { from: have, was_there: is_there, to: target }.to_text(),
                false => Counted { added, had: is_there.then_some(have), before_ms: seen.expires_ms, now_ms }.to_text(),
            };
            (Some(Change { record: record.into_bytes(), live }), fate)
        }
    }
}

impl Merger<'_> {
    /// Puts these strings into the live data.
    pub(super) fn singles(&mut self, singles: Vec<Single>) -> Result<()> {
        let singles = self.not_done(singles)?;
        if singles.is_empty() {
            return Ok(());
        }
        self.connection.select(self.live)?;
        let keys: Vec<&[u8]> = singles.iter().map(|single| single.key.as_slice()).collect();
        let seen = look(self.connection, &keys)?;
        let (plain, others): (Vec<_>, Vec<_>) = singles.into_iter().zip(seen).partition(|(single, seen)| single.only_adds(seen));
        self.add(&plain)?;
        let others: Vec<Single> = others.into_iter().map(|(single, _)| single).collect();
        let (counts, side, live) = (self.counts, self.side, self.live);
        let decided = |single: &Single, seen: &Seen| {
            let (change, fate) = decide(single, seen, counts);
            let commands = match (change, side) {
                (Some(change), Some(side)) => {
                    let record = [select(side), words(&[b"SET", &single.record(), &change.record]), select(live)];
                    record.into_iter().chain(change.live).collect()
                }
                _ => Commands::new(),
            };
            Ok((commands, fate))
        };
        let told = &mut self.told;
        let mut done = |single: &Single, fate: Option<Fate>| told.fate(single.class, fate.unwrap_or(Fate::Left(BUSY)), single.bytes());
        exactly(self.connection, (live, side.is_some()), &others, &|single: &Single| &single.key, &decided, &mut done)
    }

    /// Those that an interrupted call of the same run has not put there. The others have their record.
    fn not_done(&mut self, singles: Vec<Single>) -> Result<Vec<Single>> {
        let Some(side) = self.side else { return Ok(singles) };
        self.connection.select(side)?;
        let asked: Commands = singles.iter().map(|single| words(&[b"EXISTS", &single.record()])).collect();
        let replies = self.connection.together(&asked)?;
        let mut open = Vec::with_capacity(singles.len());
        for (single, reply) in singles.into_iter().zip(replies) {
            match reply.ok()?.number() {
                Some(1) => self.told.fate(single.class, Fate::Changed, single.bytes()),
                _ => open.push(single),
            }
        }
        Ok(open)
    }

    /// Counters that do not expire are only added to: who counts between the look and the change is kept, as if he had counted after both. So no counter is watched,
    /// however busy it is.
    fn add(&mut self, plain: &[(Single, Seen)]) -> Result<()> {
        let mut changes = Vec::new();
        for (single, seen) in plain {
            match decide(single, seen, self.counts) {
                (Some(change), fate) if self.side.is_some() => changes.push((single, change, fate)),
                (_, fate) => self.told.fate(single.class, fate, single.bytes()),
            }
        }
        let Some(side) = self.side.filter(|_| !changes.is_empty()) else { return Ok(()) };
        let records = changes.iter().map(|(single, change, _)| words(&[b"SET", &single.record(), &change.record]));
        let adds = changes.iter().flat_map(|(_, change, _)| change.live.iter().cloned());
        let commands: Commands =
            std::iter::once(select(side)).chain(records).chain(std::iter::once(select(self.live))).chain(adds).collect();
        let replies = in_one_trip(self.connection, &commands)?.unwrap_or_default();
        let mut refused = Vec::new();
        for ((single, _, fate), reply) in changes.iter().zip(replies.into_iter().skip(changes.len() + 2)) {
            let fate = match reply {
                // It became something else between the look and the change.
                Reply::Error(_) => {
                    refused.push(words(&[b"DEL", &single.record()]));
                    Fate::Left(NO_NUMBER)
                }
                _ => *fate,
            };
            self.told.fate(single.class, fate, single.bytes());
        }
        if !refused.is_empty() {
            self.connection.select(side)?;
            self.connection.together(&refused)?.into_iter().try_for_each(|reply| reply.ok().map(drop))?;
        }
        Ok(())
    }
}
