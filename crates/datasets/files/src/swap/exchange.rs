//! Some files alone take the places of the live ones, each by two renames; and back. What stands in `some` (`crate::some`) tells which they are, and where each of them is tells how far
//! it came: in `stage/` it was not put in, else it was. So either way may be begun again after a crash at any rename. Nothing is ever renamed over something.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use beneath::{Tree, stat_entry};
use plan::ports::{Context, Event};
use plan::{Error, Result};
use rustix::fs::{Mode, fchmod, fchown, fstat, fsync, mkdirat};
use rustix::io::Errno;

use super::rename_new;
use super::steps::{BEFORE, LATE, SINCE, told_late, told_since};
use crate::hook::{Hook, Moment};
use crate::run_folder::{RunFolder, failed};
use crate::some::{SOME, SOME_BYTES_MAX, told};
use crate::stage::STAGE;

/// How many are named of what was made since.
const NAMED: usize = 5;

/// A file that is put in: what tells it from others, and its path.
struct One {
    told: String,
    path: PathBuf,
}

struct Exchange<'a> {
    run: &'a RunFolder,
    context: &'a Context,
    hook: &'a Hook,
}

/// Each staged file takes its place; what was there goes to `before/`.
pub(super) fn forth(run: &RunFolder, context: &Context, hook: &Hook) -> Result<()> {
    let exchange = Exchange { run, context, hook };
    exchange.each(|one| exchange.put(&one.path))?;
    exchange.sync()
}

/// Each file that was put in goes back to `stage/`, or to `since/` where it is another one by now; what was there before takes its place.
pub(super) fn back(run: &RunFolder, context: &Context, hook: &Hook) -> Result<()> {
    let exchange = Exchange { run, context, hook };
    let (mut since, mut named) = (0, Vec::new());
    exchange.each(|one| {
        let kept = exchange.take_back(one)?;
        since += u64::from(kept);
        if kept && named.len() < NAMED {
            named.push(one.path.display().to_string());
        }
        Ok(())
    })?;
    if since > 0 {
        let text = told_since(since, 0, &named, &run.place().display().to_string(), run.spot.run.as_str());
        context.watch.see(Event::Warning(&text));
    }
    exchange.sync()
}

