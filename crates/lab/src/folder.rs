//! A temporary folder that ends with its owner, and that the next owner removes when a SIGKILL left it behind.
//!
//! Must never remove a folder whose owner lives: a lock on a file in it says so.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plan::error::During;
use plan::{Error, Result};

const PREFIX: &str = "threescale-lab-";
const LOCK: &str = ".owner";
/// A path of a socket has 107 bytes at most (`sockaddr_un`); the longest name of one in a folder is `.s.PGSQL.65535.lock`.
const PATH_BYTES_MAX: usize = 87;

/// The names of folders: the longest of them decides whether sockets fit.
const LONGEST_NAME: &str = "prometheus";

/// Whether a socket fits into a folder below the temporary folder of this process: for those who look before they begin.
///
/// # Errors
/// [`plan::Class::Refused`] when its path is too long.
pub fn fits_sockets() -> Result<()> {
    let parent = std::env::temp_dir();
    if parent.join(format!("{PREFIX}{LONGEST_NAME}-xxxxxx")).as_os_str().len() <= PATH_BYTES_MAX {
        return Ok(());
    }
    Err(too_long(&parent))
}

fn too_long(parent: &Path) -> Error {
    Error::refused(format!("the path of {} is too long for the sockets that are made below it", parent.display()))
        .hint("Name a shorter one for temporary files: `TMPDIR=/tmp threescale-backup …`.")
}

/// Removes what processes left below the temporary folder that were killed, and gives the names. Who lives keeps his.
pub fn remove_left() -> Vec<PathBuf> {
    remove_orphans(&std::env::temp_dir())
}

/// Ends with the value; see the module.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes `threescale-lab-NAME-xxxxxx` below the temporary folder of the process, for this user alone. In it is a file `.owner`.
    ///
    /// # Errors
    /// When it cannot be made, or its path is too long for a socket.
    pub fn create(name: &str) -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_orphans(&parent);
        let made = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{name}-"))
            // What is in it may be a production's data.
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .during(|| format!("make a folder in {}", parent.display()))
            .map_err(|error| error.hint("TMPDIR names another place for temporary folders."))?;
        if made.path().as_os_str().len() > PATH_BYTES_MAX {
            return Err(too_long(&parent));
        }
        // Locked before it has its name: whoever sees the name finds the lock held.
        let unnamed = made.path().join(".owner.new");
        let lock = File::create(&unnamed).during(|| format!("create {}", unnamed.display()))?;
        lock.lock().during(|| format!("lock {}", unnamed.display()))?;
        fs::rename(&unnamed, made.path().join(LOCK)).during(|| format!("rename {}", unnamed.display()))?;
        Ok(Self { path: made.keep(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path in the folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing sensible can be done about a failure here; the next owner tries again.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// A folder below the temporary folder that all processes of this user share: `threescale-NAME-UID`.
///
/// Its name can be guessed, so one that somebody else made is not taken. Others may pass through it (PostgreSQL's account), not look.
pub(crate) fn shared(name: &str) -> Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let path = std::env::temp_dir().join(format!("threescale-{name}-{user}"));
    let made = fs::DirBuilder::new().mode(0o711).create(&path);
    let meta = path.symlink_metadata().during(|| format!("make {}: {made:?}", path.display()))?;
    if meta.is_dir() && meta.uid() == user {
        return Ok(path);
    }
    Err(Error::refused(format!("{} belongs to somebody else", path.display())).hint("Set TMPDIR to a folder of your own."))
}

fn remove_orphans(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let orphans = named.map(|entry| entry.path()).filter(|path| is_orphan(path));
    orphans.filter(|path| fs::remove_dir_all(path).is_ok()).collect()
}

fn is_orphan(folder: &Path) -> bool {
    // Anybody may make such a folder, with a pipe in the place of the lock: it is not waited for.
    let without_waiting = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let lock = File::options().read(true).custom_flags(without_waiting).open(folder.join(LOCK));
    lock.is_ok_and(|lock| lock.try_lock().is_ok())
}
