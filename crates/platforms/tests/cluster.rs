//! The platform against a real cluster, which `KUBECONFIG` names; an installation of any era is in its namespace `threescale` (or `$THREESCALE_NAMESPACE`).
//!
//! The installation is only looked at; what is written goes to `/tmp` of one of its containers, or nowhere.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use plan::Class;
use plan::ports::{Context, ObjectKind, Objects, Program, Remote};
use platforms::kubernetes::{Cluster, Options, Target};

fn context() -> Context {
    Context::new("r")
}

fn namespace() -> String {
    std::env::var("THREESCALE_NAMESPACE").unwrap_or_else(|_| "threescale".to_owned())
}

/// The cluster; says plainly when there is none.
fn cluster() -> Option<Cluster> {
    if std::env::var_os("KUBECONFIG").is_none() {
        eprintln!("NOT RUN: there is no cluster, KUBECONFIG is not set");
        return None;
    }
    Some(Cluster::connect(&Options { namespace: Some(namespace()), ..Options::default() }).unwrap())
}

/// A place with a shell that every era has.
fn app(cluster: &Cluster) -> impl Remote + use<> {
    cluster.remote(
        Target::labels(&namespace(), "threescale_component=system,threescale_component_element=app", "system-app"),
        Some("system-provider"),
    )
}

fn output(remote: &dyn Remote, program: &Program) -> (Vec<u8>, plan::ports::Ended) {
    let mut process = remote.start(&context(), program).unwrap();
    let mut bytes = Vec::new();
    process.output().unwrap().read_to_end(&mut bytes).unwrap();
    (bytes, process.finish().unwrap())
}

#[test]
fn on_a_cluster_a_wrong_namespace_is_told_with_the_right_ones() {
    let Some(_) = cluster() else { return };
    let error = Cluster::connect(&Options { namespace: Some("no-such".to_owned()), ..Options::default() }).err().unwrap();
    assert_eq!(error.class(), Class::Refused);
    assert!(error.hints().iter().any(|hint| hint.contains(&namespace())), "{error:?}");
    let error = Cluster::connect(&Options { context: Some("no-such".to_owned()), ..Options::default() }).err().unwrap();
    assert_eq!(error.class(), Class::Refused);
}

#[test]
fn on_a_cluster_a_user_without_rights_is_told_the_rule() {
    let Some(_) = cluster() else { return };
    let nobody = Options { namespace: Some(namespace()), impersonate: Some("nobody".to_owned()), ..Options::default() };
    let cluster = Cluster::connect(&nobody).unwrap();
    let error = Objects::list(&cluster, &ObjectKind::new("v1", "Secret", "secrets")).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    let rule = format!(
        "Add to a Role in namespace {}, and bind it to this user: - {{apiGroups: [\"\"], resources: [\"secrets\"], verbs: [\"list\"]}}",
        namespace()
    );
    assert!(error.hints().contains(&rule), "{error:?}");
    let error = cluster
        .remote(Target::labels(&namespace(), "app", "anything"), None)
        .start(&context(), &Program::script("true", &[]))
        .err()
        .unwrap();
    assert_eq!(error.class(), Class::Refused, "{error:?}");
}

#[test]
fn on_a_cluster_a_program_gives_its_output_status_and_words() {
    let Some(cluster) = cluster() else { return };
    let remote = app(&cluster);
    let mut program = Program::script("printf '%s|%s' \"$1\" \"$SECRET\"; echo oops >&2; exit 3", &["one two"]);
    program.environment.push(("SECRET".to_owned(), "a 'b'\n\"$c\"".to_owned().into()));
    let (bytes, ended) = output(&remote, &program);
    assert_eq!(String::from_utf8(bytes).unwrap(), "one two|a 'b'\n\"$c\"");
    assert_eq!((ended.status, ended.said.trim()), (3, "oops"));
    let (bytes, ended) = output(&remote, &Program::script("tr '\\0' ' ' </proc/$PPID/cmdline; env | grep -c KUBERNETES_SERVICE_HOST", &[]));
    assert_eq!(ended.status, 0, "{}", String::from_utf8_lossy(&bytes));
    let (_, ended) = output(&remote, &Program { command: vec!["no-such-program".to_owned()], ..Program::default() });
    assert_eq!(ended.status, 127);
}

#[test]
fn on_a_cluster_a_large_output_is_whole_and_a_silent_program_is_waited_for() {
    let Some(cluster) = cluster() else { return };
    let size: u64 = 256 << 20;
    let began = Instant::now();
    let mut process = app(&cluster).start(&context(), &Program::script("head -c \"$1\" /dev/zero", &[&size.to_string()])).unwrap();
    let read = std::io::copy(&mut process.output().unwrap(), &mut std::io::sink()).unwrap();
    let ended = process.finish().unwrap();
    assert_eq!((read, ended.status), (size, 0), "{}", ended.said);
    eprintln!("exec output: {} MB/s", size / 1_000_000 / began.elapsed().as_secs().max(1));
    let short = Options { namespace: Some(namespace()), stall: Some(Duration::from_secs(2)), ..Options::default() };
    let (bytes, ended) = output(&app(&Cluster::connect(&short).unwrap()), &Program::script("sleep 6; echo late", &[]));
    assert_eq!((bytes.as_slice(), ended.status), (b"late\n".as_slice(), 0));
}

