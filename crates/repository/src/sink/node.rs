//! Metadata of a part in restic's node fields, and back.

use std::path::Path;

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
    if !meta.xattrs.is_empty() {
        let list: Vec<_> = meta.xattrs.iter().map(|(name, value)| json!({ "name": name, "value": base64(value) })).collect();
        metadata.extended_attributes = serde_json::from_value(list.into())
            .map_err(|error| Error::failed(format!("failed to store the extended attributes of {}", path.display())).because(error))?;
    }
    let name = path.file_name().unwrap_or_default();
    let node = Node::new_node(name, node_type, metadata);
    if node.name() != name {
        return Err(Error::failed(format!("{} has a name that does not survive restic's format", path.display())));
    }
    Ok(node)
}

/// The engine has no public constructor for extended attributes, so they take the way of its JSON, where values are in Base64.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let three = [group[0], group.get(1).copied().unwrap_or(0), group.get(2).copied().unwrap_or(0)];
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// Metadata as a file system has it.
pub fn meta_of(node: &Node) -> Meta {
    let go = node.meta.mode.unwrap_or(0);
    let special = GO_SPECIAL.iter().filter(|(_, bit)| go & bit != 0).fold(0, |bits, (unix, _)| bits | unix);
    Meta {
        mode: (go & 0o777) | special,
        uid: node.meta.uid,
        gid: node.meta.gid,
        mtime_ns: node.meta.mtime.map(Timestamp::as_nanosecond),
        read_at_ns: node.meta.ctime.map(Timestamp::as_nanosecond),
        links: node.meta.links,
        identity: (node.meta.inode != 0).then_some((node.meta.device_id, node.meta.inode)),
        xattrs: node.meta.extended_attributes.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone().unwrap_or_default())).collect(),
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
        };
        let node = node_of(Path::new("a/b"), &meta, &Content::Fifo).unwrap();
        let node: Node = serde_json::from_slice(&serde_json::to_vec(&node).unwrap()).unwrap();
        assert_eq!(meta_of(&node), meta);
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
