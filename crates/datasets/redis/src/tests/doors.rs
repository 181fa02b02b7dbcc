//! The ways in: passwords, users, TLS, unix socket; and what is said when they are shut.

use lab::Redis;
use plan::Class;
use plan::ids::DataSetName;
use plan::ports::{DataSet, Road};
use secrecy::SecretString;
use tls::{Tls, TlsMode};

use super::scene::*;
use crate::{Address, Options, RedisStore};

pub(super) fn only(address: Address) -> RedisStore {
    RedisStore::new(DataSetName::SystemRedis, vec![("", address)], Options::default()).unwrap()
}

/// Back and forth through one door.
pub(super) fn round(address: Address) {
    let store = only(address);
    let set = backup(&store).unwrap();
    assert_eq!(set.kept.evidence.count(), 1);
    let place = restore(&store, &set, "door", Road::SideCopy);
    store.discard(&context("door"), &place, plan::ports::Discard::Previous).unwrap();
}

#[test]
fn a_wrong_password_is_refused_and_never_shown() {
    let server = Redis::start(&["--requirepass", "right-secret"]).unwrap();
    say(&mut connect(&server, 1), "SET a 1");
    round(Address::parse(&server.url(1)).unwrap());
    let port = server.port();
    for url in [
        format!("redis://:wrong-secret@127.0.0.1:{port}/1"),
        format!("redis://127.0.0.1:{port}/1"),
        format!("redis://bob:wrong-secret@127.0.0.1:{port}/1"),
    ] {
        let error = only(Address::parse(&url).unwrap()).look(&context("x")).unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{error:?}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let address = Address::parse(&format!("redis://:wrong-secret@127.0.0.1:{port}/1")).unwrap();
    round(address.with_password(SecretString::from("right-secret")));
}

#[test]
fn a_server_that_is_not_there_is_a_transient_error() {
    let mut server = Redis::start(&[]).unwrap();
    server.stop().unwrap();
    let error = only(Address::parse(&server.url(0)).unwrap()).look(&context("x")).unwrap_err();
    assert_eq!(error.class(), Class::Transient);
}

#[test]
fn a_unix_socket_and_a_user_of_the_acl_are_ways_in() {
    let server = Redis::start(&["--user", "backup", "on", ">user-secret", "~*", "&*", "+@all"]).unwrap();
    say(&mut connect(&server, 2), "SET a 1");
    round(Address::parse(&format!("unix://backup:user-secret@{}?db=2", server.socket().display())).unwrap());
    round(
        Address::parse(&format!("redis://127.0.0.1:{}/2", server.port()))
            .unwrap()
            .with_user("backup")
            .with_password(SecretString::from("user-secret")),
    );
}

#[test]
fn missing_rights_are_named() {
    let server = Redis::start(&["--user", "weak", "on", ">pw", "~*", "&*", "+@all", "-restore", "-swapdb", "-psync", "-dump"]).unwrap();
    let store = only(Address::parse(&format!("redis://weak:pw@127.0.0.1:{}/0", server.port())).unwrap());
    let findings = store.look(&context("x")).unwrap();
    let texts = |problems: &[plan::ports::Problem]| {
        problems.iter().map(|problem| format!("{} {:?}", problem.text, problem.way_out)).collect::<String>()
    };
    assert!(texts(&findings.restore_problems).contains("+restore"), "{findings:?}");
    assert!(texts(&findings.backup_problems).contains("+psync") && texts(&findings.backup_problems).contains("+dump"), "{findings:?}");
    assert_eq!(findings.road, Road::InPlace);
    let look = only(Address::parse(&server.url(0)).unwrap()).look(&context("x")).unwrap();
    assert!(look.backup_problems.is_empty() && look.restore_problems.is_empty(), "{look:?}");
    assert_eq!(look.road, Road::SideCopy);
}

/// To a port that speaks TLS only, with every login; by sentinels too.
fn plain_text_is_told(server: &Redis, files: &lab::Tls) {
    let at = format!("127.0.0.1:{}", server.port());
    for login in ["", ":s3cret@", "bob:s3cret@", "bob@"] {
        let error = only(Address::parse(&format!("redis://{login}{at}/0")).unwrap()).look(&context("x")).unwrap_err();
        let text = format!("{error:?}");
        assert!(error.class() == Class::Refused && text.contains("speaks TLS") && text.contains("rediss://"), "{login}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    let sentinel = lab::Sentinel::start(server, &lab::SentinelOptions { tls: Some(files), ..lab::SentinelOptions::PLAIN }).unwrap();
    let sentinels = crate::Sentinels::parse(&format!("127.0.0.1:{}", sentinel.port()), "master").unwrap();
    let address = Address::parse("redis://group/0").unwrap().with_sentinels(sentinels).unwrap();
    let error = only(address).look(&context("x")).unwrap_err();
    assert!(error.class() == Class::Refused && error.chain().contains("speaks TLS"), "{error:?}");
}

#[test]
fn who_breaks_off_before_an_answer_and_speaks_no_tls_may_be_well_later() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Takes what comes and goes away, as a server that is being stopped does.
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let error = only(Address::parse(&format!("redis://:s3cret@127.0.0.1:{port}/0")).unwrap()).look(&context("x")).unwrap_err();
    let text = format!("{error:?}");
    assert!(error.class() == Class::Transient && text.contains("broke off before its first answer"), "{text}");
    assert!(!text.contains("speaks TLS") && !text.contains("s3cret"), "{text}");
}

#[test]
fn tls_with_and_without_a_client_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    let options = files.redis_options();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = Redis::start(&options).unwrap();
    let mut seed = crate::connection::Connection::open(&Address::parse(&server.socket_url(0)).unwrap(), &limits()).unwrap();
    say(&mut seed, "SET a 1");
    let address = Address::parse(&server.url(0)).unwrap();
    let verified = Tls { ca_file: Some(files.ca()), ..Tls::of_mode(TlsMode::VerifyFull) };
    round(address.clone().with_tls(verified.clone()).unwrap());
    round(address.clone().with_tls(Tls::of_mode(TlsMode::Require)).unwrap());
    round(address.clone().with_tls(Tls { mode: Some(TlsMode::VerifyCa), ..verified.clone() }).unwrap());
    let error = only(address.clone()).look(&context("x")).unwrap_err();
    assert_eq!(error.class(), Class::Refused, "the public CAs did not sign it: {error:?}");
    plain_text_is_told(&server, &files);

    let other_folder = tempfile::tempdir().unwrap();
    let other = lab::Tls::make(other_folder.path()).unwrap();
    let wrong = Tls { ca_file: Some(other.ca()), ..verified.clone() };
    assert_eq!(only(address.with_tls(wrong).unwrap()).look(&context("x")).unwrap_err().class(), Class::Refused);

    drop(server);
    options.extend(["--tls-auth-clients", "yes"]);
    options.retain(|option| *option != "optional");
    let position = options.iter().position(|option| *option == "--tls-auth-clients").unwrap();
    options.remove(position);
    let server = Redis::start(&options).unwrap();
    let mut seed = crate::connection::Connection::open(&Address::parse(&server.socket_url(0)).unwrap(), &limits()).unwrap();
    say(&mut seed, "SET a 1");
    let address = Address::parse(&server.url(0)).unwrap();
    assert!(only(address.clone().with_tls(verified.clone()).unwrap()).look(&context("x")).is_err());
    let (certificate, key) = files.client();
    round(address.with_tls(Tls { client_certificate_file: Some(certificate), client_key_file: Some(key), ..verified }).unwrap());
}

#[test]
fn a_server_is_verified_as_far_as_the_mode_says() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    for shown in lab::Shown::ALL {
        let options = files.showing(shown).redis_options();
        let server = Redis::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        for case in lab::CASES {
            let mode = match case.mode {
                "require" => TlsMode::Require,
                "verify-ca" => TlsMode::VerifyCa,
                _ => TlsMode::VerifyFull,
            };
            let tls = Tls { ca_file: case.has_ca.then(|| files.ca()), ..Tls::of_mode(mode) };
            let address = Address::parse(&server.url(0)).unwrap().with_tls(tls).unwrap();
            let looked = only(address).look(&context("x"));
            if case.takes.contains(&shown) {
                looked.unwrap_or_else(|error| panic!("{case:?} {shown:?}: {error:?}"));
            } else {
                let error = looked.err().unwrap_or_else(|| panic!("{case:?} took {shown:?}"));
                assert_eq!(error.class(), Class::Refused, "{case:?} {shown:?}: {error:?}");
            }
        }
    }
}

