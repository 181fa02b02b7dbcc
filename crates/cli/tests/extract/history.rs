//! A random history of two tenants, a set at a random moment, more history, and one of them goes back: what is its own is as in the set, what is the other's is untouched, no id is given twice,
//! and an undo gives all of it back.

use std::collections::{BTreeMap, BTreeSet};

use lab::MysqlKind;

use crate::beside_rows::{Keys, different, keys, ok, redis, run};
use crate::installation::{Installation, columns};
use crate::support::text;

/// Tables in which rows come and go: what a new row has beside its number and `tenant_id`, and which column changes. `@`: the tenant's account, `#`: something new.
const TABLES: [(&str, &str, &str); 5] = [
    ("web_hooks", "account_id = @, url = 'hook-#'", "url"),
    ("application_keys", "application_id = @ + 1, value = 'key-#'", "value"),
    ("services", "account_id = @, system_name = 'service-#', state = 'incomplete', backend_version = '1'", "name"),
    (
        "cinstances",
        "plan_id = @ + 1, service_id = @ + 1, user_account_id = @ + 2, type = 'Cinstance', user_key = 'user-#', application_id = 'app-#', state = 'live'",
        "user_key",
    ),
    ("users", "account_id = @, username = 'user-#'", "email"),
];
const TENANTS: [u64; 2] = [2000, 3000];
/// Rows that go.
const GOES: [&str; 3] = ["web_hooks", "application_keys", "cinstances"];

struct World {
    it: Installation,
    random: fastrand::Rng,
    /// Whose each row is that was made in the history.
    made: BTreeMap<(&'static str, u64), u64>,
    /// All numbers that were ever given.
    given: BTreeSet<(&'static str, u64)>,
    told: Vec<String>,
}

impl World {
    fn start(seed: u64) -> Self {
        let it = Installation::start(Some(MysqlKind::Mariadb), "NULL");
        let mut script =
            "UPDATE cinstances SET state = 'live'; UPDATE services SET backend_version = '1', state = 'incomplete';".to_owned();
        for (table, ..) in TABLES {
            script.push_str(&format!(
                "SET foreign_key_checks = 0; ALTER TABLE {table} MODIFY id bigint NOT NULL AUTO_INCREMENT, AUTO_INCREMENT = 20000;\n"
            ));
        }
        it.database.sql(&script);
        redis(&it, &["-n", "0", "MSET", "events/id", "100000", "alerts/current_id", "100000"]);
        let random = fastrand::Rng::with_seed(seed);
        Self { it, random, made: BTreeMap::new(), given: BTreeSet::new(), told: Vec::new() }
    }

    fn sql(&self, script: &str) -> String {
        self.it.database.sql(&format!("SET @disable_triggers = 1; {script}"))
    }

    /// Whose a row is, by its number.
    fn owner(&self, table: &str, row: &str) -> u64 {
        let at = columns(table).iter().position(|(name, _)| *name == crate::installation::number(table)).unwrap();
        let id: u64 = String::from_utf8(hex::decode(row.split('\t').nth(at).unwrap()).unwrap()).unwrap().parse().unwrap();
        let made = self.made.iter().find(|((of, number), _)| *of == table && *number == id).map(|(_, tenant)| *tenant);
        made.unwrap_or(id / 1000 * 1000)
    }

    /// The rows of a tenant, or of all others.
    fn rows(&self, tenant: u64, is_of_it: bool) -> BTreeMap<&'static str, Vec<String>> {
        let all = self.it.database.all();
        let of = |table: &'static str, rows: Vec<String>| {
            rows.into_iter().filter(|row| (self.owner(table, row) == tenant) == is_of_it).collect()
        };
        all.into_iter().map(|(table, rows)| (table, of(table, rows))).collect()
    }

    /// The numbers of a tenant's rows in a table.
    fn numbers(&self, table: &'static str, tenant: u64) -> Vec<u64> {
        let said = self.sql(&format!("SELECT id FROM {table};"));
        let is_its = |id: &u64| self.made.get(&(table, *id)).copied().unwrap_or(id / 1000 * 1000) == tenant;
        // The provider's own application stays.
        said.lines().map(|line| line.parse().unwrap()).filter(|id| is_its(id) && id % 1000 != 90).collect()
    }

    fn make(&mut self, table: &'static str, cells: &str, tenant: u64) -> u64 {
        let cells = cells.replace('@', &tenant.to_string()).replace('#', &format!("{:08x}", self.random.u32(..)));
        let said = self.sql(&format!("INSERT INTO {table} SET {cells}, tenant_id = {tenant}; SELECT LAST_INSERT_ID();"));
        let id = said.trim().parse().unwrap();
        assert!(self.given.insert((table, id)), "{table} has given {id} twice: {:?}", self.told);
        self.made.insert((table, id), tenant);
        id
    }

