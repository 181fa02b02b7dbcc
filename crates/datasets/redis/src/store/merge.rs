//! Merge: puts keys of some classes of a set into the live data, which stays and is written to meanwhile. What a key becomes is decided by its kind (`threescale::merging`);
//! each changes in one moment, together with the record of what it takes to take that back (`merge/records.rs`).

mod exactly;
mod gather;
mod lists;
mod members;
mod place;
mod records;
mod singles;
mod take_back;
mod told;

use std::sync::Arc;

use plan::manifest::KeptDataSet;
use plan::ports::{Context, Counts, Event, Foreseen, GivenIds, MergedClass, MergesKeys, Merging, Place, Problem, Severity, Snapshot, Verb};
use plan::{Error, Result};
use threescale::keys::{Class, Keys, Store};
use threescale::merging::{Chosen, Merge};

use super::later;
use super::live::takes_no_writes;
use super::mark::Holds;
use super::place::foreign;
use super::room::margin;
use super::transaction::settle_writes;
use super::{Named, RedisStore, ServerAt, Stored, hold};
use crate::connection::Connection;
use crate::dump::refuse_half_loaded;
use crate::pass::server_time_ms;
use crate::rdb::Format;
use crate::rdb::source::{NoTap, Source};
use crate::rdb::value::{Shape, unknown, value};
use crate::rdb::walk::{Item, KeyHead, Walk};
use crate::rights::For;
use crate::server::Server;
use crate::store::stored::Parts;
use gather::Gather;
use lists::Entries;
use members::Members;
use singles::{Single, What};
use told::{EXPIRED, Fate, NEVER, NO_NUMBER, OTHER_TYPE, TOO_LONG, Told};

/// Strings that are put there together, and their bytes.
const TOGETHER: usize = 500;
const TOGETHER_BYTES: usize = 1 << 20;
/// The stop flag and the server are looked at, and progress is told, after so many bytes of the set.
const LOOK_BYTES: u64 = 1 << 20;

/// What is merged into one logical database.
struct Merger<'a> {
    connection: &'a mut Connection,
    live: u32,
    /// Where records are; `None`: nothing is changed, all is only counted.
    side: Option<u32>,
    counts: Counts,
    ids: &'a GivenIds,
    told: Told,
    /// Strings that wait, and their bytes.
    waiting: Vec<Single>,
    waiting_bytes: usize,
    /// Keys that the server had thrown away when it began.
    evicted: Option<u64>,
}

impl RedisStore {
    fn chosen(&self, label: &str, merging: &Merging) -> Option<Chosen> {
        let store = Store::of(self.name, label)?;
        Some(Chosen::new(Keys::of(store, self.options.namespace.as_deref()), &merging.classes, &merging.services))
    }

    /// What stands in the way at a server, whatever the set.
    fn merge_lacks(&self, context: &Context, at: &ServerAt, connection: &mut Connection, server: &Server) -> Result<Vec<Problem>> {
        let (endpoint, mut problems) = (at.address.endpoint(), Vec::new());
        let free = self.free_databases(context, at, connection)?;
        let lacks = self.lacking(context, at, server.at_least(7, 0), &[For::All, For::Restore, For::Merge], &free)?;
        if !lacks.is_nothing() {
            problems.push(lacks.problem(Severity::Blocks, &format!("keys cannot be merged at {endpoint}")));
        }
        problems.extend(takes_no_writes(connection, endpoint)?);
        if free.len() < at.databases.len() {
            let text = format!("{endpoint} has not enough empty logical databases to keep on record what is changed");
            problems.push(Problem::new(Severity::Blocks, text).way_out("Raise `databases` in its configuration, or empty one."));
        }
        if hold::evicts(server) && !hold::can_hold(connection, server)? {
            let policy = server.field("maxmemory_policy");
            let text =
                format!("{endpoint} throws keys away when its memory is full ({policy}), and CONFIG SET is not allowed to hold that off");
            problems.push(Problem::new(Severity::Blocks, text).way_out("Set maxmemory-policy noeviction, as 3scale needs it."));
        }
        Ok(problems)
    }
}

impl MergesKeys for RedisStore {
    fn foresee(
        &self,
        context: &Context,
        snapshot: &Arc<dyn Snapshot>,
        kept: &KeptDataSet,
        merging: &Merging,
        ids: &GivenIds,
    ) -> Result<Foreseen> {
        let mut foreseen = Foreseen::default();
        for (at, mut connection, server) in self.connect_all(context)? {
            let problems = self.merge_lacks(context, at, &mut connection, &server)?;
            let is_open = problems.iter().all(|problem| problem.severity < Severity::Blocks);
            foreseen.problems.extend(problems);
            // Who may not look is told what he lacks, and no more.
            if !is_open {
                continue;
            }
            refuse_half_loaded(&mut connection, at)?;
            let mut grows = 0;
            for named in &at.databases {
                let merger = Merger::new(&mut connection, (named.database, None), named, (merging.counts, ids));
                if let Some(told) = self.merge_database(context, merger, named, (snapshot, kept), merging)? {
                    grows += told.grows;
                    foreseen.classes.extend(told.into_classes());
                }
            }
            foreseen.problems.extend(memory(at, &server, grows));
        }
        Ok(foreseen)
    }

