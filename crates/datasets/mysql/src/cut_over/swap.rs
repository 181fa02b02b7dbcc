//! Moves tables between schemas in one statement, and sees from where they are whether that was done.

use std::collections::BTreeSet;

use plan::{Class, Result};

use crate::blockers;
use crate::place::Schemas;
use crate::quote;
use crate::record::TABLE;
use crate::schema::{Objects, read};
use crate::session::{Session, code};

/// Tables of the three schemas.
pub(super) struct Tables {
    live: BTreeSet<String>,
    stage: BTreeSet<String>,
    before: BTreeSet<String>,
}

impl Tables {
    /// As they are now.
    pub(super) fn read(session: &mut Session, schemas: &Schemas) -> Result<Self> {
        let mut names = |schema: &str| -> Result<BTreeSet<String>> { Ok(read::table_names(session, schema)?.into_iter().collect()) };
        let (live, stage, mut before) = (names(&schemas.live)?, names(&schemas.stage)?, names(&schemas.before)?);
        before.remove(TABLE);
        Ok(Self { live, stage, before })
    }

    /// Whether the previous tables are kept and nothing is staged any more. Of two empty databases this cannot be seen, and nothing was to be done.
    pub(super) fn are_swapped(&self, live: &Objects, set: &Objects) -> bool {
        let is_empty = live.tables.is_empty() && set.tables.is_empty();
        !is_empty && live.tables.iter().all(|name| self.before.contains(name)) && !set.tables.iter().any(|name| self.stage.contains(name))
    }

    /// A table of the set that the staged copy lacks.
    pub(super) fn not_staged<'a>(&self, set: &'a Objects) -> Option<&'a String> {
        set.tables.iter().find(|name| !self.stage.contains(*name))
    }

    /// A table of the previous data that is not kept.
    pub(super) fn not_kept<'a>(&self, live: &'a Objects) -> Option<&'a String> {
        live.tables.iter().find(|name| !self.before.contains(*name))
    }

    /// Whether the previous tables are live again.
    pub(super) fn are_swapped_back(&self, live: &Objects) -> bool {
        self.before.is_empty() && self.live == live.tables.iter().cloned().collect()
    }
}

/// `RENAME TABLE` of all tables of several moves at once: `(from, to, tables)`.
pub(super) fn rename(session: &mut Session, moves: &[(&String, &String, &Vec<String>)]) -> Result<()> {
    let rename = |(from, to, tables): &(&String, &String, &Vec<String>)| {
        let one = |table: &String| format!("{} TO {}", quote::qualified(from, table), quote::qualified(to, table));
        tables.iter().map(one).collect::<Vec<_>>()
    };
    let renames: Vec<String> = moves.iter().flat_map(rename).collect();
    if renames.is_empty() {
        return Ok(());
    }
    session.run("swap the tables", &format!("RENAME TABLE {}", renames.join(", "))).map(drop)
}

/// Asks for every table once, changing nothing: an open transaction of somebody is found before anything is dropped.
pub(super) fn probe(session: &mut Session, live: &str) -> Result<()> {
    let tables = read::table_names(session, live)?;
    if tables.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = tables.iter().map(|table| format!("{} WRITE", quote::qualified(live, table))).collect();
    match session.attempt("ask for the tables", &format!("LOCK TABLES {}", list.join(", ")))? {
        Ok(_) => session.run("release the tables", "UNLOCK TABLES").map(drop),
        Err(error) if error.code == code::LOCK_WAIT_TIMEOUT => {
            let busy = blockers::busy(session, "the swap could not be had in time: somebody holds a table");
            Err(busy.hint("Everything is as it was.").in_class(Class::Transient))
        }
        // Without the privilege to lock there is no asking; the swap itself has its bounded wait.
        Err(_) => Ok(()),
    }
}
