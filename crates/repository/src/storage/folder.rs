//! A repository in a folder. A listing that cannot be had whole is an error; a file is there whole or not at all, also after a power cut.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use jiff::Timestamp;
use rustic_core::{ALL_FILE_TYPES, BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};

use super::{Seen, Storage};
use crate::fault::Refusal;

/// A repository's folder.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    next_temporary: AtomicU64,
}

impl Folder {
    /// Nothing is touched yet.
    pub const fn new(root: PathBuf) -> Self {
        Self { root, next_temporary: AtomicU64::new(0) }
    }

    fn folder_of(&self, tpe: FileType, id: &Id) -> PathBuf {
        match tpe {
            FileType::Config => self.root.clone(),
            FileType::Pack => self.root.join("data").join(&id.to_hex()[..2]),
            _ => self.root.join(tpe.dirname()),
        }
    }

    fn path_of(&self, tpe: FileType, id: &Id) -> PathBuf {
        if tpe == FileType::Config { self.root.join("config") } else { self.folder_of(tpe, id).join(id.to_hex().as_str()) }
    }

    /// Writes beside the final name, syncs, renames, syncs the folder. `config` is created, never replaced.
    fn write(&self, tpe: FileType, id: &Id, content: &BytesList) -> io::Result<()> {
        let folder = self.folder_of(tpe, id);
        // One level only: a repository whose volume is not mounted must not be made anew under the mount point.
        if tpe == FileType::Pack
            && let Err(error) = fs::create_dir(&folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        self.put(&folder, id.to_hex().as_str(), &self.path_of(tpe, id), content, tpe == FileType::Config)
    }

    fn put(&self, folder: &Path, name: &str, path: &Path, content: &BytesList, only_new: bool) -> io::Result<()> {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{name}-tmp-{}-{number}", std::process::id()));
        let written = write_synced(&temporary, content).and_then(|()| {
            if only_new {
                fs::hard_link(&temporary, path)?;
                fs::remove_file(&temporary)
            } else {
                fs::rename(&temporary, path)
            }
        });
        if let Err(error) = written {
            // The error that matters is the first one; the leftover is harmless, its name is not an id.
            drop(fs::remove_file(&temporary));
            return Err(error);
        }
        File::open(folder)?.sync_all()
    }

    /// A file that is removed meanwhile is not there.
    fn survey_all(&self, folder: Option<&str>) -> io::Result<Vec<Seen>> {
        let mut seen = Vec::new();
        let mut folders = vec![folder.map_or_else(|| self.root.clone(), |folder| self.root.join(folder))];
        let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let metadata = match fs::symlink_metadata(&path) {
                    Err(error) if is_gone(&error) => continue,
                    metadata => metadata?,
                };
                if metadata.is_dir() {
                    folders.push(path);
                    continue;
                }
                let modified = Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?;
                let relative = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
                seen.push(Seen { path: relative, bytes: metadata.len(), modified });
            }
        }
        Ok(seen)
    }

    fn list_folder(&self, folder: &Path, tpe: FileType, found: &mut Vec<(Id, u32)>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| Id::parse_some(name, tpe)) else { continue };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed by another run between the two calls: it is not there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if !metadata.is_file() {
                continue;
            }
            let size =
                u32::try_from(metadata.len()).map_err(|_| io::Error::other(format!("{} is larger than 4 GiB", entry.path().display())))?;
            found.push((id, size));
        }
        Ok(())
    }

    fn list_all(&self, tpe: FileType) -> io::Result<Vec<(Id, u32)>> {
        if tpe == FileType::Config {
            return match fs::metadata(self.root.join("config")) {
                Ok(metadata) => Ok(vec![(Id::default(), u32::try_from(metadata.len()).unwrap_or(u32::MAX))]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        let mut found = Vec::new();
        let folder = self.root.join(tpe.dirname());
        if tpe != FileType::Pack {
            self.list_folder(&folder, tpe, &mut found)?;
            return Ok(found);
        }
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && entry.file_name().len() == 2 {
                self.list_folder(&entry.path(), tpe, &mut found)?;
            }
        }
        Ok(found)
    }
}

impl Folder {
    /// A folder that `init` made and that is gone is no empty one: a person looks where it went, and makes it again.
    fn unlisted(&self, folder: &Path, error: io::Error) -> Box<RusticError> {
        let what = "failed to list `{path}`";
        if error.kind() != io::ErrorKind::NotFound || !self.root.join("config").exists() {
            return fault(what, folder, error);
        }
        let shown = folder.display();
        let refusal = Refusal {
            text: format!("the repository has lost its folder {shown}"),
            hint: format!(
                "Look where it is, and put it back. If it is gone for good, `mkdir {shown}` and then `threescale-backup repair` go on with what is left."
            ),
        };
        RusticError::with_source(ErrorKind::Backend, what, refusal).attach_context("path", shown.to_string())
    }
}

/// Moves a file below the folder `damaged`; one that lies there already under that name keeps it.
pub fn set_aside(root: &Path, path: &str) -> io::Result<()> {
    let (from, target) = (root.join(path), root.join("damaged").join(path));
    let folder = target.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    let free = (0..).map(|number| if number == 0 { target.clone() } else { target.with_extension(number.to_string()) });
    let Some(target) = free.into_iter().find(|path| !path.exists()) else { return Ok(()) };
    fs::rename(&from, &target)?;
    File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, content: &BytesList) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    for bytes in content.slice() {
        file.write_all(bytes)?;
    }
    file.sync_all()
}

