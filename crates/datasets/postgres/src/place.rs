//! Names: of the side databases on the server, and of the parts in a snapshot.

use plan::ids::RunId;
use plan::ports::{Place, Road};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

/// PostgreSQL cuts longer names silently (NAMEDATALEN − 1), and two that were cut might be one.
const NAME_BYTES: usize = 63;

/// What [`Place`] holds for PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Databases {
    /// How the set goes back.
    pub(crate) road: Road,
    /// The live database.
    pub(crate) live: String,
    /// Its object id when the place was reserved, by which the previous data is known under any name; none when there was no such database.
    pub(crate) live_oid: Option<u32>,
    /// The staged database.
    pub(crate) stage: String,
    /// The previous live database, after the cut-over.
    pub(crate) before: String,
    /// In place: what is live when the place is reserved ([`crate::aside::fingerprint`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
}

impl Databases {
    /// Names of a run.
    pub(crate) fn new(road: Road, live: &str, live_oid: Option<u32>, run: &RunId) -> Self {
        let name = |role| side_name(live, role, run.short());
        Self { road, live: live.to_owned(), live_oid, stage: name(Role::Stage), before: name(Role::Before), fingerprint: None }
    }

    /// # Errors
    /// [`plan::Class::NeedsPerson`] when it is not a place of this data set.
    pub(crate) fn read(place: &Place) -> Result<Self> {
        serde_json::from_value(place.0.clone())
            .map_err(|error| Error::needs_person("the journal's place is not one of PostgreSQL").because(error))
    }

    /// # Errors
    /// Never in practice.
    pub(crate) fn write(&self) -> Result<Place> {
        let value = serde_json::to_value(self).map_err(|error| Error::failed("failed to write the place").because(error))?;
        Ok(Place(value))
    }
}

/// What a side database is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The staged copy.
    Stage,
    /// The previous data.
    Before,
}

/// The end of a run's id in a name.
const SHORT_BYTES: usize = 10;

/// What a database is beside a live one, and of which run: the end of its id.
pub(crate) fn role_of<'a>(live: &str, database: &'a str) -> Option<(Role, &'a str)> {
    let at = database.len().checked_sub(SHORT_BYTES)?;
    let short = database.get(at..).filter(|short| short.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase()))?;
    [Role::Stage, Role::Before].into_iter().find(|role| side_name(live, *role, short) == database).map(|role| (role, short))
}

fn side_name(live: &str, role: Role, short: &str) -> String {
    let word = match role {
        Role::Stage => "stage",
        Role::Before => "before",
    };
    let end = format!("__{word}_{short}");
    let mut room = NAME_BYTES.saturating_sub(end.len()).min(live.len());
    while !live.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{end}", &live[..room])
}

/// The database's name as the name of a file: `/`, control characters and a leading dot are percent-encoded.
pub(crate) fn file_name(database: &str) -> String {
    let encode = |(index, character): (usize, char)| match character {
        '/' | '%' | '\0'..='\x1f' => format!("%{:02X}", u32::from(character)),
        '.' if index == 0 => "%2E".to_owned(),
        other => other.to_string(),
    };
    database.chars().enumerate().map(encode).collect()
}

/// Whether a folder of a snapshot is the archive of `pg_dump`: a file that is cut into parts, `00000001.part` and so on.
#[must_use]
pub fn is_stream(folder: &std::path::Path) -> bool {
    folder.components().count() == 1 && folder.extension().is_some_and(|extension| extension == "dump")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_names_fit_and_keep_their_end() {
        assert_eq!(side_name("zync", Role::Stage, "abcdefghij"), "zync__stage_abcdefghij");
        let long = side_name(&"ö".repeat(31), Role::Before, "abcdefghij");
        assert!(long.len() <= NAME_BYTES && long.ends_with("ö__before_abcdefghij"), "{long}");
        assert_eq!(role_of("zync", "zync__stage_abcdefghij"), Some((Role::Stage, "abcdefghij")));
        assert_eq!(role_of(&"ö".repeat(31), &long), Some((Role::Before, "abcdefghij")));
        for other in ["zync", "zync__stage_", "zync2__stage_abcdefghij", "zync__stage_xabcdefghij", "zync__stage_ABCDEFGHIJ", "ö"] {
            assert_eq!(role_of("zync", other), None, "{other}");
        }
    }

    #[test]
    fn file_names_never_leave_their_folder() {
        assert_eq!(file_name("zync_production"), "zync_production");
        assert_eq!(file_name("../a b"), "%2E.%2Fa b");
    }
}
