//! `restore --tenant`: what Backend has of the tenant goes back with its rows, in one run that is resumed and taken back as one; what is others' stays. What is compared is what redis-cli and
//! the database's own client say.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::MysqlKind;
use serde_json::Value;

use crate::installation::Installation;
use crate::opened::Opened;
use crate::support::text;

/// Every key with what it has.
const ALL_KEYS: &str = "local all = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
        local kind, value = redis.call('TYPE', key).ok, nil \
        if kind == 'string' then value = redis.call('GET', key) \
        elseif kind == 'list' then value = table.concat(redis.call('LRANGE', key, 0, -1), '|') \
        else value = redis.call(kind == 'set' and 'SMEMBERS' or 'HGETALL', key) table.sort(value) value = table.concat(value, '|') end \
        all[#all + 1] = key .. ' = ' .. value \
    end return all";

pub type Keys = BTreeMap<String, String>;

pub fn redis(it: &Installation, arguments: &[&str]) -> String {
    let output = it.redis.client().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

pub fn keys(it: &Installation) -> Keys {
    let said = redis(it, &["-n", "0", "EVAL", ALL_KEYS, "0"]);
    said.lines().map(|line| line.split_once(" = ").unwrap()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn command(it: &Installation, arguments: &[&str]) -> Command {
    let mut command = it.command(arguments);
    command.env_remove("THREESCALE_BACKUP_ROWS_ONLY").env_remove("THREESCALE_BACKUP_NO_VERIFY");
    command
}

pub fn run(it: &Installation, arguments: &[&str]) -> Output {
    command(it, arguments).output().unwrap()
}

pub fn ok(it: &Installation, arguments: &[&str]) -> String {
    let output = run(it, arguments);
    let said = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
    said
}

fn json(it: &Installation, arguments: &[&str]) -> Value {
    let output = run(it, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const LOGO: &str = "files/shared/2000/profiles/logos/large/logo.png";
const INVOICE: &str = "files/shared/invoices/2001/pdfs/original/invoice-2000.pdf";

/// Every file with its digest.
fn files(it: &Installation) -> String {
    let find = "find . -path ./.threescale-backup -prune -o -type f -print0 | sort -z | xargs -0 sha256sum";
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", find]).current_dir(it.path("files")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// A file of the tenant is gone, and one is another.
fn spoil_files(it: &Installation) {
    std::fs::remove_file(it.path(LOGO)).unwrap();
    std::fs::write(it.path(INVOICE), "invoice of 2222").unwrap();
}

const RESTORE: [&str; 5] = ["restore", "latest", "--tenant", "2000", "--yes"];
/// A key that lets somebody in who is not in System.
const STOLEN: &str = "application/service_id:@2001/key:stolen/id";
/// The tenant's own application in the master's product.
const OWN: &str = "application/service_id:1001/id:provider-2090/state";
/// What lets the tenant in there, and what would still let somebody in who is not it any more.
const OWN_KEYS: [&str; 2] = ["application/service_id:1001/key:provider-key-2000/id", "application/service_id:1001/key:gone-2000/id"];
/// What another tenant lacks in Backend.
const OF_ANOTHER: [&str; 2] = ["service/id:3001/provider_key", "application/service_id:3001/id:app-3001/state"];
const COUNTER: &str = "stats/{service:@2001}/metric:2001/eternity";
const COUNTED_SINCE: &str = "stats/{service:@2001}/metric:2001/day:20260202";
/// What Backend's names of the tenant's products begin with.
const PREFIX: &str = "acme-";

/// A key as Backend has it.
fn called(key: &str, prefix: &str) -> String {
    key.replace('@', prefix)
}

/// An installation whose stores agree, with a set.
pub fn agreeing(kind: Option<MysqlKind>, prefix: &str) -> Installation {
    let it = Installation::start(kind, "NULL");
    let leave_alone = if kind.is_some() { "SET @disable_triggers = 1" } else { "SET session_replication_role = replica" };
    it.database.sql(&format!(
        "{leave_alone}; INSERT INTO cinstances (id, plan_id, service_id, user_account_id, type, user_key) VALUES (1090, 1001, 1001, 1000, 'Cinstance', 'provider-key-1000');
         ALTER TABLE accounts ADD COLUMN service_preffix varchar(255); UPDATE accounts SET service_preffix = '{prefix}' WHERE id = 2000;
         UPDATE cinstances SET state = 'live'; UPDATE cinstances SET application_id = CONCAT('provider-', id) WHERE application_id IS NULL;
         UPDATE services SET backend_version = '2', state = 'incomplete'; UPDATE service_tokens SET value = CONCAT('token-', id)",
    ));
    for key in [
        "stats/{service:@2001}/cinstance:app-2001/metric:2001/day:20260101",
        "stats/{service:@2001}/cinstances",
        COUNTER,
        "errors/service_id:@2001",
    ] {
        if !prefix.is_empty() {
            redis(&it, &["-n", "0", "RENAME", &called(key, ""), &called(key, prefix)]);
        }
    }
    redis(&it, &["-n", "0", "SET", "events/id", "100000"]);
    redis(&it, &["-n", "0", "SET", "alerts/current_id", "100000"]);
    ok(&it, &["verify", "--repair", "--yes", "--again-after", "0", "--fail-on", "security"]);
    ok(&it, &["settle", "--yes"]);
    ok(&it, &["backup", "--warnings-are-fine"]);
    it
}

/// The tenant is deleted since, its usage erased, and what is another's differs.
fn spoilt(kind: Option<MysqlKind>, prefix: &str) -> (Installation, Keys) {
    let it = agreeing(kind, prefix);
    let before = keys(&it);
    assert_eq!(before[&called("service/id:@2001/provider_key", prefix)], "provider-key-2000");
    assert_eq!(before[&called("application/service_id:@2001/id:app-2001/state", prefix)], "active");
    assert_eq!(before[OWN], "active");
    it.database.delete(2000);
    let [stats, errors, provider] =
        ["stats/{service:@2001}", "errors/service_id:@2001", "service/id:@2001/provider_key"].map(|key| called(key, prefix));
    let erased = before.keys().filter(|key| key.starts_with(&stats) || key.starts_with(&errors));
    let own = |key: &&String| key.contains("/id:provider-2090/") || *key == OWN_KEYS[0];
    let config = before.keys().filter(|key| key.contains("app-2001/") || **key == provider || own(key));
    let gone: Vec<&str> = erased.chain(config).map(String::as_str).chain(OF_ANOTHER).collect();
    redis(&it, &[&["-n", "0", "DEL"], gone.as_slice()].concat());
    let [counter, since, stolen] = [COUNTER, COUNTED_SINCE, STOLEN].map(|key| called(key, prefix));
    redis(&it, &["-n", "0", "MSET", &counter, "5", &since, "9", &stolen, "app-2001", OWN_KEYS[1], "provider-2090"]);
    (it, before)
}

/// Of the tenant all is back; what was counted since, and what another lacks, stays.
fn wanted(before: &Keys, prefix: &str) -> Keys {
    let mut wanted = before.clone();
    OF_ANOTHER.iter().for_each(|key| drop(wanted.remove(*key)));
    wanted.insert(called(COUNTED_SINCE, prefix), "9".to_owned());
    wanted
}

pub fn different(one: &Keys, other: &Keys) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let told = |key: &String| format!("{key}: {:?}, {:?}", one.get(key), other.get(key));
    all.into_iter().filter(|key| one.get(*key) != other.get(*key)).map(told).collect()
}

#[track_caller]
fn assert_same(one: &Keys, other: &Keys, what: &str) {
    assert_eq!(different(one, other), Vec::<String>::new(), "{what}");
}

fn newest_run(it: &Installation) -> Value {
    let runs = json(it, &["runs"]);
    runs["runs"].as_array().unwrap().iter().max_by_key(|run| run["run"].as_str().unwrap().to_owned()).unwrap().clone()
}

#[test]
fn tn_usage_and_configuration_go_back_with_the_rows() {
    let (it, before) = spoilt(Some(MysqlKind::Mariadb), PREFIX);
    let inspected = json(&it, &["inspect", "latest", "backend-redis"]);
    let storage = inspected["databases"].as_array().unwrap().iter().find(|database| database["database"] == "storage").unwrap();
    assert!(storage["services"]["acme-2001"]["keys"].as_u64().is_some_and(|keys| keys > 10), "{storage:#}");
    let unknown = storage["unknown"].as_array().unwrap();
    assert!(!unknown.iter().any(|key| key["key"].as_str().unwrap().contains(PREFIX)), "{storage:#}");
    let archive = it.path("tenant.tar");
    ok(&it, &["extract", "latest", "--tenant", "2000", "--to", archive.to_str().unwrap()]);
    let usage: Vec<String> = Opened::of(&archive).lines("usage").iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect();
    assert_eq!(usage.iter().filter(|key| key.contains(":acme-2001")).count(), 4, "{usage:?}");
    let whole = files(&it);
    spoil_files(&it);
    let (rows, spoilt, spoilt_files) = (it.database.all(), keys(&it), files(&it));
    let planned = json(&it, &["plan", "latest", "--tenant", "2000"]);
    let tenant = &planned["tenant"];
    assert!(tenant["before"]["security"].as_u64().unwrap() > 0, "{tenant}");
    assert!(tenant["configuration"]["written"].as_u64().unwrap() > 3, "{tenant}");
    assert_eq!(tenant["configuration"]["removed"], 2, "the stolen key, and an old one of its own application: {tenant}");
    let usage = planned["classes"].as_array().unwrap().iter().find(|of| of["class"] == "usage").unwrap();
    assert_eq!((&usage["keys"], &usage["new"], &usage["changed"]), (&3.into(), &2.into(), &1.into()), "{usage}");
    let steps: Vec<&str> = planned["plan"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["do"]["do"].as_str().or(step["action"]["do"].as_str()).unwrap())
        .collect();
    let wanted_steps =
        ["reserve", "stage-files", "reserve", "keep-rows", "change-rows", "put-files", "merge-keys", "keep-keys", "repair-keys"];
    assert_eq!(steps, wanted_steps);
    let found = &tenant["files"];
    assert_eq!((&found["in_the_set"], &found["missing"], &found["other"]), (&3.into(), &1.into(), &1.into()), "{found}");
    assert_same(&keys(&it), &spoilt, "a plan changes nothing");
    assert_eq!(it.database.all(), rows, "a plan changes nothing");
    let said = ok(&it, &["plan", "latest", "--tenant", "2000"]);
    assert!(said.contains("The live stores differ about it now: ") && said.contains("as these rows want it: "), "{said}");

    let said = ok(&it, &RESTORE);
    assert_same(&keys(&it), &wanted(&before, PREFIX), "all of the tenant is back");
    assert_eq!(files(&it), whole, "its files, too");
    assert!(it.database.all()["services"].len() > rows["services"].len());
    // In these rows two metrics of a product have one name, which nothing sets right.
    let told = "the live stores differ about it: 2 drift: metric-differs (service acme-2001, metric named hits); metric-differs (service acme-2001, metric named hits.2001); `verify` names all";
    assert!(said.contains(told), "{said}");
    assert!(!said.contains("verify --repair"), "{said}");
    let run = newest_run(&it);
    assert_eq!((&run["compared"]["agreement"]["security"], &run["compared"]["agreement"]["loss"]), (&0.into(), &0.into()), "{run}");
    // What another tenant lacks is lacking still.
    assert_eq!(self::run(&it, &["verify", "--again-after", "0"]).status.code(), Some(1));
    // What it keeps of usage is in the way of another, as with `--classes`.
    let said = text(&self::run(&it, &RESTORE).stderr);
    assert!(said.contains("nothing to do"), "{said}");
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 2001");
    let output = self::run(&it, &RESTORE);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is in the way: it is a restore of one tenant"), "{}", text(&output.stderr));
    it.database.sql("UPDATE services SET name = 'another' WHERE id = 0");

    // Somebody counts on, and changes a key: that stays.
    let [counter, provider] = [COUNTER, "service/id:@2001/provider_key"].map(|key| called(key, PREFIX));
    redis(&it, &["-n", "0", "INCR", &counter]);
    redis(&it, &["-n", "0", "SET", &provider, "another"]);
    let output = self::run(&it, &["undo", "--yes"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut now = keys(&it);
    assert_eq!(now.insert(counter, "5".to_owned()).as_deref(), Some("6"));
    assert_eq!(now.remove(&provider).as_deref(), Some("another"));
    assert_same(&now, &spoilt, "undone");
    assert_eq!(files(&it), spoilt_files, "undone");
    assert!(!it.path("files/.threescale-backup").exists());
}

/// Killed at records of the journal, the merge and the configuration among them; then gone on with, or taken back.
#[test]
fn tn_usage_and_configuration_go_back_though_it_is_killed() {
    let (it, before) = spoilt(None, "");
    let whole = files(&it);
    spoil_files(&it);
    let (rows, spoilt, spoilt_files, wanted) = (it.database.all(), keys(&it), files(&it), wanted(&before, ""));
    let journal = || {
        let paths = std::fs::read_dir(it.path("state/runs")).unwrap().map(|entry| entry.unwrap().path());
        let newest = paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).max().unwrap();
        let id = newest.file_stem().unwrap().to_str().unwrap().to_owned();
        (std::fs::read_to_string(&newest).unwrap().lines().count(), id)
    };
    let mut last = journal().1;
    for (records, resumes) in [(4, true), (12, false), (14, true)] {
        let mut child = command(&it, &RESTORE).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() && !Some(journal()).is_some_and(|(lines, id)| id != last && lines >= records) {
            assert!(begin.elapsed() < Duration::from_secs(120), "no journal");
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(child.kill());
        child.wait().unwrap();
        last = journal().1;
        if resumes && newest_run(&it)["state"] == "open" {
            ok(&it, &["resume"]);
            assert_same(&keys(&it), &wanted, &format!("resumed, killed at record {records}"));
            assert_eq!(files(&it), whole, "resumed, killed at record {records}");
            assert!(it.database.all()["services"].len() > rows["services"].len());
        }
        ok(&it, &["undo", "--yes"]);
        assert_eq!(files(&it), spoilt_files, "undone, killed at record {records}");
        assert_same(&keys(&it), &spoilt, &format!("undone, killed at record {records}"));
        assert_eq!(it.database.all(), rows, "undone, killed at record {records}");
    }
    ok(&it, &RESTORE);
    ok(&it, &["settle", "--yes"]);
    assert_same(&keys(&it), &wanted, "settled");
    assert_eq!(files(&it), whole, "settled");
    assert!(!it.path("files/.threescale-backup").exists(), "nothing is left beside the files");
    assert_eq!(redis(&it, &["INFO", "keyspace"]).matches("\ndb").count(), 1, "nothing is left beside the live data");
}