fn fault(what: &'static str, path: &Path, error: io::Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, what, error).attach_context("path", path.display().to_string())
}

impl ReadBackend for Folder {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.list_all(tpe).map_err(|error| self.unlisted(&self.root.join(tpe.dirname()), error))
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        let path = self.path_of(tpe, id);
        fs::read(&path).map(Bytes::from).map_err(|error| fault("failed to read `{path}`", &path, error))
    }

    fn read_partial(&self, tpe: FileType, id: &Id, _cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let path = self.path_of(tpe, id);
        let read = || {
            let mut bytes = vec![0; length as usize];
            File::open(&path)?.read_exact_at(&mut bytes, offset.into())?;
            Ok(Bytes::from(bytes))
        };
        read().map_err(|error| fault("failed to read `{path}`", &path, error))
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.path_of(tpe, id).display().to_string()
    }
}

impl WriteBackend for Folder {
    fn create(&self) -> RusticResult<()> {
        let create = || {
            fs::create_dir_all(&self.root)?;
            for name in ALL_FILE_TYPES.iter().map(|tpe| tpe.dirname()).chain(["locks"]) {
                fs::create_dir_all(self.root.join(name))?;
            }
            (0..=255_u8).try_for_each(|byte| fs::create_dir_all(self.root.join("data").join(hex::encode([byte]))))
        };
        create().map_err(|error| fault("failed to create `{path}`", &self.root, error))
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, _cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.write(tpe, id, &content).map_err(|error| fault("failed to write `{path}`", &self.path_of(tpe, id), error))
    }

    fn remove(&self, tpe: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        let path = self.path_of(tpe, id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("failed to remove `{path}`", &path, error)),
            _ => Ok(()),
        }
    }
}

impl Storage for Folder {
    fn survey(&self, folder: Option<&str>) -> RusticResult<Vec<Seen>> {
        self.survey_all(folder).map_err(|error| self.unlisted(&self.root.join(folder.unwrap_or_default()), error))
    }

    fn read_at(&self, path: &str) -> RusticResult<Bytes> {
        let path = self.root.join(path);
        fs::read(&path).map(Bytes::from).map_err(|error| fault("failed to read `{path}`", &path, error))
    }

    fn write_at(&self, path: &str, content: Vec<u8>) -> RusticResult<()> {
        let path = self.root.join(path);
        let write = || {
            let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
                return Err(io::Error::other("it has no name"));
            };
            // One level only, as for packs.
            if let Err(error) = fs::create_dir(folder)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(error);
            }
            self.put(folder, name, &path, &content.into(), false)
        };
        write().map_err(|error| fault("failed to write `{path}`", &path, error))
    }

    fn remove_at(&self, path: &str) -> RusticResult<()> {
        let path = self.root.join(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault("failed to remove `{path}`", &path, error)),
            _ => Ok(()),
        }
    }
}
