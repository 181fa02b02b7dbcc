//! A worker of a dump: reads chunks, and gives their parts to whoever pulls them.

use crossbeam_channel::{Receiver, Sender};
use plan::{Error, Result};

use super::pieces::{Job, Piece};
use crate::chunk::read;
use crate::schema::Schema;
use crate::session::Session;

/// Works until there are no more jobs.
pub(super) fn work(session: &mut Session, schema: &Schema, jobs: &Receiver<Job>) {
    for job in jobs {
        let Some(table) = schema.tables.get(job.table) else { return };
        let schema = &schema.objects.database;
        let last = match &job.chunk {
            Some(chunk) => {
                read::read(session, schema, table, chunk, |bytes, rows| give(&job.pieces, Piece::Part { bytes, rows })).map(Piece::Done)
            }
            None => read::count(session, schema, table).map(Piece::Rows),
        };
        let last = last.unwrap_or_else(|error| Piece::Failed(error.during(format!("failed to read table {:?}", table.name))));
        let failed = matches!(last, Piece::Failed(_));
        if give(&job.pieces, last).is_err() || failed {
            return;
        }
    }
}

fn give(to: &Sender<Piece>, piece: Piece) -> Result<()> {
    to.send(piece).map_err(|_| Error::interrupted())
}
