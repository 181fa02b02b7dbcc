//! Writes the entries of a snapshot beneath the folder of an export.
//!
//! Which streams are cut into parts is known from the kind of the data set alone: what users call their files means nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use beneath::{Fault, Links, NewFile, Tree, Unset, Writer};
use plan::ids::DataSetName;
use plan::ports::{Context, Entry, EntryKind, Event, Meta, Snapshot, StoreKind, Verb};
use plan::tree_order::TreeOrder;
use plan::{Error, Result};
use rustix::io::Errno;

/// Whether a folder of a snapshot is a stream that is cut into parts, for the kinds of data sets that have such.
pub(super) type IsStream = fn(&Path) -> bool;

/// Of a kind of data set.
pub(super) fn is_stream_of(kind: &StoreKind) -> IsStream {
    match kind {
        StoreKind::PostgreSql => postgres_data_set::is_stream,
        StoreKind::Redis => redis_data_set::is_stream,
        _ => |_| false,
    }
}

/// What was written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Entries that are no files, by what they are called.
    pub(super) others: BTreeMap<&'static str, u64>,
    owners_unset: u64,
    set_ids_unset: Noticed,
    xattrs_unset: Noticed,
    sockets: Noticed,
}

/// How many, and the first.
#[derive(Default)]
struct Noticed {
    count: u64,
    first: String,
}

impl Noticed {
    fn add(&mut self, first: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = first();
        }
        self.count += 1;
    }
}

impl Written {
    /// What is not as in the set, and why.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.owners_unset > 0 {
            lines.push(format!(
                "the owners of {} entries could not be set: they belong to the user that ran this; run it as root to keep the owners",
                self.owners_unset
            ));
        }
        let mut tell = |noticed: &Noticed, what: &str| {
            if noticed.count > 0 {
                lines.push(format!("{} {what}; the first is {}", noticed.count, noticed.first));
            }
        };
        tell(&self.set_ids_unset, "entries lost their set-user-id and set-group-id bits, which would give away another owner's rights");
        tell(&self.xattrs_unset, "extended attributes could not be set");
        tell(&self.sockets, "sockets were left out, because their programs make them anew");
        lines
    }

    fn count(&mut self, what: &'static str) {
        *self.others.entry(what).or_default() += 1;
    }

    fn note(&mut self, entry: &Path, meta: &Meta, unset: &Unset) {
        let path = || format!("{:?}", entry.display().to_string());
        self.owners_unset += u64::from(unset.owner);
        if unset.set_id {
            self.set_ids_unset.add(path);
        }
        for (name, _) in unset.xattrs.iter().filter_map(|index| meta.xattrs.get(*index)) {
            self.xattrs_unset.add(|| format!("{name:?} of {}", path()));
        }
    }
}

/// A stream that is being joined.
struct Joining {
    folder: PathBuf,
    file: NewFile,
    parts: u64,
}

/// See the module.
pub(super) struct Writing<'a> {
    pub(super) context: &'a Context,
    pub(super) data_set: DataSetName,
    pub(super) kind: &'a StoreKind,
    pub(super) snapshot: &'a dyn Snapshot,
    pub(super) tree: &'a Tree,
}

struct At<'a> {
    writing: &'a Writing<'a>,
    is_stream: IsStream,
    writer: Writer<'a>,
    order: TreeOrder,
    links: Links,
    /// Folders whose metadata is set when all is in them: their mode may forbid that, and their time changes.
    open: Vec<(PathBuf, Meta)>,
    joining: Option<Joining>,
    written: Written,
}

impl Writing<'_> {
    /// Writes all of it.
    pub(super) fn write(&self) -> Result<Written> {
        let mut at = At {
            writing: self,
            is_stream: is_stream_of(self.kind),
            writer: Writer::new(self.tree),
            order: TreeOrder::default(),
            links: Links::default(),
            open: Vec::new(),
            joining: None,
            written: Written::default(),
        };
        for entry in self.snapshot.entries()? {
            self.context.stop.check()?;
            at.entry(&entry?)?;
        }
        at.leave(None)?;
        Ok(at.written)
    }

    fn failed(&self, path: &Path, fault: Fault) -> Error {
        let (doing, error) = match fault {
            Fault::Here(error) => return error,
            Fault::There(doing, error) => (doing, error),
        };
        let way_out = match Errno::from_io_error(&error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Some("Free space or inodes there, or name a folder on another volume with --to."),
            Some(Errno::NAMETOOLONG) => Some("The file system there allows shorter names: name a folder on another volume with --to."),
            Some(Errno::EXIST | Errno::LOOP | Errno::NOTDIR | Errno::NOENT) => {
                Some("Somebody else writes into that folder: name one with --to that only you can write into.")
            }
            _ => None,
        };
        let failed = Error::failed(format!("{doing} {}", self.tree.place_of(path).display())).because(error);
        way_out.into_iter().fold(failed, Error::hint)
    }
}

