//! Backend and System on one Redis server, as of an installation with an external one: each keeps its databases, whatever is killed when. Compared from outside, by
//! `redis-cli`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use lab::Redis;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How often the campaign interrupts; more with `THREESCALE_TEST_INTERRUPTIONS`.
const INTERRUPTIONS: u64 = 6;

/// A logical database in one text: every key with its type, its expiry and what the server dumps of it; of a set its members, because what is dumped of it has an order.
const PICTURE: &str = "local keys = redis.call('KEYS', '*') table.sort(keys) local told = {} \
    for _, key in ipairs(keys) do local kind = redis.call('TYPE', key).ok \
      local value = kind == 'set' and table.concat(redis.call('SORT', key, 'ALPHA'), ' ') or redis.call('DUMP', key) \
      told[#told + 1] = key .. kind .. redis.call('PTTL', key) .. redis.sha1hex(value) end \
    if #keys < 4 then return table.concat(told, ' ') end \
    return #keys .. ' ' .. redis.sha1hex(table.concat(told))";

type Picture = BTreeMap<u32, String>;

struct World {
    server: Redis,
    home: TempDir,
    databases: u32,
}

impl World {
    fn start(options: &[&str]) -> Self {
        let (server, home) = (Redis::start(options).unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("key"), "a password\n").unwrap();
        let databases = if options.contains(&"--databases") { 4 } else { 16 };
        let world = Self { server, home, databases };
        let url = |database| world.server.url(database);
        world.configure(&[url(0), url(1), url(2)]);
        world.ok(&["init"]);
        world
    }

