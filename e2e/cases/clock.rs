//! The clock that a restore holds, looked at by the server's own client: told, let go, held again.

use std::time::{SystemTime, UNIX_EPOCH};

use e2e::{Installation, Program, Steps};

/// After a restore of a whole installation, which holds the clock for seven days.
pub(crate) fn held_and_let_go(steps: &mut Steps, place: &Installation, program: &Program) {
    steps.step("the clock is held: told, one job of it let go, held again");
    // Ticks of the next hour are left out: one may come meanwhile.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
    let ticks = |job: &str| -> u64 {
        let count = place.redis("system-redis", 1, &["ZCOUNT", &format!("cron_job:{job}:enqueued"), &since.to_string(), "+inf"]);
        count.parse().unwrap_or_else(|_| panic!("{job}: {count}"))
    };
    let billing = ticks("billing_jobs");
    assert!(billing >= 6 && ticks("daily_jobs") >= 6, "a week of days: {billing}, {}", ticks("daily_jobs"));
    let jobs = program.json(&["hold", "status"])["jobs"].as_array().cloned().unwrap();
    // A week from before a weekly tick to after it holds no other.
    let daily = jobs.iter().filter(|job| job["job"] != "weekly_jobs");
    assert!(jobs.len() == 3 && daily.filter(|job| job["held_until"].is_string()).count() == 2, "{jobs:?}");

    program.ok(&["hold", "release", "daily_jobs", "--yes"]);
    assert_eq!((ticks("daily_jobs"), ticks("billing_jobs")), (0, billing));
    program.ok(&["hold", "extend", "daily_jobs", "--for", "14d"]);
    assert!(ticks("daily_jobs") >= 13 && ticks("billing_jobs") == billing, "two weeks of days: {}", ticks("daily_jobs"));
    let words = program.fails(&[2], &["hold", "release", "nightly_jobs", "--yes"]);
    assert!(words.contains("nightly_jobs") && words.contains("daily_jobs"), "{words}");
}
