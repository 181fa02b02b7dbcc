//! Sets rehearsed in throw-away pods beside an installation that serves: compared from outside while the pods are there, and nothing of them stays, whatever happens.

use std::io::Read as _;
use std::process::{Child, Output};

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, text, wait_until};
use serde_json::Value;

use crate::installed::Installed;

/// Those of the test cluster's databases, which are in another namespace.
pub(crate) const IMAGES: [(&str, &str); 2] = [
    ("THREESCALE_BACKUP_REHEARSE_MYSQL_IMAGE", "localhost/threescale/mysql:1"),
    ("THREESCALE_BACKUP_REHEARSE_REDIS_IMAGE", "localhost/threescale/redis:1"),
];
const OURS: &str = "threescale-backup/rehearsal";
/// Of each table but the one that the stand-in writes to all the time: rows and a checksum.
const CHECKSUMS: &str = "MYSQL_PWD=$MYSQL_ROOT_PASSWORD; export MYSQL_PWD; sql() { mysql -h127.0.0.1 -uroot -N -B system -e \"$1\"; };
    for table in $(sql \"SELECT table_name FROM information_schema.tables WHERE table_schema = 'system' AND table_type = 'BASE TABLE' AND table_name <> 'heartbeats' ORDER BY 1\");
    do echo \"$table $(sql \"SELECT COUNT(*) FROM \\`$table\\`; CHECKSUM TABLE \\`$table\\`\" | tr '\\n\\t' '  ')\"; done";

/// Era 2.15 with images of its own stores; 2.16 with configured ones.
pub(crate) fn in_pods(case: &'static str, era: &str, images: &[(&str, &str)]) {
    let settings = Settings::read();
    let mut steps = Steps::of(case);
    steps.step("a set");
    let place = Installation::of_era(&settings, era);
    place.wait_ready();
    let (before, replicas) = (Fingerprint::of(&place), place.replicas());
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);
    let folder = tempfile::tempdir().unwrap();
    let (there, go, out) = (folder.path().join("there"), folder.path().join("go"), folder.path().join("out"));

    if !images.is_empty() {
        steps.step("without images: refused, with the way out, and nothing stays");
        let words = program.fails(&[2], &["rehearse", "latest", "--pods"]);
        assert!(words.contains("[rehearse]") && words.contains("THREESCALE_BACKUP_REHEARSE_"), "{words}");
        wait_gone(&place);
    }

    steps.step("rehearsed; while the pods are there, they are looked at");
    let command = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.2; done; exec > {}; system-database -N -e 'SELECT COUNT(*) FROM accounts'; zync-database -Atc 'SELECT count(*) FROM tenants';
         backend-redis SCARD services_set; ! system-database -e 'DELETE FROM accounts' 2>&1 | grep -q denied && exit 9; ! backend-redis DEL services_set 2>&1 | grep -q NOPERM && exit 9; exit 0",
        there.display(),
        go.display(),
        out.display()
    );
    let mut child = start(&program, &["rehearse", "latest", "--pods", "--then", &command], images);
    wait_until("the command of --then", 600, || match child.try_wait().unwrap() {
        Some(status) => {
            let mut words = String::new();
            child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
            panic!("{status}: {words}")
        }
        None => there.exists().then_some(()),
    });
    let pods = pods_now(&place);
    assert_eq!(pods.len(), 5, "{pods:?}");
    look_at(&place, &pods);
    let database = name_of(&pods, "system-database");
    let sums = |client: &e2e::Kubectl, pod: &str| client.text(&["exec", pod, "--", "bash", "-c", CHECKSUMS]);
    let live = place.pod_of("system-mysql").unwrap();
    let (live, copy) = (sums(&place.databases, &live), sums(&place.kubectl, &database));
    assert!(live.lines().count() > 20, "{live}");
    assert_eq!(copy, live, "the copy of the system database");
    let ask = |pod: &str, sql: &str| {
        let command = format!(
            "psql -qXAt -h 127.0.0.1 -c \"{sql}\" postgresql://$POSTGRESQL_USER:$POSTGRESQL_PASSWORD@127.0.0.1/$POSTGRESQL_DATABASE"
        );
        place.kubectl.text(&["exec", pod, "--", "bash", "-c", &command])
    };
    let tenants = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM tenants t";
    let zync = name_of(&pods, "zync-database");
    assert_eq!(ask(&zync, tenants), ask(&place.pod_of("zync-database").unwrap(), tenants), "the copy of zync's database");
    let redis = name_of(&pods, "backend-redis");
    let members = place.kubectl.text(&["exec", &redis, "--", "bash", "-c", "redis-cli SMEMBERS services_set | sort"]);
    assert_eq!(members.lines().count().to_string(), place.redis("backend-redis", 0, &["SCARD", "services_set"]));
    let files = name_of(&pods, "system-storage");
    let sums = "find . -type f ! -path './.threescale-backup*' ! -name '.rake-*' -exec sha256sum {} + | sort";
    let of_copy = place.kubectl.text(&["exec", &files, "--", "sh", "-c", &format!("cd /rehearsal && {sums}")]);
    assert_eq!(of_copy, place.files(sums).trim_end(), "the copy of the files");
    std::fs::write(&go, "").unwrap();
    let (status, words) = ended(child);
    assert_eq!(status, Some(0), "{words}");
    assert!(words.contains("cut over in") && words.contains("the throw-away servers are removed"), "{words}");
    let read = std::fs::read_to_string(&out).unwrap();
    assert_eq!(read.lines().count(), 3, "{read}\n{words}");
    assert_eq!(read.lines().next().unwrap(), place.mysql("SELECT COUNT(*) FROM accounts").trim());

    steps.step("nothing is left, the installation is as it was, and status calls the set proven");
    wait_gone(&place);
    assert_eq!(place.replicas(), replicas);
    assert_equal(&Fingerprint::of(&place).without_queues(), &before.without_queues(), "after the rehearsal");
    assert_eq!(program.json(&["status"])["proven"]["purpose"], "rehearse");
    assert!(program.ok(&["list"]).contains("rehearsed 5/6"), "{}", program.ok(&["list"]));

    steps.step("killed with -9 in the middle: told by runs, removed by abandon");
    killed(&place, &program, images);
    let words = program.ok(&["runs"]);
    let run = run_of(&pods_now(&place));
    assert!(words.contains(&format!("abandon {run} --remove")) || words.contains(&format!("abandon {run}")), "{words}");
    program.ok(&["abandon", &run, "--remove", "--yes"]);
    wait_gone(&place);

    steps.step("killed once more: the pods end at their deadline, and the next rehearsal removes them");
    killed(&place, &program, images);
    for pod in pods_now(&place) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        // What it was given is hours: nobody waits for these here.
        assert!(pod["spec"]["activeDeadlineSeconds"].as_u64().unwrap() > 3600);
        place.kubectl.act(&["patch", "pod", name, "--type=merge", "-p", "{\"spec\":{\"activeDeadlineSeconds\":1}}"]);
    }
    wait_until("the pods to end", 120, || pods_now(&place).iter().all(|pod| pod["status"]["phase"] == "Failed").then_some(()));
    let (status, words) = ended(start(&program, &["rehearse", "latest", "--pods", "--only", "zync-database"], images));
    assert_eq!(status, Some(0), "{words}");
    assert!(words.contains("of an earlier rehearsal had ended, and is removed"), "{words}");
    wait_gone(&place);
}

