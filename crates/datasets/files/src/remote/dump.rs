//! The dump of a tree in a place, and (over a staged tree) its proof: one `tar` over there, one stream, parts in its order.
//!
//! A large file's part reads from that one stream. Who asks for the next part before it was read (the repository's archiver is always one part ahead)
//! would wait for ever: then the rest of it is set aside in a file without a name in the folder for temporary files, and read from there. Memory is
//! bounded, but for the names of files with several, and eight bytes for each folder.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use plan::ids::DataSetName;
use plan::ports::{Advancing, Content, Context, Dump, Part, Process, Verb, Verdict};
use plan::{Error, Result};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::complaints::{self, Folders};
use super::lend::Modes;
use super::place::{There, broken};
use super::stream::{self, Identities, Stream, identities, meta_of};
use super::unpack::{Header, Unpack};
use crate::dump::SMALL_BYTES;
use crate::root::RootMeta;
use crate::tallied::{FirstNames, Tallied};

/// Who reads from the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The dump itself.
    Headers,
    /// The reader of a large file.
    Content,
    /// A reader was dropped before its end: what follows in the stream cannot be found.
    Lost,
}

/// What was set aside of one large file, until its reader takes it.
type Aside = Arc<Mutex<Option<File>>>;

struct State {
    tar: Unpack<Stream>,
    turn: Turn,
    /// Of the large file whose turn it is: what its reader has not read.
    left_bytes: u64,
    /// Where the rest of that file is put for its reader, when it is set aside.
    aside: Aside,
    tallied: Tallied,
}

impl State {
    /// Sets the rest of a large file aside, so that the stream stands at a header.
    fn set_aside(&mut self, context: &Context) -> Result<()> {
        let failed = |error: io::Error| {
            let hint = format!("It needs room in {}; TMPDIR names another folder.", std::env::temp_dir().display());
            broken("set a large file aside until the repository reads it", error).hint(hint)
        };
        let mut file = tempfile::tempfile().map_err(failed)?;
        let mut buffer = vec![0; 1 << 20];
        while self.left_bytes > 0 {
            context.stop.check()?;
            let wanted = buffer.len().min(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
            let bytes = buffer.get_mut(..wanted).unwrap_or_default();
            let read = self.tar.read(bytes).map_err(|error| broken("read a large file", error))?;
            if read == 0 {
                return Err(Error::failed(format!("the stream ended with {} bytes of a large file missing", self.left_bytes)));
            }
            file.write_all(bytes.get(..read).unwrap_or_default()).map_err(failed)?;
            self.left_bytes -= read as u64;
        }
        file.rewind().map_err(failed)?;
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        self.turn = Turn::Headers;
        Ok(())
    }
}

struct Shared {
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct RemoteDump {
    there: There,
    context: Context,
    // Dropped before the process: its reader ends with it.
    shared: Arc<Shared>,
    process: Option<Box<dyn Process>>,
    root: RootMeta,
    identities: Identities,
    first_names: FirstNames,
    folders: Folders,
    modes: Modes,
    last: PathBuf,
    progress: Advancing,
    ended: bool,
}

impl RemoteDump {
    /// Starts the stream and reads the root's own entry.
    pub(super) fn start(there: &There, context: &Context, verb: Verb, skip_unreadable: bool) -> Result<Self> {
        let (kilobytes, identities) = identities(there, context)?;
        let (root, tar, process) = stream::start(there, context, skip_unreadable)?;
        let tallied = Tallied { allocated_bytes: kilobytes.saturating_mul(1024), ..Tallied::default() };
        Ok(Self {
            there: there.clone(),
            context: context.clone(),
            shared: Arc::new(Shared {
                state: Mutex::new(State { tar, turn: Turn::Headers, left_bytes: 0, aside: Aside::default(), tallied }),
            }),
            process: Some(process),
            root,
            identities,
            first_names: FirstNames::default(),
            folders: Folders::default(),
            modes: Modes::default(),
            last: PathBuf::new(),
            progress: Advancing::of(DataSetName::SystemStorage, verb),
            ended: false,
        })
    }

