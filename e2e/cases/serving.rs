//! What is done while the installation serves, or for a moment only: a backup that lets the jobs be done first, a repair of what Backend has, classes of keys.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, text};

/// Queues of the seed that nobody works on.
const IDLE: [&str; 6] = ["billing", "deletion", "low", "mailers", "web_hooks", "zync"];

pub(crate) fn drained_repaired_and_merged() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 22: jobs done first, a repair, classes of keys");
    steps.step("an installation whose stores agree");
    let place = Installation::of_era(&settings, "2.15");
    place.wait_ready();
    let replicas = place.replicas();
    let program = Program::new(&settings, &place.namespace);
    program.ok(&["verify", "--fail-on", "security"]);

    drained(&mut steps, &place, &program);
    assert_eq!(place.replicas(), replicas, "all run as before");
    place.wait_ready();
    place.wait_writing();
    repaired(&mut steps, &place, &program);
    merged(&mut steps, &place, &program);
    assert_eq!(place.replicas(), replicas, "nobody was stopped");
    place.wait_writing();
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

fn drained(steps: &mut Steps, place: &Installation, program: &Program) {
    steps.step("backup --freeze names the jobs that nobody does, and takes them along");
    let words = told(program, &["backup", "--freeze", "--drain-seconds", "3"]);
    assert!(words.contains("not done") && words.contains("1 billing"), "{words}");
    place.wait_ready();

    steps.step("without them it waits for those that Backend's workers do");
    for queue in IDLE {
        drop(place.redis("system-redis", 1, &["DEL", &format!("queue:{queue}")]));
    }
    drop(place.redis("backend-redis", 1, &["DEL", "resque:queue:main"]));
    let many =
        "for i = 1, 20000 do redis.call('RPUSH', KEYS[1], '{\"class\":\"ThreeScale::Backend::Transactor::ReportJob\"}') end return 1";
    drop(place.redis("backend-redis", 1, &["EVAL", many, "1", "resque:queue:priority"]));
    let words = told(program, &["backup", "--freeze"]);
    assert!(words.contains("all jobs are done"), "{words}");
}

/// What a call that ends well says, its progress too.
fn told(program: &Program, arguments: &[&str]) -> String {
    let output = program.run(arguments);
    let words = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{words}", output.status);
    words
}

/// What Backend has, without what is written all the time, and without the marks of runs.
fn backend(place: &Installation) -> Fingerprint {
    let mut found = Fingerprint::of_data(place).only(&["backend-redis/0/"]);
    found.0.retain(|name, _| !name.contains("/threescale-backup:"));
    found
}

fn repaired(steps: &mut Steps, place: &Installation, program: &Program) {
    steps.step("Backend accepts what System does not know, and lacks what it knows: verify says so");
    let agreed = backend(place);
    program.ok(&["verify", "--fail-on", "security"]);
    let redis = |command: &[&str]| drop(place.redis("backend-redis", 0, command));
    redis(&["SET", "application/service_id:2/key:revoked/id", "app-a1"]);
    redis(&["SADD", "application/service_id:2/id:app-a1/keys", "stolen"]);
    redis(&["DEL", "metric/service_id:2/id:1/name"]);
    redis(&["SET", "application/service_id:2/id:app-a2/state", "suspended"]);
    let broken = backend(place);
    assert_ne!(broken, agreed);
    let words = program.fails(&[1], &["verify", "--fail-on", "security"]);
    assert!(!words.contains("stolen") && words.contains("security"), "a secret is not shown: {words}");

    steps.step("repaired while all go on, and compared from outside; undone; repaired again");
    let repair = ["verify", "--repair", "--yes", "--fail-on", "security"];
    program.ok(&repair);
    assert_equal(&backend(place), &agreed, "after the repair");
    program.ok(&["undo", "--yes"]);
    assert_equal(&backend(place), &broken, "after undo");
    program.ok(&repair);
    assert_equal(&backend(place), &agreed, "after the second repair");
    program.ok(&["settle", "--yes"]);
}

fn merged(steps: &mut Steps, place: &Installation, program: &Program) {
    steps.step("counters of a product are lost, and come back by class while Backend counts");
    let whole = backend(place);
    let lost = "local n = 0 for _, key in ipairs(redis.call('KEYS', 'stats/{service:3}*')) do n = n + redis.call('DEL', key) end return n";
    let gone: u64 = place.redis("backend-redis", 0, &["EVAL", lost, "0"]).parse().unwrap();
    assert!(gone > 50, "{gone} keys are no loss");
    let without = backend(place);
    let counted = place.counter();
    let restore = ["restore", "latest", "--classes", "usage", "--service", "2,3", "--yes"];
    program.ok(&restore);
    assert_equal(&backend(place), &whole, "after the restore");
    program.ok(&["undo", "--yes"]);
    assert_equal(&backend(place), &without, "after undo");
    program.ok(&restore);
    program.ok(&["settle", "--yes"]);
    assert_equal(&backend(place), &whole, "after settle");
    assert!(place.counter() >= counted, "what is counted meanwhile stays");
}
