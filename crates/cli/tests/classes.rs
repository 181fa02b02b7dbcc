//! Keys of some classes go back alone into a live Redis, by the program itself; compared from outside, by `redis-cli`.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::Redis;
use serde_json::Value;
use support::text;
use tempfile::TempDir;

/// With all stores: what System has of events is asked of its database.
#[test]
fn events_come_again_that_system_has_not_taken_and_no_others() {
    let world = support::World::start(1 << 20);
    let redis = |words: &[&str]| {
        let output = world.installation.backend_redis.client().args(words).output().unwrap();
        text(&output.stdout).trim().to_owned()
    };
    let taken = |id: u32| {
        let sql = format!("INSERT INTO backend_events (id, data) VALUES ({id}, 'x')");
        let output = world.installation.mysql.client().args(["system", "-e", &sql]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    let run = |arguments: &[&str]| {
        let mut command = world.command(arguments);
        let output = command.env_remove("THREESCALE_BACKUP_NO_HOLD").env_remove("THREESCALE_BACKUP_QUEUES").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    };
    redis(&["DEL", "events/queue"]);
    redis(&["SET", "events/id", "900003"]);
    redis(&["ZADD", "events/queue", "900001", "one", "900002", "two", "900003", "three"]);
    taken(900_001);
    world.ok(&["backup"]);
    // System goes on and takes the next one, then Backend loses them.
    taken(900_002);
    redis(&["DEL", "events/queue", "events/id"]);
    let plan = run(&["plan", "latest", "--classes", "events"]);
    assert!(plan.contains("left: 2 events that System has taken"), "{plan}");
    run(&["restore", "latest", "--classes", "events", "--yes"]);
    assert_eq!(redis(&["ZRANGE", "events/queue", "0", "-1", "WITHSCORES"]), "three\n900003");
    assert_eq!(redis(&["GET", "events/id"]), "900003");
    run(&["undo", "--yes"]);
    assert_eq!((redis(&["EXISTS", "events/queue"]), redis(&["EXISTS", "events/id"])), ("0".to_owned(), "0".to_owned()));
    // The set's counter is behind what System has by now: no id is given twice.
    taken(900_010);
    run(&["restore", "latest", "--classes", "counter", "--yes"]);
    assert_eq!(redis(&["GET", "events/id"]), "900010");
}

/// A logical database in one text: every key, its type and what the server dumps of it.
const PICTURE: &str = "local keys = redis.call('KEYS', '*') table.sort(keys) local told = {} \
    for _, key in ipairs(keys) do told[#told + 1] = key .. ' ' .. redis.call('TYPE', key).ok .. ' ' .. redis.sha1hex(redis.call('DUMP', key)) end return told";

const USAGE: &str = "stats/{service:2}/metric:1/eternity";
const OF_ANOTHER: &str = "stats/{service:3}/cinstance:a+b/metric:1/hour:201601021";

struct World {
    server: Redis,
    home: TempDir,
}

impl World {
    fn start() -> Self {
        let (server, home) = (Redis::start(&[]).unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        let world = Self { server, home };
        world.configure("one");
        world.ok(&["init"]);
        world
    }

    /// Nobody stops the writers.
    fn configure(&self, name: &str) {
        let config = format!(
            "[installation]\nname = {name:?}\n[repository]\nurl = {:?}\npassword-file = {:?}\n[platform]\nkind = \"direct\"\n[system-database]\nabsent = true\n\
             [system-storage]\nabsent = true\n[zync-database]\nabsent = true\n[backend-redis]\nstorage-url = {:?}\nqueues-url = {:?}\n[system-redis]\nurl = {:?}\n",
            self.path("repository"),
            self.path("key"),
            self.server.url(0),
            self.server.url(1),
            self.server.url(2),
        );
        std::fs::write(self.path("config.toml"), config).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = support::program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", self.path("state"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Standard error of what is refused.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stderr)
    }

    fn cli(&self, database: u32, arguments: &[&str]) -> String {
        let output = self.server.client().args(["-n", &database.to_string()]).args(arguments).output().unwrap();
        let said = text(&output.stdout).trim().to_owned();
        assert!(output.status.success() && !said.starts_with("ERR"), "{arguments:?}: {said}");
        said
    }

    fn pictures(&self) -> Vec<String> {
        (0..3).map(|database| self.cli(database, &["EVAL", PICTURE, "0"])).collect()
    }

    fn get(&self, key: &str) -> String {
        self.cli(0, &["GET", key])
    }

    fn fill(&self) {
        for key in ["service/id:2/state", "service/id:3/state", "liveness-probe", "who/knows/this"] {
            self.cli(0, &["SET", key, "1"]);
        }
        self.cli(0, &["SET", USAGE, "40"]);
        self.cli(0, &["SET", OF_ANOTHER, "7"]);
        self.cli(0, &["LPUSH", "errors/service_id:2", "e1", "e2"]);
        self.cli(0, &["SET", "events/id", "9"]);
        self.cli(0, &["ZADD", "events/queue", "9", "nine"]);
        self.cli(1, &["RPUSH", "resque:queue:priority", "{}"]);
        self.cli(1, &["SET", "resque:stat:processed", "5"]);
        self.cli(2, &["RPUSH", "webhooks:failures:provider-2", "f"]);
        self.cli(2, &["SET", "lock:import", "x"]);
    }

    /// Backend has lost its data, and has begun anew.
    fn lose(&self) {
        self.cli(0, &["FLUSHALL"]);
        self.cli(0, &["SET", USAGE, "2"]);
        self.cli(0, &["SET", "service/id:2/state", "suspended"]);
        self.cli(1, &["RPUSH", "resque:queue:priority", "newer"]);
    }

    fn newest_run(&self) -> PathBuf {
        let folder = std::fs::read_dir(self.path("state/runs")).unwrap();
        folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|of| of == "jsonl")).max().unwrap()
    }

    fn runs(&self) -> usize {
        std::fs::read_dir(self.path("state/runs")).map_or(0, Iterator::count)
    }

    /// Starts the program, and kills it as soon as its journal has this many lines. `false` when it ended before.
    fn kill_at_line(&self, arguments: &[&str], lines: usize) -> bool {
        let known = self.runs();
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let limit = Instant::now() + Duration::from_secs(120);
        loop {
            if self.runs() > known && std::fs::read_to_string(self.newest_run()).unwrap().lines().count() >= lines {
                child.kill().unwrap();
                child.wait().unwrap();
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < limit, "{arguments:?} hangs");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn usage_comes_back_alone_and_nobody_stops_for_it() {
    let world = World::start();
    world.fill();
    world.ok(&["backup"]);
    world.lose();
    let lost = world.pictures();
    let plan = world.json(&["plan", "latest", "--classes", "usage"]);
    let usage = &plan["classes"][0];
    assert_eq!((&usage["class"], &usage["database"]), (&Value::from("usage"), &Value::from("storage")));
    let numbers = ["keys", "new", "changed", "equal"].map(|name| usage[name].as_u64().unwrap());
    assert_eq!(numbers, [2, 1, 1, 0], "{plan}");
    assert_eq!(usage["largest"][0], OF_ANOTHER);
    let shown = world.ok(&["restore", "latest", "--classes", "usage", "--dry-run"]);
    for line in ["storage   usage", "--usage max", "merge usage into backend-redis", "The installation serves all the time"] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert_eq!(world.pictures(), lost, "a plan touches nothing");

    world.ok(&["restore", "latest", "--classes", "usage", "--yes"]);
    assert_eq!((world.get(USAGE), world.get(OF_ANOTHER)), ("40".to_owned(), "7".to_owned()));
    let others = |pictures: Vec<String>| {
        pictures.iter().flat_map(|one| one.lines()).filter(|line| !line.starts_with("stats/")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(others(world.pictures()), others(lost.clone()), "no other key is touched");
    let runs = world.ok(&["runs"]);
    assert!(
        runs.contains("a restore of classes of keys of set") && runs.contains("keeps on record what it put into the live data"),
        "{runs}"
    );
    // What is there already, and what the set does not have, begin no run.
    let before = world.pictures();
    for nothing in [&["--service", "2"][..], &["--service", "999999"][..]] {
        let done = world.run(&[&["restore", "latest", "--classes", "usage", "--yes"], nothing].concat());
        assert!(done.status.success() && text(&done.stderr).contains("There is nothing to do, and no run was begun."), "{nothing:?}");
    }
    assert_eq!((world.pictures(), world.ok(&["runs"]).lines().count()), (before, runs.lines().count()));
    let second = world.refused(&["restore", "latest", "--classes", "usage", "--usage", "add", "--yes"]);
    assert!(second.contains("is in the way") && second.contains("`threescale-backup undo "), "{second}");
    world.ok(&["backup"]);
    world.cli(0, &["INCRBY", USAGE, "5"]);
    let undone = world.run(&["undo", "--yes"]);
    let said = format!("{}{}", text(&undone.stdout), text(&undone.stderr));
    assert!(undone.status.success() && said.contains("1 counters were counted on since"), "{said}");
    assert_eq!((world.get(USAGE), world.get(OF_ANOTHER)), ("7".to_owned(), String::new()), "what was counted since stays");
    world.cli(0, &["DECRBY", USAGE, "5"]);
    assert_eq!(world.pictures(), lost);

    let set = world.json(&["list"])["sets"].as_array().unwrap().iter().map(|set| set["set"].as_str().unwrap().to_owned()).min().unwrap();
    world.ok(&["restore", &set, "--classes", "usage,errors", "--service", "3", "--yes", "--usage", "add"]);
    assert_eq!((world.get(USAGE), world.get(OF_ANOTHER)), ("2".to_owned(), "7".to_owned()), "of one service only");
    let settled = world.ok(&["settle", "--yes"]);
    assert!(settled.contains("what it put into the live data stays"), "{settled}");
    assert!(!world.cli(0, &["INFO", "keyspace"]).contains("db15"), "nothing of the run is left");

    // Of System's Redis; and events, of which nobody can say here whether System has them.
    world.ok(&["restore", &set, "--classes", "customer-record,record", "--yes"]);
    assert_eq!(world.cli(2, &["LRANGE", "webhooks:failures:provider-2", "0", "-1"]), "f");
    assert_eq!((world.cli(1, &["GET", "resque:stat:processed"]), world.cli(2, &["DBSIZE"])), ("5".to_owned(), "1".to_owned()));
    world.ok(&["settle", "--yes"]);
    let events = world.ok(&["plan", &set, "--classes", "events"]);
    assert!(events.contains("those of events/queue do not come back") && events.contains("counter: a number that was given"), "{events}");
    world.ok(&["restore", &set, "--classes", "events", "--yes"]);
    assert_eq!((world.get("events/id"), world.cli(0, &["EXISTS", "events/queue"])), ("9".to_owned(), "0".to_owned()));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_other_road() {
    let world = World::start();
    world.fill();
    world.ok(&["backup"]);
    let before = world.pictures();
    let cases: &[(&[&str], &str)] = &[
        (&["--classes", "usages"], "usage, counter, events, errors, guard, record, customer-record"),
        (&["--classes", "jobs"], "--queues"),
        (&["--classes", "usage,configuration"], "`threescale-backup verify --repair` sets it right"),
        (&["--classes", "lock"], "would hold up those that run now"),
        (&["--classes", "process"], "would hold up those that run now"),
        (&["--classes", "auth-token"], "revoked"),
        (&["--classes", "pending-deletion"], "backend-cron"),
        (&["--classes", "usage-in-flight"], "counted twice"),
        (&["--classes", "probe"], "do not go back alone"),
        (&["--classes", "errors", "--usage", "add"], "--usage says what becomes of counters of usage"),
        (&["--classes", "usage", "--usage", "sum"], "max"),
        (&["--classes", "usage,record", "--service", "2"], "keys of the class record are of no service"),
        (&["--classes", "usage", "--service", "two"], "two"),
        (&["--service", "2"], "--classes"),
        (&["--usage", "add"], "--classes"),
        (&["--classes", "usage", "--only", "backend-redis"], "--only"),
        (&["--classes", "usage", "--in-place"], "--in-place"),
        (&["--classes", "usage", "--queues", "keep"], "--queues"),
        (&["--classes", "usage", "--into-empty"], "--into-empty"),
        (&["--classes", ""], "class"),
    ];
    // Behind the prefix of an account it is one, of which there is nothing.
    let said = world.ok(&["plan", "latest", "--classes", "usage", "--service", "acme-2,3"]);
    assert!(said.contains("Only of services: 3, acme-2"), "{said}");
    for (arguments, wanted) in cases {
        let said = world.refused(&[&["restore", "latest", "--yes"], *arguments].concat());
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    // Another installation's set is taken only when that is said, and then the plan says it.
    world.configure("two");
    let set = world.json(&["list", "--all-installations"])["sets"][0]["set"].as_str().unwrap().to_owned();
    let theirs = world.refused(&["restore", &set, "--yes", "--classes", "usage", "--service", "2"]);
    assert!(theirs.contains(&format!("restore {set} --classes usage --service 2 --installation one")), "{theirs}");
    let plan = world.ok(&["plan", &set, "--classes", "usage", "--installation", "one"]);
    assert!(plan.contains("the set is of another installation: its keys go to services"), "{plan}");
    assert_eq!(world.pictures(), before);
}

#[test]
fn a_run_that_is_killed_anywhere_goes_on_or_is_taken_back() {
    let world = World::start();
    world.fill();
    world.ok(&["backup"]);
    let restore = ["restore", "latest", "--yes", "--classes", "usage,errors,record", "--usage", "add"];
    let mut killed = 0;
    for lines in [2, 4, 5, 7] {
        world.lose();
        let lost = world.pictures();
        // It may have come to its end before.
        let was_killed =
            world.kill_at_line(&restore, lines) && !std::fs::read_to_string(world.newest_run()).unwrap().contains("\"finished\"");
        killed += u32::from(was_killed);
        let goes_on = lines % 2 == 1;
        if was_killed && goes_on {
            world.ok(&["resume", "--yes"]);
        }
        if !was_killed || goes_on {
            assert_eq!((world.get(USAGE), world.get(OF_ANOTHER)), ("42".to_owned(), "7".to_owned()), "killed at {lines}");
            assert_eq!(world.cli(0, &["LRANGE", "errors/service_id:2", "0", "-1"]), "e2\ne1", "killed at {lines}");
        }
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.pictures(), lost, "killed at {lines}");
        let keyspace = world.cli(0, &["INFO", "keyspace"]);
        assert_eq!(keyspace.lines().filter(|line| line.starts_with("db")).count(), 2, "nothing of the run is left: {keyspace}");
    }
    assert!(killed > 0, "it was never killed in time");
}