    /// Of entries that were opened for this reading: the modes that they have else.
    pub(super) fn with_modes(self, modes: Modes) -> Self {
        Self { modes, ..self }
    }

    /// Reads everything, and gives the verdict.
    pub(super) fn drain(mut self) -> Result<Verdict> {
        let mut buffer = vec![0; 1 << 20];
        while let Some(part) = self.next_part()? {
            if let Content::Stream { mut reader, .. } = part.content {
                loop {
                    self.context.stop.check()?;
                    match reader.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(broken(&format!("read back {}", part.path.display()), error)),
                    }
                }
            }
        }
        self.verdict()
    }

    fn verdict(&self) -> Result<Verdict> {
        self.shared.state().tallied.verdict(self.ended, &self.root)
    }

    /// The stream, standing at a header.
    fn state<'s>(shared: &'s Shared, context: &Context) -> Result<MutexGuard<'s, State>> {
        let mut state = shared.state();
        context.stop.check()?;
        match state.turn {
            Turn::Headers => {}
            Turn::Lost => return Err(Error::failed("the content of a large file was not read to its end")),
            Turn::Content => state.set_aside(context).inspect_err(|_| state.turn = Turn::Lost)?,
        }
        Ok(state)
    }

    /// After the last entry: what the program says about itself.
    fn end(&mut self) -> Result<()> {
        let process = self.process.take().ok_or_else(|| Error::failed("the dump of files has ended already"))?;
        let ended = process.finish()?;
        let mut state = self.shared.state();
        if ended.status <= 1 {
            complaints::report(&ended.said, ended.status, &self.folders, &mut state.tallied.notices);
        } else {
            let what = format!("read {}", self.there.address());
            return self.there.success(ended, &what).map_err(|error| {
                error.hint(
                    "A backup without these files would not be complete. Let the pod's user read them, or move them away; \
                    or leave out what cannot be read, with a warning, by the option skip-unreadable.",
                )
            });
        }
        state.tallied.ended_at = Some(Timestamp::now());
        drop(state);
        self.ended = true;
        self.progress.end(&*self.context.watch);
        Ok(())
    }

    /// Makes a part of an entry; `None` when it is left out.
    fn part(&mut self, state: &mut State, header: Header) -> Result<Option<Part>> {
        let path = self.admit(&header.path)?;
        let is_file = matches!(header.kind, b'0' | b'7');
        let mut meta = meta_of(&header);
        if let Some((device, inode, links)) = self.identities.remove(name_of(&header.path)).filter(|_| is_file) {
            (meta.identity, meta.links) = (Some((device, inode)), links);
        }
        meta.mode = self.modes.remove(name_of(&header.path)).unwrap_or(meta.mode);
        let tallied = &mut state.tallied;
        if matches!(header.kind, b'3' | b'4') {
            tallied.notices.about("devices", &path, "a device file; left out");
            return Ok(None);
        }
        tallied.clamp(&path, &mut meta);
        let first = self.first_names.meet(&path, &mut meta, header.size_bytes, &mut tallied.notices);
        tallied.arrive(&path, &meta, header.size_bytes, first.as_deref(), header.kind == b'2');
        let content = match header.kind {
            b'0' | b'7' if header.size_bytes > SMALL_BYTES => {
                (state.turn, state.left_bytes, state.aside) = (Turn::Content, header.size_bytes, Aside::default());
                let aside = Arc::clone(&state.aside);
                let reader = LargeFile::new(path.clone(), header.size_bytes, first.is_none(), aside, Arc::clone(&self.shared));
                Content::Stream { size_bytes: header.size_bytes, reader: Box::new(reader) }
            }
            b'0' | b'7' => {
                let bytes = state.tar.read_whole().map_err(|error| self.cannot_read(error))?;
                if first.is_none() {
                    tallied.census.file(&path, header.size_bytes, xxh3_128(&bytes));
                }
                Content::Bytes(bytes)
            }
            b'5' => {
                self.folders.add(name_of(&header.path));
                tallied.census.plain("folders", &path);
                Content::Folder
            }
            b'6' => {
                tallied.census.plain("fifos", &path);
                Content::Fifo
            }
            b'2' => {
                let target = PathBuf::from(OsString::from_vec(header.link));
                tallied.census.symlink(&path, &target);
                Content::Symlink(target)
            }
            other => {
                return Err(Error::failed(format!("{} is an entry of type {:?} in the tar stream", path.display(), char::from(other))));
            }
        };
        Ok(Some(Part { path, meta, content }))
    }

    /// The path of an entry: inside the tree, and after the one before in tree order.
    fn admit(&mut self, raw: &[u8]) -> Result<PathBuf> {
        let path = PathBuf::from(OsString::from_vec(name_of(raw).to_vec()));
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !raw.starts_with(b"./") || !plain || path <= self.last {
            return Err(Error::failed(format!(
                "the tar stream holds {:?} after {:?}",
                path.display().to_string(),
                self.last.display().to_string()
            )));
        }
        self.last.clone_from(&path);
        Ok(path)
    }

    fn cannot_read(&self, error: io::Error) -> Error {
        broken(&format!("read {}", self.there.address()), error)
    }
}

