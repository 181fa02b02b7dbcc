//! The network between here and the server: TLS in every mode, proxies that stop forwarding, connections that are cut.

use std::time::Duration;

use lab::{CASES, Mysql, MysqlKind, Proxy, Shown, Trouble};
use line::Limits;
use mysql::prelude::Queryable;
use plan::Class;
use plan::ports::{Context, DataSet, Dump, Road, StopFlag};
use tls::{Tls, TlsMode};

use super::kit::*;
use crate::session::{Session, Talk};
use crate::{Address, MysqlStore, Options};

const QUIET: Duration = Duration::from_secs(2);

fn mode(name: &str) -> TlsMode {
    match name {
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        _ => TlsMode::VerifyFull,
    }
}

fn is_encrypted(url: &str) -> bool {
    let mut session = Session::open(&Address::parse(url).unwrap(), Talk::Text, None, None).unwrap();
    !session.rows("ask", "SHOW STATUS LIKE 'Ssl_cipher'").unwrap().first().unwrap().text(1).unwrap().is_empty()
}

fn in_every_mode(kind: MysqlKind) {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    for shown in Shown::ALL {
        let mut options = files.showing(shown).mysql_options();
        options.push("--require-secure-transport=ON".into());
        let server = server(kind, &options.iter().map(String::as_str).collect::<Vec<_>>());
        let address = Address::parse(&server.url("mysql")).unwrap();
        for case in CASES {
            let tls = Tls { ca_file: case.has_ca.then(|| files.ca()), ..Tls::of_mode(mode(case.mode)) };
            let opened = Session::open(&address.clone().with_tls(tls).unwrap(), Talk::Text, None, None);
            if case.takes.contains(&shown) {
                let mut session = opened.unwrap_or_else(|error| panic!("{case:?} {shown:?}: {error:?}"));
                let cipher = session.rows("ask", "SHOW STATUS LIKE 'Ssl_cipher'").unwrap();
                assert!(!cipher.first().unwrap().text(1).unwrap().is_empty(), "{case:?} {shown:?}: not encrypted");
            } else {
                let error = opened.err().unwrap_or_else(|| panic!("{case:?} took {shown:?}"));
                assert_eq!(error.class(), Class::Refused, "{case:?} {shown:?}: {error:?}");
                assert!(!error.hints().is_empty(), "{error:?}");
            }
        }
        let error = Session::open(&address, Talk::Text, None, None).err().unwrap();
        let told = format!("{error:?}");
        assert!(error.class() == Class::Refused && told.contains("tls = {"), "{told}");
        assert!(told.contains("wants TLS") || kind == MysqlKind::Mariadb && told.contains("require_secure_transport"), "{told}");
        assert!(!told.contains("MySqlError {"), "the library's words: {told}");
        let preferred = format!("{}?ssl_mode=preferred", server.url("mysql"));
        assert!(is_encrypted(&preferred), "{shown:?}");
    }
}

#[test]
fn mysql_is_verified_as_far_as_the_mode_says() {
    in_every_mode(MysqlKind::Mysql);
}

#[test]
fn mariadb_is_verified_as_far_as_the_mode_says() {
    in_every_mode(MysqlKind::Mariadb);
}

#[test]
fn a_client_certificate_and_every_way_to_log_in_work_through_tls() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    for kind in KINDS {
        let server = server(kind, &files.mysql_options().iter().map(String::as_str).collect::<Vec<_>>());
        let native = if kind == MysqlKind::Mysql {
            "CREATE USER n IDENTIFIED BY 'pw'"
        } else {
            "CREATE USER n IDENTIFIED VIA mysql_native_password USING PASSWORD('pw')"
        };
        let mut conn = root(&server, None);
        for statement in [native, "CREATE USER c IDENTIFIED BY 'pw' REQUIRE X509", "CREATE USER nopass REQUIRE SSL"] {
            conn.query_drop(statement).unwrap();
        }
        let open = |user: &str, tls: Tls| {
            let url = format!("mysql2://{user}@127.0.0.1:{}/information_schema", server.port());
            Session::open(&Address::parse(&url).unwrap().with_tls(tls).unwrap(), Talk::Text, None, None)
        };
        let verified = Tls { ca_file: Some(files.ca()), ..Tls::of_mode(TlsMode::VerifyFull) };
        let (certificate, key) = files.client();
        let own = Tls { client_certificate_file: Some(certificate), client_key_file: Some(key), ..verified.clone() };
        open("n:pw", verified.clone()).unwrap();
        open("nopass", verified.clone()).unwrap();
        open("c:pw", own).unwrap();
        for login in ["c:pw", "n:wrong", "nobody:pw"] {
            let error = open(login, verified.clone()).err().unwrap();
            assert_eq!(error.class(), Class::Refused, "{login}: {error:?}");
            let told = error.hints().iter().any(|hint| hint.contains("client-certificate-file"));
            assert!(told || login.starts_with("nobody"), "{login}: {error:?}");
        }
        // The server says the same as of a wrong password.
        for login in ["c:pw", "nopass", "n:wrong"] {
            let error = open(login, Tls::default()).err().unwrap();
            assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains("REQUIRE SSL")), "{login}: {error:?}");
        }
        // Whoever must do something about it is not told to try again.
        for (user, statement, word) in [
            ("locked", "CREATE USER locked IDENTIFIED BY 'pw' ACCOUNT LOCK", "ACCOUNT UNLOCK"),
            ("elsewhere", "CREATE USER elsewhere@'192.0.2.1' IDENTIFIED BY 'pw'", " name"),
        ] {
            conn.query_drop(statement).unwrap();
            let error = open(&format!("{user}:pw"), verified.clone()).err().unwrap();
            assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains(word)), "{user}: {error:?}");
        }
    }
}

