//! The network between here and the server: TLS in every mode, proxies that stop forwarding, connections that are cut.

use lab::{CASES, Proxy, Shown, Trouble};
use line::Limits;
use plan::Class;

use super::*;
use crate::session::Session;

const QUIET: Duration = Duration::from_secs(2);

/// Whether libpq takes the server.
fn psql_takes(url: &str) -> bool {
    let mut command = Command::new(lab::find_program("psql").unwrap());
    command.args(["-X", "-d", url, "-c", "SELECT 1"]).env("HOME", "/nowhere").output().unwrap().status.success()
}

#[test]
fn a_server_is_verified_as_far_as_the_mode_says() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    for shown in Shown::ALL {
        let options = files.showing(shown).postgres_options();
        let server = lab::Postgres::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        for case in CASES {
            let ca = if case.has_ca { format!("&sslrootcert={}", files.ca().display()) } else { String::new() };
            let url = format!("{}?sslmode={}{ca}", server.url("postgres"), case.mode);
            assert_eq!(psql_takes(&url), case.takes.contains(&shown), "psql: {case:?} {shown:?}");
            let opened = Session::open(&Address::parse(&url).unwrap());
            if case.takes.contains(&shown) {
                let mut session = opened.unwrap_or_else(|error| panic!("{case:?} {shown:?}: {error:?}"));
                let encrypted: bool = session.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "ask").unwrap().get(0);
                assert!(encrypted, "{case:?} {shown:?}");
            } else {
                let error = opened.err().unwrap_or_else(|| panic!("{case:?} took {shown:?}"));
                assert_eq!(error.class(), Class::Refused, "{case:?} {shown:?}: {error:?}");
            }
        }
    }
}

#[test]
fn a_certificate_that_is_its_own_ca_is_taken_as_psql_takes_it() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = lab::Tls::make(folder.path()).unwrap().showing(Shown::SelfSigned);
    let foreign = lab::Tls::make(other.path()).unwrap().showing(Shown::SelfSigned);
    let options = files.postgres_options();
    let server = lab::Postgres::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for (file, takes) in [(files.server().0, true), (foreign.server().0, false)] {
        for mode in ["require", "verify-ca", "verify-full"] {
            let url = format!("{}?sslmode={mode}&sslrootcert={}", server.url("postgres"), file.display());
            assert_eq!(psql_takes(&url), takes, "{mode}");
            assert_eq!(Session::open(&Address::parse(&url).unwrap()).is_ok(), takes, "{mode}");
        }
    }
}

#[test]
fn an_old_certificate_is_verified_by_the_old_tls_too() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap().showing(Shown::Version1);
    let mut options = files.postgres_options();
    options.extend(["-c".to_owned(), "ssl_max_protocol_version=TLSv1.2".to_owned()]);
    let server = lab::Postgres::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.url("postgres"), files.ca().display());
    let mut session = Session::open(&Address::parse(&url).unwrap()).unwrap();
    let version: String = session.row("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "ask").unwrap().get(0);
    assert_eq!(version, "TLSv1.2");
}

#[test]
fn modes_that_verify_nothing_find_the_way_that_the_server_wants() {
    let folder = tempfile::tempdir().unwrap();
    let options = lab::Tls::make(folder.path()).unwrap().postgres_options();
    let server = lab::Postgres::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for (rule, encrypted) in [("hostnossl", false), ("hostssl", true)] {
        let rules = format!("local all all scram-sha-256\n{rule} all all 127.0.0.1/32 scram-sha-256\n");
        std::fs::write(server.folder().join("data/pg_hba.conf"), rules).unwrap();
        psql(&server, "postgres", "SELECT pg_reload_conf()");
        until("the rules are read", || psql(&server, "postgres", "SELECT min(type) FROM pg_hba_file_rules WHERE type <> 'local'") == rule);
        for mode in ["", "?sslmode=allow", "?sslmode=prefer"] {
            let url = format!("{}{mode}", server.url("postgres"));
            until("a new session is under the new rules", || psql_takes(&url));
            let mut session = Session::open(&Address::parse(&url).unwrap()).unwrap();
            let is: bool = session.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "ask").unwrap().get(0);
            assert_eq!(is, encrypted, "{rule} {mode}");
            take(&store_at(&url));
        }
    }
}

#[test]
fn a_role_that_gets_in_by_a_certificate_only_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = lab::Tls::make(folder.path()).unwrap();
    let options = files.postgres_options();
    let server = lab::Postgres::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let rules = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 cert\n";
    std::fs::write(server.folder().join("data/pg_hba.conf"), rules).unwrap();
    psql(&server, "postgres", "SELECT pg_reload_conf()");
    until("the rules are read", || psql(&server, "postgres", "SELECT min(type) FROM pg_hba_file_rules WHERE type <> 'local'") == "hostssl");
    let (certificate, key) = files.client();
    // Of the lab's client, not of the role.
    let other = format!("&sslcert={}&sslkey={}", certificate.display(), key.display());
    for (query, word) in [
        ("?sslmode=require", "client-certificate-file"),
        ("", "client-certificate-file"),
        ("?sslmode=disable", "sslmode=require"),
        (&format!("?sslmode=require{other}"), "common name"),
    ] {
        let address = Address::parse(&format!("{}{query}", server.url("postgres"))).unwrap();
        let told = || Session::open(&address).err().filter(|error| error.hints().iter().any(|hint| hint.contains(word)));
        until(&format!("{query}: {word}"), || told().is_some_and(|error| error.class() == Class::Refused));
    }
}

