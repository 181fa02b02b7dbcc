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

fn name_of(world: &World, sql: &str) -> String {
    let output = world.installation.mysql.client().args(["-N", "-B", "system", "-e", sql]).output().unwrap();
    text(&output.stdout).trim().to_owned()
}

fn statement(world: &World, sql: &str) {
    let output = world.installation.mysql.client().args(["system", "-e", sql]).output().unwrap();
    assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
}

/// What porta has beside the lab's schema: provider 2 charges, provider 3 does not; one account's days are over, another's are not.
const BILLING: &str = "
ALTER TABLE invoices ADD finalized_at datetime, ADD last_charging_retry date;
ALTER TABLE accounts ADD state_changed_at datetime;
CREATE TABLE billing_strategies (id bigint AUTO_INCREMENT PRIMARY KEY, account_id bigint, type varchar(255), charging_enabled tinyint(1));
INSERT INTO billing_strategies (account_id, type, charging_enabled) VALUES (2, 'Finance::PostpaidBillingStrategy', 1), (3, 'Finance::PostpaidBillingStrategy', 0);
UPDATE accounts SET state = 'approved' WHERE id IN (2, 3);
UPDATE invoices SET state = 'pending', provider_account_id = 2 + id % 2 WHERE id <= 6;
UPDATE invoices SET due_on = '2020-01-01' WHERE provider_account_id = 2;
INSERT INTO accounts (org_name, state, state_changed_at) VALUES ('To be gone', 'scheduled_for_deletion', NOW() - INTERVAL 20 DAY), ('Later', 'scheduled_for_deletion', NOW());
";

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
    statement(&world, BILLING);
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
    // Of the provider that charges, and of none that does not.
    let charged = "state IN ('pending', 'unpaid') AND due_on <= CURRENT_DATE AND provider_account_id = 2";
    let due = number(&world, &format!("SELECT COUNT(*) FROM invoices WHERE {charged}"));
    let told = |what: &str| {
        let counts = status["counts"].as_array().unwrap();
        counts.iter().find(|count| count["what"].as_str().unwrap().contains(what)).unwrap_or_else(|| panic!("{what}: {status}")).clone()
    };
    let first = number(&world, &format!("SELECT MIN(id) FROM invoices WHERE {charged}"));
    assert!(due > 0);
    assert_eq!(told("to be charged")["count"], due);
    let name = name_of(&world, &format!("SELECT friendly_id FROM invoices WHERE id = {first}"));
    assert_eq!(told("to be charged")["names"][0], name);
    assert_eq!((told("15 days before")["count"].clone(), told("15 days before")["names"][0].clone()), (1.into(), "To be gone".into()));
    assert_eq!(told("on a later day")["count"], 1);
    let counted = world.journal().into_iter().find(|line| line["output"]["output"] == "held").unwrap();
    let counts = counted["output"]["counts"].as_array().unwrap();
    assert!(counts.iter().any(|count| count[0] == "billing_jobs" && count[2] == due && count[3][0] == name), "{counted}");

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
    // What is held further since is let go with it: there is never a hole.
    ok(&world, &["hold", "extend", "billing_jobs", "--for", "5d"]);
    assert_eq!(ticks(&world, "billing_jobs").len(), 5);
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
    statement(&world, "INSERT INTO services (account_id, system_name) VALUES (2, 'tomorrow')");
    assert_eq!(number(&world, "SELECT MAX(id) FROM services"), 1_000_000, "999999 was given");
    let note = world.journal().into_iter().find(|line| line["output"]["output"] == "ids" && line["output"]["kept"] == 2).unwrap();
    assert_eq!(note["output"]["counters"][1][1], alerts + 70, "{note}");
    // What was given since is not given again by what comes back, on either road; where nobody counted, it is what it was.
    let mut reached = cli(backend, 0, &["INCR", "events/id"]);
    let told = text(&world.run(&["undo", "--yes"]).stderr);
    assert!(told.contains(&format!("events/id goes on from {reached}, and not from 1: ")) && !told.contains("alerts/current_id"), "{told}");
    for road in [&["--in-place"][..], &[]] {
        assert_eq!(cli(backend, 0, &["GET", "events/id"]), reached);
        assert_eq!(cli(backend, 0, &["GET", "alerts/current_id"]), (alerts + 70).to_string());
        world.ok(&[&["restore", "latest", "--yes", "--only", "backend-redis", "--partial"][..], road].concat());
        reached = cli(backend, 0, &["INCR", "events/id"]);
        world.ok(&["undo", "--yes"]);
    }
    assert_eq!(cli(backend, 0, &["GET", "events/id"]), reached);

    // Where nobody can have counted to nothing goes on, and it is told: a live counter, and a service that only Redis has.
    const GARBAGE: &str = "9223372036854775806";
    cli(backend, 0, &["SET", "alerts/current_id", GARBAGE]);
    cli(backend, 0, &["SADD", "services_set", GARBAGE]);
    let told = text(&world.run(&["restore", "latest", "--yes"]).stderr);
    assert!(told.contains(&format!("{GARBAGE} of alerts/current_id is no id that anything has come to")), "{told}");
    assert_eq!(cli(backend, 0, &["GET", "alerts/current_id"]), (alerts + 1).to_string());
    statement(&world, "INSERT INTO services (account_id, system_name) VALUES (2, 'the day after')");
    assert!(number(&world, "SELECT MAX(id) FROM services") < 2_000_000);
}