    /// Storage, queues, System.
    fn configure(&self, urls: &[String; 3]) {
        let [storage, queues, system] = urls;
        let text = format!(
            "[installation]\nname = \"one\"\n[repository]\nurl = {:?}\npassword-file = {:?}\n[platform]\nkind = \"direct\"\n[system-database]\nabsent = true\n\
             [system-storage]\nabsent = true\n[zync-database]\nabsent = true\n[backend-redis]\nstorage-url = {storage:?}\nqueues-url = {queues:?}\n\
             [system-redis]\nurl = {system:?}\n[writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n",
            self.path("repository"),
            self.path("key"),
        );
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = support::program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", self.path("state"));
        command.env("THREESCALE_BACKUP_QUEUES", "keep");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}\n{}", output.status, support::text(&output.stderr));
        support::text(&output.stdout)
    }

    /// Expects exit code 2; gives all that was said.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = support::text(&output.stdout) + &support::text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{said}");
        said
    }

    /// Those that have begun: a journal whose first line is not whole has changed nothing yet.
    fn runs(&self) -> Vec<String> {
        let Ok(folder) = std::fs::read_dir(self.path("state/runs")) else { return Vec::new() };
        let has_begun = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap().contains('\n');
        let journals = folder.map(|entry| entry.unwrap().path()).filter(has_begun);
        let mut runs: Vec<_> = journals.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        runs.sort();
        runs
    }

    /// The kinds of the whole records in the newest journal.
    fn journal(&self) -> Vec<String> {
        let path = self.path("state/runs").join(format!("{}.jsonl", self.runs().last().unwrap()));
        let text = std::fs::read_to_string(path).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        whole.map(|line| line["record"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether the newest run came to its end; how the stores agreed then is noted behind it.
    fn is_finished(&self) -> bool {
        self.journal().iter().any(|record| record == "finished")
    }

    fn cli(&self, database: u32, arguments: &[&str]) -> String {
        let output = self.server.client().args(["-n", &database.to_string()]).args(arguments).output().unwrap();
        let said = support::text(&output.stdout).trim().to_owned();
        assert!(output.status.success() && !said.starts_with("ERR"), "{arguments:?}: {said}");
        said
    }

    fn picture(&self) -> Picture {
        (0..self.databases).map(|database| (database, self.cli(database, &["EVAL", PICTURE, "0"]))).collect()
    }

    /// So many keys in every database, of which each says whose it is.
    fn fill(&self, keys: u32, word: &str) {
        for (database, whose) in [(0, "storage"), (1, "queues"), (2, "system")] {
            let script = format!(
                "for number = 1, {keys} do redis.call('SET', '{whose}:' .. number, '{word} ' .. string.rep('x', number % 100)) end \
                 redis.call('RPUSH', '{whose}:list', '{word}')"
            );
            self.cli(database, &["FLUSHDB"]);
            self.cli(database, &["EVAL", &script, "0"]);
        }
    }

    /// Starts the program, and interrupts it that time after so many records of its run are written; after it was started, for none. Not when it ended before.
    fn interrupt(&self, arguments: &[&str], records: usize, after: Duration, signal: Signal) {
        let runs = self.runs().len();
        let mut child = self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut reached = None;
        while reached.is_none_or(|at: Instant| at.elapsed() < after) {
            if child.try_wait().unwrap().is_some() {
                return;
            }
            if reached.is_none() && (records == 0 || self.runs().len() > runs && self.journal().len() >= records) {
                reached = Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_restore_of_both_interrupted_anywhere_ends_as_the_old_or_the_new_never_mixed() {
    let rounds = std::env::var("THREESCALE_TEST_INTERRUPTIONS").map_or(INTERRUPTIONS, |text| text.parse().unwrap());
    let seed = std::env::var("THREESCALE_TEST_SEED").map_or(20_261_129, |text| text.parse().unwrap());
    let world = World::start(&["--appendonly", "yes"]);
    world.fill(4000, "good");
    let good = world.picture();
    world.ok(&["backup"]);
    world.fill(3000, "bad");
    let bad = world.picture();
    assert!((0..3).all(|database| good[&database] != bad[&database]));
    world.ok(&["restore", "latest", "--yes"]);
    let all = world.journal().len();
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.picture(), bad, "not interrupted at all");
    let (mut random, mut places) = (seed, BTreeMap::<String, u64>::new());
    for round in 0..rounds {
        let mut below = |end: usize| {
            random = u64::wrapping_add(u64::wrapping_mul(random, 6_364_136_223_846_793_005), 1_442_695_040_888_963_407);
            (random >> 33) as usize % end
        };
        let (records, after) = (below(all), Duration::from_micros(below(40_000) as u64));
        let signal = if round % 2 == 0 { Signal::KILL } else { Signal::INT };
        let runs = world.runs().len();
        world.interrupt(&["restore", "latest", "--yes"], records, after, signal);
        let when = format!("round {round}, seed {seed}: {signal:?} {after:?} after record {records} of {all}");
        if world.runs().len() == runs {
            assert_eq!(world.picture(), bad, "{when}, before it began");
            *places.entry("before it began".to_owned()).or_default() += 1;
            continue;
        }
        *places.entry(format!("after record {:02}, {}", world.journal().len(), world.journal().last().unwrap())).or_default() += 1;
        if round % 4 < 2 {
            if !world.is_finished() {
                world.ok(&["resume", "--yes"]);
            }
            let live = world.picture().into_iter().filter(|(database, _)| *database < 3).collect::<Picture>();
            assert!(live.iter().all(|(database, picture)| good[database] == *picture), "{when}, resumed: {live:?}");
        }
        world.ok(&["undo", "--yes"]);
        assert_eq!(world.picture(), bad, "{when}, undone");
    }
    world.ok(&["restore", "latest", "--yes"]);
    world.ok(&["settle", "--yes"]);
    assert_eq!(world.picture(), good, "settled: nothing is left in any database");
    println!("interrupted {rounds} times, seed {seed}: {places:#?}");
    let before = places.get("before it began").copied().unwrap_or(0);
    assert!(before * 2 < rounds, "{before} of {rounds} before it began");
}

#[test]
fn the_same_database_in_two_data_sets_is_refused_under_whatever_address() {
    let mut world = World::start(&[]);
    world.fill(10, "good");
    world.ok(&["backup"]);
    let before = world.picture();
    let replica_of =
        ["--replicaof", &format!("127.0.0.1 {}", world.server.port()), "--masterauth", world.server.password()].map(str::to_owned);
    let replica = Redis::start(&replica_of.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    let linked =
        || support::text(&replica.client().args(["INFO", "replication"]).output().unwrap().stdout).contains("master_link_status:up");
    while !linked() {
        assert!(Instant::now() < limit, "the replica does not follow");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let server = &world.server;
    let by_name = server.url(1).replace("127.0.0.1", "localhost");
    for (system, what) in
        [(server.url(0), "the same address"), (server.socket_url(0), "a socket"), (by_name, "a name"), (replica.url(1), "a replica")]
    {
        world.configure(&[server.url(0), server.url(1), system]);
        let commands: [&[&str]; 5] = [
            &["doctor"],
            &["backup"],
            &["backup", "--only", "system-redis"],
            &["plan", "latest"],
            &["restore", "latest", "--yes", "--only", "backend-redis"],
        ];
        for command in commands {
            let said = world.refused(command);
            assert!(said.contains("backend-redis and system-redis are the same data"), "{what}, {command:?}: {said}");
        }
    }
    assert_eq!(world.picture(), before);
    drop(replica);
    world.configure(&[world.server.url(0), world.server.url(1), world.server.socket_url(2)]);
    world.ok(&["doctor"]);
    world.server.stop().unwrap();
}

#[test]
fn an_empty_database_of_the_other_data_set_is_live_and_both_together_have_room_or_go_in_place() {
    let mut world = World::start(&["--databases", "5"]);
    world.fill(20, "good");
    let good = world.picture();
    world.ok(&["backup"]);
    world.fill(30, "bad");
    let bad = world.picture();
    // Each fits beside alone: two of two, one of two.
    let plan = world.ok(&["plan", "latest"]);
    assert!(plan.contains("together need 3 empty databases at") && plan.contains("so it goes back in place"), "{plan}");
    world.ok(&["restore", "latest", "--yes"]);
    let live = world.picture();
    assert!((0..3).all(|database| live[&database] == good[&database]), "{live:?}");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.picture(), bad);

    // The queues have no job now, and their number is the highest.
    world.databases = 5;
    let url = |database| world.server.url(database);
    world.configure(&[url(0), url(4), url(2)]);
    world.ok(&["backup"]);
    world.ok(&["restore", "latest", "--only", "system-redis", "--yes"]);
    assert_eq!(world.cli(4, &["DBSIZE"]), "0", "nothing of System's is in Backend's queues");
    world.cli(4, &["RPUSH", "resque:queue:priority", "job"]);
    world.ok(&["settle", "--yes"]);
    assert_eq!(world.cli(4, &["LRANGE", "resque:queue:priority", "0", "-1"]), "job", "a live job is not settled away");
}

/// Keys of the program in all databases.
fn ours(world: &World) -> Vec<String> {
    let keys = |database| world.cli(database, &["KEYS", "threescale-backup:*"]);
    (0..world.databases)
        .flat_map(|database| keys(database).lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|key| !key.is_empty())
        .collect()
}

#[test]
fn a_restore_in_place_that_fails_near_its_end_is_resumed_and_settled_and_nothing_of_ours_stays() {
    let world = World::start(&[]);
    world.fill(10, "good");
    world.cli(1, &["RPUSH", "resque:queue:priority", "job"]);
    world.cli(2, &["RPUSH", "queue:mailers", "job"]);
    world.ok(&["backup"]);
    let started = world.path("may-start");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    std::fs::write(world.path("config.toml"), text.replace("start = \"true\"", &format!("start = \"test -e {}\"", started.display())))
        .unwrap();
    let failed = world.run(&["restore", "latest", "--in-place", "--queues", "drop", "--yes"]);
    assert_eq!(failed.status.code(), Some(1), "{}", support::text(&failed.stderr));
    let left_out = ours(&world);
    assert!(!left_out.is_empty() && left_out.iter().all(|key| key.starts_with("threescale-backup:left-out:")), "{left_out:?}");
    std::fs::write(&started, "").unwrap();
    world.ok(&["resume", "--yes"]);
    world.ok(&["settle", "--yes"]);
    assert_eq!(ours(&world), Vec::<String>::new());
    assert_eq!(world.cli(2, &["EXISTS", "queue:mailers", "system:list"]), "1");
}

#[test]
fn what_a_run_kept_and_the_server_lost_is_told_and_the_run_can_be_ended() {
    let world = World::start(&[]);
    world.fill(10, "good");
    world.ok(&["backup"]);
    world.ok(&["restore", "latest", "--yes"]);
    assert!(world.ok(&["runs"]).contains("keeps what it replaced"));
    world.cli(0, &["FLUSHALL"]);
    for said in [world.ok(&["runs"]), world.ok(&["doctor"])] {
        assert!(said.contains("has lost what it kept of backend-redis, system-redis") && !said.contains("keeps what"), "{said}");
    }
    let undo = world.run(&["undo", "--yes"]);
    let said = support::text(&undo.stderr);
    assert_eq!(undo.status.code(), Some(3), "{said}");
    assert!(!said.contains("done in") && !said.contains("goes on"), "{said}");
    let held_up = world.refused(&["restore", "latest", "--yes"]);
    assert!(held_up.contains("`threescale-backup settle ") && !held_up.contains("It keeps what"), "{held_up}");
    world.ok(&["settle", "--yes"]);
    world.ok(&["restore", "latest", "--yes"]);
    assert_eq!(world.cli(0, &["GET", "storage:1"]), "good x");
}

#[test]
fn a_settle_that_one_store_refuses_drops_nothing_in_the_other_and_undo_goes_on() {
    let world = World::start(&[]);
    world.fill(10, "good");
    world.ok(&["backup"]);
    world.fill(12, "bad");
    let bad = world.picture();
    world.ok(&["restore", "latest", "--yes"]);
    let kept = world.picture();
    let is_previous_of = |database: &u32, whose: &str| world.cli(*database, &["EXISTS", &format!("{whose}:1")]) == "1";
    let side = (3..16).find(|database| is_previous_of(database, "system")).unwrap();
    let mark = world.cli(side, &["GET", "threescale-backup:mark"]);
    world.cli(side, &["SET", "threescale-backup:mark", "of somebody else"]);
    let settle = world.run(&["settle", "--yes"]);
    let said = support::text(&settle.stderr);
    assert_eq!(settle.status.code(), Some(3), "{said}");
    assert!(
        said.contains("Nothing was dropped anywhere: `threescale-backup undo ") && said.contains("system-redis would not drop"),
        "{said}"
    );
    let runs = world.ok(&["runs"]);
    assert!(runs.contains("keeps what it replaced") && runs.contains("No command removes what nobody knows"), "{runs}");
    world.cli(side, &["SET", "threescale-backup:mark", &mark]);
    assert_eq!(world.picture(), kept, "Backend's previous data is there");
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.picture(), bad);
}

/// Runs a restore and kills it when the server gets such a command, as `MONITOR` tells it.
fn kill_at(world: &World, arguments: &[&str], word: &str) {
    let mut monitor = world.server.client().arg("MONITOR").stdout(Stdio::piped()).spawn().unwrap();
    let mut told = std::io::BufReader::new(monitor.stdout.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap(), "OK");
    let mut child = world.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    told.find(|line| line.as_ref().unwrap().contains(word)).unwrap().unwrap();
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    kill_process(Pid::from_child(&monitor), Signal::KILL).unwrap();
    monitor.wait().unwrap();
}

#[test]
fn a_value_that_stops_the_server_is_loaded_when_the_writers_are_stopped_whatever_is_killed_when() {
    let world = World::start(&["--appendonly", "yes"]);
    world.fill(10, "good");
    // A stream is made in one go, a set in pieces.
    let long = "math.randomseed(7) local bytes = {} for m = 1, 65536 do bytes[m] = string.char(math.random(0, 255)) end local text = table.concat(bytes) \
                for n = 1, 144 do redis.call('XADD', 'storage:long', n .. '-1', 'field', text) end";
    world.cli(0, &["EVAL", long, "0"]);
    let many = "for n = 1, 100 do local many = {} for m = 1, 1000 do many[m] = n * 1000 + m end redis.call('SADD', 'storage:many', unpack(many)) end";
    world.cli(0, &["EVAL", many, "0"]);
    let good = world.picture();
    world.ok(&["backup"]);
    world.fill(12, "bad");
    let bad = world.picture();
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let stops = |command: &str| {
        std::fs::write(world.path("config.toml"), text.replace("stop = \"true\"", &format!("stop = \"{command}\""))).unwrap()
    };
    let restore = ["restore", "latest", "--large-values", "during-stop", "--yes"];
    let has_long = || (0..16).filter(|database| world.cli(*database, &["EXISTS", "storage:long"]) == "1").collect::<Vec<u32>>();
    let is_good = |what: &str| {
        let live = world.picture().into_iter().filter(|(database, _)| *database < 3).collect::<Picture>();
        assert!(live.iter().all(|(database, picture)| good[database] == *picture), "{what}: {live:?}");
    };
    let plan = world.ok(&["plan", "latest", "--large-values", "during-stop"]);
    assert!(plan.contains("load the rest of backend-redis") && !plan.contains("load the rest of system-redis"), "{plan}");
    for ends in ["undo", "resume"] {
        // Killed while it stops the writers: all is staged and proven, and the value is nowhere.
        stops("kill -9 $PPID");
        assert_eq!(world.run(&restore).status.code(), None);
        assert_eq!(has_long(), Vec::<u32>::new());
        stops("true");
        world.ok(&[ends, "--yes"]);
        if ends == "resume" {
            is_good("resumed after the stop");
            world.ok(&["undo", "--yes"]);
        }
        assert_eq!(world.picture(), bad, "{ends} after the stop");
        // While it is loaded, and while the rest is swapped.
        for word in ["\"SADD\" \"storage:many\"", "\"RESTORE\" \"storage:long\"", "\"SWAPDB\" \"0\""] {
            kill_at(&world, &restore, word);
            if ends == "resume" && !world.is_finished() {
                world.ok(&["resume", "--yes"]);
                is_good(word);
            }
            world.ok(&["undo", "--yes"]);
            assert_eq!(world.picture(), bad, "{ends} after {word}");
        }
    }
    world.ok(&restore);
    world.ok(&["settle", "--yes"]);
    assert_eq!(world.picture(), good);
}
