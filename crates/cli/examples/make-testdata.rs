//! Makes what is kept of a released version under `tests/testdata`: `cargo run -p threescale-backup --example make-testdata -- PROGRAM VERSION`.
//!
//! PROGRAM is the binary of that release. It takes a whole set and a partial one of a very small installation on throw-away servers, and restores the partial
//! one: once killed after its cut-over, then resumed to its end. Kept are the repository, and of both states the journal and the stores as the run left them.
#![expect(clippy::unwrap_used, reason = "run by hand, on throw-away servers; it is to stop where it fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lab::{Mysql, MysqlKind, Postgres, Redis};

const KEY: &str = "a password of testdata\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, version] = arguments.as_slice() else { panic!("give the released program and its version") };
    let to = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata").join(version);
    fs::create_dir_all(&to).unwrap();
    let stage = Stage::start(program.into());
    stage.configure("true");
    stage.ok(&["init"]);
    stage.ok(&["backup"]);
    stage.ok(&["backup", "--only", "system-storage,system-redis"]);
    stage.fill("live");
    // Killed between the cut-over and the start of the writers: what is live is the set, and what was live is kept.
    stage.configure("kill -9 $PPID");
    let killed = stage.run(&["restore", "latest", "--yes"]);
    assert!(!killed.status.success(), "it was to be killed");
    stage.keep(&to.join("interrupted"));
    stage.configure("true");
    stage.ok(&["resume"]);
    stage.keep(&to.join("finished"));
    copy(&stage.home.path().join("repository"), &to.join("repository"));
    fs::write(to.join("key"), KEY).unwrap();
    // Version control keeps no empty folders: what is tested is what others get.
    done(Command::new("find").arg(&to).args(["-type", "d", "-empty", "-delete"]));
}

struct Stage {
    program: PathBuf,
    home: tempfile::TempDir,
    mysql: Mysql,
    postgres: Postgres,
    backend_redis: Redis,
    system_redis: Redis,
}

impl Stage {
    fn start(program: PathBuf) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("files")).unwrap();
        fs::write(home.path().join("key"), KEY).unwrap();
        let (mysql, postgres) = (Mysql::start(MysqlKind::Mysql, &["--local-infile=1"]).unwrap(), Postgres::start(&[]).unwrap());
        let stage =
            Self { program, home, mysql, postgres, backend_redis: Redis::start(&[]).unwrap(), system_redis: Redis::start(&[]).unwrap() };
        done(stage.mysql.client().args([
            "-e",
            "CREATE DATABASE `system` CHARACTER SET utf8mb4; USE `system`; CREATE TABLE accounts (id bigint AUTO_INCREMENT PRIMARY KEY, org_name varchar(255), \
             KEY by_name (org_name)); INSERT INTO accounts (org_name) VALUES ('Provider'), ('Déjà vu'), (NULL); CREATE TRIGGER t BEFORE INSERT ON accounts FOR \
             EACH ROW SET NEW.org_name = TRIM(NEW.org_name)",
        ]));
        done(stage.postgres.client().args(["-c", "CREATE DATABASE zync"]));
        let table = "CREATE TABLE tenants (id bigserial PRIMARY KEY, endpoint text NOT NULL); INSERT INTO tenants (endpoint) VALUES ('https://a'), ('https://b')";
        done(stage.postgres.client().args(["-d", "zync", "-c", table]));
        done(stage.backend_redis.client().args(["-n", "0", "HSET", "service/id:1", "state", "active"]));
        done(stage.backend_redis.client().args(["-n", "1", "RPUSH", "resque:queue:main", "job"]));
        stage.fill("set");
        stage
    }

    /// A file and a key that say in which state they are.
    fn fill(&self, content: &str) {
        let folder = self.home.path().join("files/2026");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("logo"), content).unwrap();
        done(self.system_redis.client().args(["-n", "1", "SET", "key", content]));
    }

    fn configure(&self, start: &str) {
        let home = self.home.path();
        let toml = format!(
            "[repository]\nurl = {:?}\npassword-file = {:?}\n[platform]\nkind = \"direct\"\n[writers]\nstop = \"true\"\nstopped = \"true\"\nstart = {start:?}\n\
             [system-database]\nurl = {:?}\n[system-storage]\npath = {:?}\n[zync-database]\nurl = {:?}\n[backend-redis]\nstorage-url = {:?}\nqueues-url = {:?}\n\
             [system-redis]\nurl = {:?}\n",
            home.join("repository"),
            home.join("key"),
            self.mysql.url("system"),
            home.join("files"),
            self.postgres.url("zync"),
            self.backend_redis.url(0),
            self.backend_redis.url(1),
            self.system_redis.url(1)
        );
        fs::write(home.join("config.toml"), toml).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(self.home.path().join("config.toml"));
        command.arg("--state-folder").arg(self.home.path().join("state")).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The newest journal, and the stores of the run as they are now. The journal's paths begin with `/HOME`.
    fn keep(&self, to: &Path) {
        fs::create_dir_all(to).unwrap();
        let runs = fs::read_dir(self.home.path().join("state/runs")).unwrap();
        let newest = runs.map(|entry| entry.unwrap().path()).max().unwrap();
        let text = fs::read_to_string(&newest).unwrap().replace(self.home.path().to_str().unwrap(), "/HOME");
        fs::write(to.join(newest.file_name().unwrap()), text).unwrap();
        copy(&self.home.path().join("files"), &to.join("files"));
        done(self.system_redis.client().arg("SAVE"));
        fs::copy(self.system_redis.folder().join("data/dump.rdb"), to.join("dump.rdb")).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    done(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
