//! Patterns of keys: literal text, and parts that vary. A pattern fits a whole key or not at all, so a part that may hold anything is found from both ends.
//!
//! Alternatives and what may be left out are spread when a pattern is read, so that what is matched is flat.

/// A key longer than this is known by no pattern: parts may be searched for in it over and over.
const KEY_MAX_BYTES: usize = 4096;

/// What a part may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Anything, at least a byte.
    Anything,
    /// An id of the database, a time, a number.
    Digits,
    /// What Backend calls a service: its id, behind the `service_preffix` of its account where it has one (porta `app/models/service.rb`, `preffix_key`). Backend itself takes any text,
    /// so what ends a service's name in a key, and braces, are in no prefix.
    Service,
    /// Twelve hexadecimal digits.
    Nonce,
}

impl Holds {
    fn of(name: &str) -> Self {
        match name {
            "service" => Self::Service,
            "metric" | "plan" | "pid" | "n" | "day" | "hour" | "T" => Self::Digits,
            "nonce" => Self::Nonce,
            _ => Self::Anything,
        }
    }

    fn fits(self, text: &[u8]) -> bool {
        match self {
            Self::Anything => !text.is_empty(),
            Self::Digits => !text.is_empty() && text.iter().all(u8::is_ascii_digit),
            Self::Service => text.last().is_some_and(u8::is_ascii_digit) && !text.iter().any(|byte| b"/:{}".contains(byte)),
            Self::Nonce => text.len() == 12 && text.iter().all(u8::is_ascii_hexdigit),
        }
    }
}

/// Whether Backend may call a service so.
pub(crate) fn is_service(name: &[u8]) -> bool {
    Holds::Service.fits(name)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Part(&'static str, Holds),
}

/// A part of a key by its name in the pattern.
pub(crate) type Part<'k> = (&'static str, &'k [u8]);

/// A flat pattern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

impl Pattern {
    /// The flat patterns that a text of the data file stands for (`data/README.md`).
    pub(crate) fn spread(text: &'static str) -> Vec<Self> {
        let mut spread = vec![Self::default()];
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let options: Vec<Self>;
            if let Some((inner, after)) = enclosed(rest, '[', ']') {
                options = std::iter::once(Self::default()).chain(Self::spread(inner)).collect();
                rest = after;
            } else if let Some((inner, after)) = enclosed(rest, '{', '}') {
                options = if inner.contains('|') { inner.split('|').map(alternative).collect() } else { vec![part(inner)] };
                rest = after;
            } else {
                let (escape, literal) = if first == '\\' { (1, rest.chars().nth(1).unwrap_or(first)) } else { (0, first) };
                options = vec![Self(vec![Piece::Literal(literal.to_string().into_bytes())])];
                rest = rest.get(escape + literal.len_utf8()..).unwrap_or_default();
            }
            spread = spread.iter().flat_map(|begun| options.iter().map(|option| begun.then(option))).collect();
        }
        spread
    }

    /// The parts of a key that the pattern fits.
    pub(crate) fn parts<'k>(&self, key: &'k [u8]) -> Option<Vec<Part<'k>>> {
        let mut parts = Vec::new();
        (key.len() <= KEY_MAX_BYTES && fits(&self.0, key, &mut parts)).then_some(parts)
    }

    /// One pattern, then another.
    fn then(&self, next: &Self) -> Self {
        let mut pieces = self.0.clone();
        for piece in &next.0 {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Literal(before)), Piece::Literal(more)) => before.extend_from_slice(more),
                _ => pieces.push(piece.clone()),
            }
        }
        Self(pieces)
    }
}

/// What is between two signs at the begin of a text, and what comes after.
fn enclosed(text: &'static str, open: char, close: char) -> Option<(&'static str, &'static str)> {
    text.strip_prefix(open)?.split_once(close)
}

fn part(name: &'static str) -> Pattern {
    Pattern(vec![Piece::Part(name, Holds::of(name))])
}

/// `eternity`, or `hour:T`.
fn alternative(text: &'static str) -> Pattern {
    match text.strip_suffix(":T") {
        Some(name) => Pattern(vec![Piece::Literal(format!("{name}:").into_bytes())]).then(&part("T")),
        None => Pattern(vec![Piece::Literal(text.as_bytes().to_vec())]),
    }
}

