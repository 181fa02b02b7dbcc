//! The cluster, or the namespace, is lost with all that was in it; only the repository is left: `docs/disaster.md`, command by command.

use e2e::{Fingerprint, Installation, Made, Program, SEEDED, Settings, Steps, Stop, assert_equal, text, wait_until};

/// The domain that an installation is given whose own is `example.com`.
const MOVED: &str = "moved.example.org";

pub(crate) fn into_empty(case: &'static str, era: &str) {
    let settings = Settings::read();
    let mut steps = Steps::of(case);
    if settings.node.is_none() {
        steps.step("not run: E2E_NODE does not say how to empty a volume");
        return;
    }
    steps.step("a set of a whole installation");
    let place = Installation::of_era(&settings, era);
    place.wait_ready();
    let (before, replicas) = (Fingerprint::of(&place), place.replicas());
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["backup"]);

    steps.step("lost: objects, pods, volumes");
    let made = Made::of(&place);
    made.lose(&place, &settings);

    steps.step("what is missing is said first: the operator at 0");
    place.kubectl.act(&["scale", "deployment", "threescale-operator-controller-manager-v2", "--replicas=0"]);
    let words = program.fails(&[2], &["restore", "latest", "--into-empty", "--yes"]);
    assert!(words.contains("the operator is at 0") && words.contains("scale deployment"), "{words}");
    place.kubectl.act(&["scale", "deployment", "threescale-operator-controller-manager-v2", "--replicas=1"]);
    let domain: &[&str] = if era == "2.16" { &["--domain", MOVED] } else { &[] };
    program.ok(&[&["restore", "latest", "--into-empty", "--dry-run"], domain].concat());

    steps.step("restore latest --into-empty, killed at the cut-over or before it; the same call again");
    let making = made.make_when_asked(&place);
    let call = [&["restore", "latest", "--into-empty", "--yes"], domain].concat();
    // Another machine knows of what was stopped or cut over; what was only staged it begins anew.
    let (last, elsewhere) = if era == "2.14" { ("cut-over system-database", true) } else { ("stop-writers", false) };
    let killed = program
        .kill_when(&call, |journal| journal.records().into_iter().find(|record| record.starts_with("started") && record.ends_with(last)));
    assert!(matches!(killed, Stop::Killed(_)), "{killed:?}: {}", program.last_words());
    assert_eq!(place.replicas().get("system-sidekiq"), Some(&0), "nobody writes before the data is there");
    // From there it may have to wait for the lock to expire.
    let second = if elsewhere { program.for_namespace(&place.namespace) } else { program };
    let output = wait_until("the lock of the killed call to expire", 120, || {
        let output = second.run(&call);
        (output.status.code() != Some(11)).then_some(output)
    });
    assert!(output.status.success(), "{}: {}{}", output.status, text(&output.stdout), text(&output.stderr));
    steps.quote(&text(&output.stdout));
    let told = text(&output.stderr);
    assert!(
        told.contains("the live stores agree") || told.contains("the live stores differ"),
        "how the stores agree is told at the end: {told}"
    );
    let program = second;
    let runs = program.json(&["runs"])["runs"].as_array().cloned().unwrap_or_default();
    let last = program.restores().into_iter().max().unwrap_or_default();
    let compared = runs.iter().find(|run| run["run"] == last.as_str()).map(|run| run["compared"].clone()).unwrap_or_default();
    assert_eq!((&compared["agreement"]["security"], &compared["agreement"]["loss"]), (&0.into(), &0.into()), "and noted: {compared}");

    steps.step("compared from outside");
    place.wait_ready();
    let after = Fingerprint::of(&place);
    assert!(!after.0.keys().any(|key| key.contains(SEEDED)), "what System's hook seeded is not live");
    let with_domain = ["object/APIManager/", "object/ConfigMap/system-environment", "object/Secret/backend-listener"];
    let same = |found: &Fingerprint| if domain.is_empty() { found.without_queues() } else { found.without_queues().without(&with_domain) };
    assert_equal(&same(&after), &same(&before), "after the restore");
    assert_eq!(place.replicas(), replicas, "everything runs as it did, the operator too");
    place.wait_writing();

    if !domain.is_empty() {
        steps.step("another domain: the objects have it, and by the page's commands the rows");
        check_domain(&place);
    }
    if era != "2.15" {
        steps.step("settled: nothing of the program is left");
        program.ok(&["settle", "--yes"]);
        assert_eq!(place.leftovers(), Vec::<String>::new(), "after settle");
        drop(making);
        return;
    }
    steps.step("undo takes the data back, undo again empties the namespace");
    let run = program.restores().remove(0);
    let words = program.fails(&[2], &["undo", &run, "--yes"]);
    assert!(words.contains("comes first"), "{words}");
    program.ok(&["undo", "--yes"]);
    assert_eq!(place.replicas().get("system-sidekiq"), Some(&0), "nobody writes without the data");
    let tables = place.mysql("SHOW TABLES");
    assert!(tables.contains(SEEDED) && !tables.contains("cms_files"), "as the operator had made it: {tables}");
    program.ok(&["undo", "--yes"]);
    drop(making);
    let left = place.kubectl.items(&["apimanagers"]);
    assert!(left.is_empty(), "{left:?}");
    wait_until("the namespace to be empty", 240, || {
        let names: Vec<_> = place.replicas().into_keys().collect();
        (names == ["threescale-operator-controller-manager-v2"]).then_some(())
    });
}

fn check_domain(place: &Installation) {
    let owner = place.kubectl.items(&["apimanagers"]).remove(0);
    assert_eq!(owner["spec"]["wildcardDomain"], MOVED);
    assert_eq!(place.kubectl.json(&["get", "configmap", "system-environment"])["data"]["THREESCALE_SUPERDOMAIN"], MOVED);
    let route = ["get", "secret", "backend-listener", "-o", "go-template={{.data.route_endpoint | base64decode}}"];
    assert_eq!(place.kubectl.text(&route), format!("https://backend-3scale.{MOVED}"));

    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/disaster.md")).unwrap();
    let sql = page.split("```sql").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    // Two columns of porta's that the stand-in's database lacks.
    let add = "ALTER TABLE proxies ADD production_domain VARCHAR(255), ADD staging_domain VARCHAR(255)";
    drop(place.mysql(&format!("{add}; UPDATE proxies SET production_domain = endpoint, staging_domain = sandbox_endpoint")));
    drop(place.mysql(&sql.replace("old.example.com", "example.com").replace("new.example.com", MOVED)));
    let names = "SELECT domain AS name FROM accounts UNION ALL SELECT self_domain FROM accounts UNION ALL SELECT endpoint FROM proxies \
                 UNION ALL SELECT sandbox_endpoint FROM proxies UNION ALL SELECT production_domain FROM proxies UNION ALL SELECT staging_domain FROM proxies";
    let count = |which: &str| place.mysql(&format!("SELECT COUNT(*) FROM ({names}) AS names WHERE name {which} LIKE '%.{MOVED}%'"));
    assert_eq!((count("NOT").trim(), count("").trim()), ("0", "14"));
    drop(place.mysql("ALTER TABLE proxies DROP production_domain, DROP staging_domain"));
    let (command, tasks) = ("bundle exec rake zync:resync:domains", place.tasks().len());
    assert!(page.contains(&format!("exec deployment/system-sidekiq -- bash -c '{command}'")), "the page says so");
    place.kubectl.act(&["exec", "deployment/system-sidekiq", "--", "bash", "-c", command]);
    assert_eq!(place.tasks().len(), tasks + 1);
}
