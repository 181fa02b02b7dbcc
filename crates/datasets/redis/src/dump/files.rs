//! The files of a dump: a valid RDB for each logical database, in parts. Holds one part at a time, whatever the size of a value.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use plan::evidence::Evidence;
use plan::ports::Part;
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{all_named, folder, part_path};
use crate::pass::Keeper;
use crate::rdb::crc64::crc64;
use crate::rdb::source::Tap;
use crate::rdb::walk::KeyHead;
use crate::rdb::{Format, OPCODE_EOF, write};
use crate::store::ServerAt;

/// Name of the list of values that are too long for memory.
pub(crate) const BIG_VALUES: &str = "big-values.json";
/// Folder of the function libraries.
pub(crate) const FUNCTIONS: &str = "functions";
/// Values longer than this are in the list.
pub(crate) const BIG_VALUE_BYTES: u64 = 4 << 20;

/// A value that is too long for memory: whoever loads it needs its size before its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Big {
    /// Name of the database.
    pub(crate) database: String,
    /// Position of the key in its file, from 0.
    pub(crate) key: u64,
    /// Raw bytes of the value.
    pub(crate) bytes: u64,
}

/// A database's file.
struct File {
    number: u32,
    name: String,
    folder: String,
}

/// All files. They come in the order of the store's databases, which is that of the paths.
pub(crate) struct Files {
    parts: SyncSender<Part>,
    part_bytes: usize,
    files: Vec<File>,
    /// How many databases each server has, and which server is being read.
    server_sizes: Vec<usize>,
    server: usize,
    /// The first file of the server, and the next file that was not opened.
    first: usize,
    next: usize,
    open: bool,
    format: Option<Format>,
    aux: BTreeMap<String, Vec<u8>>,
    part: Vec<u8>,
    parts_done: u64,
    crc: u64,
    /// Up to here the part is in the checksum.
    summed: usize,
    /// What stands before a value.
    head: Vec<u8>,
    keys: u64,
    big: Vec<Big>,
    counts: BTreeMap<String, u64>,
    pub(crate) functions: Vec<Vec<u8>>,
}

impl Files {
    pub(crate) fn new(parts: SyncSender<Part>, servers: &[ServerAt], part_bytes: usize) -> Self {
        let file = |(position, named): (usize, &crate::store::Named)| File {
            number: named.database,
            name: named.name.clone(),
            folder: folder(position, &named.name),
        };
        Self {
            parts,
            part_bytes,
            files: all_named(servers).enumerate().map(file).collect(),
            server_sizes: servers.iter().map(|server| server.databases.len()).collect(),
            server: 0,
            first: 0,
            next: 0,
            open: false,
            format: None,
            aux: BTreeMap::new(),
            part: Vec::new(),
            parts_done: 0,
            crc: 0,
            summed: 0,
            head: Vec::new(),
            keys: 0,
            big: Vec::new(),
            counts: BTreeMap::new(),
            functions: Vec::new(),
        }
    }

