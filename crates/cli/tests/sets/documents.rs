//! What programs read: every document against its schema, by a validator that shares nothing with the program; errors; events.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::small::{Home, Small};
use crate::support::{World, program, text};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas")
}

/// Says what of these documents does not fit its schema.
fn faults(documents: &[(&str, Value)]) -> Vec<String> {
    const VALIDATE: &str = "\
import json, pathlib, sys
from jsonschema import Draft202012Validator, FormatChecker
folder = pathlib.Path(sys.argv[1])
for name, document in json.load(sys.stdin):
    schema = json.loads((folder / (name + '.schema.json')).read_text())
    Draft202012Validator.check_schema(schema)
    for fault in Draft202012Validator(schema, format_checker=FormatChecker()).iter_errors(document):
        print(name, fault.json_path, fault.message[:300])
print('all were looked at')
";
    // Debian's own has the package; another one that stands before it may have it too.
    let has_it = |python: &&str| {
        let asked = Command::new(python).args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let python =
        ["/usr/bin/python3", "python3"].into_iter().find(has_it).expect("install python3-jsonschema: scripts/install-test-deps does");
    let mut child = Command::new(python)
        .args(["-W", "ignore", "-c", VALIDATE])
        .arg(folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(documents).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut said: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(said.pop().as_deref(), Some("all were looked at"), "{said:?}");
    said
}

/// The only document of a command, with nothing beside it.
fn document(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{command:?} says more than its document");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}: {}", text(&output.stdout)))
}

