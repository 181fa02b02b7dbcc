//! `serve`: what it shows, asked by plain sockets; what Prometheus and promtool say of it; the alerts and the dashboard.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab::Prometheus;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::sink::{Answer, Sink};
use crate::small::{Home, Small};
use crate::status::metrics;
use crate::support::text;

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";

/// The program while it serves.
struct Serving {
    child: Child,
    address: String,
    said: Arc<Mutex<String>>,
}

impl Serving {
    fn start(small: &Small<'_>, arguments: &[&str]) -> Self {
        let mut command = small.command(&[&["serve", "--listen", "127.0.0.1:0", "--every", "1s"], arguments].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, mut lines) = (Arc::new(Mutex::new(String::new())), BufReader::new(child.stderr.take().unwrap()));
        let address = lines.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let rest = line.strip_prefix("listening on http://")?;
            Some(rest.split('/').next()?.to_owned())
        });
        let address = address.expect("it does not listen");
        let heard = Arc::clone(&said);
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| *heard.lock().unwrap() += &format!("{line}\n")));
        Self { child, address, said }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Status, head and body of the answer to a request.
    fn ask(&self, request: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        answered(stream)
    }

    fn get(&self, path: &str, headers: &str) -> (u16, String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
    }

    fn body(&self, path: &str) -> String {
        let (status, _, body) = self.get(path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn value(&self, name: &str) -> Option<f64> {
        metrics_or_none(&self.body("/metrics")).get(&format!("threescale_backup_{name}{{installation=\"a\"}}")).copied()
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn end(&mut self) -> Option<i32> {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn answered(mut stream: TcpStream) -> (u16, String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse::<usize>().unwrap();
    assert!(body.is_empty() || body.len() == length, "{answer}");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Before the first look there are none.
fn metrics_or_none(text: &str) -> std::collections::BTreeMap<String, f64> {
    if text.is_empty() { std::collections::BTreeMap::new() } else { metrics(text) }
}

/// Waits until something is so.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(Prometheus::tool().unwrap());
    let mut child = child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// The words of a text that are names of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.filter(|word| word.starts_with("threescale_backup_")).map(str::to_owned).collect()
}

const LIMITS: [&str; 12] =
    ["--max-age", "26h", "--max-unproven", "8d", "--max-unchecked", "8d", "--max-copy-age", "26h", "--max-kept", "2w", "--min-free", "1K"];

/// An installation of which all is well: taken, proven, checked, copied.
fn well(home: &Home) -> Small<'_> {
    let small = Small::start(home, "a");
    let second = format!(
        "[installation]\nname = \"a\"\n[copies.offsite]\nurl = {:?}\npassword-file = {:?}\n",
        home.path("second"),
        home.path("key")
    );
    small.configure(&second, &["system-database", "zync-database", "backend-redis"]);
    small.ok(&["init", "--repository", "offsite"]);
    small.backup(&[]);
    small.ok(&["rehearse", "latest"]);
    small.ok(&["check", "--read-data"]);
    small.ok(&["copy"]);
    small
}

#[test]
fn what_is_served_is_what_status_says_and_a_real_prometheus_takes_it() {
    let home = Home::make();
    let small = well(&home);
    let mut serving = Serving::start(&small, &LIMITS);
    let half = {
        let mut stream = serving.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
        stream
    };
    until("the first look", || serving.value("good").filter(|good| *good > 0.0));

    // The same as the commands say.
    let shown: Value = serde_json::from_str(&serving.body("/status.json")).unwrap();
    let told = small.json(&[&["status"], &LIMITS[..]].concat());
    for field in ["good", "installation", "sets", "proven", "checked", "copies", "runs", "schema_version"] {
        let without_age =
            |document: &Value| serde_json::to_string(&document[field]).unwrap().split("\"newest_age_seconds\"").next().unwrap().to_owned();
        assert_eq!(without_age(&shown), without_age(&told), "{field}");
    }
    assert_eq!(shown["newest_whole_set"]["set"], told["newest_whole_set"]["set"]);
    let page = serving.body("/");
    assert!(page.contains("All is well.") && page.contains(told["newest_whole_set"]["set"].as_str().unwrap()), "{page}");
    let file = home.path("metrics.prom");
    small.ok(&[&["status", "--metrics", file.to_str().unwrap()], &LIMITS[..]].concat());
    let (served, written) = (serving.body("/metrics"), std::fs::read_to_string(&file).unwrap());
    let names = |text: &str| {
        metrics(text).into_keys().filter(|name| !name.contains("_look_") && !name.contains("_build_info")).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&served), names(&written));
    assert_eq!(serving.value("max_age_seconds"), Some(26.0 * 3600.0));
    assert_eq!(serving.body("/healthz"), "alive\n");

    // No secret is in it.
    let toml = std::fs::read_to_string(small.config()).unwrap();
    let secret = toml.split("redis://:").nth(1).unwrap().split('@').next().unwrap();
    for path in ["/", "/metrics", "/status.json"] {
        let (_, head, body) = serving.get(path, "");
        assert!(secret.len() > 10 && !body.contains(secret) && !body.contains("a password") && !head.contains(secret), "{path}");
    }

    // Of the protocol.
    let (status, head, open) = serving.get("/metrics", OPEN_METRICS);
    assert!(status == 200 && head.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("\n# EOF\n"), "{head}");
    let (_, head, _) = serving.get("/metrics", "");
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4") && head.contains("\r\nDate: ") && head.ends_with("Connection: close"),
        "{head}"
    );
    let (status, head, body) = serving.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(status == 200 && body.is_empty() && !head.contains("Content-Length: 0"), "{head}");
    assert_eq!(serving.get("/nothing", "").0, 404);
    let (status, head, _) = serving.ask(&format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n{}", "x".repeat(2000)));
    assert!(status == 405 && head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
    assert_eq!(serving.ask("nonsense\r\n\r\n").0, 400);
    assert_eq!(serving.get("/", &format!("X: {}\r\n", "x".repeat(9000))).0, 431);
    let idle: Vec<_> = (0..32).map(|_| serving.connect()).collect();
    let mut late = serving.connect();
    late.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    late.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let waits = late.peek(&mut [0]).unwrap_err();
    assert!(matches!(waits.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{waits}");
    drop(idle);
    late.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(answered(late).0, 200);
    assert_eq!(answered(half).0, 408);

    // What checks and reads metrics takes them. Of a name with two units promtool tells sometimes one, sometimes the other.
    const OTHER_UNITS: [&str; 5] = ["minutes", "hours", "days", "weeks", "bits"];
    assert!(named(&served).iter().all(|name| !name.split('_').any(|word| OTHER_UNITS.contains(&word))), "{served}");
    let (is_good, said) = promtool(&["check", "metrics"], &served);
    assert!(is_good && said.is_empty(), "{said}");
    let (is_good, said) = promtool(&["check", "metrics"], &served.replace("# TYPE", "# TIPE").replace(" 1\n", " one\n"));
    assert!(!is_good && !said.is_empty(), "promtool would say it");
    let rules = root("deploy/chart/files/alerts.yaml");
    let prometheus = Prometheus::start(&serving.address, &rules).unwrap();
    let query = |expression: &str| -> Vec<Value> {
        let answer: Value = serde_json::from_str(&prometheus.query(expression).unwrap()).unwrap();
        answer["data"]["result"].as_array().unwrap().clone()
    };
    let found =
        until("a scrape", || Some(query("threescale_backup_last_set_bytes{data_set=\"system-storage\"}")).filter(|all| !all.is_empty()));
    let bytes = found[0]["value"][1].as_str().unwrap().parse::<f64>().unwrap();
    assert_eq!(
        Some(bytes),
        metrics(&written).get("threescale_backup_last_set_bytes{installation=\"a\",data_set=\"system-storage\"}").copied()
    );
    assert_eq!(query("up")[0]["value"][1], "1");
    let evaluated = until("the rules", || {
        let answer: Value = serde_json::from_str(&prometheus.get("/api/v1/rules").unwrap()).unwrap();
        let rules = answer["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")).then_some(rules)
    });
    assert!(evaluated.len() == 10 && evaluated.iter().all(|rule| rule["health"] == "ok"), "{evaluated:?}");
    // The first evaluation may have come before the first scrape.
    until("the end of all alerts", || query("ALERTS").is_empty().then_some(()));

    // What rules and dashboard name is written, and what is written is told.
    let (wanted, there) = (named(&std::fs::read_to_string(&rules).unwrap()), named(&served));
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(root("deploy/grafana/threescale-backup.json")).unwrap()).unwrap();
    let shown = named(&dashboard.to_string());
    assert!(wanted.len() > 15 && shown.len() > 15 && there.len() > 30, "{wanted:?} {shown:?}");
    let missing: Vec<_> = wanted.union(&shown).filter(|name| !there.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not written");
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<_> = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect();
    assert!(panels.len() > 15 && queries.len() >= panels.len());
    for target in queries {
        let expression = target["expr"].as_str().unwrap().replace("$installation", "a");
        until(&expression, || Some(query(&expression)).filter(|all| !all.is_empty()));
    }
    let told = std::fs::read_to_string(root("docs/watching.md")).unwrap();
    let untold: Vec<_> = there.iter().filter(|name| !told.contains(&format!("`{}", &name["threescale_backup_".len()..]))).collect();
    assert!(untold.is_empty(), "{untold:?} are not told in docs/watching.md");

    // A look that fails is told, and what was seen before stays.
    let set = serving.value("newest_set_timestamp_seconds");
    std::fs::rename(home.path("repository"), home.path("lost")).unwrap();
    until("a failed look", || serving.value("look_failed").filter(|failed| *failed > 0.0));
    assert_eq!((serving.value("good"), serving.value("newest_set_timestamp_seconds")), (Some(0.0), set));
    assert!(serving.body("/").contains("What follows is what the look of "));
    let (status, _, body) = serving.get("/status.json", "");
    let error: Value = serde_json::from_str(&body).unwrap();
    assert!(status == 503 && error["error"].is_string(), "{error}");
    until("a warning", || serving.said().contains("warning: a look failed: ").then_some(()));
    assert_eq!(serving.end(), Some(0));
    assert!(TcpStream::connect(&serving.address).is_err());
}

#[test]
fn the_alerts_are_told_when_they_should_be_and_else_not() {
    let tests = root("crates/cli/tests/sets/alerts-test.yaml");
    let (is_good, said) = promtool(&["test", "rules", tests.to_str().unwrap()], "");
    assert!(is_good && said.contains("SUCCESS"), "{said}");
    // It would fail with another limit.
    let home = Home::make();
    let rules = std::fs::read_to_string(root("deploy/chart/files/alerts.yaml")).unwrap();
    std::fs::write(home.path("alerts.yaml"), rules.replace("for: 2h", "for: 4h")).unwrap();
    std::fs::write(home.path("test.yaml"), std::fs::read_to_string(&tests).unwrap().replace("../../../../deploy/chart/files/", ""))
        .unwrap();
    let (is_good, said) = promtool(&["test", "rules", home.path("test.yaml").to_str().unwrap()], "");
    assert!(!is_good && said.contains("ThreescaleBackupRunLeftOpen"), "{said}");
}

#[test]
fn a_gateway_gets_the_metrics_in_the_place_of_what_it_had() {
    let home = Home::make();
    let small = Small::start(&home, "a");
    let (gateway, refuses) = (Sink::start(Answer::Taken), Sink::start(Answer::Refused));
    let push = |url: &str| small.run(&["status", "--push", url]);
    assert_eq!(push(&gateway.url("/prefix/")).status.code(), Some(1), "there is no set, and it is told all the same");
    let (path, body) = gateway.requests().pop().unwrap();
    assert_eq!(path, "PUT /prefix/metrics/job/threescale-backup/instance/a");
    assert_eq!(metrics(&body)["threescale_backup_good{installation=\"a\"}"], 0.0);
    // Neither good nor bad: it could not be told.
    let refused = push(&refuses.url(""));
    assert!(
        refused.status.code() == Some(75) && text(&refused.stderr).contains("the metrics were not pushed"),
        "{}",
        text(&refused.stderr)
    );
    let with_login = push("http://user:wabash@127.0.0.1:1");
    let said = text(&with_login.stderr);
    assert!(with_login.status.code() == Some(2) && said.contains("holds a login") && !said.contains("wabash"), "{said}");
    // An address that somebody has is told, with the way out.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = small.refused(&["serve", "--listen", &taken.local_addr().unwrap().to_string()]);
    assert!(said.contains("cannot listen on 127.0.0.1:") && said.contains("serve --listen 127.0.0.1:"), "{said}");
}
