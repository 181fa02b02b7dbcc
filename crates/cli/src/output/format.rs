//! Numbers and times as people read them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use plan::words::bytes;
use plan::{Error, Result};

/// `12 345`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let grouped: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    grouped.join(" ")
}

/// `1.25 s`, `3 min 05 s`.
pub(crate) fn duration_ms(milliseconds: i64) -> String {
    match milliseconds {
        ..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{:.1} s", milliseconds as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {:02} s", milliseconds / 60_000, milliseconds / 1000 % 60),
        _ => format!("{} h {:02} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}

/// How long ago: `5 min`, `3 d`. Clocks may differ by minutes: only what is further ahead is the future.
pub(crate) fn age(then: Timestamp) -> String {
    age_at(then, Timestamp::now())
}

/// How long ago it was at a time.
pub(crate) fn age_at(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    match seconds {
        ..-300 => "in the future".to_owned(),
        -300..0 => "0 s".to_owned(),
        0..60 => format!("{seconds} s"),
        60..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A limit as it was given: `36 h`, `8 d`.
pub(crate) fn length(time: SignedDuration) -> String {
    match time.as_hours() {
        hours if hours % 24 == 0 => format!("{} d", hours / 24),
        hours => format!("{hours} h"),
    }
}

/// `2026-01-31 12:00:05` in the machine's time zone.
pub(crate) fn local_time(then: Timestamp) -> String {
    then.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `12.3 MB/s`.
pub(crate) fn rate(bytes_done: u64, milliseconds: i64) -> String {
    let per_second = bytes_done as f64 * 1000.0 / (milliseconds.max(1) as f64);
    format!("{}/s", bytes(per_second as u64))
}

/// `50M`, `1G`, `1.5GB`, `1000000`: decimal units; `Mi`, `Gi` binary ones.
pub(crate) fn parse_bytes(text: &str) -> Result<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.trim().trim_end_matches(['B', 'b']).to_ascii_lowercase().as_str() {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "ki" => 1024.0,
        "mi" => 1_048_576.0,
        "gi" => 1_073_741_824.0,
        _ => return Err(Error::refused(format!("{text:?} is not a size")).hint("Write 50M, 1G or 500Mi.")),
    };
    let number: f64 = number.parse().map_err(|_| Error::refused(format!("{text:?} is not a size")).hint("Write 50M, 1G or 500Mi."))?;
    Ok((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(bytes(123_456_789), "123 MB");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(duration_ms(61_000), "1 min 01 s");
        assert_eq!(parse_bytes("1.5G").unwrap(), 1_500_000_000);
        assert_eq!(parse_bytes("2Mi").unwrap(), 2_097_152);
        assert!(parse_bytes("many").is_err());
    }

    #[test]
    fn an_age_is_never_negative() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let age = |then: &str| age_at(then.parse().unwrap(), now);
        assert_eq!(age("2026-11-29T11:59:58Z"), "2 s");
        assert_eq!(age("2026-11-29T12:00:02Z"), "0 s");
        assert_eq!(age("2031-01-01T00:00:00Z"), "in the future");
        assert_eq!(age("2026-11-20T12:00:00Z"), "9 d");
    }
}
