//! What a user may do: every road as a user who has what the list says and no more, and what is said when one of it is missing.

use std::path::Path;

use lab::{Redis, RedisKind};
use plan::ids::DataSetName;
use plan::ports::{DataSet, Discard, Problem, Road, Severity};

use super::scene::*;
use crate::rights::{For, Right, rights_of};
use crate::{Address, Options, RedisStore};

const VIEW: &[For] = &[For::All, For::View];
const SCAN: &[For] = &[For::All, For::Scan];

/// Who may not set this waits five seconds for each view.
const QUICK: &[&str] = &["--repl-diskless-sync-delay", "0"];

fn is_7(kind: RedisKind) -> bool {
    kind != RedisKind::Redis6
}

/// Makes the user `exact`, who may do what the roads need, without `taken`; `keys` are the patterns of keys.
pub(super) fn allow(server: &Redis, kind: RedisKind, of: &[For], taken: Option<&str>, keys: &str) {
    let rights = rights_of(of, is_7(kind)).filter(|right| Some(right.command) != taken);
    let rights: Vec<String> = rights.map(|right| format!("+{}", right.command)).collect();
    say(&mut connect(server, 0), &format!("ACL SETUSER exact reset on >pw {keys} -@all {}", rights.join(" ")));
}

pub(super) fn exact(server: &Redis) -> RedisStore {
    let address = |database: u32| Address::parse(&format!("redis://exact:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    RedisStore::new(DataSetName::BackendRedis, vec![("storage", address(0)), ("queues", address(1))], Options::default()).unwrap()
}

fn seed(server: &Redis, kind: RedisKind) {
    let mut connection = connect(server, 0);
    for words in ["SET text abc", "HSET hash a 1", "SET later x PX 100000000", "RPUSH list a b c"] {
        say(&mut connection, words);
    }
    if is_7(kind) {
        connection.call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    }
    say(&mut connect(server, 1), "RPUSH resque:queue:priority a b");
}

fn blocking(problems: &[Problem]) -> Vec<String> {
    problems.iter().filter(|problem| problem.severity == Severity::Blocks).map(Problem::sentence).collect()
}

/// What a server has counted that changes data, and what data there is.
fn untouched(server: &Redis) -> (String, String) {
    let info = say(&mut connect(server, 0), "INFO persistence").text();
    let changes = info.lines().find(|line| line.starts_with("rdb_changes_since_last_save")).unwrap().to_owned();
    (changes, digest(server))
}

#[test]
fn every_road_is_gone_to_its_end_by_a_user_who_has_what_the_list_says() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, QUICK).unwrap();
        seed(&server, kind);
        let before = digest(&server);
        for (of, road) in [(VIEW, "replication"), (SCAN, "scan")] {
            // A view needs no right on any key but ours.
            allow(&server, kind, of, None, if road == "scan" { "~*" } else { "~threescale-backup:*" });
            let found = exact(&server).look(&context("x")).unwrap();
            assert_eq!(blocking(&found.backup_problems), Vec::<String>::new(), "{kind:?} {road}");
            let set = backup(&exact(&server)).unwrap();
            assert_eq!(set.kept.evidence.facts["dump-road"], road);

            let with = |more: &[For]| [of, more].concat();
            let functions = set.kept.evidence.facts["functions"] != "0";
            let more: &[For] = if functions { &[For::Functions] } else { &[] };
            allow(&server, kind, &with(&[&[For::Restore, For::Beside], more].concat()), None, "~*");
            damage(&server);
            if functions {
                say(&mut connect(&server, 0), "FUNCTION FLUSH");
            }
            let store = exact(&server);
            let run = format!("exact-{road}");
            let place = restore(&store, &set, &run, Road::SideCopy);
            store.undo(&context(&run), &place).unwrap();
            assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
            store.cut_over(&context(&run), &place).unwrap();
            store.leftovers(&context(&run)).unwrap();
            store.kept_bytes(&context(&run), &place).unwrap();
            store.discard(&context(&run), &place, Discard::Previous).unwrap();
            assert_eq!(digest(&server), before, "{kind:?} {road}");

            allow(&server, kind, &with(&[&[For::Restore], more].concat()), None, "~*");
            damage(&server);
            let store = exact(&server);
            assert_eq!(store.look(&context("x")).unwrap().road, Road::InPlace);
            let run = format!("exact-place-{road}");
            let place = restore(&store, &set, &run, Road::InPlace);
            store.discard(&context(&run), &place, Discard::Previous).unwrap();
            assert_eq!(digest(&server), before, "{kind:?} {road} in place");
        }
    }
}