impl At<'_> {
    fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.check(entry)?;
        self.leave(Some(&entry.path))?;
        let failed = |fault| self.writing.failed(&entry.path, fault);
        if let Some(joining) = self.joining.as_mut() {
            joining.parts += 1;
            let name = format!("{:08}.part", joining.parts);
            if !entry.is_file() || entry.path != joining.folder.join(&name) {
                return Err(Error::failed(format!("part {name} of {} is missing in the snapshot", joining.folder.display())));
            }
            self.written.bytes += entry.size_bytes;
            return self.writer.append(&mut joining.file, self.writing.snapshot, entry, &meter(self.writing)).map_err(failed);
        }
        match &entry.kind {
            EntryKind::Folder if (self.is_stream)(&entry.path) => {
                let file = self.writer.create(&entry.path).map_err(failed)?;
                self.joining = Some(Joining { folder: entry.path.clone(), file, parts: 0 });
                self.written.files += 1;
                return Ok(());
            }
            EntryKind::Folder => {
                self.writer.make_folder(&entry.path, false).map_err(failed)?;
                self.open.push((entry.path.clone(), entry.meta.clone()));
                self.written.count("folders");
                return Ok(());
            }
            EntryKind::Socket => {
                self.written.sockets.add(|| format!("{:?}", entry.path.display().to_string()));
                return Ok(());
            }
            EntryKind::Symlink(_) => self.written.count("symbolic links"),
            EntryKind::Fifo => self.written.count("named pipes"),
            EntryKind::File => {
                if let Some(first) = self.links.first(&entry.path, &entry.meta)? {
                    self.written.count("further names of files");
                    return self.writer.link(&first, &entry.path).map_err(failed);
                }
                self.written.files += 1;
                self.written.bytes += entry.size_bytes;
            }
        }
        let unset = self.writer.write(self.writing.snapshot, entry, &meter(self.writing)).map_err(failed)?;
        self.written.note(&entry.path, &entry.meta, &unset);
        Ok(())
    }

    /// Whoever knows the password can write a snapshot that no backup makes.
    fn check(&mut self, entry: &Entry) -> Result<()> {
        let refused = |why: &str| {
            let path = entry.path.display().to_string();
            Error::needs_person(format!("entry {path:?} of the snapshot {why}"))
                .hint("No backup of this program makes that: somebody who knows the repository's password has changed the snapshot.")
        };
        let is_folder = matches!(entry.kind, EntryKind::Folder);
        let implied = self.order.admit(&entry.path, is_folder).map_err(|why| refused(&why))?;
        if !implied.is_empty() {
            return Err(refused("is in a folder that the snapshot does not have"));
        }
        if !self.writing.kind.is_files() && !is_folder && !entry.is_file() {
            return Err(refused("is neither a file nor a folder, and a data set of this kind has nothing else"));
        }
        Ok(())
    }

    /// Finishes the folders and the stream that the list has left; all of them at its end.
    fn leave(&mut self, next: Option<&Path>) -> Result<()> {
        let is_left = |folder: &Path| next.is_none_or(|path| !path.starts_with(folder));
        if let Some(joined) = self.joining.take_if(|joining| is_left(&joining.folder)) {
            if joined.parts == 0 {
                return Err(Error::failed(format!("{} has no parts in the snapshot", joined.folder.display())));
            }
            let meta = Meta { mode: 0o600, ..Meta::default() };
            joined.file.finish(&meta).map_err(|fault| self.writing.failed(&joined.folder, fault))?;
        }
        while let Some((path, meta)) = self.open.pop_if(|(folder, _)| is_left(folder)) {
            let unset = self.writer.finish_folder(&path, &meta).map_err(|fault| self.writing.failed(&path, fault))?;
            self.written.note(&path, &meta, &unset);
        }
        Ok(())
    }
}

fn meter<'a>(writing: &'a Writing<'a>) -> impl Fn(u64) -> Result<()> + 'a {
    |bytes| {
        writing.context.watch.see(Event::Advance { data_set: writing.data_set, verb: Verb::Export, bytes, items: 0 });
        writing.context.stop.check()
    }
}
