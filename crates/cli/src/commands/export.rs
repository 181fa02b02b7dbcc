//! `export`: a data set of a set as plain files, for use without this program.
//!
//! The same tree as `restic restore` gives, but for streams that are cut into parts: those come out as one file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plan::error::During;
use plan::ids::DataSetName;
use plan::ports::{Entry, EntryKind, Event, Repository, Snapshot, Verb};
use plan::{Error, Result};
use serde::Serialize;

use crate::app::{App, find_set};
use crate::args;
use crate::output::{bytes, count};

/// Parts of a stream are files of this extension in a folder that is named like the stream.
const PART: &str = "part";

#[derive(Serialize)]
struct ExportDocument<'a> {
    set: &'a str,
    data_set: DataSetName,
    folder: &'a Path,
    files: u64,
    bytes: u64,
}

pub(crate) fn export(app: &App, args: &args::Export) -> Result<()> {
    let config = app.config()?;
    let repository = app.repository(&config)?;
    let manifest = find_set(repository.as_ref(), &args.set)?;
    let kept = manifest.data_sets.get(&args.data_set).ok_or_else(|| {
        let has: Vec<_> = manifest.data_sets.keys().map(|name| name.as_str()).collect();
        Error::refused(format!("set {} has no {}", manifest.set, args.data_set)).hint(format!("It has {}.", has.join(", ")))
    })?;
    if args.to.exists() && fs::read_dir(&args.to).map(|mut entries| entries.next().is_some()).unwrap_or(true) {
        return Err(Error::refused(format!("{} is not an empty folder", args.to.display())).hint("Name a folder that is not there yet."));
    }
    let snapshot = repository.open(&kept.snapshot)?;
    let context = app.context_alone(&config)?;
    context.watch.see(Event::Begin { data_set: args.data_set, verb: Verb::Export, total_bytes: Some(kept.bytes) });
    let mut writing = Writing { to: args.to.clone(), folders: Vec::new(), links: std::collections::HashMap::new(), files: 0, bytes: 0 };
    make_folder(&args.to)?;
    for entry in snapshot.entries()? {
        context.stop.check()?;
        let entry = entry?;
        let size = entry.size_bytes;
        writing.write(snapshot.as_ref(), entry)?;
        context.watch.see(Event::Advance { data_set: args.data_set, verb: Verb::Export, bytes: size, items: 1 });
    }
    writing.finish()?;
    context.watch.see(Event::End { data_set: args.data_set, verb: Verb::Export });
    app.output.line(&format!(
        "wrote {} files, {}, of {} to {}; docs/recovery-without-the-program.md says how to load them",
        count(writing.files),
        bytes(writing.bytes),
        args.data_set,
        args.to.display()
    ))?;
    let document = ExportDocument {
        set: manifest.set.as_str(),
        data_set: args.data_set,
        folder: &args.to,
        files: writing.files,
        bytes: writing.bytes,
    };
    app.output.document(&document)
}

struct Writing {
    to: PathBuf,
    /// Folders whose mode and time are set when all is in them.
    folders: Vec<(PathBuf, plan::ports::Meta)>,
    /// The first path of each file with several links.
    links: std::collections::HashMap<(u64, u64), PathBuf>,
    files: u64,
    bytes: u64,
}

impl Writing {
    fn write(&mut self, snapshot: &dyn Snapshot, entry: Entry) -> Result<()> {
        let path = self.to.join(&entry.path);
        let what = || format!("failed to write {}", path.display());
        match &entry.kind {
            EntryKind::Folder => {
                // A folder that only holds parts becomes a file when the first part comes.
                self.folders.push((path, entry.meta));
                Ok(())
            }
            EntryKind::Symlink(target) => {
                self.make_parents(&path)?;
                std::os::unix::fs::symlink(target, &path).during(what)
            }
            EntryKind::File => self.write_file(snapshot, &entry, &path),
            // Nothing is in them that could be exported.
            EntryKind::Fifo | EntryKind::Socket => Ok(()),
        }
    }

    fn write_file(&mut self, snapshot: &dyn Snapshot, entry: &Entry, path: &Path) -> Result<()> {
        let what = || format!("failed to write {}", path.display());
        if let Some(stream) = path.parent().filter(|_| path.extension().is_some_and(|extension| extension == PART)) {
            self.make_parents(stream)?;
            let mut file = File::options().create(true).append(true).mode(0o600).open(stream).during(what)?;
            if file.metadata().during(what)?.len() == 0 {
                self.files += 1;
            }
            self.bytes += io::copy(&mut snapshot.read(entry)?, &mut file).during(what)?;
            return Ok(());
        }
        self.make_parents(path)?;
        if let Some(identity) = entry.meta.identity.filter(|_| entry.meta.links > 1) {
            if let Some(first) = self.links.get(&identity) {
                return fs::hard_link(first, path).during(what);
            }
            self.links.insert(identity, path.to_owned());
        }
        let mut file = File::options().create_new(true).write(true).mode(0o600).open(path).during(what)?;
        self.bytes += io::copy(&mut snapshot.read(entry)?, &mut file).during(what)?;
        file.flush().during(what)?;
        self.files += 1;
        set_meta(path, &entry.meta)
    }

    fn make_parents(&self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), make_folder)
    }

    /// Folders get their mode and time last, from the deepest up; those whose parts became a file are no folders.
    fn finish(&mut self) -> Result<()> {
        for (path, meta) in std::mem::take(&mut self.folders).iter().rev() {
            if path.is_file() {
                continue;
            }
            make_folder(path)?;
            set_meta(path, meta)?;
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).during(|| format!("failed to make the folder {}", path.display()))
}

fn set_meta(path: &Path, meta: &plan::ports::Meta) -> Result<()> {
    let what = || format!("failed to set mode and time of {}", path.display());
    if meta.mode != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(meta.mode)).during(what)?;
    }
    if let Some(nanoseconds) = meta.mtime_ns {
        let time = jiff::Timestamp::from_nanosecond(nanoseconds).during(what)?;
        File::open(path).and_then(|file| file.set_modified(time.into())).during(what)?;
    }
    Ok(())
}
