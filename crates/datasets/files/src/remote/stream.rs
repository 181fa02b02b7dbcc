//! The stream of a tree: starts `tar` over there, and asks for what a tar stream does not tell.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use plan::ports::{Context, Meta, Process};
use plan::{Error, Result};

use super::place::{There, broken, program, read_record};
use super::unpack::{Header, Unpack};
use crate::root::RootMeta;
use beneath::is_data;

const PACK: &str = include_str!("pack.sh");
const LINKS: &str = include_str!("links.sh");

/// What the names of files with several may take in memory, and what each takes beside its path.
const IDENTITIES_BYTES_MAX: usize = 256 << 20;
const EACH_BYTES: usize = 96;

pub(super) type Stream = BufReader<Box<dyn Read + Send>>;
/// Device, inode and number of names, by path.
pub(super) type Identities = HashMap<Vec<u8>, (u64, u64, u64)>;
/// The root's metadata, the stream behind it, and the program.
type Opened = (RootMeta, Unpack<Stream>, Box<dyn Process>);

/// The metadata that an entry of a stream has.
pub(super) fn meta_of(header: &Header) -> Meta {
    Meta {
        mode: if header.kind == b'2' { 0o777 } else { header.mode },
        uid: Some(header.uid),
        gid: Some(header.gid),
        mtime_ns: Some(header.mtime_ns),
        read_at_ns: None,
        note: Vec::new(),
        links: 1,
        identity: None,
        xattrs: header.xattrs.iter().filter(|(name, _)| is_data(name)).cloned().collect(),
    }
}

/// Starts the stream of a tree, and reads the root's own entry.
pub(super) fn start(there: &There, context: &Context, skip_unreadable: bool) -> Result<Opened> {
    let mut options = vec![there.root.as_str(), "all"];
    if skip_unreadable {
        options.push("--ignore-failed-read");
    }
    open(there, there.remote.start(context, &program(PACK, &options))?)
}

/// The metadata of the root itself.
pub(super) fn root_meta(there: &There, context: &Context) -> Result<RootMeta> {
    let (root, mut tar, process) = open(there, there.remote.start(context, &program(PACK, &[&there.root, "root"]))?)?;
    let what = format!("look at {}", there.address());
    if tar.next().map_err(|error| broken(&what, error))?.is_some() {
        return Err(Error::failed(format!("{what}: more than the root came")));
    }
    // Exit status 1: something was made in it meanwhile.
    let ended = process.finish()?;
    if ended.status > 1 {
        there.success(ended, &what)?;
    }
    Ok(root)
}

/// The stream of a started `tar`, behind the root's own entry.
fn open(there: &There, mut process: Box<dyn Process>) -> Result<Opened> {
    let what = format!("read {}", there.address());
    let mut stream = BufReader::with_capacity(256 << 10, process.output().ok_or_else(|| Error::failed(format!("{what}: no output")))?);
    if stream.fill_buf().map_err(|error| broken(&what, error))?.is_empty() {
        // It ended before it wrote anything, and says why.
        return Err(there.success(process.finish()?, &what).err().unwrap_or_else(|| Error::failed(format!("{what}: nothing came"))));
    }
    let mut tar = Unpack::new(stream);
    match tar.next().map_err(|error| broken(&what, error))? {
        Some(header) if header.kind == b'5' && header.path == b"./" => Ok((RootMeta::new(&meta_of(&header)), tar, process)),
        _ => Err(Error::failed(format!("{what}: the tar stream does not begin with the root"))),
    }
}

/// What a tar stream does not tell: which files have several names, and the kilobytes of the whole.
pub(super) fn identities(there: &There, context: &Context) -> Result<(u64, Identities)> {
    let what = format!("list the files with several names in {}", there.address());
    let mut process = there.remote.start(context, &program(LINKS, &[&there.root]))?;
    let mut stream = BufReader::new(process.output().ok_or_else(|| Error::failed(format!("{what}: no output")))?);
    let (mut kilobytes, mut identities, mut record, mut held_bytes) = (None, Identities::new(), Vec::new(), 0);
    while read_record(&mut stream, 0, &mut record).map_err(|error| broken(&what, error))? {
        if kilobytes.is_none() {
            kilobytes = Some(std::str::from_utf8(&record).ok().and_then(|text| text.parse().ok()).unwrap_or(0));
            continue;
        }
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let mut number = || fields.next().and_then(|field| std::str::from_utf8(field).ok()?.parse::<u64>().ok());
        let (Some(device), Some(inode), Some(links), Some(path)) = (number(), number(), number(), fields.next()) else {
            return Err(Error::failed(format!("{what}: the list is not what find writes")));
        };
        held_bytes += path.len() + EACH_BYTES;
        if held_bytes > IDENTITIES_BYTES_MAX {
            return Err(Error::failed(format!("{what}: the names of more than {} files do not fit into memory", identities.len())));
        }
        identities.insert(path.to_vec(), (device, inode, links));
    }
    drop(stream);
    there.success(process.finish()?, &what)?;
    Ok((kilobytes.unwrap_or(0), identities))
}
