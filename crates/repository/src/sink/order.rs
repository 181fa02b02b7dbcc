//! Checks that parts come in the order of restic's trees. Never reorders anything.
//!
//! restic finds names by binary search, and the archiver closes a folder for good when it leaves it: a part out of order would be stored and never found.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use plan::{Error, Result};

/// The order so far: the last part's names, and whether it was a folder.
#[derive(Debug, Default)]
pub struct Order {
    last: Vec<OsString>,
    last_is_folder: bool,
}

impl Order {
    /// Admits the next part; gives the folders on the way to it that no part has named.
    ///
    /// # Errors
    /// When the path is not relative and plain, or comes too late.
    pub fn admit(&mut self, path: &Path, is_folder: bool) -> Result<Vec<PathBuf>> {
        let names = names_of(path)?;
        let wrong = |why: &str| {
            Error::failed(format!("part {} {why}", path.display())).hint("This is a fault of the data set's dump, not of the data.")
        };
        if !self.last.is_empty() {
            let ours = names.iter().map(|name| name.as_bytes());
            if ours.le(self.last.iter().map(|name| name.as_bytes())) {
                return Err(wrong(&format!("does not come after {}", self.last.iter().collect::<PathBuf>().display())));
            }
            if !self.last_is_folder && names.starts_with(&self.last) {
                return Err(wrong("is inside of something that is not a folder"));
            }
        }
        let same = names.iter().zip(&self.last).take_while(|(ours, last)| ours == last).count();
        let open = same.min(if self.last_is_folder { self.last.len() } else { self.last.len().saturating_sub(1) });
        let implied = (open + 1..names.len()).map(|depth| names[..depth].iter().collect()).collect();
        self.last = names;
        self.last_is_folder = is_folder;
        Ok(implied)
    }
}

fn names_of(path: &Path) -> Result<Vec<OsString>> {
    let wrong = || Error::failed(format!("part has the path {:?}, which is not relative and plain", path.display().to_string()));
    let mut names = Vec::new();
    for component in path.components() {
        let Component::Normal(name) = component else { return Err(wrong()) };
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

    fn all(paths: &[(&str, bool)]) -> Result<Vec<String>> {
        let mut order = Order::default();
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
    fn a_part_that_comes_too_late_is_refused() {
        assert!(all(&[("b", false), ("a", false)]).is_err());
        assert!(all(&[("a", false), ("a", false)]).is_err());
        assert!(all(&[("a/1", false), ("a", true)]).is_err());
        assert!(all(&[("a/1", false), ("b", false), ("a/2", false)]).is_err());
    }

    #[test]
    fn nothing_is_inside_of_a_file() {
        assert!(all(&[("a", false), ("a/1", false)]).is_err());
    }

    #[test]
    fn a_path_is_relative_and_plain() {
        for path in ["", "/a", "../a", "a/../b", "./a", "a//b", "a/", "a/.", "a\0"] {
            assert!(all(&[(path, false)]).is_err(), "{path:?}");
        }
    }
}