    fn merge(
        &self,
        context: &Context,
        place: &Place,
        snapshot: &Arc<dyn Snapshot>,
        kept: &KeptDataSet,
        merging: &Merging,
        ids: &GivenIds,
    ) -> Result<Vec<MergedClass>> {
        let placed = self.placed(place)?;
        self.check_known(context, &placed)?;
        let (marks, mut classes) = (self.marks(context, &placed), Vec::new());
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            refuse_half_loaded(&mut connection, at)?;
            spots.iter().try_for_each(|spot| place::take(&mut connection, at, &server, &marks, spot))?;
            hold::hold(&mut connection, at, spots)?;
            for spot in spots {
                let named = Named { name: spot.name.clone(), database: spot.live };
                let mut merger = Merger::new(&mut connection, (spot.live, spot.side), &named, (merging.counts, ids));
                merger.evicted = Some(server.number("evicted_keys"));
                let told = self.merge_database(context, merger, &named, (snapshot, kept), merging)?;
                classes.extend(told.into_iter().flat_map(Told::into_classes));
            }
            settle_writes(&mut connection, &server)?;
        }
        Ok(classes)
    }

    fn take_back(&self, context: &Context, place: &Place) -> Result<()> {
        let placed = self.placed(place)?;
        let (marks, mut states) = (self.marks(context, &placed), self.states(context, &placed)?);
        for state in &mut states {
            later::check_newest(state, &marks)?;
        }
        for state in &states {
            for (side, holds) in &state.each {
                match holds {
                    Holds::Foreign => return Err(foreign(state.at, *side, holds)),
                    Holds::Nothing | Holds::Others(_) => return Err(place::gone(state.at, &placed)),
                    Holds::Claimed | Holds::Loading | Holds::Loaded | Holds::Previous => {}
                }
            }
        }
        for state in &mut states {
            for (spot, (side, holds)) in state.spots.iter().filter(|spot| spot.side.is_some()).zip(&state.each) {
                if *holds == Holds::Previous {
                    let outcome = take_back::take_back(context, &mut state.connection, spot.live, *side)?;
                    outcome.tell(context, &format!("{} {}", self.name, spot.name));
                    place::give_back(&mut state.connection, &marks, spot, *side)?;
                }
            }
        }
        drop(states);
        self.discard_at(context, &placed, plan::ports::Discard::Staged)
    }
}

impl RedisStore {
    /// `None` where nothing of the database is wanted.
    fn merge_database(
        &self,
        context: &Context,
        mut merger: Merger<'_>,
        named: &Named,
        (snapshot, kept): (&Arc<dyn Snapshot>, &KeptDataSet),
        merging: &Merging,
    ) -> Result<Option<Told>> {
        let Some(chosen) = self.chosen(&named.name, merging).filter(Chosen::is_any) else { return Ok(None) };
        let stored = Stored::of(Arc::clone(snapshot), kept, &named.name)?;
        merger.connection.select(named.database)?;
        let now_ms = server_time_ms(merger.connection)?;
        let mut walk = Walk::begin(Source::new(stored.read()?, NoTap))?;
        let format = walk.format;
        let (mut told, mut keys) = (0, 0);
        loop {
            match walk.next()? {
                Item::Key(head) => {
                    keys += 1;
                    merger.key(&mut walk.source, format, head, &chosen, now_ms)?;
                }
                Item::End { .. } => break,
                _ => {}
            }
            let bytes = walk.source.offset() - told;
            if bytes > LOOK_BYTES {
                context.stop.check()?;
                merger.look()?;
                context.watch.see(Event::Advance { data_set: self.name, verb: Verb::Stage, bytes, items: keys });
                (told, keys) = (walk.source.offset(), 0);
            }
        }
        walk.source.at_end().map_err(|error| error.during(format!("failed to read the database {} of the set", named.name)))?;
        merger.send()?;
        Ok(Some(merger.told))
    }
}