#[test]
fn a_server_without_tls_is_refused_in_every_mode_that_wants_it() {
    let server = server(MysqlKind::Mariadb, &["--skip-ssl"]);
    let address = Address::parse(&server.url("mysql")).unwrap();
    for mode in [TlsMode::Require, TlsMode::VerifyCa, TlsMode::VerifyFull] {
        let error = Session::open(&address.clone().with_tls(Tls::of_mode(mode)).unwrap(), Talk::Text, None, None).err().unwrap();
        assert!(error.class() == Class::Refused && error.chain().contains("offers no TLS"), "{error:?}");
    }
    assert!(!is_encrypted(&format!("{}?ssl_mode=preferred", server.url("mysql"))));
}

struct Scene {
    server: Mysql,
    proxy: Proxy,
    stop: StopFlag,
}

fn scene(kind: MysqlKind) -> Scene {
    let server = server(kind, &["--local-infile=1"]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE live;;\nCREATE TABLE live.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))");
    conn.query_drop("INSERT INTO live.t (v) VALUES (REPEAT('x', 900))").unwrap();
    for _ in 0..13 {
        conn.query_drop("INSERT INTO live.t (v) SELECT CONCAT(REPEAT('y', 890), RAND()) FROM live.t").unwrap();
    }
    let proxy = Proxy::before(server.port()).unwrap();
    Scene { server, proxy, stop: StopFlag::default() }
}

impl Scene {
    fn store(&self, quiet: Duration) -> MysqlStore {
        let url = self.server.url("live").replace(&format!(":{}/", self.server.port()), &format!(":{}/", self.proxy.port()));
        let address = Address::parse(&url).unwrap().with_limits(Limits::new(quiet, self.stop.clone()));
        MysqlStore::new(plan::ids::DataSetName::SystemDatabase, address, Options { lock_wait_seconds: 2, ..Options::default() })
    }

    fn context(&self, run: &str) -> Context {
        Context { stop: self.stop.clone(), ..context(run) }
    }
}

fn dump(store: &MysqlStore, context: &Context) -> plan::Result<()> {
    let mut dump: Box<dyn Dump> = store.dump(context)?;
    while dump.next_part()?.is_some() {}
    dump.finish().map(drop)
}

#[test]
fn a_backup_ends_wherever_the_network_stops_or_breaks() {
    let scene = scene(MysqlKind::Mysql);
    let (store, context) = (scene.store(QUIET), scene.context("1"));
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    dump(&store, &context).unwrap();
    let all = scene.proxy.passed();
    assert!(all > 5_000_000, "{all}");
    for trouble in [Trouble::Freeze, Trouble::Cut] {
        for part in [10, 30_000, all / 3, all * 2 / 3, all - 200] {
            scene.proxy.trouble_after(part, trouble);
            let error = dump(&store, &context).unwrap_err();
            assert_eq!(error.class(), Class::Transient, "{trouble:?} after {part} of {all}: {error:?}");
        }
    }
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    dump(&store, &context).unwrap();
}

#[test]
fn a_restore_ends_wherever_the_network_stops_or_breaks_and_can_go_on() {
    let scene = scene(MysqlKind::Mariadb);
    let (store, context) = (scene.store(QUIET), scene.context("2"));
    let (held, kept) = keep(&store, &context);
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    store.stage(&context, &place, held.clone(), &kept).unwrap();
    let all = scene.proxy.passed();
    for trouble in [Trouble::Freeze, Trouble::Cut] {
        // Not at the very end: how much passes besides the rows depends on who waited for whom.
        for part in [5_000, all / 2, all / 10 * 9] {
            scene.proxy.trouble_after(part, trouble);
            let error = store.stage(&context, &place, held.clone(), &kept).unwrap_err();
            assert_eq!(error.class(), Class::Transient, "{trouble:?} after {part} of {all}: {error:?}");
        }
    }
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    store.stage(&context, &place, held, &kept).unwrap();
    store.prove(&context, &place, &kept).unwrap();
    scene.proxy.trouble_after(1_000_000, Trouble::Freeze);
    assert_eq!(store.prove(&context, &place, &kept).unwrap_err().class(), Class::Transient);
}

#[test]
fn a_signal_ends_a_backup_on_a_network_that_has_stopped() {
    let scene = scene(MysqlKind::Mysql);
    let (store, context) = (scene.store(Duration::from_secs(3600)), scene.context("3"));
    scene.proxy.trouble_after(2_000_000, Trouble::Freeze);
    let stop = scene.stop.clone();
    let error = std::thread::scope(|scope| {
        let dumping = scope.spawn(|| dump(&store, &context));
        while scene.proxy.passed() < 2_000_000 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        stop.raise();
        dumping.join().unwrap().unwrap_err()
    });
    assert_eq!(error.class(), Class::Interrupted, "{error:?}");
}

#[test]
fn a_long_statement_is_waited_for_and_a_signal_ends_it_on_the_server_too() {
    for kind in KINDS {
        let scene = scene(kind);
        let store = scene.store(QUIET);
        let mut session = store.session(Talk::Text, None).unwrap();
        session.rows("sleep", "SELECT SLEEP(8)").unwrap();
        scene.stop.raise();
        let error = session.rows("sleep", "SELECT SLEEP(1000)").err();
        // MySQL says that a sleep was ended by its value, or by the end of the connection.
        if let Some(error) = error {
            assert_eq!(error.class(), Class::Transient, "{error:?}");
        }
        let mut conn = root(&scene.server, None);
        let sleeping = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'";
        assert_eq!(conn.query_first::<u32, _>(sleeping).unwrap(), Some(0));
    }
}