#[test]
fn a_server_without_tls_is_refused_in_every_mode_that_wants_it() {
    let server = Redis::start(&[]).unwrap();
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let address = Address::parse(&server.url(0)).unwrap().with_tls(Tls::of_mode(mode)).unwrap();
        let error = only(address).look(&context("x")).unwrap_err();
        assert!(error.class() == Class::Refused && error.chain().contains("speaks no TLS"), "{error:?}");
    }
}

#[test]
fn a_backup_ends_wherever_the_network_stops_or_breaks() {
    let server = Redis::start(&[]).unwrap();
    say(&mut connect(&server, 0), "DEBUG POPULATE 20000 key 200");
    let proxy = lab::Proxy::before(server.port()).unwrap();
    let url = server.url(0).replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port()));
    let options = Options { idle_timeout: std::time::Duration::from_secs(1), ..Options::default() };
    let store = RedisStore::new(DataSetName::SystemRedis, vec![("", Address::parse(&url).unwrap())], options).unwrap();
    proxy.trouble_after(u64::MAX, lab::Trouble::Freeze);
    backup(&store).unwrap();
    let all = proxy.passed();
    for trouble in [lab::Trouble::Freeze, lab::Trouble::Cut] {
        for part in [10, all / 3, all * 2 / 3] {
            proxy.trouble_after(part, trouble);
            let error = backup(&store).err().unwrap();
            assert_eq!(error.class(), Class::Transient, "{trouble:?} after {part} of {all}: {error:?}");
        }
    }
}