/// By a Job with the account that the chart makes for it.
pub(crate) fn by_a_job() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 24: rehearsed by a Job in the cluster");
    let (Some(image), Some(node)) = (settings.image.clone(), settings.node.clone()) else {
        steps.step("not run: E2E_IMAGE and E2E_NODE do not say which image to use, and how to make a volume on the node");
        return;
    };
    steps.step("installed from the chart, with the rehearsal; a set");
    let place = Installation::of_era(&settings, "2.15");
    let installed = Installed::with_rehearsal(&place, &image, &node);
    place.wait_ready();
    let before = Fingerprint::of_data(&place);
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["init", "--in-cluster"]);
    program.ok(&["backup", "--in-cluster"]);

    steps.step("rehearsed there, with no right but those of its Role");
    let (status, words) = ended(start(&program, &["rehearse", "latest", "--in-cluster"], &[]));
    assert_eq!(status, Some(0), "{words}");
    assert!(words.contains("cut over in") && words.contains("the throw-away servers are removed"), "{words}");
    assert!(program.ok(&["list", "--in-cluster"]).contains("rehearsed 5/6"));

    steps.step("what the chart's Deployment shows says so");
    let service = format!("/api/v1/namespaces/{}/services/threescale-backup-serve:metrics/proxy", place.namespace);
    let shown = |path: &str| {
        let answer = place.kubectl.run(&["get", "--raw", &format!("{service}/{path}")], b"");
        answer.status.success().then(|| text(&answer.stdout))
    };
    let page = wait_until("the page to have the rehearsal", 180, || shown("").filter(|page| page.contains("rehears")));
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert!(shown("metrics").unwrap().contains("\nthreescale_backup_last_success_timestamp_seconds{"));
    let seen: Value = serde_json::from_str(&shown("status.json").unwrap()).unwrap();
    assert!(seen["looked_at"].is_string(), "{seen}");

    steps.step("nothing is left of it, and the installation is as it was");
    wait_until("the pods to go", 60, || pods_now(&place).is_empty().then_some(()));
    assert_equal(&Fingerprint::of_data(&place).without_queues(), &before.without_queues(), "after the rehearsal");
    installed.delete(&place);
    wait_gone(&place);
}