#[test]
fn on_a_cluster_a_large_input_is_whole() {
    let Some(cluster) = cluster() else { return };
    let block: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let began = Instant::now();
    let mut process = app(&cluster).start(&context(), &Program::script("sha256sum; wc -c </dev/null", &[]).with_input()).unwrap();
    let mut input = process.input().unwrap();
    let mut digest = sha2::Sha256::default();
    for _ in 0..100 {
        sha2::Digest::update(&mut digest, &block);
        input.write_all(&block).unwrap();
    }
    input.end().unwrap();
    let mut text = String::new();
    process.output().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(process.finish().unwrap().status, 0);
    let wanted: String = sha2::Digest::finalize(digest).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(text.starts_with(&wanted), "{text}");
    eprintln!("exec input: {} MB/s", 100 / began.elapsed().as_secs().max(1));
}

#[test]
fn on_a_cluster_input_goes_in_while_output_comes() {
    let Some(cluster) = cluster() else { return };
    let mut process = app(&cluster).start(&context(), &Program::script("cat", &[]).with_input()).unwrap();
    let (mut input, mut output) = (process.input().unwrap(), process.output().unwrap());
    let size: u64 = 32 << 20;
    let writer = std::thread::spawn(move || {
        std::io::copy(&mut std::io::repeat(7).take(size), &mut input).unwrap();
        input.end().unwrap();
    });
    assert_eq!(std::io::copy(&mut output, &mut std::io::sink()).unwrap(), size);
    writer.join().unwrap();
    assert_eq!(process.finish().unwrap().status, 0);
}

#[test]
fn on_a_cluster_a_program_that_is_dropped_ends_and_an_unfinished_input_is_an_error() {
    let Some(cluster) = cluster() else { return };
    let remote = app(&cluster);
    // Its name is in no other process's arguments.
    let name = format!("{}", 1_000_000 + u64::from(std::process::id()));
    let gone = |what: &str| {
        let began = Instant::now();
        loop {
            let script = "for p in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$p 2>/dev/null; echo; done | grep -c \"^sleep $1\"; true";
            let (bytes, _) = output(&remote, &Program::script(script, &[&name]));
            if bytes == b"0\n" {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{what}: {}", String::from_utf8_lossy(&bytes));
        }
    };
    let mut process = remote.start(&context(), &Program::script("echo started; sleep $1", &[&name])).unwrap();
    // Comes although nothing follows.
    process.output().unwrap().read_exact(&mut [0; 7]).unwrap();
    drop(process);
    gone("dropped");
    let mut process = remote.start(&context(), &Program::script("cat; sleep $1", &[&name]).with_input()).unwrap();
    let mut input = process.input().unwrap();
    input.write_all(b"half").unwrap();
    input.flush().unwrap();
    drop(input);
    let error = process.finish().unwrap_err();
    assert!(error.chain().contains("input was not finished"), "{error:?}");
    gone("unfinished");
}

#[test]
fn on_a_cluster_a_stop_flag_ends_a_stream() {
    let Some(cluster) = cluster() else { return };
    let context = context();
    let process = app(&cluster).start(&context, &Program::script("sleep 1000", &[])).unwrap();
    context.stop.raise();
    assert_eq!(process.finish().unwrap_err().class(), Class::Interrupted);
}

#[test]
fn on_a_cluster_objects_are_applied_replaced_and_deleted_by_identity() {
    let Some(cluster) = cluster() else { return };
    let own = format!("reaches-{}", std::process::id());
    cluster.post("/api/v1/namespaces", &serde_json::json!({"metadata": {"name": own}})).unwrap();
    let here = cluster.in_namespace(&own);
    let kind = Objects::kinds(&here, "").unwrap().into_iter().find(|kind| kind.kind == "ConfigMap").unwrap();
    assert_eq!(kind, ObjectKind::new("v1", "ConfigMap", "configmaps"));
    assert_eq!(Objects::kinds(&here, "no.such.group").unwrap(), []);
    let map =
        |value: &str| serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"key": value}});
    here.apply(&kind, "one", &map("dry"), true).unwrap();
    assert_eq!(Objects::get(&here, &kind, "one").unwrap(), None);
    let made = here.apply(&kind, "one", &map("a"), false).unwrap();
    here.apply(&kind, "one", &map("b"), false).unwrap();
    let error = here.replace(&kind, "one", &made).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    let now = Objects::get(&here, &kind, "one").unwrap().unwrap();
    here.replace(&kind, "one", &now).unwrap();
    assert_eq!(Objects::list(&here, &kind).unwrap().iter().filter(|object| object["metadata"]["name"] == "one").count(), 1);
    let error = Objects::delete(&here, &kind, "one", "another").unwrap_err();
    assert_eq!(error.class(), Class::NeedsPerson);
    let uid = now["metadata"]["uid"].as_str().unwrap();
    Objects::delete(&here, &kind, "one", uid).unwrap();
    Objects::delete(&here, &kind, "one", uid).unwrap();
    assert!(here.may("delete", &kind).unwrap());
    cluster.delete(&format!("/api/v1/namespaces/{own}"), &serde_json::json!({})).unwrap();
}