/// The path of an entry without the `./` and the slash of folders.
fn name_of(raw: &[u8]) -> &[u8] {
    let name = raw.strip_prefix(b"./").unwrap_or(raw);
    name.strip_suffix(b"/").unwrap_or(name)
}

impl Dump for RemoteDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        if self.ended {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        loop {
            let mut state = Self::state(&shared, &self.context)?;
            let header = state.tar.next().map_err(|error| self.cannot_read(error));
            // After an error nothing more comes.
            let header = header.inspect_err(|_| state.turn = Turn::Lost)?;
            let Some(header) = header else {
                drop(state);
                self.end()?;
                return Ok(None);
            };
            let size_bytes = header.size_bytes;
            let part = self.part(&mut state, header).inspect_err(|_| state.turn = Turn::Lost)?;
            drop(state);
            if let Some(part) = part {
                self.progress.add(&*self.context.watch, size_bytes, 1);
                return Ok(Some(part));
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        self.verdict()
    }
}

/// The content of a large file: from the stream, or from where the rest of it was set aside.
struct LargeFile {
    path: PathBuf,
    size_bytes: u64,
    left_bytes: u64,
    hasher: Box<Xxh3>,
    counted: bool,
    aside: Aside,
    /// What was set aside, once it is known.
    rest: Option<File>,
    shared: Arc<Shared>,
}

impl LargeFile {
    /// `counted` is false for a further name of a file that was counted under its first.
    fn new(path: PathBuf, size_bytes: u64, counted: bool, aside: Aside, shared: Arc<Shared>) -> Self {
        Self { path, size_bytes, left_bytes: size_bytes, hasher: Box::new(Xxh3::new()), counted, aside, rest: None, shared }
    }

    /// Reads from where the content is now.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_none() {
            // Locked first: while the stream is somebody else's, the rest may be on its way aside.
            let mut state = self.shared.state();
            self.rest = self.aside.lock().unwrap_or_else(PoisonError::into_inner).take();
            if self.rest.is_none() && state.turn == Turn::Lost {
                return Err(io::Error::other("the stream broke"));
            }
            if self.rest.is_none() {
                let read = state.tar.read(buffer)?;
                state.left_bytes -= read as u64;
                if state.left_bytes == 0 {
                    state.turn = Turn::Headers;
                }
                return Ok(read);
            }
        }
        self.rest.as_mut().map_or(Ok(0), |rest| rest.read(buffer))
    }
}

impl Read for LargeFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left_bytes == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let read = self.read_on(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        self.left_bytes -= read as u64;
        if self.left_bytes == 0 && self.counted {
            self.shared.state().tallied.census.file(&self.path, self.size_bytes, self.hasher.digest128());
        }
        Ok(read)
    }
}

impl Drop for LargeFile {
    fn drop(&mut self) {
        if self.left_bytes > 0 {
            self.shared.state().turn = Turn::Lost;
        }
    }
}

/// A path as an archive for the place's `tar` has it.
pub(super) fn raw_path(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    [b"./", path.as_os_str().as_bytes()].concat()
}
