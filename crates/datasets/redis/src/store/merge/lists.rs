//! Lists: entries that the live one lacks, put at the end where the older ones are. Who writes to the live list does so at the other end, so nobody is waited for.

use std::collections::HashMap;

use plan::Result;
use threescale::keys::Class;

use super::Merger;
use super::exactly::{select, words};
use super::gather::Element;
use super::records::{Of, expire};
use super::told::{Fate, NO_ROOM, OTHER_TYPE, TOO_LONG};
use crate::connection::Reply;
use crate::store::transaction::{Commands, in_one_trip};

/// Lists of more bytes are not merged.
pub(super) const LIST_MAX_BYTES: usize = 8 << 20;
/// Backend keeps so many errors of a service.
const ERRORS_MAX: u64 = 1000;
/// Entries of a live list that are looked at together.
const PAGE: u64 = 50;

/// A list of the set.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) texts: Vec<Vec<u8>>,
    bytes: usize,
    is_too_long: bool,
}

impl Entries {
    pub(super) fn take(&mut self, some: Vec<Element>) {
        self.bytes += some.iter().map(|element| element.text.len() + 24).sum::<usize>();
        self.is_too_long |= self.bytes > LIST_MAX_BYTES || some.iter().any(|element| element.is_cut);
        match self.is_too_long {
            true => self.texts = Vec::new(),
            false => self.texts.extend(some.into_iter().map(|element| element.text)),
        }
    }
}

impl Merger<'_> {
    /// Puts the entries there. `is_oldest_last`: of the two ends the older entries are at the last.
    pub(super) fn list(
        &mut self,
        (class, key): (Class, &[u8]),
        entries: Entries,
        is_oldest_last: bool,
        expires_ms: Option<u64>,
    ) -> Result<()> {
        let record = if is_oldest_last { Of::AtEnd } else { Of::AtBegin }.key(key);
        let fate = match self.done_before(&record)? {
            true => Fate::Changed,
            false if entries.is_too_long => Fate::Left(TOO_LONG),
            false => self.put_entries((class, key), &record, entries.texts, is_oldest_last, expires_ms)?,
        };
        self.told.fate(class, fate, key.len());
        Ok(())
    }

    fn done_before(&mut self, record: &[u8]) -> Result<bool> {
        let Some(side) = self.side else { return Ok(false) };
        self.connection.select(side)?;
        Ok(self.connection.call(&[b"EXISTS", record])?.number() == Some(1))
    }

    fn put_entries(
        &mut self,
        (class, key): (Class, &[u8]),
        record: &[u8],
        entries: Vec<Vec<u8>>,
        is_oldest_last: bool,
        expires_ms: Option<u64>,
    ) -> Result<Fate> {
        self.connection.select(self.live)?;
        let length = match self.connection.ask(&[b"LLEN", key])? {
            Reply::Error(text) if text.starts_with("WRONGTYPE") => return Ok(Fate::Left(OTHER_TYPE)),
            reply => reply.ok()?.number().and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
        };
        let mut live: HashMap<&[u8], u64> = entries.iter().map(|entry| (entry.as_slice(), 0)).collect();
        for from in (0..length).step_by(PAGE as usize) {
            let page = self.connection.call(&[b"LRANGE", key, from.to_string().as_bytes(), (from + PAGE - 1).to_string().as_bytes()])?;
            for entry in page.list() {
                if let Reply::Bytes(entry) = entry
                    && let Some(count) = live.get_mut(entry.as_slice())
                {
                    *count += 1;
                }
            }
        }
        let mut lacking: Vec<Vec<u8>> = Vec::new();
        for entry in &entries {
            match live.get_mut(entry.as_slice()) {
                Some(count) if *count > 0 => *count -= 1,
                _ => lacking.push(entry.clone()),
            }
        }
        drop(live);
        if is_oldest_last {
            let room = usize::try_from(ERRORS_MAX.saturating_sub(length)).unwrap_or(0);
            self.told.left(class, NO_ROOM, lacking.len().saturating_sub(room) as u64);
            lacking.truncate(room);
        } else {
            // The last one that is put at the begin comes first.
            lacking.reverse();
        }
        if lacking.is_empty() {
            return Ok(Fate::Equal);
        }
        self.told.grows += lacking.iter().map(|entry| 2 * entry.len() as u64).sum::<u64>();
        let fate = if length == 0 { Fate::New } else { Fate::Changed };
        let Some(side) = self.side else { return Ok(fate) };
        let push: &[u8] = if is_oldest_last { b"RPUSH" } else { b"LPUSH" };
        let with_all = |head: &[&[u8]]| words(head).into_iter().chain(lacking.iter().cloned()).collect::<Vec<_>>();
        let mut commands: Commands = vec![select(side), with_all(&[b"RPUSH", record]), select(self.live), with_all(&[push, key])];
        commands.extend(expires_ms.filter(|_| length == 0).map(|at_ms| expire(key, Some(at_ms))));
        let replies = in_one_trip(self.connection, &commands)?.unwrap_or_default();
        replies.into_iter().try_for_each(|reply| reply.ok().map(drop))?;
        Ok(fate)
    }
}