    /// Something happens.
    fn step(&mut self) {
        let tenant = *self.random.choice(&TENANTS).unwrap();
        let (table, cells, column) = *self.random.choice(&TABLES).unwrap();
        let numbers = self.numbers(table, tenant);
        let Some(row) = self.random.choice(numbers) else { return };
        let service = tenant + 1 + self.random.u64(..2);
        match self.random.u8(..7) {
            0 | 1 => {
                let id = self.make(table, cells, tenant);
                self.told.push(format!("{tenant} makes {table} {id}"));
            }
            2 => {
                let key = format!("stats/{{service:{service}}}/metric:{service}/day:2026010{}", self.random.u8(1..4));
                redis(&self.it, &["-n", "0", "INCRBY", &key, &self.random.u8(1..50).to_string()]);
                self.told.push(format!("{tenant} counts {key}"));
            }
            3 | 4 => {
                let new = self.random.u32(..);
                self.sql(&format!("UPDATE {table} SET {column} = 'changed-{new:08x}' WHERE id = {row};"));
                self.told.push(format!("{tenant} changes {table} {row}"));
            }
            5 => {
                let gone = *self.random.choice(&GOES).unwrap();
                // Of others porta deletes what refers to them, too.
                let numbers = self.numbers(gone, tenant).into_iter().filter(|id| gone != "cinstances" || *id >= 20000);
                if let Some(id) = self.random.choice(numbers.collect::<Vec<_>>()) {
                    self.sql(&format!("DELETE FROM {gone} WHERE id = {id};"));
                    self.told.push(format!("{tenant} deletes {gone} {id}"));
                }
            }
            _ => {
                let (one, other) = (tenant + 1, tenant + 2);
                self.sql(&format!(
                    "UPDATE accounts SET domain = COALESCE(domain, CONCAT('of-', id)) WHERE id IN ({one}, {other}); SET @was = (SELECT domain FROM accounts WHERE id = {one});
                     UPDATE accounts SET domain = NULL WHERE id = {one}; SET @has = (SELECT domain FROM accounts WHERE id = {other});
                     UPDATE accounts SET domain = @was WHERE id = {other}; UPDATE accounts SET domain = @has WHERE id = {one};"
                ));
                self.told.push(format!("{tenant} exchanges domains"));
            }
        }
    }

    /// What Backend has of all but a tenant.
    fn keys_of_others(&self, tenant: u64, keys: &Keys) -> Keys {
        let services: BTreeSet<String> = self.numbers("services", tenant).iter().map(u64::to_string).collect();
        let made = self.made.iter().filter(|((table, _), of)| *table == "services" && **of == tenant).map(|((_, id), _)| id.to_string());
        let services: BTreeSet<String> = services.into_iter().chain(made).collect();
        let service_of = |key: &str| {
            let rest = ["{service:", "service_id:", "service/id:"].iter().find_map(|mark| key.split_once(mark))?.1;
            Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        };
        let is_its = |key: &str| {
            let is_list = ["services_set", "provider_keys_set"].contains(&key);
            is_list || service_of(key).is_some_and(|service| services.contains(&service)) || key.contains(&format!("provider-key-{tenant}"))
        };
        keys.iter().filter(|(key, _)| !is_its(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn usage(keys: &Keys, tenant: u64) -> BTreeMap<&str, u64> {
    let is_counter = |key: &str| [1, 2].iter().any(|at| key.starts_with(&format!("stats/{{service:{}}}/metric", tenant + at)));
    keys.iter().filter(|(key, _)| is_counter(key)).map(|(key, value)| (key.as_str(), value.parse().unwrap())).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "a failure is looked at by its seed")]
fn tn_a_random_history_of_two_tenants_and_one_goes_back() {
    let seed = std::env::var("HISTORY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("HISTORY_SEED={seed}");
    let mut world = World::start(seed);
    for tenant in TENANTS {
        let steps = world.random.u8(3..12);
        (0..steps).for_each(|_| world.step());
        ok(&world.it, &["backup", "--warnings-are-fine", "--no-verify"]);
        world.told.push("a set".to_owned());
        let (set, set_keys) = (world.rows(tenant, true), keys(&world.it));
        let steps = world.random.u8(6..16);
        (0..steps).for_each(|_| world.step());
        let (all, others, live_keys) = (world.it.database.all(), world.rows(tenant, false), keys(&world.it));

        let tenant_text = tenant.to_string();
        let said = run(&world.it, &["restore", "latest", "--tenant", &tenant_text, "--yes", "--no-verify"]);
        assert!(said.status.success(), "{}\n{:?}", text(&said.stderr), world.told);
        let now = keys(&world.it);
        assert_eq!(world.rows(tenant, true), set, "its rows are those of the set: {:?}", world.told);
        assert_eq!(world.rows(tenant, false), others, "rows of others stay: {:?}", world.told);
        let (is, was) = (world.keys_of_others(tenant, &now), world.keys_of_others(tenant, &live_keys));
        assert_eq!(different(&is, &was), Vec::<String>::new(), "keys of others stay: {:?}", world.told);
        let mut wanted = usage(&set_keys, tenant);
        for (key, count) in usage(&live_keys, tenant) {
            wanted.entry(key).and_modify(|has| *has = count.max(*has)).or_insert(count);
        }
        assert_eq!(usage(&now, tenant), wanted, "no counter goes down: {:?}", world.told);
        // No number is given twice: `make` looks.
        for (table, cells, _) in TABLES {
            let id = world.make(table, cells, 9000);
            world.sql(&format!("DELETE FROM {table} WHERE id = {id};"));
        }
        ok(&world.it, &["undo", "--yes"]);
        assert!(world.it.database.all() == all, "undone: {:?}", world.told);
        assert_eq!(different(&keys(&world.it), &live_keys), Vec::<String>::new(), "undone: {:?}", world.told);
    }
}
