//! Keeps a dump as one snapshot, or leaves none.
//!
//! In order: the archiver reads all parts through the gate (which lets no snapshot pass), the producer gives its verdict, what was stored is read back and
//! compared with what was counted, and only then the one snapshot is written. Last, a prune that ran meanwhile is accounted for.

mod node;
mod part;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

pub use node::{fingerprint, kind_of, meta_of};
use plan::ports::{Context, Dump, Verdict};
use plan::{Error, Result};
use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, Id, IndexedIdsStatus, ParentOptions, Repository as Engine, StringList};
use source::{Counted, Intake, Source};

use crate::engine::{Ground, Open, host};
use crate::fault::{EngineResult as _, guarded};
use crate::read::walk;

/// What the snapshot is called.
pub struct Label {
    /// Tags.
    pub tags: Vec<String>,
    /// Label.
    pub label: String,
    /// Description.
    pub description: Option<String>,
}

/// What was kept.
pub struct Stored {
    /// The snapshot.
    pub id: Id,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes new to the repository, as stored.
    pub stored_bytes: u64,
    /// What the producer said.
    pub verdict: Verdict,
}

/// `earlier` is the snapshot that the dump names content of ([`plan::ports::Content::Kept`]), where it does.
///
/// # Errors
/// When the producer or the storage fails, or what is read back is not what was given. Then there is no snapshot.
pub fn keep(
    open: &Open,
    context: &Context,
    label: &Label,
    ground: Ground<'_>,
    earlier: Option<&Id>,
    dump: Box<dyn Dump>,
) -> Result<Stored> {
    context.stop.check()?;
    if matches!(ground, Ground::Like(_)) {
        open.index_orphans()?;
    }
    let archiver = open.archiver(ground)?;
    let intake = Arc::new(Intake::new(context, dump, Arc::clone(&open.gate)));
    let archived = archive(&archiver, &intake, label, earlier);
    drop(archiver);
    let (archived, counted, verdict) =
        match archived.and_then(|archived| intake.finish().map(|(counted, verdict)| (archived, counted, verdict))) {
            Ok(done) => done,
            // Whatever the engine says, the first thing that went wrong is what matters.
            Err(error) => return Err(intake.failure().unwrap_or(error)),
        };
    context.stop.check()?;
    let stored_bytes = archived.summary.as_ref().map_or(0, |summary| summary.data_added_packed);
    let id = prove_and_save(open, archived, &counted)?;
    Ok(Stored { id, files: counted.files, bytes: counted.bytes, stored_bytes, verdict })
}

fn archive(archiver: &Engine<IndexedIdsStatus>, intake: &Arc<Intake>, label: &Label, earlier: Option<&Id>) -> Result<SnapshotFile> {
    let mut tags = StringList::default();
    label.tags.iter().for_each(|tag| tags.add(tag.clone()));
    let snapshot = SnapshotFile {
        program_version: concat!("threescale-backup ", env!("CARGO_PKG_VERSION")).to_owned(),
        label: label.label.clone(),
        description: label.description.clone(),
        hostname: host(),
        tags,
        ..SnapshotFile::default()
    };
    let mut options = BackupOptions::default().no_scan(true);
    options.parent_opts = match earlier {
        None => ParentOptions::default().force(true),
        // The archiver takes over the content of a file when path, size and both times are the same: the dump sees to it that those are the files that it named
        // (`Meta::read_at_ns`). When the two come to other results, the counts differ and there is no snapshot.
        Some(id) => ParentOptions::default().parents(vec![id.to_hex().as_str().to_owned()]).ignore_inode(true),
    };
    guarded("store the dump", || {
        archiver.archive(&options, &Source(Arc::clone(intake)), snapshot, &[PathBuf::from("/")]).during(|| "store the dump".to_owned())
    })
}

/// The snapshot is written before the last proof: a prune that runs meanwhile either sees it, or its marks are seen here.
fn prove_and_save(open: &Open, mut snapshot: SnapshotFile, counted: &Counted) -> Result<Id> {
    let tree = snapshot.tree;
    let index = open.index()?;
    let before = guarded("read back what was stored", || walk::count(&index, tree))?;
    if before.missing.is_none() {
        counted.compare(&before)?;
    }
    snapshot.id = Id::default().into();
    let id = open.save_snapshot(&snapshot)?;
    let proven = || -> Result<()> {
        let now = open.index()?;
        if before.missing.is_none() && Arc::ptr_eq(&now, &index) {
            return Ok(());
        }
        let mut found = guarded("read back what was stored", || walk::count(&now, tree))?;
        if found.missing.is_some() {
            open.recover_marked(tree)?;
            found = guarded("read back what was stored", || walk::count(&*open.index()?, tree))?;
        }
        match &found.missing {
            Some(missing) => Err(Error::failed("failed to read back what was stored").hint(missing.clone())),
            None => counted.compare(&found),
        }
    };
    proven().inspect_err(|_| {
        if let Err(error) = open.plain.delete_snapshots(&[id.into()]) {
            // Without a manifest it does not exist for anyone; `forget` removes it later.
            log::warn!("doubtful snapshot {id} could not be deleted: {}", error.display_log());
        }
    })?;
    Ok(id)
}
