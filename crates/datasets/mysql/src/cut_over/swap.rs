//! Moves tables and views between rooms in one statement, and sees from where they are whether that was done.

use std::collections::BTreeSet;

use plan::{Class, Result};

use crate::blockers;
use crate::place::{self, Room, Schemas};
use crate::quote;
use crate::record::TABLE;
use crate::schema::{Object, Objects, read};
use crate::session::{Session, code};

/// What is where, by the names that tables and views have in their rooms.
pub(super) struct Rooms<'a> {
    schemas: &'a Schemas,
    live: BTreeSet<String>,
    live_views: BTreeSet<String>,
    aside: BTreeSet<String>,
    kept: BTreeSet<String>,
    kept_views: BTreeSet<String>,
}

impl<'a> Rooms<'a> {
    /// As they are now.
    pub(super) fn read(session: &mut Session, schemas: &'a Schemas) -> Result<Self> {
        let mut names = |room: &Room, views: bool| -> Result<BTreeSet<String>> {
            let all = read::all_names(session, &room.schema)?.into_iter();
            Ok(all.filter(|(name, is_view)| *is_view == views && name != TABLE && room.has(name)).map(|(name, _)| name).collect())
        };
        Ok(Self {
            schemas,
            live: names(&schemas.live(), false)?,
            live_views: names(&schemas.live(), true)?,
            aside: names(&schemas.aside(), false)?,
            kept: names(&schemas.kept(), false)?,
            kept_views: names(&schemas.kept_views(), true)?,
        })
    }

    fn is_aside(&self, table: &str) -> bool {
        self.aside.contains(&self.schemas.aside().name(table))
    }

    fn is_kept(&self, table: &str) -> bool {
        self.kept.contains(&self.schemas.kept().name(table))
    }

    /// Whether the previous tables are kept and nothing is staged any more; without tables, the views tell. Of two empty databases this cannot be seen, and nothing
    /// was to be done.
    pub(super) fn are_swapped(&self, live: &Objects, staged: &[String]) -> bool {
        if live.tables.is_empty() && staged.is_empty() {
            return self.kept_views(&live.views).next().is_some();
        }
        live.tables.iter().all(|name| self.is_kept(name)) && !staged.iter().any(|name| self.is_aside(name))
    }

    /// A table of the set that the staged copy lacks.
    pub(super) fn not_staged<'b>(&self, staged: &'b [String]) -> Option<&'b String> {
        staged.iter().find(|name| !self.is_aside(name))
    }

    /// A table of the previous data that is not kept.
    pub(super) fn not_kept<'b>(&self, live: &'b Objects) -> Option<&'b String> {
        live.tables.iter().find(|name| !self.is_kept(name))
    }

    /// Whether the previous tables are live again.
    pub(super) fn are_swapped_back(&self, live: &Objects) -> bool {
        self.kept.is_empty() && self.kept_views.is_empty() && self.live == live.tables.iter().cloned().collect()
    }

    /// The live views that are there: release 0.1.0 dropped them before it swapped.
    pub(super) fn live_views<'b>(&'b self, views: &'b [Object]) -> impl Iterator<Item = &'b String> {
        views.iter().map(|view| &view.name).filter(|name| self.live_views.contains(*name))
    }

    /// The previous views that are kept. One that somebody dropped is made again, where that can be done.
    pub(super) fn kept_views<'b>(&'b self, views: &'b [Object]) -> impl Iterator<Item = &'b String> {
        let room = self.schemas.kept_views();
        views.iter().map(|view| &view.name).filter(move |name| self.kept_views.contains(&room.name(name)))
    }
}

/// One `RENAME TABLE` for all of several moves: wholly or not at all.
#[derive(Default)]
pub(super) struct Moves(Vec<String>);

impl Moves {
    /// Adds tables or views that go from one room to another.
    pub(super) fn add<'a>(&mut self, from: &Room, to: &Room, names: impl IntoIterator<Item = &'a String>) {
        self.0.extend(names.into_iter().map(|name| format!("{} TO {}", from.qualified(name), to.qualified(name))));
    }

    /// Does it.
    pub(super) fn run(self, session: &mut Session) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        session.run("swap the tables", &format!("RENAME TABLE {}", self.0.join(", "))).map(drop)
    }
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
            let busy = blockers::busy(session, "could not lock the tables in time: another session holds one");
            Err(busy.hint("Everything is as it was.").in_class(Class::Transient))
        }
        // Without the privilege to lock there is no asking; the swap itself has its bounded wait.
        Err(_) => Ok(()),
    }
}

/// Drops tables and views of a run that are within the live schema. The run's record stays.
pub(crate) fn drop_within(session: &mut Session, room: &Room) -> Result<()> {
    for (name, is_view) in read::all_names(session, &room.schema)? {
        if place::is_ours(&name) && room.has(&name) {
            let kind = if is_view { "VIEW" } else { "TABLE" };
            session.run("drop what this run kept", &format!("DROP {kind} IF EXISTS {}", quote::qualified(&room.schema, &name)))?;
        }
    }
    Ok(())
}
