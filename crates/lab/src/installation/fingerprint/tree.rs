//! Files: digests of entries, summed up by upper folders: names, kinds, modes, owners, times, links, contents, holes.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plan::Result;
use plan::error::During;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::Fingerprint;

/// Folders so deep are told apart; what is below them is summed up.
const TOLD_DEPTH: usize = 2;

/// The program's own folder at the root: what a run keeps there is not data.
const OWN_FOLDER: &str = ".threescale-backup";

pub(super) fn fingerprint(root: &Path) -> Result<Fingerprint> {
    let (mut sums, mut folders) = (BTreeMap::<PathBuf, (u64, u128)>::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let inside = folder.strip_prefix(root).unwrap_or(&folder).to_owned();
        let (count, sum) = sums.entry(inside.iter().take(TOLD_DEPTH).collect()).or_default();
        for entry in fs::read_dir(&folder).during(|| format!("list {}", folder.display()))? {
            let path = entry.during(|| format!("list {}", folder.display()))?.path();
            if path == root.join(OWN_FOLDER) {
                continue;
            }
            *count += 1;
            *sum = sum.wrapping_add(entry_digest(&path, &inside).during(|| format!("read {}", path.display()))?);
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
    }
    let told = sums.into_iter().map(|(folder, (count, sum))| {
        (format!("folder/{}", folder.as_os_str().as_bytes().escape_ascii()), format!("{count} entries, digest {sum:032x}"))
    });
    Ok(told.collect())
}

fn entry_digest(path: &Path, inside: &Path) -> std::io::Result<u128> {
    let meta = path.symlink_metadata()?;
    let mut text = inside.as_os_str().as_bytes().to_vec();
    text.push(b'/');
    text.extend(path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default());
    let size = if meta.is_dir() { 0 } else { meta.size() };
    // The time of a folder follows its entries, and a link's is seldom restored by anyone: contents decide there.
    let time = if meta.is_file() { (meta.mtime(), meta.mtime_nsec()) } else { (0, 0) };
    let links = if meta.is_file() { meta.nlink() } else { 0 };
    text.extend(format!("\0{:o} {} {} {size} {time:?} {links} {}", meta.mode(), meta.uid(), meta.gid(), has_holes(&meta)).into_bytes());
    if meta.is_symlink() {
        text.extend(fs::read_link(path)?.as_os_str().as_bytes());
    } else if meta.is_file() {
        text.extend(content_digest(path)?.to_le_bytes());
    }
    Ok(xxh3_128(&text))
}

fn has_holes(meta: &Metadata) -> bool {
    meta.is_file() && meta.blocks() * 512 < meta.size() / 2
}

fn content_digest(path: &Path) -> std::io::Result<u128> {
    let (mut file, mut hasher, mut block) = (File::open(path)?, Xxh3::new(), vec![0; 128 << 10]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.digest128()),
            length => hasher.update(&block[..length]),
        }
    }
}
