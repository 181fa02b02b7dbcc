//! What a path in a snapshot may be, and the order of restic's trees. Asked before anything is kept, and again of what comes back: whoever knows the
//! password of a repository can write any tree into it, also one that the program itself would never make.
//!
//! restic finds names by binary search, and the archiver closes a folder for good when it leaves it: a part out of order would be stored and never
//! found. On the way back the order is what makes sure, in little memory, that no name comes twice and that nothing is inside of a link or a file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// How deep a tree may be: what walks one holds something for each level.
pub const DEPTH_MAX: usize = 4096;
/// How long the path of an entry may be.
pub const PATH_BYTES_MAX: usize = 64 << 10;

/// Why an entry cannot be where it is: the end of a sentence that begins with its path.
pub type Misplaced = String;

/// Whether a name is one plain name of a file system: not empty, not `.` or `..`, without `/` and NUL.
///
/// # Errors
/// When it is not, why.
pub fn check_name(name: &OsStr) -> Result<(), Misplaced> {
    match name.as_bytes() {
        b"" => Err("has no name".to_owned()),
        b"." | b".." => Err("has a name that leads to another folder".to_owned()),
        bytes if bytes.contains(&b'/') => Err("has a name with a slash in it".to_owned()),
        bytes if bytes.contains(&0) => Err("has a name with a NUL in it".to_owned()),
        _ => Ok(()),
    }
}

/// The order so far: the last entry's names, and whether it was a folder.
#[derive(Debug, Default)]
pub struct TreeOrder {
    last: Vec<OsString>,
    last_is_folder: bool,
}

impl TreeOrder {
    /// Admits the next entry; gives the folders on the way to it that no entry has named.
    ///
    /// # Errors
    /// When the path is not relative and plain, is too deep, comes too late or twice, or is inside of something that is no folder.
    pub fn admit(&mut self, path: &Path, is_folder: bool) -> Result<Vec<PathBuf>, Misplaced> {
        let names = names_of(path)?;
        if !self.last.is_empty() {
            let ours = names.iter().map(|name| name.as_bytes());
            if ours.le(self.last.iter().map(|name| name.as_bytes())) {
                return Err(format!("does not come after {:?}", self.last.iter().collect::<PathBuf>().display().to_string()));
            }
            if !self.last_is_folder && names.starts_with(&self.last) {
                return Err("is inside of something that is not a folder".to_owned());
            }
        }
        let same = names.iter().zip(&self.last).take_while(|(ours, last)| ours == last).count();
        let open = same.min(if self.last_is_folder { self.last.len() } else { self.last.len().saturating_sub(1) });
        let implied = (open + 1..names.len()).map(|depth| names.iter().take(depth).collect()).collect();
        self.last = names;
        self.last_is_folder = is_folder;
        Ok(implied)
    }
}

fn names_of(path: &Path) -> Result<Vec<OsString>, Misplaced> {
    let wrong = || "has a path that is not relative and plain".to_owned();
    if path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(format!("has a path of more than {PATH_BYTES_MAX} bytes"));
    }
    let mut names = Vec::new();
    for component in path.components() {
        let Component::Normal(name) = component else { return Err(wrong()) };
        if names.len() == DEPTH_MAX {
            return Err(format!("is in more than {DEPTH_MAX} folders"));
        }
        names.push(name.to_owned());
    }
    let plain: PathBuf = names.iter().collect();
    if names.is_empty() || plain.as_os_str() != path.as_os_str() || path.as_os_str().as_bytes().contains(&0) {
        return Err(wrong());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn all(paths: &[(&str, bool)]) -> Result<Vec<String>, Misplaced> {
        let mut order = TreeOrder::default();
        let mut implied = Vec::new();
        for (path, folder) in paths {
            implied.extend(order.admit(Path::new(path), *folder)?.into_iter().map(|path| path.display().to_string()));
        }
        Ok(implied)
    }

    #[test]
    fn folders_on_the_way_are_implied_once() {
        let paths = [("a/b/1", false), ("a/b/2", false), ("a/c", true), ("a/c/1", false), ("a/d/1", false), ("b", false)];
        assert_eq!(all(&paths).unwrap(), ["a", "a/b", "a/d"]);
    }

    #[test]
    fn names_are_compared_by_bytes_and_by_folder() {
        // "a-" sorts before "a/" as text, but the folder "a" comes before the file "a-".
        assert!(all(&[("a", true), ("a/1", false), ("a-", false)]).is_ok());
        assert!(all(&[("B", false), ("a", false)]).is_ok());
        assert!(all(&[("a", false), ("B", false)]).is_err());
    }

    #[test]
    fn an_entry_that_comes_too_late_or_twice_is_refused() {
        assert!(all(&[("b", false), ("a", false)]).is_err());
        assert!(all(&[("a", false), ("a", false)]).is_err());
        assert!(all(&[("a", false), ("a", true)]).is_err());
        assert!(all(&[("a/1", false), ("a", true)]).is_err());
        assert!(all(&[("a/1", false), ("b", false), ("a/2", false)]).is_err());
    }

    #[test]
    fn nothing_is_inside_of_a_file() {
        assert!(all(&[("a", false), ("a/1", false)]).is_err());
    }

    #[test]
    fn a_path_is_relative_and_plain() {
        for path in ["", "/a", "../a", "a/../b", "./a", "a//b", "a/", "a/.", "a\0", ".."] {
            assert!(all(&[(path, false)]).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_path_is_neither_too_deep_nor_too_long() {
        let deep = |levels: usize| PathBuf::from(vec!["d"; levels].join("/"));
        assert!(TreeOrder::default().admit(&deep(DEPTH_MAX), false).is_ok());
        assert!(TreeOrder::default().admit(&deep(DEPTH_MAX + 1), false).is_err());
        assert!(TreeOrder::default().admit(Path::new(&"n".repeat(PATH_BYTES_MAX + 1)), false).is_err());
    }

    #[test]
    fn a_name_is_one_plain_name() {
        for name in ["", ".", "..", "/", "a/b", "/a", "../a", "a\0b"] {
            assert!(check_name(OsStr::new(name)).is_err(), "{name:?}");
        }
        for name in ["a", "...", ".a", "a..", "\\", "a\nb", "-", "~"] {
            assert!(check_name(OsStr::new(name)).is_ok(), "{name:?}");
        }
    }
}
