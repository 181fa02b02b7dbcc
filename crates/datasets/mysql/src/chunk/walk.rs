//! Finds boundaries by walking a key: the first key, after a smallest number of rows, whose hash says that it is a boundary.
//!
//! A row that comes or goes moves the boundaries near it only, and the chunks behind are the same again.

use line::Waiting;
use mysql::{Row, Value};
use plan::{Error, Result};

use super::{Boundary, ChunkKey};
use crate::quote;
use crate::schema::Table;
use crate::session::Session;

/// Of the rows after the smallest number, one in a quarter of that number is a boundary.
const QUARTERS: u64 = 4;

/// Walks the key and gives every boundary.
pub(super) fn walk(
    session: &mut Session,
    schema: &str,
    table: &Table,
    key: &ChunkKey,
    rows_per_chunk: u64,
    mut give: impl FnMut(Boundary) -> Result<()>,
) -> Result<()> {
    let list = key.list();
    let sql = format!("SELECT {list} FROM {} FORCE INDEX ({}) ORDER BY {list}", table.source(schema), quote::name(&key.index));
    let smallest = (rows_per_chunk - rows_per_chunk / QUARTERS).max(1);
    let one_in = u32::try_from(rows_per_chunk / QUARTERS).unwrap_or(u32::MAX).max(1);
    let mut since = 0;
    session.stream("walk a key", &sql, |row, waiting| {
        since += 1;
        // The multiple of the smallest number bounds a chunk even where no hash falls right.
        if since > smallest && (hash(&row).is_multiple_of(one_in) || since > rows_per_chunk * 4) {
            // Workers take chunks when they have time.
            let _pause = waiting.map(Waiting::pause);
            give(literals(key, &row)?)?;
            since = 1;
        }
        Ok(())
    })
}

fn literals(key: &ChunkKey, row: &Row) -> Result<Boundary> {
    let literal = |(index, column): (usize, &super::key::KeyColumn)| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => column.literal(bytes),
        _ => None,
    };
    let literals: Option<Boundary> = key.columns.iter().enumerate().map(literal).collect();
    literals.ok_or_else(|| Error::failed("a key holds a value that cannot be written as a literal"))
}

/// FNV-1a over the key's bytes: part of the format of chunks only in so far as it must not change from day to day.
fn hash(row: &Row) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for index in 0..row.len() {
        if let Some(Value::Bytes(bytes)) = row.as_ref(index) {
            for &byte in bytes.iter().chain(&[0]) {
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
        }
    }
    // The low bits of FNV are weak: fold the high ones in.
    hash ^ (hash >> 15)
}
