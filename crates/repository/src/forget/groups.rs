//! Which sets are of one installation.
//!
//! The name alone does not say it: two clusters may both have a `prod`. Sets of one name are of one installation when they share an identity, their own or
//! that of a store in them (a partial set may know another store than a whole one does). Those without any identity go with the others of their name,
//! unless these are of several installations.

use std::collections::{BTreeMap, BTreeSet};

use plan::manifest::Manifest;
use plan::{Error, InstallationId, Result};

use super::Whose;

/// Sets of one installation, by their places in the listing; and how the installation is called in a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// `prod (namespace 17…)`.
    pub name: String,
    /// `None`: of version 0.1.0.
    installation: Option<String>,
    /// What it is known by.
    identities: BTreeSet<String>,
    /// Its sets, oldest first.
    pub places: Vec<usize>,
}

fn identities(manifest: &Manifest) -> BTreeSet<String> {
    let own = manifest.installation.iter().filter_map(|id| id.identity.clone());
    own.chain(manifest.data_sets.values().filter_map(|kept| kept.identity.clone())).collect()
}

/// All installations that have sets here.
pub fn of<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, manifest) in manifests.enumerate() {
        let installation = manifest.installation.as_ref();
        let name = installation.map_or_else(|| "the sets without a name".to_owned(), |id| format!("installation {id}"));
        let installation = installation.map(|id| id.name.clone());
        let mut new = Group { name, identities: identities(manifest), places: vec![place], installation };
        if new.installation.is_none() {
            new.identities.clear();
        }
        let is_same = |group: &mut Group| {
            group.installation == new.installation && (group.identities == new.identities || !group.identities.is_disjoint(&new.identities))
        };
        for same in groups.extract_if(.., is_same).collect::<Vec<_>>() {
            new.places.extend(same.places);
            new.identities.extend(same.identities);
        }
        groups.push(new);
    }
    join_unidentified(&mut groups);
    groups.iter_mut().for_each(|group| group.places.sort_unstable());
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    groups
}

fn join_unidentified(groups: &mut Vec<Group>) {
    let mut identified: BTreeMap<String, usize> = BTreeMap::new();
    for group in groups.iter().filter(|group| !group.identities.is_empty()) {
        *identified.entry(group.installation.clone().unwrap_or_default()).or_default() += 1;
    }
    let joins =
        |group: &mut Group| group.identities.is_empty() && group.installation.as_ref().is_some_and(|name| identified.get(name) == Some(&1));
    for unidentified in groups.extract_if(.., joins).collect::<Vec<_>>() {
        let is_its = |group: &&mut Group| group.installation == unidentified.installation && !group.identities.is_empty();
        if let Some(its) = groups.iter_mut().find(is_its) {
            its.places.extend(unidentified.places);
        }
    }
}