/// Storage by TLS, queues in plain text, with other users: two connections to what is one server.
#[test]
fn storage_and_queues_are_two_connections_each_with_its_own_tls_and_login() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    let options = files.redis_options();
    let users = ["--user", "stores", "on", ">s", "~*", "&*", "+@all", "--user", "queues", "on", ">q", "~*", "&*", "+@all"];
    let server = Redis::start(&options.iter().map(String::as_str).chain(users).collect::<Vec<_>>()).unwrap();
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let on = |database: u32| {
        let address = Address::parse(&server.socket_url(database)).unwrap();
        let mut connection = crate::connection::Connection::open(&address, &limits()).unwrap();
        connection.select(database).unwrap();
        connection
    };
    say(&mut on(0), &format!("CONFIG SET port {plain}"));
    say(&mut on(0), "SET stats 1");
    say(&mut on(1), "RPUSH resque:queue:priority job");
    let storage = |ca: &std::path::Path| {
        let tls = Tls { ca_file: Some(ca.to_owned()), ..Tls::of_mode(TlsMode::VerifyFull) };
        Address::parse(&format!("redis://stores:s@127.0.0.1:{}/0", server.port())).unwrap().with_tls(tls).unwrap()
    };
    let store = |storage: Address, queues: &str| {
        let queues = Address::parse(queues).unwrap();
        RedisStore::new(DataSetName::BackendRedis, vec![("storage", storage), ("queues", queues)], Options::default()).unwrap()
    };
    let queues = format!("redis://queues:q@127.0.0.1:{plain}/1");
    let both = store(storage(&files.ca()), &queues);
    assert_eq!(both.servers.len(), 2);
    let set = backup(&both).unwrap();
    for database in [0, 1] {
        say(&mut on(database), "FLUSHDB");
        say(&mut on(database), "SET damaged 1");
    }
    let place = restore(&both, &set, "two-doors", Road::SideCopy);
    let there = |keys: [&str; 2]| [0, 1].map(|database: u32| say(&mut on(database), &format!("EXISTS {}", keys[database as usize])).text());
    assert_eq!(there(["stats", "resque:queue:priority"]), ["1", "1"]);
    both.undo(&context("two-doors"), &place).unwrap();
    assert_eq!(there(["damaged", "damaged"]), ["1", "1"]);
    both.cut_over(&context("two-doors"), &place).unwrap();
    both.discard(&context("two-doors"), &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(there(["stats", "resque:queue:priority"]), ["1", "1"]);

    // An empty database of the other connection is live all the same.
    let apart = store(storage(&files.ca()), &queues.replace("/1", "/15"));
    let set = backup(&apart).unwrap();
    let place = apart.reserve(&context("apart"), &set.kept, Road::SideCopy).unwrap();
    let sides = [0, 1].map(|at| place.0["servers"][at][0]["side"].as_u64().unwrap());
    assert!(sides[0] != sides[1] && !sides.contains(&0) && !sides.contains(&15), "{sides:?}");
    apart.release(&context("apart")).unwrap();

    // What is wrong with one is told of that one.
    let other_folder = tempfile::tempdir().unwrap();
    let other = lab::Tls::make(other_folder.path()).unwrap();
    let error = store(storage(&other.ca()), &queues).look(&context("x")).unwrap_err();
    assert!(error.class() == Class::Refused && error.chain().contains(&server.port().to_string()), "{error:?}");
    let error = store(storage(&files.ca()), &queues.replace(":q@", ":wrong@")).look(&context("x")).unwrap_err();
    assert!(error.class() == Class::Refused && error.chain().contains(&plain.to_string()), "{error:?}");
}
