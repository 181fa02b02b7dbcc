//! By way of sentinels: every login and TLS, sentinels that are dead, stale or lie, failovers, names that only a cluster knows.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use lab::{Redis, Sentinel, SentinelLogin, SentinelOptions};
use plan::Class;
use plan::ports::{DataSet, Discard, Road};
use tls::{Tls, TlsMode};

use super::doors::{only, round};
use super::scene::*;
use crate::{Address, Dial, Sentinels};

const PASSWORD: &str = "p@ss:w/d,%";
/// The same as it stands in a URL of a list.
const ENCODED: &str = "p%40ss%3Aw%2Fd%2C%25";

fn by(server: &Redis, hosts: &str, group: &str) -> Address {
    let sentinels = Sentinels::parse(hosts, "master").unwrap();
    Address::parse(&format!("redis://{group}/1")).unwrap().with_password(server.password().into()).with_sentinels(sentinels).unwrap()
}

fn refused(address: Address) -> plan::Error {
    only(address).look(&context("x")).unwrap_err()
}

/// Waits for what another program does.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn said(mut command: std::process::Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// What is said to be wrong, where a server is reached in one way of three and by one login of four.
#[test]
fn every_login_and_every_tls_of_sentinels_leads_to_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    let verified = Tls { ca_file: Some(files.ca()), ..Tls::of_mode(TlsMode::VerifyFull) };
    for with_tls in [false, true] {
        let options = if with_tls { files.redis_options() } else { Vec::new() };
        let server = Redis::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert!(server.client().args(["-n", "1", "SET", "a", "1"]).output().unwrap().status.success());
        let tls = with_tls.then_some(&files);
        for login in [SentinelLogin::Nothing, SentinelLogin::Password, SentinelLogin::User] {
            let options = SentinelOptions { tls, login, password: Some(PASSWORD), ..SentinelOptions::PLAIN };
            let sentinel = Sentinel::start(&server, &options).unwrap();
            let at = format!("127.0.0.1:{}", sentinel.port());
            let (inside, by_keys, wrong) = match login {
                SentinelLogin::Nothing => (at.clone(), None, None),
                SentinelLogin::Password => (format!(":{ENCODED}@{at}"), Some(None), Some(format!(":wrong@{at}"))),
                SentinelLogin::User => (format!("watcher:{ENCODED}@{at}"), Some(Some("watcher")), Some(format!(":{ENCODED}@{at}"))),
            };
            let speak = |address: Address| if with_tls { address.with_tls(verified.clone()).unwrap() } else { address };
            // As a host alone, as redis:// and, by TLS, as rediss://; a dead one before it.
            let schemes: &[&str] = if with_tls { &["", "redis://", "rediss://"] } else { &["", "redis://"] };
            for scheme in schemes {
                let address = speak(by(&server, &format!("127.0.0.1:1, {scheme}{inside}"), "group"));
                assert_eq!(only(address).look(&context("x")).unwrap().count, Some(1), "{with_tls} {login:?} {scheme:?}");
            }
            if let Some(user) = by_keys {
                let sentinels = Sentinels::parse(&at, "").unwrap().or_login(user.map(str::to_owned), Some(PASSWORD.to_owned().into()));
                let address = Address::new("group", 0, 1).with_password(server.password().into()).with_sentinels(sentinels).unwrap();
                round(speak(address));
                let error = refused(speak(by(&server, &at, "group")));
                assert!(error.class() == Class::Refused && error.chain().contains("NOAUTH"), "{login:?} {error:?}");
            }
            if let Some(wrong) = wrong {
                let error = refused(speak(by(&server, &wrong, "group")));
                assert_eq!(error.class(), Class::Refused, "{login:?} {error:?}");
                assert!(!format!("{error:?}").contains(PASSWORD) && !format!("{error:?}").contains(ENCODED), "{error:?}");
            }
            let error = refused(speak(by(&server, &inside, "other-group")));
            assert!(error.class() == Class::Refused && error.chain().contains("does not know the group \"other-group\""), "{error:?}");
            if with_tls {
                // Plain text to TLS, and the CA that was forgotten.
                refused(by(&server, &inside, "group"));
                let error = refused(by(&server, &inside, "group").with_tls(Tls::of_mode(TlsMode::VerifyFull)).unwrap());
                assert_eq!(error.class(), Class::Refused, "{error:?}");
            }
        }
    }
}

