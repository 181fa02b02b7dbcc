//! The known name that a wrong one was probably meant to be.

/// How many of ten letters may be wrong.
const WRONG_OF_TEN: usize = 4;

/// The nearest of the known names, when one is near.
pub(super) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let distances = known.into_iter().map(|name| (strsim::osa_distance(&wrong, &name.to_lowercase()), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 10 <= WRONG_OF_TEN * wrong.chars().count().max(name.chars().count())).then_some(name)
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
    }
}
