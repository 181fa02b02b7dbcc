//! The jobs of one queue, one at a time: those that go back are sent, all are counted. Holds one job, however long the queue is.

use plan::{Error, Result};
use threescale::jobs;
use threescale::queues::Selection;

use super::loader::Loader;
use crate::rdb::absorb::Absorb;
use crate::rdb::value::Shape;
use crate::tally::DatabaseTally;

/// What is longer than this is no job.
const JOB_MAX_BYTES: usize = 4 << 20;

/// See the module.
pub(crate) struct Sieve<'a> {
    selection: &'a Selection,
    /// Counts the queue as it is in the set.
    whole: &'a mut DatabaseTally,
    /// Counts the queue as it is in the copy.
    kept: &'a mut DatabaseTally,
    loader: &'a mut Loader,
    key: &'a [u8],
    shape: Shape,
    job: Vec<u8>,
    /// Bytes of the job, and how many of them are still to come.
    length: u64,
    to_come: u64,
    /// Bits of the score.
    score: u64,
    jobs: (u64, u64),
    failed: Option<Error>,
}

impl<'a> Sieve<'a> {
    pub(crate) fn begin(
        selection: &'a Selection,
        whole: &'a mut DatabaseTally,
        kept: &'a mut DatabaseTally,
        loader: &'a mut Loader,
        key: &'a [u8],
        shape: Shape,
    ) -> Self {
        whole.begin_key(key, shape, None);
        Self { selection, whole, kept, loader, key, shape, job: Vec::new(), length: 0, to_come: 0, score: 0, jobs: (0, 0), failed: None }
    }

    /// How many jobs were left out, and how many go back.
    pub(crate) fn end(self) -> Result<(u64, u64)> {
        self.whole.end_key();
        if self.jobs.1 > 0 {
            self.kept.end_key();
        }
        self.failed.map_or(Ok(self.jobs), Err)
    }

    fn job_ends(&mut self) {
        let is_whole = self.job.len() as u64 == self.length;
        if self.failed.is_some() || !is_whole || !self.selection.keeps(&jobs::class_of(&self.job)) {
            self.jobs.0 += 1;
            return;
        }
        if let Err(error) = self.keep() {
            self.failed = Some(error);
        }
    }

    fn keep(&mut self) -> Result<()> {
        if self.jobs.1 == 0 {
            self.kept.begin_key(self.key, self.shape, None);
        }
        self.jobs.1 += 1;
        self.kept.piece(&self.job)?;
        match (self.shape, self.jobs.1) {
            (Shape::List, 1) => return self.loader.list_of_one(self.key, &self.job),
            (Shape::List, _) => return self.loader.command(&[b"RPUSHX", self.key, &self.job], self.key),
            _ => {}
        }
        self.kept.number(self.score);
        self.kept.end_element(None);
        let score = f64::from_bits(self.score).to_string();
        self.loader.command(&[b"ZADD", self.key, score.as_bytes(), &self.job], self.key)
    }
}

impl Absorb for Sieve<'_> {
    const WANTS: bool = true;

    fn begin(&mut self, length: u64) -> Result<()> {
        self.whole.begin(length)?;
        self.job.clear();
        (self.length, self.to_come) = (length, length);
        if length == 0 && self.shape == Shape::List {
            self.job_ends();
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.whole.bytes(bytes);
        let room = JOB_MAX_BYTES.saturating_sub(self.job.len());
        self.job.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        self.to_come = self.to_come.saturating_sub(bytes.len() as u64);
        if self.to_come == 0 && !bytes.is_empty() && self.shape == Shape::List {
            self.job_ends();
        }
    }

    fn number(&mut self, number: u64) {
        self.whole.number(number);
        self.score = number;
    }

    fn end_element(&mut self, expires_ms: Option<u64>) {
        self.whole.end_element(expires_ms);
        self.job_ends();
    }
}
