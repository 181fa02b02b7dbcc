//! A backup never makes a server refuse writes.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use lab::{Redis, RedisKind};
use plan::ports::DataSet;

use super::scene::*;
use crate::Options;
use crate::connection::Crash;

fn outside(server: &Redis, arguments: &[&str]) -> String {
    String::from_utf8(server.client().args(arguments).output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_backup_never_makes_a_server_refuse_writes_and_leaves_no_setting_behind() {
    // Redis 6.2 is the newest that writes a file unless it is told not to.
    for kind in [RedisKind::Redis6, RedisKind::Redis] {
        never_refuses_writes(kind);
    }
}

fn never_refuses_writes(kind: RedisKind) {
    let server = Redis::start_kind(kind, &["--save", "3600 1", "--repl-diskless-sync", "no"]).unwrap();
    // A save cannot come to its end, as on a volume without room.
    std::fs::create_dir(server.folder().join("data/dump.rdb")).unwrap();
    outside(&server, &["SET", "key", "1"]);
    let setting = || outside(&server, &["CONFIG", "GET", "repl-diskless-sync"]).lines().nth(1).unwrap().to_owned();
    let store = store(&server);
    let set = backup(&store).unwrap();
    assert_eq!((outside(&server, &["SET", "key", "2"]).as_str(), setting().as_str()), ("OK", "no"));
    assert_eq!(set.kept.evidence.warnings, Vec::<String>::new());
    let mut left = 0;
    for commands in 0..40 {
        let crash = Crash { commands_left: Arc::new(AtomicI64::new(commands)), after_sending: commands % 2 == 1 };
        let died = backup(&store_with(&server, Options { crash: Some(crash), ..Options::default() }));
        assert_eq!(outside(&server, &["SET", "key", "2"]), "OK", "{commands}");
        if setting() == "yes" {
            left += 1;
            let problems = store.look(&context("doctor")).unwrap().backup_problems;
            assert!(problems.iter().any(|problem| problem.text.contains("repl-diskless-sync")), "{commands}: {problems:?}");
        }
        if commands % 4 == 0 {
            backup(&store).unwrap();
            assert_eq!((setting().as_str(), outside(&server, &["KEYS", "*"]).as_str()), ("no", "key"), "{commands}");
        }
        if died.is_ok() {
            break;
        }
    }
    backup(&store).unwrap();
    assert!(left > 1 && setting() == "no", "{left}");
}
