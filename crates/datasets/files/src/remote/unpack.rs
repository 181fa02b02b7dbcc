//! Reads a tar stream as GNU tar writes it with `--format=posix`: one entry at a time, in bounded memory, and an archive that has no end is an error.
//!
//! A reader of its own and not a library's: what is read is what one known program writes, nothing may be guessed when a record is odd, and an
//! entry must be readable while the rest of the stream has not come yet.

use std::io::{self, Read};

use crate::times::nanoseconds;

/// Everything in a tar stream comes in blocks of this size.
pub(super) const BLOCK_BYTES: usize = 512;
/// Zeros behind the end of an archive: `tar` fills its last record, which the largest blocking factor makes this large.
const END_BYTES_MAX: usize = 16 << 20;
/// The largest extended header: extended attributes have 64 KiB each, paths have no limit of their own.
const EXTENDED_BYTES_MAX: u64 = 8 << 20;

/// An entry as the stream tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// As it stands there: `./a/b`, a folder with a slash at its end.
    pub(crate) path: Vec<u8>,
    /// The type flag of tar.
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime_ns: i128,
    pub(crate) size_bytes: u64,
    /// Target of a link.
    pub(crate) link: Vec<u8>,
    pub(crate) xattrs: Vec<(String, Vec<u8>)>,
}

/// What an extended header says about the entry after it.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime_ns: Option<i128>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// See the module.
pub(super) struct Unpack<R> {
    from: R,
    /// Bytes of the current entry's content that were not read, and of the padding behind it.
    content_bytes: u64,
    padding_bytes: u64,
}

impl<R: Read> Unpack<R> {
    pub(super) const fn new(from: R) -> Self {
        Self { from, content_bytes: 0, padding_bytes: 0 }
    }

    /// The next entry; the content of the one before must have been read. `None` when the archive and the stream are at their end.
    pub(super) fn next(&mut self) -> io::Result<Option<Header>> {
        let mut extended = Extended::default();
        loop {
            if self.content_bytes > 0 {
                return Err(damaged("the content of an entry was not read"));
            }
            self.skip_padding()?;
            let mut block = [0; BLOCK_BYTES];
            self.from.read_exact(&mut block)?;
            if block == [0; BLOCK_BYTES] {
                self.end()?;
                return Ok(None);
            }
            check_sum(&block)?;
            let mut header = plain(&block)?;
            match header.kind {
                b'x' => {
                    extended = parse(&self.whole(header.size_bytes)?)?;
                    continue;
                }
                b'g' => {
                    self.whole(header.size_bytes)?;
                    continue;
                }
                b'0'..=b'7' => {}
                other => return Err(damaged(&format!("an entry of the unknown type {:?}", char::from(other)))),
            }
            extended.apply(&mut header);
            // Only files have content; the others' size means something else.
            if !matches!(header.kind, b'0' | b'7') {
                header.size_bytes = 0;
            }
            self.expect(header.size_bytes);
            return Ok(Some(header));
        }
    }

    /// Content of the current entry; 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = self.from.read(buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content_bytes -= read as u64;
        Ok(read)
    }

    /// The whole content of the current entry, which is known to be small.
    pub(super) fn read_whole(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.content_bytes).map_err(|_| io::ErrorKind::InvalidData)?];
        self.from.read_exact(&mut bytes)?;
        self.content_bytes = 0;
        Ok(bytes)
    }

    fn expect(&mut self, size_bytes: u64) {
        self.content_bytes = size_bytes;
        self.padding_bytes = size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes;
    }

    fn skip_padding(&mut self) -> io::Result<()> {
        let mut rest = [0; BLOCK_BYTES];
        let padding = usize::try_from(self.padding_bytes).unwrap_or(0);
        self.from.read_exact(rest.get_mut(..padding).unwrap_or_default())?;
        self.padding_bytes = 0;
        Ok(())
    }

    fn whole(&mut self, size_bytes: u64) -> io::Result<Vec<u8>> {
        if size_bytes > EXTENDED_BYTES_MAX {
            return Err(damaged(&format!("an extended header of {size_bytes} bytes")));
        }
        self.expect(size_bytes);
        self.read_whole()
    }

    /// After the first block of zeros: there is nothing but zeros, up to the end of the stream, which comes soon.
    fn end(&mut self) -> io::Result<()> {
        let mut bytes = 0;
        let mut rest = [0; BLOCK_BYTES];
        loop {
            match self.from.read(&mut rest) {
                Ok(0) if bytes == 0 => return Err(damaged("the archive has no end")),
                Ok(0) => return Ok(()),
                Ok(read) if bytes < END_BYTES_MAX && rest.get(..read).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0)) => {
                    bytes += read
                }
                Ok(_) => return Err(damaged("something stands behind the end of the archive")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

pub(super) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the tar stream is damaged: {what}"))
}

fn field(block: &[u8; BLOCK_BYTES], start: usize, length: usize) -> &[u8] {
    block.get(start..start + length).unwrap_or_default()
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or (GNU) a binary number behind a high bit.
fn number(field: &[u8]) -> io::Result<i128> {
    if let Some((first @ (0x80 | 0xff), rest)) = field.split_first().map(|(first, rest)| (*first, rest)) {
        let start = if first == 0xff { -1 } else { 0 };
        return Ok(rest.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte)));
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !matches!(**byte, b' ' | 0));
    digits.copied().try_fold(0, |value: i128, byte| match byte {
        b'0'..=b'7' => Ok((value << 3) | i128::from(byte - b'0')),
        _ => Err(damaged("a number that is none")),
    })
}

