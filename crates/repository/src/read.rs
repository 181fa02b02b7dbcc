//! Reads a snapshot: its tree in order, its files from any number of threads. Everything is authenticated by the engine as it is decrypted.

mod content;
pub mod walk;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use plan::ports::{Entry, EntryHandle, Snapshot};
use plan::tree_order::check_name;
use plan::{Error, Result};
use rustic_core::repofile::Node;
use rustic_core::{DataId, TreeId};

use crate::engine::Indexed;
use crate::fault::{EngineResult as _, guarded};
use crate::sink::{kind_of, meta_of};
use content::ContentReader;

/// An open snapshot.
pub struct OpenSnapshot {
    /// The index as it was when the snapshot was opened.
    pub index: Arc<Indexed>,
    /// Root of its tree.
    pub tree: TreeId,
}

/// Where a file's content is.
struct Chunks(Vec<DataId>);

/// The names in a folder.
pub fn nodes_of(index: &Indexed, tree: TreeId, path: &Path) -> Result<Vec<Node>> {
    let what = || format!("read folder /{} of the snapshot", path.display());
    let nodes = guarded("read a folder of the snapshot", || index.get_tree(&tree).during(what)).map(|tree| tree.nodes)?;
    check_names(&nodes, path)?;
    Ok(nodes)
}

/// Whoever knows the password can write a tree that no backup makes. Names are joined to paths, so each must be one plain name, and none may come twice.
fn check_names(nodes: &[Node], folder: &Path) -> Result<()> {
    let wrong = |name: &OsStr, why: &str| {
        Error::needs_person(format!("entry {:?} of folder /{} of the snapshot {why}", name.display().to_string(), folder.display()))
            .hint("No backup of this program makes that: somebody who knows the password has changed the snapshot. Nothing of it is used.")
    };
    let mut last: Option<std::borrow::Cow<'_, OsStr>> = None;
    for node in nodes {
        let name = node.name();
        check_name(&name).map_err(|why| wrong(&name, &why))?;
        if last.is_some_and(|last| last.as_bytes() >= name.as_bytes()) {
            return Err(wrong(&name, "comes twice or out of order"));
        }
        last = Some(name);
    }
    Ok(())
}

fn entry_of(path: PathBuf, mut node: Node) -> Result<Entry> {
    let kind = kind_of(&node).ok_or_else(|| Error::failed(format!("{} is a device, which no data set has", path.display())))?;
    let size_bytes = if node.is_file() { node.meta.size } else { 0 };
    let meta = meta_of(&node);
    let handle = EntryHandle(Box::new(Chunks(node.content.take().unwrap_or_default())));
    Ok(Entry { path, meta, size_bytes, kind, handle })
}

impl Snapshot for OpenSnapshot {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        let walk = walk::Walk::new(&self.index, self.tree)?;
        Ok(Box::new(walk.map(|item| item.and_then(|(path, node)| entry_of(path, node)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        let absent = || Error::failed(format!("{} is not in the snapshot", path.display()));
        let mut tree = Some(self.tree);
        let mut found: Option<Node> = None;
        for component in path.components() {
            let Component::Normal(name) = component else { return Err(absent()) };
            let nodes = nodes_of(&self.index, tree.ok_or_else(absent)?, path)?;
            let node = nodes.into_iter().find(|node| node.name() == name).ok_or_else(absent)?;
            tree = node.subtree;
            found = Some(node);
        }
        entry_of(path.to_owned(), found.ok_or_else(absent)?)
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        let chunks = entry.handle.0.downcast_ref::<Chunks>().filter(|_| entry.is_file());
        let chunks = chunks.ok_or_else(|| Error::failed(format!("{} is not a file of this snapshot", entry.path.display())))?;
        Ok(Box::new(ContentReader::new(Arc::clone(&self.index), entry.path.clone(), entry.size_bytes, chunks.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use rustic_core::repofile::{Metadata, NodeType};

    use super::*;

    /// As restic's JSON has them, with its escapes.
    fn nodes(names: &[&str]) -> Vec<Node> {
        let node = |name: &&str| {
            let mut node = Node::new_node(OsStr::new("x"), NodeType::File, Metadata::default());
            node.name = (*name).to_owned();
            node
        };
        names.iter().map(node).collect()
    }

    #[test]
    fn a_name_that_is_not_one_plain_name_is_refused_and_told() {
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a/", "\\x2e\\x2e", "\\x2fetc", "\\u002e.", "a\\x00b"] {
            let error = check_names(&nodes(&[name]), Path::new("folder")).unwrap_err();
            assert_eq!(error.class(), plan::Class::NeedsPerson, "{name}");
            assert!(error.to_string().contains("of folder /folder of the snapshot has"), "{error:?}");
        }
        check_names(&nodes(&["\\n", "-", "...", "a", "b.part", "\\xff"]), Path::new("")).unwrap();
        check_names(&nodes(&["-", "...", "a", "b.part"]), Path::new("")).unwrap();
    }

    #[test]
    fn a_name_that_comes_twice_or_out_of_order_is_refused() {
        for names in [&["a", "a"][..], &["b", "a"], &["a", "b", "b"], &["a", "\\x61"]] {
            assert!(check_names(&nodes(names), Path::new("")).unwrap_err().to_string().contains("comes twice"), "{names:?}");
        }
    }
}
