//! The table of contents at the beginning of `pg_dump`'s custom format, read and written again while the archive passes.
//!
//! Format: `ReadHead` and `ReadToc` of `pg_backup_archiver.c`, versions 1.14 (PostgreSQL 13 to 15), 1.15 (16) and 1.16 (17, 18). What is not changed goes on byte for byte, and so does an
//! archive of a version that is not known. Memory: one entry at a time, and what comes with it.

pub(crate) mod blocks;

use std::borrow::Cow;

use plan::{Error, Result};

/// One string of an entry may have so many bytes: a function's body has at most 1 GiB, and none that anybody wrote has as much as this.
const TEXT_MAX_BYTES: usize = 64 << 20;
/// One entry: its statements, and those that undo them.
const ENTRY_MAX_BYTES: usize = 3 * TEXT_MAX_BYTES;
/// The versions whose entries are known, as major and minor.
const KNOWN: std::ops::RangeInclusive<(u8, u8)> = (1, 14)..=(1, 16);

/// A string as it stands in the archive, in the encoding of the database; `None` is not the same as an empty one.
pub(crate) type Text = Option<Vec<u8>>;

/// One entry. Fields that nobody looks at are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its number, by which others depend on it.
    pub(crate) id: i64,
    /// Whether data of its own follows in the archive.
    pub(crate) has_data: bool,
    table_oid: Text,
    oid: Text,
    /// Its name: `parents`, `FUNCTION same(integer, integer)`, `DEFAULT PRIVILEGES FOR TABLES`.
    pub(crate) tag: Text,
    /// What it is: `TABLE`, `EXTENSION`, `ACL`.
    pub(crate) kind: Text,
    section: i64,
    /// The statements that make it.
    pub(crate) definition: Text,
    /// The statement that drops it.
    pub(crate) drop: Text,
    /// The statement before its rows: `COPY … FROM stdin`.
    pub(crate) copy: Text,
    /// The schema that it is in.
    pub(crate) namespace: Text,
    /// The tablespace, when it is not the database's own.
    pub(crate) tablespace: Text,
    access_method: Text,
    relation_kind: Option<i64>,
    /// Who owns it: `pg_restore` says `ALTER … OWNER TO` when there is one.
    pub(crate) owner: Text,
    with_oids: Text,
    /// Numbers of the entries that it needs, in decimal.
    pub(crate) dependencies: Vec<Vec<u8>>,
    position: Vec<u8>,
}

impl Entry {
    /// A field as text; `None` when it is absent or not UTF-8 (the database has another encoding).
    pub(crate) fn text(field: &Text) -> Option<&str> {
        field.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// What it is.
    pub(crate) fn kind(&self) -> &str {
        Self::text(&self.kind).unwrap_or_default()
    }

    /// Its name, for people and for comparison.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.tag.as_deref().unwrap_or_default())
    }

    /// Its statements; empty when there are none or they are not UTF-8.
    pub(crate) fn statements(&self) -> &str {
        Self::text(&self.definition).unwrap_or_default()
    }

    /// Numbers of the entries that it needs.
    pub(crate) fn needs(&self) -> impl Iterator<Item = i64> + '_ {
        self.dependencies.iter().filter_map(|text| std::str::from_utf8(text).ok()?.parse().ok())
    }

    /// Makes `pg_restore` pass over it: an entry without statements and data is not restored (`_tocEntryRequired`).
    pub(crate) fn leave_out(&mut self) {
        self.definition = Some(Vec::new());
        self.has_data = false;
    }
}

/// Where in the archive the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    /// So many entries are left.
    Entries(u64),
    /// Everything else goes on as it is.
    Data,
}

/// Sizes of numbers, and what the version has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    integer_bytes: usize,
    offset_bytes: usize,
    has_relation_kind: bool,
}

/// Reads the table of contents of an archive that comes in pieces of any size.
pub(crate) struct Contents {
    at: At,
    layout: Layout,
    /// What came and is not read yet.
    waiting: Vec<u8>,
    is_known: bool,
    /// Of what went on last: so many bytes at its end are data.
    data_bytes: usize,
}

