//! Marks: whose a side database is, in its comment; that the live data is being replaced in place, as an empty schema with a comment.
//!
//! A side database keeps what it has as a comment of its own inside of the mark, and gets it back in the same transaction in which it becomes live. Only a database
//! that became live where there was none keeps its mark until it is settled: nothing else could say whose it is.

use std::collections::BTreeMap;

use plan::ids::DataSetName;
use plan::ports::{Context, Mark, MarkRole};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::rules::Tolerance;
use crate::session::Session;
use crate::sql::{identifier, literal};

/// The schema that marks a load in place. It holds nothing; dumps and counts leave it out.
pub(crate) const SCHEMA: &str = "threescale_backup_mark";

/// The comment of a side database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Tag {
    /// Whose it is.
    pub(crate) threescale_backup: Mark,
    /// The live database that it is beside of, whose name may be cut in its own.
    pub(crate) live: String,
    /// Of previous data: the object id of the database that became live in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_by: Option<u32>,
    /// Of a staged copy: by how much its census may differ from the set's.
    #[serde(default, skip_serializing_if = "Tolerance::is_none")]
    pub(crate) tolerance: Tolerance,
    /// The comment that the database has of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// Of previous data: where the sequences that became live in its place went on then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) next_ids: BTreeMap<String, i128>,
}

impl Tag {
    /// The tag of a side database of a run.
    pub(crate) fn of(context: &Context, data_set: DataSetName, role: MarkRole, live: &str, comment: Option<String>) -> Self {
        Self {
            threescale_backup: Mark::of(context, data_set, role),
            live: live.to_owned(),
            replaced_by: None,
            tolerance: Tolerance::default(),
            comment,
            next_ids: BTreeMap::new(),
        }
    }

    /// Reads a comment; `None` when it is none of ours.
    pub(crate) fn read(comment: &str) -> Option<Self> {
        serde_json::from_str(comment).ok()
    }

    /// Reads that of the database that a session is in.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn of_this_database(session: &mut Session) -> Result<Option<Self>> {
        let query = "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = current_database()";
        let comment: String = session.row(query, "read the mark of a database")?.get(0);
        Ok(Self::read(&comment))
    }

    /// The statement that puts it on a database.
    pub(crate) fn put_on(&self, database: &str) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|error| Error::failed("failed to write the mark of a database").because(error))?;
        Ok(comment_on(database, Some(&text)))
    }
}

/// A database's own comment, out of the one that it has.
pub(crate) fn own_comment(comment: Option<String>) -> Option<String> {
    match comment.as_deref().and_then(Tag::read) {
        Some(tag) => tag.comment,
        None => comment,
    }
}

/// `COMMENT ON DATABASE`.
pub(crate) fn comment_on(database: &str, comment: Option<&str>) -> String {
    format!("COMMENT ON DATABASE {} IS {}", identifier(database), comment.map_or_else(|| "NULL".to_owned(), literal))
}

/// The mark of a load in place, as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InPlace {
    /// What it says, as it stands there.
    pub(crate) text: String,
    /// Whose it is; `None` when that cannot be read.
    pub(crate) mark: Option<Mark>,
}

impl InPlace {
    /// Looks for it in the database that a session is in.
    pub(crate) fn find(session: &mut Session) -> Result<Option<Self>> {
        let query = format!("SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = '{SCHEMA}'");
        let rows = session.rows(&query, "look for the mark of a load")?;
        let found = |text: String| Self { mark: serde_json::from_str(&text).ok(), text };
        Ok(rows.first().map(|row| found(row.get(0))))
    }

    /// The run, for `half_loaded_by` and for lists.
    pub(crate) fn run(&self) -> String {
        self.mark.as_ref().map_or_else(|| "unknown".to_owned(), |mark| mark.run.to_string())
    }

    fn is_of(&self, context: &Context) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.run == context.run)
    }

    /// What is said to whoever would swap or load meanwhile.
    pub(crate) fn refusal(&self, live: &str) -> Error {
        let owner = self.mark.as_ref().map_or_else(|| "a run that its mark does not name".to_owned(), Mark::owner);
        let run = self.mark.as_ref().map_or("RUN", |mark| mark.run.as_str());
        Error::needs_person(format!("{owner} began to replace database {live:?} in place, and has not ended: nothing was changed"))
            .hint(format!("`resume {run}` or `undo {run}` with its journal ends it; `abandon {run}` removes its mark."))
    }
}

/// Marks the database as being replaced by this run.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when another run has marked it, [`plan::Class::Refused`] when the role may make no schema.
pub(crate) fn put(session: &mut Session, context: &Context, data_set: DataSetName, live: &str) -> Result<()> {
    if let Some(found) = InPlace::find(session)? {
        return if found.is_of(context) { Ok(()) } else { Err(found.refusal(live)) };
    }
    let mark = Mark::of(context, data_set, MarkRole::InPlace);
    let text = serde_json::to_string(&mark).map_err(|error| Error::failed("failed to write the mark of the load").because(error))?;
    // One message is one transaction: there is no mark that says nothing.
    let both = format!("CREATE SCHEMA {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS {}", literal(&text));
    session.run(&both, "mark the database as being replaced")
}

/// Removes the mark of this run; not there is fine.
pub(crate) fn remove(session: &mut Session, context: &Context) -> Result<()> {
    match InPlace::find(session)? {
        Some(found) if found.is_of(context) => drop_schema(session),
        _ => Ok(()),
    }
}

/// Removes the mark, whosever it is. What somebody put into the schema keeps it.
pub(crate) fn drop_schema(session: &mut Session) -> Result<()> {
    session.run(&format!("DROP SCHEMA IF EXISTS {SCHEMA}"), "remove the mark of the load")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_users_own_comment_is_never_taken_for_a_mark() {
        for own in ["production", "{}", r#"{"live":"zync"}"#, ""] {
            assert_eq!(Tag::read(own), None, "{own}");
            assert_eq!(own_comment(Some(own.to_owned())).as_deref(), Some(own));
        }
        let mark = r#"{"threescale-backup":{"installation":{"name":"prod"},"run":"01jd","data_set":"zync-database","role":"staged"},"live":"zync","comment":"mine"}"#;
        assert_eq!(Tag::read(mark).unwrap().threescale_backup.installation.name, "prod");
        assert_eq!(own_comment(Some(mark.to_owned())).as_deref(), Some("mine"));
    }
}
