//! Journals and the lock, on a real API server; a proxy before it loses answers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plan::Class;
use plan::ports::Shelf;
use platforms::kubernetes::shelf::ConfigMapShelf;
use platforms::kubernetes::{Cluster, Options};
use serde_json::json;

use crate::eventually;
use crate::installation::Installation;

const SHORT: Duration = Duration::from_secs(3);

#[test]
fn on_a_cluster_a_journal_grows_and_is_taken_up() {
    let Some(installation) = Installation::empty("journal") else { return };
    let shelf = ConfigMapShelf::new(installation.cluster.clone());
    assert!(shelf.names().unwrap().is_empty());
    assert!(shelf.read("run1").unwrap().is_none());
    let mut journal = shelf.open("run1", 0).unwrap();
    assert!(shelf.open("run1", 0).is_err(), "it is there already");
    journal.append(b"one\n").unwrap();
    journal.append("two, \"quoted\" and ü\n".as_bytes()).unwrap();
    assert_eq!(shelf.read("run1").unwrap().unwrap(), "one\ntwo, \"quoted\" and ü\n".as_bytes());
    for run in ["run2", "run3", "run4", "run5", "run6"] {
        shelf.open(run, 0).unwrap().append(b"x\n").unwrap();
    }
    assert_eq!(shelf.names().unwrap(), ["run1", "run2", "run3", "run4", "run5", "run6"]);

    let mut taken = shelf.open("run1", 4).unwrap();
    assert_eq!(shelf.read("run1").unwrap().unwrap(), b"one\n", "what was not whole is cut off");
    let error = journal.append(b"from the one before\n").unwrap_err();
    assert_eq!(error.class(), Class::NeedsPerson, "{error:?}");
    assert!(journal.append(b"again\n").is_err());
    taken.append(b"three\n").unwrap();
    assert_eq!(shelf.read("run1").unwrap().unwrap(), b"one\nthree\n");
    assert_eq!(shelf.open("run1", 400).err().unwrap().class(), Class::NeedsPerson);

    let line = vec![b'x'; 500 * 1024];
    taken.append(&line).unwrap();
    let error = taken.append(&line).unwrap_err();
    assert!(error.to_string().contains("900 KiB"), "{error:?}");
    taken.append(b"there is room for the last word\n").unwrap();

    shelf.remove("run1").unwrap();
    shelf.remove("run1").unwrap();
    assert!(taken.append(b"x").is_err(), "nobody makes a removed journal anew");
    assert_eq!(shelf.names().unwrap().len(), 5);
}

#[test]
fn on_a_cluster_an_append_whose_answer_was_lost_is_not_done_twice() {
    let Some(installation) = Installation::empty("lost") else { return };
    let proxy = Proxy::start();
    let shelf = ConfigMapShelf::new(proxy.cluster(&installation));
    for number in 0..5 {
        let name = format!("run{number}");
        proxy.lose_next_answer();
        let mut journal = shelf.open(&name, 0).unwrap();
        proxy.lose_next_answer();
        journal.append(b"one\n").unwrap();
        proxy.lose_next_answer();
        journal.append(b"two\n").unwrap();
        assert_eq!(shelf.read(&name).unwrap().unwrap(), b"one\ntwo\n");
    }
    assert!(!proxy.is_armed(), "answers were lost");
}