    fn send(&mut self, part: Part) -> Result<()> {
        self.parts.send(part).map_err(|_| Error::interrupted())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.part_bytes - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == self.part_bytes {
                self.send_part()?;
            }
        }
        Ok(())
    }

    fn sum(&mut self) {
        self.crc = crc64(self.crc, self.part.get(self.summed..).unwrap_or_default());
        self.summed = self.part.len();
    }

    fn send_part(&mut self) -> Result<()> {
        self.sum();
        let Some(file) = self.files.get(self.next.saturating_sub(1)) else { return Ok(()) };
        self.parts_done += 1;
        let path = part_path(&file.folder, self.parts_done);
        let bytes = std::mem::replace(&mut self.part, Vec::with_capacity(self.part_bytes));
        self.summed = 0;
        self.send(Part::bytes(path, bytes))
    }

    fn open_file(&mut self) -> Result<()> {
        let format = self.format.ok_or_else(|| Error::failed("no RDB version"))?;
        let Some(number) = self.files.get(self.next).map(|file| file.number) else { return Err(Error::failed("no such file")) };
        self.next += 1;
        (self.open, self.parts_done, self.crc, self.summed, self.keys) = (true, 0, 0, 0, 0);
        let mut head = write::header(format);
        for (name, text) in &self.aux {
            write::aux(&mut head, name.as_bytes(), text);
        }
        write::database(&mut head, number.into());
        self.write(&head)
    }

    fn close_file(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.write(&[OPCODE_EOF])?;
        self.sum();
        if self.format.is_some_and(|format| format.version >= 5) {
            self.write(&self.crc.to_le_bytes())?;
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        if let Some(file) = self.files.get(self.next - 1) {
            self.counts.insert(file.name.clone(), self.parts_done);
        }
        Ok(())
    }

    /// Opens all files before `position` (of all), empty: their databases have no keys.
    fn skip_to(&mut self, position: usize) -> Result<()> {
        self.close_file()?;
        while self.next < position {
            self.open_file()?;
            self.close_file()?;
        }
        Ok(())
    }

    /// What comes after the databases.
    pub(crate) fn finish(mut self, evidence: &mut Evidence) -> Result<()> {
        if self.next != self.files.len() || self.open {
            return Err(Error::failed("not every database was dumped"));
        }
        for (name, parts) in &self.counts {
            evidence.facts.insert(format!("parts.{name}"), parts.to_string());
        }
        for file in &self.files {
            evidence.facts.insert(format!("folder.{}", file.name), file.folder.clone());
        }
        evidence.facts.insert("functions".to_owned(), self.functions.len().to_string());
        if !self.big.is_empty() {
            let json =
                serde_json::to_vec(&self.big).map_err(|error| Error::failed("failed to write the list of big values").because(error))?;
            self.send(Part::bytes(BIG_VALUES, json))?;
            evidence.facts.insert("big-values".to_owned(), self.big.len().to_string());
        }
        for (position, code) in std::mem::take(&mut self.functions).into_iter().enumerate() {
            self.send(Part::bytes(format!("{FUNCTIONS}/{:04}.lua", position + 1), code))?;
        }
        Ok(())
    }
}

impl Tap for Files {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)
    }
}

impl Keeper for Files {
    fn begin(&mut self, format: Format, aux: &BTreeMap<String, Vec<u8>>) -> Result<()> {
        self.format = Some(format);
        let keep = ["redis-ver", "valkey-ver", "redis-bits", "ctime"];
        self.aux = aux.iter().filter(|(name, _)| keep.contains(&name.as_str())).map(|(name, text)| (name.clone(), text.clone())).collect();
        Ok(())
    }

    fn database(&mut self, position: usize) -> Result<()> {
        let position = self.first + position;
        if position < self.next {
            return Err(Error::failed("the server sent its databases out of order"));
        }
        self.skip_to(position)?;
        self.open_file()
    }

    fn sizes(&mut self, keys: u64, expires: u64) -> Result<()> {
        let mut bytes = Vec::new();
        write::sizes(&mut bytes, keys, expires);
        self.write(&bytes)
    }

    fn key(&mut self, head: &KeyHead) -> Result<()> {
        let mut bytes = std::mem::take(&mut self.head);
        bytes.clear();
        write::key_head(&mut bytes, head);
        self.write(&bytes)?;
        self.head = bytes;
        Ok(())
    }

    fn key_end(&mut self, raw_bytes: u64) -> Result<()> {
        if raw_bytes > BIG_VALUE_BYTES
            && let Some(file) = self.files.get(self.next - 1)
        {
            self.big.push(Big { database: file.name.clone(), key: self.keys, bytes: raw_bytes });
        }
        self.keys += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let size = self.server_sizes.get(self.server).copied().unwrap_or(0);
        self.skip_to(self.first + size)?;
        self.server += 1;
        self.first += size;
        Ok(())
    }
}
