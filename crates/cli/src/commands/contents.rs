//! `ls` and `find`: what sets hold, by names. Tables and logical databases are known from a set's evidence; of files and objects its tree is walked. No content is read, and no more
//! is held than is told.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use plan::choice::Owner;
use plan::ids::{DataSetName, SetId};
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Entry, EntryKind, Repository, StoreKind};
use plan::words::in_one_line;
use plan::{Error, Result};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::output::{Table, bytes, count, local_time};
use crate::whose::{Wanted, candidates};

/// Something with a name.
#[derive(Debug, Serialize)]
struct Named {
    name: String,
    kind: &'static str,
    /// Rows of a table, keys of a logical database, elements of a data set.
    elements: Option<u64>,
    bytes: Option<u64>,
    changed_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct LsDocument<'a> {
    set: &'a SetId,
    data_set: Option<DataSetName>,
    path: Option<&'a Path>,
    entries: &'a [Named],
    /// How many there are beside those.
    more: u64,
}

#[derive(Serialize)]
struct Found {
    set: SetId,
    data_set: DataSetName,
    #[serde(flatten)]
    named: Named,
}

#[derive(Serialize)]
struct FindDocument<'a> {
    name: &'a str,
    sets: usize,
    found: &'a [Found],
    more: u64,
}

/// So many are held, the others counted.
struct Held<T> {
    first: Vec<T>,
    more: u64,
    limit: usize,
}

impl<T> Held<T> {
    const fn new(limit: usize) -> Self {
        Self { first: Vec::new(), more: 0, limit }
    }

    fn add(&mut self, one: T) {
        if self.first.len() < self.limit { self.first.push(one) } else { self.more += 1 }
    }

    fn rest(&self) -> Option<String> {
        (self.more > 0).then(|| format!("… and {} more: --limit {} tells them", count(self.more), self.first.len() as u64 + self.more))
    }
}

pub(crate) fn ls(app: &App, args: &args::Ls) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let after = args.data_set.map(|name| format!(" {name}")).unwrap_or_default();
    let wanted = Wanted { after, ..Wanted::new("ls", &args.of.set, args.of.partial.partial) };
    let manifest = app.find_set(&config, repository.as_ref(), &wanted)?.0.manifest;
    let mut held = Held::new(args.limit);
    match args.data_set {
        None => data_sets(&manifest).for_each(|named| held.add(named)),
        Some(name) => in_data_set(app, &manifest, name, repository.as_ref(), args.path.as_deref(), &mut held)?,
    }
    let mut table = Table::new(&["NAME", "KIND", "ELEMENTS", "SIZE", "CHANGED"]);
    held.first.iter().for_each(|named| table.row(cells(named)));
    app.output.line(&table.render())?;
    if let Some(rest) = held.rest() {
        app.output.line(&rest)?;
    }
    if matches!(args.data_set, Some(DataSetName::BackendRedis | DataSetName::SystemRedis)) {
        app.output.note(&format!("`inspect {} {}` counts the keys by class.", manifest.set, args.data_set.map_or("", DataSetName::as_str)));
    }
    app.output.document(&LsDocument {
        set: &manifest.set,
        data_set: args.data_set,
        path: args.path.as_deref(),
        entries: &held.first,
        more: held.more,
    })
}

fn data_sets(manifest: &Manifest) -> impl Iterator<Item = Named> + '_ {
    manifest.data_sets.iter().map(|(name, kept)| Named {
        name: name.to_string(),
        kind: "data set",
        elements: Some(kept.evidence.count()),
        bytes: Some(kept.bytes),
        changed_at: Some(kept.consistent_at),
    })
}

