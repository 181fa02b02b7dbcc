//! Times in nanoseconds since the epoch: as programs read and write them, and what a set can hold.

use plan::ports::Meta;

/// The first and the last time that every reader of a set takes: the years 1 to 9999, less the hours that a time zone may add.
const FIRST_NS: i128 = -62_135_596_800 * 1_000_000_000;
const LAST_NS: i128 = 253_402_207_200 * 1_000_000_000;

/// The first and the last time that a volume keeps, of those that a set can hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first_ns: i128,
    pub(crate) last_ns: i128,
}

impl Default for Span {
    fn default() -> Self {
        Self { first_ns: FIRST_NS, last_ns: LAST_NS }
    }
}

impl Span {
    /// Whether a volume gives an entry another time than this.
    pub(crate) fn lacks(self, mtime_ns: Option<i128>) -> bool {
        mtime_ns.is_some_and(|mtime_ns| !(self.first_ns..=self.last_ns).contains(&mtime_ns))
    }
}

/// As `tar`, `touch` and `find` read it: `-1.500000000`.
pub(crate) fn seconds(time_ns: i128) -> String {
    let (sign, total) = if time_ns < 0 { ("-", -time_ns) } else { ("", time_ns) };
    format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000)
}

/// Reads `-1.5`: seconds and a fraction of any length.
pub(crate) fn nanoseconds(text: &str) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let digits = |text: &str| if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse::<u64>().ok().map(i128::from) } else { None };
    let total = digits(seconds)? * 1_000_000_000 + digits(&fraction)?;
    Some(if negative { -total } else { total })
}

/// Puts a time that a set cannot hold to the nearest that it can. Tells whether it did.
pub(crate) fn clamp(meta: &mut Meta) -> bool {
    let Some(mtime_ns) = meta.mtime_ns.as_mut() else { return false };
    let held = (*mtime_ns).clamp(FIRST_NS, LAST_NS);
    std::mem::replace(mtime_ns, held) != held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for time_ns in [0, 1, -1, 1_500_000_000, -1_500_000_000, i128::from(i64::MAX) * 1_000_000_000, i128::from(i64::MIN) * 1_000_000_000]
        {
            assert_eq!(nanoseconds(&seconds(time_ns)), Some(time_ns));
        }
        assert_eq!(nanoseconds("-1.5"), Some(-1_500_000_000));
        for odd in ["", ".", "1.x", "x", "--1", "+1", "1.-1", "99999999999999999999999999999999999999999"] {
            assert_eq!(nanoseconds(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_what_a_set_cannot_hold_is_clamped() {
        let clamped = |mtime_ns| {
            let mut meta = Meta { mtime_ns: Some(mtime_ns), ..Meta::default() };
            (clamp(&mut meta), meta.mtime_ns)
        };
        for kept in [FIRST_NS, LAST_NS, 0, -1, 1_234_567_891_123_456_789] {
            assert_eq!(clamped(kept), (false, Some(kept)));
        }
        assert_eq!(clamped(LAST_NS + 1), (true, Some(LAST_NS)));
        assert_eq!(clamped(FIRST_NS - 1), (true, Some(FIRST_NS)));
    }
}
