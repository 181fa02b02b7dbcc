//! The folder of an export: empty at the beginning, and marked as not complete until all is in it.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use beneath::{Names, Tree};
use plan::error::During;
use plan::ids::RunId;
use plan::{Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, openat, syncfs, unlinkat};

/// See the module.
pub(super) struct Target {
    pub(super) tree: Tree,
    path: PathBuf,
    mark: OsString,
}

impl Target {
    /// Makes the folder, or takes an empty one. It may be a symbolic link when the operator named one; what is below is reached from what is open now.
    pub(super) fn make(path: &Path, run: &RunId) -> Result<Self> {
        let what = || format!("make the folder {}", path.display());
        let not_empty =
            || Error::refused(format!("{} is not an empty folder", path.display())).hint("Name a folder that is not there yet.");
        match std::fs::symlink_metadata(path) {
            Ok(_) if !path.is_dir() => return Err(not_empty()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).during(what)?;
            }
            Err(error) => return Err(Error::failed(what()).because(error)),
        }
        let tree = Tree::open(path).during(|| format!("open the folder {}", path.display()))?;
        if Names::read(tree.folder(Path::new("")).during(what)?).during(what)?.next().is_some() {
            return Err(not_empty());
        }
        // No name of a set can be this one: nobody knows the run's id before.
        let mark = OsString::from(format!("export-is-not-complete-{run}"));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&tree, &mark, flags, Mode::RUSR | Mode::WUSR).map_err(std::io::Error::from);
        let text = "This export is at work, or it ended before it was complete: then remove the whole folder.\n";
        file.and_then(|file| std::fs::File::from(file).write_all(text.as_bytes())).during(|| format!("write into {}", path.display()))?;
        Ok(Self { tree, path: path.to_owned(), mark })
    }

    /// All is in it: on stable storage first, then without the mark.
    pub(super) fn complete(&self) -> Result<()> {
        let what = || format!("finish the folder {}", self.path.display());
        syncfs(&self.tree).map_err(std::io::Error::from).during(what)?;
        unlinkat(&self.tree, &self.mark, AtFlags::empty()).map_err(std::io::Error::from).during(what)
    }

    /// An error of the work, with what is there now.
    pub(super) fn not_complete(&self, error: Error) -> Error {
        error.hint(format!(
            "What is in {} is not complete (the file {} in it says so). Remove the folder before the next try.",
            self.path.display(),
            self.mark.display()
        ))
    }
}
