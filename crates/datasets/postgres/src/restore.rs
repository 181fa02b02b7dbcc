//! Feeds the parts of a snapshot to `pg_restore`: what it is told, what it is given, what its end means.

use std::sync::Arc;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Event, Input, Snapshot, Verb};
use plan::{Error, Result};

use crate::child::of_stream;
use crate::facts;
use crate::properties::Properties;
use crate::server::Server;
use crate::session::Session;

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

    /// Writes all parts in order. The outer error is ours or the repository's, the inner one the reader's, who has gone.
    ///
    /// # Errors
    /// When a part is missing or cannot be read, or the operator wants to stop.
    pub(crate) fn pour(&self, context: &Context, data_set: DataSetName, mut into: Box<dyn Input>) -> Result<Result<()>> {
        let (mut number, mut files) = (0_u64, 0_u64);
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
            if let Err(error) = into.write_all(&bytes) {
                return Ok(Err(of_stream(error, "write to pg_restore")));
            }
            context.watch.see(Event::Advance { data_set, verb: Verb::Stage, bytes: bytes.len() as u64, items: 0 });
        }
        if files != self.parts || number == 0 {
            return Err(Error::failed(format!("the snapshot has {files} parts, its manifest {}", self.parts)));
        }
        Ok(into.end())
    }
}

/// What a restore has to leave out on this server, and why.
#[derive(Debug, Default)]
pub(crate) struct Omissions {
    /// Arguments of `pg_restore`.
    pub(crate) arguments: Vec<&'static str>,
    /// One sentence each, for the operator.
    pub(crate) warnings: Vec<String>,
}

impl Omissions {
    /// Compares the roles and tablespaces that a set names with those of the server.
    ///
    /// # Errors
    /// The server's, or the set's facts are unreadable.
    pub(crate) fn find(session: &mut Session, server: &Server, kept: &Evidence) -> Result<Self> {
        let mut omissions = Self::default();
        let membership = if server.major >= 16 { "SET" } else { "MEMBER" };
        let roles = session
            .rows(&format!("SELECT rolname::text, pg_has_role(current_user, oid, '{membership}') FROM pg_roles"), "list the roles")?;
        let known = |name: &String| roles.iter().find(|row| row.get::<_, String>(0) == *name);
        let owners: Vec<_> =
            facts::list(kept, facts::OWNERS)?.into_iter().filter(|name| !known(name).is_some_and(|row| row.get(1))).collect();
        if !owners.is_empty() {
            omissions.arguments.push("--no-owner");
            omissions.warnings.push(format!(
                "objects are owned by {:?} instead of their owners: {} cannot be set by this role or do not exist",
                server.role,
                owners.join(", ")
            ));
        }
        let grantees: Vec<_> = facts::list(kept, facts::GRANTEES)?.into_iter().filter(|name| known(name).is_none()).collect();
        if !grantees.is_empty() {
            omissions.arguments.push("--no-privileges");
            omissions.warnings.push(format!("grants are left out: the roles {} do not exist", grantees.join(", ")));
        }
        let rows = session.rows("SELECT spcname::text FROM pg_tablespace", "list the tablespaces")?;
        let there: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let missing: Vec<_> = facts::list(kept, facts::TABLESPACES)?.into_iter().filter(|name| !there.contains(name)).collect();
        if !missing.is_empty() {
            omissions.arguments.push("--no-tablespaces");
            omissions.warnings.push(format!("everything goes to the database's own tablespace: {} do not exist", missing.join(", ")));
        }
        Ok(omissions)
    }

    /// Tells the operator.
    pub(crate) fn tell(&self, context: &Context, data_set: DataSetName) {
        for warning in &self.warnings {
            context.watch.see(Event::Warning(&format!("{data_set}: {warning}")));
        }
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
