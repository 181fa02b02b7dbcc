//! The life of a set of all five data sets, on running servers that are written to; compared by the stores' own means.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use lab::{InstallationOptions, MysqlKind};
use plan::ids::DataSetName;
use support::{World, assert_equal};

const LIMIT: Duration = Duration::from_secs(60);

fn live_through(mysql: MysqlKind) {
    let world = World::start_with(InstallationOptions { size_bytes: 6 << 20, mysql, ..InstallationOptions::default() });
    world.control_writers();
    let writers = world.installation.writers();
    writers.wait_for_writes(10, LIMIT).unwrap();

    // A set under load: complete, and proven by a rehearsal.
    let first = world.json(&["backup"]);
    assert_eq!(first["data_sets"].as_object().unwrap().len(), 5);
    world.ok(&["rehearse", first["set"].as_str().unwrap()]);

    // A set of a state that is known from outside. --freeze stops the writers and starts them again.
    let [stop, start, _] = commands(&world);
    shell(&stop);
    let good = world.fingerprint();
    let second = world.json(&["backup"]);
    looked_into(&world, second["set"].as_str().unwrap());
    shell(&start);
    writers.wait_for_writes(10, LIMIT).unwrap();
    let frozen = world.json(&["backup", "--freeze"]);
    assert_eq!(frozen["frozen"], true);
    writers.wait_for_writes(10, LIMIT).unwrap();

    // Damage, then back, while the writers write into what is damaged.
    world.damage_all();
    world.reconfigure(|text| text.replace(&format!("start = {start:?}"), "start = \"true\""));
    world.ok(&["restore", second["set"].as_str().unwrap(), "--yes"]);
    assert_equal(&world.fingerprint(), &good, "after the restore");
    shell(&start);
    let before = writers.written();
    writers.wait_for_writes(10, LIMIT).unwrap();
    let after = writers.written();
    for (name, errors) in &after.errors {
        assert!(errors - before.errors[name] <= 2, "{name} does not take writes after the restore");
    }

    // Undo puts the damaged state back; resume of nothing is refused; settle after a second restore drops what was kept.
    shell(&stop);
    let run = world.newest_run();
    world.ok(&["undo", &run, "--yes"]);
    assert!(world.refused(2, &["undo", &run]).contains(", undone: there is nothing to undo"));
    world.ok(&["restore", second["set"].as_str().unwrap(), "--yes"]);
    assert_equal(&world.fingerprint(), &good, "after the second restore");
    let kept = world.json(&["runs"]);
    let newest = kept["runs"].as_array().unwrap().last().unwrap();
    assert!(newest["kept_bytes"].as_u64().unwrap() > 0, "{newest}");
    assert!(world.refused(2, &["restore", "latest", "--yes"]).contains("is in the way"));
    // Nobody is there to be asked.
    for verb in ["settle", "undo"] {
        assert!(world.refused(2, &[verb]).contains("Say --yes"), "{verb}");
    }
    assert_eq!(world.json(&["runs"])["runs"].as_array().unwrap().last().unwrap()["state"], "finished");
    world.ok(&["settle", "--yes"]);
    assert_equal(&world.fingerprint(), &good, "after settling");
    world.ok(&["check", "--read-data"]);
}

#[test]
fn a_set_of_an_installation_on_mysql_goes_back_and_is_equal() {
    live_through(MysqlKind::Mysql);
}

#[test]
fn a_set_of_an_installation_on_mariadb_goes_back_and_is_equal() {
    live_through(MysqlKind::Mariadb);
}

#[test]
fn in_place_goes_back_too_and_undo_uses_the_safety_copy() {
    let world = World::start(3 << 20);
    let good = world.fingerprint();
    let set = world.json(&["backup"])["set"].as_str().unwrap().to_owned();
    world.damage_all();
    let damaged = world.fingerprint();
    world.ok(&["restore", &set, "--in-place", "--yes"]);
    assert_equal(&world.fingerprint(), &good, "after the restore in place");
    world.ok(&["undo", "--yes"]);
    assert_equal(&world.fingerprint(), &damaged, "after the undo");
}

