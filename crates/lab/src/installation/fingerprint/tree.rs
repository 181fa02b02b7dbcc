//! Files: a digest of each folder's entries: names, kinds, modes, owners, times, links, contents, holes.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plan::Result;
use plan::error::During;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::Fingerprint;

pub(super) fn fingerprint(root: &Path) -> Result<Fingerprint> {
    let (mut found, mut folders) = (Fingerprint::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let (mut count, mut sum) = (0_u64, 0_u128);
        for entry in fs::read_dir(&folder).during(|| format!("list {}", folder.display()))? {
            let path = entry.during(|| format!("list {}", folder.display()))?.path();
            count += 1;
            sum = sum.wrapping_add(entry_digest(&path).during(|| format!("read {}", path.display()))?);
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
        }
        let name = folder.strip_prefix(root).unwrap_or(&folder).as_os_str().as_bytes().escape_ascii().to_string();
        found.insert(format!("folder/{name}"), format!("{count} entries, digest {sum:032x}"));
    }
    Ok(found)
}

fn entry_digest(path: &Path) -> std::io::Result<u128> {
    let meta = path.symlink_metadata()?;
    let mut text = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
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
