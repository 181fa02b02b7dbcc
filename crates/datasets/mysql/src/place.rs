//! Where the staged copy and the previous data are: two schemas beside the live one, named after the run.

use std::collections::BTreeSet;

use plan::ids::RunId;
use plan::ports::{Place, Road};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

/// A name of MySQL has at most so many characters.
const NAME_CHARACTERS: usize = 64;

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
}

/// The two schemas of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        Self { road, live: live.to_owned(), stage: name(Side::Stage), before: name(Side::Before), logged, over: None }
    }

    /// Which side of which run a schema is, by its name: the end of the run's id. Servers that know no case may show another one.
    pub(crate) fn side_of<'a>(live: &str, schema: &'a str) -> Option<(Side, &'a str)> {
        let at = schema.len().checked_sub(SHORT_BYTES)?;
        let short = schema.get(at..).filter(|short| short.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()))?;
        Side::ALL.into_iter().find(|side| side_name(live, *side, short).eq_ignore_ascii_case(schema)).map(|side| (side, short))
    }

    /// As the runner keeps it.
    pub(crate) fn to_place(&self) -> Result<Place> {
        serde_json::to_value(self).map(Place).map_err(|error| Error::failed("write the place").because(error))
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
        assert_eq!(Schemas::from_place(&schemas.to_place().unwrap(), "system").unwrap(), schemas);
        assert!(Schemas::from_place(&schemas.to_place().unwrap(), "other").is_err());
    }
}
