//! What the tests share: a snapshot in memory that is as strict as a repository, and a look at trees from outside the program.
#![expect(clippy::unwrap_used, reason = "tests")]

mod changing;
mod closed;
mod full;
mod hostile;
mod in_place;
mod listing;
mod marks;
mod mounted;
mod odd;
mod others;
mod over_there;
mod pod_broken;
mod pod_round_trip;
mod pod_swapping;
mod random;
mod refusals;
mod round_trip;
mod scale;
mod since;
mod some;
mod swapping;
mod unchanged;
mod unseen;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{
    Content, Context, DataSet, Discard, Dump, Entry, EntryHandle, EntryKind, Event, Meta, Place, Reused, Road, Snapshot, Watch,
};
use plan::{Error, Result};
use tempfile::TempDir;

use crate::hook::{Hook, Moment};
use crate::{FilesStore, Options};

pub(super) struct Stored {
    path: PathBuf,
    meta: Meta,
    kind: Kind,
    content: Arc<Vec<u8>>,
}

/// A snapshot in memory.
#[derive(Default)]
pub(super) struct Memory {
    stored: BTreeMap<PathBuf, Stored>,
}

#[derive(PartialEq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink(PathBuf),
    Fifo,
    Socket,
}

impl Kind {
    fn entry_kind(&self) -> EntryKind {
        match self {
            Self::File => EntryKind::File,
            Self::Folder => EntryKind::Folder,
            Self::Symlink(target) => EntryKind::Symlink(target.clone()),
            Self::Fifo => EntryKind::Fifo,
            Self::Socket => EntryKind::Socket,
        }
    }
}

impl Memory {
    fn entry(stored: &Stored) -> Entry {
        Entry {
            path: stored.path.clone(),
            meta: stored.meta.clone(),
            size_bytes: stored.content.len() as u64,
            kind: stored.kind.entry_kind(),
            handle: EntryHandle(Box::new(Arc::clone(&stored.content))),
        }
    }
}