/// Parts those that the rules are about from the others.
///
/// # Errors
/// [`plan::Class::Refused`] when it cannot be told which installation is meant.
pub fn part(groups: Vec<Group>, whose: &Whose) -> Result<(Vec<Group>, Vec<Group>)> {
    let is_named_so = |group: &Group, wanted: &InstallationId| group.installation.as_ref() == Some(&wanted.name);
    if let Some(wanted) = &whose.installation
        && wanted.identity.is_none()
    {
        let same: Vec<_> = groups.iter().filter(|group| is_named_so(group, wanted) && !group.identities.is_empty()).collect();
        if same.len() > 1 {
            let names: Vec<_> = same.iter().map(|group| group.name.as_str()).collect();
            return Err(Error::refused(format!(
                "{} installations are called {}, and it cannot be told which is this one",
                same.len(),
                wanted.name
            ))
            .hint(format!("They are: {}.", names.join("; ")))
            .hint("Make its system database reachable, which tells; and give each its own [installation] name."));
        }
    }
    let is_meant = |group: &Group| match (&group.installation, &whose.installation) {
        (None, _) => whose.unnamed,
        (Some(_), None) => false,
        (Some(_), Some(wanted)) => {
            let knows = |identity: &String| group.identities.is_empty() || group.identities.contains(identity);
            is_named_so(group, wanted) && wanted.identity.as_ref().is_none_or(knows)
        }
    };
    Ok(groups.into_iter().partition(is_meant))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn manifest(name: Option<&str>, identity: Option<&str>, store: Option<&str>) -> Manifest {
        let kept = serde_json::json!({
            "snapshot": "s", "kind": "mysql", "store": "MySQL", "identity": store, "started_at": "2026-01-01T00:00:00Z",
            "consistent_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:00Z", "parts": 1, "bytes": 1, "stored_bytes": 1,
            "evidence": plan::evidence::Evidence::default()
        });
        let installation = name.map(|name| InstallationId { name: name.to_owned(), identity: identity.map(str::to_owned) });
        serde_json::from_value(serde_json::json!({
            "format": "2.0", "set": "s", "program_version": "1", "host": "h", "started_at": "2026-01-01T00:00:00Z",
            "finished_at": "2026-01-01T00:00:00Z", "frozen": false, "safety_for": null, "installation": installation,
            "data_sets": {"system-redis": kept}
        }))
        .unwrap()
    }

    fn places(groups: &[Group]) -> Vec<Vec<usize>> {
        groups.iter().map(|group| group.places.clone()).collect()
    }

    fn meant(manifests: &[Manifest], name: &str, identity: Option<&str>, unnamed: bool) -> Result<Vec<Vec<usize>>> {
        let installation = Some(InstallationId { name: name.to_owned(), identity: identity.map(str::to_owned) });
        Ok(places(&part(of(manifests.iter()), &Whose { installation, unnamed })?.0))
    }

    #[test]
    fn one_name_and_two_identities_are_two_installations() {
        let sets = [
            manifest(Some("prod"), Some("namespace 1"), None),
            manifest(Some("prod"), Some("namespace 2"), None),
            manifest(Some("prod"), Some("namespace 1"), None),
            manifest(Some("prod"), None, None),
            manifest(Some("test"), None, None),
            manifest(None, None, None),
        ];
        assert_eq!(places(&of(sets.iter())), [vec![3], vec![0, 2], vec![1], vec![4], vec![5]]);
        // Nobody knows whose the one without an identity is: it is counted on its own.
        assert_eq!(meant(&sets, "prod", Some("namespace 1"), false).unwrap(), [vec![3], vec![0, 2]]);
        assert_eq!(meant(&sets, "prod", Some("namespace 3"), false).unwrap(), [vec![3]]);
        assert_eq!(meant(&sets, "test", None, false).unwrap(), [vec![4]]);
        assert_eq!(meant(&sets, "test", None, true).unwrap(), [vec![4], vec![5]]);
        assert_eq!(meant(&sets, "other", None, false).unwrap(), [] as [Vec<usize>; 0]);
        assert_eq!(meant(&sets, "prod", None, false).unwrap_err().class(), plan::Class::Refused);
    }

    #[test]
    fn a_partial_set_that_knows_another_store_is_of_the_same_installation() {
        let whole = manifest(Some("prod"), Some("mysql 1"), Some("redis 1"));
        let partial = manifest(Some("prod"), Some("redis 1"), Some("redis 1"));
        let unknown = manifest(Some("prod"), None, None);
        let sets = [partial.clone(), unknown, whole, partial];
        assert_eq!(places(&of(sets.iter())), [vec![0, 1, 2, 3]]);
        assert_eq!(meant(&sets, "prod", Some("mysql 1"), false).unwrap(), [vec![0, 1, 2, 3]]);
        assert_eq!(meant(&sets, "prod", None, false).unwrap(), [vec![0, 1, 2, 3]]);
    }

    #[test]
    fn sets_without_a_name_are_never_meant_by_a_name() {
        let sets = [manifest(None, None, Some("mysql 1")), manifest(None, None, None)];
        assert_eq!(meant(&sets, "prod", Some("mysql 1"), false).unwrap(), [] as [Vec<usize>; 0]);
        assert_eq!(meant(&sets, "prod", None, true).unwrap(), [vec![0, 1]]);
    }
}