/// Speaks to Redis by its own protocol.
fn redis(address: std::net::SocketAddr, words: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(format!("{words}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn on_a_cluster_a_port_is_forwarded_for_many_connections_and_ends_cleanly() {
    let Some(cluster) = cluster() else { return };
    let found = cluster.find().unwrap();
    let at = found.backend_redis.unwrap().storage;
    let (began, way) = (Instant::now(), cluster.way_to(&at.reach).unwrap());
    let address = way.forward.as_ref().unwrap().address();
    let threads: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || {
                let text = redis(address, &format!("ECHO number-{number}"));
                // Without its password a server of the era of external databases says so.
                assert!(text.contains(&format!("number-{number}")) || text.contains("NOAUTH"), "{text}");
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(way.forward.unwrap().trouble(began), None);
}

#[test]
fn on_a_cluster_a_port_that_nobody_listens_on_is_reset_and_told() {
    let Some(cluster) = cluster() else { return };
    let target = Target::labels(&namespace(), "threescale_component=system,threescale_component_element=app", "system-app");
    let (began, forward) = (Instant::now(), cluster.forward(&target, 9).unwrap());
    let mut stream = std::net::TcpStream::connect(forward.address()).unwrap();
    let read = stream.read(&mut [0; 10]);
    assert!(read.is_err(), "{read:?}");
    let trouble = forward.trouble(began).unwrap().error();
    assert!(trouble.chain().contains("refused"), "{trouble:?}");
}

#[test]
fn on_a_cluster_the_installation_is_found_whole() {
    let Some(cluster) = cluster() else { return };
    let found = cluster.find().unwrap();
    assert!(found.problems.iter().all(|problem| problem.severity != plan::ports::Severity::Blocks), "{:?}", found.problems);
    assert_eq!(found.api_manager.as_ref().unwrap().wildcard_domain.as_deref(), Some("example.com"));
    assert!(found.operator.is_some());
    let release = found.release.clone().unwrap();
    let era = match found.era {
        platforms::kubernetes::find::Era::DeploymentConfigs => "2.14",
        platforms::kubernetes::find::Era::Deployments => "2.15",
        platforms::kubernetes::find::Era::External => "2.16",
    };
    assert!(release.starts_with(era), "{release} {era}");
    let app = found.workload("system", "app").unwrap();
    assert_eq!(app.containers, ["system-master", "system-provider", "system-developer"]);
    let database = found.system_database.as_ref().unwrap();
    assert_eq!(database.database, "system");
    assert_eq!(found.zync_database.as_ref().unwrap().database, "zync_production");
    let redis = found.backend_redis.as_ref().unwrap();
    assert_eq!((redis.storage.database, redis.queues.database, found.system_redis.as_ref().unwrap().database), (0, 1, 1));
    for reach in [&database.reach, &redis.storage.reach, &found.zync_database.as_ref().unwrap().reach] {
        assert!(matches!(reach, platforms::kubernetes::find::address::Reach::Service { .. }), "{reach}");
        cluster.way_to(reach).unwrap();
    }
    let platforms::kubernetes::find::FilesAt::Volume { target, container, path, claim, .. } = found.system_storage.as_ref().unwrap() else {
        panic!("{:?}", found.system_storage)
    };
    assert_eq!(claim.as_deref(), Some("system-storage"));
    let (listed, ended) = output(&cluster.remote(target.clone(), Some(container)), &Program::script("ls \"$1\"", &[path]));
    assert_eq!(ended.status, 0, "{}", ended.said);
    assert!(!listed.is_empty());
    // No secret in what is printed of it.
    let shown = format!("{found:?}");
    let secret = cluster.get(&cluster.path("v1", "secrets", Some("system-database"))).unwrap();
    assert!(!shown.contains(secret["data"]["URL"].as_str().unwrap()) && shown.contains("REDACTED"), "{shown}");
}

#[test]
fn on_a_cluster_missing_permissions_are_listed_as_rules() {
    let Some(cluster) = cluster() else { return };
    assert_eq!(cluster.missing_rules(platforms::kubernetes::Permissions::Restore).unwrap(), []);
    let nobody = Options { namespace: Some(namespace()), impersonate: Some("nobody".to_owned()), ..Options::default() };
    let missing = Cluster::connect(&nobody).unwrap().missing_rules(platforms::kubernetes::Permissions::Backup).unwrap();
    let lines: Vec<_> = missing.iter().map(ToString::to_string).collect();
    assert!(lines.contains(&r#"- {apiGroups: [""], resources: ["pods/exec"], verbs: ["create"]}"#.to_owned()), "{lines:?}");
}