struct Bytes(Arc<Vec<u8>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Snapshot for Memory {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.stored.values().map(|stored| Ok(Self::entry(stored)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        self.stored.get(path).map(Self::entry).ok_or_else(|| Error::failed("no such entry"))
    }

    fn reuse(&self, entry: Entry) -> Option<Reused> {
        (entry.is_file() && entry.meta.read_at_ns.is_some()).then_some(Reused { size_bytes: entry.size_bytes, handle: entry.handle })
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        let content = entry.handle.0.downcast_ref::<Arc<Vec<u8>>>().unwrap();
        Ok(Box::new(Cursor::new(Bytes(Arc::clone(content)))))
    }
}

/// Keeps a dump as a repository does: tree order and announced sizes are checked.
pub(super) fn keep(mut dump: Box<dyn Dump>) -> Result<(Arc<Memory>, KeptDataSet)> {
    let mut memory = Memory::default();
    let mut last = PathBuf::new();
    let mut bytes = 0;
    while let Some(part) = dump.next_part()? {
        // Paths compare component by component, by bytes, a folder before what is in it: that is the order of restic's trees.
        assert!(last < part.path, "{} after {}", part.path.display(), last.display());
        let parent = part.path.parent().unwrap();
        assert!(parent == Path::new("") || memory.stored.get(parent).unwrap().kind == Kind::Folder);
        last.clone_from(&part.path);
        let (kind, content) = match part.content {
            Content::Bytes(content) => {
                assert!(content.len() <= 8 << 20);
                (Kind::File, content)
            }
            Content::Stream { size_bytes, mut reader } => {
                let mut content = Vec::new();
                reader.read_to_end(&mut content).map_err(|error| Error::failed("stream").because(error))?;
                assert_eq!(content.len() as u64, size_bytes);
                (Kind::File, content)
            }
            Content::Kept(reused) => (Kind::File, reused.handle.0.downcast_ref::<Arc<Vec<u8>>>().unwrap().to_vec()),
            Content::Folder => (Kind::Folder, Vec::new()),
            Content::Symlink(target) => (Kind::Symlink(target), Vec::new()),
            Content::Fifo => (Kind::Fifo, Vec::new()),
            Content::Socket => (Kind::Socket, Vec::new()),
        };
        bytes += content.len() as u64;
        memory.stored.insert(part.path.clone(), Stored { path: part.path, meta: part.meta, kind, content: Arc::new(content) });
    }
    let verdict = dump.finish()?;
    let kept = KeptDataSet {
        snapshot: SnapshotId("s".to_owned()),
        kind: plan::ports::StoreKind::Files,
        store: "folder".to_owned(),
        identity: None,
        started_at: Timestamp::UNIX_EPOCH,
        consistent_at: verdict.consistent_at,
        finished_at: verdict.consistent_at,
        parts: memory.stored.len() as u64,
        bytes,
        stored_bytes: bytes,
        evidence: verdict.evidence,
        problems: verdict.problems,
    };
    Ok((Arc::new(memory), kept))
}

/// Remembers warnings.
#[derive(Default)]
pub(super) struct Warned(pub(super) Mutex<Vec<String>>);

impl Watch for Warned {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

pub(super) fn context() -> Context {
    Context { workers: 4, watch: Arc::new(Warned::default()), ..Context::new("01jrun") }
}

pub(super) fn store(path: &Path) -> FilesStore {
    FilesStore::new(DataSetName::SystemStorage, path.to_owned(), Options::default())
}

pub(super) fn hooked(path: &Path, step: impl Fn(Moment, &Path) -> std::io::Result<()> + Send + Sync + 'static) -> FilesStore {
    FilesStore { hook: Hook::new(step), ..store(path) }
}

pub(super) fn backup(path: &Path) -> (Arc<Memory>, KeptDataSet) {
    keep(store(path).dump(&context()).unwrap()).unwrap()
}

/// Stages and proves.
pub(super) fn stage(path: &Path, memory: &Arc<Memory>, kept: &KeptDataSet, road: Road) -> Place {
    stage_into(&store(path), memory, kept, road)
}

pub(super) fn stage_into(store: &dyn DataSet, memory: &Arc<Memory>, kept: &KeptDataSet, road: Road) -> Place {
    let context = context();
    let place = store.reserve(&context, kept, road).unwrap();
    let snapshot: Arc<dyn Snapshot> = Arc::clone(memory) as Arc<dyn Snapshot>;
    store.stage(&context, &place, snapshot, kept).unwrap();
    let found = store.prove(&context, &place, kept).unwrap();
    assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
    place
}

/// A folder of its own, for the source and the target of one test.
pub(super) fn folders() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    std::fs::create_dir(&source).unwrap();
    std::fs::create_dir(&target).unwrap();
    (folder, source, target)
}

pub(super) fn shell(at: &Path, script: &str) -> Vec<u8> {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(at).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A tree as `find`, `sha256sum` and `getfattr` see it: all that a restore promises to bring back.
pub(super) fn outside(at: &Path) -> String {
    let out = shell(
        at,
        r"find . -mindepth 1 -path ./.threescale-backup -prune -o \( -type f -printf '%p|%y|%m|%s|%T@|%U:%G|%n|\0' , ! -type f -printf '%p|%y|%m|%T@|%U:%G|%l\0' \) | sort -z
          find . -path ./.threescale-backup -prune -o -type f -print0 | sort -z | xargs -0r sha256sum -z
          find . -path ./.threescale-backup -prune -o -print0 | sort -z | xargs -0r getfattr -h -d -m '^(user|trusted|system)' -e hex --absolute-names",
    );
    String::from_utf8_lossy(&out)
        .replace('\0', "\n")
        .replace("./.threescale-backup|", "OWN|")
        .lines()
        .filter(|line| !line.starts_with("OWN|"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The root's own mode, owner and time.
pub(super) fn outside_root(at: &Path) -> String {
    String::from_utf8(shell(at, "stat -c '%a %u:%g %y' .")).unwrap()
}

pub(super) fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).unwrap();
}

pub(super) fn os(bytes: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}
