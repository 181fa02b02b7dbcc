//! How long is left, and what a report says.

#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

const WANTED: ObjectLock = ObjectLock { mode: Mode::Governance, days: 30 };

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_lock_falls_short_when_less_than_half_of_it_is_left() {
    let now = at("2026-03-01T12:00:00.75Z");
    assert_eq!(WANTED.until(now), at("2026-03-31T12:00:00Z"));
    assert!(WANTED.falls_short(None, now) && WANTED.falls_short(Some(now), now));
    assert!(WANTED.falls_short(Some(at("2026-03-16T12:00:00Z")), now));
    assert!(!WANTED.falls_short(Some(at("2026-03-16T12:00:01Z")), now));
    let longest = ObjectLock { days: u32::MAX, ..WANTED };
    assert!(longest.until(now) > now && longest.falls_short(Some(now), now));
}

#[test]
fn a_report_says_until_when_all_of_it_is_locked() {
    let (early, late) = (at("2026-03-20T00:00:00Z"), at("2026-03-31T00:00:00Z"));
    let locked = |until| Seen::Locked { was_short: false, is_renewed: false, mode: Some(Mode::Governance), until };
    let mut report = LockReport { wanted: WANTED, objects: 0, short: 0, renewed: 0, missing: 0, other_mode: 0, until: None };
    for until in [late, early, late] {
        report.see(&locked(Some(until)));
    }
    assert_eq!((report.until, report.objects), (Some(early), 3));
    report.see(&Seen::Missing);
    report.see(&Seen::Locked { was_short: true, is_renewed: true, mode: Some(Mode::Compliance), until: Some(late) });
    assert_eq!((report.until, report.missing, report.other_mode, report.still_short()), (Some(early), 1, 1, 0));
    report.see(&Seen::Locked { was_short: true, is_renewed: false, mode: None, until: None });
    assert_eq!((report.until, report.still_short()), (None, 1));
}
