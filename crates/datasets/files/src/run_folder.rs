//! The run's own folder, `.threescale-backup/<run>/` at the root of the tree, so that everything in it is on the same volume and moves by rename.
//!
//! | name | what it is |
//! |---|---|
//! | `stage/` | the staged copy; after an undo again |
//! | `before/` | the previous data after a cut-over |
//! | `late/` | what a writer made at the root in the middle of a swap |
//! | `before-count` | how many entries `before/` has |
//! | `replaced-by` | a later run, which has replaced what this one restored |
//! | `since/` | what was made or changed after a cut-over, or a load in place, when that was undone |
//! | `mark.json` | whose it is: installation, run, data set, road (`runs`) |
//! | `staged.json` | staging is complete, and what the target could not hold; in place it stays until `settle`, and tells when the load came to its end |
//! | `swap.json` | the phase of the swap: the only truth about how far it came |
//! | `some` | where some files alone are put in: each, told by inode, size, time and path |
//! | `room` | nothing: it gives its room to what is written when the volume is full |
//! | `opened` | a folder whose mode is changed for the instant of its rename |

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plan::error::During;
use plan::ids::RunId;
use plan::ports::{Place, Road};
use plan::{Error, Result};
use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, fsync, mkdirat, openat, renameat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use beneath::{Tree, identity_of, mtime_ns, open_folder, read_xattrs};

use crate::mounts::chattr;
use crate::root::keeping_time;
use crate::times::seconds;
use crate::walk::OWN_FOLDER;

/// Name of the file that keeps room.
pub(crate) const ROOM: &str = "room";
const ROOM_BYTES: u32 = 64 << 10;
/// How long the volume's clock may stand still.
const TICK_MAX: Duration = Duration::from_secs(3);
/// The largest file of a run that is read: what this program writes is some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a [`Place`] of this data set says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// The run that reserved it.
    pub(crate) run: RunId,
    /// The road it takes.
    pub(crate) road: Road,
    /// What told the tree from others when it was reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    /// Where it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

impl Spot {
    pub(crate) const fn new(run: RunId, road: Road) -> Self {
        Self { run, road, identity: None, path: None }
    }

    /// Refuses another tree than the one that was reserved, before there is any mark in it: another identity or, where none can be had, another path.
    pub(crate) fn check_tree(&self, identity: Option<&str>, path: &str) -> Result<()> {
        let (here, there) = match (&self.identity, identity, &self.path) {
            (Some(then), Some(now), _) if then != now => (now, then),
            (Some(_), Some(_), _) => return Ok(()),
            (_, _, Some(then)) if then != path => (path, then),
            _ => return Ok(()),
        };
        Err(Error::refused(format!("run {} is of another folder: it was {there}, here is {here}", self.run))
            .hint("Nothing was touched. Use the configuration of the installation that the run is of."))
    }

    pub(crate) fn to_place(&self) -> Result<Place> {
        serde_json::to_value(self).map(Place).during(|| "write down the place of the files".to_owned())
    }

    /// The id becomes a name on disk that is removed later, so it is checked.
    pub(crate) fn from_place(place: &Place) -> Result<Self> {
        let spot: Self = serde_json::from_value(place.0.clone())
            .map_err(|error| Error::needs_person("the journal's place of the files is not readable").because(error))?;
        spot.check()?;
        Ok(spot)
    }

    /// Refuses what cannot be the name of a folder of a run.
    pub(crate) fn check(&self) -> Result<()> {
        let id = self.run.as_str();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Error::needs_person(format!("the journal's place of the files names a run {id:?} that cannot be")));
        }
        Ok(())
    }

    /// The run's folder, relative to the root.
    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(OWN_FOLDER).join(self.run.as_str())
    }

    /// A folder in the run's folder, relative to the root.
    pub(crate) fn inside(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
}

/// The open folder of a run.
pub(crate) struct RunFolder {
    pub(crate) root: Arc<Tree>,
    pub(crate) spot: Spot,
    fd: OwnedFd,
}