impl<'a> Merger<'a> {
    fn new(connection: &'a mut Connection, (live, side): (u32, Option<u32>), named: &Named, (counts, ids): (Counts, &'a GivenIds)) -> Self {
        let told = Told::of(&named.name);
        Self { connection, live, side, counts, ids, told, waiting: Vec::new(), waiting_bytes: 0, evicted: None }
    }

    /// A key, whose value is next in the source.
    fn key(&mut self, source: &mut Source<Parts, NoTap>, format: Format, head: KeyHead, chosen: &Chosen, now_ms: u64) -> Result<()> {
        let Some((class, merge)) = chosen.of(&head.key) else { return value(source, head.kind, format, &mut ()) };
        let shape = Shape::of(head.kind, format).ok_or_else(|| unknown(head.kind, format))?;
        let (from, key) = (source.offset(), head.key.clone());
        let why_not = match merge {
            _ if head.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) => Some(EXPIRED),
            None => Some(NEVER),
            Some(merge) if !merge.fits(shape.name()) => Some(OTHER_TYPE),
            Some(_) => None,
        };
        match (merge, why_not) {
            (Some(merge), None) => self.value(source, format, head, (class, merge), chosen)?,
            (_, why) => {
                value(source, head.kind, format, &mut ())?;
                self.told.fate(class, Fate::Left(why.unwrap_or(NEVER)), 0);
            }
        }
        self.told.key(class, &key, source.offset() - from + key.len() as u64);
        Ok(())
    }

    fn value(
        &mut self,
        source: &mut Source<Parts, NoTap>,
        format: Format,
        head: KeyHead,
        (class, merge): (Class, Merge),
        chosen: &Chosen,
    ) -> Result<()> {
        let KeyHead { key, kind, expires_ms, .. } = head;
        match merge {
            Merge::Count | Merge::Raise | Merge::Missing => {
                let mut text = gather::Element::default();
                let mut each = |some: Vec<gather::Element>| {
                    text = some.into_iter().next().unwrap_or_default();
                    Ok(())
                };
                read(source, kind, format, &mut each)?;
                if text.is_cut {
                    self.told.fate(class, Fate::Left(TOO_LONG), 0);
                    return Ok(());
                }
                let what = match (merge, exactly::number(&text.text)) {
                    (Merge::Missing, _) => What::Missing(text.text),
                    (Merge::Count, Some(number)) => What::Count(number),
                    (Merge::Raise, Some(number)) => What::Raise(number.max(self.given(chosen.bare(&key)))),
                    _ => {
                        self.told.fate(class, Fate::Left(NO_NUMBER), 0);
                        return Ok(());
                    }
                };
                self.wait(Single { key, class, what, expires_ms })
            }
            Merge::Members | Merge::Events => {
                let is_scored = Shape::of(kind, format) == Some(Shape::SortedSet);
                let mut members = Members::new(key, class, is_scored, merge == Merge::Events, expires_ms);
                read(source, kind, format, &mut |some| self.some_members(&mut members, some))?;
                self.end_members(&members);
                Ok(())
            }
            Merge::OldestLast | Merge::OldestFirst => {
                let mut entries = Entries::default();
                read(source, kind, format, &mut |some| {
                    entries.take(some);
                    Ok(())
                })?;
                self.list((class, &key), entries, merge == Merge::OldestLast, expires_ms)
            }
        }
    }

    /// The largest id that System has of a counter.
    fn given(&self, key: &[u8]) -> i64 {
        let given = std::str::from_utf8(key).ok().and_then(|key| self.ids.get(key));
        given.and_then(|given| i64::try_from(*given).ok()).unwrap_or(i64::MIN)
    }

    fn wait(&mut self, single: Single) -> Result<()> {
        self.waiting_bytes += single.bytes();
        self.waiting.push(single);
        if self.waiting.len() >= TOGETHER || self.waiting_bytes >= TOGETHER_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() { Ok(()) } else { self.singles(waiting) }
    }

    /// Stops before the server suffers.
    fn look(&mut self) -> Result<()> {
        let Some(evicted) = self.evicted else { return Ok(()) };
        let (now, peer) = (Server::ask(self.connection)?, self.connection.peer().to_owned());
        let (used, limit) = (now.number("used_memory"), now.memory_limit());
        if limit > 0 && used.saturating_add(margin(limit)) > limit {
            let text =
                format!("the memory of {peer} is nearly full: {used} of {limit} bytes, and a margin of {} stays free", margin(limit));
            return Err(Error::failed(text).hint("Raise its memory and maxmemory."));
        }
        if now.number("evicted_keys") > evicted {
            return Err(
                Error::failed(format!("{peer} throws keys away while others are put there")).hint("Raise its memory and maxmemory.")
            );
        }
        Ok(())
    }
}

fn read(
    source: &mut Source<Parts, NoTap>,
    kind: u8,
    format: Format,
    each: &mut dyn FnMut(Vec<gather::Element>) -> Result<()>,
) -> Result<()> {
    let mut gather = Gather::new(each);
    value(source, kind, format, &mut gather)?;
    gather.end()
}

/// Whether what is added has room.
fn memory(at: &ServerAt, server: &Server, grows: u64) -> Option<Problem> {
    let (used, limit, endpoint) = (server.number("used_memory"), server.memory_limit(), at.address.endpoint());
    if limit == 0 || grows <= limit.saturating_sub(used).saturating_sub(margin(limit)) {
        return None;
    }
    let text = format!(
        "{endpoint} uses {used} of {limit} bytes of memory; what is added, with what it takes to take it back, needs about {grows}, and a margin of {}",
        margin(limit)
    );
    Some(Problem::new(Severity::Blocks, text).way_out("Raise its memory and maxmemory, or merge fewer classes or services at a time."))
}
