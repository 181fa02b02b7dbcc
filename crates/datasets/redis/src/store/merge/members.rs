//! Sets and sorted sets: members that the live one lacks. Those that are there stay as they are.

use plan::Result;
use threescale::keys::Class;

use super::Merger;
use super::exactly::{select, words};
use super::gather::Element;
use super::records::{Of, expire};
use super::told::{Fate, NOT_KNOWN_WHICH, OTHER_TYPE, TAKEN, TOO_LONG};
use crate::connection::Reply;
use crate::store::transaction::{Commands, in_one_trip};

/// How often members are looked at again when others write to the key.
const TRIES: u32 = 10;
/// The counter whose ids are the scores of events.
const EVENT_IDS: &str = "events/id";

/// A set that is read.
pub(super) struct Members {
    pub(super) key: Vec<u8>,
    pub(super) class: Class,
    pub(super) is_scored: bool,
    pub(super) are_events: bool,
    pub(super) expires_ms: Option<u64>,
    /// Whether there was a live one when the first was looked at.
    had: Option<bool>,
    added: u64,
    is_of_another_type: bool,
    /// Members that were looked for at the live one. The others do not go: why is told of these.
    looked_for: u64,
}

impl Members {
    pub(super) const fn new(key: Vec<u8>, class: Class, is_scored: bool, are_events: bool, expires_ms: Option<u64>) -> Self {
        Self { key, class, is_scored, are_events, expires_ms, had: None, added: 0, is_of_another_type: false, looked_for: 0 }
    }
}

/// A score as Redis reads it.
fn score(score: f64) -> Vec<u8> {
    score.to_string().into_bytes()
}

impl Merger<'_> {
    /// Puts some members there.
    pub(super) fn some_members(&mut self, of: &mut Members, mut some: Vec<Element>) -> Result<()> {
        let before = some.len();
        some.retain(|element| !element.is_cut);
        self.told.left(of.class, TOO_LONG, (before - some.len()) as u64);
        if of.are_events {
            some = self.not_taken(of, some);
        }
        of.looked_for += some.len() as u64;
        if of.is_of_another_type || some.is_empty() && of.had.is_some() {
            return Ok(());
        }
        for attempt in 1..=TRIES {
            self.connection.select(self.live)?;
            let is_watched = self.side.is_some() && attempt < TRIES;
            if is_watched {
                self.connection.call(&[b"WATCH", &of.key])?;
            }
            let Some((had, lacking, clashing)) = self.lacking(of, &some)? else {
                of.is_of_another_type = true;
                if is_watched {
                    self.connection.call(&[b"UNWATCH"])?;
                }
                return Ok(());
            };
            let commands = self.side.map_or_else(Commands::new, |side| adding(of, &lacking, had, side, self.live));
            if commands.is_empty() {
                if is_watched {
                    self.connection.call(&[b"UNWATCH"])?;
                }
            } else {
                match in_one_trip(self.connection, &commands)? {
                    Some(replies) => replies.into_iter().try_for_each(|reply| reply.ok().map(drop))?,
                    None => continue,
                }
            }
            of.had.get_or_insert(had);
            of.added += lacking.len() as u64;
            of.looked_for -= clashing;
            self.told.left(of.class, TAKEN, clashing);
            self.told.grows += lacking.iter().map(|element| 2 * element.text.len() as u64 + 100).sum::<u64>();
            return Ok(());
        }
        Ok(())
    }

    /// Events that System has not taken.
    fn not_taken(&mut self, of: &Members, some: Vec<Element>) -> Vec<Element> {
        let Some(taken) = self.ids.get(EVENT_IDS) else {
            self.told.left(of.class, NOT_KNOWN_WHICH, some.len() as u64);
            return Vec::new();
        };
        let before = some.len();
        // Ids are whole numbers, and far below what a double holds exactly.
        let newer: Vec<_> = some.into_iter().filter(|element| element.score > *taken as f64).collect();
        self.told.left(of.class, TAKEN, (before - newer.len()) as u64);
        newer
    }

    /// Whether the key is there, the members that it lacks, and how many events have the id of another; `None` when it is of another type.
    fn lacking(&mut self, of: &Members, some: &[Element]) -> Result<Option<(bool, Vec<Element>, u64)>> {
        let mut asked = vec![words(&[b"EXISTS", &of.key])];
        for element in some {
            let command: &[u8] = if of.is_scored { b"ZSCORE" } else { b"SISMEMBER" };
            asked.push(words(&[command, &of.key, &element.text]));
            if of.are_events {
                let score = score(element.score);
                asked.push(words(&[b"ZCOUNT", &of.key, &score, &score]));
            }
        }
        let mut replies = self.connection.together(&asked)?.into_iter();
        let had = replies.next().unwrap_or(Reply::Nil).ok()?.number() == Some(1);
        let (mut lacking, mut clashing) = (Vec::new(), 0);
        for element in some {
            let is_there = match replies.next().unwrap_or(Reply::Nil) {
                Reply::Error(text) if text.starts_with("WRONGTYPE") => return Ok(None),
                reply => !matches!(reply.ok()?, Reply::Nil | Reply::Number(0)),
            };
            let clashes = of.are_events && replies.next().unwrap_or(Reply::Nil).ok()?.number() != Some(0);
            match (is_there, clashes) {
                (true, _) => {}
                (false, true) => clashing += 1,
                (false, false) => lacking.push(element.clone()),
            }
        }
        Ok(Some((had, lacking, clashing)))
    }

    /// All members were told.
    pub(super) fn end_members(&mut self, of: &Members) {
        let fate = match (of.is_of_another_type, of.added, of.had) {
            (true, ..) => Fate::Left(OTHER_TYPE),
            // None of it may go, or may be there.
            (_, 0, _) if of.looked_for == 0 => return,
            (_, 0, _) => Fate::Equal,
            (_, _, Some(true)) => Fate::Changed,
            _ => Fate::New,
        };
        self.told.fate(of.class, fate, of.key.len());
    }
}

fn adding(of: &Members, lacking: &[Element], had: bool, side: u32, live: u32) -> Commands {
    if lacking.is_empty() {
        return Commands::new();
    }
    let texts = || lacking.iter().map(|element| element.text.clone());
    let record = if of.is_scored { Of::Scored } else { Of::Members }.key(&of.key);
    let mut recorded = words(&[b"SADD", &record]);
    recorded.extend(texts());
    let mut added = if of.is_scored { words(&[b"ZADD", &of.key, b"NX"]) } else { words(&[b"SADD", &of.key]) };
    match of.is_scored {
        true => added.extend(lacking.iter().flat_map(|element| [score(element.score), element.text.clone()])),
        false => added.extend(texts()),
    }
    let mut commands = vec![select(side), recorded, select(live), added];
    commands.extend(of.expires_ms.filter(|_| !had).map(|at_ms| expire(&of.key, Some(at_ms))));
    commands
}
