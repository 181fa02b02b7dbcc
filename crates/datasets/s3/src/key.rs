//! Keys as paths. A key is the path that porta's file has on a volume; where a volume would make something else of it, the rule is here.
//!
//! | key | path in a set |
//! |---|---|
//! | plain | itself |
//! | with empty segments: `/a`, `a//b` | without them, as a file system sees it; the entry notes the key |
//! | `a/b/`, empty (what consoles make for a folder) | folder `a/b`; the entry notes the key |
//! | `a/b/` with content | none: refused |
//! | a segment `.` or `..`, a NUL | none: refused |
//! | two keys that are one path; a key that is inside of another | none: refused |

use crate::client::list::Listed;

/// What everything of this program's own begins with. porta's prefixes are words without dots.
pub(crate) const OWN: &str = ".threescale-backup/";

/// An object at its path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Placed {
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) e_tag: String,
    pub(crate) modified_ns: i128,
}

impl Placed {
    /// Puts a listed object at its path.
    ///
    /// # Errors
    /// When no path stands for its key, why: the end of a sentence that begins with the key.
    pub(crate) fn of(listed: Listed) -> Result<Self, &'static str> {
        let Listed { key, size, e_tag, modified_ns } = listed;
        let segments = || key.split('/').filter(|segment| !segment.is_empty());
        if segments().any(|segment| segment == "." || segment == "..") {
            return Err("has a segment that is . or .., which no client can ask for");
        }
        if key.contains('\0') {
            return Err("has a NUL in it");
        }
        if key.ends_with('/') && size > 0 {
            return Err("ends with a slash and has content: a folder and a file in one");
        }
        let path = segments().collect::<Vec<_>>().join("/");
        if path.is_empty() {
            return Err("has nothing but slashes");
        }
        Ok(Self { path, key, size, e_tag, modified_ns })
    }

    /// Whether it stands for a folder.
    pub(crate) fn is_folder(&self) -> bool {
        self.key.ends_with('/')
    }

    /// The key, when the path does not tell it.
    pub(crate) fn noted_key(&self) -> Option<String> {
        (self.key != self.path).then(|| self.key.clone())
    }

    /// What comes first in a tree, by names and not by bytes.
    pub(crate) fn order(&self) -> TreeKey<'_> {
        TreeKey::of(&self.path)
    }
}

/// The order of restic's trees: names one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TreeKey<'a>(&'a str);

impl<'a> TreeKey<'a> {
    pub(crate) const fn of(path: &'a str) -> Self {
        Self(path)
    }
}

impl Ord for TreeKey<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.split('/').map(str::as_bytes).cmp(other.0.split('/').map(str::as_bytes))
    }
}

impl PartialOrd for TreeKey<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a repository of restic's format is, when a key is that of one of its files (its documentation, "Repository Layout"): the key up to there, without a slash at its end.
pub(crate) fn repository_of(key: &str) -> Option<&str> {
    let is_id = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let (folder, id) = key.rsplit_once('/').filter(|(_, id)| is_id(id))?;
    let ends = ["keys".to_owned(), format!("data/{}", id.get(..2)?)];
    let above = ends.iter().find_map(|end| folder.strip_suffix(end.as_str()))?;
    if above.is_empty() { Some(above) } else { above.strip_suffix('/') }
}

/// Why two neighbours in the order of a tree cannot both be in it; `None` when they can.
pub(crate) fn clash(one: &Placed, next: &Placed) -> Option<String> {
    if one.path == next.path {
        return Some(format!("{:?} and {:?} are one path", one.key, next.key));
    }
    let is_inside = next.path.strip_prefix(one.path.as_str()).is_some_and(|rest| rest.starts_with('/'));
    (is_inside && !one.is_folder()).then(|| format!("{:?} is inside of {:?}, which is a file", next.key, one.key))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn placed(key: &str, size: u64) -> Result<Placed, &'static str> {
        Placed::of(Listed { key: key.to_owned(), size, e_tag: String::new(), modified_ns: 0 })
    }

    #[test]
    fn a_key_is_the_path_that_a_file_system_sees() {
        for (key, path, noted) in
            [("a/b", "a/b", false), ("/a/b", "a/b", true), ("a//b", "a/b", true), ("///a", "a", true), ("a b+ü", "a b+ü", false)]
        {
            let placed = placed(key, 1).unwrap();
            assert_eq!((placed.path.as_str(), placed.noted_key().is_some(), placed.is_folder()), (path, noted, false), "{key}");
        }
        let folder = placed("a/b/", 0).unwrap();
        assert!(folder.is_folder() && folder.path == "a/b" && folder.noted_key().as_deref() == Some("a/b/"));
    }

    #[test]
    fn what_no_path_stands_for_is_refused() {
        for (key, size) in [("a/../b", 1), ("./a", 1), ("..", 1), ("a/.", 0), ("a/", 1), ("/", 0), ("//", 0), ("a\0", 1)] {
            assert!(placed(key, size).is_err(), "{key:?}");
        }
        assert!(placed("...", 1).is_ok() && placed(".a", 1).is_ok() && placed("a..", 1).is_ok());
    }

    #[test]
    fn a_repository_is_known_by_its_files() {
        let id = "ab".repeat(32);
        let of = |key: &str| repository_of(key).map(str::to_owned);
        assert_eq!(of(&format!("keys/{id}")), Some(String::new()));
        assert_eq!(of(&format!("back/ups/data/ab/{id}")), Some("back/ups".to_owned()));
        for other in
            [format!("data/cd/{id}"), format!("data/{id}"), format!("monkeys/{id}"), format!("keys/{}", &id[1..]), format!("a/{id}"), id]
        {
            assert_eq!(of(&other), None, "{other}");
        }
    }

    #[test]
    fn the_order_is_that_of_trees_and_not_that_of_the_service() {
        let mut paths = ["a-b", "a/c", "a", "a.b", "B", "a/b"];
        paths.sort_by(|one, other| TreeKey::of(one).cmp(&TreeKey::of(other)));
        assert_eq!(paths, ["B", "a", "a/b", "a/c", "a-b", "a.b"]);
    }

    #[test]
    fn neighbours_that_are_one_path_or_inside_of_a_file_clash() {
        let clash = |one: &str, next: &str, size| clash(&placed(one, size).unwrap(), &placed(next, 1).unwrap());
        assert!(clash("a", "/a", 1).is_some() && clash("a", "a/b", 1).is_some());
        assert!(clash("a/", "a/b", 0).is_none() && clash("a", "a-b", 1).is_none() && clash("a", "ab", 1).is_none());
    }
}
