//! The three databases of a run as they are there now, and whose they are. Changes nothing.
//!
//! Names carry the end of a run's id, marks all of it, object ids tell which database is under a name. All three must fit before anything is renamed or dropped.

use plan::ids::RunId;
use plan::{Error, Result};

use crate::mark::Tag;
use crate::place::Databases;
use crate::session::Session;

/// A database that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) oid: u32,
    pub(super) open: bool,
    comment: Option<String>,
}

impl Found {
    /// The mark in its comment.
    pub(super) fn tag(&self) -> Option<Tag> {
        self.comment.as_deref().and_then(Tag::read)
    }

    /// Its own comment.
    pub(super) fn own_comment(&self) -> Option<String> {
        crate::mark::own_comment(self.comment.clone())
    }

    /// Whether its mark says that it is of a run.
    pub(super) fn is_marked_by(&self, run: &RunId) -> bool {
        self.tag().is_some_and(|tag| tag.threescale_backup.run == *run)
    }
}

/// Live, staged, previous.
#[derive(Debug)]
pub(super) struct Sides<'a> {
    databases: &'a Databases,
    run: &'a RunId,
    pub(super) live: Option<Found>,
    pub(super) stage: Option<Found>,
    pub(super) before: Option<Found>,
}

impl<'a> Sides<'a> {
    /// Looks.
    pub(super) fn look(session: &mut Session, databases: &'a Databases, run: &'a RunId) -> Result<Self> {
        let query = "SELECT datname::text, oid, datallowconn, shobj_description(oid, 'pg_database') FROM pg_database";
        let rows = session.rows(query, "look which databases are there")?;
        let find = |name: &str| {
            let row = rows.iter().find(|row| row.get::<_, String>(0) == name)?;
            Some(Found { oid: row.get(1), open: row.get(2), comment: row.get(3) })
        };
        let Databases { live, stage, before, .. } = databases;
        Ok(Self { databases, run, live: find(live), stage: find(stage), before: find(before) })
    }

    /// That what is beside the live database is of this run, when it says whose it is.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when it is another's.
    pub(super) fn check_owner(&self) -> Result<()> {
        for (name, found) in [(&self.databases.stage, &self.stage), (&self.databases.before, &self.before)] {
            if let Some(tag) = found.as_ref().and_then(Found::tag).filter(|tag| tag.threescale_backup.run != *self.run) {
                let owner = tag.threescale_backup.owner();
                return Err(Error::needs_person(format!("database {name:?} is of {owner}, not of run {}: nothing was changed", self.run)));
            }
        }
        if let (Some(stage), Some(previous)) = (&self.stage, self.databases.live_oid)
            && stage.oid == previous
        {
            let name = &self.databases.stage;
            return Err(Error::needs_person(format!("database {name:?} is the one that was live before run {}", self.run))
                .hint("It may be the only copy. Nothing was changed.")
                .hint("Another run was taken back out of its order. Look which of the databases holds the data that is wanted, and rename it by hand."));
        }
        Ok(())
    }

    /// That `before` holds what was live when the run was planned, and that what is live is what the run put there.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when somebody else renamed databases meanwhile.
    pub(super) fn check_swapped(&self, live: &Found, before: &Found) -> Result<()> {
        self.check_previous(before)?;
        let Databases { live: live_name, before: before_name, live_oid, .. } = self.databases;
        let put = before.tag().and_then(|tag| tag.replaced_by);
        if put.map_or(*live_oid == Some(live.oid), |put| put != live.oid) {
            return Err(self
                .unknown(&format!("what is live as {live_name:?} is not what run {} put there: somebody replaced it since", self.run))
                .hint(format!(
                    "What run {} replaced is in {before_name:?} until it is settled. Take back what came later first.",
                    self.run
                )));
        }
        Ok(())
    }

    /// That `before` is what was live when the run was planned: by its mark, else by its object id.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when it is not.
    pub(super) fn check_previous(&self, before: &Found) -> Result<()> {
        if before.tag().is_none() && self.databases.live_oid.is_some_and(|oid| oid != before.oid) {
            let name = &self.databases.before;
            return Err(self.unknown(&format!("database {name:?} bears no mark and is not what run {} replaced", self.run)));
        }
        Ok(())
    }

    /// For states that no call of ours leaves.
    pub(super) fn unknown(&self, what: &str) -> Error {
        let Databases { live, stage, before, .. } = self.databases;
        let there = |name: &str, found: &Option<Found>| match found {
            Some(found) => format!("{name:?} is there (object {})", found.oid),
            None => format!("{name:?} is not there"),
        };
        let state = [there(live, &self.live), there(stage, &self.stage), there(before, &self.before)].join(", ");
        Error::needs_person(format!("{what}: {state}")).hint("Nothing was changed.")
    }
}
