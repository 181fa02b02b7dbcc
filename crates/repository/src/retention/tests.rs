//! Tests of the rules.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use DataSetName::{BackendRedis, SystemDatabase, SystemRedis};

const ALL: [DataSetName; 3] = [SystemDatabase, BackendRedis, SystemRedis];

fn now() -> Zoned {
    "2026-03-10T12:00:00+00:00[UTC]".parse().unwrap()
}

fn at(text: &str) -> Candidate {
    holding(text, &ALL)
}

fn holding(text: &str, names: &[DataSetName]) -> Candidate {
    Candidate {
        set: SetId(text.to_owned()),
        finished_at: format!("{text}Z").parse().unwrap(),
        data_sets: names.iter().copied().collect(),
        is_whole: names.len() == ALL.len(),
        safety_copy_days: None,
        damage: None,
        held_by: Vec::new(),
    }
}

fn damaged(text: &str) -> Candidate {
    Candidate { damage: Some("a pack is missing".to_owned()), ..at(text) }
}

fn safety(text: &str, days: i64) -> Candidate {
    Candidate { safety_copy_days: Some(days), ..at(text) }
}

fn kept(retention: &Retention, sets: &[Candidate]) -> Vec<usize> {
    let verdicts = retention.judge(sets, &now()).unwrap();
    verdicts.iter().enumerate().filter(|(_, verdict)| verdict.stays).map(|(place, _)| place).collect()
}

fn reasons(retention: &Retention, sets: &[Candidate]) -> Vec<String> {
    retention.judge(sets, &now()).unwrap().into_iter().map(|verdict| verdict.reasons.join("; ")).collect()
}

fn last(last: u32) -> Retention {
    Retention { last, ..Retention::default() }
}

fn daily(daily: u32) -> Retention {
    Retention { daily, ..Retention::default() }
}

fn within(days: i64) -> Retention {
    Retention { within: Some(Span::new().hours(24 * days)), ..Retention::default() }
}

#[test]
fn no_rule_is_refused() {
    assert_eq!(Retention::default().judge(&[], &now()).unwrap_err().class(), plan::Class::Refused);
    assert_eq!(within(-1).judge(&[], &now()).unwrap_err().class(), plan::Class::Refused);
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
    assert_eq!(kept(&last(2), &sets), [4, 5]);
    assert_eq!(kept(&Retention { hourly: 2, ..Default::default() }, &sets), [4, 5]);
    assert_eq!(kept(&daily(3), &sets), [2, 4, 5]);
    assert_eq!(kept(&Retention { weekly: 2, ..Default::default() }, &sets), [2, 5]);
    assert_eq!(kept(&Retention { monthly: 9, ..Default::default() }, &sets), [0, 1, 5]);
    assert_eq!(kept(&Retention { yearly: 2, ..Default::default() }, &sets), [0, 5]);
    assert_eq!(kept(&Retention { within: Some(Span::new().hours(26)), ..Default::default() }, &sets), [3, 4, 5]);
}

#[test]
fn it_is_said_why_each_stays_or_goes() {
    let sets = [at("2026-03-08T10:00:00"), at("2026-03-09T10:00:00"), at("2026-03-10T10:00:00"), at("2026-03-10T11:00:00")];
    let both = Retention { last: 1, daily: 2, ..Default::default() };
    assert_eq!(
        reasons(&both, &sets),
        [
            "last 1: newer sets fill it; daily 2: newer days fill it",
            "daily 2",
            "last 1: newer sets fill it; daily 2: 2026-03-10T11:00:00 of the same day is newer",
            "last 1; daily 1; newest whole set"
        ]
    );
}

#[test]
fn a_partial_set_never_displaces_a_whole_one() {
    let mut sets: Vec<_> = (1..=3).map(|day| at(&format!("2026-02-0{day}T10:00:00"))).collect();
    // Partial sets of all the data sets together are still no whole one.
    sets.extend((10..=23).map(|day| holding(&format!("2026-02-{day}T10:00:00"), &[SystemRedis])));
    sets.extend((10..=23).map(|day| holding(&format!("2026-02-{day}T11:00:00"), &[SystemDatabase, BackendRedis])));
    sets.sort_by_key(|set| set.finished_at);
    let whole = |kept: &[usize]| kept.iter().filter(|place| sets[**place].is_whole).count();
    assert_eq!(whole(&kept(&daily(14), &sets)), 3);
    assert_eq!(whole(&kept(&daily(2), &sets)), 2);
    assert_eq!(whole(&kept(&last(1), &sets)), 1);
    assert_eq!(whole(&kept(&within(7), &sets)), 1);
}

