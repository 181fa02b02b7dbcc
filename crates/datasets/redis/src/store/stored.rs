//! A database's file in a snapshot: read from its begin, or from anywhere.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use plan::manifest::KeptDataSet;
use plan::ports::Snapshot;
use plan::{Error, Result};

use crate::dump::part_path;

/// Where it is.
#[derive(Clone)]
pub(crate) struct Stored {
    snapshot: Arc<dyn Snapshot>,
    folder: String,
    parts: u64,
}

impl Stored {
    /// The file of a database, by its name in the set.
    pub(crate) fn of(snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet, name: &str) -> Result<Self> {
        let fact = |fact: &str| kept.evidence.facts.get(&format!("{fact}.{name}"));
        match (fact("folder"), fact("parts").and_then(|parts| parts.parse().ok())) {
            (Some(folder), Some(parts)) => Ok(Self { snapshot, folder: folder.clone(), parts }),
            _ => Err(Error::refused(format!("the set has no database {name:?}"))),
        }
    }

    pub(crate) fn read(&self) -> Result<Parts> {
        self.read_from(0)
    }

    /// The same without so many bytes at the begin; parts that are wholly before are not read.
    pub(crate) fn read_from(&self, mut skip: u64) -> Result<Parts> {
        let (sender, ahead) = sync_channel(1);
        let Self { snapshot, folder, parts } = self.clone();
        let mut part = move |number| {
            let entry = snapshot.find(&part_path(&folder, number))?;
            if skip >= entry.size_bytes {
                skip -= entry.size_bytes;
                return Ok(Vec::new());
            }
            let mut bytes = snapshot.read_all(&entry)?;
            bytes.drain(..usize::try_from(std::mem::take(&mut skip)).unwrap_or(usize::MAX).min(bytes.len()));
            Ok(bytes)
        };
        std::thread::Builder::new()
            .name("redis-parts".to_owned())
            .spawn(move || {
                for number in 1..=parts {
                    let part: Result<Vec<u8>> = part(number);
                    let failed = part.is_err();
                    if !part.as_ref().is_ok_and(Vec::is_empty) && sender.send(part).is_err() || failed {
                        return;
                    }
                }
            })
            .map_err(|error| Error::failed("failed to start a thread").because(error))?;
        Ok(Parts { ahead, now: io::Cursor::default() })
    }
}

/// The parts of a file, joined; the next ones are read while the server loads.
pub(crate) struct Parts {
    ahead: Receiver<Result<Vec<u8>>>,
    now: io::Cursor<Vec<u8>>,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.now.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.ahead.recv() {
                Ok(part) => self.now = io::Cursor::new(part.map_err(io::Error::other)?),
                Err(_) => return Ok(0),
            }
        }
    }
}
