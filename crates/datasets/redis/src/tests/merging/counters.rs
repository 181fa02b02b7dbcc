//! What counters become.

use std::thread;

use lab::Redis;
use plan::ports::{Counts, GivenIds};

use super::*;

/// Its name, what the set has, what is live, and what comes of it by max, set and add.
type Case = (&'static str, Option<&'static str>, Option<&'static str>, [Option<&'static str>; 3]);

#[test]
fn counters_become_what_was_chosen_whatever_is_live() {
    let server = Redis::start(&[]).unwrap();
    let store = store(&server);
    let key = |name: &str| format!("stats/{{service:2}}/metric:{name}/eternity");
    let cases: &[Case] = &[
        ("1", Some("10"), Some("3"), [Some("10"), Some("10"), Some("13")]),
        ("2", Some("10"), Some("10"), [Some("10"), Some("10"), Some("20")]),
        ("3", Some("10"), Some("30"), [Some("30"), Some("10"), Some("40")]),
        ("4", Some("10"), None, [Some("10"), Some("10"), Some("10")]),
        ("5", None, Some("30"), [Some("30"), Some("30"), Some("30")]),
        ("6", Some("0"), None, [Some("0"), Some("0"), Some("0")]),
        ("7", Some("-5"), Some("-7"), [Some("-5"), Some("-5"), Some("-12")]),
        ("8", Some("10"), Some("x"), [Some("x"), Some("x"), Some("x")]),
        ("9", Some("x"), Some("3"), [Some("3"), Some("3"), Some("3")]),
        ("10", Some("9223372036854775807"), Some("1"), [Some("9223372036854775807"), Some("9223372036854775807"), Some("1")]),
    ];
    for (name, of_set, ..) in cases {
        if let Some(value) = of_set {
            cli(&server, 0, &["SET", &key(name), value]);
        }
    }
    let far = |server: &Redis, name: &str, value: &str, ms: &str| cli(server, 0, &["SET", &key(name), value, "PX", ms]);
    for name in ["20", "21", "22", "23"] {
        far(&server, name, "10", "50000000");
    }
    // It must be in the set, and gone when that goes back.
    let mut lives_ms = 1500;
    let set = loop {
        far(&server, "24", "10", &lives_ms.to_string());
        let set = backup(&store).unwrap();
        let wanted = key("24");
        if set.snapshot.rdb("storage").windows(wanted.len()).any(|some| some == wanted.as_bytes()) {
            break set;
        }
        lives_ms *= 2;
    };
    while !cli(&server, 0, &["GET", &key("24")]).is_empty() {
        thread::sleep(std::time::Duration::from_millis(1));
    }
    for (at, counts) in [Counts::Max, Counts::Set, Counts::Add].into_iter().enumerate() {
        cli(&server, 0, &["FLUSHALL"]);
        for (name, _, live, _) in cases {
            if let Some(value) = live {
                cli(&server, 0, &["SET", &key(name), value]);
            }
        }
        // With and without a time to live: none, shorter, longer, not there.
        cli(&server, 0, &["SET", &key("20"), "3"]);
        far(&server, "21", "3", "20000000");
        far(&server, "22", "3", "90000000");
        let lost = picture(&server, 0);
        let run = counts.to_string();
        let place = reserve(&store, &set, &run);
        let merged = merge(&store, &set, &place, &run, &merging(&["usage"], &[], counts), &GivenIds::new()).unwrap();
        let now = picture(&server, 0);
        for (name, _, _, wanted) in cases {
            let value = now.get(&key(name)).map(|shown| shown.all[0].as_str());
            assert_eq!(value, wanted[at], "{counts} {name}");
        }
        let value = ["10", "10", "13"][at];
        let base = now[&key("23")].expires_ms;
        let lives = |name: &str| {
            let shown = &now[&key(name)];
            assert_eq!(shown.all, [if name == "23" { "10" } else { value }], "{counts} {name}");
            (shown.expires_ms as i64 - base as i64) / 1_000_000
        };
        // In thousands of seconds beside that of the set.
        let wanted: [(i64, bool); 3] = [(0, false), (0, true), (40, true)];
        for (name, (wanted, expires)) in ["20", "21", "22"].into_iter().zip(wanted) {
            match expires {
                true => assert!((lives(name) - wanted).abs() <= 1, "{counts} {name}: {} and not {wanted}", lives(name)),
                false => assert_eq!(now[&key(name)].expires_ms, 0, "{counts} {name}"),
            }
        }
        assert!(!now.contains_key(&key("24")), "what has expired does not come back");
        let left = &merged[0].left;
        assert_eq!(left.get("expired since"), Some(&1), "{left:?}");
        assert_eq!(left.get("that are no numbers"), Some(&if counts == Counts::Add { 3 } else { 2 }), "{left:?}");
        assert_eq!(take_back(&store, &place, &run), "");
        assert_same(&picture(&server, 0), &lost, &format!("{counts} taken back"));
    }
}

