//! Dates of the generated data, from seconds since 1970 in UTC; and the texts that Backend makes of them.

/// 2026-01-05 10:00:00 UTC, a Monday: "now" of all generated data.
pub(crate) const NOW: i64 = 1_767_607_200;
const DAY: i64 = 86_400;

/// A moment, taken apart.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    seconds_of_hour: i64,
}

impl Moment {
    /// Howard Hinnant's `civil_from_days`.
    pub(crate) const fn of(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + (month <= 2) as i64,
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: seconds.rem_euclid(DAY) / 3600,
            seconds_of_hour: seconds.rem_euclid(3600),
        }
    }

    /// `2026-01-05`.
    pub(crate) fn date(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// `2026-01-05 10:00:00`.
    pub(crate) fn date_time(self) -> String {
        format!("{} {:02}:{:02}:{:02}", self.date(), self.hour, self.seconds_of_hour / 60, self.seconds_of_hour % 60)
    }

    /// `20260105`, as in keys of Backend.
    pub(crate) fn compact_day(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    /// `2026010510` without a trailing 0, as Backend writes hours (apisonator, `extensions/time.rb`).
    pub(crate) fn compact_hour(self) -> String {
        let text = format!("{}{:02}", self.compact_day(), self.hour);
        match self.hour {
            0 => self.compact_day(),
            10 | 20 => text[..text.len() - 1].to_owned(),
            _ => text,
        }
    }

    /// `20260101`.
    pub(crate) fn compact_month(self) -> String {
        format!("{:04}{:02}01", self.year, self.month)
    }

    /// `20260101`, the first day of the year.
    pub(crate) fn compact_year(self) -> String {
        format!("{:04}0101", self.year)
    }
}

/// The Monday of the week, as in keys of Backend.
pub(crate) fn compact_week(seconds: i64) -> String {
    // 1970-01-01 was a Thursday.
    let weekday = (seconds.div_euclid(DAY) + 3).rem_euclid(7);
    Moment::of(seconds - weekday * DAY).compact_day()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_backend_does() {
        assert_eq!(Moment::of(NOW).date_time(), "2026-01-05 10:00:00");
        assert_eq!(Moment::of(NOW).compact_hour(), "202601051");
        assert_eq!(Moment::of(NOW - 3600).compact_hour(), "2026010509");
        assert_eq!(Moment::of(NOW - 10 * 3600).compact_hour(), "20260105");
        assert_eq!(compact_week(NOW), "20260105");
        assert_eq!(compact_week(NOW - DAY), "20251229");
        assert_eq!(Moment::of(951_782_400).date(), "2000-02-29");
    }
}
