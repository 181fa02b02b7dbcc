//! Backend's configuration from System's rows: what is written equals what porta would have written, whatever Backend had before, and what agrees is not written.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::cast_possible_truncation, reason = "tests")]

mod world;

use std::collections::BTreeMap;
use std::io::{self, Cursor};

use plan::ports::{KeyChange, KeyChanges};
use threescale::rewrite::{Counts, changes, knows};
use threescale::verify::{Atoms, Backend, Look, Rank, Report, Spill, System, TABLES, Veil, compare};
use world::{Random, Redis, Row, Value, World, add, plus, set};

fn room() -> io::Result<Box<dyn Spill>> {
    Ok(Box::new(Cursor::new(Vec::new())))
}

/// So little that all is spilled over and over.
const HELD_MAX_BYTES: usize = 2000;

/// What is said of rows and keys, given to what comes of it.
fn said<T>(veil: Veil, rows: &[Row], redis: &Redis, then: impl FnOnce(Atoms<'_>, &threescale::verify::Known, &Backend<'_>) -> T) -> T {
    let mut atoms = Atoms::new(&room, HELD_MAX_BYTES);
    let mut system = System::new(veil, &room, HELD_MAX_BYTES);
    TABLES.iter().for_each(|wanted| system.table(wanted.table));
    for (table, cells) in rows {
        let cells: Vec<Option<&[u8]>> = cells.iter().map(|cell| cell.as_ref().map(String::as_bytes)).collect();
        system.row(table, &cells, &mut atoms).unwrap();
    }
    let known = system.finish(&mut atoms).unwrap();
    let mut backend = Backend::new(veil, &known);
    for (key, value) in redis {
        backend.begin(key.as_bytes(), &mut atoms);
        if backend.wants(key.as_bytes()) {
            match value {
                Value::Text(text) => backend.piece(text.as_bytes(), &mut atoms),
                Value::Set(members) => members.iter().for_each(|member| backend.piece(member.as_bytes(), &mut atoms)),
                Value::Hash(fields) => fields.iter().for_each(|(field, value)| {
                    backend.piece(field.as_bytes(), &mut atoms);
                    backend.piece(value.as_bytes(), &mut atoms);
                }),
            }
        }
        backend.ends().unwrap();
    }
    then(atoms, &known, &backend)
}

/// Makes the changes, as Redis does.
fn rewrite(rows: &[Row], redis: &mut Redis) -> (Vec<KeyChange>, Counts) {
    let (all, counts) = said(Veil::none(), rows, redis, |atoms, known, _| {
        let (mut changes, mut all) = (changes(atoms, known, &room, HELD_MAX_BYTES).unwrap(), Vec::new());
        while let Some(change) = changes.next_change().unwrap() {
            all.push(change);
        }
        (all, changes.counts)
    });
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for change in &all {
        let key = text(change.key());
        match change {
            KeyChange::Set { value, .. } => _ = redis.insert(key, Value::Text(text(value))),
            KeyChange::Remove { .. } => _ = redis.remove(&key).unwrap_or_else(|| panic!("{key} is not there")),
            KeyChange::Add { member, .. } => add(redis, &key, &text(member)),
            KeyChange::SetField { field, value, .. } => {
                _ = redis.insert(key, Value::Hash(BTreeMap::from([(text(field), text(value))])));
            }
            KeyChange::Take { member, .. } => {
                let Some(Value::Set(members)) = redis.get_mut(&key) else { panic!("{key} is no set") };
                assert!(members.remove(&text(member)), "{key} has no such member");
                if members.is_empty() {
                    redis.remove(&key);
                }
            }
        }
    }
    (all, counts)
}

fn verified(rows: &[Row], redis: &Redis) -> Report {
    said(Veil::new([7; 16]), rows, redis, |atoms, known, backend| {
        compare(atoms, known, backend, false, Look::new(&room, HELD_MAX_BYTES)).unwrap().report(9).unwrap()
    })
}

