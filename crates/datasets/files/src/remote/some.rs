//! Compares some files of a set with those over there: names and sizes first, then the digests of those that have the same size.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};

use plan::ports::{Context, Entry, FilesCompared, Snapshot};
use plan::{Error, Result};
use sha2::{Digest, Sha256};

use super::list;
use super::place::{There, broken};

const SUMS: &str = include_str!("sums.sh");
/// What is asked and answered at a time: less than a pipe holds, because all is asked before an answer is read.
const BYTES_MAX: usize = 32 << 10;
/// Of a digest and what stands beside it.
const SUM_BYTES: usize = 70;

/// See the module.
pub(super) fn compare(there: &There, context: &Context, snapshot: &dyn Snapshot) -> Result<FilesCompared> {
    let mut wanted: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
    for entry in snapshot.entries()? {
        let entry = entry?;
        if entry.is_file() {
            wanted.insert(super::dump::raw_path(&entry.path), entry);
        }
    }
    let (mut compared, mut same_size) = (FilesCompared::default(), Vec::new());
    list::each_file(there, context, &mut |path, size_bytes| {
        let path = [b"./", path].concat();
        match wanted.remove(&path) {
            Some(entry) if entry.size_bytes == size_bytes => same_size.push((path, entry)),
            Some(entry) => compared.other.push(entry.path),
            None => {}
        }
        Ok(())
    })?;
    let mut some: Vec<(Vec<u8>, Entry)> = Vec::new();
    let mut bytes = 0;
    for (path, entry) in same_size {
        if bytes + path.len() + SUM_BYTES > BYTES_MAX {
            sums(there, context, snapshot, std::mem::take(&mut some), &mut compared)?;
            bytes = 0;
        }
        bytes += path.len() + SUM_BYTES;
        some.push((path, entry));
    }
    sums(there, context, snapshot, some, &mut compared)?;
    compared.missing.extend(wanted.into_values().map(|entry| entry.path));
    compared.other.sort();
    Ok(compared)
}

fn sums(
    there: &There,
    context: &Context,
    snapshot: &dyn Snapshot,
    some: Vec<(Vec<u8>, Entry)>,
    compared: &mut FilesCompared,
) -> Result<()> {
    context.stop.check()?;
    if some.is_empty() {
        return Ok(());
    }
    let what = format!("read files of {}", there.address());
    let bytes = there.feed(context, &what, SUMS, &[&there.root], |to| {
        some.iter().try_for_each(|(path, _)| to.write_all(path).and_then(|()| to.write_all(&[0]))).map_err(|error| broken(&what, error))
    })?;
    let mut found: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    for line in bytes.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or_default();
        let (sum, path) = line.split_at(at);
        found.insert(path.get(1..).unwrap_or_default(), sum);
    }
    for (path, entry) in some {
        match found.get(path.as_slice()) {
            None => compared.missing.push(entry.path),
            Some(sum) if *sum == digest(context, snapshot, &entry)?.as_bytes() => compared.equal += 1,
            Some(_) => compared.other.push(entry.path),
        }
    }
    Ok(())
}

fn digest(context: &Context, snapshot: &dyn Snapshot, entry: &Entry) -> Result<String> {
    let (mut content, mut sum, mut piece) = (snapshot.read(entry)?, Sha256::new(), vec![0; 256 << 10]);
    loop {
        context.stop.check()?;
        match content.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => sum.update(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::failed(format!("failed to read {} from the repository", entry.path.display())).because(error)),
        }
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