#[test]
fn a_partial_set_stays_while_a_data_set_of_it_needs_it() {
    let sets = [
        at("2026-03-01T10:00:00"),
        holding("2026-03-05T10:00:00", &[SystemRedis]),
        holding("2026-03-05T11:00:00", &[SystemRedis, SystemDatabase]),
        holding("2026-03-06T10:00:00", &[SystemRedis]),
    ];
    assert_eq!(kept(&daily(2), &sets), [0, 2, 3]);
    assert_eq!(
        reasons(&daily(1), &sets),
        ["daily 1; newest whole set", "daily 1: 2026-03-05T11:00:00 of the same day is newer", "daily 1 of system-database", "daily 1"]
    );
    let gone = reasons(&daily(1), &[sets[0].clone(), sets[2].clone(), at("2026-03-07T10:00:00")]);
    assert_eq!(gone[1], "daily 1: newer days fill it");
}

#[test]
fn the_newest_whole_set_stays_whatever_the_rules_say() {
    let sets = [at("2026-01-01T10:00:00"), at("2026-01-02T10:00:00"), holding("2026-01-03T10:00:00", &[SystemRedis])];
    assert_eq!(kept(&within(7), &sets), [1]);
    // Without a whole one, the newest of each data set.
    let partial = [
        holding("2026-01-01T10:00:00", &[SystemDatabase, SystemRedis]),
        holding("2026-01-02T10:00:00", &[SystemRedis]),
        holding("2026-01-03T10:00:00", &[BackendRedis]),
    ];
    assert_eq!(kept(&within(7), &partial), [0, 1, 2]);
}

#[test]
fn damaged_sets_count_for_no_rule_and_are_not_removed_silently() {
    let sets = [at("2026-03-01T10:00:00"), at("2026-03-08T10:00:00"), damaged("2026-03-09T10:00:00"), damaged("2026-03-10T10:00:00")];
    assert_eq!(kept(&last(1), &sets), [1, 3]);
    assert_eq!(kept(&daily(2), &sets), [0, 1, 2, 3]);
    let why = reasons(&last(1), &sets);
    assert_eq!(why[2], "damaged: a pack is missing; last 1: newer sets fill it");
    assert_eq!(why[3], "damaged, counts for no rule: a pack is missing; if it were whole: last 1");
    // There is nothing better.
    assert_eq!(kept(&last(1), &[damaged("2026-03-08T10:00:00"), damaged("2026-03-09T10:00:00")]), [0, 1]);
}

#[test]
fn sets_from_the_future_count_for_no_rule_and_stay() {
    let sets = [at("2026-03-09T10:00:00"), at("2026-03-10T11:00:00"), at("2026-03-10T12:05:00"), at("2031-01-01T00:00:00")];
    // A clock that is a little ahead is nothing.
    assert_eq!(kept(&daily(2), &sets), [0, 2, 3]);
    assert_eq!(reasons(&daily(2), &sets)[3], "from the future, as a clock was wrong, here or where it was taken: counts for no rule");
    let only = [at("2026-03-09T10:00:00"), at("2031-01-01T00:00:00")];
    assert_eq!(reasons(&last(1), &only)[0], "last 1; newest whole set");
}

#[test]
fn safety_copies_count_for_no_rule_and_stay_while_they_may_be_needed() {
    let mut needed = safety("2026-01-01T10:00:00", SAFETY_COPY_DAYS);
    needed.held_by.push("needed by run 01k: a restore in place".to_owned());
    let sets = [
        needed,
        safety("2026-02-01T10:00:00", UNCERTAIN_SAFETY_COPY_DAYS),
        safety("2026-03-01T10:00:00", SAFETY_COPY_DAYS),
        at("2026-03-02T10:00:00"),
        safety("2026-03-09T10:00:00", SAFETY_COPY_DAYS),
    ];
    assert_eq!(kept(&last(1), &sets), [0, 1, 3, 4]);
    assert_eq!(reasons(&last(1), &sets)[0], "needed by run 01k: a restore in place");
}

#[test]
fn what_is_protected_stays_and_still_counts() {
    let mut protected = at("2026-03-01T10:00:00");
    protected.held_by.push("protected: before the move".to_owned());
    let sets = [protected, at("2026-03-02T10:00:00"), at("2026-03-03T10:00:00")];
    assert_eq!(kept(&last(1), &sets), [0, 2]);
    assert_eq!(kept(&last(3), &sets), [0, 1, 2]);
}

#[test]
fn whole_sets_of_an_installation_that_has_changed_are_counted_for_each_data_set() {
    // The newer ones are whole without system-redis, which the installation does not have any more.
    let without = |text| Candidate { is_whole: true, ..holding(text, &[SystemDatabase, BackendRedis]) };
    let sets = [
        at("2026-03-05T10:00:00"),
        at("2026-03-06T10:00:00"),
        at("2026-03-07T10:00:00"),
        without("2026-03-08T10:00:00"),
        without("2026-03-09T10:00:00"),
    ];
    assert_eq!(kept(&last(2), &sets), [1, 2, 3, 4]);
    assert!(reasons(&last(2), &sets)[2].contains("of system-redis"), "{:?}", reasons(&last(2), &sets));
}