#[test]
fn ids_never_go_down_and_go_back_only_where_nobody_counted_on() {
    let server = Redis::start(&[]).unwrap();
    let store = store(&server);
    say_all(&server, 0, &["SET events/id 12", "SET alerts/current_id 50"]);
    let set = backup(&store).unwrap();
    say_all(&server, 0, &["FLUSHALL", "SET events/id 3", "SET alerts/current_id 90"]);
    let place = reserve(&store, &set, "r");
    let ids = GivenIds::from([("events/id".to_owned(), 40)]);
    merge(&store, &set, &place, "r", &merging(&["counter"], &[], Counts::Set), &ids).unwrap();
    let now = || (cli(&server, 0, &["GET", "events/id"]), cli(&server, 0, &["GET", "alerts/current_id"]));
    assert_eq!(now(), ("40".to_owned(), "90".to_owned()), "System has had 40");
    cli(&server, 0, &["INCR", "events/id"]);
    let told = take_back(&store, &place, "r");
    assert!(told.contains("1 keys stay as they are") && told.contains("events/id"), "{told}");
    assert_eq!(now(), ("41".to_owned(), "90".to_owned()), "an id that was given is not given again");
    let place = reserve(&store, &set, "s");
    say_all(&server, 0, &["SET events/id 3"]);
    merge(&store, &set, &place, "s", &merging(&["counter"], &[], Counts::Set), &ids).unwrap();
    assert_eq!(take_back(&store, &place, "s"), "");
    assert_eq!(now().0, "3");
}

#[test]
fn what_nobody_can_have_counted_to_is_no_id() {
    let server = Redis::start(&[]).unwrap();
    let store = store(&server);
    say_all(&server, 0, &["SET events/id 9223372036854775807", "SET alerts/current_id 9007199254740992"]);
    let set = backup(&store).unwrap();
    say_all(&server, 0, &["FLUSHALL", "SET events/id 3"]);
    let place = reserve(&store, &set, "r");
    let merged = merge(&store, &set, &place, "r", &merging(&["counter"], &[], Counts::Max), &GivenIds::new()).unwrap();
    assert_eq!(merged[0].left.get("that are no ids that anything has come to"), Some(&1), "{merged:?}");
    assert_eq!(cli(&server, 0, &["INCR", "events/id"]), "4", "it still counts");
    assert_eq!(cli(&server, 0, &["GET", "alerts/current_id"]), "9007199254740992");
}

#[test]
fn a_set_or_a_list_that_became_something_else_stays_and_is_told() {
    let server = Redis::start(&[]).unwrap();
    let store = store(&server);
    say_all(&server, 0, &["SADD stats/{service:7}/cinstances a b", "LPUSH errors/service_id:7 one two"]);
    let set = backup(&store).unwrap();
    cli(&server, 0, &["FLUSHALL"]);
    let place = reserve(&store, &set, "r");
    merge(&store, &set, &place, "r", &merging(&["usage", "errors"], &[], Counts::Max), &GivenIds::new()).unwrap();
    say_all(
        &server,
        0,
        &["DEL stats/{service:7}/cinstances errors/service_id:7", "SET stats/{service:7}/cinstances x", "SADD errors/service_id:7 y"],
    );
    let now = picture(&server, 0);
    let told = take_back(&store, &place, "r");
    assert!(told.contains("2 keys stay as they are") && told.contains("stats/{service:7}/cinstances"), "{told}");
    assert_same(&picture(&server, 0), &now, "taken back");
}
