//! Marks: keys by which every reader, of whatever installation and program, sees whose a logical database is and what it holds.
//!
//! | key | where | means |
//! |---|---|---|
//! | `threescale-backup:mark` | a side database | it belongs to a run: whose, for which data set, and in which role |
//! | `threescale-backup:undone` | a side database | as the mark, of a run that was taken back when the memory was full |
//! | `threescale-backup:policy` | a database of a run | what `maxmemory-policy` was before it was held at `noeviction` (`hold`) |
//! | `threescale-backup:half-loaded` | a live database | a run is replacing the data here: it is neither the old nor the new |
//!
//! All but the policy hold JSON ([`Mark`]). One fixed name each, so that a claim is one `SET … NX`, and nobody has to search. After a restore has come to its end nothing of
//! the program is in a live database. Runs of version 0.1.0 had the run in the name of the key and nothing else: their places read those ([`Placed::marked`]).
//!
//! There is no identity of a server: its run id changes with every start, and nothing else is its own. So a run is known by these marks.

use plan::ids::DataSetName;
use plan::{InstallationId, Result};
use serde::{Deserialize, Serialize};

use super::place::{Placed, Spot};
use crate::connection::{Connection, Reply};

pub(crate) const MARK: &str = "threescale-backup:mark";
/// In a side database: its restored data was dropped by an undo that had no memory for a mark.
pub(crate) const UNDONE: &str = "threescale-backup:undone";
pub(crate) const HALF: &str = "threescale-backup:half-loaded";
/// Version 0.1.0's mark of a load in place, with the run after it.
pub(crate) const OLD_HALF: &str = "threescale-backup:loading:";
/// Version 0.1.0's marks of a side database.
pub(crate) const OLD_STAGING: &str = "threescale-backup:staging:";
pub(crate) const OLD_PREVIOUS: &str = "threescale-backup:previous:";

/// What a marked database is to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Claimed; not yet seen to be otherwise empty.
    Claimed,
    /// The staged copy, in the making.
    Loading,
    /// The staged copy, whole.
    Staged,
    /// The previous data, after the cut-over.
    Previous,
    /// Live data that is being replaced in place.
    InPlace,
    /// Live data of which not all databases are swapped yet.
    Swapping,
}

/// The content of a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Mark {
    pub(crate) run: String,
    pub(crate) data_set: DataSetName,
    /// Name of the database in the set.
    pub(crate) database: String,
    /// The number under which it is live.
    pub(crate) live: u32,
    pub(crate) installation: InstallationId,
    pub(crate) role: Role,
    /// Of [`Role::Previous`]: counts up with each cut-over of the same live database whose previous data is still kept.
    #[serde(default)]
    pub(crate) order: u64,
    /// Of [`Role::Previous`]: how many keys there were at the cut-over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counted: Option<Counted>,
    /// Of [`Role::Previous`]: a later run that has replaced what this one restored. It stays when that run is settled, and goes when it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_by: Option<String>,
    /// Of [`Role::Previous`]: nothing was replaced; what is kept is how to take back keys that were put into the live data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) merged: bool,
}

/// Keys at a cut-over, but for the program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// That came live.
    pub(crate) restored: u64,
    /// Of the previous data, without those that expire.
    pub(crate) lasting: u64,
}

/// A mark's key as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Mark(Box<Mark>),
    /// Something that this version does not understand.
    Unknown,
}

/// What a side database holds, for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    /// Claimed by the run, and nothing done yet: whether there is anything else in it must be looked at.
    Claimed,
    Loading,
    Loaded,
    Previous,
    /// It carries the mark of another run or data set.
    Others(Box<Mark>),
    /// Keys, but no mark that is understood.
    Foreign,
}

/// Reads a mark of the selected database.
pub(crate) fn read(connection: &mut Connection, key: &str) -> Result<Seen> {
    Ok(match connection.call(&[b"GET", key.as_bytes()])? {
        Reply::Nil => Seen::Nothing,
        Reply::Bytes(text) => serde_json::from_slice(&text).map_or(Seen::Unknown, |mark| Seen::Mark(Box::new(mark))),
        _ => Seen::Unknown,
    })
}

/// The run that is in the middle of replacing the selected live database.
pub(crate) fn half_loaded_by(connection: &mut Connection) -> Result<Option<String>> {
    Ok(match read(connection, HALF)? {
        Seen::Nothing => None,
        Seen::Mark(mark) => Some(mark.run),
        Seen::Unknown => Some("of another version".to_owned()),
    })
}