fn worlds() -> impl Iterator<Item = (u64, World, Vec<Row>)> {
    (1..60).map(|seed| {
        let mut random = Random(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let world = World::new(&mut random, 3, 4);
        let rows = world.rows(&mut random);
        (seed, world, rows)
    })
}

fn assert_same(seed: u64, found: &Redis, wanted: &Redis) {
    for (key, value) in wanted {
        assert_eq!(found.get(key), Some(value), "seed {seed}: {key}");
    }
    for (key, value) in found {
        assert_eq!(Some(value), wanted.get(key), "seed {seed}: {key}");
    }
}

#[test]
fn an_empty_backend_gets_exactly_what_porta_writes() {
    for (seed, world, rows) in worlds() {
        let mut redis = Redis::new();
        let (all, counts) = rewrite(&rows, &mut redis);
        assert_same(seed, &redis, &world.keys());
        assert_eq!((counts.written, counts.changed, counts.removed), (all.len() as u64, 0, 0), "seed {seed}");
        assert!(verified(&rows, &redis).kinds.is_empty(), "seed {seed}: {:?}", verified(&rows, &redis));
    }
}

#[test]
fn what_agrees_is_not_written() {
    for (seed, world, rows) in worlds() {
        let mut redis = world.keys();
        // A suspended service stays so; what Backend alone has is nobody's to change.
        set(&mut redis, &format!("service/id:{}/state", world.services[1].id), "suspended");
        for (key, value) in
            [("stats/{service:100}/metric:1/eternity", "5"), ("events/id", "7"), ("service/id:100/user_registration_required", "0")]
        {
            set(&mut redis, key, value);
        }
        add(&mut redis, "provider_keys_set", "of a provider that is gone");
        let before = redis.clone();
        let (all, counts) = rewrite(&rows, &mut redis);
        assert_eq!((all.len(), counts), (0, Counts::default()), "seed {seed}");
        assert_same(seed, &redis, &before);
    }
}

#[test]
fn what_differs_is_set_right_and_what_system_does_not_have_goes() {
    for (seed, world, rows) in worlds() {
        let (mut redis, mut random) = (world.keys(), Random(seed));
        let lost: Vec<String> = redis.keys().filter(|_| random.one_in(4)).cloned().collect();
        lost.iter().for_each(|key| _ = redis.remove(key));
        for value in redis.values_mut().filter(|value| matches!(value, Value::Text(_))) {
            if random.one_in(4) {
                *value = Value::Text("another".to_owned());
            }
        }
        let application = &world.applications[0];
        let (service, plan) = (application.service, application.plan);
        let base = format!("application/service_id:{service}/id:{}", application.id);
        let metric = world.metrics[0].id;
        add(&mut redis, &format!("{base}/keys"), "a revoked key");
        add(&mut redis, &format!("{base}/referrer_filters"), "*.revoked.example.com");
        set(&mut redis, &format!("application/service_id:{service}/key:of/nobody:at all/id"), &application.id);
        set(&mut redis, &format!("usage_limit/service_id:{service}/plan_id:{plan}/metric_id:{metric}/month"), "1");
        add(&mut redis, &format!("alerts/service_id:{service}/allowed_set"), "200");
        redis.insert(format!("service_token/token:stolen/service_id:{service}"), Value::Text("x".to_owned()));
        set(&mut redis, &format!("{base}/redirect_url"), "https://old/");
        set(&mut redis, &format!("application/service_id:{service}/id:unknown/state"), "active");
        add(&mut redis, &format!("service_id:{service}/applications"), "unknown");
        add(&mut redis, &format!("application/service_id:{service}/id:unknown/keys"), "k");
        // Works in Backend, and is nowhere in System.
        set(&mut redis, "service/id:99999/provider_key", "somebody");
        set(&mut redis, "service/id:99999/state", "active");
        add(&mut redis, "service/provider_key:somebody/ids", "99999");
        set(&mut redis, "service/provider_key:somebody/id", "99999");
        set(&mut redis, "application/service_id:99999/key:k/id", "a");
        set(&mut redis, "application/service_id:99999/id:a/state", "active");
        let mut wanted = world.keys();
        for redis in [&mut redis, &mut wanted] {
            // Which ids were given is told by this list.
            add(redis, "services_set", "99999");
            // What is left of those that Backend does not know any more, and what porta leaves.
            add(redis, &format!("application/service_id:{service}/id:dead/keys"), "k");
            set(redis, &format!("application/service_id:{service}/key:dead/id"), "dead");
            set(redis, "application/service_id:88888/id:dead/state", "active");
            set(redis, &format!("metric/service_id:{service}/id:777777/name"), "reads.4444");
            set(redis, &format!("metric/service_id:{service}/name:reads.4444/id"), "777777");
            add(redis, &format!("metrics/service_id:{service}/ids"), "777777");
            set(redis, &format!("usage_limit/service_id:{service}/plan_id:{plan}/metric_id:777777/day"), "5");
            set(redis, &format!("usage_limit/service_id:{service}/plan_id:3333333/metric_id:{metric}/day"), "5");
            set(redis, "stats/{service:99999}/metric:1/eternity", "5");
        }
        let provider_keys: Vec<String> =
            redis.iter().filter(|(key, _)| key.ends_with("/provider_key")).map(|(key, _)| key.clone()).collect();
        assert!(!provider_keys.is_empty());
        // A state that is not active is suspended, and is the one thing that Backend may know better.
        for (key, value) in redis.iter().filter(|(key, _)| key.starts_with("service/id:") && key.ends_with("/state")) {
            if wanted.contains_key(key) {
                wanted.insert(key.clone(), value.clone());
            }
        }
        // Lists of a provider's key that is another now.
        rewrite(&rows, &mut redis);
        // A default that nobody has chosen in System stays.
        for (key, value) in redis.iter().filter(|(key, _)| key.starts_with("service/provider_key:") && key.ends_with("/id")) {
            wanted.entry(key.clone()).or_insert_with(|| value.clone());
        }
        wanted.remove("service/provider_key:somebody/id");
        assert_same(seed, &redis, &wanted);
        let report = verified(&rows, &redis);
        // What is left of a service that System does not have stays, and so does a state that Backend may know better.
        let stays = ["usage-of-coming-service", "keys-of-coming-service", "service-not-active"];
        let worse = report.kinds.keys().filter(|kind| kind.rank() != Rank::Note && !stays.contains(&kind.code())).count();
        assert_eq!(worse, 0, "seed {seed}: {report:?}");
        let (again, _) = rewrite(&rows, &mut redis);
        assert!(again.is_empty(), "seed {seed}: a second rewrite changes {} more", again.len());
    }
}

#[test]
fn a_user_key_goes_from_one_application_to_another() {
    let (_, world, rows) =
        worlds().find(|(_, world, _)| world.applications.iter().filter(|one| one.user_key.is_some()).count() > 4).unwrap();
    let mut redis = world.keys();
    let keyed: Vec<_> = world.applications.iter().filter(|one| one.user_key.is_some()).collect();
    let (one, other) = keyed
        .iter()
        .find_map(|one| keyed.iter().find(|other| other.service == one.service && other.id != one.id).map(|other| (one, other)))
        .unwrap();
    let key = plus(&format!("application/service_id:{}/key:{}/id", one.service, one.user_key.as_ref().unwrap()));
    // It opened another live application, and one that is gone.
    for holder in [other.id.as_str(), "gone"] {
        redis.insert(key.clone(), Value::Text(holder.to_owned()));
        let (all, counts) = rewrite(&rows, &mut redis);
        assert!(matches!(all.as_slice(), [KeyChange::Set { .. }]), "{}", all.len());
        assert_eq!((counts.written, counts.changed, counts.removed), (0, 1, 0));
        assert_same(0, &redis, &world.keys());
    }
}

#[test]
fn two_user_keys_that_backend_keeps_under_one_name_do_not_take_turns() {
    let (_, world, mut rows) = worlds().next().unwrap();
    let (service, plan) = (world.services[1].id, world.plans[2].0);
    for (row, id, key) in [(90_001, "one", "a b"), (90_002, "two", "a+b")] {
        let cells =
            [row.to_string(), plan.to_string(), "5000".to_owned(), service.to_string(), key.to_owned(), id.to_owned(), "live".to_owned()];
        rows.push(("cinstances", cells.map(Some).into_iter().chain([Some("Cinstance".to_owned()), None]).collect()));
    }
    let mut redis = world.keys();
    rewrite(&rows, &mut redis);
    let key = format!("application/service_id:{service}/key:a+b/id");
    for holder in ["one", "two"] {
        redis.insert(key.clone(), Value::Text(holder.to_owned()));
        assert_eq!(rewrite(&rows, &mut redis).0.len(), 0, "{holder}");
    }
}

#[test]
fn the_rules_are_known_from_the_first_migration_that_was_read_to_the_last() {
    for (newest, is_known) in [
        ("20220228215614", true),
        ("20241107134140", true),
        ("20260619102359", true),
        ("20220228215613", false),
        ("20270101000000", false),
        ("2024", false),
        ("", false),
        ("2024110713414x", false),
    ] {
        assert_eq!(knows(newest), is_known, "{newest}");
    }
}
