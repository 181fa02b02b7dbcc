//! The clock is held after a restore, no counter of ids rewinds, what System has is not deleted at night: on real stores, looked at from outside by `redis-cli`.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use jiff::{Timestamp, ToSpan, civil};
use lab::Redis;
use support::{World, text};

fn cli(server: &Redis, database: u32, arguments: &[&str]) -> String {
    let output = server.client().args(["-n", &database.to_string()]).args(arguments).output().unwrap();
    let said = text(&output.stdout).trim().to_owned();
    assert!(output.status.success() && !said.starts_with("ERR"), "{arguments:?}: {said}");
    said
}

/// By the server's own client.
fn number(world: &World, sql: &str) -> u64 {
    let output = world.installation.mysql.client().args(["-N", "-B", "system", "-e", sql]).output().unwrap();
    text(&output.stdout).trim().parse().unwrap_or_else(|_| panic!("{sql}: {}", text(&output.stderr)))
}

/// With the clock held, as by default.
fn ok(world: &World, arguments: &[&str]) -> String {
    let output = world.command(arguments).env_remove("THREESCALE_BACKUP_NO_HOLD").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

fn json(world: &World, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&ok(world, &[arguments, &["--json"]].concat())).unwrap()
}

/// The ticks of eight o'clock of so many days after a moment, as sidekiq-cron writes them, by the calendar.
fn eight_oclocks(from: Timestamp, days: i64) -> Vec<String> {
    let today = from.in_tz("UTC").unwrap().date();
    let at_eight = |day: civil::Date| day.at(8, 0, 0, 0).in_tz("UTC").unwrap().timestamp();
    let ticks = (0..=days).map(|day| at_eight(today.checked_add(day.days()).unwrap()));
    let until = from.checked_add((days * 24).hours()).unwrap();
    ticks.filter(|tick| *tick > from && *tick <= until).map(|tick| tick.strftime("%Y-%m-%dT08:00:00Z").to_string()).collect()
}

