//! Which release of 3scale an installation is.

use std::cmp::Ordering;

use serde_json::Value;

use crate::collect::Collected;

/// The annotation of an APIManager in which the operator notes what is installed, since 2.8.
pub(crate) const INSTALLED: &str = "apps.3scale.net/apimanager-threescale-version";

/// As the operator notes it; up to 2.11 a ConfigMap has it too.
pub(crate) fn release(collected: &Collected) -> Option<String> {
    let noted = |apimanager: &Value| apimanager.get("metadata")?.get("annotations")?.get(INSTALLED)?.as_str().map(str::to_owned);
    let environment =
        || collected.core("ConfigMap", "system-environment")?.value.get("data")?.get("AMP_RELEASE")?.as_str().map(str::to_owned);
    collected.apimanagers().find_map(|apimanager| noted(&apimanager.value)).or_else(environment)
}

/// By year and number: 2.15 and 2.15.1 are the same to a database. `None` when one of them is no release.
pub(crate) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let numbers = |release: &str| {
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    Some(numbers(one)?.cmp(&numbers(other)?))
}

/// Whether System reads the key prefix of its Redis: up to 2.13. Taken to be so when the release is not known.
pub(crate) fn has_redis_namespace(release: Option<&str>) -> bool {
    !release.and_then(|release| compare(release, "2.14")).is_some_and(Ordering::is_ge)
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
}