fn in_data_set(
    app: &App,
    manifest: &Manifest,
    name: DataSetName,
    repository: &dyn Repository,
    path: Option<&Path>,
    held: &mut Held<Named>,
) -> Result<()> {
    let kept = manifest.data_sets.get(&name).ok_or_else(|| {
        let has: Vec<_> = manifest.data_sets.keys().map(|name| name.as_str()).collect();
        Error::refused(format!("set {} has no {name}", manifest.set)).hint(format!("It has {}.", has.join(", ")))
    })?;
    if !is_tree(&kept.kind) {
        if path.is_some() {
            return Err(Error::refused(format!("{name} has no folders")).hint(format!("`ls {} {name}` tells what it has.", manifest.set)));
        }
        known(kept).for_each(|named| held.add(named));
        return Ok(());
    }
    let wanted = beneath(path.unwrap_or(Path::new("")));
    let mut is_there = wanted.as_os_str().is_empty();
    for entry in repository.open(&kept.snapshot)?.entries()? {
        app.stop().check()?;
        let entry = entry?;
        let is_it = entry.path == wanted && !matches!(entry.kind, EntryKind::Folder);
        is_there |= entry.path == wanted || entry.path.starts_with(&wanted);
        if is_it || entry.path.parent() == Some(&wanted) && !entry.path.as_os_str().is_empty() {
            let name = if is_it { entry.path.as_path() } else { Path::new(entry.path.file_name().unwrap_or_default()) };
            held.add(of_entry(name, &entry));
        }
    }
    if is_there {
        return Ok(());
    }
    Err(Error::refused(format!("there is no {} in {name} of set {}", wanted.display(), manifest.set))
        .hint(format!("`ls {} {name}` tells what is at the top.", manifest.set)))
}

pub(crate) fn find(app: &App, args: &args::Find) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let sets = if args.sets.is_empty() {
        let whose = app.whose(&config)?;
        let all = candidates(repository.as_ref())?.into_iter().map(|candidate| candidate.manifest).rev();
        all.filter(|manifest| whose.owner(manifest) != Owner::Other).collect()
    } else {
        let find = |set: &String| app.find_set(&config, repository.as_ref(), &Wanted::new("find", set, args.partial.partial));
        args.sets.iter().map(|set| Ok(find(set)?.0.manifest)).collect::<Result<Vec<_>>>()?
    };
    let mut held = Held::new(args.limit);
    for manifest in &sets {
        for (name, kept) in &manifest.data_sets {
            if let Err(error) = search(app, (&manifest.set, *name, kept), repository.as_ref(), &args.name, &mut held) {
                // A set that is damaged hides nothing that others have.
                app.stop().check()?;
                app.output.note(&format!("warning: {name} of set {} was not looked through: {}", manifest.set, error.chain()));
            }
        }
    }
    if held.first.is_empty() && held.more == 0 {
        app.output.note(&format!("Nothing in {} sets is called {}.", count(sets.len() as u64), in_one_line(&args.name)));
    } else {
        let mut table = Table::new(&["SET", "DATA SET", "KIND", "NAME", "ELEMENTS", "SIZE", "CHANGED"]);
        for found in &held.first {
            let [name, kind, elements, size, changed] = cells(&found.named);
            table.row([found.set.to_string(), found.data_set.to_string(), kind, name, elements, size, changed]);
        }
        app.output.line(&table.render())?;
    }
    if let Some(rest) = held.rest() {
        app.output.line(&rest)?;
    }
    app.output.document(&FindDocument { name: &args.name, sets: sets.len(), found: &held.first, more: held.more })
}

fn search(
    app: &App,
    (set, data_set, kept): (&SetId, DataSetName, &KeptDataSet),
    repository: &dyn Repository,
    name: &str,
    held: &mut Held<Found>,
) -> Result<()> {
    let mut add = |named: Named| held.add(Found { set: set.clone(), data_set, named });
    if !is_tree(&kept.kind) {
        // `public.users` is `users`, too.
        let is_it = |named: &Named| fits(name, &named.name) || named.name.split_once('.').is_some_and(|(_, bare)| fits(name, bare));
        known(kept).filter(is_it).for_each(add);
        return Ok(());
    }
    for entry in repository.open(&kept.snapshot)?.entries()? {
        app.stop().check()?;
        let entry = entry?;
        let last = entry.path.file_name().unwrap_or_default().to_string_lossy();
        let is_it = if name.contains('/') { fits(name.trim_start_matches('/'), &entry.path.to_string_lossy()) } else { fits(name, &last) };
        if is_it {
            add(of_entry(&entry.path, &entry));
        }
    }
    Ok(())
}

