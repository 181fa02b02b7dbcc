//! One folder of a snapshot, its entries understood one at a time: a large folder costs the memory of its text and no more.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use plan::tree_order::check_name;
use plan::{Error, Result};
use rustic_core::TreeId;
use rustic_core::repofile::{BlobType, Node};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::index::Index;

/// Whoever knows the password can write a tree that no backup makes. Names are joined to paths, so each must be one plain name, and none may come twice.
struct Names {
    folder: PathBuf,
    last: Option<OsString>,
}

impl Names {
    fn admit(&mut self, name: &OsStr) -> Result<()> {
        let wrong = |why: &str| {
            Error::needs_person(format!(
                "entry {:?} of folder /{} of the snapshot {why}",
                name.display().to_string(),
                self.folder.display()
            ))
            .hint("No backup of this program makes that: somebody who knows the password has changed the snapshot. Nothing of it is used.")
        };
        check_name(name).map_err(|why| wrong(&why))?;
        if self.last.as_ref().is_some_and(|last| last.as_bytes() >= name.as_bytes()) {
            return Err(wrong("comes twice or out of order"));
        }
        self.last = Some(name.to_owned());
        Ok(())
    }
}

/// See the module. The text is `{"nodes":[…]}`.
pub struct Folder {
    names: Names,
    text: Bytes,
    at: usize,
    is_over: bool,
}

impl Folder {
    /// Reads a folder and compares it with its name.
    ///
    /// # Errors
    /// When it is damaged or missing; names the pack.
    pub fn read(index: &Index, tree: TreeId, path: &Path) -> Result<Self> {
        let during = |error: Error| error.during(format!("failed to read folder /{} of the snapshot", path.display()));
        let text = index.read(BlobType::Tree, &tree).map_err(during)?;
        Self::new(text, path).ok_or_else(|| during(Error::failed("it cannot be understood")))
    }

    /// Bytes of its text.
    pub fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    fn new(text: Bytes, path: &Path) -> Option<Self> {
        let names = Names { folder: path.to_owned(), last: None };
        let mut folder = Self { names, text, at: 0, is_over: false };
        if !folder.eat(b'{') {
            return None;
        }
        loop {
            let key: String = folder.value()?;
            if !folder.eat(b':') {
                return None;
            }
            if key == "nodes" && folder.eat(b'[') {
                folder.is_over = folder.eat(b']');
                return Some(folder);
            }
            // Other fields, and `"nodes": null` of an empty folder.
            folder.value::<IgnoredAny>()?;
            if !folder.eat(b',') {
                folder.is_over = true;
                return folder.eat(b'}').then_some(folder);
            }
        }
    }

    fn eat(&mut self, wanted: u8) -> bool {
        self.at += self.text[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let is_there = self.text.get(self.at) == Some(&wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn value<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_slice(&self.text[self.at..]).into_iter::<T>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value)
    }

    fn understand(&mut self) -> Option<Node> {
        let node = self.value()?;
        if !self.eat(b',') {
            self.is_over = true;
            return self.eat(b']').then_some(node);
        }
        Some(node)
    }
}

impl Iterator for Folder {
    type Item = Result<Node>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let node = self.understand().ok_or_else(|| Error::failed("a folder of the snapshot cannot be understood"));
        let node = node.and_then(|node| self.names.admit(&node.name()).map(|()| node));
        self.is_over |= node.is_err();
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn names(text: &str) -> Option<Result<Vec<String>>> {
        Folder::new(Bytes::copy_from_slice(text.as_bytes()), Path::new("folder"))
            .map(|folder| folder.map(|node| node.map(|node| node.name)).collect())
    }

    #[test]
    fn entries_come_one_by_one_in_their_order() {
        let node = |name: &str| format!(r#"{{"name":"{name}","type":"file"}}"#);
        let text = format!(r#"{{ "later": {{"x": [1, "]"]}}, "nodes" : [{}, {} ,{}] }}"#, node("]}"), node("a"), node("c"));
        assert_eq!(names(&text).unwrap().unwrap(), ["]}", "a", "c"]);
        for empty in [r#"{"nodes":[]}"#, r#"{"nodes":null}"#, r#"{"nodes": [ ] }"#] {
            assert!(names(empty).unwrap().unwrap().is_empty(), "{empty}");
        }
    }

    #[test]
    fn what_is_no_folder_is_an_error() {
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"nodes""#,
            r#"{"nodes":7"#,
            r#"{"nodes":[}"#,
            r#"{"nodes":[{"name":"a","type":"file"}"#,
            r#"{"nodes":[{"name":1}]}"#,
        ] {
            assert!(names(wrong).is_none_or(|names| names.is_err()), "{wrong}");
        }
    }

    /// As restic's JSON has them, with its escapes.
    fn admit(names: &[&str]) -> Result<()> {
        let nodes: Vec<_> = names.iter().map(|name| serde_json::json!({ "name": name, "type": "file" })).collect();
        let text = serde_json::json!({ "nodes": nodes }).to_string();
        Folder::new(text.into(), Path::new("folder")).unwrap().try_for_each(|node| node.map(drop))
    }

    #[test]
    fn a_name_that_is_not_one_plain_name_is_refused_and_told() {
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a/", "\\x2e\\x2e", "\\x2fetc", "\\u002e.", "a\\x00b"] {
            let error = admit(&[name]).unwrap_err();
            assert_eq!(error.class(), plan::Class::NeedsPerson, "{name}");
            assert!(error.to_string().contains("of folder /folder of the snapshot has"), "{error:?}");
        }
        admit(&["\\n", "-", "...", "a", "b.part", "\\xff"]).unwrap();
    }

    #[test]
    fn a_name_that_comes_twice_or_out_of_order_is_refused() {
        for names in [&["a", "a"][..], &["b", "a"], &["a", "b", "b"], &["a", "\\x61"]] {
            assert!(admit(names).unwrap_err().to_string().contains("comes twice"), "{names:?}");
        }
    }
}