fn fits<'k>(pieces: &[Piece], key: &'k [u8], parts: &mut Vec<Part<'k>>) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return key.is_empty() };
    match first {
        Piece::Literal(text) => key.strip_prefix(text.as_slice()).is_some_and(|after| fits(rest, after, parts)),
        Piece::Part(name, holds) => {
            let Some(Piece::Literal(next)) = rest.first() else {
                let is_last = rest.is_empty() && holds.fits(key);
                if is_last {
                    parts.push((name, key));
                }
                return is_last;
            };
            let last = key.len().saturating_sub(next.len());
            for end in (1..=last).filter(|end| key.get(*end..).is_some_and(|after| after.starts_with(next))) {
                let (text, after) = key.split_at(end);
                if !holds.fits(text) {
                    continue;
                }
                let known = parts.len();
                parts.push((name, text));
                if fits(rest, after, parts) {
                    return true;
                }
                parts.truncate(known);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(pattern: &'static str, key: &str) -> Option<Vec<(String, String)>> {
        let spread = Pattern::spread(pattern);
        let found = spread.iter().find_map(|pattern| pattern.parts(key.as_bytes()))?;
        Some(found.into_iter().map(|(name, text)| (name.to_owned(), String::from_utf8_lossy(text).into_owned())).collect())
    }

    fn named(parts: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn parts_are_found_from_both_ends() {
        let key = "application/service_id:{service}/key:{user_key}/id";
        assert_eq!(parts(key, "application/service_id:7/key:a/id/key:b:c/id"), named(&[("service", "7"), ("user_key", "a/id/key:b:c")]));
        let token = "service_token/token:{token}/service_id:{service}";
        assert_eq!(
            parts(token, "service_token/token:x/service_id:1/service_id:2"),
            named(&[("token", "x/service_id:1"), ("service", "2")])
        );
        assert_eq!(parts(key, "application/service_id:7/key:/id"), None, "a part is never empty");
        assert_eq!(parts(key, "application/service_id:x/key:a/id"), None, "a service has a number");
    }

    #[test]
    fn a_service_has_a_number_behind_what_its_account_puts_before_it() {
        let key = "application/service_id:{service}/key:{user_key}/id";
        for name in ["7", "acme7", "acme-7", "a.7_b 2", "2-7", "é7"] {
            let text = format!("application/service_id:{name}/key:a/id/key:b:c/id");
            assert_eq!(parts(key, &text), named(&[("service", name), ("user_key", "a/id/key:b:c")]), "{name}");
        }
        for name in ["", "acme", "7acme", "a/7", "a:7", "{7", "a}7", "a\u{660}"] {
            assert_eq!(parts(key, &format!("application/service_id:{name}/key:a/id")), None, "{name}");
        }
        let token = "service_token/token:{token}/service_id:{service}";
        assert_eq!(
            parts(token, "service_token/token:x/service_id:a1/service_id:b2"),
            named(&[("token", "x/service_id:a1"), ("service", "b2")])
        );
        let stats = "stats/\\{service:{service}\\}/metric:{metric}/{eternity|hour:T}";
        assert_eq!(parts(stats, "stats/{service:acme-2}/metric:3/eternity"), named(&[("service", "acme-2"), ("metric", "3")]));
        assert_eq!(parts(stats, "stats/{service:2}/metric:acme-3/eternity"), None, "nothing else has a prefix");
    }

    #[test]
    fn alternatives_times_braces_and_what_may_be_left_out() {
        let stats = "stats/\\{service:{service}\\}/metric:{metric}/{eternity|hour:T}";
        assert_eq!(parts(stats, "stats/{service:2}/metric:3/eternity"), named(&[("service", "2"), ("metric", "3")]));
        assert_eq!(
            parts(stats, "stats/{service:2}/metric:3/hour:201601021"),
            named(&[("service", "2"), ("metric", "3"), ("T", "201601021")])
        );
        assert_eq!(parts(stats, "stats/{service:2}/metric:3/hour:"), None);
        assert_eq!(parts(stats, "stats/service:2/metric:3/eternity"), None);
        let stat = "stat:{processed|failed}[:{date}]";
        assert_eq!(parts(stat, "stat:failed"), named(&[]));
        assert_eq!(parts(stat, "stat:failed:2026-01-05"), named(&[("date", "2026-01-05")]));
        assert_eq!(parts(stat, "stat:other"), None);
    }

    proptest! {
        /// Whatever a part holds, it is found again.
        #[test]
        fn what_is_put_in_is_found(prefix in "[ -.0-9;-z|~é]{0,20}", service in 1u64..u64::MAX, key in "[ -~]{1,40}") {
            let service = format!("{prefix}{service}");
            let text = format!("application/service_id:{service}/key:{key}/id");
            prop_assert!(is_service(service.as_bytes()));
            prop_assert_eq!(
                parts("application/service_id:{service}/key:{user_key}/id", &text),
                named(&[("service", &service), ("user_key", &key)])
            );
        }

        /// What a service is called and what stands before it in a key are never mixed up.
        #[test]
        fn a_service_is_told_from_what_stands_before_it(token in "[ -~]{1,40}", prefix in "[a-z0-9._-]{0,8}", service in 1u64..1000) {
            let service = format!("{prefix}{service}");
            prop_assert_eq!(
                parts("service_token/token:{token}/service_id:{service}", &format!("service_token/token:{token}/service_id:{service}")),
                named(&[("token", &token), ("service", &service)])
            );
        }

        /// No key makes it panic, and what fits is the whole key.
        #[test]
        fn any_bytes_are_survived(key in proptest::collection::vec(any::<u8>(), 0..200)) {
            for pattern in Pattern::spread("a{x}:{y}[-{z}]") {
                if let Some(parts) = pattern.parts(&key) {
                    let length: usize = parts.iter().map(|(_, text)| text.len()).sum();
                    prop_assert!(length < key.len());
                }
            }
        }
    }
}
