//! Feeds the parts of a snapshot to `pg_restore`: what it is told, what it is given, what its end means.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Input, Snapshot, Verb};
use plan::{Error, Result};

use crate::child::of_stream;
use crate::contents::Contents;
use crate::properties::Properties;
use crate::rules::Omissions;

/// The parts of one database in a snapshot.
pub(crate) struct Archive {
    snapshot: Arc<dyn Snapshot>,
    /// Parts with content that the manifest counted: the properties and the archive's.
    parts: u64,
}

impl Archive {
    /// The archive of a kept data set.
    pub(crate) fn new(snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Self {
        Self { snapshot, parts: kept.parts }
    }

    /// The properties of the database that was kept.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn properties(&self) -> Result<Properties> {
        for entry in self.snapshot.entries()? {
            let entry = entry?;
            if entry.is_file() && entry.path.to_string_lossy().ends_with(".database.json") {
                let bytes = self.snapshot.read_all(&entry)?;
                return serde_json::from_slice(&bytes)
                    .map_err(|error| Error::failed("the kept properties of the database are unreadable").because(error));
            }
        }
        Err(Error::failed("the snapshot has no properties of a database")
            .hint("It was not taken by this program, or is damaged: run check."))
    }

    /// Writes all parts in order, without what cannot be made. The outer error is ours or the repository's, the inner one the reader's, who has gone.
    ///
    /// # Errors
    /// When a part is missing or cannot be read, or the operator wants to stop.
    pub(crate) fn pour(
        &self,
        context: &Context,
        data_set: DataSetName,
        omissions: &mut Omissions<'_>,
        mut into: Box<dyn Input>,
    ) -> Result<Result<()>> {
        let (mut number, mut files, mut contents) = (0_u64, 0_u64, Contents::new());
        for entry in self.snapshot.entries()? {
            context.stop.check()?;
            let entry = entry?;
            files += u64::from(entry.is_file());
            if entry.path.extension().is_none_or(|extension| extension != "part") {
                continue;
            }
            number += 1;
            if entry.path.file_name() != Some(format!("{number:08}.part").as_ref()) {
                return Err(Error::failed(format!("part {number} of the dump is missing, {} comes in its place", entry.path.display())));
            }
            let bytes = self.snapshot.read_all(&entry)?;
            let passed = contents.pass(&bytes, |entry| omissions.edit(entry))?;
            if let Err(error) = into.write_all(&passed) {
                return Ok(Err(of_stream(error, "write to pg_restore")));
            }
            context.watch.see(Event::Advance { data_set, verb: Verb::Stage, bytes: bytes.len() as u64, items: 0 });
        }
        if files != self.parts || number == 0 {
            return Err(Error::failed(format!("the snapshot has {files} parts, its manifest {}", self.parts)));
        }
        if !contents.is_read() {
            return Err(
                Error::failed("the archive of pg_dump ends within its table of contents").hint("Run check, and restore another set.")
            );
        }
        if !contents.is_known() {
            let text = format!("{data_set}: the archive is of a newer pg_dump: what cannot be made here is not left out, it fails");
            context.watch.see(Event::Warning(&text));
        }
        Ok(into.end())
    }
}

/// Joins the two ends of a pipe: when the child failed, that is why it no longer read, and its words count more than our broken pipe.
///
/// # Errors
/// The child's failure, else the pipe's, else none.
pub(crate) fn verdict(poured: Result<()>, child: Result<String>, what: &str) -> Result<String> {
    let said = child.map_err(|error| error.during(what.to_owned()))?;
    poured.map_err(|error| error.during(what.to_owned()))?;
    Ok(said)
}
