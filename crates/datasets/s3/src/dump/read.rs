//! Reads one object, or names what the earlier set has of it.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use plan::ports::{Content, Entry, Meta, Part};
use plan::{Error, Result};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::window::held_bytes;
use super::{SMALL_BYTES, Shared, What};
use crate::client::get::{Got, Head, Stream};
use crate::key::Placed;
use crate::properties::{Noted, Properties};

const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
/// How often an object is asked for that is replaced again and again.
const TRIES: u32 = 3;

/// A part, and what it takes of the window.
pub(crate) struct Read {
    pub(super) part: Part,
    pub(super) size_bytes: u64,
    pub(super) held_bytes: u64,
}

/// Reads what a job is about; `None` when it is gone.
pub(super) fn read(shared: &Arc<Shared>, what: What, earlier: Option<Entry>) -> Result<Option<Read>> {
    let placed = match what {
        What::Folder { path, modified_ns } => {
            shared.census().entry(&path, 0, modified_ns, true);
            let meta = Meta { mode: FOLDER_MODE, mtime_ns: Some(modified_ns), ..Meta::default() };
            let part = Part { path: path.into(), meta, content: Content::Folder };
            return Ok(Some(Read { part, size_bytes: 0, held_bytes: 0 }));
        }
        What::Object(placed) => placed,
    };
    let entered = held_bytes(placed.size);
    let read = match earlier {
        _ if placed.is_folder() => folder(shared, placed)?,
        Some(entry) => match unchanged(shared, &placed, entry)? {
            Some(read) => Some(read),
            None => object(shared, placed)?,
        },
        None => object(shared, placed)?,
    };
    if read.is_none() {
        shared.window.leave(entered);
    }
    Ok(read.map(|read| Read { held_bytes: entered, ..read }))
}

/// The empty object that stands for a folder.
fn folder(shared: &Shared, placed: Placed) -> Result<Option<Read>> {
    let Some(head) = shared.client.head(&shared.context.stop, &placed.key)? else {
        // Whatever is inside still needs it.
        let meta = Meta { mode: FOLDER_MODE, mtime_ns: Some(placed.modified_ns), ..Meta::default() };
        shared.census().entry(&placed.path, 0, placed.modified_ns, true);
        return Ok(Some(Read { part: Part { path: placed.path.into(), meta, content: Content::Folder }, size_bytes: 0, held_bytes: 0 }));
    };
    let mut census = shared.census();
    census.entry(&placed.path, 0, placed.modified_ns, true);
    census.object(&placed.key, &head.properties);
    drop(census);
    let noted = Noted { e_tag: Some(head.e_tag), key: Some(placed.key), properties: head.properties, ..Noted::default() };
    let meta = Meta { mode: FOLDER_MODE, mtime_ns: Some(placed.modified_ns), xattrs: noted.xattrs(), ..Meta::default() };
    Ok(Some(Read { part: Part { path: placed.path.into(), meta, content: Content::Folder }, size_bytes: 0, held_bytes: 0 }))
}

/// What the earlier set has, when it is the same object and whole in the repository.
fn unchanged(shared: &Shared, placed: &Placed, entry: Entry) -> Result<Option<Read>> {
    let Some(snapshot) = &shared.earlier else { return Ok(None) };
    let noted = Noted::of(&entry.meta);
    let key = noted.key.clone().unwrap_or_else(|| placed.path.clone());
    let is_same = entry.is_file()
        && key == placed.key
        && entry.size_bytes == placed.size
        && entry.meta.mtime_ns == Some(placed.modified_ns)
        && !placed.e_tag.is_empty()
        && noted.e_tag.as_deref() == Some(placed.e_tag.as_str());
    if !is_same {
        return Ok(None);
    }
    let is_fresh = if noted.is_fresh {
        // Its time does not tell: it was read within the second of its change.
        match shared.client.head(&shared.context.stop, &placed.key)? {
            Some(head) if head.e_tag == placed.e_tag && head.properties == noted.properties => head.is_fresh,
            _ => return Ok(None),
        }
    } else {
        false
    };
    let digest = match noted.digest {
        Some(digest) => digest,
        // Of a large one it was not known when its entry was kept: the repository has its bytes.
        None => match snapshot.read(&entry).and_then(|content| digest_of(content, placed)) {
            Ok(digest) => digest,
            Err(_) => return Ok(None),
        },
    };
    let read_at_ns = entry.meta.read_at_ns;
    let Some(reused) = snapshot.reuse(entry) else { return Ok(None) };
    let noted = Noted { digest: Some(digest), is_fresh, ..noted };
    let mut census = shared.census();
    census.unchanged += 1;
    drop(census);
    count(shared, placed, placed.modified_ns, &noted.properties, (placed.size, Some(digest)));
    Ok(Some(part(placed, placed.modified_ns, &noted, read_at_ns, (placed.size, Content::Kept(reused)))))
}

