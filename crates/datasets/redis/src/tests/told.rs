//! What an undo tells: what was written since, and what of the previous data is not there any more.

use std::sync::{Arc, Mutex};

use lab::Redis;
use plan::ports::{Context, DataSet, Discard, Event, Road, Severity, Snapshot, Undone, Watch};

use super::scene::*;

#[derive(Default)]
struct Warned(Mutex<Vec<String>>);

impl Watch for Warned {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

fn watched(run: &str) -> (Context, Arc<Warned>) {
    let watch = Arc::new(Warned::default());
    (Context { watch: Arc::clone(&watch) as Arc<dyn Watch>, ..context(run) }, watch)
}

fn keys(server: &Redis, count: u32) {
    let script = format!("for n = 1, {count} do redis.call('SET', 'key:' .. n, string.rep('x', 200)) end");
    let done = server.client().args(["EVAL", &script, "0"]).output().unwrap();
    assert!(done.status.success());
    say(&mut connect(server, 1), "RPUSH queue a");
}

#[test]
fn an_undo_tells_how_many_keys_were_written_since_the_cut_over() {
    let server = Redis::start(&[]).unwrap();
    keys(&server, 20);
    let store = store(&server);
    let set = backup(&store).unwrap();
    damage(&server);
    let damaged = digest(&server);
    let place = restore(&store, &set, "r", Road::SideCopy);
    let (context, watch) = watched("r");
    for written in [0, 3] {
        (0..written).for_each(|number| drop(say(&mut connect(&server, 0), &format!("SET since:{number} x"))));
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(digest_of_live(&server), ["damaged", "damaged"]);
        let told = watch.0.lock().unwrap().clone();
        if written == 0 {
            assert_eq!(told, Vec::<String>::new());
            store.cut_over(&context, &place).unwrap();
        } else {
            assert!(told.len() == 1 && told[0].contains("storage (database 0") && told[0].contains("20 keys then, and 23"), "{told:?}");
        }
    }
    store.discard(&context, &place, Discard::Staged).unwrap();
    assert_eq!(digest(&server), damaged);
}

fn digest_of_live(server: &Redis) -> [String; 2] {
    [0, 1].map(|database| {
        say(&mut connect(server, database), "KEYS *").list().iter().map(|key| key.clone().text()).collect::<Vec<_>>().join(" ")
    })
}

#[test]
fn after_a_restart_the_policy_is_not_held_any_more_and_doctor_and_undo_tell_it() {
    let mut server = Redis::start(&["--maxmemory", "40mb", "--maxmemory-policy", "allkeys-lru"]).unwrap();
    keys(&server, 5000);
    let store = store(&server);
    let set = backup(&store).unwrap();
    let place = restore(&store, &set, "r", Road::SideCopy);
    let said = |store: &crate::RedisStore| {
        let problems = store.look(&context("x")).unwrap().backup_problems;
        problems.into_iter().filter(|problem| problem.text.contains("is allkeys-lru again")).collect::<Vec<_>>()
    };
    assert_eq!(said(&store), []);
    save(&server);
    server.stop().unwrap();
    server.start_again().unwrap();
    let told = said(&store);
    assert!(told.len() == 1 && told[0].severity == Severity::Degrades, "{told:?}");
    // The previous data is thrown away, as the server does it.
    let side = say(&mut connect(&server, 15), "DBSIZE").number().unwrap();
    let script = "for n = 1, 1000 do redis.call('DEL', 'key:' .. n) end";
    let number = if side > 1000 { "15" } else { "14" };
    assert!(server.client().args(["-n", number, "EVAL", script, "0"]).output().unwrap().status.success());
    let (context, watch) = watched("r");
    assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
    let warned = watch.0.lock().unwrap().clone();
    assert!(warned.len() == 1 && warned[0].starts_with("1000 of 5000 keys of the previous data of storage"), "{warned:?}");
}

#[test]
fn an_undo_in_place_tells_the_function_library_that_stays() {
    let server = Redis::start(&[]).unwrap();
    keys(&server, 20);
    let mut connection = connect(&server, 0);
    connection.call(&[b"FUNCTION", b"LOAD", LIBRARY]).unwrap();
    let store = store(&server);
    let set = backup(&store).unwrap();
    say(&mut connection, "FUNCTION DELETE mylib");
    let mut safety = backup(&store).unwrap();
    safety.kept.evidence.facts.insert(plan::evidence::SAFETY_COPY.to_owned(), "r".to_owned());
    let place = restore(&store, &set, "r", Road::InPlace);
    let (context, watch) = watched("r");
    let snapshot = || Arc::clone(&safety.snapshot) as Arc<dyn Snapshot>;
    store.stage(&context, &place, snapshot(), &safety.kept).unwrap();
    let told = watch.0.lock().unwrap().clone();
    assert!(told.len() == 1 && told[0].contains("`redis-cli FUNCTION DELETE mylib`"), "{told:?}");
    say(&mut connection, "FUNCTION DELETE mylib");
    store.stage(&context, &place, snapshot(), &safety.kept).unwrap();
    assert_eq!(watch.0.lock().unwrap().len(), 1, "what is not there is not told");
}

#[test]
fn what_a_later_run_has_replaced_is_not_taken_back_also_when_that_one_is_settled() {
    let server = Redis::start(&[]).unwrap();
    keys(&server, 20);
    let store = store(&server);
    let set = backup(&store).unwrap();
    damage(&server);
    let damaged = digest(&server);
    let of = |name: &str, run: &str| Context { installation: plan::InstallationId::named(name), ..context(run) };
    let (p, q) = (of("prod", "p"), of("other", "q"));
    let restore = |context: &Context| {
        let place = store.reserve(context, &set.kept, Road::SideCopy).unwrap();
        store.stage(context, &place, Arc::clone(&set.snapshot) as Arc<dyn Snapshot>, &set.kept).unwrap();
        store.cut_over(context, &place).unwrap();
        place
    };
    let of_p = restore(&p);
    // Told by whatever name: it is about a database of this installation.
    let left = store.leftovers(&q).unwrap();
    assert!(left.len() == 2 && left.iter().all(|left| left.run == "p" && left.holds == plan::ports::Holds::Previous), "{left:?}");
    // Taken back, the later one is nobody's matter any more.
    let of_q = restore(&q);
    assert_eq!(store.undo(&q, &of_q).unwrap(), Undone::PreviousIsLive);
    store.discard(&q, &of_q, Discard::Staged).unwrap();
    assert_eq!(store.undo(&p, &of_p).unwrap(), Undone::PreviousIsLive);
    store.cut_over(&p, &of_p).unwrap();

    let of_q = restore(&q);
    store.discard(&q, &of_q, Discard::Previous).unwrap();
    say(&mut connect(&server, 0), "SET live now");
    let live = digest(&server);
    let error = store.undo(&p, &of_p).unwrap_err();
    assert!(error.class() == plan::Class::NeedsPerson && error.to_string().contains("run q has replaced"), "{error:?}");
    assert_eq!(digest(&server), live);
    store.discard(&p, &of_p, Discard::Previous).unwrap();
    assert_eq!(say(&mut connect(&server, 0), "GET live").text(), "now");
    assert!(store.leftovers(&q).unwrap().is_empty() && digest(&server) != damaged);
}
