//! A shelf in a folder of this machine: one file of mode 600 a journal, each line synced; a lock file that ends with its process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plan::error::During;
use plan::ports::{Append, Shelf};
use plan::{Class, Error, InstallationId, Result};

/// How long the lock is waited for. A run that was killed while it started a program leaves it to that program until that has begun: longer on a busy machine.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The folder in which the journals of an installation's runs are.
#[derive(Debug, Clone)]
pub struct FolderShelf {
    path: PathBuf,
}

impl FolderShelf {
    /// Opens the folder, making it (mode 700) when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> Result<Self> {
        let runs = path.join("runs");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&runs).map_err(|error| {
            Error::refused(format!("failed to make the state folder {}", path.display()))
                .because(error)
                .hint("Choose another one with --state-folder.")
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the folder to look at it, making nothing; `None` when it is not there.
    ///
    /// # Errors
    /// When the folder or a journal in it cannot be read by this user.
    pub fn existing(path: &Path) -> Result<Option<Self>> {
        let unreadable = |error: std::io::Error| {
            Error::refused(format!("failed to read the journals in {}", path.display()))
                .because(error)
                .hint("Look as the user who made the runs, or choose another folder with --state-folder.")
        };
        let entries = match fs::read_dir(path.join("runs")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        for entry in entries {
            let entry = entry.map_err(unreadable)?;
            match open_at_once(&entry.path()) {
                // What else there is of one journal is told with that journal.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(unreadable(error)),
                _ => {}
            }
        }
        Ok(Some(Self { path: path.to_owned() }))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join("runs").join(format!("{name}.jsonl"))
    }
}

impl Shelf for FolderShelf {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn lock(&self, installation: &InstallationId) -> Result<Box<dyn Send>> {
        let path = self.path.join(lock_name(installation));
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = open.during(|| format!("failed to open {}", path.display()))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(file)),
                Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => std::thread::sleep(Duration::from_millis(50)),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(Class::Locked, "another run of threescale-backup goes on for this installation")
                        .hint(format!("It holds {}. `threescale-backup runs` shows it; --wait waits for it.", path.display())));
                }
                Err(TryLockError::Error(error)) => return Err(Error::failed(format!("failed to lock {}", path.display())).because(error)),
            }
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        let folder = self.path.join("runs");
        let what = || format!("failed to list {}", folder.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).during(what)? {
            let name = entry.during(what)?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".jsonl")).map(ToOwned::to_owned));
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.file(name);
        let read = || -> std::io::Result<Option<Vec<u8>>> {
            let mut file = open_at_once(&path)?;
            if !file.metadata()?.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        };
        match read() {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(Error::failed(format!("the journal {} is not a regular file", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::failed(format!("failed to read the journal {}", path.display())).because(error)),
        }
    }

    fn open(&self, name: &str, whole_bytes: u64) -> Result<Box<dyn Append>> {
        let path = self.file(name);
        let what = || format!("failed to open the journal {}", path.display());
        if whole_bytes == 0 {
            let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path).during(what)?;
            File::open(self.path.join("runs")).and_then(|folder| folder.sync_all()).during(what)?;
            return Ok(Box::new(SyncedFile { file, path }));
        }
        let mut file = OpenOptions::new().write(true).open(&path).during(what)?;
        file.set_len(whole_bytes).during(what)?;
        file.seek(SeekFrom::End(0)).during(what)?;
        file.sync_all().during(what)?;
        Ok(Box::new(SyncedFile { file, path }))
    }

    fn set_aside(&self, name: &str) -> Result<String> {
        let aside = self.path.join("runs").join(format!("{name}.damaged"));
        fs::rename(self.file(name), &aside).during(|| format!("failed to move the journal to {}", aside.display()))?;
        Ok(aside.display().to_string())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        fs::remove_file(&path).during(|| format!("failed to remove {}", path.display()))
    }
}

/// Opens a file to read it. A named pipe is not waited for.
fn open_at_once(path: &Path) -> std::io::Result<File> {
    let without_waiting = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(without_waiting).open(path)
}

/// A file of its own for each installation: names may hold any character, so the name's digest is what tells them apart.
fn lock_name(installation: &InstallationId) -> String {
    let plain: String = installation.name.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    format!("lock-{plain}-{:016x}", xxhash_rust::xxh3::xxh3_64(installation.name.as_bytes()))
}

/// No journals, and no place for any.
pub(crate) struct EmptyShelf;

impl EmptyShelf {
    fn refused() -> Error {
        Error::refused("there is no state folder to write to").hint("Choose one with --state-folder.")
    }
}

impl Shelf for EmptyShelf {
    fn place(&self) -> String {
        "no folder".to_owned()
    }

    fn lock(&self, _installation: &InstallationId) -> Result<Box<dyn Send>> {
        Err(Self::refused())
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn read(&self, _name: &str) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn open(&self, _name: &str, _whole_bytes: u64) -> Result<Box<dyn Append>> {
        Err(Self::refused())
    }

    fn set_aside(&self, _name: &str) -> Result<String> {
        Err(Self::refused())
    }

    fn remove(&self, _name: &str) -> Result<()> {
        Err(Self::refused())
    }
}

struct SyncedFile {
    file: File,
    path: PathBuf,
}

impl Append for SyncedFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            let error = Error::failed(format!("failed to write {} to stable storage", self.path.display())).because(error);
            match is_full {
                true => error.hint("Its volume is full: make room there. What the run has begun, if anything, `resume` goes on with and `undo` takes back."),
                false => error,
            }
        })
    }
}