/// The only document of `serve`, which is stopped as soon as its events have begun.
fn served(command: &mut Command, events: &Path) -> Value {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !std::fs::read_to_string(events).is_ok_and(|text| text.contains("listening on ")) {
        assert!(std::time::Instant::now() < limit && child.try_wait().unwrap().is_none(), "it does not serve");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The document of an error, with nothing before it.
fn error(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let error: Value =
        serde_json::from_slice(&output.stderr).unwrap_or_else(|error| panic!("{command:?}: {error}: {}", text(&output.stderr)));
    assert_eq!(output.status.code(), error["exit_code"].as_i64().map(|code| i32::try_from(code).unwrap()), "{command:?} {error}");
    assert!(output.stdout.is_empty(), "{command:?}: {}", text(&output.stdout));
    error
}

#[test]
fn every_document_fits_its_schema() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let mut all: Vec<(&str, Value)> = Vec::new();
    let mut tell = |schema: &'static str, arguments: &[&str]| {
        let told = document(&mut small.command(&[arguments, &["--json"]].concat()));
        all.push((schema, told.clone()));
        told
    };
    let path = |name: &str| home.path(name).display().to_string();
    let [files, evidence, report, bundle, manual, second, password] =
        ["out", "evidence.html", "report.html", "bundle.tar", "manual", "second", "new-password"].map(path);
    std::fs::write(&password, "another password\n").unwrap();
    tell("config-example", &["config", "example"]);
    tell("config-show", &["config", "show"]);
    tell("config-check", &["config", "check"]);
    tell("doctor", &["doctor"]);
    let first = tell("backup", &["backup"])["set"].as_str().unwrap().to_owned();
    tell("backup", &["backup", "--only", "system-redis"]);
    tell("list", &["list"]);
    tell("show", &["show", "latest"]);
    tell("ls", &["ls", "latest"]);
    tell("ls", &["ls", "latest", "system-redis"]);
    tell("ls", &["ls", "latest", "system-storage", "/"]);
    tell("find", &["find", "f*"]);
    tell("check", &["check", "--read-data"]);
    tell("diff", &["diff", &first, "latest"]);
    tell("plan", &["plan", "latest"]);
    tell("plan", &["restore", "latest", "--dry-run"]);
    tell("run", &["restore", "latest", "--yes"]);
    tell("runs", &["runs"]);
    tell("run", &["undo", "--yes"]);
    tell("run", &["restore", "latest", "--yes"]);
    tell("run", &["settle", "--yes"]);
    tell("run", &["rehearse", "latest"]);
    tell("runs", &["runs"]);
    tell("export", &["export", "latest", "system-storage", "--to", &files]);
    tell("inspect", &["inspect", "latest", "system-redis"]);
    tell("evidence", &["evidence", "latest", "--to", &evidence]);
    tell("status", &["status"]);
    tell("report", &["report", "--html", &report]);
    tell("protect", &["protect", "latest", "--note", "a note"]);
    tell("protect", &["unprotect", "latest"]);
    tell("repair", &["repair"]);
    tell("copy", &["copy", "--to", &second, "--to-password-file", &password, "--init"]);
    tell("keys", &["key", "list"]);
    tell("key", &["key", "add", "--new-password-file", &password]);
    tell("support-bundle", &["support-bundle", "--to", &bundle]);
    tell("forget", &["forget", "--keep-last", "1", "--prune", "--yes"]);
    tell("man", &["man", "--to", &manual]);
    tell("text", &["man", "restore"]);
    tell("text", &["completions", "bash"]);
    let serve =
        served(&mut small.command(&["serve", "--json", "--listen", "127.0.0.1:0", "--events", &path("events")]), &home.path("events"));
    all.push(("serve", serve));
    let mut elsewhere = small.command(&["init", "--json"]);
    all.push(("init", document(elsewhere.env("THREESCALE_BACKUP_REPOSITORY_URL", home.path("another")))));
    // Object lock, which only a bucket has.
    let bucket = lab::S3::start().unwrap();
    bucket.lock_objects();
    let (id, secret) = bucket.keys();
    let mut in_bucket = |schema: &'static str, arguments: &[&str]| {
        let mut command = small.command(arguments);
        command.env("THREESCALE_BACKUP_REPOSITORY_URL", format!("s3://{}/x", bucket.bucket()));
        command.env("THREESCALE_BACKUP_REPOSITORY_S3_ENDPOINT", bucket.endpoint());
        command.env("THREESCALE_BACKUP_REPOSITORY_S3_ACCESS_KEY_ID", id).env("THREESCALE_BACKUP_REPOSITORY_S3_SECRET_ACCESS_KEY", secret);
        command.env("THREESCALE_BACKUP_REPOSITORY_OBJECT_LOCK", "governance").env("THREESCALE_BACKUP_REPOSITORY_OBJECT_LOCK_DAYS", "3");
        all.push((schema, document(&mut command)));
    };
    in_bucket("init", &["init", "--json"]);
    in_bucket("renew", &["renew", "--json"]);
    in_bucket("renew", &["renew", "--dry-run", "--json"]);
    all.push(("error", error(&mut small.command(&["show", "01zzzzzz", "--json"]))));
    all.push(("error", error(&mut small.command(&["list", "--nonsense", "--json"]))));
    all.push(("error", error(program(&["lst"]).env("THREESCALE_BACKUP_JSON", "yes"))));
    std::fs::remove_dir_all(home.path("a-files")).unwrap();
    all.push(("error", error(&mut small.command(&["backup", "--json"]))));
    assert_eq!(faults(&all), Vec::<String>::new());

    // The validator would have said it.
    let mut wrong = all.iter().find(|(name, _)| *name == "list").unwrap().clone();
    wrong.1["sets"][0]["bytes"] = "many".into();
    wrong.1["sets"][0].as_object_mut().unwrap().remove("whole");
    assert_eq!(faults(&[wrong]).len(), 2);

    // What no small installation shows is looked at with a whole one.
    let looked_at: BTreeSet<_> = all.iter().map(|(name, _)| (*name).to_owned()).chain(OF_WHOLE.map(str::to_owned)).collect();
    let there = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.filter_map(|name| Some(name.strip_suffix(".schema.json")?.to_owned())).collect::<BTreeSet<_>>(), looked_at);
}

/// Schemas of documents that need all stores, of runs that are stopped, and of events.
const OF_WHOLE: [&str; 8] = ["export-table", "verify", "verify-repair", "hold", "demo", "abandon", "event", "extract"];

#[test]
fn documents_of_a_whole_installation_fit_their_schemas() {
    let world = World::start(1 << 20);
    let mut all: Vec<(&str, Value)> = Vec::new();
    let mut tell = |schema: &'static str, arguments: &[&str]| {
        all.push((schema, document(&mut world.command(&[arguments, &["--json"]].concat()))));
    };
    tell("backup", &["backup", "--warnings-are-fine"]);
    tell("verify", &["verify", "latest", "--fail-on", "security"]);
    tell("verify", &["verify", "--fail-on", "security", "--again-after", "0"]);
    tell("verify-repair", &["verify", "--repair", "--dry-run", "--fail-on", "security", "--again-after", "0"]);
    tell("hold", &["hold", "status"]);
    tell("plan", &["plan", "latest"]);
    tell("demo", &["demo", "--size", "1M"]);
    let mut client = world.installation.mysql.client();
    let tenant = text(
        &client
            .args(["-N", "-e", "SELECT MIN(id) FROM accounts WHERE provider = 1 AND COALESCE(master, 0) = 0", "system"])
            .output()
            .unwrap()
            .stdout,
    );
    let table = world.path("accounts.csv").display().to_string();
    tell("export-table", &["export", "latest", "system-database", "--table", "accounts", "--format", "csv", "--to", &table]);
    let archive = world.path("tenant.tar").display().to_string();
    tell("extract", &["extract", "latest", "--tenant", tenant.trim(), "--to", &archive]);
    assert!(world.kill_at_line(&["restore", "latest", "--yes"], 4));
    tell("runs", &["runs"]);
    let run = world.newest_run();
    tell("abandon", &["abandon", &run, "--yes"]);
    assert_eq!(faults(&all), Vec::<String>::new());
}

