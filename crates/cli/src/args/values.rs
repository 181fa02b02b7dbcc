//! Values as people write them.

use std::num::NonZeroU64;

use jiff::SignedDuration;
use plan::Queues;

use crate::output::parse_bytes;

/// What an operator says about job queues.
pub(super) fn queues(text: &str) -> std::result::Result<Queues, String> {
    match text {
        "drop" => Ok(Queues::Drop),
        "safe" => Ok(Queues::Safe),
        "keep" => Ok(Queues::Keep),
        _ => match text.strip_prefix("only=").map(|names| names.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()) {
            Some(names) if names.iter().all(|name| !name.is_empty()) => Ok(Queues::Only(names)),
            _ => Err("write drop, safe, keep, or only= and classes of jobs separated by commas".to_owned()),
        },
    }
}

/// For how long the clock is held.
pub(super) fn hold_for(text: &str) -> std::result::Result<SignedDuration, String> {
    const DAYS_MAX: i64 = 90;
    let held = length_of_time(text)?;
    if held > SignedDuration::from_hours(DAYS_MAX * 24) { Err(format!("it is held for {DAYS_MAX} days at most")) } else { Ok(held) }
}

/// A size as people write it.
pub(super) fn size(text: &str) -> std::result::Result<u64, String> {
    parse_bytes(text).map_err(|error| error.chain())
}

/// Bytes a second.
pub(crate) fn rate(text: &str) -> std::result::Result<NonZeroU64, String> {
    /// With less, what is at work would wait for longer than servers and locks do.
    const LEAST: u64 = 100_000;
    let bytes = size(text.trim_end_matches("/s"))?;
    let rate = NonZeroU64::new(bytes).filter(|rate| rate.get() >= LEAST);
    rate.ok_or_else(|| format!("{text:?} is too little: write 100K (bytes a second) or more, such as 20M"))
}

/// How often something is done: an hour at most, because what is older than two is taken for lost (the alerts of the chart).
pub(super) fn interval(text: &str) -> std::result::Result<SignedDuration, String> {
    const WAYS: &str = "write seconds, minutes or hours, such as 30s, 5m or 1h, an hour at most";
    const HOUR_SECONDS: i64 = 60 * 60;
    let unit = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err(WAYS.to_owned()),
    };
    let number = number.parse().ok().and_then(|number: i64| number.checked_mul(seconds));
    number.filter(|seconds| (1..=HOUR_SECONDS).contains(seconds)).map(SignedDuration::from_secs).ok_or_else(|| WAYS.to_owned())
}

/// Hours, days or weeks.
pub(super) fn length_of_time(text: &str) -> std::result::Result<SignedDuration, String> {
    const WAYS: &str = "write hours, days or weeks, such as 36h, 7d or 2w";
    const YEARS_MAX: i64 = 100;
    let unit = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        _ => return Err(WAYS.to_owned()),
    };
    let held =
        number.parse().ok().and_then(|number: i64| number.checked_mul(hours)).filter(|hours| (1..=YEARS_MAX * 366 * 24).contains(hours));
    held.map(SignedDuration::from_hours).ok_or_else(|| WAYS.to_owned())
}
