//! A worker of a dump: reads chunks as lines, counts and digests every row as it passes.

use crossbeam_channel::{Receiver, Sender};
use line::Waiting;
use plan::evidence::Tally;
use plan::{Error, Result};

use super::{Counted, Job, PART_BYTES, Piece};
use crate::chunk::{self, Chunk};
use crate::quote;
use crate::row;
use crate::schema::{Schema, Table};
use crate::session::Session;

/// Works until there are no more jobs.
pub(super) fn work(session: &mut Session, schema: &Schema, jobs: &Receiver<Job>) {
    for job in jobs {
        let Some(table) = schema.tables.get(job.table) else { return };
        let sent = read(session, &schema.objects.database, table, &job.chunk, |bytes, rows| give(&job.pieces, Piece::Part { bytes, rows }));
        let last = match sent {
            Ok(counted) => Piece::Done(counted),
            Err(error) => Piece::Failed(error.during(format!("read table {:?}", table.name))),
        };
        let failed = matches!(last, Piece::Failed(_));
        if give(&job.pieces, last).is_err() || failed {
            return;
        }
    }
}

fn give(to: &Sender<Piece>, piece: Piece) -> Result<()> {
    to.send(piece).map_err(|_| Error::interrupted())
}

/// The statement that reads a chunk. In the order of the key, so that equal data gives equal parts.
fn statement(schema: &str, table: &Table, chunk: &Chunk) -> String {
    let from = quote::qualified(schema, &table.name);
    let list = table.select_list();
    let condition = chunk.condition.as_ref().map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    match chunk::order(table) {
        Some((index, order)) => format!("SELECT {list} FROM {from} FORCE INDEX ({index}){condition} ORDER BY {order}"),
        None => format!("SELECT {list} FROM {from}{condition}"),
    }
}

/// Reads a chunk and gives its parts to a proof, which keeps the tally only.
pub(crate) fn read_chunk(
    session: &mut Session,
    schema: &str,
    table: &Table,
    chunk: &Chunk,
    give: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<Tally> {
    let mut give = give;
    read(session, schema, table, chunk, |part, rows| give(&part, rows))
        .map(|counted| counted.tally)
        .map_err(|error| error.during(format!("read table {:?}", table.name)))
}

/// Reads a chunk; gives full parts as soon as they are full.
fn read(
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
