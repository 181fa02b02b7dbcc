//! Servers that take no `RESTORE`: the set goes back as a file. The container is this machine, reached through the port only; a restart is the server's own.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use lab::{Redis, RedisKind};
use plan::ports::{Context, DataSet, Ended, Input, Place, Process, Program, Remote, Road, Severity, Snapshot};
use plan::{Class, Error, Result};

use super::scene::*;
use crate::connection::Crash;
use crate::{FileRoad, Options, RedisStore};
use plan::Queues;

/// Runs programs of this machine as if they were in the server's container.
#[derive(Default)]
pub(super) struct LocalRemote {
    input_breaks: AtomicBool,
    /// A folder with programs that are found before the real ones.
    pub(super) shims: Mutex<Option<PathBuf>>,
}

impl Remote for LocalRemote {
    fn place(&self) -> String {
        "pod system-redis-1, container system-redis".to_owned()
    }

    fn start(&self, _context: &Context, program: &Program) -> Result<Box<dyn Process>> {
        let mut command = Command::new(&program.command[0]);
        command.args(&program.command[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if program.takes_input { Stdio::piped() } else { Stdio::null() });
        if let Some(shims) = &*self.shims.lock().unwrap() {
            command.env("PATH", format!("{}:{}", shims.display(), std::env::var("PATH").unwrap()));
        }
        Ok(Box::new(Local(command.spawn().unwrap(), self.input_breaks.load(Ordering::SeqCst))))
    }
}

pub(super) struct Local(pub(super) Child, pub(super) bool);

impl Process for Local {
    fn input(&mut self) -> Option<Box<dyn Input>> {
        Some(Box::new(Way(self.0.stdin.take()?, self.1)))
    }

    fn output(&mut self) -> Option<Box<dyn Read + Send>> {
        Some(Box::new(self.0.stdout.take()?))
    }

