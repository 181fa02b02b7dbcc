//! The structure: small files, packs against the index, trees of sets against both. Reads no data packs.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Mutex;

use plan::Result;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Event, StopFlag, Verb, Watch};
use rustic_core::repofile::IndexPack;
use rustic_core::{FileType, Id, TreeId};

use super::{CheckReport, SetReport};
use crate::engine::{Indexed, Open, is_named_after};
use crate::fault::{EngineResult as _, guarded, lock};
use crate::parallel;
use crate::read::nodes_of;
use crate::sets::{Listing, Set};

const READERS: usize = 8;
/// Problems named of each data set; more say nothing new.
const PROBLEMS_MAX: usize = 10;

/// The packs that the index names, by their place in a list.
#[derive(Debug, Default)]
pub struct Packs {
    places: HashMap<Id, u32>,
    /// Whether the pack is there with the right size.
    pub whole: Vec<bool>,
}

impl Packs {
    /// The pack's place.
    pub fn place(&self, id: &Id) -> Option<u32> {
        self.places.get(id).copied()
    }

    fn add(&mut self, pack: &IndexPack, listed: &HashMap<Id, u32>, problems: &mut Vec<String>) {
        let id: Id = *pack.id;
        if self.places.contains_key(&id) {
            return;
        }
        let problem = match listed.get(&id) {
            None => Some(format!("pack {id} is missing")),
            Some(size) if *size != pack.pack_size() => Some(format!("pack {id} has {size} bytes instead of {}", pack.pack_size())),
            Some(_) => None,
        };
        self.places.insert(id, self.whole.len() as u32);
        self.whole.push(problem.is_none());
        problems.extend(problem);
    }
}

/// Packs that a data set of a set needs, sorted by place.
#[derive(Debug)]
pub struct Use {
    /// Place of the set in the report.
    pub set: usize,
    /// The data set; `None` for the manifest.
    pub data_set: Option<DataSetName>,
    /// Packs.
    pub packs: Vec<u32>,
}

/// Small files by their names, packs by index and listing.
///
/// # Errors
/// When a listing cannot be had.
pub fn check_files(open: &Open, stop: &StopFlag, report: &mut CheckReport) -> Result<Packs> {
    for tpe in [FileType::Key, FileType::Snapshot, FileType::Index] {
        stop.check()?;
        let list = || open.storage.list(tpe).during(|| format!("list {}", tpe.dirname()));
        let listed = list()?;
        if listed.is_empty() && tpe == FileType::Key {
            report.problems.push("the repository has no key: nobody can open it any more".to_owned());
        }
        let problems = Mutex::new(Vec::new());
        parallel::each(&listed, READERS, |id| match open.storage.read_full(tpe, id) {
            Ok(bytes) if is_named_after(id, &bytes) => {}
            Ok(_) => lock(&problems).push((*id, format!("{}/{id} is damaged", tpe.dirname()))),
            Err(error) => lock(&problems).push((*id, format!("{}/{id} cannot be read: {}", tpe.dirname(), error.display_log()))),
        });
        let problems = problems.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        // What another run removed meanwhile is no damage.
        let still_there = if problems.is_empty() { Vec::new() } else { list()? };
        report.problems.extend(problems.into_iter().filter(|(id, _)| still_there.contains(id)).map(|(_, text)| text));
    }
    check_packs(open, report)
}

fn check_packs(open: &Open, report: &mut CheckReport) -> Result<Packs> {
    let mut index_files = Vec::new();
    let mut damaged = Vec::new();
    // The index first: packs that come in meanwhile are then only unknown, never missing.
    open.each_index_file(
        |file| index_files.push(file),
        |_, error| {
            damaged.push(error.chain());
            Ok(())
        },
    )?;
    let listed: HashMap<_, _> = open.storage.list_with_size(FileType::Pack).during(|| "list packs".to_owned())?.into_iter().collect();
    report.packs = listed.len() as u64;
    report.pack_bytes = listed.values().map(|size| u64::from(*size)).sum();
    report.problems.extend(damaged);
    let mut packs = Packs::default();
    for pack in index_files.iter().flat_map(|file| &file.packs) {
        packs.add(pack, &listed, &mut report.problems);
    }
    let marked = index_files.iter().flat_map(|file| &file.packs_to_delete).map(|pack| *pack.id).collect::<std::collections::HashSet<Id>>();
    let unknown = listed.keys().filter(|id| packs.place(id).is_none() && !marked.contains(id)).count();
    if unknown > 0 {
        report.notes.push(format!("{unknown} packs are in no index: left by an interrupted backup, reused by the next one"));
    }
    Ok(packs)
}