fn start(program: &Program, arguments: &[&str], images: &[(&str, &str)]) -> Child {
    let mut command = program.command(arguments);
    command.envs(images.iter().copied()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command.spawn().unwrap()
}

fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), format!("{}{}", text(&stdout), text(&stderr)))
}

/// A rehearsal that is killed when two of its servers are there.
fn killed(place: &Installation, program: &Program, images: &[(&str, &str)]) {
    let mut child = start(program, &["rehearse", "latest", "--pods"], images);
    wait_until("two pods", 300, || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        (pods_now(place).len() >= 2).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

fn pods_now(place: &Installation) -> Vec<Value> {
    place.kubectl.items(&["pods", "-l", OURS])
}

fn run_of(pods: &[Value]) -> String {
    pods[0]["metadata"]["labels"]["threescale-backup/run"].as_str().unwrap().to_owned()
}

fn name_of(pods: &[Value], data_set: &str) -> String {
    let found = pods.iter().find(|pod| pod["metadata"]["labels"][OURS] == data_set);
    found.and_then(|pod| pod["metadata"]["name"].as_str()).unwrap_or_else(|| panic!("no pod for {data_set}")).to_owned()
}

/// No volume of the installation, no password in the object, a policy and a Secret that belong to the pod.
fn look_at(place: &Installation, pods: &[Value]) {
    let all = place.kubectl.items(&["secrets,networkpolicies", "-l", OURS]);
    for pod in pods {
        let (name, uid) = (&pod["metadata"]["name"], &pod["metadata"]["uid"]);
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        assert!(volumes.iter().all(|volume| volume.get("emptyDir").is_some() || volume.get("configMap").is_some()), "{volumes:?}");
        assert!(volumes.iter().any(|volume| volume.get("emptyDir").is_some()));
        let own: Vec<&Value> = all.iter().filter(|object| object["metadata"]["ownerReferences"][0]["uid"] == *uid).collect();
        let kinds: Vec<&str> = own.iter().filter_map(|object| object["kind"].as_str()).collect();
        let is_files = pod["metadata"]["labels"][OURS] == "system-storage";
        assert_eq!((kinds.contains(&"NetworkPolicy"), kinds.contains(&"Secret")), (true, !is_files), "{name}: {kinds:?}");
        for secret in own.iter().filter(|object| object["kind"] == "Secret") {
            let script = format!("echo {} | base64 -d", secret["data"]["password"].as_str().unwrap());
            let decoded = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let password = text(&decoded.stdout).trim().to_owned();
            assert!(password.len() == 32 && !pod.to_string().contains(&password), "{name}");
        }
    }
}

/// What belongs to a pod goes some seconds after it.
fn wait_gone(place: &Installation) {
    wait_until("all of the rehearsal to go", 90, || place.leftovers().is_empty().then_some(()));
}