#[test]
fn every_right_that_is_taken_away_is_missed_before_anything_is_touched() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, QUICK).unwrap();
        seed(&server, kind);
        let set = backup(&store(&server)).unwrap();
        let before = untouched(&server);
        let missed = |of: &[For], right: &Right, problems: &dyn Fn(&RedisStore) -> Vec<Problem>| {
            allow(&server, kind, of, None, "~*");
            assert_eq!(blocking(&problems(&exact(&server))), Vec::<String>::new(), "{kind:?} {of:?}");
            allow(&server, kind, of, Some(right.command), "~*");
            let found = problems(&exact(&server));
            assert_ne!(blocking(&found), Vec::<String>::new(), "{kind:?} {of:?} {}", right.command);
            // The line that is told mends it.
            let told = found.iter().map(Problem::sentence).find(|text| text.contains(&format!("+{}", right.command)));
            let told = told.unwrap_or_else(|| panic!("{kind:?} {of:?} {}: {found:?}", right.command));
            let line = told.split_once("ACL SETUSER ").unwrap().1;
            say(&mut connect(&server, 0), &format!("ACL SETUSER {line}"));
            assert_eq!(blocking(&problems(&exact(&server))), Vec::<String>::new(), "{kind:?} {of:?} {}", right.command);
        };
        for of in [VIEW, SCAN] {
            let looked = |store: &RedisStore| store.look(&context("x")).unwrap().backup_problems;
            for right in rights_of(of, is_7(kind)) {
                missed(of, right, &looked);
            }
        }
        for (road, own) in [(Road::SideCopy, &[For::Restore, For::Beside][..]), (Road::InPlace, &[For::Restore])] {
            let of = [VIEW, own].concat();
            let planned = |store: &RedisStore| store.fits(&context("x"), &set.kept, road).unwrap();
            for right in rights_of(own, is_7(kind)) {
                missed(&of, right, &planned);
            }
        }
        assert_eq!(untouched(&server), before, "{kind:?}");
    }
}

#[test]
fn keys_databases_and_selectors_that_are_missing_are_missed() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, QUICK).unwrap();
        seed(&server, kind);
        let set = backup(&store(&server)).unwrap();
        let before = untouched(&server);
        let of = [SCAN, &[For::Restore, For::Beside]].concat();
        let planned = || blocking(&exact(&server).fits(&context("x"), &set.kept, Road::SideCopy).unwrap());
        for keys in ["~threescale-backup:*", "~resque:* ~threescale-backup:*", "~stats/*"] {
            allow(&server, kind, &of, None, keys);
            let found = planned();
            assert!(found.iter().any(|text| text.contains("~*")), "{kind:?} {keys}: {found:?}");
        }
        if is_7(kind) {
            // All commands and all keys, but not both at once: only reading is allowed for all keys.
            allow(&server, kind, &of, None, "%R~* %W~threescale-backup:*");
            assert!(planned().iter().any(|text| text.contains("~*")), "{kind:?}");
            let rights: Vec<String> = rights_of(&of, true).map(|right| format!("+{}", right.command)).collect();
            let selector = format!("(~* {})", rights.join(" "));
            let mut user: Vec<&[u8]> = "ACL SETUSER exact reset on >pw +info +select".split(' ').map(str::as_bytes).collect();
            user.push(selector.as_bytes());
            connect(&server, 0).call(&user).unwrap();
            assert_eq!(planned(), Vec::<String>::new(), "{kind:?}: a selector gives rights too");
        }
        if kind == RedisKind::Valkey {
            allow(&server, kind, &of, None, "~* resetdbs db=0");
            assert!(planned().iter().any(|text| text.contains("db=1")), "{:?}", planned());
            allow(&server, kind, &of, None, "~* resetdbs db=0,1,7,8");
            assert_eq!(planned(), Vec::<String>::new());
            assert_eq!(untouched(&server), before);
            let place = exact(&server).reserve(&context("x"), &set.kept, Road::SideCopy).unwrap();
            let sides: Vec<u64> = [0, 1].map(|at| place.0["servers"][0][at]["side"].as_u64().unwrap()).into();
            assert!(sides.contains(&7) && sides.contains(&8), "{sides:?}");
        } else {
            assert_eq!(untouched(&server), before, "{kind:?}");
        }
    }
}