fn check_sum(block: &[u8; BLOCK_BYTES]) -> io::Result<()> {
    let sum: i128 = block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { i128::from(*byte) }).sum();
    if number(field(block, 148, 8))? == sum { Ok(()) } else { Err(damaged("a header's check sum does not fit")) }
}

fn plain(block: &[u8; BLOCK_BYTES]) -> io::Result<Header> {
    let small = |start, length| -> io::Result<u32> {
        u32::try_from(number(field(block, start, length))?).map_err(|_| damaged("a number that is too large"))
    };
    let (prefix, name) = (text(field(block, 345, 155)), text(field(block, 0, 100)));
    if field(block, 257, 6) != b"ustar\0" {
        return Err(damaged("a header of another format than POSIX's"));
    }
    let path = if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') };
    let kind = field(block, 156, 1).first().copied().unwrap_or(0);
    Ok(Header {
        path,
        kind: if kind == 0 { b'0' } else { kind },
        mode: small(100, 8)? & 0o7777,
        uid: small(108, 8)?,
        gid: small(116, 8)?,
        mtime_ns: number(field(block, 136, 12))? * 1_000_000_000,
        size_bytes: u64::try_from(number(field(block, 124, 12))?).map_err(|_| damaged("a size that cannot be"))?,
        link: text(field(block, 157, 100)).to_vec(),
        xattrs: Vec::new(),
    })
}

impl Extended {
    fn apply(self, header: &mut Header) {
        let Self { path, link, size_bytes, uid, gid, mtime_ns, mut xattrs } = self;
        header.path = path.unwrap_or_else(|| std::mem::take(&mut header.path));
        header.link = link.unwrap_or_else(|| std::mem::take(&mut header.link));
        header.size_bytes = size_bytes.unwrap_or(header.size_bytes);
        header.uid = uid.unwrap_or(header.uid);
        header.gid = gid.unwrap_or(header.gid);
        header.mtime_ns = mtime_ns.unwrap_or(header.mtime_ns);
        xattrs.sort();
        header.xattrs = xattrs;
    }
}

/// Records of the form `LENGTH KEY=VALUE\n`; values hold any bytes.
fn parse(mut bytes: &[u8]) -> io::Result<Extended> {
    let odd = || damaged("an extended header");
    let mut extended = Extended::default();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(odd)?;
        let length: usize = digits(bytes.get(..space).unwrap_or_default()).ok_or_else(odd)?;
        let record = bytes.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(odd)?;
        bytes = bytes.get(length..).unwrap_or_default();
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(odd)?;
        let (key, value) = (record.get(..equals).unwrap_or_default(), record.get(equals + 1..).unwrap_or_default());
        match key {
            b"path" => extended.path = Some(value.to_vec()),
            b"linkpath" => extended.link = Some(value.to_vec()),
            b"size" => extended.size_bytes = Some(digits(value).ok_or_else(odd)?),
            b"uid" => extended.uid = Some(digits(value).ok_or_else(odd)?),
            b"gid" => extended.gid = Some(digits(value).ok_or_else(odd)?),
            b"mtime" => extended.mtime_ns = Some(std::str::from_utf8(value).ok().and_then(nanoseconds).ok_or_else(odd)?),
            _ if key.starts_with(b"GNU.sparse.") => return Err(damaged("a sparse file")),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = String::from_utf8(name.to_vec()).map_err(|_| damaged("the name of an extended attribute is not UTF-8"))?;
                    extended.xattrs.push((name.replace("%3D", "=").replace("%25", "%"), value.to_vec()));
                }
            }
        }
    }
    Ok(extended)
}

fn digits<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
