//! Metadata of a part in restic's node fields, and back.

use std::path::Path;
use std::sync::LazyLock;

use jiff::Timestamp;
use plan::ports::{Content, EntryKind, Meta};
use plan::{Error, Result};
use rustic_core::repofile::{Metadata, Node, NodeType};
use serde_json::json;

// restic writes Go's os.FileMode, see https://pkg.go.dev/io/fs#FileMode
const GO_FOLDER: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];

/// The attribute that holds [`Meta::note`]: of no name space that a file system has, so it is nobody's own, and restic passes over it.
const NOTE: &str = "threescale-backup.note";

/// The node of a part at `path`; content and subtree are the archiver's business.
///
/// # Errors
/// When restic's format cannot hold it.
pub fn node_of(path: &Path, meta: &Meta, content: &Content) -> Result<Node> {
    let (node_type, kind_bits, size) = match content {
        Content::Bytes(bytes) => (NodeType::File, 0, bytes.len() as u64),
        Content::Stream { size_bytes, .. } => (NodeType::File, 0, *size_bytes),
        Content::Kept(reused) => (NodeType::File, 0, reused.size_bytes),
        Content::Folder => (NodeType::Dir, GO_FOLDER, 0),
        Content::Symlink(target) => (NodeType::from_link(target), GO_SYMLINK, 0),
        Content::Fifo => (NodeType::Fifo, GO_FIFO, 0),
        Content::Socket => (NodeType::Socket, GO_SOCKET, 0),
    };
    let special = GO_SPECIAL.iter().filter(|(unix, _)| meta.mode & unix != 0).fold(0, |bits, (_, go)| bits | go);
    let time = |time_ns: Option<i128>| {
        time_ns.map(Timestamp::from_nanosecond).transpose().map_err(|error| {
            Error::failed(format!("{} has a modification time that restic's format cannot hold", path.display())).because(error)
        })
    };
    let (device_id, inode) = meta.identity.unwrap_or_default();
    let mut metadata = Metadata {
        mode: Some((meta.mode & 0o777) | special | kind_bits),
        mtime: time(meta.mtime_ns)?,
        ctime: time(meta.read_at_ns)?,
        uid: meta.uid,
        gid: meta.gid,
        inode,
        device_id,
        size,
        links: meta.links,
        ..Metadata::default()
    };
    if !meta.xattrs.is_empty() || !meta.note.is_empty() {
        let note = (!meta.note.is_empty()).then_some((NOTE, &meta.note));
        let all = meta.xattrs.iter().map(|(name, value)| (name.as_str(), value)).chain(note);
        let count = meta.xattrs.len() + usize::from(note.is_some());
        metadata.extended_attributes = blank()?.extended_attributes.iter().cycle().take(count).cloned().collect();
        for (attribute, (name, value)) in metadata.extended_attributes.iter_mut().zip(all) {
            name.clone_into(&mut attribute.name);
            attribute.value = Some(value.clone());
        }
    }
    let name = path.file_name().unwrap_or_default();
    let node = Node::new_node(name, node_type, metadata);
    if node.name() != name {
        return Err(Error::failed(format!("{} has a name that does not survive restic's format", path.display())));
    }
    Ok(node)
}

/// Metadata with one attribute. The engine has no public name for its attributes: one is read from its JSON, once, and copied.
fn blank() -> Result<&'static Metadata> {
    static BLANK: LazyLock<Option<Metadata>> =
        LazyLock::new(|| serde_json::from_value(json!({ "extended_attributes": [{ "name": "", "value": null }] })).ok());
    BLANK.as_ref().ok_or_else(|| Error::failed("failed to make an extended attribute"))
}

/// Metadata as a file system has it.
pub fn meta_of(node: &Node) -> Meta {
    let go = node.meta.mode.unwrap_or(0);
    let special = GO_SPECIAL.iter().filter(|(_, bit)| go & bit != 0).fold(0, |bits, (unix, _)| bits | unix);
    let all = node.meta.extended_attributes.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone().unwrap_or_default()));
    let (notes, xattrs): (Vec<_>, Vec<_>) = all.partition(|(name, _)| name == NOTE);
    Meta {
        mode: (go & 0o777) | special,
        uid: node.meta.uid,
        gid: node.meta.gid,
        mtime_ns: node.meta.mtime.map(Timestamp::as_nanosecond),
        read_at_ns: node.meta.ctime.map(Timestamp::as_nanosecond),
        links: node.meta.links,
        identity: (node.meta.inode != 0).then_some((node.meta.device_id, node.meta.inode)),
        xattrs,
        note: notes.into_iter().next().map(|(_, note)| note).unwrap_or_default(),
    }
}

/// The kind of a node; `None` for devices, which no data set has.
pub fn kind_of(node: &Node) -> Option<EntryKind> {
    Some(match &node.node_type {
        NodeType::File => EntryKind::File,
        NodeType::Dir => EntryKind::Folder,
        NodeType::Symlink { .. } => EntryKind::Symlink(node.node_type.to_link().to_owned()),
        NodeType::Fifo => EntryKind::Fifo,
        NodeType::Socket => EntryKind::Socket,
        NodeType::Dev { .. } | NodeType::Chardev { .. } => return None,
    })
}

/// What of a node must come back as it was given: name, type and metadata, under its path.
pub fn fingerprint(path: &Path, node: &Node) -> Result<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    let given = Node { content: None, subtree: None, ..node.clone() };
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    bytes.push(0);
    serde_json::to_writer(&mut bytes, &given).map_err(|error| Error::failed(format!("describe {}", path.display())).because(error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn metadata_survives_its_way_into_a_node_and_back() {
        let meta = Meta {
            mode: 0o6751,
            uid: Some(7),
            gid: Some(8),
            mtime_ns: Some(-1_234_567_890_123_456_789),
            read_at_ns: Some(1_234_567_890_123_456_789),
            links: 2,
            identity: Some((3, 4)),
            xattrs: (0..7_usize).map(|length| (format!("user.x{length}"), vec![0xfe; length])).collect(),
            note: vec![0, 0xff, 7],
        };
        for meta in [Meta { note: Vec::new(), ..meta.clone() }, Meta { xattrs: Vec::new(), ..meta.clone() }, meta] {
            let node = node_of(Path::new("a/b"), &meta, &Content::Fifo).unwrap();
            let node: Node = serde_json::from_slice(&serde_json::to_vec(&node).unwrap()).unwrap();
            assert_eq!(meta_of(&node), meta);
        }
    }

    #[test]
    fn every_byte_may_be_in_a_name_and_in_a_target() {
        for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
            for name in [vec![byte], vec![b'x', byte, byte], vec![byte, b'\\', b'"', 0xff, byte], vec![0xc3, byte]] {
                let path = Path::new(OsStr::from_bytes(&name));
                if name == b"." {
                    continue;
                }
                let node = node_of(path, &Meta::default(), &Content::Symlink(path.to_owned())).unwrap();
                let node: Node = serde_json::from_slice(&serde_json::to_vec(&node).unwrap()).unwrap();
                assert_eq!(node.name().as_bytes(), name);
                let Some(EntryKind::Symlink(target)) = kind_of(&node) else { panic!("not a link") };
                assert_eq!(target.as_os_str().as_bytes(), name);
            }
        }
    }
}
