//! Which sets to keep. Pure: looks at manifests' times only.
//!
//! As with restic: for each rule, the newest set of each of the newest periods that have one. Safety copies are not counted by the rules: each is kept for
//! [`SAFETY_COPY_DAYS`] days and then removed.

use jiff::{Span, Timestamp, Zoned};
use plan::{Error, Result};

/// How long a safety copy (a set taken before an in-place restore) is kept.
pub const SAFETY_COPY_DAYS: i64 = 7;

/// The rules; a set is kept when any of them keeps it.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// The newest sets.
    pub last: u32,
    /// The newest set of each of as many hours.
    pub hourly: u32,
    /// The newest set of each of as many days.
    pub daily: u32,
    /// The newest set of each of as many ISO weeks.
    pub weekly: u32,
    /// The newest set of each of as many months.
    pub monthly: u32,
    /// The newest set of each of as many years.
    pub yearly: u32,
    /// All sets that are younger.
    pub within: Option<Span>,
}

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// When the set was finished.
    pub finished_at: Timestamp,
    /// Whether it is a safety copy.
    pub is_safety_copy: bool,
}

type Period = fn(&Zoned) -> (i16, i16);

impl Retention {
    /// For each candidate (oldest first) the reasons to keep it; none: it goes.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no rule, or `within` is no length of time.
    pub fn reasons(&self, candidates: &[Candidate], now: &Zoned) -> Result<Vec<Vec<String>>> {
        let rules: [(&str, u32, Period); 5] = [
            ("hourly", self.hourly, |time| (time.year(), time.day_of_year() * 24 + i16::from(time.hour()))),
            ("daily", self.daily, |time| (time.year(), time.day_of_year())),
            ("weekly", self.weekly, |time| {
                let week = time.date().iso_week_date();
                (week.year(), week.week().into())
            }),
            ("monthly", self.monthly, |time| (time.year(), time.month().into())),
            ("yearly", self.yearly, |time| (time.year(), 0)),
        ];
        if self.last == 0 && self.within.is_none() && rules.iter().all(|(_, count, _)| *count == 0) {
            return Err(Error::refused("no rule says which sets to keep").hint("Give at least one, for example --keep-daily 7."));
        }
        let mut reasons = vec![Vec::new(); candidates.len()];
        let zoned = |candidate: &Candidate| candidate.finished_at.to_zoned(now.time_zone().clone());
        let newest_first = || candidates.iter().enumerate().rev().filter(|(_, candidate)| !candidate.is_safety_copy);
        for (number, (place, _)) in newest_first().take(self.last as usize).enumerate() {
            reasons[place].push(format!("last {}", number + 1));
        }
        for (name, count, period) in rules {
            let (mut seen, mut before) = (0, None);
            for (place, candidate) in newest_first() {
                let period = Some(period(&zoned(candidate)));
                if seen < count && period != before {
                    seen += 1;
                    before = period;
                    reasons[place].push(format!("{name} {seen}"));
                }
            }
        }
        let since =
            |span: Span| now.checked_sub(span).map_err(|error| Error::refused("the length of time to keep is not one").because(error));
        if let Some(span) = self.within {
            let since = since(span)?.timestamp();
            if since > now.timestamp() {
                return Err(Error::refused("the length of time to keep is negative"));
            }
            newest_first()
                .filter(|(_, candidate)| candidate.finished_at >= since)
                .for_each(|(place, _)| reasons[place].push(format!("within {span:#}")));
        }
        let since = since(Span::new().days(SAFETY_COPY_DAYS))?.timestamp();
        for (place, candidate) in candidates.iter().enumerate() {
            if candidate.is_safety_copy && candidate.finished_at >= since {
                reasons[place].push(format!("safety copy of the last {SAFETY_COPY_DAYS} days"));
            }
        }
        Ok(reasons)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(text: &str) -> Candidate {
        Candidate { finished_at: format!("{text}Z").parse().unwrap(), is_safety_copy: false }
    }

    fn kept(retention: &Retention, candidates: &[Candidate]) -> Vec<usize> {
        let now: Zoned = "2026-03-10T12:00:00+00:00[UTC]".parse().unwrap();
        let reasons = retention.reasons(candidates, &now).unwrap();
        reasons.iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()).map(|(place, _)| place).collect()
    }

    #[test]
    fn no_rule_is_refused() {
        let now: Zoned = "2026-03-10T12:00:00+00:00[UTC]".parse().unwrap();
        assert_eq!(Retention::default().reasons(&[], &now).unwrap_err().class(), plan::Class::Refused);
    }

    #[test]
    fn the_newest_of_each_period_is_kept() {
        let sets = [
            at("2025-12-31T10:00:00"),
            at("2026-02-01T10:00:00"),
            at("2026-03-08T10:00:00"),
            at("2026-03-09T10:00:00"),
            at("2026-03-09T10:30:00"),
            at("2026-03-10T10:00:00"),
        ];
        assert_eq!(kept(&Retention { last: 2, ..Default::default() }, &sets), [4, 5]);
        assert_eq!(kept(&Retention { hourly: 2, ..Default::default() }, &sets), [4, 5]);
        assert_eq!(kept(&Retention { daily: 3, ..Default::default() }, &sets), [2, 4, 5]);
        assert_eq!(kept(&Retention { weekly: 2, ..Default::default() }, &sets), [2, 5]);
        assert_eq!(kept(&Retention { monthly: 9, ..Default::default() }, &sets), [0, 1, 5]);
        assert_eq!(kept(&Retention { yearly: 2, ..Default::default() }, &sets), [0, 5]);
        assert_eq!(kept(&Retention { within: Some(Span::new().hours(26)), ..Default::default() }, &sets), [3, 4, 5]);
    }

    #[test]
    fn safety_copies_are_kept_a_week_and_count_for_no_rule() {
        let safety = |text| Candidate { is_safety_copy: true, ..at(text) };
        let sets = [safety("2026-03-01T10:00:00"), at("2026-03-02T10:00:00"), safety("2026-03-09T10:00:00")];
        assert_eq!(kept(&Retention { last: 1, ..Default::default() }, &sets), [1, 2]);
    }
}