#[test]
fn redis_keeps_what_was_restored_over_a_restart_with_the_append_only_file_on() {
    let mut world = World::start(2 << 20);
    let good = world.fingerprint();
    world.ok(&["backup", "--only", "backend-redis,system-redis"]);
    world.damage_all();
    world.ok(&["restore", "latest", "--partial", "--yes"]);
    // The run that is meant by `settle` is the restore, not a backup that came after it.
    world.ok(&["backup", "--only", "system-redis"]);
    world.ok(&["settle", "--yes"]);
    assert!(world.refused(2, &["undo", "--yes"]).contains("no run"));
    for server in [&mut world.installation.backend_redis, &mut world.installation.system_redis] {
        server.stop().unwrap();
        server.start_again().unwrap();
    }
    let of_redis = |mut all: lab::Fingerprint| {
        all.retain(|name, _| name.contains("-redis/"));
        all
    };
    assert_equal(&of_redis(world.fingerprint()), &of_redis(good), "after the restart");
}

fn commands(world: &World) -> [String; 3] {
    let table: toml::Table = world.installation.writers_toml().parse().unwrap();
    ["stop", "start", "stopped"].map(|name| table["writers"][name].as_str().unwrap().to_owned())
}

fn shell(command: &str) {
    assert!(std::process::Command::new("/bin/sh").arg("-c").arg(command).status().unwrap().success());
}

#[test]
fn a_system_database_on_postgresql_goes_back() {
    let world = World::start(1 << 20);
    let url = world.installation.postgres.url(lab::ZYNC_DATABASE);
    world.reconfigure(|text| {
        let mysql = world.installation.mysql.url(lab::SYSTEM_DATABASE);
        text.replace(&format!("[zync-database]\nurl = {url:?}\n"), "").replace(&mysql, &url)
    });
    let good = world.installation.fingerprint_of(DataSetName::ZyncDatabase).unwrap();
    world.ok(&["backup", "--only", "system-database"]);
    world.installation.damage(DataSetName::ZyncDatabase).unwrap();
    world.ok(&["restore", "latest", "--partial", "--yes"]);
    assert_equal(&world.installation.fingerprint_of(DataSetName::ZyncDatabase).unwrap(), &good, "after the restore");
    world.ok(&["settle", "--yes"]);
}

#[test]
fn job_queues_are_left_out_unless_they_are_asked_for() {
    let world = World::start(1 << 20);
    let queued = || {
        let keys = world.installation.system_redis.client().args(["-n", "1", "--raw", "KEYS", "queue:*"]).output().unwrap();
        String::from_utf8_lossy(&keys.stdout).lines().filter(|line| !line.is_empty()).count()
    };
    let before = queued();
    assert!(before > 0, "the lab's system-redis has queues");
    world.ok(&["backup", "--only", "system-redis"]);
    let mut drop = world.command(&["restore", "latest", "--partial", "--yes"]);
    drop.env_remove("THREESCALE_BACKUP_QUEUES");
    let output = drop.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(queued(), 0, "a job would be done twice");
    world.ok(&["undo", "--yes"]);
    assert_eq!(queued(), before);
    world.ok(&["restore", "latest", "--partial", "--yes", "--queues", "keep"]);
    assert_eq!(queued(), before);
}

/// A rehearsal of a set of the state that is live: a command reads the same in the throw-away servers, and cannot write there.
fn looked_into(world: &World, set: &str) {
    let live = |mut client: std::process::Command, arguments: &[&str]| {
        let output = client.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let one = &world.installation;
    let files = std::fs::read_dir(one.storage())
        .unwrap()
        .filter(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".threescale"));
    let wanted = [
        live(one.mysql.client(), &["-N", "-e", "SELECT COUNT(*), MAX(id) FROM cinstances", "system"]),
        live(one.postgres.client(), &["-Atd", "zync_production", "-c", "SELECT count(*) FROM tenants"]),
        live(one.backend_redis.client(), &["-n", "0", "SCARD", "services_set"]),
        format!("{}\n", files.count()),
    ];
    let out = world.path("looked");
    let command = format!(
        "set -e; exec > {}; system-database -N -e 'SELECT COUNT(*), MAX(id) FROM cinstances'; zync-database -Atc 'SELECT count(*) FROM tenants';
         backend-redis SCARD services_set; ls -A $THREESCALE_REHEARSAL/system-storage/ | grep -v ^.threescale | wc -l;
         ! system-database -e 'DELETE FROM accounts'; ! zync-database -c 'DELETE FROM tenants'; backend-redis DEL services_set 2>&1 | grep -q NOPERM; test -z \"$(env | grep -i password)\"",
        out.display()
    );
    world.ok(&["rehearse", set, "--then", &command]);
    assert_eq!(std::fs::read_to_string(out).unwrap(), wanted.concat());
    assert!(world.refused(1, &["rehearse", set, "--only", "system-redis", "--then", "exit 7"]).contains("exit status: 7"));
}

