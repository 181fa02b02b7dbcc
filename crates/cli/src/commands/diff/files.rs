//! Files, objects of a bucket, and Kubernetes objects: by their paths. Content that the repository stores as the same chunks is the same; else it is read where the sizes are equal.

use std::io::Read;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use plan::digest::hash;
use plan::error::During as _;
use plan::manifest::KeptDataSet;
use plan::ports::{Entry, EntryKind, Snapshot, StoreKind};
use plan::{Error, Result};

use super::deep::{Group, Sets};
use super::records::Side;

/// The kind, the size and the name of the content; then the attributes.
const CONTENT_BYTES: usize = 1 + 8 + 16;
/// Where objects of Kubernetes are in a set.
const OBJECTS: &str = "objects";

pub(super) fn compared(sets: &Sets<'_>, from: &KeptDataSet, to: &KeptDataSet) -> Result<Vec<Group>> {
    let of_objects = from.kind == StoreKind::Objects;
    // What a bucket knows of a file and a folder does not is no difference.
    let has_attributes = from.kind == to.kind && !of_objects;
    let kind = if of_objects { "objects" } else { "files" };
    let read = |snapshot: &dyn Snapshot| {
        let mut side = Side::new();
        for entry in snapshot.entries()? {
            sets.context.stop.check()?;
            let entry = entry?;
            // Beside the objects is the key of their digests, another one in each set.
            if of_objects && (!entry.is_file() || !entry.path.starts_with(OBJECTS)) {
                continue;
            }
            side.push(kind.as_bytes(), entry.path.as_os_str().as_bytes(), &value(snapshot, &entry, has_attributes))?;
        }
        Ok::<_, Error>(side)
    };
    let (before, after) = (sets.snapshot(from)?, sets.snapshot(to)?);
    let (one, other) = (read(before.as_ref())?, read(after.as_ref())?);
    sets.groups((one, other), kind, &|_, path| Some(shown(path, of_objects)), &mut |group, path, was, is| {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
        if !is_same_content(before.as_ref(), after.as_ref(), &path, was, is)? {
            return Ok(true);
        }
        group.attributes_changed += u64::from(was.get(CONTENT_BYTES..) != is.get(CONTENT_BYTES..));
        Ok(false)
    })
}

/// `Secret/system-database` of `objects/core/Secret/system-database.json`.
fn shown(path: &[u8], of_objects: bool) -> String {
    let text = String::from_utf8_lossy(path).into_owned();
    let name = text.strip_suffix(".json").and_then(|text| text.splitn(3, '/').nth(2)).filter(|_| of_objects);
    name.map_or(text.clone(), str::to_owned)
}

fn value(snapshot: &dyn Snapshot, entry: &Entry, has_attributes: bool) -> Vec<u8> {
    let (kind, content) = match &entry.kind {
        EntryKind::File => (b'f', snapshot.content_id(entry).unwrap_or_default()),
        EntryKind::Folder => (b'd', 0),
        EntryKind::Symlink(target) => (b'l', hash(target.as_os_str().as_bytes())),
        EntryKind::Fifo => (b'p', 0),
        EntryKind::Socket => (b's', 0),
    };
    let mut value = vec![kind];
    value.extend_from_slice(&entry.size_bytes.to_be_bytes());
    value.extend_from_slice(&content.to_be_bytes());
    if has_attributes {
        let meta = &entry.meta;
        let attributes = format!("{:?}", (meta.mode, meta.uid, meta.gid, meta.mtime_ns, &meta.xattrs));
        value.extend_from_slice(&hash(attributes.as_bytes()).to_be_bytes());
    }
    value
}

fn is_same_content(before: &dyn Snapshot, after: &dyn Snapshot, path: &std::path::Path, was: &[u8], is: &[u8]) -> Result<bool> {
    let (was, is) = (was.get(..CONTENT_BYTES), is.get(..CONTENT_BYTES));
    if was == is {
        return Ok(true);
    }
    // The kind and the size.
    let head = |value: Option<&[u8]>| value.and_then(|value| value.get(..9)).map(<[u8]>::to_vec);
    let is_file = was.and_then(<[u8]>::first) == Some(&b'f');
    if !is_file || head(was) != head(is) {
        return Ok(false);
    }
    // The same bytes may be stored as other chunks: by another version, or after a copy.
    let (mut one, mut other) = (before.read(&before.find(path)?)?, after.read(&after.find(path)?)?);
    let (mut piece, mut twin) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = one.read(&mut piece).during(|| format!("read {}", path.display()))?;
        if count == 0 {
            return Ok(true);
        }
        let twin = twin.get_mut(..count).unwrap_or_default();
        other.read_exact(twin).during(|| format!("read {}", path.display()))?;
        if piece.get(..count) != Some(&*twin) {
            return Ok(false);
        }
    }
}