/// The events of a command, from a file.
fn events(small: &Small<'_>, home: &Home, name: &str, arguments: &[&str]) -> (i32, Vec<Value>) {
    let file = home.path(name);
    let output = small.run(&[arguments, &["--events", file.to_str().unwrap()]].concat());
    let lines = std::fs::read_to_string(&file).unwrap();
    (output.status.code().unwrap(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn events_tell_what_is_done_from_its_beginning_to_its_end() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let mut checked: Vec<(&str, Value)> = Vec::new();
    let names = ["backup", "restore", "undo", "rehearse", "check"];
    let lines: [&[&str]; 5] = [&["backup"], &["restore", "latest", "--yes"], &["undo", "--yes"], &["rehearse", "latest"], &["check"]];
    for (name, line) in names.into_iter().zip(lines) {
        let (code, all) = events(&small, &home, name, line);
        assert_eq!(code, 0, "{name} {all:?}");
        assert_eq!((&all[0]["event"], &all[0]["command"]), (&"began".into(), &name.into()));
        let done = all.last().unwrap();
        assert_eq!((&done["event"], &done["exit_code"], &done["error"]), (&"done".into(), &0.into(), &Value::Null));
        assert_eq!(of_kind(&all, "result").len(), 1, "{name}");
        let (began, ended) = (of_kind(&all, "step-began"), of_kind(&all, "step-ended"));
        assert_eq!(began.len(), ended.len(), "{name}");
        if !["check", "undo"].contains(&name) {
            let steps = began[0]["steps"].as_u64().unwrap();
            assert_eq!((began.len() as u64, &ended.last().unwrap()["steps_done"]), (steps, &steps.into()), "{name}");
        }
        assert_eq!(of_kind(&all, "work-began").len(), of_kind(&all, "work-ended").len(), "{name}");
        checked.extend(all.into_iter().map(|event| ("event", event)));
    }
    // What the file holds is what the file of the installation holds: a name of five bytes… counted from outside.
    let set = std::fs::metadata(home.path("a-files/file")).unwrap().len();
    let work =
        |event: &&(&str, Value)| event.1["event"] == "work-ended" && event.1["data_set"] == "system-storage" && event.1["verb"] == "dump";
    assert_eq!(checked.iter().find(work).unwrap().1["bytes"], set);

    // What fails says so in its last line; the file is written on.
    std::fs::remove_dir_all(home.path("a-files")).unwrap();
    let (code, all) = events(&small, &home, "backup", &["backup", "--quiet"]);
    let done = all.last().unwrap();
    assert!(code != 0 && done["exit_code"] == code && done["error"]["error"].is_string(), "{done}");
    assert_eq!(of_kind(&all, "began").len(), 2, "of both calls");
    checked.extend(all.into_iter().map(|event| ("event", event)));
    assert_eq!(faults(&checked), Vec::<String>::new());
}

#[test]
fn events_on_standard_output_have_it_alone_and_harm_nothing() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let (out, err) = small.both(&["backup", "--events", "-"]);
    let all: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let set = of_kind(&all, "result")[0]["document"]["set"].as_str().unwrap().to_owned();
    assert!(err.contains(&set), "the result goes to people: {err}");
    let refused = small.refused(&["list", "--json", "--events", "-"]);
    assert!(refused.contains("would both write to standard output"), "{refused}");
    let refused = small.refused(&["list", "--events", "/nowhere/at/all"]);
    assert!(refused.contains("failed to open /nowhere/at/all for --events"), "{refused}");
    // Nobody reads: the backup is taken all the same.
    assert!(small.run(&["backup", "--quiet", "--events", "/dev/full"]).status.success());
    assert_eq!(small.listed(&[]).len(), 2);
}