/// Sentinels by TLS, the server without it, as a configuration can say it.
#[test]
fn sentinels_may_speak_tls_where_the_server_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 1), "SET a 1");
    let sentinel = Sentinel::start(&server, &SentinelOptions { tls: Some(&files), ..SentinelOptions::PLAIN }).unwrap();
    let address = by(&server, &format!("rediss://127.0.0.1:{}", sentinel.port()), "group");
    assert_eq!(refused(address.clone()).class(), Class::Refused, "the public CAs did not sign it");
    round(address.with_tls(Tls { ca_file: Some(files.ca()), ..Tls::default() }).unwrap());
}

/// Answers as a sentinel does, and never the truth: another program's own words are no test of this one, but a liar cannot be had otherwise.
fn liar(host: &str, port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let answer = format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.to_string().len());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) && stream.write_all(answer.as_bytes()).is_ok() {}
            });
        }
    });
    own
}

/// A master with its replica, and the password of both.
fn pair() -> (Redis, Redis) {
    let secret = ["--requirepass", "of-both", "--masterauth", "of-both", "--repl-diskless-sync-delay", "0"];
    let master = Redis::start(&secret).unwrap();
    say(&mut connect(&master, 1), "SET a 1");
    let port = master.port().to_string();
    let replica = Redis::start(&[&secret[..], &["--replicaof", "127.0.0.1", &port]].concat()).unwrap();
    until("the replica is not in step", || {
        let mut client = replica.client();
        client.args(["INFO", "replication"]);
        said(client).contains("master_link_status:up")
    });
    (master, replica)
}

#[test]
fn what_sentinels_name_is_looked_at_before_it_is_believed() {
    let (master, replica) = pair();
    let other = Redis::start(&["--requirepass", "of-both"]).unwrap();
    let sentinel = Sentinel::start(&master, &SentinelOptions::PLAIN).unwrap();
    let truth = format!("127.0.0.1:{}", sentinel.port());
    let (stale, gone) = (liar("127.0.0.1", replica.port()), liar("127.0.0.1", 1));
    // One is behind a failover, one names a server that is not there.
    round(by(&master, &format!("127.0.0.1:{stale},127.0.0.1:{gone},{truth}"), "group"));
    // A master that is none of the group's: most sentinels know better.
    let apart = liar("127.0.0.1", other.port());
    let second = Sentinel::start(&master, &SentinelOptions::PLAIN).unwrap();
    let hosts = format!("127.0.0.1:{apart},{truth},127.0.0.1:{}", second.port());
    assert_eq!(only(by(&master, &hosts, "group")).look(&context("x")).unwrap().count, Some(1));

    // Where nobody leads to the master, all is told, and it may pass.
    let error = refused(by(&master, &format!("127.0.0.1:{stale},127.0.0.1:{gone},127.0.0.1:1"), "group"));
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    let told = error.chain();
    let words = [
        format!("127.0.0.1:{} is named as the master and is a replica", replica.port()),
        "127.0.0.1:1, which they name".to_owned(),
        "sentinel 127.0.0.1:1: ".to_owned(),
    ];
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    assert_eq!(say(&mut connect(&other, 1), "DBSIZE").text(), "0");
}

#[test]
fn a_replica_is_asked_for_by_its_role() {
    let (master, replica) = pair();
    let sentinel = Sentinel::start(&master, &SentinelOptions::PLAIN).unwrap();
    until("the sentinel does not know the replica", || {
        let mut client = sentinel.client();
        client.args(["SENTINEL", "REPLICAS", "group"]);
        // At first it is known and not connected to.
        let text = said(client);
        text.contains(&replica.port().to_string()) && text.contains("flags\nslave\n")
    });
    let sentinels = Sentinels::parse(&format!("127.0.0.1:{}", sentinel.port()), "slave").unwrap();
    let address = Address::parse("redis://:of-both@group/1").unwrap().with_sentinels(sentinels).unwrap();
    let store = only(address);
    let connections = |server: &Redis| {
        let mut client = server.client();
        client.args(["INFO", "stats"]);
        let text = said(client);
        text.lines().find_map(|line| line.trim_end().strip_prefix("total_connections_received:")?.parse::<u64>().ok()).unwrap()
    };
    let before = connections(&replica);
    let set = backup(&store).unwrap();
    assert_eq!(set.kept.evidence.count(), 1);
    // That count itself is one.
    assert!(connections(&replica) > before + 1);
}

