//! The structure: small files, packs against the index, trees of sets against both. Reads no data packs, but what is left of one that was cut.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Mutex;

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Event, StopFlag, Verb, Watch};
use plan::tree_order::{DEPTH_MAX, PATH_BYTES_MAX};
use rustic_core::repofile::BlobType;
use rustic_core::{FileType, Id, TreeId};

use super::{CheckReport, EARLIER, SetReport};
use crate::engine::Open;
use crate::fault::{EngineResult as _, lock};
use crate::index::{Index, State};
use crate::parallel;
use crate::read::Folder;
use crate::read::walk::HELD_BYTES_MAX;
use crate::sets::{Listing, Set};
use crate::small::{self, is_passing, path_of};

const READERS: usize = 8;
/// Problems named of each data set; more say nothing new.
const PROBLEMS_MAX: usize = 10;

/// Packs that a data set of a set needs, sorted by place in the index.
#[derive(Debug)]
pub struct Use {
    /// The data set; `None` for the manifest.
    pub data_set: Option<DataSetName>,
    /// Packs.
    pub packs: Vec<u32>,
}

/// Small files by their names, packs by index and listing.
///
/// # Errors
/// When a listing cannot be had.
pub fn check_files(open: &Open, index: &Index, stop: &StopFlag, report: &mut CheckReport) -> Result<()> {
    for tpe in [FileType::Key, FileType::Snapshot, FileType::Index] {
        stop.check()?;
        let list = || open.storage.list(tpe).during(|| format!("list {}", tpe.dirname()));
        let listed = list()?;
        if listed.is_empty() && tpe == FileType::Key {
            report.problems.push("the repository has no key: nobody can open it any more".to_owned());
        }
        let problems = Mutex::new(Vec::new());
        parallel::each(&listed, READERS, |id| {
            if let Err(error) = small::read_bytes(&*open.storage, tpe, id) {
                lock(&problems).push((*id, error.chain()));
            }
        });
        let problems = problems.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What another run removed meanwhile is no damage.
        let still_there = if problems.is_empty() { Vec::new() } else { list()? };
        report.problems.extend(problems.into_iter().filter(|(id, _)| still_there.contains(id)).map(|(_, text)| text));
    }
    check_packs(open, index, report)
}

fn check_packs(open: &Open, index: &Index, report: &mut CheckReport) -> Result<()> {
    let listed: HashMap<_, _> = open.storage.list_with_size(FileType::Pack).during(|| "list packs".to_owned())?.into_iter().collect();
    report.packs = listed.len() as u64;
    report.pack_bytes = listed.values().map(|size| u64::from(*size)).sum();
    // What cannot be understood although it is what its name says; the others are named already.
    let known = report.problems.clone();
    report.problems.extend(index.unreadable.iter().map(|(_, error)| error.chain()).filter(|text| !known.contains(text)));
    for pack in index.packs() {
        let path = path_of(FileType::Pack, &pack.id);
        match (pack.state, listed.get(&pack.id)) {
            (State::Missing, _) => report.problems.push(format!("{path} is missing")),
            (State::WrongSize, size) => {
                report.problems.push(format!("{path} has {} bytes instead of {}", size.copied().unwrap_or(0), pack.size_bytes));
            }
            (State::Condemned, _) => report.problems.push(format!("{path} is damaged: {EARLIER}")),
            (State::Whole | State::Marked, _) => {}
        }
    }
    if !index.unindexed.is_empty() {
        report.notes.push(format!(
            "{} packs are in no index: left by an interrupted backup, or their index file was lost; the next backup uses them",
            index.unindexed.len()
        ));
    }
    Ok(())
}

