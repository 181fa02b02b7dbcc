//! Pieces of an RDB file as bytes: header, auxiliary fields, database, key heads. Values are never made here, they pass as they are.

use super::walk::KeyHead;
use super::*;

/// `REDIS0010`, `VALKEY080`.
pub(crate) fn header(format: Format) -> Vec<u8> {
    match format.dialect {
        Dialect::Redis => format!("REDIS{:04}", format.version).into_bytes(),
        Dialect::Valkey => format!("VALKEY{:03}", format.version).into_bytes(),
    }
}

/// A length.
pub(crate) fn length(into: &mut Vec<u8>, length: u64) {
    match (u8::try_from(length), u16::try_from(length), u32::try_from(length)) {
        (Ok(short), ..) if short < 64 => into.push(short),
        (_, Ok(medium), _) if medium < 1 << 14 => into.extend_from_slice(&(medium | 0x4000).to_be_bytes()),
        (.., Ok(long)) => {
            into.push(0x80);
            into.extend_from_slice(&long.to_be_bytes());
        }
        _ => {
            into.push(0x81);
            into.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// A string, as it is.
pub(crate) fn string(into: &mut Vec<u8>, bytes: &[u8]) {
    length(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// An auxiliary field.
pub(crate) fn aux(into: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    into.push(OPCODE_AUX);
    string(into, name);
    string(into, value);
}

/// Selects a logical database.
pub(crate) fn database(into: &mut Vec<u8>, number: u64) {
    into.push(OPCODE_SELECTDB);
    length(into, number);
}

/// The hint of a database's sizes.
pub(crate) fn sizes(into: &mut Vec<u8>, keys: u64, expires: u64) {
    into.push(OPCODE_RESIZEDB);
    length(into, keys);
    length(into, expires);
}

/// All that stands before a value.
pub(crate) fn key_head(into: &mut Vec<u8>, head: &KeyHead) {
    if let Some(expires_ms) = head.expires_ms {
        into.push(OPCODE_EXPIRETIME_MS);
        into.extend_from_slice(&expires_ms.to_le_bytes());
    }
    if let Some(idle_s) = head.idle_s {
        into.push(OPCODE_IDLE);
        length(into, idle_s);
    }
    if let Some(frequency) = head.frequency {
        into.extend_from_slice(&[OPCODE_FREQ, frequency]);
    }
    into.push(head.kind);
    string(into, &head.key);
}
