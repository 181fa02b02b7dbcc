//! Which release of 3scale an installation is, and whether a set of one goes into another. Pure: the rule stands here, with its table as a test.
//!
//! An older System does not run on a newer database; a newer one migrates an older database when its migrations are run.

use std::cmp::Ordering;

use crate::ports::{Problem, Severity};

/// The annotation of an APIManager in which the operator notes what is installed, since 2.8.
pub const INSTALLED: &str = "apps.3scale.net/apimanager-threescale-version";
/// The label of pods, since 2.14.
pub const LABEL: &str = "rht.comp_ver";
/// The entry of ConfigMap system-environment, up to 2.11.
pub const ENVIRONMENT: &str = "AMP_RELEASE";
/// The fact of a database that was looked at: the newest migration that it has had (`schema_migrations`).
pub const SCHEMA: &str = "newest migration";

/// The newest migration of System of each release, as far as it is known (porta, `db/schema.rb` of its branches).
const MIGRATIONS: [(&str, &str); 3] = [("2.14", "20230927012615"), ("2.15", "20240302090207"), ("2.16", "20241107134140")];

/// The release of an installation: what the operator notes, else what its pods bear, else what they are given.
#[must_use]
pub fn release(noted: Option<&str>, labelled: Option<&str>, given: Option<&str>) -> Option<String> {
    noted.or(labelled).or(given).filter(|release| !release.is_empty()).map(str::to_owned)
}

/// By year and number: 2.15 and 2.15.1 are the same to a database. `None` when one of them is no release.
#[must_use]
pub fn compare(one: &str, other: &str) -> Option<Ordering> {
    Some(number(one)?.cmp(&number(other)?))
}

fn number(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Whether System reads the key prefix of its Redis: up to 2.13. Taken to be so when the release is not known.
#[must_use]
pub fn has_redis_namespace(release: Option<&str>) -> bool {
    !release.and_then(|release| compare(release, "2.14")).is_some_and(Ordering::is_ge)
}

/// What is known of the release of a set, or of an installation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known<'a> {
    /// The release.
    pub release: Option<&'a str>,
    /// The newest migration of its system database.
    pub schema: Option<&'a str>,
}

/// Whether System here runs on the set's database. Releases decide where both are known: a live database may be older than its System, after a restore. Without
/// them, migrations do.
#[must_use]
pub fn judge(set: Known<'_>, here: Known<'_>) -> Option<Problem> {
    let refused = |text: String, way_out: String| {
        Some(Problem::new(Severity::Blocks, format!("{text}: an older System does not run on a newer database")).way_out(way_out))
    };
    if let (Some(kept), Some(there)) = (set.release, here.release)
        && let Some(order) = compare(kept, there)
    {
        let text = format!("the set is of 3scale {kept}, here is {there}");
        return match order {
            Ordering::Greater => refused(text, format!("Upgrade the target to 3scale {kept} or newer.")),
            Ordering::Equal => None,
            Ordering::Less => Some(Problem::new(Severity::Note, text)),
        };
    }
    let (kept, there) = (migration(set.schema?)?, here.schema.and_then(migration));
    let by_release = here.release.and_then(newest_of);
    if by_release.is_some_and(|newest| newest >= kept) || there? >= kept {
        return None;
    }
    let text = format!("the newest migration of the set's system database is {kept}, that of the database here is {}", there?);
    refused(
        text,
        "Upgrade the target first. If System here is of a newer release than its database, say of which: [installation] release = \"2.16\" in the \
         configuration (THREESCALE_BACKUP_INSTALLATION_RELEASE)."
            .to_owned(),
    )
}

/// A migration by its number; Rails makes them of the date.
fn migration(version: &str) -> Option<u64> {
    version.trim().parse().ok()
}

fn newest_of(release: &str) -> Option<u64> {
    let known = MIGRATIONS.iter().filter(|(known, _)| compare(known, release).is_some_and(Ordering::is_le));
    known.filter_map(|(_, version)| migration(version)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_first_two_numbers() {
        for (one, other, want) in [
            ("2.15", "2.15.1", Some(Ordering::Equal)),
            ("2.9", "2.10", Some(Ordering::Less)),
            ("2.16.0", "2.15", Some(Ordering::Greater)),
            ("2.15-mas", "2.15", None),
            ("master", "2.15", None),
            ("3", "2.15", None),
        ] {
            assert_eq!(compare(one, other), want, "{one} {other}");
        }
        let reads = [None, Some("2.13.2"), Some("2.14"), Some("2.16.1"), Some("nightly")].map(has_redis_namespace);
        assert_eq!(reads, [true, true, false, false, true]);
    }

    #[test]
    fn the_release_is_what_is_noted_else_labelled_else_given() {
        for (noted, labelled, given, want) in [
            (Some("2.16.4"), Some("2.15"), Some("2.11"), Some("2.16.4")),
            (None, Some("2.15"), Some("2.11"), Some("2.15")),
            (None, None, Some("2.11"), Some("2.11")),
            (None, None, Some(""), None),
            (None, None, None, None),
        ] {
            assert_eq!(release(noted, labelled, given).as_deref(), want);
        }
    }

    #[test]
    fn an_older_system_gets_no_newer_database() {
        let (v14, v15, v16) = ("20230927012615", "20240302090207", "20241107134140");
        let known = |(release, schema): (&'static str, &'static str)| {
            let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
            Known { release: some(release), schema: some(schema) }
        };
        let blocks = Some(Severity::Blocks);
        for (set, here, want) in [
            // Both releases are known: they decide, whatever the databases are.
            (("2.16.1", v16), ("2.15.5", v15), blocks),
            (("2.16", ""), ("2.15", ""), blocks),
            (("2.16", v15), ("2.15", v16), blocks),
            (("2.15.0", v15), ("2.15.5", v14), None),
            (("2.16.4", v16), ("2.16.0", v14), None),
            (("2.14", v14), ("2.16.4", v16), Some(Severity::Note)),
            (("2.9", ""), ("2.10", ""), Some(Severity::Note)),
            // One is not known, or is none: the databases do.
            (("", v16), ("", v15), blocks),
            (("2.16", v16), ("", v15), blocks),
            (("nightly", v16), ("2.15", v15), blocks),
            (("", v16), ("2.15", v15), blocks),
            (("", v16), ("2.15", v16), None),
            (("", v16), ("2.16", v15), None),
            (("", v15), ("2.17", v14), None),
            (("", v15), ("", v15), None),
            (("", v14), ("", v16), None),
            (("", ""), ("", v16), None),
            (("", v16), ("", ""), None),
            (("2.16", ""), ("", ""), None),
            (("", "no number"), ("", v16), None),
        ] {
            assert_eq!(judge(known(set), known(here)).map(|problem| problem.severity), want, "{set:?} into {here:?}");
        }
    }
}
