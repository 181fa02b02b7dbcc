//! `demo`: the whole life of a set on throw-away servers, told as it goes.
//!
//! Everything is done by the same code as the commands; what is back is told by the stores' own means (`lab`'s fingerprints), not by this program.

mod closing;

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{Fingerprint, Installation, InstallationOptions, MysqlKind};
use plan::error::During;
use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::ports::Silent;
use plan::{Error, Result};

use crate::app::App;
use crate::args::{self, SystemDatabase};
use crate::commands;
use crate::output::{bytes, count, duration_ms, parse_bytes};

/// Writes into each store that are waited for before something happens "under load".
const WRITES_AWAITED: u64 = 20;
const WRITES_LIMIT: Duration = Duration::from_secs(60);
/// For `--servers-only`. Nobody writes there: stopping and starting the writers is nothing.
const TO_YOURSELF: &str = "[installation]\nname = \"demo\"\n\n[writers]\nstop = \"true\"\nstart = \"true\"\nstopped = \"true\"\n";

pub(crate) fn demo(app: &App, args: &args::Demo) -> Result<()> {
    let size_bytes = parse_bytes(&args.size)?;
    let mysql = match args.system_database {
        SystemDatabase::Mysql => MysqlKind::Mysql,
        SystemDatabase::Mariadb => MysqlKind::Mariadb,
    };
    if args.servers_only && app.output.json {
        return Err(Error::refused("demo --servers-only has no document").hint("Leave out --json: where the servers are is told in words."));
    }
    let mut demo = Demo::begin(app, args.servers_only, InstallationOptions { mysql, size_bytes, ..InstallationOptions::default() })?;
    if args.servers_only {
        demo.installation.fill(&Silent)?;
        return demo.keep();
    }
    demo.tell_story()?;
    if args.keep { demo.keep() } else { demo.clean_up() }
}

/// The stage of the demo: servers, and a home for repository, configuration and journal.
struct Demo<'a> {
    app: &'a App,
    inner: App,
    installation: Installation,
    home: tempfile::TempDir,
    chapter: u32,
    began: Instant,
}

impl<'a> Demo<'a> {
    fn begin(app: &'a App, servers_only: bool, options: InstallationOptions) -> Result<Self> {
        let began = Instant::now();
        let number = if servers_only { "" } else { "\n1. " };
        app.output
            .note(&format!("{number}Throw-away servers: a system database, PostgreSQL for zync, two Redis with AOF on, a folder of files"));
        let installation = Installation::start(&options)?;
        let home = tempfile::Builder::new()
            .prefix("threescale-backup-demo-")
            .tempdir()
            .during(|| "failed to make a temporary folder".to_owned())?;
        let key = home.path().join("key");
        write_private(&key, "a password for the demo only\n")?;
        let config = home.path().join("threescale-backup.toml");
        let repository = home.path().join("repository");
        let more = if servers_only { TO_YOURSELF.to_owned() } else { writers_of_the_story(&installation) };
        write_private(&config, &format!("{}\n{more}", installation.toml(&repository.display().to_string(), &key)))?;
        let inner = app.at(config, home.path().join("state"));
        Ok(Self { app, inner, installation, home, chapter: 1, began })
    }

    fn tell_story(&mut self) -> Result<()> {
        for line in [
            format!("   {}", self.installation.mysql.url("system").split('@').next_back().unwrap_or_default()),
            format!("   everything of this demo is in {}", self.home.path().display()),
        ] {
            self.app.output.note(&line);
        }
        self.chapter("3scale-like data: rows, files that rows refer to, keys of every class, triggers, a procedure");
        self.installation.fill(&Silent)?;
        self.chapter("The writers run: System, Sidekiq, Backend and zync write to all stores from here on");
        let writers = self.installation.writers();
        writers.wait_for_writes(WRITES_AWAITED, WRITES_LIMIT)?;

        self.chapter("dump → keep: a backup while they write");
        commands::init(&self.inner)?;
        let first = commands::take(&self.inner, &backup_of_all())?;
        self.tell_set(&first);

        self.chapter("A second set, with the writers held, so that the stores' own checksums can be compared later");
        self.command("stop")?;
        let before = self.installation.fingerprint()?;
        let second = commands::take(&self.inner, &backup_of_all())?;
        self.tell_set(&second);
        self.command("start")?;
        writers.wait_for_writes(WRITES_AWAITED, WRITES_LIMIT)?;

        self.chapter("3 a.m.: every store is damaged");
        for name in DataSetName::STORES {
            let what = self.installation.damage(name)?;
            self.app.output.note(&format!("   {name}: {what}"));
        }

        self.chapter("stage → prove → cut over: the set goes back while the damaged installation still serves");
        let plan = args::PlanArgs {
            set: second.set.to_string(),
            partial: args::Partial { partial: false },
            only: args::Only { only: Vec::new() },
            in_place: false,
            writers_are_stopped: false,
            // All goes back, so that all can be compared with what was.
            queues: plan::Queues::Keep,
            hold_for: jiff::SignedDuration::from_hours(1),
            no_hold: true,
            rewrite: args::RewriteChoice::Own,
            remove_extra: false,
            no_verify: true,
            large_values: args::LargeValuesChoice::Beside,
            then: None,
            classes: args::Classes::default(),
            tenant: args::OneTenant::default(),
            objects: args::ObjectsChoice::None,
        };
        let done = commands::carry_out(&self.inner, &args::Restore { plan, yes: true, dry_run: false, into_empty: false, domain: None })?;
        let (state, run) = done.ok_or_else(|| Error::failed("there was nothing to put back"))?;
        let report = runner::report(&state, &run)?;

        self.chapter("Proof from outside: the stores' own checksums against those from before the damage");
        let after = self.installation.fingerprint()?;
        let differences = differences(&before, &after);
        self.command("start")?;
        writers.wait_for_writes(WRITES_AWAITED, WRITES_LIMIT)?;
        self.app.output.note("   the writers run again, and every store takes their writes");

        self.chapter("settle: what was replaced is dropped; check --read-data: every stored byte is read");
        let of_run = args::OfRun { run: Some(run.to_string()), yes: true, writers_are_stopped: false };
        commands::settle(&self.inner, &of_run)?;
        commands::check(&self.inner, &args::Check { read_data: Some("100%".to_owned()) })?;
        drop(writers);
        closing::print(
            self.app,
            &closing::Numbers {
                first: &first,
                second: &second,
                report: &report,
                before: &before,
                differences: &differences,
                took: self.began.elapsed(),
            },
        )?;
        if differences.is_empty() {
            return Ok(());
        }
        let error = Error::failed(format!("{} things are not as they were", differences.len()));
        Err(differences.into_iter().take(10).fold(error, Error::hint))
    }

    fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        self.app.output.note(&format!("\n{}. {title}", self.chapter));
    }

    fn tell_set(&self, manifest: &Manifest) {
        let elements: u64 = manifest.data_sets.values().map(|kept| kept.evidence.count()).sum();
        self.app.output.note(&format!(
            "   set {}: {} in {} elements, in {}; {} new in the repository; skew between the stores {} ms",
            manifest.set,
            bytes(manifest.bytes()),
            count(elements),
            duration_ms(manifest.finished_at.as_millisecond() - manifest.started_at.as_millisecond()),
            bytes(manifest.stored_bytes()),
            manifest.skew_ms()
        ));
    }

    /// Runs the stop or start command of the lab's writers.
    fn command(&self, which: &str) -> Result<()> {
        let text = self.installation.writers_toml();
        let table: toml::Table = text.parse().during(|| "failed to read the writers' commands".to_owned())?;
        let command = table.get("writers").and_then(|writers| writers.get(which)).and_then(toml::Value::as_str).unwrap_or("false");
        let status = children::command("/bin/sh").arg("-c").arg(command).status().during(|| format!("failed to {which} the writers"))?;
        if status.success() { Ok(()) } else { Err(Error::failed(format!("failed to {which} the writers: {status}"))) }
    }

    fn clean_up(self) -> Result<()> {
        drop(self.installation);
        let path = self.home.path().to_owned();
        self.home.close().during(|| format!("failed to remove {}", path.display()))?;
        self.app.output.note("The servers are stopped and removed.");
        Ok(())
    }

    /// Leaves everything running until a signal.
    fn keep(self) -> Result<()> {
        let config = self.home.path().join("threescale-backup.toml");
        let state = self.home.path().join("state");
        self.app.output.line(&format!(
            "\nEverything runs. In another terminal:\n\n    export THREESCALE_BACKUP_CONFIG={}\n    export THREESCALE_BACKUP_STATE_FOLDER={}\n    \
             export DEMO_FILES={}\n    threescale-backup doctor\n\nCtrl-C stops and removes it.",
            config.display(),
            state.display(),
            self.installation.storage().display()
        ))?;
        while !self.app.was_interrupted() {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.clean_up()
    }
}

/// The writers are stopped by the restore, and started by the demo: between the two they must not change what is compared.
fn writers_of_the_story(installation: &Installation) -> String {
    let writers = installation.writers_toml();
    let start_line = writers.lines().find(|line| line.starts_with("start")).unwrap_or_default().to_owned();
    writers.replace(&start_line, "start = \"true\"")
}

fn backup_of_all() -> args::Backup {
    args::Backup {
        only: args::Only { only: Vec::new() },
        freeze: false,
        drain_seconds: 0,
        read_all: false,
        warnings_are_fine: false,
        no_verify: false,
    }
}

/// What differs between two fingerprints. Keys with a time to live go by themselves.
fn differences(before: &Fingerprint, after: &Fingerprint) -> Vec<String> {
    let lasting = |all: &Fingerprint| {
        all.iter().filter(|(name, _)| !name.contains("/expiring")).map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    lab::differences(&lasting(after), &lasting(before))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let open = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text.as_bytes())).during(|| format!("failed to write {}", path.display()))
}

/// Peak memory of this process in bytes (Linux: `VmHWM`).
fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string(PathBuf::from("/proc/self/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}