/// Every set: manifest, snapshots, trees, chunks.
///
/// # Errors
/// When the list of snapshots cannot be had, or on the operator's wish.
pub fn check_sets(open: &Open, packs: &Packs, stop: &StopFlag, watch: &dyn Watch, report: &mut CheckReport) -> Result<Vec<Use>> {
    let problems = &mut report.problems;
    let listing = Listing::read_with(open, |error| {
        problems.push(error.chain());
        Ok(())
    })?;
    let index = match open.index() {
        Ok(index) => index,
        Err(error) => {
            problems.push(error.chain());
            return Ok(Vec::new());
        }
    };
    let orphans = listing.orphans().count();
    if orphans > 0 {
        report.notes.push(format!("{orphans} snapshots belong to no set: left by an interrupted backup (or the set's manifest was lost)"));
    }
    let mut trees = Trees { index: &index, packs, known: HashMap::new(), stop };
    let mut uses = Vec::new();
    for (place, set) in listing.sets.iter().enumerate() {
        let mut problems = Vec::new();
        for (name, kept) in &set.manifest.data_sets {
            let found = check_data_set(&listing, &mut trees, kept)?;
            problems.extend(found.problems.iter().take(PROBLEMS_MAX).map(|text| (Some(*name), text.clone())));
            uses.push(Use { set: place, data_set: Some(*name), packs: found.packs.clone() });
            watch.see(Event::Advance { data_set: *name, verb: Verb::Check, bytes: 0, items: found.files });
        }
        let found = check_manifest(open, set, &mut trees)?;
        problems.extend(found.problems.iter().map(|text| (None, text.clone())));
        uses.push(Use { set: place, data_set: None, packs: found.packs.clone() });
        report.sets.push(SetReport { set: set.manifest.set.clone(), finished_at: set.manifest.finished_at, problems });
    }
    Ok(uses)
}

fn check_data_set(listing: &Listing, trees: &mut Trees<'_>, kept: &KeptDataSet) -> Result<Facts> {
    let Some(held) = listing.data.iter().find(|held| held.id.to_hex().as_str() == kept.snapshot.as_str()) else {
        return Ok(Facts { problems: vec![format!("snapshot {} is missing or damaged", kept.snapshot)], ..Facts::default() });
    };
    let mut facts = (*trees.facts(held.file.tree, Path::new(""))?).clone();
    if facts.problems.is_empty() && (facts.files, facts.bytes) != (kept.parts, kept.bytes) {
        facts.problems.push(format!(
            "snapshot {} has {} parts and {} bytes, the manifest says {} and {}",
            kept.snapshot, facts.files, facts.bytes, kept.parts, kept.bytes
        ));
    }
    Ok(facts)
}

fn check_manifest(open: &Open, set: &Set, trees: &mut Trees<'_>) -> Result<Facts> {
    let file: rustic_core::repofile::SnapshotFile =
        match guarded("read a manifest", || open.plain.get_file(&set.id.into()).during(|| "read the manifest".to_owned())) {
            Ok(file) => file,
            Err(error) => return Ok(Facts { problems: vec![error.chain()], ..Facts::default() }),
        };
    Ok((*trees.facts(file.tree, Path::new(""))?).clone())
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
    index: &'a Indexed,
    packs: &'a Packs,
    known: HashMap<TreeId, Rc<Facts>>,
    stop: &'a StopFlag,
}

impl Trees<'_> {
    fn facts(&mut self, tree: TreeId, path: &Path) -> Result<Rc<Facts>> {
        if let Some(known) = self.known.get(&tree) {
            return Ok(Rc::clone(known));
        }
        self.stop.check()?;
        let mut facts = Facts::default();
        self.chunk(&tree, path, &mut facts);
        match nodes_of(self.index, tree, path) {
            Err(error) => facts.problems.push(error.chain()),
            Ok(nodes) => {
                for node in nodes {
                    let path = path.join(node.name());
                    if node.is_dir() {
                        match node.subtree {
                            Some(below) => facts.take(&*self.facts(below, &path)?),
                            None => facts.problems.push(format!("folder {} has no content", path.display())),
                        }
                    } else if node.is_file() {
                        let bytes = node.content.iter().flatten().map(|chunk| self.chunk(chunk, &path, &mut facts)).sum::<u64>();
                        if bytes != node.meta.size {
                            facts.problems.push(format!("{} has {bytes} bytes instead of {}", path.display(), node.meta.size));
                        }
                        facts.files += 1;
                        facts.bytes += bytes;
                    }
                }
            }
        }
        facts.packs.sort_unstable();
        facts.packs.dedup();
        let facts = Rc::new(facts);
        self.known.insert(tree, Rc::clone(&facts));
        Ok(facts)
    }

    /// The size of a chunk; notes its pack, and what is wrong with either.
    fn chunk<T: rustic_core::PackedId>(&self, id: &T, path: &Path, facts: &mut Facts) -> u64 {
        let Ok(entry) = self.index.get_index_entry(id) else {
            facts.problem(format!("a chunk of /{} is not in the index", path.display()));
            return 0;
        };
        match self.packs.place(&entry.pack) {
            Some(place) => {
                if !self.packs.whole[place as usize] {
                    facts.problem(format!("/{} needs pack {}, which is missing or has a wrong size", path.display(), entry.pack));
                }
                if facts.packs.last() != Some(&place) {
                    facts.packs.push(place);
                }
            }
            None => facts.problem(format!("/{} needs pack {}, which is not known", path.display(), entry.pack)),
        }
        u64::from(entry.data_length())
    }
}

impl Facts {
    fn problem(&mut self, text: String) {
        if self.problems.len() < PROBLEMS_MAX && self.problems.last() != Some(&text) {
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
