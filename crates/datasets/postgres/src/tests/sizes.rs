//! Whatever the sizes: no queue between the server and the repository stands still, forth, back, or when somebody goes away in the middle.

use super::*;

/// Longer than any of this takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(240);

/// Does it in a thread of its own; a panic when it does not end.
fn watched<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || drop(sender.send(work())));
    match receiver.recv_timeout(LIMIT) {
        Ok(done) => done,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{what} stands still"),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
    }
}

/// Values beside the size of a part, in one table and in many.
fn server() -> lab::Postgres {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync");
    let part = 8 << 20;
    let sizes: Vec<String> = [0, 1, part / 2, part - 1, part, part + 1, 2 * part, 3 * part + 3].iter().map(ToString::to_string).collect();
    let data = format!(
        "CREATE TABLE texts (id serial PRIMARY KEY, v text); INSERT INTO texts (v) SELECT repeat('x', size) FROM unnest(ARRAY[{sizes}]) size; \
         CREATE TABLE bytes (id serial PRIMARY KEY, v bytea); INSERT INTO bytes (v) SELECT convert_to(repeat('y', size / 2), 'UTF8') FROM unnest(ARRAY[{sizes}]) size; \
         CREATE TABLE many AS SELECT n, md5(n::text) FROM generate_series(1, 50000) n",
        sizes = sizes.join(", ")
    );
    psql(&server, "zync", &data);
    for n in 0..60 {
        psql(&server, "zync", &format!("CREATE TABLE t{n} AS SELECT {n} AS n"));
    }
    server
}

#[test]
fn nothing_stands_still_whatever_the_sizes_of_values_and_however_many_work() {
    let server = Arc::new(server());
    for workers in [1, 4] {
        let server = Arc::clone(&server);
        watched(&format!("a backup and a staging by {workers}"), move || {
            let store = store_at(&server.url("zync"));
            let context = Context { workers, ..context(&format!("01jd000000000000000{workers}")).0 };
            let (memory, verdict) = pull(store.dump(&context).unwrap()).unwrap();
            let kept = kept(&memory, verdict);
            let set = (Arc::new(memory), kept);
            let place = store.reserve(&context, &set.1, Road::SideCopy).unwrap();
            store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1).unwrap();
            prove(&store, &context, &place, &set.1);
            store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
        });
    }
}

#[test]
fn nothing_stands_still_when_the_repository_or_the_operator_goes_away_in_the_middle() {
    let server = Arc::new(server());
    let store = Arc::new(store_at(&server.url("zync")));
    for parts in [0, 1, 3] {
        let store = Arc::clone(&store);
        watched(&format!("a dump that is dropped after {parts} parts"), move || {
            let mut dump = store.dump(&context("01jdbackup0000000000").0).unwrap();
            (0..parts).for_each(|_| drop(dump.next_part().unwrap()));
        });
    }
    let set = take(&store);
    for delay in [0, 50, 400] {
        let (store, set) = (Arc::clone(&store), (Arc::clone(&set.0), set.1.clone()));
        watched(&format!("a staging that is stopped after {delay} ms"), move || {
            let (context, _) = context("01jd0000000000000001");
            let place = store.reserve(&context, &set.1, Road::SideCopy).unwrap();
            let stop = context.stop.clone();
            let stopping = std::thread::spawn(move || {
                // However far it has come by then.
                std::thread::sleep(Duration::from_millis(delay));
                stop.raise();
            });
            let staged = store.stage(&context, &place, Arc::clone(&set.0) as Arc<dyn Snapshot>, &set.1);
            stopping.join().unwrap();
            if let Err(error) = staged {
                assert_eq!(error.class(), plan::Class::Interrupted, "{error:?}");
            }
            let context = Context { stop: plan::ports::StopFlag::default(), ..context };
            store.discard(&context, &place, plan::ports::Discard::Staged).unwrap();
        });
    }
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'threescale-backup%'";
    until("our sessions are gone", || psql(&server, "postgres", left) == "0");
    assert_eq!(databases(&server), ["zync"]);
}
