//! What a set holds in Redis by class, and jobs that go back by their class: one Redis server, compared from outside, by `redis-cli`.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::path::PathBuf;
use std::process::Output;

use lab::Redis;
use serde_json::{Value, json};
use support::text;
use tempfile::TempDir;

struct World {
    server: Redis,
    home: TempDir,
}

impl World {
    fn start() -> Self {
        let (server, home) = (Redis::start(&[]).unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        let config = format!(
            "[installation]\nname = \"one\"\n[repository]\nurl = {:?}\npassword-file = {:?}\n[platform]\nkind = \"direct\"\n[system-database]\nabsent = true\n\
             [system-storage]\nabsent = true\n[zync-database]\nabsent = true\n[backend-redis]\nstorage-url = {:?}\nqueues-url = {:?}\n\
             [system-redis]\nurl = {:?}\n[writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n",
            home.path().join("repository"),
            home.path().join("key"),
            server.url(0),
            server.url(1),
            server.url(2),
        );
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        let world = Self { server, home };
        world.ok(&["init"]);
        world
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let path = |name: &str| -> PathBuf { self.home.path().join(name) };
        let mut command = support::program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", path("state"));
        command.output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    fn cli(&self, database: u32, arguments: &[&str]) -> String {
        let output = self.server.client().args(["-n", &database.to_string()]).args(arguments).output().unwrap();
        let said = text(&output.stdout).trim().to_owned();
        assert!(output.status.success() && !said.starts_with("ERR"), "{arguments:?}: {said}");
        said
    }

    fn fill(&self) {
        for key in [
            "stats/{service:2}/metric:1/eternity",
            "stats/{service:2}/metric:1/hour:201601021",
            "service/id:2/state",
            "service/id:3/state",
            "who/knows/this",
        ] {
            self.cli(0, &["SET", key, "1"]);
        }
        self.cli(0, &["RPUSH", "notify/aggregator/batch", "a", "b"]);
        self.cli(
            1,
            &["RPUSH", "resque:queue:priority", r#"{"class":"ThreeScale::Backend::Transactor::ReportJob","args":["2",{},1.5,{}]}"#],
        );
        let mail = r#"{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"ActionMailer::MailDeliveryJob","args":[{"arguments":["PostOffice","report"]}]}"#;
        let jobs = [r#"{"class":"ZyncWorker","args":["e"]}"#, r#"{"class":"BillingWorker","args":[4]}"#, mail, mail];
        self.cli(2, &[&["RPUSH", "queue:default"][..], &jobs].concat());
        self.cli(2, &["ZADD", "retry", "1.5", jobs[0], "2.5", jobs[1]]);
        self.cli(2, &["RPUSH", "webhooks:failures:provider-2", "f", "g", "h"]);
        self.cli(2, &["ZADD", "dead", "1", "buried"]);
        self.cli(2, &["SET", "lock:billing:4", "x"]);
    }
}

#[test]
fn a_set_is_counted_by_class_service_type_and_job() {
    let world = World::start();
    world.fill();
    world.ok(&["backup"]);
    let backend = world.json(&["inspect", "latest", "backend-redis"]);
    let storage = &backend["databases"].as_array().unwrap().iter().find(|database| database["database"] == "storage").unwrap();
    let keys = |class: &str| storage["classes"][class]["keys"].clone();
    assert_eq!((keys("usage"), keys("configuration"), keys("usage-in-flight"), keys("unknown")), (json!(2), json!(2), json!(1), json!(1)));
    assert_eq!(storage["keys"].to_string(), world.cli(0, &["DBSIZE"]));
    assert_eq!((&storage["services"]["2"]["keys"], &storage["services"]["3"]["keys"]), (&json!(3), &json!(1)));
    assert_eq!((&storage["types"]["string"]["keys"], &storage["types"]["list"]["elements"]), (&json!(5), &json!(2)));
    assert_eq!(storage["unknown"][0]["key"], "who/knows/this");
    let shown = world.ok(&["inspect", "latest", "system-redis"]);
    for line in ["queue:default  ActionMailer::MailDeliveryJob PostOffice     2", "customer-record", "retry          BillingWorker"] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    let refused = world.run(&["inspect", "latest", "system-storage"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
}

#[test]
fn a_plan_tells_jobs_by_class_and_a_restore_loads_those_that_were_chosen() {
    let world = World::start();
    world.fill();
    world.ok(&["backup"]);
    let told = world.ok(&["plan", "latest"]);
    for line in [
        "system-redis system queue:default: 2 ActionMailer::MailDeliveryJob PostOffice (customers see it)",
        "system-redis system retry: 1 ZyncWorker (may be done twice)",
        "backend-redis queues resque:queue:priority: 1 ThreeScale::Backend::Transactor::ReportJob (customers see it)",
        "3 failed web hooks of 1 provider, 1 dead job.",
        "Usage in flight: 2 reports of traffic",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("Jobs that go back"), "{told}");
    assert!(told.contains("\n   9. ") && told.contains("\n  10. ") && !told.contains(" bytes from"), "{told}");
    let safe = world.json(&["plan", "latest", "--queues", "safe"]);
    let zync: Vec<_> =
        safe["jobs"].as_array().unwrap().iter().filter(|jobs| jobs["goes_back"] == true).map(|jobs| &jobs["class"]).collect();
    assert_eq!(zync, ["ZyncWorker", "ZyncWorker"]);
    assert_eq!(safe["usage_in_flight"], 2);
    let nobody = world.run(&["plan", "latest", "--queues", "only=ZyncWorkr"]);
    assert!(nobody.status.code() == Some(2) && text(&nobody.stderr).contains("the class ZyncWorkr"), "{}", text(&nobody.stderr));
    let empty = world.run(&["plan", "latest", "--queues", "only="]);
    assert_eq!(empty.status.code(), Some(2));

    let before = (world.cli(2, &["LRANGE", "queue:default", "0", "-1"]), world.cli(2, &["ZRANGE", "retry", "0", "-1", "WITHSCORES"]));
    world.cli(2, &["FLUSHDB"]);
    world.cli(2, &["RPUSH", "queue:default", "newer"]);
    world.ok(&["restore", "latest", "--yes", "--queues", "only=PostOffice,ZyncWorker"]);
    let wanted: Vec<_> = before.0.lines().filter(|line| !line.contains("BillingWorker")).collect();
    assert_eq!(world.cli(2, &["LRANGE", "queue:default", "0", "-1"]).lines().collect::<Vec<_>>(), wanted);
    assert_eq!(
        world.cli(2, &["ZRANGE", "retry", "0", "-1", "WITHSCORES"]).lines().collect::<Vec<_>>(),
        before.1.lines().take(2).collect::<Vec<_>>()
    );
    assert_eq!(world.cli(2, &["LLEN", "webhooks:failures:provider-2"]), "3");
    assert_eq!(world.cli(1, &["EXISTS", "resque:queue:priority"]), "0");
    assert_eq!(world.cli(0, &["LLEN", "notify/aggregator/batch"]), "2");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.cli(2, &["LRANGE", "queue:default", "0", "-1"]), "newer");
}

/// What was told by `backup --freeze`.
fn frozen(world: &World, seconds: &str) -> String {
    let output = world.run(&["backup", "--freeze", "--drain-seconds", seconds]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn a_frozen_backup_lets_the_jobs_be_done_that_wait_and_says_what_was_not() {
    let world = World::start();
    let mark = |name: &str| world.home.path().join(name);
    let wait = |world: &World| {
        world.cli(1, &["SADD", "resque:queues", "priority", "stats"]);
        world.cli(1, &["RPUSH", "resque:queue:priority", r#"{"class":"A"}"#, r#"{"class":"A"}"#]);
        world.cli(2, &["SADD", "queues", "default", "low"]);
        world.cli(2, &["RPUSH", "queue:default", r#"{"class":"ZyncWorker"}"#]);
        world.cli(2, &["SADD", "processes", "pod:1:abc"]);
        world.cli(2, &["HSET", "pod:1:abc", "busy", "3"]);
    };
    wait(&world);

    // All stop at once: nobody would do them.
    assert!(frozen(&world, "60").contains("jobs are not waited for: here all writers stop at once"));

    // Nobody does them in time: they stay, and the set has them.
    let path = mark("config.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let makers = format!("stop-makers = {:?}\n", format!("touch {}", mark("makers-are-stopped").display()));
    std::fs::write(&path, format!("{config}{makers}")).unwrap();
    let told = frozen(&world, "1");
    assert!(
        told.contains(
            "s 6 jobs are not done: 1 default, 3 at work in pod:1:abc, 2 priority. They stay in their queues, and are in the set"
        ),
        "{told}"
    );
    assert!(!frozen(&world, "0").contains("jobs are"), "not wanted");

    // Somebody does them as soon as nobody makes new ones.
    std::fs::remove_file(mark("makers-are-stopped")).unwrap();
    let told = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while !mark("makers-are-stopped").exists() {
                assert!(std::time::Instant::now() < limit, "the makers of jobs were not stopped");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            world.cli(1, &["DEL", "resque:queue:priority"]);
            world.cli(2, &["DEL", "queue:default"]);
            world.cli(2, &["DEL", "pod:1:abc"]);
        });
        let told = frozen(&world, "120");
        worker.join().unwrap();
        told
    });
    assert!(told.contains("all jobs are done, after "), "{told}");

    // What cannot be counted stops no backup.
    world.cli(2, &["SET", "queue:low", "no list"]);
    assert!(frozen(&world, "60").contains("jobs are not waited for, because they cannot be counted: "));
}