pub(crate) fn to_text(mark: &Mark) -> Result<String> {
    serde_json::to_string(mark).map_err(|error| plan::Error::failed("failed to write a mark").because(error))
}

/// The marks of one run's place.
#[derive(Clone, Copy)]
pub(crate) struct Marks<'a> {
    pub(crate) placed: &'a Placed,
    pub(crate) data_set: DataSetName,
    pub(crate) installation: &'a InstallationId,
}

impl Marks<'_> {
    /// A mark as it is written.
    pub(crate) fn text(&self, spot: &Spot, role: Role) -> Result<String> {
        to_text(&self.of(spot, role))
    }

    /// The mark of the previous data after a cut-over.
    pub(crate) fn previous(&self, spot: &Spot, order: u64, counted: Counted) -> Result<String> {
        to_text(&Mark { order, counted: Some(counted), ..self.of(spot, Role::Previous) })
    }

    /// The mark of records of keys that were put into the live data.
    pub(crate) fn merged(&self, spot: &Spot, order: u64) -> Result<String> {
        to_text(&Mark { order, merged: true, ..self.of(spot, Role::Previous) })
    }

    fn of(&self, spot: &Spot, role: Role) -> Mark {
        Mark {
            run: self.placed.run.clone(),
            data_set: self.data_set,
            database: spot.name.clone(),
            live: spot.live,
            installation: self.installation.clone(),
            role,
            order: 0,
            counted: None,
            replaced_by: None,
            merged: false,
        }
    }

    pub(crate) fn is_own(&self, mark: &Mark, spot: &Spot) -> bool {
        mark.run == self.placed.run && mark.data_set == self.data_set && mark.database == spot.name
    }

    /// What a side database holds now. Leaves it selected.
    pub(crate) fn holds(&self, connection: &mut Connection, spot: &Spot, side: u32) -> Result<Holds> {
        connection.select(side)?;
        match read(connection, MARK)? {
            Seen::Mark(mark) if self.is_own(&mark, spot) => {
                return Ok(match mark.role {
                    Role::Claimed => Holds::Claimed,
                    Role::Loading => Holds::Loading,
                    Role::Staged => Holds::Loaded,
                    Role::Previous => Holds::Previous,
                    Role::InPlace | Role::Swapping => Holds::Foreign,
                });
            }
            Seen::Mark(mark) => return Ok(Holds::Others(mark)),
            Seen::Unknown => return Ok(Holds::Foreign),
            Seen::Nothing => {}
        }
        if matches!(read(connection, UNDONE)?, Seen::Mark(mark) if self.is_own(&mark, spot)) {
            return Ok(Holds::Loading);
        }
        if !self.placed.marked
            && let Some(holds) = self.old_holds(connection)?
        {
            return Ok(holds);
        }
        Ok(if connection.call(&[b"DBSIZE"])?.number() == Some(0) { Holds::Nothing } else { Holds::Foreign })
    }

    /// As version 0.1.0 marked it.
    fn old_holds(&self, connection: &mut Connection) -> Result<Option<Holds>> {
        if connection.call(&[b"EXISTS", self.placed.old_previous().as_bytes()])?.number() == Some(1) {
            return Ok(Some(Holds::Previous));
        }
        Ok(match connection.call(&[b"GET", self.placed.old_staging().as_bytes()])? {
            Reply::Bytes(state) if state == b"loaded" => Some(Holds::Loaded),
            Reply::Bytes(_) => Some(Holds::Loading),
            _ => None,
        })
    }

    /// The role that a live database's mark says, when it is the run's own.
    pub(crate) fn half(&self, connection: &mut Connection, spot: &Spot) -> Result<Option<Role>> {
        connection.select(spot.live)?;
        if let Seen::Mark(mark) = read(connection, HALF)?
            && self.is_own(&mark, spot)
        {
            return Ok(Some(mark.role));
        }
        let old = !self.placed.marked && connection.call(&[b"EXISTS", self.placed.old_half().as_bytes()])?.number() == Some(1);
        Ok(old.then_some(Role::InPlace))
    }

    /// Any change of these by others undoes the next transaction.
    pub(crate) fn watch(&self, connection: &mut Connection, side: u32) -> Result<()> {
        connection.select(side)?;
        let (staging, previous) = (self.placed.old_staging(), self.placed.old_previous());
        connection.call(&[b"WATCH", MARK.as_bytes(), staging.as_bytes(), previous.as_bytes()]).map(drop)
    }
}
