//! Stages a set: what the bucket does not have is put at its key, what differs beside it, and what is the same stays.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::ports::{Context, Entry, EntryKind, Event, Snapshot, Verb};
use plan::tree_order::TreeOrder;
use plan::{Error, Result};

use crate::client::list::Listed;
use crate::key::{OWN, Placed, TreeKey};
use crate::live;
use crate::parallel;
use crate::properties::{Noted, Properties};
use crate::run::{Fate, Item, RunObjects, STAGED, Staged};
use crate::store::Options;

/// Objects up to this size are put by many requests at once, each of which holds one.
const SMALL_BYTES: u64 = 1 << 20;
/// Objects in one list.
const LIST_ITEMS: usize = 500;
/// How many are named of what there may be many of.
const NAMED: usize = 5;
/// The longest key (user guide, "Naming Amazon S3 objects").
pub(crate) const KEY_BYTES_MAX: usize = 1024;

/// An object of the set, and the live one at its path.
struct Pair {
    entry: Entry,
    noted: Noted,
    live: Option<Placed>,
    item: Item,
}

/// Surplus, and what has no place in a bucket.
#[derive(Default)]
struct Told {
    extra: (u64, Vec<String>),
    left_out: (u64, Vec<String>),
}

struct Staging<'a> {
    context: &'a Context,
    run: &'a RunObjects,
    snapshot: &'a dyn Snapshot,
    options: Options,
    /// Some files alone: all else is none of their business.
    are_some: bool,
    lists: u64,
    number: u64,
    held: Vec<Pair>,
    extra: Vec<Item>,
    told: Told,
    links: HashSet<(u64, u64)>,
}

/// Stages into the bucket; the caller has cleared what an earlier call left, and written the mark.
pub(crate) fn stage(context: &Context, run: &RunObjects, snapshot: &Arc<dyn Snapshot>, (options, are_some): (Options, bool)) -> Result<()> {
    let staging = Staging {
        context,
        run,
        snapshot: &**snapshot,
        options,
        are_some,
        lists: 0,
        number: 0,
        held: Vec::new(),
        extra: Vec::new(),
        told: Told::default(),
        links: HashSet::new(),
    };
    staging.join()
}

