//! The known name that a wrong one was probably meant to be.

/// How many of ten letters may be wrong.
const WRONG_OF_TEN: usize = 3;

/// The nearest of the known names, when one is near, or has the wrong one in it.
pub(super) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let known: Vec<_> = known.into_iter().collect();
    let distances = known.iter().map(|name| (strsim::osa_distance(&wrong, &name.to_lowercase()), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    if distance * 10 <= WRONG_OF_TEN * wrong.chars().count().max(name.chars().count()) {
        return Some(name);
    }
    let around: Vec<_> = known.iter().filter(|name| name.to_lowercase().contains(&wrong)).copied().collect();
    let shortest = around.iter().min_by_key(|name| name.len()).copied()?;
    // `password` for `password`, `password-file` and `password-command`; of two that are no more alike nobody knows which was meant.
    around.iter().all(|name| name.starts_with(shortest)).then_some(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_has_a_nearest_name_and_another_word_has_none() {
        let known = ["folder", "kind", "password-file", "url", "region"];
        assert_eq!(nearest("foldr", known), Some("folder"));
        assert_eq!(nearest("knd", known), Some("kind"));
        assert_eq!(nearest("pasword-file", known), Some("password-file"));
        assert_eq!(nearest("REGION", known), Some("region"));
        assert_eq!(nearest("bucket", known), None);
        let sections = ["system-redis", "backend-redis", "zync-database", "system-database"];
        assert_eq!(nearest("zync", sections), Some("zync-database"));
        assert_eq!(nearest("redis", sections), None);
        assert_eq!(nearest("system-mysql", sections), None);
        assert_eq!(nearest("S3_REGION", ["REPOSITORY_S3_REGION", "OPTIONS_WORKERS"]), Some("REPOSITORY_S3_REGION"));
    }
}