    fn finish(mut self: Box<Self>) -> Result<Ended> {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        Ok(Ended { status: self.0.wait().unwrap().code().unwrap_or(255), said })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Way(ChildStdin, bool);

impl Write for Way {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.1 { Err(io::Error::other(Error::transient("the connection was reset"))) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Input for Way {
    fn end(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A server in a container.
pub(super) struct Pod {
    pub(super) server: Arc<Mutex<Redis>>,
    pub(super) remote: Arc<LocalRemote>,
    /// Restarts fail while this is set.
    pub(super) stuck: Arc<AtomicBool>,
    options: Options,
    folder: PathBuf,
}

const NO_RESTORE: [&str; 9] = ["--rename-command", "RESTORE", "", "--rename-command", "SWAPDB", "", "--rename-command", "MOVE", ""];
pub(super) const AOF: [&str; 2] = ["--appendonly", "yes"];
pub(super) const SAVES: [&str; 2] = ["--save", "900 1 300 10"];

impl Pod {
    pub(super) fn start(kind: RedisKind, options: &[&[&str]]) -> Self {
        let server = Redis::start_kind(kind, &[NO_RESTORE.as_slice(), &options.concat()].concat()).unwrap();
        let folder = server.folder().join("data");
        let (server, remote, stuck) = (Arc::new(Mutex::new(server)), Arc::new(LocalRemote::default()), Arc::new(AtomicBool::new(false)));
        let (restarted, is_stuck) = (Arc::clone(&server), Arc::clone(&stuck));
        let restart = move |_: &Context| {
            if is_stuck.load(Ordering::SeqCst) {
                return Err(Error::transient("the pod is not ready"));
            }
            let mut server = restarted.lock().unwrap();
            server.stop()?;
            server.start_again()
        };
        let road = FileRoad {
            remote: Arc::clone(&remote) as Arc<dyn Remote>,
            data_folder: folder.to_str().unwrap().to_owned(),
            restart: Arc::new(restart),
        };
        Self { server, remote, stuck, options: Options { file_road: Some(road), ..Options::default() }, folder }
    }

    pub(super) fn store(&self) -> RedisStore {
        store_with(&self.server.lock().unwrap(), self.options.clone())
    }

    pub(super) fn say(&self, database: u32, words: &str) -> crate::connection::Reply {
        say(&mut connect(&self.server.lock().unwrap(), database), words)
    }

    pub(super) fn save(&self) {
        save(&self.server.lock().unwrap());
    }

    pub(super) fn digest(&self) -> String {
        digest(&self.server.lock().unwrap())
    }

    fn restart(&self) {
        let mut server = self.server.lock().unwrap();
        server.stop().unwrap();
        server.start_again().unwrap();
    }

    fn fill(&self) {
        let server = self.server.lock().unwrap();
        every_type(&mut connect(&server, 0));
        say(&mut connect(&server, 1), "RPUSH resque:queue:main a b c");
        say(&mut connect(&server, 1), "SET resque:stat:processed 3");
    }

    fn damage(&self) {
        damage(&self.server.lock().unwrap());
    }

    /// What this program has left in the data folder.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("threescale-backup")).collect()
    }
}

pub(super) fn load(store: &RedisStore, set: &Set, place: &Place, run: &str) -> Result<()> {
    store.stage(&context(run), place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept)
}

fn goes_back_by_file(kind: RedisKind, options: &[&[&str]]) {
    let pod = Pod::start(kind, options);
    pod.fill();
    let knows_functions = kind != RedisKind::Valkey;
    if knows_functions {
        connect(&pod.server.lock().unwrap(), 0).call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    }
    pod.save();
    let before = pod.digest();
    let store = pod.store();
    let set = backup(&store).unwrap();
    pod.damage();
    let findings = store.look(&context("x")).unwrap();
    assert_eq!(findings.road, Road::InPlace);
    assert!(findings.restore_problems.iter().all(|problem| problem.severity < Severity::Blocks), "{findings:?}");
    assert!(findings.facts.iter().any(|(name, why)| name.ends_with("in place by file because") && why.contains("RESTORE")), "{findings:?}");

    let place = restore(&store, &set, "f1", Road::InPlace);
    assert_eq!(place.0["method"], "file");
    assert_eq!(pod.leftovers(), ["threescale-backup-f1-previous"]);
    assert!(store.kept_bytes(&context("f1"), &place).unwrap() > 0);
    assert_eq!(store.look(&context("f1")).unwrap().half_loaded_by, None);
    assert_eq!(store.discard(&context("f1"), &place, plan::ports::Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
    let left = store.leftovers(&context("f1")).unwrap();
    assert!(left.iter().any(|left| left.run == "f1" && left.holds == plan::ports::Holds::Previous && left.bytes > Some(0)), "{left:?}");
    assert_eq!(store.undo(&context("f1"), &place).unwrap_err().class(), Class::NeedsPerson);
    store.discard(&context("f1"), &place, plan::ports::Discard::Previous).unwrap();
    store.discard(&context("f1"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!((pod.digest(), pod.leftovers().len()), (before.clone(), 0));
    pod.restart();
    assert_eq!(pod.digest(), before, "it survives a restart");
    if knows_functions {
        assert_eq!(pod.say(0, "FCALL hello 0").text(), "hi");
    }
}

#[test]
fn with_the_aof_on_a_set_goes_back_under_the_name_of_the_aof() {
    goes_back_by_file(RedisKind::Redis, &[&AOF, &SAVES]);
}

#[test]
fn without_an_aof_a_set_goes_back_as_the_servers_rdb_and_is_not_overwritten_when_it_is_stopped() {
    goes_back_by_file(RedisKind::Redis, &[&SAVES]);
}

#[test]
fn the_newest_redis_takes_a_set_as_a_file_too() {
    goes_back_by_file(RedisKind::NewestRedis, &[&AOF]);
}

#[test]
fn queues_are_left_out_of_the_file_and_the_proof_is_exact() {
    let mut pod = Pod::start(RedisKind::Redis, &[&AOF]);
    pod.fill();
    pod.options.queues = Queues::Drop;
    let store = pod.store();
    let set = backup(&store).unwrap();
    pod.damage();
    let place = restore(&store, &set, "q1", Road::InPlace);
    assert_eq!(pod.say(1, "EXISTS resque:queue:main resque:stat:processed").number(), Some(1));
    for tampering in ["DEL resque:stat:processed", "RPUSH resque:queue:main a b c"] {
        pod.say(1, tampering);
        assert_ne!(differences(&store, &set, &place, "q1"), Vec::<String>::new(), "{tampering}");
        load(&store, &set, &place, "q1").unwrap();
        assert_eq!(differences(&store, &set, &place, "q1"), Vec::<String>::new());
    }
    store.discard(&context("q1"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(pod.say(1, "KEYS *").list().len(), 1);
}

#[test]
fn queues_by_class_are_refused_where_a_set_goes_back_as_a_file() {
    let mut pod = Pod::start(RedisKind::Redis, &[&AOF]);
    pod.fill();
    let set = backup(&pod.store()).unwrap();
    pod.options.queues = Queues::Safe;
    let problems = pod.store().fits(&context("x"), &set.kept, Road::InPlace).unwrap();
    let told = problems.iter().find(|problem| problem.text.contains("by their class")).unwrap();
    assert!(told.severity == Severity::Blocks && told.sentence().contains("--queues drop"), "{told:?}");
    assert!(pod.store().reserve(&context("x"), &set.kept, Road::InPlace).is_err());
}

#[test]
fn what_cannot_go_back_by_file_is_refused_before_anything_is_touched() {
    let blocks = |pod: &Pod, words: &str| {
        let problems = pod.store().look(&context("x")).unwrap().restore_problems;
        assert!(
            problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains(words)),
            "{words}: {problems:?}"
        );
    };
    let mut pod = Pod::start(RedisKind::Redis, &[&AOF]);
    pod.fill();
    pod.say(5, "SET liveness-probe now");
    let set = backup(&pod.store()).unwrap();
    let problems = pod.store().fits(&context("x"), &set.kept, Road::InPlace).unwrap();
    assert!(problems.iter().all(|problem| problem.severity < Severity::Blocks), "{problems:?}");
    pod.say(5, "SET somebody else");
    blocks(&pod, "database 5 of the same server");
    pod.say(5, "FLUSHDB");
    if let Some(road) = &mut pod.options.file_road {
        road.data_folder = "/somewhere/else".to_owned();
    }
    blocks(&pod, "its data folder is");
    blocks(&Pod::start(RedisKind::Redis, &[&SAVES, &["--rename-command", "CONFIG", ""]]), "CONFIG is not allowed");
    let without = store_with(&pod.server.lock().unwrap(), Options::default());
    assert!(without.look(&context("x")).unwrap().restore_problems.iter().any(|problem| problem.severity == Severity::Blocks));
}

#[test]
fn a_stream_that_breaks_places_nothing() {
    let pod = Pod::start(RedisKind::Redis, &[&AOF]);
    pod.fill();
    let store = pod.store();
    let set = backup(&store).unwrap();
    pod.damage();
    let damaged = pod.digest();
    let place = store.reserve(&context("b1"), &set.kept, Road::InPlace).unwrap();
    pod.remote.input_breaks.store(true, Ordering::SeqCst);
    assert_eq!(load(&store, &set, &place, "b1").unwrap_err().class(), Class::Transient);
    assert!(store.prove(&context("b1"), &place, &set.kept).is_err() && store.cut_over(&context("b1"), &place).is_err());
    store.discard(&context("b1"), &place, plan::ports::Discard::Staged).unwrap();
    pod.restart();
    assert_eq!((pod.digest(), pod.leftovers().len()), (damaged, 0));
}

#[test]
fn a_restart_that_fails_can_be_taken_up_or_taken_back() {
    for options in [AOF, SAVES] {
        let pod = Pod::start(RedisKind::Redis, &[&options]);
        pod.fill();
        let before = pod.digest();
        let store = pod.store();
        let set = backup(&store).unwrap();
        pod.damage();
        let damaged = pod.digest();
        let place = store.reserve(&context("r1"), &set.kept, Road::InPlace).unwrap();
        pod.stuck.store(true, Ordering::SeqCst);
        assert!(load(&store, &set, &place, "r1").is_err());
        assert_eq!(pod.leftovers(), ["threescale-backup-r1-previous"]);
        assert_eq!(store.look(&context("x")).unwrap().half_loaded_by.as_deref(), Some("r1"));
        let settle = store.discard(&context("r1"), &place, plan::ports::Discard::Previous);
        assert_eq!(settle.unwrap_err().class(), Class::NeedsPerson, "the only copy of the old files stays");
        store.discard(&context("r1"), &place, plan::ports::Discard::Staged).unwrap();
        assert_eq!(store.look(&context("x")).unwrap().half_loaded_by, None);
        // Save points are off until the next restart: what is not in an AOF must be saved by hand here.
        if options == SAVES {
            pod.save();
        }
        pod.restart();
        assert_eq!((pod.digest(), pod.leftovers().len()), (damaged, 0), "taken back");
        assert!(load(&store, &set, &place, "r1").is_err());
        pod.stuck.store(false, Ordering::SeqCst);
        load(&store, &set, &place, "r1").unwrap();
        assert_eq!(differences(&store, &set, &place, "r1"), Vec::<String>::new());
        store.discard(&context("r1"), &place, plan::ports::Discard::Previous).unwrap();
        assert_eq!(pod.digest(), before, "taken up");
    }
}

#[test]
fn a_crash_anywhere_is_mended_by_the_next_call() {
    let pod = Pod::start(RedisKind::Redis, &[&AOF]);
    for database in [0, 1] {
        (0..20).for_each(|number| drop(pod.say(database, &format!("SET key:{number} {number}"))));
    }
    let before = pod.digest();
    let store = pod.store();
    let set = backup(&store).unwrap();
    pod.damage();
    let place = store.reserve(&context("c1"), &set.kept, Road::InPlace).unwrap();
    for after_sending in [false, true] {
        for commands in 0.. {
            let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending };
            let dying = store_with(&pod.server.lock().unwrap(), Options { crash: Some(crash), ..pod.options.clone() });
            let done = load(&dying, &set, &place, "c1").is_ok();
            load(&store, &set, &place, "c1").unwrap();
            assert_eq!(differences(&store, &set, &place, "c1"), Vec::<String>::new());
            if commands % 4 == 0 {
                store.discard(&context("c1"), &place, plan::ports::Discard::Previous).unwrap();
                assert_eq!((pod.digest(), pod.leftovers().len()), (before.clone(), 0));
            }
            if done {
                assert!(commands > 5, "the crash must have happened inside");
                break;
            }
        }
    }
}

#[test]
fn after_an_undo_by_file_nothing_of_the_run_is_left() {
    let pod = Pod::start(RedisKind::Redis, &[&AOF]);
    pod.fill();
    let store = pod.store();
    let set = backup(&store).unwrap();
    pod.damage();
    let damaged = pod.digest();
    let mut safety = backup(&store).unwrap();
    safety.kept.evidence.facts.insert(plan::evidence::SAFETY_COPY.to_owned(), "u1".to_owned());
    let place = restore(&store, &set, "u1", Road::InPlace);
    store.tidy(&context("u1"), &place).unwrap();
    assert_eq!(pod.leftovers().len(), 1, "the end of a run keeps the server's previous files");
    load(&store, &safety, &place, "u1").unwrap();
    assert_eq!(differences(&store, &safety, &place, "u1"), Vec::<String>::new());
    store.tidy(&context("u1"), &place).unwrap();
    assert_eq!((pod.digest(), pod.leftovers().len(), store.leftovers(&context("x")).unwrap()), (damaged, 0, Vec::new()));
}