impl Staging<'_> {
    fn join(mut self) -> Result<()> {
        let mut live = live::all(&self.run.client, self.context)?.peekable();
        let mut order = TreeOrder::default();
        for entry in self.snapshot.entries()? {
            self.context.stop.check()?;
            let entry = entry?;
            let Some((noted, item)) = self.wanted(&mut order, &entry)? else { continue };
            let comes_before = |placed: &Result<Placed>| placed.as_ref().map_or(true, |placed| placed.order() < TreeKey::of(&item.path));
            while let Some(placed) = live.next_if(comes_before) {
                self.surplus(placed?)?;
            }
            let is_at_path = |placed: &Result<Placed>| placed.as_ref().is_ok_and(|placed| placed.path == item.path);
            let mut found = live.next_if(is_at_path).transpose()?;
            if let Some(other) = found.take_if(|placed| placed.key != item.key) {
                self.surplus(other)?;
            }
            self.held.push(Pair { entry, noted, live: found, item });
            if self.held.len() == LIST_ITEMS {
                self.act()?;
            }
        }
        live.try_for_each(|placed| self.surplus(placed?))?;
        self.act()?;
        self.end()
    }

    /// What an entry of the set is in a bucket; `None` for what has no place there, or is implied.
    fn wanted(&mut self, order: &mut TreeOrder, entry: &Entry) -> Result<Option<(Noted, Item)>> {
        let shown = entry.path.display().to_string();
        let refused = |why: &str| {
            Error::needs_person(format!("entry {shown:?} of the snapshot {why}"))
                .hint("No backup of this program makes that: somebody who knows the repository's password has changed the snapshot. Restore another set.")
        };
        let is_folder = matches!(entry.kind, EntryKind::Folder);
        match order.admit(&entry.path, is_folder) {
            Ok(implied) if implied.is_empty() => {}
            Ok(_) => return Err(refused("is in a folder that the snapshot does not have")),
            Err(why) => return Err(refused(&why)),
        }
        let noted = Noted::of(&entry.meta);
        if is_folder && noted.key.is_none() {
            return Ok(None);
        }
        if !is_folder && !entry.is_file() {
            note(&mut self.told.left_out, &shown);
            return Ok(None);
        }
        let Some(path) = entry.path.to_str().map(str::to_owned) else {
            return Err(Error::refused(format!("the name of {shown:?} is not UTF-8: a bucket has no such keys"))
                .hint("Rename it at its source and take a new set, or restore into a folder. Nothing live was touched."));
        };
        let key = noted.key.clone().unwrap_or_else(|| path.clone());
        let listed = Listed { key: key.clone(), size: entry.size_bytes, e_tag: String::new(), modified_ns: 0 };
        if key.starts_with(OWN) || Placed::of(listed).map_or(true, |placed| placed.path != path || placed.is_folder() != is_folder) {
            return Err(refused("has a key that does not belong to its path"));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::refused(format!("the key {shown:?} has {} bytes, S3 allows {KEY_BYTES_MAX}", key.len()))
                .hint("Shorten it at its source and take a new set, or restore into a folder. Nothing live was touched."));
        }
        let is_link = entry.meta.links > 1 && entry.meta.identity.is_some_and(|identity| !self.links.insert(identity));
        self.number += 1;
        Ok(Some((noted, Item { key, path, size: entry.size_bytes, fate: Fate::New, number: self.number, e_tag: None, is_link })))
    }

    fn surplus(&mut self, placed: Placed) -> Result<()> {
        if self.are_some {
            return Ok(());
        }
        note(&mut self.told.extra, &placed.key);
        if self.options.remove_extra {
            self.number += 1;
            let Placed { path, key, size, e_tag, .. } = placed;
            self.extra.push(Item { key, path, size, fate: Fate::Extra, number: self.number, e_tag: Some(e_tag), is_link: false });
            if self.extra.len() == LIST_ITEMS {
                self.act()?;
            }
        }
        Ok(())
    }

    /// Puts what is held. What is put at a live key stands in a list before it is there, so that it is found again.
    fn act(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let mut items = std::mem::take(&mut self.extra);
        if held.is_empty() && items.is_empty() {
            return Ok(());
        }
        let stop = &self.context.stop;
        if held.iter().any(|pair| pair.live.is_none()) {
            let planned: Vec<_> = held.iter().filter(|pair| pair.live.is_none()).map(|pair| pair.item.clone()).collect();
            self.run.write_list(stop, self.lists, &planned)?;
        }
        let (large, small): (Vec<_>, Vec<_>) = held.iter().partition(|pair| pair.item.size > SMALL_BYTES);
        items.extend(parallel::all(self.context, &small, |pair| self.put(pair))?);
        items.extend(parallel::some(self.context, self.context.workers.max(1), &large, |pair| self.put(pair))?);
        items.sort_by(|one, other| TreeKey::of(&one.path).cmp(&TreeKey::of(&other.path)));
        self.run.write_list(stop, self.lists, &items)?;
        self.lists += 1;
        let bytes = held.iter().map(|pair| pair.item.size).sum();
        let items = held.len() as u64;
        self.context.watch.see(Event::Advance { data_set: DataSetName::SystemStorage, verb: Verb::Stage, bytes, items });
        Ok(())
    }

    fn put(&self, pair: &Pair) -> Result<Item> {
        let Pair { entry, noted, live, item } = pair;
        if let Some(live) = live
            && self.is_same(entry, noted, live)?
        {
            return Ok(Item { fate: Fate::Same, e_tag: Some(live.e_tag.clone()), ..item.clone() });
        }
        let fate = if live.is_some() { Fate::Differs } else { Fate::New };
        let to = if fate == Fate::Differs { self.run.numbered("stage", item.number) } else { item.key.clone() };
        let of_name = Properties::of_name(Path::new(&item.path));
        let properties = if noted.e_tag.is_some() { &noted.properties } else { &of_name };
        let mut content: Box<dyn std::io::Read> = if entry.is_file() { self.snapshot.read(entry)? } else { Box::new(std::io::empty()) };
        let e_tag = self.run.client.put(&self.context.stop, self.options.limits, (&to, item.size), &mut content, properties)?;
        Ok(Item { fate, e_tag: Some(e_tag), ..item.clone() })
    }

    /// Whether the live object is that of the set. Of a set of a folder nothing is known but the bytes: they are put.
    fn is_same(&self, entry: &Entry, noted: &Noted, live: &Placed) -> Result<bool> {
        if noted.e_tag.as_deref() != Some(live.e_tag.as_str()) || live.e_tag.is_empty() || entry.size_bytes != live.size {
            return Ok(false);
        }
        // Its time does not tell: S3 has whole seconds only, and what was put in the same second may have other properties.
        let head = self.run.client.head(&self.context.stop, &live.key)?;
        Ok(head.is_some_and(|head| head.e_tag == live.e_tag && head.properties == noted.properties))
    }

    fn end(self) -> Result<()> {
        let mut warnings = Vec::new();
        let (extra, named) = &self.told.extra;
        if *extra > 0 {
            let fate =
                if self.options.remove_extra { "will be removed, and are kept for `undo`" } else { "stay; --remove-extra removes them" };
            warnings.push(format!("{extra} objects of the bucket are not in the set ({}): they {fate}", shown(named, *extra)));
        }
        let (left_out, named) = &self.told.left_out;
        if *left_out > 0 {
            warnings.push(format!(
                "{left_out} entries of the set are links, pipes or sockets, which a bucket does not have: left out ({})",
                shown(named, *left_out)
            ));
        }
        warnings.iter().for_each(|text| self.context.watch.see(Event::Warning(text)));
        self.run.write(&self.context.stop, STAGED, &Staged { lists: self.lists, warnings })
    }
}

fn note((count, named): &mut (u64, Vec<String>), key: &str) {
    *count += 1;
    named.extend((named.len() < NAMED).then(|| format!("{key:?}")));
}

fn shown(named: &[String], count: u64) -> String {
    format!("{}{}", named.join(", "), if count > named.len() as u64 { ", …" } else { "" })
}
