//! What the planner, the workers and whoever pulls the parts say to each other.

use crossbeam_channel::{Receiver, Sender};
use plan::Error;

use crate::chunk::Chunk;
use crate::chunk::read::Counted;

/// What a worker sends of a chunk.
pub(super) enum Piece {
    Part {
        bytes: Vec<u8>,
        rows: u64,
    },
    Done(Counted),
    /// What the server counts in the whole table.
    Rows(u64),
    Failed(Error),
}

/// What the planner sends, in the order in which parts leave.
pub(super) enum Order {
    Chunk {
        table: usize,
        pieces: Receiver<Piece>,
    },
    /// After the chunks of a table: the server's own count of it.
    Count {
        table: usize,
        pieces: Receiver<Piece>,
    },
    End,
    Failed(Error),
}

/// What the planner gives to the workers.
pub(super) struct Job {
    pub(super) table: usize,
    /// The chunk to read; absent for the count.
    pub(super) chunk: Option<Chunk>,
    pub(super) pieces: Sender<Piece>,
}
