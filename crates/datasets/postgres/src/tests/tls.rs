use super::*;

fn tls_server(folder: &Path) -> (lab::Postgres, lab::Tls) {
    let tls = lab::Tls::make(folder).unwrap();
    let (certificate, key) = tls.server();
    let options = ["ssl=on".to_owned(), format!("ssl_cert_file={}", certificate.display()), format!("ssl_key_file={}", key.display())];
    let mut list = vec!["-c", "listen_addresses=127.0.0.1,127.0.0.2"];
    options.iter().for_each(|option| list.extend(["-c", option]));
    let server = lab::Postgres::start(&list).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(&server, "zync", "CREATE TABLE t (v text); INSERT INTO t VALUES ('x')");
    (server, tls)
}

#[test]
fn verify_full_goes_the_whole_way_and_a_foreign_ca_is_refused() {
    let (folder, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, tls) = tls_server(folder.path());
    let (context, _) = context("01jd0000000000000001");
    for (mode, host) in [("verify-full", "127.0.0.1"), ("verify-full", "localhost"), ("verify-ca", "127.0.0.1"), ("require", "127.0.0.1")] {
        let url = server.url("zync").replace("127.0.0.1", host);
        let store = store_at(&format!("{url}?sslmode={mode}&sslrootcert={}", tls.ca().display()));
        let set = take(&store);
        let place = staged(&store, &context, &set, Road::SideCopy);
        store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    }
    let other = lab::Tls::make(foreign.path()).unwrap();
    for mode in ["verify-full", "verify-ca"] {
        let store = store_at(&format!("{}?sslmode={mode}&sslrootcert={}", server.url("zync"), other.ca().display()));
        let error = store.look(&context).unwrap_err();
        assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
    }
    // The public web's CAs did not sign it.
    assert!(store_at(&format!("{}?sslmode=verify-full", server.url("zync"))).look(&context).is_err());
    // Without verification, and as libpq does by default.
    for query in ["?sslmode=require", "?sslmode=prefer", "", "?sslmode=disable"] {
        let url = format!("{}{query}", server.url("zync"));
        take(&store_at(&url));
        let mut session = crate::session::Session::open(&Address::parse(&url).unwrap()).unwrap();
        let encrypted: bool = session.row("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "ask").unwrap().get(0);
        assert_eq!(encrypted, query != "?sslmode=disable", "{query}");
    }
}

#[test]
fn a_name_that_the_certificate_does_not_have_fails_verify_full_only() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tls) = tls_server(folder.path());
    let (context, _) = context("01jd0000000000000001");
    let url = server.url("zync").replace("127.0.0.1", "127.0.0.2");
    let ca = tls.ca();
    let full = store_at(&format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display())).look(&context).unwrap_err();
    assert_eq!(full.class(), plan::Class::Refused, "{full:?}");
    store_at(&format!("{url}?sslmode=verify-ca&sslrootcert={}", ca.display())).look(&context).unwrap();
}

#[test]
fn the_socket_is_a_way_in() {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(&server, "zync", "CREATE TABLE t (v text); INSERT INTO t VALUES ('x')");
    let url = server.socket_url("zync");
    let store = store_at(&url);
    let (context, _) = context("01jd0000000000000001");
    let set = take(&store);
    let place = staged(&store, &context, &set, Road::SideCopy);
    store.cut_over(&context, &place).unwrap();
    assert_eq!(psql(&server, "zync", "SELECT v FROM t"), "x");
}
