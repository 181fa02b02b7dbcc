//! Reads a chunk as lines; counts and digests every row as it passes.

use line::Waiting;
use plan::Result;
use plan::evidence::Tally;

use super::Chunk;
use crate::row;
use crate::schema::Table;
use crate::session::Session;

/// A part ends with the row that brings it here; only a single larger row makes a larger part.
const PART_BYTES: usize = (8 << 20) - (64 << 10);

/// What a worker counted in a chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) tally: Tally,
    pub(crate) longest_row_bytes: usize,
}

/// The statement that reads a chunk. In the order of the key, so that equal data gives equal parts.
fn statement(schema: &str, table: &Table, chunk: &Chunk) -> String {
    let from = table.source(schema);
    let list = table.select_list();
    let condition = chunk.condition.as_ref().map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    match super::order(table) {
        Some((index, order)) => format!("SELECT {list} FROM {from} FORCE INDEX ({index}){condition} ORDER BY {order}"),
        None => format!("SELECT {list} FROM {from}{condition}"),
    }
}

/// What the server itself counts, in the transaction of the session.
pub(crate) fn count(session: &mut Session, schema: &str, table: &Table) -> Result<u64> {
    let counted = session.rows("count the rows", &format!("SELECT COUNT(*) FROM {}", table.source(schema)))?;
    Ok(counted.first().map_or(0, |record| record.number(0)))
}

/// Reads a chunk and gives its parts to a proof, which keeps the tally only.
pub(crate) fn tally(
    session: &mut Session,
    schema: &str,
    table: &Table,
    chunk: &Chunk,
    give: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<Tally> {
    let mut give = give;
    read(session, schema, table, chunk, |part, rows| give(&part, rows))
        .map(|counted| counted.tally)
        .map_err(|error| error.during(format!("failed to read table {:?}", table.name)))
}

/// Reads a chunk; gives full parts as soon as they are full.
pub(crate) fn read(
    session: &mut Session,
    schema: &str,
    table: &Table,
    chunk: &Chunk,
    mut give: impl FnMut(Vec<u8>, u64) -> Result<()>,
) -> Result<Counted> {
    let mut counted = Counted::default();
    let (mut part, mut rows) = (Vec::new(), 0);
    session.stream("read rows", &statement(schema, table, chunk), |row, waiting| {
        let start = part.len();
        let row_bytes = row::write(&mut part, &row)?;
        let line = part.get(start..).unwrap_or_default();
        counted.tally.add(line);
        counted.longest_row_bytes = counted.longest_row_bytes.max(row_bytes);
        rows += 1;
        if part.len() < PART_BYTES {
            return Ok(());
        }
        // The repository takes the time that it takes; a full part leaves with its own size, and the next begins with room for as much.
        let _pause = waiting.map(Waiting::pause);
        give(std::mem::replace(&mut part, Vec::with_capacity(PART_BYTES + (64 << 10))), std::mem::take(&mut rows))
    })?;
    if !part.is_empty() {
        give(part, rows)?;
    }
    Ok(counted)
}