#[test]
fn a_server_without_tls_is_refused_in_every_mode_that_wants_it() {
    let server = lab::Postgres::start(&[]).unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("{}?sslmode={mode}", server.url("postgres"));
        let error = Session::open(&Address::parse(&url).unwrap()).err().unwrap();
        assert_eq!(error.class(), Class::Refused, "{mode}: {error:?}");
    }
}

struct Scene {
    server: lab::Postgres,
    proxy: Proxy,
    context: Context,
}

fn scene() -> Scene {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(
        &server,
        "zync",
        "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT repeat(md5(i::text), 20) FROM generate_series(1, 20000) i",
    );
    let proxy = Proxy::before(server.port()).unwrap();
    let (context, _) = context("01jd0000000000000001");
    Scene { server, proxy, context }
}

impl Scene {
    fn store(&self, quiet: Duration) -> PostgresStore {
        let url = self.server.url("zync").replace(&format!(":{}/", self.server.port()), &format!(":{}/", self.proxy.port()));
        let address = Address::parse(&url).unwrap().with_limits(Limits::new(quiet, self.context.stop.clone()));
        PostgresStore::new(DataSetName::ZyncDatabase, address, Options { cut_over_wait: Duration::from_secs(10), ..Options::default() })
    }

    fn dump(&self, store: &PostgresStore) -> plan::Result<(Memory, Verdict)> {
        pull(store.dump(&self.context)?)
    }
}

#[test]
fn a_backup_ends_wherever_the_network_stops_or_breaks() {
    let scene = scene();
    let store = scene.store(QUIET);
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    scene.dump(&store).unwrap();
    let all = scene.proxy.passed();
    assert!(all > 5_000_000, "{all}");
    for trouble in [Trouble::Freeze, Trouble::Cut] {
        // How often the dump's guard looks differs from time to time: the last bytes of one dump are not those of the next.
        for part in [10, 9_000, all / 3, all * 2 / 3, all - all / 20] {
            scene.proxy.trouble_after(part, trouble);
            let error = scene.dump(&store).err().unwrap();
            assert_eq!(error.class(), Class::Transient, "{trouble:?} after {part} of {all}: {error:?}");
        }
    }
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    scene.dump(&store).unwrap();
}

#[test]
fn a_restore_ends_wherever_the_network_stops_or_breaks_and_can_go_on() {
    let scene = scene();
    let store = scene.store(QUIET);
    let set = take(&store);
    let place = store.reserve(&scene.context, &set.1, Road::SideCopy).unwrap();
    let stage = || store.stage(&scene.context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1);
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    stage().unwrap();
    let all = scene.proxy.passed();
    for trouble in [Trouble::Freeze, Trouble::Cut] {
        for part in [3_000, all / 2, all - 300] {
            scene.proxy.trouble_after(part, trouble);
            let error = stage().unwrap_err();
            assert_eq!(error.class(), Class::Transient, "{trouble:?} after {part} of {all}: {error:?}");
        }
    }
    scene.proxy.trouble_after(u64::MAX, Trouble::Freeze);
    stage().unwrap();
    store.prove(&scene.context, &place, &set.1).unwrap();
    scene.proxy.trouble_after(3_000, Trouble::Freeze);
    assert_eq!(store.prove(&scene.context, &place, &set.1).unwrap_err().class(), Class::Transient);
}

#[test]
fn a_signal_ends_a_backup_on_a_network_that_has_stopped() {
    let scene = scene();
    let store = scene.store(Duration::from_secs(3600));
    scene.proxy.trouble_after(2_000_000, Trouble::Freeze);
    let error = std::thread::scope(|scope| {
        let dumping = scope.spawn(|| scene.dump(&store).err().unwrap());
        while scene.proxy.passed() < 2_000_000 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        scene.context.stop.raise();
        dumping.join().unwrap()
    });
    assert_eq!(error.class(), Class::Interrupted, "{error:?}");
}

#[test]
fn a_long_statement_is_waited_for() {
    let scene = scene();
    let url = scene.server.url("zync").replace(&format!(":{}/", scene.server.port()), &format!(":{}/", scene.proxy.port()));
    let address = Address::parse(&url).unwrap().with_limits(Limits::new(QUIET, plan::ports::StopFlag::default()));
    let mut session = Session::open(&address).unwrap();
    session.run("SELECT pg_sleep(8)", "sleep").unwrap();
}
