//! Live stores that go on while they are read.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use lab::{Postgres, Redis};

use super::*;

/// What every release has, as far as a comparison asks.
const SYSTEM: &str = "CREATE TABLE accounts (id bigint, provider boolean); CREATE TABLE services (id bigint, account_id bigint); \
     CREATE TABLE plans (id bigint, name text, issuer_id bigint, issuer_type text); CREATE TABLE metrics (id bigint); \
     CREATE TABLE cinstances (id bigint, plan_id bigint, user_account_id bigint, service_id bigint, user_key text, application_id text, state text, type text); \
     INSERT INTO accounts VALUES (2, true); INSERT INTO services VALUES (1, 1), (4, 2); INSERT INTO plans VALUES (1, 'own', 1, 'Service'), (7, 'plan', 4, 'Service'); \
     INSERT INTO cinstances VALUES (1, 1, 2, 1, 'provider key', 'own', 'live', 'Cinstance')";

fn say(mut client: Command, what: &str) {
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(what.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(output.status.success() && !said.contains("ERR"), "{what}: {said}");
}

struct World {
    postgres: Postgres,
    redis: Redis,
}

impl World {
    fn start() -> Self {
        let world = Self { postgres: Postgres::start(&[]).unwrap(), redis: Redis::start(&[]).unwrap() };
        world.sql("postgres", "CREATE DATABASE system");
        world.sql("system", SYSTEM);
        world
    }

    fn sql(&self, database: &str, statements: &str) {
        let mut client = self.postgres.client();
        client.args(["-v", "ON_ERROR_STOP=1", "-q", "-d", database]);
        say(client, statements);
    }

    fn keys(&self, commands: &str) {
        say(self.redis.client(), commands);
    }

    fn sides(&self) -> Sides<'static> {
        let address = postgres_data_set::Address::parse(&self.postgres.url("system")).unwrap();
        let rows = postgres_data_set::PostgresStore::new(DataSetName::SystemDatabase, address, postgres_data_set::Options::default());
        let at = |database| redis_data_set::Address::parse(&self.redis.url(database)).unwrap();
        let databases = vec![("storage", at(0)), ("queues", at(1))];
        let keys = redis_data_set::RedisStore::new(DataSetName::BackendRedis, databases, redis_data_set::Options::default()).unwrap();
        Sides::of(Side::Live(Arc::new(rows)), Side::Live(Arc::new(keys)))
    }
}

fn found(agreement: &Agreement) -> Vec<(&'static str, String, String)> {
    let kinds = agreement.report.kinds.iter();
    kinds.flat_map(|(kind, found)| found.examples.iter().map(|one| (kind.code(), one.service.clone(), one.application.clone()))).collect()
}

#[test]
fn what_changes_while_live_stores_are_read_is_not_told_and_what_stays_is() {
    let (world, context) = (World::start(), Context::new("look"));
    // Service 1 is used by nobody. Of tenant 2's service: an application whose row comes later, one whose keys come later, and a key that stays.
    world.keys("SET service/id:4/provider_key \"provider key\"\nSADD services_set 4\nSADD service/provider_key:provider+key/ids 4\n");
    world.keys("SET service/id:4/backend_version \"\"\nSET service/id:4/referrer_filters_required 0\n");
    world.keys("SADD service_id:4/applications new\nSET application/service_id:4/id:new/state active\nSET application/service_id:4/id:new/plan_id 7\n");
    world.keys("SET application/service_id:4/id:new/plan_name plan\nSET application/service_id:4/key:revoked/id new\nSET service/id:77/provider_key x\n");
    world.sql("system", "INSERT INTO cinstances VALUES (9, 7, 5, 4, NULL, 'later', 'live', 'Cinstance')");
    let first = [
        ("unknown-service", "77", ""),
        ("unknown-application", "4", "new"),
        ("application-missing", "4", "later"),
        ("idle-missing", "1", ""),
    ];
    let told =
        |all: &[(&'static str, &str, &str)]| all.iter().map(|(kind, a, b)| (*kind, (*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let once = of_sides(&world.sides(), &context, 9, None).unwrap();
    assert_eq!((found(&once), once.looks), (told(&first), 1));

    let goes_on = || {
        world.sql("system", "INSERT INTO cinstances VALUES (8, 7, 5, 4, NULL, 'new', 'live', 'Cinstance')");
        world.keys("SADD service_id:4/applications later\nSET application/service_id:4/id:later/state active\n");
        world.keys("SET application/service_id:4/id:later/plan_id 7\nSET application/service_id:4/id:later/plan_name plan\n");
        // Only the second look sees this.
        world.keys("DEL service/id:4/referrer_filters_required\n");
        Ok(())
    };
    let twice = of_sides(&world.sides(), &context, 9, Some(&goes_on)).unwrap();
    assert_eq!((found(&twice), twice.looks), (told(&[("unknown-service", "77", ""), ("idle-missing", "1", "")]), 2));
    // The key that nobody knows was told with its application; now it is one by itself.
    let after = of_sides(&world.sides(), &context, 9, Some(&|| Ok(()))).unwrap();
    assert!(found(&after).contains(&("unknown-user-key", "4".to_owned(), "new".to_owned())), "{:?}", found(&after));
}
