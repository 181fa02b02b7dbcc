//! Some files of a set that go into a bucket which stays: how they differ from the live objects, and the proof that they are staged whole.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use plan::evidence::Evidence;
use plan::ports::{Context, Entry, FilesCompared, Snapshot};
use plan::{Class, Error, Result};
use xxhash_rust::xxh3::Xxh3;

use crate::census::Census;
use crate::client::Client;
use crate::client::get::Got;
use crate::parallel;
use crate::properties::Noted;

/// Compared at a time.
const TOGETHER: usize = 500;

/// What became of a file.
enum Is {
    Missing,
    Other,
    Equal,
}

/// Compares the files of a snapshot with the live objects.
pub(crate) fn compare(context: &Context, client: &Arc<Client>, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
    let (mut compared, mut some) = (FilesCompared::default(), Vec::new());
    let mut take = |some: &mut Vec<Entry>| -> Result<()> {
        let found = parallel::all(context, some, |entry| is(context, client, snapshot, entry))?;
        for (entry, is) in some.drain(..).zip(found) {
            match is {
                Is::Missing => compared.missing.push(entry.path),
                Is::Other => compared.other.push(entry.path),
                Is::Equal => compared.equal += 1,
            }
        }
        Ok(())
    };
    for entry in snapshot.entries()? {
        let entry = entry?;
        if entry.is_file() {
            some.push(entry);
        }
        if some.len() == TOGETHER {
            take(&mut some)?;
        }
    }
    take(&mut some)?;
    Ok(compared)
}

fn is(context: &Context, client: &Arc<Client>, snapshot: &dyn Snapshot, entry: &Entry) -> Result<Is> {
    let noted = Noted::of(&entry.meta);
    let key = noted.key.clone().or_else(|| entry.path.to_str().map(str::to_owned));
    let key = key.ok_or_else(|| Error::refused(format!("the name of {:?} is not UTF-8: a bucket has no such keys", entry.path)))?;
    let Some(head) = client.head(&context.stop, &key)? else { return Ok(Is::Missing) };
    if head.size != entry.size_bytes {
        return Ok(Is::Other);
    }
    if noted.e_tag.as_deref() == Some(head.e_tag.as_str()) {
        return Ok(Is::Equal);
    }
    let Got::There((_, mut live)) = client.stream(&context.stop, &key, None)? else { return Ok(Is::Missing) };
    let live = digest(context, &mut live, &PathBuf::from(&key))?;
    let kept = digest(context, &mut snapshot.read(entry)?, &entry.path)?;
    Ok(if live == kept { Is::Equal } else { Is::Other })
}

fn digest(context: &Context, content: &mut dyn Read, of: &std::path::Path) -> Result<u128> {
    let (mut hasher, mut piece) = (Box::new(Xxh3::new()), vec![0; 256 << 10]);
    loop {
        context.stop.check()?;
        match content.read(&mut piece) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(length) => hasher.update(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let class = plan::error::inside(&error).map_or(Class::Failed, Error::class);
                return Err(Error::new(class, format!("failed to read {}", of.display())).because(error));
            }
        }
    }
}

/// Compares what was read back with the snapshot.
pub(crate) fn prove(context: &Context, snapshot: &dyn Snapshot, found: &Evidence) -> Result<()> {
    let mut wanted = Census::default();
    for entry in snapshot.entries()? {
        let entry = entry?;
        if entry.is_file() {
            let content = digest(context, &mut snapshot.read(&entry)?, &entry.path)?;
            wanted.file(&entry.path.to_string_lossy(), entry.size_bytes, content);
        }
    }
    if wanted.proven(found).collections.get("files") == found.collections.get("files") {
        return Ok(());
    }
    Err(Error::failed("the staged objects differ from those of the set")
        .hint("What was live stays. `resume` stages them again; `undo` drops what was staged."))
}