#[test]
fn the_user_of_3scales_documentation_is_known_and_told_the_whole_line() {
    for kind in [RedisKind::Redis6, RedisKind::Redis, RedisKind::NewestRedis] {
        let server = Redis::start_kind(kind, QUICK).unwrap();
        seed(&server, kind);
        // apisonator, docs/redis_commands.md.
        say(
            &mut connect(&server, 0),
            "ACL SETUSER exact on >pw ~* +blpop +llen +lpop +lpush +lrange +ltrim +rpush +sadd +scan +scard +sismember +smembers +srem +sscan \
             +del +exists +expire +get +mget +set +setex +zadd +zcard +zremrangebyscore +zrevrange +hset +incr +incrby +select +role +lindex +lrem +lset",
        );
        let found = exact(&server).look(&context("x")).unwrap();
        // Both lines at once, each for what it is for.
        for (problems, has, has_not) in [
            (&found.backup_problems, &["+psync", "+info"][..], &["+restore", "+swapdb", "+auth"][..]),
            (&found.restore_problems, &["+psync", "+info", "+restore", "+swapdb", "+hget", "+incrby", "+zrange", "+zrem"], &["+auth"]),
        ] {
            let texts = blocking(problems);
            assert!(texts.iter().any(|text| text.contains("3scale's documentation")), "{kind:?} {texts:?}");
            let line = texts.iter().find_map(|text| text.split_once("ACL SETUSER ")).unwrap().1;
            assert!(has.iter().all(|right| line.contains(right)) && !has_not.iter().any(|right| line.contains(right)), "{line}");
        }
        let line = blocking(&found.backup_problems).iter().find_map(|text| Some(text.split_once("ACL SETUSER ")?.1.to_owned())).unwrap();
        say(&mut connect(&server, 0), &format!("ACL SETUSER {line}"));
        assert_eq!(blocking(&exact(&server).look(&context("x")).unwrap().backup_problems), Vec::<String>::new(), "{kind:?}");
        backup(&exact(&server)).unwrap();
        let line = blocking(&found.restore_problems).iter().find_map(|text| Some(text.split_once("ACL SETUSER ")?.1.to_owned())).unwrap();
        say(&mut connect(&server, 0), &format!("ACL SETUSER {line}"));
        let found = exact(&server).look(&context("x")).unwrap();
        assert_eq!(blocking(&[found.backup_problems, found.restore_problems].concat()), Vec::<String>::new(), "{kind:?}");
        assert_eq!(found.road, Road::SideCopy);
        assert_eq!(exact(&server).live_keys().unwrap().lacks(&context("x")).unwrap(), None, "{kind:?}");
        // Function libraries are left out where only what every set needs was given.
        let store = exact(&server);
        let set = backup(&store).unwrap();
        let place = restore(&store, &set, "documented", Road::SideCopy);
        store.undo(&context("documented"), &place).unwrap();
    }
}

