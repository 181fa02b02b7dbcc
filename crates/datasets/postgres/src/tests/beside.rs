//! Programs beside the server: the same facts, when none of this machine is there. The place is this machine, reached through the port only.

use std::process::{Child, ChildStdin};
use std::sync::atomic::{AtomicU64, Ordering};

use plan::ports::{Ended, Input, Problem, Process, Program, Remote, Severity};
use plan::{Class, Error};
use secrecy::ExposeSecret;

use super::*;
use crate::RemotePrograms;

/// Runs programs of this machine as if they were elsewhere, counts them, and breaks streams when asked to.
#[derive(Default)]
pub(super) struct LocalRemote {
    /// What the place has in its environment.
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    started: Mutex<Vec<Vec<String>>>,
    /// Output breaks after so many bytes, when not 0.
    output_breaks_after: AtomicU64,
    /// Input breaks after so many bytes, when not 0.
    input_breaks_after: AtomicU64,
}

impl LocalRemote {
    /// A place with an environment of its own.
    pub(super) fn with(environment: Vec<(std::ffi::OsString, std::ffi::OsString)>) -> Self {
        Self { environment, ..Self::default() }
    }

    /// How many programs were started.
    pub(super) fn starts(&self) -> usize {
        self.started.lock().unwrap().len()
    }
}

impl Remote for LocalRemote {
    fn place(&self) -> String {
        "pod zync-database-1, container postgresql".to_owned()
    }

    fn start(&self, _context: &Context, program: &Program) -> plan::Result<Box<dyn Process>> {
        self.started.lock().unwrap().push(program.command.clone());
        let mut command = Command::new(&program.command[0]);
        command.args(&program.command[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if program.takes_input { Stdio::piped() } else { Stdio::null() });
        // What an image may have set for its own server.
        command.env("PGUSER", "nobody").env("PGHOSTADDR", "192.0.2.1").env("PGOPTIONS", "-c nonsense=1").envs(self.environment.clone());
        command.envs(program.environment.iter().map(|(name, value)| (name, value.expose_secret())));
        let is_dump = program.command.iter().any(|word| word.starts_with("--format") || word == "--dbname");
        let limit = |limit: &AtomicU64| Some(limit.load(Ordering::SeqCst)).filter(|limit| *limit > 0 && is_dump).unwrap_or(u64::MAX);
        let limits = (limit(&self.input_breaks_after), limit(&self.output_breaks_after));
        Ok(Box::new(Local { child: command.spawn().unwrap(), limits }))
    }
}

struct Local {
    child: Child,
    limits: (u64, u64),
}

impl Process for Local {
    fn input(&mut self) -> Option<Box<dyn Input>> {
        let pipe = self.child.stdin.take()?;
        Some(Box::new(Way { pipe, left: self.limits.0 }))
    }

    fn output(&mut self) -> Option<Box<dyn Read + Send>> {
        let pipe = self.child.stdout.take()?;
        Some(Box::new(Breaks { pipe, left: self.limits.1 }))
    }

    fn finish(mut self: Box<Self>) -> plan::Result<Ended> {
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        Ok(Ended { status: status.code().unwrap_or(255), said })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Way {
    pipe: ChildStdin,
    left: u64,
}

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other(Error::transient("the connection was reset")));
        }
        let count = self.pipe.write(&bytes[..bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))])?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pipe.flush()
    }
}

impl Input for Way {
    fn end(self: Box<Self>) -> plan::Result<()> {
        Ok(())
    }
}

struct Breaks {
    pipe: std::process::ChildStdout,
    left: u64,
}

impl Read for Breaks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::Error::other(Error::transient("the connection was reset")));
        }
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.pipe.read(&mut buffer[..wanted])?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// A store of a machine without programs of its own.
fn store_of(server: &lab::Postgres, url: &str, remote: &Arc<LocalRemote>) -> (PostgresStore, tempfile::TempDir) {
    let empty = tempfile::tempdir().unwrap();
    let remote = Arc::clone(remote) as Arc<dyn Remote>;
    let programs = RemotePrograms { remote, host: server.host().to_owned(), port: server.port(), superuser: false };
    let options = Options { client_folder: Some(empty.path().to_owned()), programs: Some(programs), ..Options::default() };
    (PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(url).unwrap(), options), empty)
}

fn server() -> lab::Postgres {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE ROLE zync LOGIN PASSWORD 'zync'; CREATE ROLE reader; CREATE DATABASE zync OWNER zync");
    psql(
        &server,
        "zync",
        &format!(
            "SET ROLE zync; {}",
            RICH.replace("GRANT SELECT ON LARGE", "-- GRANT")
                .replace("CREATE EXTENSION pgcrypto", "CREATE SCHEMA ext; CREATE EXTENSION pgcrypto SCHEMA ext")
        ),
    );
    psql(
        &server,
        "zync",
        "SET ROLE zync; CREATE TABLE big AS SELECT n AS id, repeat(md5(n::text), 20) AS v FROM generate_series(1, 30000) n",
    );
    server
}

fn notes(problems: &[Problem]) -> Vec<&str> {
    problems.iter().filter(|problem| problem.severity == Severity::Note).map(|problem| problem.text.as_str()).collect()
}

