//! An RDB from its header to its checksum: what comes, one item after the other.

use std::io::Read;

use plan::{Error, Result};

use super::source::{Source, Tap};
use super::value::{Shape, unknown};
use super::*;

/// The longest key, auxiliary field or function library: what a server takes at once (`proto-max-bulk-len`), unless that was raised.
const TEXT_MAX_BYTES: u64 = 512 << 20;

/// What comes before a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyHead {
    pub(crate) key: Vec<u8>,
    /// RDB type.
    pub(crate) kind: u8,
    /// Absolute, milliseconds since the epoch.
    pub(crate) expires_ms: Option<u64>,
    /// Seconds since the last access.
    pub(crate) idle_s: Option<u64>,
    /// Logarithmic access counter.
    pub(crate) frequency: Option<u8>,
}

/// An item of an RDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// An auxiliary field.
    Aux(Vec<u8>, Vec<u8>),
    /// The code of a function library.
    Function(Vec<u8>),
    /// Data of a module that belongs to no key; it was skipped.
    ModuleAux,
    /// The keys of this logical database follow.
    Database(u64),
    /// A hint: keys, and keys that expire, of the database.
    Sizes(u64, u64),
    /// A key; its value follows and must be read by [`super::value::value`].
    Key(KeyHead),
    /// The end; whether there was a checksum (it fits).
    End { checked: bool },
}

/// Walks.
pub(crate) struct Walk<R, T> {
    pub(crate) source: Source<R, T>,
    pub(crate) format: Format,
    /// For the next key, without a call of the allocator.
    spare: Vec<u8>,
}

impl<R: Read, T: Tap> Walk<R, T> {
    /// Reads the header.
    pub(crate) fn begin(mut source: Source<R, T>) -> Result<Self> {
        let header: [u8; 9] = source.exact()?;
        let digits = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u16>().ok());
        let format = match header.split_at(5) {
            (b"REDIS", version) => digits(version).map(|version| Format { dialect: Dialect::Redis, version }),
            (b"VALKE", version) => version.strip_prefix(b"Y").and_then(digits).map(|version| Format { dialect: Dialect::Valkey, version }),
            _ => None,
        };
        let format = format.ok_or_else(|| source.damaged("no header of an RDB"))?;
        if !format.is_known() {
            return Err(Error::refused(format!("RDB version {} is newer than this program", format.version))
                .hint("Use a newer version of threescale-backup."));
        }
        Ok(Self::at(source, format))
    }

    /// Goes on where an item begins, in an RDB whose header was read before.
    pub(crate) const fn at(source: Source<R, T>, format: Format) -> Self {
        Self { source, format, spare: Vec::new() }
    }

    /// Takes a key back that is not needed any more.
    pub(crate) fn reuse(&mut self, key: Vec<u8>) {
        self.spare = key;
    }

    /// The next item.
    pub(crate) fn next(&mut self) -> Result<Item> {
        let mut head = KeyHead::default();
        let source = &mut self.source;
        loop {
            match source.byte()? {
                OPCODE_AUX => return Ok(Item::Aux(text(source)?, text(source)?)),
                OPCODE_FUNCTION2 => return text(source).map(Item::Function),
                OPCODE_MODULE_AUX => {
                    source.length()?;
                    source.length()?;
                    source.length()?;
                    module::data(source, &mut ())?;
                    return Ok(Item::ModuleAux);
                }
                OPCODE_SELECTDB => return source.length().map(Item::Database),
                OPCODE_RESIZEDB => return Ok(Item::Sizes(source.length()?, source.length()?)),
                OPCODE_SLOT_INFO => {
                    for _ in 0..3 {
                        source.length()?;
                    }
                }
                OPCODE_EXPIRETIME => head.expires_ms = Some(u64::from(u32::from_le_bytes(source.exact()?)) * 1000),
                OPCODE_EXPIRETIME_MS => head.expires_ms = Some(u64::from_le_bytes(source.exact()?)),
                OPCODE_IDLE => head.idle_s = Some(source.length()?),
                OPCODE_FREQ => head.frequency = Some(source.byte()?),
                OPCODE_EOF => return self.end(),
                kind => {
                    if Shape::of(kind, self.format).is_none() {
                        return Err(unknown(kind, self.format));
                    }
                    head.kind = kind;
                    head.key = std::mem::take(&mut self.spare);
                    source.bytes(TEXT_MAX_BYTES, &mut head.key)?;
                    return Ok(Item::Key(head));
                }
            }
        }
    }

    /// The checksum, from version 5 on; zero when the server does not compute it.
    fn end(&mut self) -> Result<Item> {
        if self.format.version < 5 {
            return Ok(Item::End { checked: false });
        }
        let computed = self.source.crc()?;
        let stored = u64::from_le_bytes(self.source.exact()?);
        if stored != 0 && stored != computed {
            return Err(Error::failed(format!("the checksum of the RDB is {stored:016x}, its content gives {computed:016x}")).hint(
                "The bytes were damaged on the way or in the server's memory: try again, and look at the machine when it happens again.",
            ));
        }
        Ok(Item::End { checked: stored != 0 })
    }
}

fn text<R: Read, T: Tap>(source: &mut Source<R, T>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.bytes(TEXT_MAX_BYTES, &mut bytes)?;
    Ok(bytes)
}
