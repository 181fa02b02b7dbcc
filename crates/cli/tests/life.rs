//! The life of a set of all five data sets, on running servers that are written to; compared by the stores' own means.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

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
        live(one.mysql.client(), &["-N", "-e", "SELECT COUNT(*), MAX(id) FROM accounts", "system"]),
        live(one.postgres.client(), &["-Atd", "zync_production", "-c", "SELECT count(*) FROM tenants"]),
        live(one.backend_redis.client(), &["-n", "0", "SCARD", "services_set"]),
        format!("{}\n", files.count()),
    ];
    let out = world.path("looked");
    let command = format!(
        "set -e; exec > {}; system-database -N -e 'SELECT COUNT(*), MAX(id) FROM accounts'; zync-database -Atc 'SELECT count(*) FROM tenants';
         backend-redis SCARD services_set; ls -A $THREESCALE_REHEARSAL/system-storage/ | grep -v ^.threescale | wc -l;
         ! system-database -e 'DELETE FROM accounts'; ! zync-database -c 'DELETE FROM tenants'; backend-redis DEL services_set 2>&1 | grep -q NOPERM; test -z \"$(env | grep -i password)\"",
        out.display()
    );
    world.ok(&["rehearse", set, "--then", &command]);
    assert_eq!(std::fs::read_to_string(out).unwrap(), wanted.concat());
    assert!(world.refused(1, &["rehearse", set, "--only", "system-redis", "--then", "exit 7"]).contains("exit status: 7"));
}
