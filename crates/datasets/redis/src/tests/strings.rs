//! Short strings go in many at once, where that is allowed; what comes out of it is the same.

use lab::{Redis, RedisKind};
use plan::ports::{DataSet, Discard, Road};

use super::rights::{allow, exact};
use super::scene::*;
use crate::rights::For;

/// How often the server was told a command.
fn calls(server: &Redis, command: &str) -> u64 {
    let text = say(&mut connect(server, 0), "INFO commandstats").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// Counters of every width, texts of every length around the limits, and strings that expire.
fn fill(server: &Redis) {
    let mut connection = connect(server, 0);
    for number in 0..1000i64 {
        let value = number.pow(6) * if number % 2 == 0 { 1 } else { -1 };
        say(&mut connection, &format!("SET stats/{{service:7}}/metric:1/hour:{number} {value}"));
    }
    for length in [0, 1, 19, 20, 21, 43, 44, 45, 63, 64, 65, 1023, 1024, 1025, 16_383, 16_384] {
        connection.call(&[b"SET", format!("text:{length}").as_bytes(), &noise(length, 5)]).unwrap();
        connection.call(&[b"SET", format!("same:{length}").as_bytes(), &b"a".repeat(length)]).unwrap();
    }
    for words in ["SET going 5 PX 900000", "SET - -", "SET plus +5", "SET zero 007", "SET float 1.50", "HSET hash a 1", "PFADD many a b c"]
    {
        say(&mut connection, words);
    }
    say(&mut connect(server, 1), "RPUSH queue a");
}

#[test]
fn counters_go_in_many_at_once_where_that_is_allowed_and_one_by_one_where_it_is_not() {
    for kind in RedisKind::ALL {
        let server = Redis::start_kind(kind, &["--repl-diskless-sync-delay", "0"]).unwrap();
        fill(&server);
        let before = digest(&server);
        let store = store(&server);
        let set = backup(&store).unwrap();
        for road in [Road::SideCopy, Road::InPlace] {
            damage(&server);
            say(&mut connect(&server, 0), "CONFIG RESETSTAT");
            let place = restore(&store, &set, "many", road);
            store.discard(&context("many"), &place, Discard::Previous).unwrap();
            assert_eq!(digest(&server), before, "{kind:?} {road:?}");
            let (many, single) = (calls(&server, "mset"), calls(&server, "restore"));
            assert!((1..50).contains(&many) && (1..100).contains(&single), "{kind:?} {road:?}: {many} {single}");
        }
        allow(&server, kind, &[For::All, For::View, For::Restore, For::Beside], None, "~*");
        damage(&server);
        say(&mut connect(&server, 0), "CONFIG RESETSTAT");
        let place = restore(&exact(&server), &set, "single", Road::SideCopy);
        exact(&server).discard(&context("single"), &place, Discard::Previous).unwrap();
        assert_eq!(digest(&server), before, "{kind:?}");
        assert!(calls(&server, "mset") == 0 && calls(&server, "restore") > 1000, "{kind:?}");
    }
}