#[test]
fn on_a_cluster_one_run_holds_the_lock() {
    let Some(installation) = Installation::empty("lock") else { return };
    let shelf = || ConfigMapShelf::with_lock_duration(installation.cluster.clone(), SHORT);
    let (first, second) = (shelf(), shelf());
    let held = first.lock(&plan::InstallationId::default()).unwrap();
    assert_eq!(second.lock(&plan::InstallationId::default()).err().unwrap().class(), Class::Locked);
    // Longer than its duration: it is renewed.
    let began = Instant::now();
    eventually("the lock was renewed twice", || began.elapsed() > SHORT * 2);
    assert_eq!(second.lock(&plan::InstallationId::default()).err().unwrap().class(), Class::Locked);
    first.open("run1", 0).unwrap().append(b"x\n").unwrap();
    drop(held);
    let began = Instant::now();
    let held = second.lock(&plan::InstallationId::default()).unwrap();
    assert!(began.elapsed() < SHORT, "a lock that was let go is free at once");

    // Somebody takes it by force: who held it does not write any more.
    let mut journal = second.open("run2", 0).unwrap();
    journal.append(b"one\n").unwrap();
    let path = installation.cluster.path("coordination.k8s.io/v1", "leases", Some("threescale-backup"));
    let steal = json!({"spec": {"holderIdentity": "somebody-else", "renewTime": "2020-01-01T00:00:00.000000Z"}});
    installation.cluster.merge_patch(&path, &steal).unwrap();
    eventually("the loss is noticed", || match journal.append(b"more\n") {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error.class(), Class::Locked, "{error:?}");
            true
        }
    });
    drop(held);
    assert_eq!(installation.cluster.get(&path).unwrap()["spec"]["holderIdentity"], "somebody-else");
}

#[test]
fn on_a_cluster_the_lock_of_a_dead_run_is_taken_over() {
    let Some(installation) = Installation::empty("dead") else { return };
    let path = installation.cluster.path("coordination.k8s.io/v1", "leases", None);
    let now = format!("{:.6}", jiff::Timestamp::now());
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "threescale-backup"},
        "spec": {"holderIdentity": "a-dead-pod", "leaseDurationSeconds": 3, "acquireTime": now, "renewTime": now, "leaseTransitions": 4}});
    installation.cluster.post(&path, &lease).unwrap();
    let shelf = ConfigMapShelf::with_lock_duration(installation.cluster.clone(), SHORT);
    let began = Instant::now();
    let held = shelf.lock(&plan::InstallationId::default()).unwrap();
    assert!(began.elapsed() >= SHORT, "it might have been alive");
    let lease = installation.cluster.get(&format!("{path}/threescale-backup")).unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 5);
    drop(held);
}

/// Stands before the API server, and closes a connection when an answer comes back on it, if it was told to.
struct Proxy {
    port: u16,
    kubeconfig: tempfile::NamedTempFile,
    lose: Arc<AtomicBool>,
}

impl Proxy {
    fn start() -> Self {
        let original = std::fs::read_to_string(std::env::var("KUBECONFIG").unwrap()).unwrap();
        let server = original.lines().find_map(|line| line.trim().strip_prefix("server: https://")).unwrap().trim().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut kubeconfig = tempfile::NamedTempFile::new().unwrap();
        kubeconfig.write_all(original.replace(&server, &format!("127.0.0.1:{port}")).as_bytes()).unwrap();
        let lose = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&lose);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(&server).unwrap();
                pipe(near.try_clone().unwrap(), far.try_clone().unwrap(), None);
                pipe(far, near, Some(Arc::clone(&flag)));
            }
        });
        Self { port, kubeconfig, lose }
    }

    fn cluster(&self, installation: &Installation) -> Cluster {
        assert!(self.port > 0);
        let options = Options {
            kubeconfig: Some(self.kubeconfig.path().to_owned()),
            namespace: Some(installation.cluster.namespace().to_owned()),
            ..Options::default()
        };
        Cluster::connect(&options).unwrap()
    }

    fn lose_next_answer(&self) {
        self.lose.store(true, Ordering::SeqCst);
    }

    fn is_armed(&self) -> bool {
        self.lose.load(Ordering::SeqCst)
    }
}

/// Copies bytes until one side closes. With a flag that is raised, the next bytes are swallowed and both sides closed.
fn pipe(mut from: TcpStream, mut to: TcpStream, lose: Option<Arc<AtomicBool>>) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut buffer) {
            let is_lost = lose.as_ref().is_some_and(|lose| lose.swap(false, Ordering::SeqCst));
            if count == 0 || is_lost || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        from.shutdown(std::net::Shutdown::Both).ok();
        to.shutdown(std::net::Shutdown::Both).ok();
    });
}
