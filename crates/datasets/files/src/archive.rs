//! Writes an archive that every `tar` reads (POSIX headers with extended records), entry by entry.

use std::io::{Result, Write};

use crate::remote::{Header, end as end_of, header, padding};

/// Begins a file, which only its owner may read. Its content, of exactly this size, and [`fill`] come next. `mtime_ns`: since the epoch.
///
/// # Errors
/// When it cannot be written.
pub fn begin(to: &mut impl Write, path: &[u8], size_bytes: u64, mtime_ns: i128) -> Result<()> {
    let (kind, mode, path) = (b'0', 0o600, path.to_vec());
    header(to, &Header { path, kind, mode, uid: 0, gid: 0, mtime_ns, size_bytes, link: Vec::new(), xattrs: Vec::new() })
}

/// After the content of a file.
///
/// # Errors
/// When it cannot be written.
pub fn fill(to: &mut impl Write, size_bytes: u64) -> Result<()> {
    padding(to, size_bytes)
}

/// After the last file.
///
/// # Errors
/// When it cannot be written.
pub fn end(to: &mut impl Write) -> Result<()> {
    end_of(to)
}