/// Every set: manifest, snapshots, trees, chunks.
///
/// # Errors
/// When the list of snapshots cannot be had, or on the operator's wish.
pub fn check_sets(open: &Open, index: &Index, stop: &StopFlag, watch: &dyn Watch, report: &mut CheckReport) -> Result<Vec<Use>> {
    let listing = Listing::read_what_can_be(open)?;
    let known = report.problems.clone();
    let unreadable = listing.unreadable.iter().map(|file| match &file.set {
        Some(set) => format!("set {set} cannot be restored: {}", file.error.chain()),
        None => file.error.chain(),
    });
    report.problems.extend(unreadable.filter(|text| !known.contains(text)));
    let orphans = listing.orphans().count();
    if orphans > 0 {
        report.notes.push(format!("{orphans} snapshots belong to no set: left by an interrupted backup (or the set's manifest was lost)"));
    }
    let mut trees = Trees { index, known: HashMap::new(), stop };
    let mut uses = Vec::new();
    for set in &listing.sets {
        let mut problems = Vec::new();
        for name in set.manifest.data_sets.keys() {
            let found = check_data_set(set, *name, &mut trees)?;
            problems.extend(found.problems.iter().take(PROBLEMS_MAX).map(|text| (Some(*name), text.clone())));
            watch.see(Event::Advance { data_set: *name, verb: Verb::Check, bytes: 0, items: found.files });
            uses.push(Use { data_set: Some(*name), packs: found.packs });
        }
        let manifest = crate::snapshots::read_one(open, &set.id)?;
        let found = trees.facts(manifest.file.tree)?;
        problems.extend(found.problems.iter().map(|text| (None, text.clone())));
        uses.push(Use { data_set: None, packs: found.packs.clone() });
        report.sets.push(SetReport { set: set.manifest.set.clone(), finished_at: set.manifest.finished_at, problems });
    }
    Ok(uses)
}

fn check_data_set(set: &Set, name: DataSetName, trees: &mut Trees<'_>) -> Result<Facts> {
    let (Some(found), Some(kept)) = (set.members.get(&name), set.manifest.data_sets.get(&name)) else { return Ok(Facts::default()) };
    let held = match found {
        Ok(held) => held,
        Err(why) => return Ok(Facts { problems: vec![why.clone()], ..Facts::default() }),
    };
    let mut facts = (*trees.facts(held.file.tree)?).clone();
    if facts.problems.is_empty() && (facts.files, facts.bytes) != (kept.parts, kept.bytes) {
        facts.problems.push(format!(
            "{} has {} parts and {} bytes, the manifest says {} and {}",
            path_of(FileType::Snapshot, &held.id),
            facts.files,
            facts.bytes,
            kept.parts,
            kept.bytes
        ));
    }
    Ok(facts)
}

/// What is below a tree.
#[derive(Debug, Clone, Default)]
struct Facts {
    files: u64,
    bytes: u64,
    /// Sorted, each once.
    packs: Vec<u32>,
    problems: Vec<String>,
}

/// Trees that were looked at. Most are the same in many sets.
struct Trees<'a> {
    index: &'a Index,
    known: HashMap<TreeId, Rc<Facts>>,
    stop: &'a StopFlag,
}

/// A folder on the way down.
struct Level {
    tree: TreeId,
    path: PathBuf,
    folder: Option<Folder>,
    facts: Facts,
}

