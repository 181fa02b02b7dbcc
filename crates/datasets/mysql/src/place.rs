//! Where the staged copy and the previous data are: two schemas beside the live one, named after the run; where the user may make none, names in the live one.

use std::collections::BTreeSet;

use plan::ids::RunId;
use plan::ports::{Place, Road};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::mark;
use crate::quote;

/// A name of MySQL has at most so many characters.
const NAME_CHARACTERS: usize = 64;
/// A table's name within a room: the server makes names of constraints of it (`…_ibfk_1`), which must fit too.
const ROOM_CHARACTERS: usize = NAME_CHARACTERS - 12;
const DIGEST_CHARACTERS: usize = 8;

/// The place, as journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schemas {
    pub(crate) road: Road,
    /// The live database.
    pub(crate) live: String,
    /// Where the rows are loaded.
    pub(crate) stage: String,
    /// Where the previous tables go, and where the record of the cut-over is.
    pub(crate) before: String,
    /// Whether this run's statements go into the binary log: all of them or none, or a replica would see half of it.
    pub(crate) logged: bool,
    /// Schemas of the runs that were swapped in when this place was chosen: what this run replaces is what they brought. Not in places of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<BTreeSet<String>>,
    /// In place: where the previous data is kept until it is settled. Places of 0.1.0 have none: there it is dropped, and its safety copy is the only way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keeps: Option<Keeps>,
}

/// Where a restore in place keeps what it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Keeps {
    /// In a schema of its own, as beside.
    Beside,
    /// In the live schema, under names of the run: the user may make no schema.
    Within,
}

/// Where the tables of one side are: in a schema of their own under their own names, or in the live one under names of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) schema: String,
    /// What stands before a table's own name; empty in a schema of their own.
    prefix: String,
}

impl Room {
    /// A schema whose tables have their own names.
    pub(crate) fn whole(schema: &str) -> Self {
        Self { schema: schema.to_owned(), prefix: String::new() }
    }

    /// Names of a run's side in the live schema.
    pub(crate) fn within(live: &str, side: Side, short: &str) -> Self {
        Self { schema: live.to_owned(), prefix: format!("__{}_{short}_", side.word()) }
    }

    /// The name that a table has here. Long ones are cut, and told apart by a digest.
    pub(crate) fn name(&self, table: &str) -> String {
        let name = format!("{}{table}", self.prefix);
        if self.prefix.is_empty() || name.chars().count() <= ROOM_CHARACTERS {
            return name;
        }
        let cut: String = name.chars().take(ROOM_CHARACTERS - DIGEST_CHARACTERS).collect();
        format!("{cut}{:08x}", digest(table))
    }

    /// Whether tables have their own names here.
    pub(crate) fn is_whole(&self) -> bool {
        self.prefix.is_empty()
    }

    /// The table's name here, qualified and quoted.
    pub(crate) fn qualified(&self, table: &str) -> String {
        quote::qualified(&self.schema, &self.name(table))
    }

    /// Whether a name in the schema is of this room.
    pub(crate) fn has(&self, name: &str) -> bool {
        if self.prefix.is_empty() { !is_ours(name) } else { name.starts_with(&self.prefix) }
    }
}

/// The name of a record of a run that keeps its data within the live schema.
pub(crate) fn record_within(short: &str) -> String {
    format!("__{}_{short}", Side::Before.word())
}

/// The run whose name a table or view in the live schema bears: the end of its id.
pub(crate) fn run_of(name: &str) -> Option<&str> {
    let rest = Side::ALL.into_iter().find_map(|side| name.strip_prefix("__")?.strip_prefix(side.word())?.strip_prefix('_'))?;
    let (short, rest) = rest.split_at_checked(SHORT_BYTES)?;
    (is_short(short) && (rest.is_empty() || rest.starts_with('_'))).then_some(short)
}

/// Whether a table or view in the live schema is a run's own and no data of the application.
pub(crate) fn is_ours(name: &str) -> bool {
    name == mark::TABLE || run_of(name).is_some()
}

fn is_short(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
}

/// FNV-1a: part of the names, and so it stays as it is.
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The two sides of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// Of the staged copy.
    Stage,
    /// Of the previous data.
    Before,
}

impl Side {
    const ALL: [Self; 2] = [Self::Stage, Self::Before];

    const fn word(self) -> &'static str {
        match self {
            Self::Stage => "stage",
            Self::Before => "before",
        }
    }
}

/// The end of a run's id in a name.
const SHORT_BYTES: usize = 10;

impl Schemas {
    /// Names for a run.
    pub(crate) fn of(live: &str, run: &RunId, road: Road, logged: bool) -> Self {
        let name = |side: Side| side_name(live, side, run.short());
        Self { road, live: live.to_owned(), stage: name(Side::Stage), before: name(Side::Before), logged, over: None, keeps: None }
    }

