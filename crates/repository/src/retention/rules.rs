//! One rule, applied to a row of sets.

use jiff::{Span, Timestamp, Zoned};
use plan::{Error, Result};

use super::{Candidate, Retention};

type Period = fn(&Zoned) -> (i16, i16);

/// A rule that was given.
pub enum Rule {
    /// The newest sets.
    Last(u32),
    /// The newest set of each of the newest periods.
    Periodic(&'static str, &'static str, u32, Period),
    /// All that are younger.
    Within(Span, Timestamp),
}

/// What a rule says of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// `daily 3`.
    Kept(String),
    /// `daily: why not`.
    Gone(String),
}

impl Rule {
    /// The rules that were given.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when `within` is no length of time.
    pub fn of(retention: &Retention, now: &Zoned) -> Result<Vec<Self>> {
        let mut rules = Vec::new();
        if retention.last > 0 {
            rules.push(Self::Last(retention.last));
        }
        let periodic: [(&'static str, &'static str, u32, Period); 5] = [
            ("hourly", "hour", retention.hourly, |time| (time.year(), time.day_of_year() * 24 + i16::from(time.hour()))),
            ("daily", "day", retention.daily, |time| (time.year(), time.day_of_year())),
            ("weekly", "week", retention.weekly, |time| {
                let week = time.date().iso_week_date();
                (week.year(), week.week().into())
            }),
            ("monthly", "month", retention.monthly, |time| (time.year(), time.month().into())),
            ("yearly", "year", retention.yearly, |time| (time.year(), 0)),
        ];
        rules.extend(
            periodic.into_iter().filter(|rule| rule.2 > 0).map(|(name, unit, count, period)| Self::Periodic(name, unit, count, period)),
        );
        if let Some(span) = retention.within {
            let since = now.checked_sub(span).map_err(|error| Error::refused("the length of time to keep is not one").because(error))?;
            if since > *now {
                return Err(Error::refused("the length of time to keep is negative"));
            }
            rules.push(Self::Within(span, since.timestamp()));
        }
        Ok(rules)
    }

    /// What it says of each of these places, which are given newest first.
    pub fn fates(&self, newest_first: &[usize], sets: &[Candidate], now: &Zoned) -> Vec<(usize, Fate)> {
        let each = newest_first.iter().copied();
        match self {
            Self::Last(count) => each
                .zip(1_u32..)
                .map(|(place, number)| {
                    let is_kept = number <= *count;
                    let gone = || Fate::Gone(format!("last {count}: newer sets fill it"));
                    (place, if is_kept { Fate::Kept(format!("last {number}")) } else { gone() })
                })
                .collect(),
            Self::Within(span, since) => each
                .map(|place| {
                    let is_kept = sets[place].finished_at >= *since;
                    (place, if is_kept { Fate::Kept(format!("within {span:#}")) } else { Fate::Gone(format!("within {span:#}: older")) })
                })
                .collect(),
            Self::Periodic(name, unit, count, period) => {
                let mut seen = 0_u32;
                // The period that was seen last, and its newest set.
                let mut current: Option<((i16, i16), usize)> = None;
                each.map(|place| {
                    let this = period(&sets[place].finished_at.to_zoned(now.time_zone().clone()));
                    let fate = match current {
                        Some((period, newer)) if period == this => {
                            Fate::Gone(format!("{name} {count}: {} of the same {unit} is newer", sets[newer].set))
                        }
                        _ => {
                            current = Some((this, place));
                            seen = seen.saturating_add(1);
                            let gone = || Fate::Gone(format!("{name} {count}: newer {unit}s fill it"));
                            if seen <= *count { Fate::Kept(format!("{name} {seen}")) } else { gone() }
                        }
                    };
                    (place, fate)
                })
                .collect()
            }
        }
    }
}