impl Contents {
    /// Before the first byte.
    pub(crate) const fn new() -> Self {
        let layout = Layout { integer_bytes: 4, offset_bytes: 8, has_relation_kind: false };
        Self { at: At::Head, layout, waiting: Vec::new(), is_known: true, data_bytes: 0 }
    }

    /// Whether the archive's version is one whose entries can be read.
    pub(crate) const fn is_known(&self) -> bool {
        self.is_known
    }

    /// Sizes of the archive's numbers.
    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    /// How many bytes at the end of what went on last are data, and no entries.
    pub(crate) const fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    /// Whether all entries came.
    pub(crate) fn is_read(&self) -> bool {
        self.at == At::Data
    }

    /// Takes the next piece, shows each entry that is whole, and gives what goes on.
    ///
    /// # Errors
    /// When this is no archive, or its table of contents is damaged.
    pub(crate) fn pass<'a>(&mut self, piece: &'a [u8], mut each: impl FnMut(&mut Entry) -> Result<()>) -> Result<Cow<'a, [u8]>> {
        if self.at == At::Data {
            return Ok(Cow::Borrowed(piece));
        }
        self.waiting.extend_from_slice(piece);
        let (mut out, mut read) = (Vec::with_capacity(self.waiting.len()), 0);
        loop {
            let mut cursor = Cursor { bytes: self.waiting.get(read..).unwrap_or_default(), at: 0, layout: self.layout };
            let step = match self.at {
                At::Head => head(&mut cursor).map(|head| {
                    (self.layout, self.is_known) = (head.layout, head.is_known);
                    self.at = if head.is_known { At::Entries(head.entries) } else { At::Data };
                    None
                }),
                At::Entries(0) | At::Data => {
                    self.at = At::Data;
                    self.data_bytes = cursor.bytes.len();
                    out.extend_from_slice(cursor.bytes);
                    self.waiting = Vec::new();
                    return Ok(Cow::Owned(out));
                }
                At::Entries(left) => entry(&mut cursor).map(|entry| {
                    self.at = At::Entries(left - 1);
                    Some(entry)
                }),
            };
            let (whole, length) = (cursor.bytes, cursor.at);
            match step {
                Ok(None) => out.extend_from_slice(whole.get(..length).unwrap_or_default()),
                Ok(Some(mut entry)) => {
                    let before = entry.clone();
                    each(&mut entry)?;
                    if entry == before {
                        out.extend_from_slice(whole.get(..length).unwrap_or_default())
                    } else {
                        write(&mut out, self.layout, &entry)
                    }
                }
                Err(Stop::More) if whole.len() <= ENTRY_MAX_BYTES => {
                    self.waiting.drain(..read);
                    return Ok(Cow::Owned(out));
                }
                Err(stop) => {
                    let what = if let Stop::Damaged(what) = stop { what } else { "an entry is longer than any that there is" };
                    return Err(
                        Error::failed(format!("the archive of pg_dump is damaged: {what}")).hint("Run check, and restore another set.")
                    );
                }
            }
            read += length;
        }
    }
}

/// Why a piece of the table of contents cannot be read.
enum Stop {
    /// It has not come yet.
    More,
    Damaged(&'static str),
}

/// A place in bytes that may not be all there yet.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    layout: Layout,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.checked_add(length).ok_or(Stop::Damaged("a length is out of range"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// A sign and a number of `integer_bytes`, the lowest byte first.
    fn integer(&mut self) -> Result<i64, Stop> {
        let is_negative = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Stop::Damaged("a number has no sign")),
        };
        let bytes = self.take(self.layout.integer_bytes)?;
        let number = bytes.iter().rev().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
        Ok(if is_negative { number.wrapping_neg() } else { number })
    }

    fn text(&mut self) -> Result<Text, Stop> {
        match usize::try_from(self.integer()?) {
            Err(_) => Ok(None),
            Ok(length) if length > TEXT_MAX_BYTES => Err(Stop::Damaged("a text is longer than any that there is")),
            Ok(length) => Ok(Some(self.take(length)?.to_vec())),
        }
    }
}