#[test]
fn who_wants_jobs_by_class_needs_two_rights_more_and_is_told_before() {
    let server = Redis::start_kind(RedisKind::Redis, QUICK).unwrap();
    seed(&server, RedisKind::Redis);
    let by_class = || {
        let address = |database: u32| Address::parse(&format!("redis://exact:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
        let options = Options { queues: plan::Queues::Only(vec!["X".to_owned()]), ..Options::default() };
        RedisStore::new(DataSetName::BackendRedis, vec![("storage", address(0)), ("queues", address(1))], options).unwrap()
    };
    say(&mut connect(&server, 1), r#"RPUSH resque:queue:main {"class":"X"} {"class":"Y"}"#);
    for road in [Road::SideCopy, Road::InPlace] {
        let of = [VIEW, &[For::Restore, For::Beside, For::Functions]].concat();
        allow(&server, RedisKind::Redis, &of, None, "~*");
        let set = backup(&by_class()).unwrap();
        let found = by_class().fits(&context("x"), &set.kept, road).unwrap();
        let told = blocking(&found).into_iter().find(|text| text.contains("+rpush") && text.contains("+zadd"));
        let line = told.unwrap_or_else(|| panic!("{road:?}: {found:?}")).split_once("ACL SETUSER ").unwrap().1.to_owned();
        assert_eq!(blocking(&exact(&server).fits(&context("x"), &set.kept, road).unwrap()), Vec::<String>::new());
        say(&mut connect(&server, 0), &format!("ACL SETUSER {line}"));
        let run = format!("by-class-{road:?}");
        let place = restore(&by_class(), &set, &run, road);
        by_class().discard(&context(&run), &place, Discard::Previous).unwrap();
        assert_eq!(say(&mut connect(&server, 1), "LLEN resque:queue:main").number(), Some(1));
        say(&mut connect(&server, 1), r#"RPUSH resque:queue:main {"class":"Y"}"#);
    }
}

#[test]
fn a_command_that_is_not_in_the_list_is_not_sent() {
    let server = Redis::start(&[]).unwrap();
    let limits = crate::connection::Limits { any_command: false, ..limits() };
    let mut connection = crate::connection::Connection::open(&Address::parse(&server.url(0)).unwrap(), &limits).unwrap();
    connection.call(&[b"TIME"]).unwrap();
    for command in [&[b"FLUSHALL".as_slice()][..], &[b"CONFIG", b"RESETSTAT"]] {
        let error = connection.call(command).unwrap_err();
        assert!(error.chain().contains("is not in the list"), "{error:?}");
    }
    assert!(!say(&mut connect(&server, 0), "INFO commandstats").text().contains("flushall"));
}

#[test]
fn the_documentation_has_the_list() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/privileges.md");
    let document = std::fs::read_to_string(file).unwrap();
    let part = document.split("\n## ").find(|part| part.starts_with("Redis")).unwrap();
    let rows: Vec<_> = part.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let wanted: Vec<String> = For::EACH.iter().map(|(of, text)| format!("| {text} | `{}` |", commands(*of))).collect();
    assert_eq!(rows, wanted, "\n{}", wanted.join("\n"));
    // The lines to copy have all that the default roads need.
    let line = |user: &str, keys: &str, of: &[For]| {
        let mut all: Vec<&str> = Vec::new();
        for right in of.iter().flat_map(|of| crate::rights::RIGHTS.iter().filter(move |right| right.of == *of)) {
            if !all.contains(&right.command) {
                all.push(right.command);
            }
        }
        format!("ACL SETUSER {user} on >PASSWORD {keys} {}", all.iter().map(|command| format!("+{command}")).collect::<Vec<_>>().join(" "))
    };
    let lines: Vec<_> = part.lines().filter(|line| line.starts_with("ACL SETUSER ")).collect();
    let restore = [VIEW, &[For::Restore, For::Beside, For::Live, For::Rewrite, For::Jobs, For::Functions]].concat();
    assert_eq!(lines, [line("backup", "~threescale-backup:*", VIEW), line("restore", "~*", &restore)]);
}

/// As an ACL has them, for every server.
fn commands(of: For) -> String {
    let rights = crate::rights::RIGHTS.iter().filter(|right| right.of == of);
    rights.map(|right| format!("+{}", right.command)).collect::<Vec<_>>().join(" ")
}

/// Another library has the name of the set's function: the plan says so, and all else comes back; a user without `FUNCTION` likewise.
#[test]
fn functions_that_cannot_be_loaded_are_known_before_and_stop_nothing() {
    let other = b"#!lua name=other\nredis.register_function('hello', function() return 'other' end)";
    let changed = b"#!lua name=mylib\nredis.register_function('goodbye', function() return 'bye' end)";
    for kind in [RedisKind::Redis, RedisKind::NewestRedis, RedisKind::Valkey] {
        let server = Redis::start_kind(kind, QUICK).unwrap();
        seed(&server, kind);
        let set = backup(&store(&server)).unwrap();
        let before = digest(&server);
        let of = [VIEW, &[For::Restore, For::Beside]].concat();
        allow(&server, kind, &of, None, "~*");
        let cases: [(&str, Option<&[u8]>, RedisStore, &str); 3] = [
            ("taken", Some(other), store(&server), "one of the library \"other\""),
            ("changed", Some(changed), store(&server), "with other code"),
            ("forbidden", None, exact(&server), "FUNCTION LOAD"),
        ];
        for (run, there, store, word) in cases {
            say(&mut connect(&server, 0), "FUNCTION FLUSH");
            if let Some(code) = there {
                connect(&server, 0).call(&[b"FUNCTION", b"LOAD", code]).unwrap();
            }
            let libraries = say(&mut connect(&server, 0), "FUNCTION LIST WITHCODE");
            damage(&server);
            let problems = store.fits(&context(run), &set.kept, Road::SideCopy).unwrap();
            let told = problems.iter().find(|problem| problem.text.contains(word));
            assert_eq!(told.map(|problem| problem.severity), Some(Severity::Degrades), "{kind:?} {run}: {problems:?}");
            let place = restore(&store, &set, run, Road::SideCopy);
            assert_eq!(say(&mut connect(&server, 0), "FUNCTION LIST WITHCODE"), libraries);
            store.undo(&context(run), &place).unwrap();
            assert_eq!(say(&mut connect(&server, 0), "GET damaged").text(), "1");
            store.cut_over(&context(run), &place).unwrap();
            store.discard(&context(run), &place, Discard::Previous).unwrap();
            assert_eq!(digest(&server), before, "{kind:?} {run}");
        }
        // They are there before the writers stop, and go with a staged copy that is dropped.
        say(&mut connect(&server, 0), "FUNCTION FLUSH");
        let place = stage(&store(&server), &set, "staged", Road::SideCopy).unwrap();
        assert_eq!(say(&mut connect(&server, 0), "FCALL hello 0").text(), "hi");
        store(&server).discard(&context("staged"), &place, Discard::Staged).unwrap();
        assert_eq!(say(&mut connect(&server, 0), "FUNCTION LIST"), crate::connection::Reply::List(Vec::new()));
        assert_eq!(digest(&server), before);
    }
}

#[test]
fn what_a_rewrite_of_the_configuration_lacks_is_said_before() {
    let kind = RedisKind::Redis;
    let server = Redis::start_kind(kind, QUICK).unwrap();
    seed(&server, kind);
    let before = untouched(&server);
    let of = [For::All, For::Rewrite];
    allow(&server, kind, &of, None, "~*");
    assert_eq!(exact(&server).changes_lack(&context("x")).unwrap(), None);
    // What writes whatever it is given is tried when it is used.
    let tried = rights_of(&[For::Rewrite], is_7(kind)).filter(|right| right.command != "sadd");
    for taken in tried.map(|right| right.command) {
        allow(&server, kind, &of, Some(taken), "~*");
        let lacks = exact(&server).changes_lack(&context("x")).unwrap().unwrap();
        assert!(lacks.sentence().contains(&format!("+{taken}")), "{taken}: {}", lacks.sentence());
    }
    assert_eq!(untouched(&server), before);
}