/// A server that takes no writes is found before the writers stop, and not when the clock is to be held.
#[test]
fn a_system_redis_that_takes_no_writes_is_told_by_the_plan() {
    let world = World::start(1 << 20);
    let system = &world.installation.system_redis;
    world.ok(&["backup"]);
    let runs = || json(&world, &["runs"])["runs"].as_array().map(Vec::len);
    let before = runs();
    for (set, back, word) in [
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "OOM"),
        (&["CONFIG", "SET", "min-replicas-to-write", "1"], &["CONFIG", "SET", "min-replicas-to-write", "0"], "NOREPLICAS"),
    ] {
        cli(system, 0, set);
        let refused = world
            .command(&["restore", "latest", "--only", "system-database", "--partial", "--yes"])
            .env_remove("THREESCALE_BACKUP_NO_HOLD")
            .output()
            .unwrap();
        let told = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && told.contains("takes no writes") && told.contains(word), "{told}");
        cli(system, 0, back);
    }
    assert_eq!(runs(), before, "nothing was begun");
    assert_eq!(cli(system, 0, &["EXISTS", "threescale-backup:nobodys"]), "0");
}

/// What the program asks of System's schema (porta `db/schema.rb`), as PostgreSQL has it.
const ON_POSTGRESQL: &str = "
CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
CREATE TABLE backend_events (id bigint PRIMARY KEY, data text);
CREATE TABLE alerts (id bigserial PRIMARY KEY, alert_id bigint NOT NULL);
CREATE TABLE services (id bigserial PRIMARY KEY, account_id bigint, name varchar, state varchar NOT NULL);
CREATE TABLE accounts (id bigserial PRIMARY KEY, org_name varchar, provider boolean DEFAULT false, state varchar, state_changed_at timestamp);
CREATE TABLE invoices (id bigserial PRIMARY KEY, provider_account_id bigint DEFAULT 1, friendly_id varchar, state varchar NOT NULL, period date, due_on date, finalized_at timestamp, last_charging_retry date);
CREATE TABLE billing_strategies (id bigserial PRIMARY KEY, account_id bigint, type varchar, charging_enabled boolean);
CREATE TABLE cinstances (id bigserial PRIMARY KEY, name varchar, trial_period_expires_at timestamp);
INSERT INTO billing_strategies (account_id, type, charging_enabled) VALUES (1, 'Finance::PrepaidBillingStrategy', true);
INSERT INTO schema_migrations VALUES ('20250101000000');
INSERT INTO backend_events SELECT generate_series(1, 30), 'x';
INSERT INTO alerts (alert_id) VALUES (12), (9);
INSERT INTO services (account_id, name, state) VALUES (2, 'one', 'published'), (2, 'two', 'incomplete'), (2, 'three', 'deleted');
INSERT INTO accounts (org_name, provider, state) VALUES ('master', true, 'approved'), ('gone', true, 'scheduled_for_deletion');
UPDATE accounts SET state_changed_at = '2020-01-01' WHERE org_name = 'gone';
INSERT INTO cinstances (name, trial_period_expires_at) VALUES ('long over', '2020-01-01 10:00:00');
INSERT INTO invoices (state, period, due_on) VALUES ('pending', '2025-01-01', '2025-02-01'), ('unpaid', '2025-01-01', '2025-02-01'), ('paid', '2025-01-01', '2025-02-01')";

#[test]
fn a_system_database_on_postgresql_is_asked_and_kept_ahead_too() {
    let world = World::start(1 << 20);
    let (backend, postgres) = (&world.installation.backend_redis, &world.installation.postgres);
    let psql = |database: &str, sql: &str| {
        let output = postgres.client().args(["-At", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    psql("postgres", "CREATE DATABASE system");
    psql("system", ON_POSTGRESQL);
    let (from, to) = (world.installation.mysql.url("system"), postgres.url("system"));
    world.reconfigure(|text| text.replace(&from, &to));
    cli(backend, 0, &["SET", "events/id", "1"]);
    cli(backend, 0, &["SET", "alerts/current_id", "70"]);
    cli(backend, 0, &["SADD", "set_with_services_marked_for_deletion", "2", "3", "999999"]);
    world.ok(&["backup"]);
    // An invoice comes and goes, and its id with it.
    psql("system", "INSERT INTO invoices (state) VALUES ('open'), ('open'); DELETE FROM invoices WHERE id > 3");
    ok(&world, &["restore", "latest", "--yes"]);
    assert_eq!(
        (cli(backend, 0, &["GET", "events/id"]), cli(backend, 0, &["GET", "alerts/current_id"])),
        ("30".to_owned(), "70".to_owned())
    );
    let marked = ["2", "3", "999999"].map(|id| cli(backend, 0, &["SISMEMBER", "set_with_services_marked_for_deletion", id]));
    assert_eq!(marked, ["0", "0", "1"]);
    assert_eq!(psql("system", "INSERT INTO invoices (state) VALUES ('open') RETURNING id").lines().next(), Some("6"), "4 and 5 were given");
    let status = json(&world, &["hold", "status"]);
    let counts: Vec<_> = status["counts"].as_array().unwrap().iter().map(|count| count["count"].as_u64().unwrap()).collect();
    // Of open, finalized and due invoices; of accounts whose days are over, or not; of services and trials. The one that is open was made since.
    assert_eq!(counts, [1, 0, 2, 1, 0, 1, 0], "{status}");
    // No id that was given meanwhile is given by what an undo makes live again.
    ok(&world, &["undo", "--yes"]);
    assert_eq!(cli(backend, 0, &["GET", "events/id"]), "1");
    assert_eq!(psql("system", "INSERT INTO invoices (state) VALUES ('open') RETURNING id").lines().next(), Some("7"));
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