impl Exchange<'_> {
    fn each(&self, mut work: impl FnMut(&One) -> Result<()>) -> Result<()> {
        let damaged = || {
            Error::needs_person(format!("{} is damaged: it tells which files are put in", self.run.place().join(SOME).display()))
                .hint("What was replaced is in `before/` beside it, by its paths.")
        };
        let bytes = self.run.bytes_up_to(SOME, SOME_BYTES_MAX)?;
        for line in bytes.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            self.context.stop.check()?;
            let at = line.windows(3).position(|part| part == b" ./").ok_or_else(damaged)?;
            let (told, path) = line.split_at(at);
            let told = String::from_utf8(told.to_vec()).map_err(|_| damaged())?;
            work(&One { told, path: Path::new(OsStr::from_bytes(path.get(3..).unwrap_or_default())).to_owned() })?;
        }
        Ok(())
    }

    fn error(&self, path: &Path, error: impl Into<std::io::Error>) -> Error {
        failed(&self.run.root.place_of(path), "move", error.into())
    }

    /// The folder of a file in a folder of the run, if it is there.
    fn folder(&self, of: &str, path: &Path) -> Result<Option<OwnedFd>> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        found(self.run.root.folder(&self.run.spot.inside(of).join(parent))).map_err(|error| self.error(path, error))
    }

    /// The folder of a live file, if it is there.
    fn live(&self, path: &Path) -> Result<Option<OwnedFd>> {
        found(self.run.root.folder(path.parent().unwrap_or_else(|| Path::new("")))).map_err(|error| self.error(path, error))
    }

    /// The folder of a file in a folder of the run, made.
    fn made(&self, of: &str, path: &Path) -> Result<OwnedFd> {
        let root = Tree::of(self.run.make(of)?, self.run.place().join(of));
        self.make_folders(&root, path, None)
    }

    /// The folder of a live file, made as it is in a folder of the run.
    fn made_live(&self, like: &str, path: &Path) -> Result<OwnedFd> {
        let like = self.run.tree(like)?;
        self.make_folders(&self.run.root, path, Some(&like))
    }

    fn make_folders(&self, root: &Tree, path: &Path, like: Option<&Tree>) -> Result<OwnedFd> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let mut at = PathBuf::new();
        for name in parent.iter() {
            let within = root.folder(&at).map_err(|error| self.error(path, error))?;
            at.push(name);
            match mkdirat(&within, name, Mode::RWXU) {
                Ok(()) => {
                    if let Some(Ok(like)) = like.map(|like| like.folder(&at)) {
                        let made = root.folder(&at).map_err(|error| self.error(path, error))?;
                        let stat = fstat(&like).map_err(|error| self.error(path, error))?;
                        // Refused to whom the folder would not belong.
                        fchown(&made, Some(rustix::fs::Uid::from_raw(stat.st_uid)), Some(rustix::fs::Gid::from_raw(stat.st_gid))).ok();
                        fchmod(&made, Mode::from_raw_mode(stat.st_mode & 0o7777)).map_err(|error| self.error(path, error))?;
                    }
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(self.error(path, error)),
            }
        }
        root.folder(parent).map_err(|error| self.error(path, error))
    }

    fn rename(&self, path: &Path, (from, name): (&OwnedFd, &OsStr), (to, new_name): (&OwnedFd, &OsStr)) -> Result<()> {
        self.hook.at(Moment::Moving, path).map_err(|error| self.error(path, error))?;
        rename_new(from, to, name, new_name).map_err(|error| self.error(path, error))
    }

    fn is_there(&self, path: &Path, at: Option<&OwnedFd>, name: &OsStr) -> Result<bool> {
        at.map_or(Ok(false), |at| stat_entry(at, name).map(|stat| stat.is_some())).map_err(|error| self.error(path, error))
    }

    fn put(&self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        let Some(stage) = self.folder(STAGE, path)? else { return Ok(()) };
        if !self.is_there(path, Some(&stage), name)? {
            return Ok(());
        }
        let live = self.made_live(STAGE, path)?;
        if self.is_there(path, Some(&live), name)? {
            let is_kept = self.is_there(path, self.folder(BEFORE, path)?.as_ref(), name)?;
            if is_kept {
                self.aside(path, &live, LATE)?;
            } else {
                self.rename(path, (&live, name), (&self.made(BEFORE, path)?, name))?;
            }
        }
        self.rename(path, (&stage, name), (&live, name))
    }

    /// Whether something was kept that was made since.
    fn take_back(&self, One { told: as_put, path }: &One) -> Result<bool> {
        let name = path.file_name().unwrap_or_default();
        let was_put = !self.is_there(path, self.folder(STAGE, path)?.as_ref(), name)?;
        let before = self.folder(BEFORE, path)?;
        let is_kept = self.is_there(path, before.as_ref(), name)?;
        let mut since = false;
        if let Some(live) = self.live(path)?
            && let Some(stat) = stat_entry(&live, name).map_err(|error| self.error(path, error))?
        {
            if was_put && told(&stat) == *as_put {
                self.rename(path, (&live, name), (&self.made(STAGE, path)?, name))?;
            } else if was_put || is_kept {
                self.aside(path, &live, SINCE)?;
                since = true;
            }
        }
        if let Some(before) = before.filter(|_| is_kept) {
            let live = self.made_live(BEFORE, path)?;
            self.rename(path, (&before, name), (&live, name))?;
        }
        Ok(since)
    }

    /// What somebody made goes to a folder of the run, by its path; where there is one already, beside it.
    fn aside(&self, path: &Path, live: &OwnedFd, to: &str) -> Result<()> {
        let name = path.file_name().unwrap_or_default();
        let folder = self.made(to, path)?;
        if to == LATE {
            let place = self.run.root.place_of(path).display().to_string();
            self.context.watch.see(Event::Warning(&told_late(&place, &self.run.place().join(LATE).display().to_string())));
        }
        for number in 0..1000_u32 {
            let aside = if number == 0 { name.to_owned() } else { OsString::from(format!("{to}-{number}")) };
            if !self.is_there(path, Some(&folder), &aside)? {
                return self.rename(path, (live, name), (&folder, &aside));
            }
        }
        Err(Error::failed(format!("somebody keeps making {}", self.run.root.place_of(path).display())))
    }

    /// What was moved is on stable storage.
    fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(self.run.as_fd()).or_else(|_| fsync(self.run.as_fd())).map_err(|error| self.error(Path::new(""), error))
    }
}

fn found(folder: std::io::Result<OwnedFd>) -> std::io::Result<Option<OwnedFd>> {
    match folder {
        Ok(folder) => Ok(Some(folder)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
