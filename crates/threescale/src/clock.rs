//! What 3scale does by itself when its clock strikes, and how it is kept from it.
//!
//! sidekiq-cron (1.2.0 in 3scale 2.11 to 2.13, 1.9.1 in 2.14 and 2.15, 1.12.0 in 2.16: porta's `Gemfile.lock`; its `lib/sidekiq/cron/job.rb`) enqueues a job at a tick only when the tick is no member yet of the sorted set
//! `cron_job:NAME:enqueued`: member is the tick in UTC, score its second. So ticks that are put there before they come do not fire, over any restart; members go a day after
//! their tick. The schedule is porta's `openshift/system/config/sidekiq_schedule.yml`.

mod cron;
mod questions;

use jiff::{SignedDuration, Timestamp};

pub use cron::Cron;
pub use questions::{Question, questions};

/// A job that the clock starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocked {
    /// Its name in the schedule.
    pub name: &'static str,
    /// Its schedule in all releases.
    pub cron: &'static str,
    /// What it does with a database that was put back.
    pub does: &'static str,
}

/// What is held: porta `lib/three_scale/jobs.rb`.
pub const CLOCKED: [Clocked; 3] = [
    Clocked { name: "billing_jobs", cron: "0 8 * * *", does: "issues invoices and charges cards" },
    Clocked {
        name: "daily_jobs",
        cron: "0 8 * * *",
        does: "deletes tenants that were scheduled for deletion 15 days before and services in state deleted, tells of trials that end, sends reports",
    },
    Clocked {
        name: "weekly_jobs",
        cron: "0 0 * * 1",
        does: "suspends tenants that look inactive and schedules them for deletion, sends reports, and removes old rows",
    },
];

/// Ticks further ahead are not held: a hold is for days, and every tick is a member of a set.
pub const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(24 * 90);

/// The key of the ticks that a job must not fire at.
#[must_use]
pub fn ticks_key(job: &str) -> String {
    format!("cron_job:{job}:enqueued")
}

/// A tick as the member of the set: its name is the time.
#[must_use]
pub fn member(tick: Timestamp) -> String {
    tick.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time of a member; `None` for what is none, or written otherwise: sidekiq-cron compares texts.
#[must_use]
pub fn tick_of(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|tick| member(*tick) == text)
}

/// When the jobs that ask [`questions`] strike next, whether they are held or not.
#[must_use]
pub fn next_strike(now: Timestamp) -> Timestamp {
    let ticks =
        CLOCKED.iter().filter_map(|job| Cron::parse(job.cron)).filter_map(|cron| cron.ticks(now, now + LONGEST_HOLD).into_iter().next());
    ticks.min().unwrap_or(now)
}

/// What a hold of billing costs that is not made up for later: porta bills the month's fixed costs, and the usage of the month before, on the first day of a month alone
/// (`app/models/finance/{prepaid,postpaid}_billing_strategy.rb`, `only_on_days(now, 1)`). One sentence for each such tick among those that are held.
#[must_use]
pub fn months_not_billed(job: &str, held: &[Timestamp]) -> Vec<String> {
    let is_first = |tick: &&Timestamp| tick.strftime("%d").to_string() == "01";
    let sentence = |tick: &Timestamp| {
        let (day, hour) = (tick.strftime("%Y-%m-%d"), tick.strftime("%Y-%m-%d %H:%M UTC"));
        let argument = tick.strftime("Time.utc(%Y, %-m, %-d, %-H)");
        format!(
            "billing of {day} is held, and nothing makes up for it: only on the first of a month 3scale bills fixed costs and the usage of the month before. Release {job} before {hour} (`threescale-backup hold release {job}`), or bill it later by hand in a pod of system-sidekiq: bundle exec rails runner 'Finance::BillingStrategy.daily(now: {argument})'"
        )
    };
    held.iter().filter(is_first).filter(|_| job == "billing_jobs").map(sentence).collect()
}

/// Until when every tick of a schedule is held, from `now` on; `None` when the next one is not.
#[must_use]
pub fn held_until(cron: &Cron, held: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    cron.ticks(now, now + LONGEST_HOLD).into_iter().take_while(|tick| held.contains(tick)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_written_as_sidekiq_cron_writes_them() {
        let tick: Timestamp = "2026-11-30T08:00:00Z".parse().unwrap_or_default();
        assert_eq!((member(tick).as_str(), tick.as_second()), ("2026-11-30T08:00:00Z", 1_796_025_600));
        assert_eq!(tick_of("2026-11-30T08:00:00Z"), Some(tick));
        assert!(["tick", "2026-11-30T08:00:00+00:00", "2026-11-30T08:00:00.0Z"].map(tick_of).iter().all(Option::is_none));
        assert_eq!(ticks_key("billing_jobs"), "cron_job:billing_jobs:enqueued");
        assert!(CLOCKED.iter().all(|job| Cron::parse(job.cron).is_some()));
    }

    #[test]
    fn billing_of_the_first_of_a_month_is_told() {
        let ticks: Vec<Timestamp> =
            ["2026-11-30T08:00:00Z", "2026-12-01T08:00:00Z", "2026-12-02T08:00:00Z"].iter().filter_map(|text| text.parse().ok()).collect();
        let told = months_not_billed("billing_jobs", &ticks);
        assert!(
            matches!(&told[..], [one] if one.contains("of 2026-12-01 is held") && one.contains("daily(now: Time.utc(2026, 12, 1, 8))")),
            "{told:?}"
        );
        assert!(months_not_billed("daily_jobs", &ticks).is_empty());
    }

    /// A model of the rule: every minute the poller asks for the last tick, and fires it when it is new.
    #[test]
    fn held_ticks_do_not_fire_and_the_first_one_after_does() {
        let start: Timestamp = "2026-11-29T18:30:00Z".parse().unwrap_or_default();
        for job in CLOCKED {
            let cron = Cron::parse(job.cron).unwrap_or_else(|| unreachable!());
            let until = start + SignedDuration::from_hours(24 * 7);
            let mut enqueued: Vec<String> = cron.ticks(start, until).into_iter().map(member).collect();
            let last_before = cron.last(start).map(member);
            enqueued.extend(last_before);
            let held: Vec<_> = enqueued.iter().filter_map(|member| tick_of(member)).collect();
            assert!(held_until(&cron, &held, start).is_some_and(|last| last <= until && last > until - SignedDuration::from_hours(24 * 7)));
            let mut fired = Vec::new();
            let mut now = start;
            while now < until + SignedDuration::from_hours(24 * 8) {
                now += SignedDuration::from_secs(60);
                let Some(tick) = cron.last(now).map(member) else { continue };
                if !enqueued.contains(&tick) {
                    fired.push(tick.clone());
                    enqueued.push(tick);
                }
            }
            let expected: Vec<_> = cron.ticks(until, now).into_iter().map(member).collect();
            assert!(!expected.is_empty());
            assert_eq!(fired, expected, "{}", job.name);
        }
    }
}