fn ticks(world: &World, job: &str) -> Vec<String> {
    cli(&world.installation.system_redis, 1, &["ZRANGE", &format!("cron_job:{job}:enqueued"), "0", "-1"])
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn after_a_restore_of_the_system_database_the_clock_does_not_strike_until_it_is_let_go() {
    let world = World::start(1 << 20);
    let system = &world.installation.system_redis;
    cli(system, 1, &["ZADD", "cron_job:billing_jobs:enqueued", "1767600000", "2026-01-05T08:00:00Z"]);
    world.ok(&["backup"]);
    let planned = ok(&world, &["plan", "latest"]);
    assert!(
        planned.contains("hold the clock") && planned.contains("billing_jobs, daily_jobs, weekly_jobs do not strike before"),
        "{planned}"
    );

    let before = Timestamp::now();
    ok(&world, &["restore", "latest", "--yes"]);
    let held = eight_oclocks(before, 7);
    assert!(held.len() == 7, "{held:?}");
    assert_eq!(ticks(&world, "daily_jobs"), held);
    assert_eq!(
        ticks(&world, "billing_jobs"),
        [vec!["2026-01-05T08:00:00Z".to_owned()], held.clone()].concat(),
        "what has struck stays known"
    );
    let weekly = ticks(&world, "weekly_jobs");
    assert!(weekly.len() == 1 && weekly[0].ends_with("T00:00:00Z"), "{weekly:?}");
    let score = cli(system, 1, &["ZSCORE", "cron_job:daily_jobs:enqueued", &held[0]]);
    assert_eq!(score, held[0].parse::<Timestamp>().unwrap().as_second().to_string());

    let status = json(&world, &["hold", "status"]);
    let until = |status: &serde_json::Value, job: &str| {
        status["jobs"].as_array().unwrap().iter().find(|clock| clock["job"] == job).unwrap()["held_until"].as_str().map(str::to_owned)
    };
    assert_eq!(until(&status, "daily_jobs"), held.last().cloned());
    let due = number(&world, "SELECT COUNT(*) FROM invoices WHERE state IN ('pending', 'unpaid') AND due_on <= CURRENT_DATE");
    let told = status["counts"].as_array().unwrap().iter().find(|count| count["what"].as_str().unwrap().contains("to be charged")).unwrap();
    assert_eq!(told["count"], due);

    let refused = world.run(&["hold", "release", "billing_jobs"]);
    assert_eq!(refused.status.code(), Some(2), "nobody can be asked");
    ok(&world, &["hold", "release", "billing_jobs", "--yes"]);
    assert_eq!((ticks(&world, "billing_jobs").len(), ticks(&world, "daily_jobs").len()), (1, 7));
    ok(&world, &["hold", "extend", "billing_jobs", "--for", "2d"]);
    assert_eq!(ticks(&world, "billing_jobs").len(), 3);
    assert_eq!(world.run(&["hold", "release", "monthly"]).status.code(), Some(2));

    ok(&world, &["undo", "--yes"]);
    assert_eq!(ticks(&world, "daily_jobs"), Vec::<String>::new(), "all is as it was");
    assert_eq!(ticks(&world, "billing_jobs"), ["2026-01-05T08:00:00Z"]);
}

#[test]
fn a_redis_that_does_not_go_back_holds_the_clock_too_and_undo_removes_what_it_added_alone() {
    let world = World::start(1 << 20);
    let system = &world.installation.system_redis;
    world.ok(&["backup"]);
    let first = eight_oclocks(Timestamp::now(), 7).remove(0);
    let score = first.parse::<Timestamp>().unwrap().as_second().to_string();
    cli(system, 1, &["ZADD", "cron_job:daily_jobs:enqueued", &score, &first]);
    ok(&world, &["restore", "latest", "--partial", "--only", "system-database", "--yes", "--hold-for", "2d"]);
    assert_eq!((ticks(&world, "daily_jobs").len(), ticks(&world, "billing_jobs").len()), (2, 2));
    ok(&world, &["undo", "--yes"]);
    assert_eq!((ticks(&world, "daily_jobs"), ticks(&world, "billing_jobs").len()), (vec![first], 0));
    // Nobody holds it for whoever wants it to strike, and he is told.
    let planned = world.ok(&["plan", "latest"]);
    assert!(planned.contains("the clock is not held") && !planned.contains("hold the clock"), "{planned}");
}

#[test]
fn counters_of_ids_do_not_rewind_and_what_system_has_is_not_deleted() {
    let world = World::start(1 << 20);
    let backend = &world.installation.backend_redis;
    let events = number(&world, "SELECT MAX(id) FROM backend_events");
    let alerts = number(&world, "SELECT MAX(alert_id) FROM alerts");
    // The set's own counter is behind its rows, and the other one is behind what is live when the set goes back.
    cli(backend, 0, &["SET", "events/id", "1"]);
    cli(backend, 0, &["SET", "alerts/current_id", &(alerts + 1).to_string()]);
    cli(backend, 0, &["SADD", "set_with_services_marked_for_deletion", "2", "3", "999999"]);
    world.ok(&["backup"]);
    cli(backend, 0, &["SET", "alerts/current_id", &(alerts + 70).to_string()]);
    world.ok(&["restore", "latest", "--yes"]);
    assert_eq!(cli(backend, 0, &["GET", "events/id"]), events.to_string());
    assert_eq!(cli(backend, 0, &["GET", "alerts/current_id"]), (alerts + 70).to_string());
    assert_eq!(cli(backend, 0, &["SISMEMBER", "set_with_services_marked_for_deletion", "2"]), "0");
    assert_eq!(cli(backend, 0, &["SISMEMBER", "set_with_services_marked_for_deletion", "3"]), "0");
    assert_eq!(cli(backend, 0, &["SISMEMBER", "set_with_services_marked_for_deletion", "999999"]), "1");
    let note = world.journal().into_iter().find(|line| line["output"]["output"] == "ids" && line["output"]["kept"] == 2).unwrap();
    assert_eq!(note["output"]["counters"][1][1], alerts + 70, "{note}");
}

/// The user of `docs/privileges.md` gets through all of it; one who lacks what a restore sets right beside the data is told by `doctor`, with the line that gives it.
#[test]
fn doctor_asks_for_what_a_restore_by_default_wants_and_the_documented_user_has_it() {
    let world = World::start(1 << 20);
    let servers = [&world.installation.system_redis, &world.installation.backend_redis];
    let documented = include_str!("../../../docs/privileges.md").lines().find(|line| line.starts_with("ACL SETUSER restore ")).unwrap();
    let rules = documented.strip_prefix("ACL SETUSER restore ").unwrap().replace(">PASSWORD", ">pw");
    let rules: Vec<&str> = rules.split(' ').collect();
    for server in servers {
        cli(server, 0, &[&["ACL", "SETUSER", "restore", "reset"], rules.as_slice()].concat());
        let own = server.password().to_owned();
        world.reconfigure(|text| text.replace(&format!("redis://:{own}@"), "redis://restore:pw@"));
    }
    world.ok(&["backup"]);
    let told = ok(&world, &["doctor"]);
    assert!(!told.contains("restore: MISSING") && !told.contains("restore: warning"), "{told}");
    assert!(ok(&world, &["plan", "latest"]).contains("hold the clock"));

    for (server, taken, words) in [
        (servers[0], "-zadd", ["restore: MISSING: the clock cannot be held", "+zadd"]),
        (servers[0], "-hget", ["restore: MISSING: the clock cannot be held", "+hget"]),
        (servers[1], "-incrby", ["restore: warning: counters of ids are not kept ahead", "+incrby"]),
    ] {
        cli(server, 0, &["ACL", "SETUSER", "restore", taken]);
        let told = ok(&world, &["doctor"]);
        let line = told.lines().find(|line| line.contains(words[0])).unwrap_or_else(|| panic!("{taken}: {told}"));
        assert!(line.contains(words[1]), "{line}");
        if taken == "-hget" {
            let output = world.run(&["hold", "status"]);
            assert!(
                output.status.code() == Some(2) && text(&output.stderr).contains("ACL SETUSER restore +hget"),
                "{}",
                text(&output.stderr)
            );
        }
        // The line mends it.
        let rights: Vec<&str> =
            line.split("ACL SETUSER ").nth(1).unwrap().split(' ').take_while(|word| word.starts_with(['r', '+'])).collect();
        cli(server, 0, &[&["ACL", "SETUSER"], rights.as_slice()].concat());
        let told = ok(&world, &["doctor"]);
        assert!(!told.contains("restore: MISSING") && !told.contains("restore: warning"), "{taken}: {told}");
    }
}