fn digest_of(mut content: Box<dyn io::Read + Send>, placed: &Placed) -> Result<u128> {
    let (mut hasher, mut buffer) = (Box::new(Xxh3::new()), vec![0; 1 << 20]);
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(hasher.digest128()),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::failed(format!("failed to read {:?} from the repository", placed.path)).because(error)),
        }
    }
}

fn object(shared: &Arc<Shared>, placed: Placed) -> Result<Option<Read>> {
    let (stop, client) = (&shared.context.stop, &shared.client);
    let (mut e_tag, mut size) = (placed.e_tag.clone(), placed.size);
    for round in 0..TRIES {
        let wanted = (!e_tag.is_empty()).then_some(e_tag.as_str());
        let modified_ns = |head: &Head| if round == 0 { placed.modified_ns } else { head.modified_ns };
        if size <= SMALL_BYTES {
            match client.get(stop, &placed.key, wanted)? {
                Got::There((head, bytes)) => {
                    let (time, digest) = (modified_ns(&head), xxh3_128(&bytes));
                    count(shared, &placed, time, &head.properties, (head.size, Some(digest)));
                    let noted = noted(&placed, Some(digest), &head);
                    let content = (head.size, Content::Bytes(bytes.into()));
                    return Ok(Some(part(&placed, time, &noted, Some(shared.begun_ns), content)));
                }
                Got::Changed | Got::Gone => {}
            }
        } else if let Some(head) = client.head(stop, &placed.key)?.filter(|head| e_tag.is_empty() || head.e_tag == e_tag) {
            return Ok(Some(large(shared, &placed, modified_ns(&head), head)));
        }
        let Some(now) = client.head(stop, &placed.key)? else {
            shared.census().warn(&placed.key, "was removed before it was read; left out");
            return Ok(None);
        };
        shared.census().warn(&placed.key, "was replaced after it was listed; the newer one is kept");
        (e_tag, size) = (now.e_tag, now.size);
    }
    Err(Error::transient(format!("{:?} of {} is replaced again and again while it is read", placed.key, client.shown())))
}

fn large(shared: &Arc<Shared>, placed: &Placed, modified_ns: i128, head: Head) -> Read {
    count(shared, placed, modified_ns, &head.properties, (head.size, None));
    shared.unread.fetch_add(1, Ordering::SeqCst);
    let reader = Large {
        shared: Arc::clone(shared),
        key: placed.key.clone(),
        path: placed.path.clone(),
        e_tag: head.e_tag.clone(),
        size: head.size,
        stream: None,
        left: head.size,
        hasher: Box::new(Xxh3::new()),
    };
    let noted = noted(placed, None, &head);
    let content = Content::Stream { size_bytes: head.size, reader: Box::new(reader) };
    part(placed, modified_ns, &noted, Some(shared.begun_ns), (head.size, content))
}

fn noted(placed: &Placed, digest: Option<u128>, head: &Head) -> Noted {
    let (e_tag, properties) = (Some(head.e_tag.clone()), head.properties.clone());
    Noted { e_tag, key: placed.noted_key(), digest, is_fresh: head.is_fresh, properties }
}

fn count(shared: &Shared, placed: &Placed, modified_ns: i128, properties: &Properties, (size, digest): (u64, Option<u128>)) {
    let mut census = shared.census();
    census.entry(&placed.path, size, modified_ns, false);
    census.object(&placed.key, properties);
    if let Some(digest) = digest {
        census.file(&placed.path, size, digest);
    }
}

fn part(placed: &Placed, modified_ns: i128, noted: &Noted, read_at_ns: Option<i128>, (size_bytes, content): (u64, Content)) -> Read {
    let meta = Meta { mode: FILE_MODE, mtime_ns: Some(modified_ns), read_at_ns, links: 1, xattrs: noted.xattrs(), ..Meta::default() };
    Read { part: Part { path: placed.path.clone().into(), meta, content }, size_bytes, held_bytes: 0 }
}

/// A large object: asked for when its first byte is wanted, counted when its last was read.
struct Large {
    shared: Arc<Shared>,
    key: String,
    path: String,
    e_tag: String,
    size: u64,
    stream: Option<Stream>,
    left: u64,
    hasher: Box<Xxh3>,
}

impl Large {
    fn open(&self) -> Result<Stream> {
        let shared = &self.shared;
        match shared.client.stream(&shared.context.stop, &self.key, Some(&self.e_tag))? {
            Got::There((_, stream)) => Ok(stream),
            Got::Changed | Got::Gone => {
                Err(Error::transient(format!("{:?} of {} was replaced or removed while it was read", self.key, shared.client.shown()))
                    .hint("Run the backup again; what was stored is reused."))
            }
        }
    }
}

impl io::Read for Large {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        if self.stream.is_none() {
            self.stream = Some(self.open().map_err(io::Error::other)?);
        }
        let count = self.stream.as_mut().map_or(Ok(0), |stream| stream.read(buffer))?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.left = self.left.saturating_sub(count as u64);
        if self.left == 0 {
            self.shared.census().file(&self.path, self.size, self.hasher.digest128());
            self.shared.unread.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(count)
    }
}