/// Whether what it has are entries with names, each in a folder.
const fn is_tree(kind: &StoreKind) -> bool {
    matches!(kind, StoreKind::Files | StoreKind::Bucket | StoreKind::Objects)
}

/// What the evidence tells: tables, logical databases, and how many there are of what has no rows.
fn known(kept: &KeptDataSet) -> impl Iterator<Item = Named> {
    let mut sums: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    for (name, tally) in &kept.evidence.collections {
        *sums.entry(called(&kept.kind, name)).or_default() += tally.count;
    }
    let kinds = kept.evidence.objects.iter().map(|(name, number)| ((name.as_str(), "kind"), *number));
    let all: Vec<_> = sums.into_iter().chain(kinds).map(|((name, kind), elements)| (name.to_owned(), kind, elements)).collect();
    all.into_iter().map(|(name, kind, elements)| Named { name, kind, elements: Some(elements), bytes: None, changed_at: None })
}

/// The name of a collection and its kind. Keys with a time to live are in collections by the time of their end.
fn called<'a>(store: &StoreKind, collection: &'a str) -> (&'a str, &'static str) {
    if *store == StoreKind::Redis {
        let end = collection.find("/volatile/").map_or(collection.len(), |at| at + "/volatile".len());
        return (collection.get(..end).unwrap_or(collection), "keys");
    }
    match collection.strip_prefix("sequence ") {
        Some(name) => (name, "sequence"),
        None if collection.contains(['(', ' ']) => (collection, "other"),
        None => (collection, "table"),
    }
}

fn of_entry(name: &Path, entry: &Entry) -> Named {
    Named {
        name: name.to_string_lossy().into_owned(),
        kind: match entry.kind {
            EntryKind::File => "file",
            EntryKind::Folder => "folder",
            EntryKind::Symlink(_) => "link",
            EntryKind::Fifo => "pipe",
            EntryKind::Socket => "socket",
        },
        elements: None,
        bytes: entry.is_file().then_some(entry.size_bytes),
        changed_at: entry.meta.mtime_ns.and_then(|time| Timestamp::from_nanosecond(time).ok()),
    }
}

fn cells(named: &Named) -> [String; 5] {
    [
        named.name.clone(),
        named.kind.to_owned(),
        named.elements.map(count).unwrap_or_default(),
        named.bytes.map(bytes).unwrap_or_default(),
        named.changed_at.map(local_time).unwrap_or_default(),
    ]
}

/// The path as entries have it: `/a/./b/` is `a/b`.
fn beneath(path: &Path) -> PathBuf {
    path.components().filter(|component| matches!(component, Component::Normal(_) | Component::ParentDir)).collect()
}

/// Whether a name is what is looked for, where `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some((_, behind)) = left.split_once(piece) else { return false };
        left = behind;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use plan::ports::StoreKind;

    use super::{called, fits};

    #[test]
    fn collections_are_called_by_what_they_are() {
        for (store, collection, wanted) in [
            (StoreKind::MySql, "accounts", ("accounts", "table")),
            (StoreKind::MySql, "(definitions)", ("(definitions)", "other")),
            (StoreKind::PostgreSql, "public.tenants", ("public.tenants", "table")),
            (StoreKind::PostgreSql, "sequence public.tenants_id_seq", ("public.tenants_id_seq", "sequence")),
            (StoreKind::PostgreSql, "large objects", ("large objects", "other")),
            (StoreKind::Redis, "storage/persistent", ("storage/persistent", "keys")),
            (StoreKind::Redis, "storage/volatile/1796062140000", ("storage/volatile", "keys")),
        ] {
            assert_eq!(called(&store, collection), wanted);
        }
    }

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name) in
            [("a", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("a*c", "abc"), ("*", ""), ("a*b*c*d", "a1b2c3d"), ("**", "x")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "ba"), ("*c", "cb"), ("a*b*c*d", "a1c2b3d"), ("aa*aa", "aaa"), ("A", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
