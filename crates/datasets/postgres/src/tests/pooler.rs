//! A connection pooler in the address: refused at the first question, and nothing of ours stays on the application's connections.

use lab::PgBouncer;

use super::*;

/// An application that found its way by its role's own `search_path`: 8 connections, each in a transaction at once.
fn application(url: &str) -> Vec<String> {
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut config: postgres::Config = url.parse().unwrap();
            config.application_name("rails");
            config.connect(postgres::NoTls).unwrap()
        })
        .collect();
    let barrier = std::sync::Barrier::new(clients.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let barrier = &barrier;
                scope.spawn(move || {
                    client.batch_execute("BEGIN").unwrap();
                    // All hold a connection of the pool now.
                    client.batch_execute("SELECT 1").unwrap();
                    barrier.wait();
                    let all = "SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' AND name NOT IN ('application_name') \
                               UNION ALL SELECT name FROM tenants ORDER BY 1";
                    let answers = client.simple_query(all).unwrap();
                    client.batch_execute("COMMIT").unwrap();
                    answers.iter().filter_map(|answer| match answer {
                        postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                        _ => None,
                    }).collect::<Vec<_>>().join(" ")
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn pool(mode: &str, lines: &str) {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    psql(
        &server,
        "zync",
        "CREATE SCHEMA own; CREATE TABLE own.tenants (name text); INSERT INTO own.tenants VALUES ('a'); ALTER DATABASE zync SET search_path = own",
    );
    let pool = PgBouncer::start(&server, mode, lines).unwrap();
    let url = pool.url("zync");
    let before = application_or_none(mode, &url);
    let store = store_at(&url);
    let (context, _) = context("01jd0000000000000001");
    let set = take(&store_at(&server.url("zync")));
    // Each several times: what would stay must have met every connection.
    for _ in 0..8 {
        for error in [
            store.look(&context).map(drop).unwrap_err(),
            store.identity(&context).map(drop).unwrap_err(),
            store.fits(&context, &set.1, Road::SideCopy).map(drop).unwrap_err(),
            store.dump(&context).map(drop).unwrap_err(),
            store.leftovers(&context).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
            assert!(error.chain().contains("pooler") && error.hints().iter().any(|hint| hint.contains("server itself")), "{error:?}");
        }
        assert!(store.lock(&context).unwrap().is_none());
    }
    assert_eq!(application_or_none(mode, &url), before);
}

/// In statement mode there are no transactions of several statements.
fn application_or_none(mode: &str, url: &str) -> Vec<String> {
    if mode != "statement" {
        return application(url);
    }
    let mut client = url.parse::<postgres::Config>().unwrap().connect(postgres::NoTls).unwrap();
    let answer = client.simple_query("SELECT name FROM tenants").unwrap();
    vec![answer.len().to_string()]
}

#[test]
fn a_pool_of_transactions_is_refused_and_stays_as_it_was() {
    pool("transaction", "");
    pool("transaction", "ignore_startup_parameters = extra_float_digits,options");
}

#[test]
fn pools_of_statements_and_of_sessions_are_refused_too() {
    pool("statement", "ignore_startup_parameters = options");
    pool("session", "");
    pool("session", "ignore_startup_parameters = options");
}
