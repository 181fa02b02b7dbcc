//! Files of System in a bucket: the program itself, on the lab's S3 service; and the migration between a bucket and a folder.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

use lab::S3;
use support::program;

struct World {
    s3: S3,
    home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { s3: S3::start().unwrap(), home: tempfile::tempdir().unwrap() };
        std::fs::write(world.path("key"), "a password\n").unwrap();
        world.s3.put("acme/2026/01/02/logo-1.png", b"picture".to_vec(), &[("content-type", "image/png")]);
        world.s3.put("acme/2026/01/02/page-2.html", b"<html>".to_vec(), &[("content-type", "text/html")]);
        world.s3.pass(10);
        world.configure("s3://system-files");
        world.ok(&["init"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn configure(&self, storage: &str) {
        let (id, secret) = self.s3.keys();
        let absent: String = ["system-database", "zync-database", "backend-redis", "system-redis"]
            .iter()
            .map(|name| format!("[{name}]\nabsent = true\n"))
            .collect();
        let bucket = if storage.starts_with("s3://") {
            format!("[system-storage.s3]\nendpoint = {:?}\naccess-key-id = {id:?}\nsecret-access-key = {secret:?}\n", self.s3.endpoint())
        } else {
            String::new()
        };
        let text = format!(
            "[installation]\nname = \"prod\"\n[repository]\nurl = {:?}\npassword-file = {:?}\n[system-storage]\npath = {storage:?}\n{bucket}{absent}\
             [writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n",
            self.path("repository"),
            self.path("key"),
        );
        std::fs::write(self.path("config.toml"), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = program(arguments);
        command.env("THREESCALE_BACKUP_CONFIG", self.path("config.toml")).env("THREESCALE_BACKUP_STATE_FOLDER", self.path("state"));
        command.output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
        assert!(!said.contains(self.s3.keys().1), "a secret is shown: {said}");
        said
    }

    fn live(&self) -> BTreeMap<String, (Vec<u8>, BTreeMap<String, String>)> {
        self.s3.objects().into_iter().map(|(key, object)| (key, (object.bytes.to_vec(), object.headers))).collect()
    }
}

#[test]
fn files_in_a_bucket_live_through_all_verbs() {
    let world = World::new();
    let good = world.live();
    assert!(world.ok(&["config", "show"]).contains("s3://system-files"));
    assert!(world.ok(&["doctor"]).contains("system-files"));
    world.ok(&["backup"]);
    drop(world.s3.asked());
    world.ok(&["backup"]);
    // Those are of the two looks, one each.
    assert_eq!(world.s3.asked()["s3:GetObject"], 2, "what has not changed is not read again");
    world.ok(&["rehearse", "latest"]);
    world.ok(&["export", "latest", "system-storage", "--to", world.path("exported").to_str().unwrap()]);

    world.s3.put("acme/2026/01/02/logo-1.png", b"damaged".to_vec(), &[]);
    world.s3.remove("acme/2026/01/02/page-2.html");
    world.s3.put("acme/2026/02/03/later.txt", b"later".to_vec(), &[]);
    let damaged = world.live();
    assert!(world.ok(&["plan", "latest"]).contains("beside the live data"));
    let said = world.ok(&["restore", "latest", "--yes"]);
    assert!(said.contains("later.txt") && said.contains("--remove-extra"), "{said}");
    let live = |world: &World| world.live().into_iter().filter(|(key, _)| !key.starts_with('.')).collect::<BTreeMap<_, _>>();
    assert!(good.iter().all(|(key, object)| live(&world).get(key) == Some(object)));
    world.ok(&["undo", "--yes"]);
    assert_eq!(world.live(), damaged);
    world.ok(&["restore", "latest", "--yes", "--remove-extra"]);
    assert_eq!(live(&world), good);
    assert!(world.ok(&["runs"]).contains("settle"));
    world.ok(&["settle", "--yes"]);
    assert_eq!(world.live(), good);
    world.ok(&["check", "--read-data"]);
}

#[test]
fn a_migration_goes_from_a_bucket_into_a_folder_and_back() {
    let world = World::new();
    let good = world.live();
    world.ok(&["backup"]);
    let folder = world.path("system");
    std::fs::create_dir(&folder).unwrap();
    world.configure(folder.to_str().unwrap());
    let set = world.ok(&["list", "--all-installations"]);
    let set = set.lines().find_map(|line| line.split_whitespace().next().filter(|word| word.len() == 26)).unwrap().to_owned();
    world.ok(&["restore", &set, "--installation", "prod", "--yes"]);
    world.ok(&["settle", "--yes"]);
    assert_eq!(std::fs::read(folder.join("acme/2026/01/02/logo-1.png")).unwrap(), b"picture");

    world.ok(&["backup"]);
    for key in good.keys() {
        world.s3.remove(key);
    }
    world.configure("s3://system-files");
    let sets = world.ok(&["list", "--all-installations"]);
    let newest =
        sets.lines().filter_map(|line| line.split_whitespace().next().filter(|word| word.len() == 26)).find(|id| *id != set).unwrap();
    world.ok(&["restore", newest, "--installation", "prod", "--yes"]);
    world.ok(&["settle", "--yes"]);
    assert_eq!(world.live(), good, "with the types that porta gives");
}

#[test]
fn an_address_that_names_no_bucket_and_keys_that_are_missing_are_refused() {
    let world = World::new();
    for (path, told) in
        [("s3://", "names no bucket"), ("s3://files/prefix", "names no bucket"), ("s3://id:secret@files", "names no bucket")]
    {
        world.configure(path);
        let output = world.run(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(told), "{path}: {said}");
    }
    world.configure("s3://system-files");
    let text = std::fs::read_to_string(world.path("config.toml")).unwrap();
    std::fs::write(world.path("config.toml"), text.replace("secret-access-key", "#")).unwrap();
    let output = world.run(&["backup"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("[system-storage.s3] has no secret-access-key"));
}
