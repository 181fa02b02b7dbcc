//! The archive of an extract: a tar of readable lines and of files. It gets its name when it is whole, and takes nobody else's.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use files_data_set::archive::{begin, end, fill};
use plan::error::During;
use plan::ports::{Entry, Snapshot};
use plan::{Error, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::output::file::folder_of;

/// Lines are kept in files of about this size: no more is held.
const PART_BYTES: usize = 8 << 20;
const PIECE_BYTES: usize = 256 << 10;
/// Digests of all entries before it, as `sha256sum -c` reads them.
const SUMS: &str = "SHA256SUMS";
/// The folder of what the server's own client loads.
const LOAD: &str = "load";
const MANIFEST: &str = "manifest.json";

/// See the module.
pub(super) struct Archive {
    to: BufWriter<NamedTempFile>,
    path: PathBuf,
    sums: Vec<u8>,
    /// How many files of lines a folder has.
    parts: BTreeMap<String, u32>,
    folder: String,
    lines: Vec<u8>,
    statements: Vec<u8>,
    written: u64,
}

impl Archive {
    /// Begins one, which only its owner may read.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let folder = folder_of(path);
        if path.file_name().is_none() || std::fs::symlink_metadata(path).is_ok() {
            return Err(is_there(path));
        }
        let file = tempfile::Builder::new().prefix(".extract-is-not-complete-").tempfile_in(folder);
        let to = BufWriter::new(file.during(|| format!("make a file in {}", folder.display()))?);
        let (parts, folder) = (BTreeMap::new(), String::new());
        Ok(Self { to, path: path.to_owned(), sums: Vec::new(), parts, folder, lines: Vec::new(), statements: Vec::new(), written: 0 })
    }

    /// A line, with its line feed, of a folder.
    pub(super) fn line(&mut self, folder: &str, line: &[u8]) -> Result<()> {
        if folder != self.folder || self.lines.len() + line.len() > PART_BYTES {
            self.end_of_lines()?;
            folder.clone_into(&mut self.folder);
        }
        self.lines.extend_from_slice(line);
        Ok(())
    }

    /// Writes the lines that are held.
    pub(super) fn end_of_lines(&mut self) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let (folder, lines) = (std::mem::take(&mut self.folder), std::mem::take(&mut self.lines));
        self.part(&folder, "jsonl", &lines)
    }

    /// A statement that loads something, in the order in which they are loaded.
    pub(super) fn statement(&mut self, statement: &[u8]) -> Result<()> {
        if self.statements.len() + statement.len() > PART_BYTES {
            self.end_of_statements()?;
        }
        self.statements.extend_from_slice(statement);
        Ok(())
    }

    /// Writes the statements that are held.
    pub(super) fn end_of_statements(&mut self) -> Result<()> {
        let statements = std::mem::take(&mut self.statements);
        if statements.is_empty() { Ok(()) } else { self.part(LOAD, "sql", &statements) }
    }

    fn part(&mut self, folder: &str, extension: &str, content: &[u8]) -> Result<()> {
        let number = self.parts.entry(folder.to_owned()).or_default();
        *number += 1;
        let path = format!("{folder}/{number:08}.{extension}");
        self.bytes(&path, content)
    }

    /// A file of the set, below `files/`.
    pub(super) fn file(&mut self, snapshot: &dyn Snapshot, entry: &Entry, meter: impl Fn(u64) -> Result<()>) -> Result<()> {
        let path = [b"files/", entry.path.as_os_str().as_bytes()].concat();
        let mtime_ns = entry.meta.mtime_ns.unwrap_or_default();
        begin(&mut self.to, &path, entry.size_bytes, mtime_ns).map_err(|error| self.failed(error))?;
        let (mut content, mut sum, mut piece) = (snapshot.read(entry)?, Sha256::new(), vec![0; PIECE_BYTES]);
        loop {
            let read = content.read(&mut piece).during(|| format!("read {} from the repository", entry.path.display()))?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            sum.update(piece);
            self.to.write_all(piece).map_err(|error| self.failed(error))?;
            meter(piece.len() as u64)?;
        }
        fill(&mut self.to, entry.size_bytes).map_err(|error| self.failed(error))?;
        self.written += entry.size_bytes;
        self.note(&path, &sum.finalize());
        Ok(())
    }

    /// The manifest comes last: an archive is whole when it is in it. Gives the bytes of all that is in it.
    pub(super) fn complete<T: Serialize>(mut self, manifest: &T) -> Result<u64> {
        let sums = std::mem::take(&mut self.sums);
        self.bytes(SUMS, &sums)?;
        let mut text = serde_json::to_vec_pretty(manifest).map_err(|error| Error::failed("failed to write the manifest").because(error))?;
        text.push(b'\n');
        self.bytes(MANIFEST, &text)?;
        let (path, written) = (self.path.clone(), self.written);
        let failed = |error| Error::failed(format!("failed to write {}", path.display())).because(error);
        end(&mut self.to).map_err(failed)?;
        let file = self.to.into_inner().map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&path),
            _ => failed(error.error),
        })?;
        Ok(written)
    }

    fn bytes(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let size_bytes = content.len() as u64;
        let written = begin(&mut self.to, path.as_bytes(), size_bytes, 0).and_then(|()| self.to.write_all(content));
        written.and_then(|()| fill(&mut self.to, size_bytes)).map_err(|error| self.failed(error))?;
        self.written += size_bytes;
        self.note(path.as_bytes(), &Sha256::digest(content));
        Ok(())
    }

    /// A line of `SHA256SUMS`; names with odd characters as coreutils write them.
    fn note(&mut self, path: &[u8], sum: &[u8]) {
        let is_odd = path.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
        self.sums.extend_from_slice(if is_odd { b"\\" } else { b"" });
        self.sums.extend_from_slice(format!("{}  ", hex::encode(sum)).as_bytes());
        for byte in path {
            match byte {
                b'\\' => self.sums.extend_from_slice(b"\\\\"),
                b'\n' => self.sums.extend_from_slice(b"\\n"),
                b'\r' => self.sums.extend_from_slice(b"\\r"),
                _ => self.sums.push(*byte),
            }
        }
        self.sums.push(b'\n');
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::failed(format!("failed to write {}", self.path.display())).because(error)
    }
}

fn is_there(path: &Path) -> Error {
    Error::refused(format!("{} is there, or is no name for a file", path.display()))
        .hint("Nothing is overwritten: name another file with --to.")
}