impl RunFolder {
    /// Opens it; `None` when there is none.
    pub(crate) fn open(root: &Arc<Tree>, spot: &Spot) -> Result<Option<Self>> {
        match root.folder(&spot.folder()) {
            Ok(fd) => {
                let folder = Self { root: Arc::clone(root), spot: spot.clone(), fd };
                folder.check_volume()?;
                Ok(Some(folder))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&root.place_of(&spot.folder()), "open", error)),
        }
    }

    /// Opens it, made when it is not there: for its owner only, and without the ACLs that the root may hand down.
    pub(crate) fn create(root: &Arc<Tree>, spot: &Spot) -> Result<Self> {
        let place = root.place_of(&spot.folder());
        keeping_time(root, || {
            make_private(root, OWN_FOLDER).map_err(|error| failed(&root.place_of(Path::new(OWN_FOLDER)), "make", error))
        })?;
        let own = root.folder(Path::new(OWN_FOLDER)).map_err(|error| failed(&place, "open", error))?;
        make_private(&own, spot.run.as_str()).map_err(|error| failed(&place, "make", error))?;
        Self::open(root, spot)?.ok_or_else(|| Error::failed(format!("{} vanished", place.display())))
    }

    fn check_volume(&self) -> Result<()> {
        let place = self.place();
        let device = |fd: BorrowedFd<'_>| identity_of(fd).map(|(device, _)| device).during(|| format!("look at {}", place.display()));
        if device(self.fd.as_fd())? == device(self.root.as_fd())? {
            return Ok(());
        }
        Err(Error::refused(format!("{} is on another volume than the data", place.display()))
            .hint("Nothing may be mounted at .threescale-backup: the swap works by renames within one volume."))
    }

    pub(crate) fn place(&self) -> PathBuf {
        self.root.place_of(&self.spot.folder())
    }

    /// A folder inside, made when it is not there.
    pub(crate) fn make(&self, name: &str) -> Result<OwnedFd> {
        make_private(&self.fd, name)
            .and_then(|()| open_folder(&self.fd, name.as_ref()))
            .map_err(|error| failed(&self.place().join(name), "make", error))
    }

    /// A folder inside as a root of its own, by what is open.
    pub(crate) fn tree(&self, name: &str) -> Result<Tree> {
        let place = self.place().join(name);
        let folder = if name.is_empty() { self.fd.try_clone() } else { open_folder(&self.fd, name.as_ref()) };
        folder.map(|fd| Tree::of(fd, place.clone())).map_err(|error| failed(&place, "open", error))
    }

    /// Removes a file inside, when it is there.
    pub(crate) fn remove_file(&self, name: &str) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(&self.place().join(name), "remove", error.into())),
        }
    }

    /// Writes a value so that a crash leaves the old or the new one, on stable storage when this returns.
    pub(crate) fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let bytes = serde_json::to_vec(value).during(|| format!("write down {name}"))?;
        self.write_bytes(name, &bytes)
    }

    /// As [`RunFolder::write`].
    pub(crate) fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let write = || -> io::Result<()> {
            let draft = format!("{name}.new");
            match self.draft(&draft, bytes) {
                // A full volume must be undone and settled all the same.
                Err(error) if is_full(&error) && self.give_room()? => self.draft(&draft, bytes)?,
                drafted => drafted?,
            }
            renameat(&self.fd, &draft, &self.fd, name)?;
            Ok(fsync(&self.fd)?)
        };
        write().map_err(|error| failed(&self.place().join(name), "write", error))
    }

    /// Always a new file: one that is there may be a further name of something outside.
    fn draft(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.new_file(name)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Keeps some room on the volume, for what is written when it is full.
    pub(crate) fn keep_room(&self) -> Result<()> {
        // No holes, and nothing that compresses to them.
        let bytes: Vec<u8> = (0..ROOM_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        self.draft(ROOM, &bytes).map_err(|error| failed(&self.place().join(ROOM), "write", error))
    }

    fn give_room(&self) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, ROOM, rustix::fs::AtFlags::empty()) {
            Ok(()) => fsync(&self.fd).map(|()| true).map_err(Into::into),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn new_file(&self, name: &str) -> io::Result<std::fs::File> {
        match rustix::fs::unlinkat(&self.fd, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(std::fs::File::from(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Waits until the volume's clock is past all that was done: what is made from now on is newer. The clock of some volumes moves in steps of
    /// milliseconds, of few in seconds.
    pub(crate) fn tick(&self) -> Result<()> {
        const NAME: &str = "tick";
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < TICK_MAX {
            let made = match self.new_file(NAME).and_then(|file| Ok(fstat(file)?)) {
                Ok(stat) => (stat.st_mtime, stat.st_mtime_nsec),
                // Then something that was there before may be taken for newer, and is kept for nothing.
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(failed(&self.place().join(NAME), "make", error)),
            };
            if last.is_some_and(|last| made > last) {
                break;
            }
            last.get_or_insert(made);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.remove_file(NAME)
    }

    /// When a file inside was written, in seconds with a fraction; one nanosecond before, so that all that came later is newer.
    pub(crate) fn changed_at(&self, name: &str) -> Result<Option<String>> {
        let found = beneath::stat_entry(&self.fd, name.as_ref()).map_err(|error| failed(&self.place().join(name), "look at", error))?;
        Ok(found.map(|stat| seconds(mtime_ns(&stat) - 1)))
    }

    /// Reads a value back; `None` when it was never written.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let bytes = self.bytes(name)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let damaged = |error| Error::needs_person(format!("{} is damaged", self.place().join(name).display())).because(error);
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// The content of a file inside; nothing when there is none.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        self.bytes_up_to(name, FILE_BYTES_MAX)
    }

    /// The same, of a file that may be longer.
    pub(crate) fn bytes_up_to(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            // Whoever owns the tree may have put a pipe there, or more than memory holds.
            match openat(&self.fd, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
                Ok(fd) if FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::RegularFile => {
                    std::fs::File::from(fd).take(bytes_max).read_to_end(&mut bytes).map(|_| bytes)
                }
                Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file")),
                Err(Errno::NOENT) => Ok(bytes),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| failed(&self.place().join(name), "read", error))
    }

    /// Whether there is anything of that name inside.
    pub(crate) fn has(&self, name: &str) -> Result<bool> {
        let found = beneath::stat_entry(&self.fd, name.as_ref());
        Ok(found.map_err(|error| failed(&self.place().join(name), "look at", error))?.is_some())
    }
}

impl AsFd for RunFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn make_private(at: impl AsFd, name: &str) -> io::Result<()> {
    match mkdirat(&at, name, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let folder = open_folder(&at, name.as_ref())?;
    for (xattr, _) in read_xattrs(&folder)?.iter().filter(|(xattr, _)| xattr.starts_with("system.posix_acl_")) {
        rustix::fs::fremovexattr(&folder, xattr.as_str())?;
    }
    Ok(fchmod(&folder, Mode::RWXU)?)
}

fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

/// An error about a path, with the way out of the usual causes.
pub(crate) fn failed(place: &Path, verb: &str, error: io::Error) -> Error {
    let hint = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Some("Free space or inodes on the volume (or enlarge it). `runs` says how to go on."),
        Some(Errno::NAMETOOLONG) => Some(
            "The file system of the target allows shorter names than the one that was backed up: restore onto a volume of the same kind.",
        ),
        Some(Errno::EXIST) => Some(
            "Something of that name is there: somebody made it meanwhile, or this file system takes names for the same that differ in their case only \
             (restore onto one that does not).",
        ),
        Some(Errno::ROFS) => Some("The volume is mounted read-only: mount it for writing."),
        Some(Errno::PERM) if rustix::process::geteuid().is_root() => {
            let way_out = format!("lsattr shows why. {}", chattr(place));
            return Error::failed(format!("{verb} {}", place.display())).because(error).hint(way_out);
        }
        Some(Errno::ACCESS | Errno::PERM) => Some("Run as the owner of the files or as root."),
        Some(Errno::BUSY) => Some("Something is mounted there: unmount it, or restore in place."),
        _ => None,
    };
    let failed = Error::failed(format!("{verb} {}", place.display())).because(error);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}