/// Looks at what is staged: what it reads of each store, of the live database by that one's own client, and what it is given.
const LOOKS: &str = "set -e
cd \"$1\"
cat > document
env > environment
ps -eo args | grep threescale > processes
{
  system-database -N -e 'SELECT COUNT(*), MAX(id) FROM cinstances'
  zync-database -Atc 'SELECT count(*) FROM tenants'
  backend-redis SCARD services_set
  ls -A \"$THREESCALE_STAGED/system-storage/\" | wc -l
} > staged
system-database -e 'SELECT id, org_name FROM accounts ORDER BY id LIMIT 1' > names
for statement in 'DELETE FROM accounts' 'SELECT 1; DELETE FROM accounts' 'SELECT 1; COMMIT; DELETE FROM accounts' 'WITH x AS (SELECT 1) DELETE FROM accounts'; do
  ! system-database -e \"$statement\" 2>> refused
  ! zync-database -c \"$(echo \"$statement\" | sed s/accounts/tenants/)\" 2>> refused
done
! zync-database -c 'WITH gone AS (DELETE FROM tenants RETURNING 1) SELECT * FROM gone' 2>> refused
! backend-redis DEL services_set 2>> refused
! system-redis EVAL 'return 1' 0 2>> refused
! system-database -e \"SELECT 1 INTO OUTFILE '$1/written'\" 2>> refused
# Whoever asks still when the command has ended, or is silent, is not waited for.
setsid system-database -e 'SELECT SLEEP(1000)' > /dev/null 2>&1 &
setsid zync-database -c 'SELECT pg_sleep(1000)' > /dev/null 2>&1 &
setsid python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(os.environ[\"THREESCALE_STAGED\"] + \"/socket\"); s.recv(1)' &
for _ in $(seq 200); do
  asking=$(system-database -Ne \"SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(1000)%'\")
  also=$(zync-database -Atc \"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND pid <> pg_backend_pid()\")
  [ \"$asking $also\" = '1 1' ] && break
done
[ \"$asking $also\" = '1 1' ]
";

/// What `diff --deep` says of changes that are made here, by the stores' own clients.
fn differs_by_what_was_changed(world: &World) {
    let one = &world.installation;
    let first = world.json(&["backup"])["set"].as_str().unwrap().to_owned();
    let run = |mut client: std::process::Command, arguments: &[&str]| {
        let output = client.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let sql = "INSERT INTO accounts (id, org_name) VALUES (900001, 'new'), (900002, 'new'); UPDATE accounts SET org_name = 'other', state = CONCAT(state, 'x') WHERE id = 1;
        INSERT INTO accounts (id, org_name) VALUES (900003, 'gone'); DELETE FROM accounts WHERE id = 900003;
        DELETE FROM settings ORDER BY id LIMIT 1; INSERT INTO categories_services VALUES (7, 900001, 1, 1); INSERT INTO features_plans VALUES (1, 900001, 'x', NULL)";
    run(one.mysql.client(), &["-e", sql, "system"]);
    run(
        one.postgres.client(),
        &["-d", "zync_production", "-c", "UPDATE tenants SET endpoint = 'https://other' WHERE id = (SELECT min(id) FROM tenants)"],
    );
    run(one.backend_redis.client(), &["-n", "0", "SADD", "services_set", "900001"]);
    run(one.backend_redis.client(), &["-n", "0", "ZADD", "nobody/knows", "1", "member"]);
    std::fs::write(one.storage().join("new \u{e4}"), "new").unwrap();
    let second = world.json(&["backup"])["set"].as_str().unwrap().to_owned();
    run(one.backend_redis.client(), &["-n", "0", "ZADD", "nobody/knows", "2", "member"]);
    let path = one.storage().join("new \u{e4}");
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "NEW").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let third = world.json(&["backup"])["set"].as_str().unwrap().to_owned();

    let groups = |from: &str, to: &str, more: &[&str]| {
        let document = world.json(&[&["diff", from, to, "--deep"], more].concat());
        let deep = document["deep"].as_array().unwrap().clone();
        deep.iter()
            .flat_map(|it| it["groups"].as_array().unwrap().clone())
            .map(|it| (it["name"].as_str().unwrap().to_owned(), it))
            .collect::<BTreeMap<_, _>>()
    };
    let numbers = |group: &serde_json::Value| ["added", "removed", "changed"].map(|name| group[name].as_u64().unwrap());
    let found = groups(&first, &second, &[]);
    assert_eq!(numbers(&found["accounts"]), [2, 0, 1], "{found:?}");
    assert_eq!(found["accounts"]["named"], serde_json::json!({"added": ["id 900001", "id 900002"], "removed": [], "changed": ["id 1"]}));
    assert_eq!(found["accounts"]["columns"], serde_json::json!({"org_name": 1, "state": 1}));
    assert_eq!(numbers(&found["settings"]), [0, 1, 0]);
    assert_eq!(found["categories_services"]["named"]["added"][0], "category_id 7, service_id 900001");
    // Without a primary key a row is told by all of it, and has no name.
    assert_eq!((numbers(&found["features_plans"]), &found["features_plans"]["named"]["added"]), ([1, 0, 0], &serde_json::json!([])));
    assert_eq!((numbers(&found["tenants"]), &found["tenants"]["columns"]), ([0, 0, 1], &serde_json::json!({"endpoint": 1})));
    assert!(!found.contains_key("users"));
    assert_eq!((numbers(&found["storage/configuration"]), numbers(&found["storage/unknown"])), ([0, 0, 1], [1, 0, 0]));
    assert_eq!(found["files"]["named"]["added"], serde_json::json!(["new \u{e4}"]));
    // The other way round, and no more names than are wanted.
    let back = groups(&second, &first, &["--limit", "1"]);
    assert_eq!((numbers(&back["accounts"]), back["accounts"]["named"]["removed"].as_array().unwrap().len()), ([0, 2, 1], 1));
    let text = world.ok(&["diff", &first, &second, "--deep", "--limit", "1"]);
    assert!(
        text.contains(
            "  accounts: 2 rows added, 1 row changed (org_name 1, state 1)\n    added: id 900001; and 1 more: --limit 2 names all\n"
        ),
        "{text}"
    );
    // A score, and a content of the same length and time.
    let found = groups(&second, &third, &[]);
    assert_eq!((numbers(&found["storage/unknown"]), numbers(&found["files"])), ([0, 0, 1], [0, 0, 1]), "{found:?}");
    assert!(!found.contains_key("accounts") && !found.contains_key("tenants"), "{found:?}");
}

#[test]
fn a_command_looks_at_what_is_staged_before_anything_live_is_touched() {
    let world = World::start(1 << 20);
    differs_by_what_was_changed(&world);
    let one = &world.installation;
    let live = |mut client: std::process::Command, arguments: &[&str]| {
        let output = client.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let rows = || live(one.mysql.client(), &["-N", "-e", "SELECT COUNT(*), MAX(id) FROM cinstances", "system"]);
    let files = std::fs::read_dir(one.storage()).unwrap().count();
    let wanted = [
        rows(),
        live(one.postgres.client(), &["-Atd", "zync_production", "-c", "SELECT count(*) FROM tenants"]),
        live(one.backend_redis.client(), &["-n", "0", "SCARD", "services_set"]),
        format!("{files}\n"),
    ];
    let names = live(one.mysql.client(), &["-B", "-e", "SELECT id, org_name FROM accounts ORDER BY id LIMIT 1", "system"]);
    let good = world.fingerprint();
    let set = world.json(&["backup"])["set"].as_str().unwrap().to_owned();
    world.damage_all();
    let beside = |mut all: lab::Fingerprint| {
        all.retain(|name, _| !name.contains(".threescale-backup"));
        all
    };
    let damaged = beside(world.fingerprint());
    let untouched = |when: &str| assert_equal(&beside(world.fingerprint()), &damaged, when);

    // One that fails: nothing live was touched, and the way out is told.
    let script = world.path("look");
    let command = format!("sh {} {}", script.display(), world.home.path().display());
    std::fs::write(&script, "exit 7").unwrap();
    let told = world.refused(3, &["restore", &set, "--yes", "--then", &command]);
    let run = world.newest_run();
    assert!(
        told.contains("ended with exit status: 7") && told.contains(&format!("resume {run}")) && told.contains(&format!("undo {run}")),
        "{told}"
    );
    untouched("after a command that failed");

    // One that hangs, and is interrupted with what it started.
    let (begun, child) = (world.path("begun"), world.path("child"));
    std::fs::write(&script, format!("sleep 1000 & echo $! > {}; mv {0} {}; wait", child.display(), begun.display())).unwrap();
    let mut resumed = world.command(&["resume", &run, "--yes"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let limit = std::time::Instant::now() + LIMIT;
    while !begun.exists() {
        assert!(std::time::Instant::now() < limit && resumed.try_wait().unwrap().is_none(), "the command was not run again");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ours = rustix::process::Pid::from_raw(resumed.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(ours, rustix::process::Signal::INT).unwrap();
    let output = resumed.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let sleeper = std::fs::read_to_string(&begun).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "what the command started goes on: {state}");
    untouched("after a command that was interrupted");

    // One that looks: it sees what is staged, and what is live as it was; then all goes live.
    let asks = one.mysql.client();
    let asks: Vec<_> =
        std::iter::once(asks.get_program()).chain(asks.get_args()).map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let environment: Vec<_> = one
        .mysql
        .client()
        .get_envs()
        .filter_map(|(name, value)| Some(format!("export {}='{}'\n", name.to_str()?, value?.to_str()?)))
        .collect();
    let of_live = format!("{}{} -N -e 'SELECT COUNT(*), MAX(id) FROM cinstances' system > live\n", environment.concat(), asks.join(" "));
    std::fs::write(&script, format!("{LOOKS}{of_live}")).unwrap();
    let damaged_rows = rows();
    assert_ne!(damaged_rows, wanted[0]);
    world.ok(&["resume", &run, "--yes"]);
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    assert_eq!((read("staged"), read("live"), read("names")), (wanted.concat(), damaged_rows, names));
    assert_eq!(read("refused").lines().filter(|line| line.starts_with("error: ")).count(), 12, "{}", read("refused"));
    let document: serde_json::Value = serde_json::from_str(&read("document")).unwrap();
    assert_eq!((document["run"].as_str(), document["set"].as_str()), (Some(run.as_str()), Some(set.as_str())));
    assert_eq!(document["data_sets"]["system-database"]["kind"], "mysql");
    assert!(document["data_sets"]["zync-database"]["program"].as_str().unwrap().ends_with("/zync-database"), "{document}");
    for secret in [one.mysql.password(), one.postgres.password(), one.backend_redis.password()] {
        for name in ["document", "environment", "processes"] {
            assert!(!secret.is_empty() && !read(name).contains(secret), "{name} has a password");
        }
    }
    assert!(!std::path::Path::new(document["folder"].as_str().unwrap()).exists());
    assert_equal(&world.fingerprint(), &good, "after the restore");
    let looks: Vec<_> =
        world.journal().iter().filter(|line| line["record"] == "opened").map(|line| line["plan"]["steps"].to_string()).collect();
    assert!(looks[0].contains("\"look-first\""));
    world.ok(&["undo", "--yes"]);
    untouched("after the undo");

    // What cannot be looked at is said before.
    assert!(
        world
            .refused(2, &["restore", &set, "--in-place", "--yes", "--then", "true"])
            .contains("and nothing is: all of it goes back in place")
    );
    assert!(world.refused(2, &["restore", &set, "--classes", "usage", "--then", "true"]).contains("cannot be used with"));
}