impl Trees<'_> {
    /// Goes down with a stack of its own: how deep a tree is, is not for us to choose.
    fn facts(&mut self, root: TreeId) -> Result<Rc<Facts>> {
        let mut stack = Vec::new();
        let mut done = self.enter(root, PathBuf::new(), &mut stack)?;
        loop {
            let held_bytes = stack.iter().map(|level: &Level| level.folder.as_ref().map_or(0, Folder::bytes)).sum();
            let depth = stack.len();
            let Some(level) = stack.last_mut() else { break };
            let Some(node) = level.folder.as_mut().and_then(Iterator::next) else {
                done = stack.pop().map(|level| self.leave(level));
                if let (Some(above), Some(facts)) = (stack.last_mut(), &done) {
                    above.facts.take(facts);
                }
                continue;
            };
            let node = node.map(|node| (level.path.join(node.name()), node));
            match node {
                Err(error) => level.facts.problem(error.chain()),
                Ok((path, node)) if node.is_dir() => match node.subtree {
                    None => level.facts.problem(format!("folder {} has no content", path.display())),
                    Some(_) if is_too_much(&path, depth, held_bytes) => {
                        level
                            .facts
                            .problem(format!("a folder in {} is too deep, or there is too much on the way to it", level.path.display()));
                    }
                    Some(below) => {
                        if let Some(facts) = self.enter(below, path, &mut stack)?
                            && let Some(level) = stack.last_mut()
                        {
                            level.facts.take(&facts);
                        }
                    }
                },
                Ok((path, node)) if node.is_file() => {
                    let chunks = node.content.iter().flatten();
                    let bytes = chunks.map(|chunk| self.index.look(BlobType::Data, chunk, &path, &mut level.facts)).sum::<u64>();
                    if bytes != node.meta.size {
                        level.facts.problem(format!("{} has {bytes} bytes instead of {}", path.display(), node.meta.size));
                    }
                    level.facts.files += 1;
                    level.facts.bytes += bytes;
                }
                Ok(_) => {}
            }
        }
        Ok(done.unwrap_or_default())
    }

    /// What is known of a tree; else begins to look at it.
    fn enter(&self, tree: TreeId, path: PathBuf, stack: &mut Vec<Level>) -> Result<Option<Rc<Facts>>> {
        if let Some(known) = self.known.get(&tree) {
            return Ok(Some(Rc::clone(known)));
        }
        self.stop.check()?;
        let mut facts = Facts::default();
        let folder = match Folder::read(self.index, tree, &path) {
            Ok(folder) => {
                self.index.look(BlobType::Tree, &tree, &path, &mut facts);
                Some(folder)
            }
            Err(error) if is_passing(&error) => return Err(error),
            Err(error) => {
                facts.problem(error.chain());
                None
            }
        };
        stack.push(Level { tree, path, folder, facts });
        Ok(None)
    }

    fn leave(&mut self, mut level: Level) -> Rc<Facts> {
        level.facts.packs.sort_unstable();
        level.facts.packs.dedup();
        let facts = Rc::new(level.facts);
        self.known.insert(level.tree, Rc::clone(&facts));
        facts
    }
}

/// Whether a tree is deeper or larger than any that a backup makes.
fn is_too_much(path: &Path, depth: usize, held_bytes: u64) -> bool {
    depth >= DEPTH_MAX || path.as_os_str().len() > PATH_BYTES_MAX || held_bytes > HELD_BYTES_MAX
}

/// Looks a chunk up for a check.
trait Look {
    /// The size of a chunk; notes its pack, and what is wrong with either.
    fn look(&self, kind: BlobType, id: &Id, path: &Path, facts: &mut Facts) -> u64;
}

impl Look for Index {
    fn look(&self, kind: BlobType, id: &Id, path: &Path, facts: &mut Facts) -> u64 {
        let copies = self.find(kind, id);
        let Some((first, _)) = copies.first() else {
            facts.problem(format!("a chunk of /{} is in no pack", path.display()));
            return 0;
        };
        // A pack that was cut still has its first chunks, and they are asked.
        let is_good = |(copy, state): &&(crate::index::Copy, State)| match state {
            State::Whole | State::Marked | State::Condemned => !self.is_bad(copy),
            State::WrongSize => self.read_copy(kind, copy).is_ok(),
            State::Missing => false,
        };
        let good = copies.iter().find(is_good).map(|(copy, _)| copy);
        if good.is_none() {
            let pack = self.pack_of(first).map(|pack| path_of(FileType::Pack, &pack.id)).unwrap_or_default();
            facts.problem(format!("/{} needs {pack}, which is missing or damaged there", path.display()));
        }
        let copy = good.unwrap_or(first);
        if facts.packs.last() != Some(&copy.pack) {
            facts.packs.push(copy.pack);
        }
        u64::from(copy.content_bytes())
    }
}

impl Facts {
    fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    fn take(&mut self, below: &Self) {
        self.files += below.files;
        self.bytes += below.bytes;
        self.packs.extend_from_slice(&below.packs);
        below.problems.iter().for_each(|text| self.problem(text.clone()));
    }
}
