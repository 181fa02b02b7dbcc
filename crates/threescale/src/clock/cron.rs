//! Schedules of cron: five fields of numbers, `*`, lists, ranges and steps, in UTC, as 3scale's pods have it. Others (names, time zones, seconds) are not read.

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Vec<i8>,
    months: Vec<i8>,
    weekdays: Vec<i8>,
    /// Whether day and weekday are both restricted: then either is enough (crontab(5)).
    either_day: bool,
}

impl Cron {
    /// Reads a schedule; `None` when it is not such a one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let weekday_numbers = field(weekdays, 0, 7)?;
        Some(Self {
            minutes: field(minutes, 0, 59)?,
            hours: field(hours, 0, 23)?,
            days: field(days, 1, 31)?,
            months: field(months, 1, 12)?,
            weekdays: weekday_numbers.into_iter().map(|day| day % 7).collect(),
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    /// The ticks after `from`, up to and with `until`.
    #[must_use]
    pub fn ticks(&self, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let mut ticks = Vec::new();
        let mut day = TimeZone::UTC.to_datetime(from).date();
        let last = TimeZone::UTC.to_datetime(until).date();
        while day <= last {
            ticks.extend(self.of_day(day.into()).filter(|tick| *tick > from && *tick <= until));
            match day.tomorrow() {
                Ok(tomorrow) => day = tomorrow,
                Err(_) => break,
            }
        }
        ticks
    }

    /// The last tick at or before a moment, no further back than a year.
    #[must_use]
    pub fn last(&self, now: Timestamp) -> Option<Timestamp> {
        let mut day = TimeZone::UTC.to_datetime(now).date();
        for _ in 0..366 {
            if let Some(tick) = self.of_day(day.into()).filter(|tick| *tick <= now).last() {
                return Some(tick);
            }
            day = day.yesterday().ok()?;
        }
        None
    }

    fn of_day(&self, midnight: DateTime) -> impl Iterator<Item = Timestamp> {
        let begin = TimeZone::UTC.to_timestamp(midnight).ok().filter(|_| self.is_on(midnight));
        let minutes = self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| i64::from(*hour) * 60 + i64::from(*minute)));
        minutes.filter_map(move |minute| begin?.checked_add(SignedDuration::from_mins(minute)).ok())
    }

    fn is_on(&self, day: DateTime) -> bool {
        let (of_month, of_week) = (self.days.contains(&day.day()), self.weekdays.contains(&weekday(day.weekday())));
        let fits = if self.either_day { of_month || of_week } else { of_month && of_week };
        fits && self.months.contains(&day.month())
    }
}

fn weekday(day: Weekday) -> i8 {
    day.to_sunday_zero_offset()
}

/// The numbers of a field, ascending.
fn field(text: &str, least: i8, most: i8) -> Option<Vec<i8>> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or(Some((part, 1)), |(range, step)| Some((range, step.parse().ok()?)))?;
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None => {
                let from = range.parse().ok()?;
                (from, if part.contains('/') { most } else { from })
            }
        };
        if from < least || to > most || from > to || step < 1 {
            return None;
        }
        numbers.extend((from..=to).step_by(usize::try_from(step).ok()?));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_default()
    }

    fn ticks(cron: &str, from: &str, until: &str) -> Vec<String> {
        let cron = Cron::parse(cron).unwrap_or_else(|| unreachable!());
        cron.ticks(at(from), at(until)).into_iter().map(|tick| tick.to_string()).collect()
    }

    #[test]
    fn ticks_of_the_schedules_that_3scale_has() {
        assert_eq!(
            ticks("0 8 * * *", "2026-11-29T08:00:00Z", "2026-12-01T08:00:00Z"),
            ["2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z"],
            "not the tick that has struck, and the last one too"
        );
        assert_eq!(ticks("0 0 * * 1", "2026-11-29T18:00:00Z", "2026-12-08T00:00:00Z"), ["2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"]);
        assert_eq!(ticks("0 0 1 * *", "2026-11-29T18:00:00Z", "2027-01-01T00:00:00Z"), ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]);
        assert_eq!(ticks("0 0 29 2 *", "2026-11-29T18:00:00Z", "2028-03-01T00:00:00Z"), ["2028-02-29T00:00:00Z"]);
    }

    #[test]
    fn lists_ranges_steps_and_either_day() {
        assert_eq!(ticks("*/30 9-10 * * *", "2026-11-29T00:00:00Z", "2026-11-29T23:00:00Z").len(), 4);
        assert_eq!(ticks("5,10 0 * * 0,7", "2026-11-29T00:00:00Z", "2026-11-30T23:00:00Z").len(), 2, "0 and 7 are both Sunday");
        assert_eq!(ticks("0 0 2 * 1", "2026-11-29T00:00:00Z", "2026-12-03T00:00:00Z").len(), 2, "the second, and a Monday");
        let cron = Cron::parse("0 8 * * *").unwrap_or_else(|| unreachable!());
        assert_eq!(cron.last(at("2026-11-29T07:59:59Z")), Some(at("2026-11-28T08:00:00Z")));
        assert_eq!(cron.last(at("2026-11-29T08:00:00Z")), Some(at("2026-11-29T08:00:00Z")));
        for none in ["", "0 8 * *", "0 8 * * * *", "60 * * * *", "* * 0 * *", "0 8 * * mon", "@daily", "*/0 * * * *", "5-1 * * * *"] {
            assert_eq!(Cron::parse(none), None, "{none}");
        }
    }
}
