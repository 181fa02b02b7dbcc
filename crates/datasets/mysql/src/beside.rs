//! What runs have beside a live database: pairs of schemas, known by their names, with what the record in them says. Changes nothing.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::Mark;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::place::{self, Room, Schemas, Side};
use crate::record::{Document, Record, State};
use crate::schema::read as schema;
use crate::session::Session;

/// The schemas of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// The end of the run's id, from the names.
    pub(crate) short: String,
    /// The schema of the staged copy.
    pub(crate) stage: Option<String>,
    /// The schema of the record and of the previous tables.
    pub(crate) before: Option<String>,
    /// The tables and views of the run in the live schema: previous views, and where it may make no schema all the rest.
    #[serde(default)]
    pub(crate) within: Vec<String>,
    /// How far it came; `None` without a record, or when that may not be read.
    pub(crate) state: Option<State>,
    /// Whose it is; `None` for runs of 0.1.0.
    pub(crate) mark: Option<Mark>,
    /// The run that was swapped in over it.
    pub(crate) covered: Option<Mark>,
}

impl Beside {
    /// Whether the previous data is in it, or may be.
    pub(crate) fn is_swapped(&self) -> bool {
        matches!(self.state, Some(State::Swapped | State::Done | State::Undoing))
    }

    /// Whether a swap is half done: tables or objects of the live database may be missing.
    pub(crate) fn is_half_way(&self) -> bool {
        matches!(self.state, Some(State::Saved | State::Swapped | State::Undoing))
    }

    /// Its record, when there is one, or may be.
    pub(crate) fn record(&self, live: &str) -> Option<Record> {
        let within = Record::within(live, &self.short);
        let is_within = self.within.iter().any(|name| name == within.key());
        if is_within { Some(within) } else { self.before.as_ref().map(|before| Record::in_schema(before)) }
    }

    /// Whether it may hold a staged copy.
    pub(crate) fn has_staged(&self, live: &str) -> bool {
        let room = Room::within(live, Side::Stage, &self.short);
        self.stage.is_some() || self.within.iter().any(|name| room.has(name))
    }

    /// Its owner, for messages.
    pub(crate) fn owner(&self) -> String {
        self.mark.as_ref().map_or_else(|| format!("a run whose id ends in {}", self.short), Mark::owner)
    }

    /// The run's id, or its end.
    pub(crate) fn run(&self) -> String {
        self.mark.as_ref().map_or_else(|| self.short.clone(), |mark| mark.run.to_string())
    }
}

/// All runs that have schemas beside a live database, in the order of their names.
pub(crate) fn list(session: &mut Session, live: &str) -> Result<Vec<Beside>> {
    let mut runs = BTreeMap::<String, Beside>::new();
    for record in session.rows("list the schemas", "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")? {
        let name = record.text(0)?;
        let Some((side, short)) = Schemas::side_of(live, &name) else { continue };
        let run = runs.entry(short.to_owned()).or_insert_with(|| Beside { short: short.to_owned(), ..Beside::default() });
        match side {
            Side::Stage => run.stage = Some(name),
            Side::Before => run.before = Some(name),
        }
    }
    for (name, _) in schema::all_names(session, live)? {
        let Some(short) = place::run_of(&name) else { continue };
        let run = runs.entry(short.to_owned()).or_insert_with(|| Beside { short: short.to_owned(), ..Beside::default() });
        run.within.push(name);
    }
    let mut found = Vec::new();
    for mut run in runs.into_values() {
        if let Some(record) = run.record(live) {
            let documents = documents(session, &record)?;
            // Long names are cut: schemas of another database of the same beginning are not ours.
            if documents.database.is_some_and(|database| !database.eq_ignore_ascii_case(live)) {
                continue;
            }
            (run.state, run.mark, run.covered) = (documents.state, documents.mark, documents.covered);
        }
        found.push(run);
    }
    Ok(found)
}

#[derive(Default)]
struct Documents {
    state: Option<State>,
    mark: Option<Mark>,
    covered: Option<Mark>,
    database: Option<String>,
}

/// The small documents of a record, as far as they are there and may be read.
fn documents(session: &mut Session, record: &Record) -> Result<Documents> {
    let small = [Document::State, Document::Mark, Document::Covered, Document::Database].map(|document| format!("'{}'", document.name()));
    let sql = format!("SELECT name, content FROM {} WHERE name IN ({}) ORDER BY name, piece", record.table(), small.join(", "));
    let mut pieces = BTreeMap::<String, Vec<u8>>::new();
    for record in session.rows_if_possible("read the record of a run", &sql)?.unwrap_or_default() {
        pieces.entry(record.text(0)?).or_default().extend(record.bytes(1).unwrap_or_default());
    }
    Ok(Documents {
        state: read(&pieces, Document::State),
        mark: read(&pieces, Document::Mark),
        covered: read(&pieces, Document::Covered),
        database: read(&pieces, Document::Database),
    })
}

fn read<T: DeserializeOwned>(pieces: &BTreeMap<String, Vec<u8>>, document: Document) -> Option<T> {
    pieces.get(document.name()).and_then(|bytes| serde_json::from_slice(bytes).ok())
}
