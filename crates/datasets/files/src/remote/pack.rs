//! Writes a tar stream for the place's `tar`: POSIX headers with extended records for what a plain header cannot hold (times to the nanosecond,
//! long and odd names, large ids, extended attributes).

use std::io::{self, Write};

use super::unpack::{BLOCK_BYTES, Header};
use crate::times::seconds;

/// Writes the header of an entry. Its content and [`padding`] come next.
pub(crate) fn header(to: &mut impl Write, header: &Header) -> io::Result<()> {
    let mut records = Vec::new();
    record(&mut records, b"path", &header.path);
    if !header.link.is_empty() {
        record(&mut records, b"linkpath", &header.link);
    }
    record(&mut records, b"size", header.size_bytes.to_string().as_bytes());
    record(&mut records, b"uid", header.uid.to_string().as_bytes());
    record(&mut records, b"gid", header.gid.to_string().as_bytes());
    record(&mut records, b"mtime", seconds(header.mtime_ns).as_bytes());
    for (name, value) in &header.xattrs {
        let key = format!("SCHILY.xattr.{}", name.replace('%', "%25").replace('=', "%3D"));
        record(&mut records, key.as_bytes(), value);
    }
    to.write_all(&block(b"./PaxHeaders/entry", b'x', 0o600, records.len() as u64))?;
    to.write_all(&records)?;
    padding(to, records.len() as u64)?;
    to.write_all(&block(b"./entry", header.kind, header.mode, header.size_bytes))
}

/// Fills the last block of a content.
pub(crate) fn padding(to: &mut impl Write, size_bytes: u64) -> io::Result<()> {
    let padding = usize::try_from(size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes).unwrap_or(0);
    to.write_all([0; BLOCK_BYTES].get(..padding).unwrap_or_default())
}

/// Ends the archive.
pub(crate) fn end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(&[0; 2 * BLOCK_BYTES])
}

/// A record's length counts its own digits.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// A plain header. Names, ids and times in it are only for a program that does not read the records: they are no secret and need not fit.
fn block(name: &[u8], kind: u8, mode: u32, size_bytes: u64) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(field) = block.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    };
    put(0, name);
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    // A size of more than 8 GiB is in the record only.
    put(124, format!("{:011o}\0", size_bytes.min(0o77_777_777_777)).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let text = format!("{sum:06o}\0 ");
    if let Some(field) = block.get_mut(148..156) {
        field.copy_from_slice(text.as_bytes());
    }
    block
}
