//! The RDB format (`src/rdb.h`, `src/rdb.c` of Redis 2.6 to 8.8 and of Valkey): read as a stream, written per logical database.
//!
//! Nothing here talks to a server. Nothing holds a value: its bytes pass through a [`source::Tap`], and what they mean is told to a
//! [`absorb::Absorb`]; only packed nodes (ziplists, listpacks; kilobytes by nature) are held one at a time.

pub(crate) mod absorb;
pub(crate) mod crc64;
pub(crate) mod decimal;
pub(crate) mod elements;
pub(crate) mod module;
pub(crate) mod packed;
pub(crate) mod source;
pub(crate) mod value;
pub(crate) mod walk;
pub(crate) mod write;

/// Who made the format: the same type number may mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Redis,
    Valkey,
}

/// Format of a file: dialect and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) dialect: Dialect,
    pub(crate) version: u16,
}

impl Format {
    /// The format of a version number as it stands in `DUMP` payloads: numbers above 79 are Valkey's (`src/rdb.h` of Valkey 9).
    pub(crate) const fn of_version(version: u16) -> Self {
        let dialect = if version > 79 { Dialect::Valkey } else { Dialect::Redis };
        Self { dialect, version }
    }

    /// The newest format that this program reads: 14 of Redis (8.8), 80 of Valkey (9.0).
    pub(crate) const fn is_known(self) -> bool {
        match self.dialect {
            Dialect::Redis => self.version <= 14,
            Dialect::Valkey => self.version <= 81,
        }
    }
}

pub(crate) const OPCODE_SLOT_INFO: u8 = 244;
pub(crate) const OPCODE_FUNCTION2: u8 = 245;
pub(crate) const OPCODE_MODULE_AUX: u8 = 247;
pub(crate) const OPCODE_IDLE: u8 = 248;
pub(crate) const OPCODE_FREQ: u8 = 249;
pub(crate) const OPCODE_AUX: u8 = 250;
pub(crate) const OPCODE_RESIZEDB: u8 = 251;
pub(crate) const OPCODE_EXPIRETIME_MS: u8 = 252;
pub(crate) const OPCODE_EXPIRETIME: u8 = 253;
pub(crate) const OPCODE_SELECTDB: u8 = 254;
pub(crate) const OPCODE_EOF: u8 = 255;