    /// The end of the run's id, as the names have it.
    pub(crate) fn short(&self) -> &str {
        self.before.len().checked_sub(SHORT_BYTES).and_then(|at| self.before.get(at..)).unwrap_or_default()
    }

    /// Whether what is replaced is kept at the place.
    pub(crate) fn keeps_previous(&self) -> bool {
        self.road == Road::SideCopy || self.keeps.is_some()
    }

    /// Whether all that the run makes is in the live schema.
    pub(crate) fn is_within(&self) -> bool {
        self.road == Road::InPlace && self.keeps == Some(Keeps::Within)
    }

    /// Where the previous tables are kept.
    pub(crate) fn kept(&self) -> Room {
        if self.is_within() { self.kept_views() } else { Room::whole(&self.before) }
    }

    /// Where the previous views are kept: no server moves a view to another schema.
    pub(crate) fn kept_views(&self) -> Room {
        Room::within(&self.live, Side::Before, self.short())
    }

    /// Where the restored tables are when they are not live.
    pub(crate) fn aside(&self) -> Room {
        if self.is_within() { Room::within(&self.live, Side::Stage, self.short()) } else { Room::whole(&self.stage) }
    }

    /// Where the live tables are.
    pub(crate) fn live(&self) -> Room {
        Room::whole(&self.live)
    }

    /// Which side of which run a schema is, by its name: the end of the run's id. Servers that know no case may show another one.
    pub(crate) fn side_of<'a>(live: &str, schema: &'a str) -> Option<(Side, &'a str)> {
        let at = schema.len().checked_sub(SHORT_BYTES)?;
        let short = schema.get(at..).filter(|short| is_short(short))?;
        Side::ALL.into_iter().find(|side| side_name(live, *side, short).eq_ignore_ascii_case(schema)).map(|side| (side, short))
    }

    /// As the runner keeps it.
    pub(crate) fn to_place(&self) -> Result<Place> {
        serde_json::to_value(self).map(Place).map_err(|error| Error::failed("failed to write the place").because(error))
    }

    /// From what the runner kept; `live` must be the database that the address names.
    pub(crate) fn from_place(place: &Place, live: &str) -> Result<Self> {
        let schemas: Self = serde_json::from_value(place.0.clone())
            .map_err(|error| Error::needs_person("the journal names a place that is not one of a MySQL database").because(error))?;
        if schemas.live != live {
            return Err(Error::needs_person(format!("the run was begun for database {:?}, the address names {live:?}", schemas.live))
                .hint("Use the configuration with which the run was begun."));
        }
        Ok(schemas)
    }

    /// The schema that holds the restored rows before a cut-over.
    pub(crate) fn target(&self) -> &str {
        match self.road {
            Road::SideCopy => &self.stage,
            Road::InPlace => &self.live,
        }
    }
}

fn side_name(live: &str, side: Side, short: &str) -> String {
    let tail = format!("__{}_{short}", side.word());
    let head: String = live.chars().take(NAME_CHARACTERS.saturating_sub(tail.len())).collect();
    format!("{head}{tail}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_are_of_the_run_and_never_too_long() {
        let run = RunId("01jd0000000123456789".into());
        let schemas = Schemas::of("system", &run, Road::SideCopy, true);
        assert_eq!((schemas.stage.as_str(), schemas.before.as_str()), ("system__stage_0123456789", "system__before_0123456789"));
        let long = Schemas::of(&"é".repeat(64), &run, Road::SideCopy, true);
        assert_eq!((long.stage.chars().count(), long.before.chars().count()), (64, 64));
        assert_eq!(Schemas::side_of("system", "system__before_0123456789"), Some((Side::Before, "0123456789")));
        assert_eq!(Schemas::side_of(&"é".repeat(64), &long.stage), Some((Side::Stage, "0123456789")));
        for other in ["system", "system__stage_", "system2__stage_0123456789", "system__stage_x0123456789", "system__stage_ABCDEFGHIJ", "é"]
        {
            assert_eq!(Schemas::side_of("system", other), None, "{other}");
        }
        let room = schemas.kept_views();
        assert_eq!(room.name("accounts"), "__before_0123456789_accounts");
        let cut = [room.name(&"é".repeat(60)), room.name(&format!("{}x", "é".repeat(59)))];
        assert!(cut.iter().all(|name| name.chars().count() == ROOM_CHARACTERS && room.has(name)) && cut[0] != cut[1], "{cut:?}");
        for ours in ["__before_0123456789", "__stage_0123456789_a b", "threescale_backup_mark"] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in
            ["accounts", "__before_", "__before_012345678é", "__before_0123456789x", "__beside_0123456789_a", "before_0123456789_a"]
        {
            assert!(!is_ours(theirs), "{theirs}");
        }
        assert_eq!(Schemas::from_place(&schemas.to_place().unwrap(), "system").unwrap(), schemas);
        assert!(Schemas::from_place(&schemas.to_place().unwrap(), "other").is_err());
    }
}