#[test]
fn a_run_outlives_a_failover_at_every_step() {
    let (master, replica) = pair();
    let sentinel = Sentinel::start(&master, &SentinelOptions::PLAIN).unwrap();
    let hosts = format!("127.0.0.1:{}", sentinel.port());
    let store = only(by(&master, &hosts, "group"));
    let named = || {
        let mut client = sentinel.client();
        client.args(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "group"]);
        said(client).lines().nth(1).unwrap().to_owned()
    };
    let role = |server: &Redis| {
        let mut client = server.client();
        client.arg("ROLE");
        said(client)
    };
    let ask = |server: &Redis, words: &[&str]| {
        let mut client = server.client();
        client.args(["-n", "1"]).args(words);
        said(client).trim().to_owned()
    };
    let fail_over = |to: &Redis, from: &Redis| {
        // What a master said before its replica had it is lost with it: that is Redis' own.
        until("the replica does not have all", || {
            let role = role(from);
            let lines: Vec<&str> = role.lines().collect();
            lines.first() == Some(&"master") && lines.get(4).is_some() && lines.get(1) == lines.get(4)
        });
        until("the sentinel does not fail over", || {
            let mut client = sentinel.client();
            client.args(["SENTINEL", "FAILOVER", "group"]);
            said(client).starts_with("OK") || named() == to.port().to_string()
        });
        until("nobody was promoted", || {
            named() == to.port().to_string() && role(to).starts_with("master") && role(from).contains("connected")
        });
    };
    let set = backup(&store).unwrap();
    store.look(&context("x")).unwrap();
    fail_over(&replica, &master);
    ask(&replica, &["SET", "a", "damaged"]);
    let place = stage(&store, &set, "failover", Road::SideCopy).unwrap();
    fail_over(&master, &replica);
    assert_eq!(differences(&store, &set, &place, "failover"), Vec::<String>::new());
    store.cut_over(&context("failover"), &place).unwrap();
    assert_eq!(ask(&master, &["GET", "a"]), "1");
    fail_over(&replica, &master);
    store.undo(&context("failover"), &place).unwrap();
    assert_eq!(ask(&replica, &["GET", "a"]), "damaged");
    store.cut_over(&context("failover"), &place).unwrap();
    store.discard(&context("failover"), &place, Discard::Previous).unwrap();
    assert_eq!((ask(&replica, &["GET", "a"]), ask(&replica, &["DBSIZE"])), ("1".to_owned(), "1".to_owned()));
}

/// As sentinels of a cluster tell it: a Service's name, which leads nowhere from here but by somebody who forwards its port.
#[test]
fn a_name_of_another_network_is_dialled_by_who_leads_there_and_verified_by_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    let options = files.redis_options();
    let server = Redis::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert!(server.client().args(["-n", "1", "SET", "a", "1"]).output().unwrap().status.success());
    let sentinel = Sentinel::start(&server, &SentinelOptions { tls: Some(&files), host: "localhost", ..SentinelOptions::PLAIN }).unwrap();
    let (from, watch) = (server.port(), sentinel.port());
    let forward = lab::Proxy::before(from).unwrap();
    forward.trouble_after(u64::MAX, lab::Trouble::Freeze);
    let number = forward.port();
    let dial = Dial::new(move |host, port| match (host, port) {
        ("localhost", port) if port == from => Ok(("127.0.0.1".to_owned(), number)),
        ("localhost", 26379) => Ok(("127.0.0.1".to_owned(), watch)),
        other => Err(plan::Error::refused(format!("{other:?} is not there"))),
    });
    let verified = Tls { ca_file: Some(files.ca()), ..Tls::of_mode(TlsMode::VerifyFull) };
    let address = by(&server, "localhost", "group").with_tls(verified).unwrap().with_dial(dial);
    round(address);
    assert!(forward.passed() > 0);
}