struct Head {
    layout: Layout,
    entries: u64,
    is_known: bool,
}

fn head(cursor: &mut Cursor<'_>) -> Result<Head, Stop> {
    if cursor.take(5)? != b"PGDMP" {
        return Err(Stop::Damaged("it does not begin as one"));
    }
    let version = (cursor.byte()?, cursor.byte()?);
    cursor.byte()?;
    let (integer_bytes, offset_bytes, format) = (cursor.byte()?, cursor.byte()?, cursor.byte()?);
    let layout = Layout { integer_bytes: integer_bytes.into(), offset_bytes: offset_bytes.into(), has_relation_kind: version >= (1, 16) };
    if !KNOWN.contains(&version) {
        return Ok(Head { layout, entries: 0, is_known: false });
    }
    if format != 1 || !matches!(integer_bytes, 4 | 8) || !matches!(offset_bytes, 4 | 8) {
        return Err(Stop::Damaged("its head is not that of the custom format"));
    }
    cursor.layout = layout;
    // The compression, the seven numbers of a date, and three texts.
    if version >= (1, 15) {
        cursor.byte()?;
    } else {
        cursor.integer()?;
    }
    for _ in 0..7 {
        cursor.integer()?;
    }
    for _ in 0..3 {
        cursor.text()?;
    }
    let entries = u64::try_from(cursor.integer()?).map_err(|_| Stop::Damaged("its number of entries is negative"))?;
    Ok(Head { layout, entries, is_known: true })
}

fn entry(cursor: &mut Cursor<'_>) -> Result<Entry, Stop> {
    let (id, has_data) = (cursor.integer()?, cursor.integer()? != 0);
    let (table_oid, oid) = (cursor.text()?, cursor.text()?);
    let (tag, kind, section) = (cursor.text()?, cursor.text()?, cursor.integer()?);
    let (definition, drop, copy) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let (namespace, tablespace, access_method) = (cursor.text()?, cursor.text()?, cursor.text()?);
    let relation_kind = if cursor.layout.has_relation_kind { Some(cursor.integer()?) } else { None };
    let (owner, with_oids) = (cursor.text()?, cursor.text()?);
    let mut dependencies = Vec::new();
    while let Some(dependency) = cursor.text()? {
        dependencies.push(dependency);
    }
    let position = cursor.take(1 + cursor.layout.offset_bytes)?.to_vec();
    Ok(Entry {
        id,
        has_data,
        table_oid,
        oid,
        tag,
        kind,
        section,
        definition,
        drop,
        copy,
        namespace,
        tablespace,
        access_method,
        relation_kind,
        owner,
        with_oids,
        dependencies,
        position,
    })
}

fn write(out: &mut Vec<u8>, layout: Layout, entry: &Entry) {
    write_integer(out, layout, entry.id);
    write_integer(out, layout, entry.has_data.into());
    [&entry.table_oid, &entry.oid, &entry.tag, &entry.kind].into_iter().for_each(|text| write_text(out, layout, text));
    write_integer(out, layout, entry.section);
    let texts = [&entry.definition, &entry.drop, &entry.copy, &entry.namespace, &entry.tablespace, &entry.access_method];
    texts.into_iter().for_each(|text| write_text(out, layout, text));
    entry.relation_kind.iter().for_each(|kind| write_integer(out, layout, *kind));
    write_text(out, layout, &entry.owner);
    write_text(out, layout, &entry.with_oids);
    for dependency in &entry.dependencies {
        write_integer(out, layout, i64::try_from(dependency.len()).unwrap_or(i64::MAX));
        out.extend_from_slice(dependency);
    }
    write_text(out, layout, &None);
    out.extend_from_slice(&entry.position);
}

fn write_integer(out: &mut Vec<u8>, layout: Layout, number: i64) {
    out.push(number.is_negative().into());
    out.extend_from_slice(number.unsigned_abs().to_le_bytes().get(..layout.integer_bytes).unwrap_or_default());
}

fn write_text(out: &mut Vec<u8>, layout: Layout, text: &Text) {
    match text {
        None => write_integer(out, layout, -1),
        Some(bytes) => {
            write_integer(out, layout, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