#[test]
fn without_programs_here_those_beside_the_server_do_the_whole_round_trip() {
    // With CREATEDB beside the live data, without it in place.
    for road in [Road::SideCopy, Road::InPlace] {
        let server = server();
        let before = text(&server, "zync");
        let remote = Arc::new(LocalRemote::default());
        let url = if road == Road::SideCopy { server.url("zync") } else { server.url_as("zync", "zync", "zync") };
        let (store, _empty) = store_of(&server, &url, &remote);
        let (context, ear) = context("01jd0000000000000001");
        let found = store.look(&context).unwrap();
        assert_eq!(found.road, road);
        let clients = &found.facts.iter().find(|(name, _)| name == "clients").unwrap().1;
        assert!(clients.contains("in pod zync-database-1"), "{clients}");
        let set = take(&store);
        assert!(notes(&store.fits(&context, &set.1, road).unwrap()).iter().any(|text| text.contains("pg_restore")));
        psql(&server, "zync", "DROP TABLE texts; DELETE FROM big WHERE id > 7");
        let place = staged(&store, &context, &set, road);
        store.cut_over(&context, &place).unwrap();
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
        same(&before, &text(&server, "zync"));
        let warnings = ear.0.lock().unwrap().clone();
        assert!(warnings.iter().all(|text| text.contains("stays as it is")), "{warnings:?}");
        let started = remote.started.lock().unwrap();
        let versions = started.iter().filter(|command| command.iter().any(|word| word == "--version")).count();
        assert_eq!(versions, 1, "asked once");
        assert!(started.iter().flatten().all(|word| !word.contains("zync:") && !word.contains(server.password())), "no password");
    }
}

#[test]
fn a_stream_that_breaks_leaves_no_set() {
    let server = server();
    let remote = Arc::new(LocalRemote::default());
    let (store, _empty) = store_of(&server, &server.url("zync"), &remote);
    let (context, _) = context("01jd0000000000000001");
    for bytes in [1, 8 << 20, (8 << 20) + 1, 12_000_000] {
        remote.output_breaks_after.store(bytes, Ordering::SeqCst);
        let error = pull(store.dump(&context).unwrap()).err().unwrap();
        assert_eq!(error.class(), Class::Transient, "{bytes}: {error:?}");
    }
}

#[test]
fn an_input_that_breaks_leaves_the_live_data_as_it_was() {
    let server = server();
    let before = text(&server, "zync");
    for road in [Road::SideCopy, Road::InPlace] {
        let remote = Arc::new(LocalRemote::default());
        let url = if road == Road::SideCopy { server.url("zync") } else { server.url_as("zync", "zync", "zync") };
        let (store, _empty) = store_of(&server, &url, &remote);
        let (context, _) = context("01jd0000000000000001");
        let set = take(&store);
        let place = store.reserve(&context, &set.1, road).unwrap();
        for bytes in [1, 9_000_000] {
            remote.input_breaks_after.store(bytes, Ordering::SeqCst);
            let error = store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap_err();
            assert!(error.class() != Class::NeedsPerson, "{error:?}");
            same(&before, &text(&server, "zync"));
        }
        remote.input_breaks_after.store(0, Ordering::SeqCst);
        remote.output_breaks_after.store(if road == Road::InPlace { 9_000_000 } else { 0 }, Ordering::SeqCst);
        let again = store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1);
        assert_eq!(again.is_ok(), road == Road::SideCopy, "{again:?}");
        same(&before, &text(&server, "zync"));
        store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
    }
}

#[test]
fn a_place_without_the_programs_blocks_and_says_what_is_missing_where() {
    struct Nothing;
    impl Remote for Nothing {
        fn place(&self) -> String {
            "pod x, container y".to_owned()
        }
        fn start(&self, _context: &Context, _program: &Program) -> plan::Result<Box<dyn Process>> {
            let mut command = Command::new("sh");
            command.args(["-c", "echo 'pg_restore is not here' >&2; exit 127"]);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            Ok(Box::new(Local { child, limits: (u64::MAX, u64::MAX) }))
        }
    }
    let server = server();
    let empty = tempfile::tempdir().unwrap();
    let programs = RemotePrograms { remote: Arc::new(Nothing), host: server.host().to_owned(), port: server.port(), superuser: false };
    let options = Options { client_folder: Some(empty.path().to_owned()), programs: Some(programs), ..Options::default() };
    let store = PostgresStore::new(DataSetName::ZyncDatabase, Address::parse(&server.url("zync")).unwrap(), options);
    let (context, _) = context("01jd0000000000000001");
    let problems = store.look(&context).unwrap().backup_problems;
    let blocks = problems.iter().find(|problem| problem.severity == Severity::Blocks).unwrap();
    let way_out = blocks.way_out.as_deref().unwrap_or_default();
    assert!(way_out.contains("postgresql-client") && way_out.contains("pod x") && way_out.contains("pg_restore is not here"), "{blocks:?}");
    assert_eq!(store.dump(&context).err().unwrap().class(), Class::Refused);
}
