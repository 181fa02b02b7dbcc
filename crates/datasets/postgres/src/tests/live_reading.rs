//! Live rows, read for who compares: as the set of the same moment has them, and nobody waits for it.

use std::sync::mpsc::{Receiver, Sender, channel};

use plan::ports::RowReader;

use super::*;
use crate::read_rows;

/// Columns that there are, in another order than the table's, one of which there is not.
const COLUMNS: &[&str] = &["name", "id", "no_such", "flag"];

#[derive(Default)]
struct Heard {
    tables: Vec<String>,
    next: Vec<(String, u64)>,
    rows: Vec<(String, Vec<Option<Vec<u8>>>)>,
    /// Told at the first row, which waits then for an answer.
    hold: Option<(Sender<()>, Receiver<()>)>,
}

impl RowReader for Heard {
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]> {
        ["things", "nothing"].contains(&table).then_some(COLUMNS)
    }

    fn table(&mut self, table: &str) {
        self.tables.push(table.to_owned());
        self.tables.sort();
    }

    fn next_id(&mut self, table: &str, next: u64) {
        if self.tables.iter().any(|name| name == table) {
            self.next.push((table.to_owned(), next));
        }
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> plan::Result<()> {
        if let Some((begun, go_on)) = self.hold.take() {
            begun.send(()).unwrap();
            go_on.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        self.rows.push((table.to_owned(), cells.iter().map(|cell| cell.map(<[u8]>::to_vec)).collect()));
        Ok(())
    }
}

fn server() -> lab::Postgres {
    let server = lab::Postgres::start(&[]).unwrap();
    psql(&server, "postgres", "CREATE DATABASE zync; CREATE ROLE reader LOGIN PASSWORD 'pw'");
    let data = "CREATE TABLE things (id bigserial PRIMARY KEY, flag boolean, name text, more text); CREATE TABLE nothing (id int); \
                INSERT INTO things (flag, name) VALUES (true, E'Größe\\ta\\\\b'), (false, ''), (NULL, NULL), (true, E'two\\nlines'); \
                INSERT INTO things (name, more) SELECT 'n' || n, repeat('y', 3000) FROM generate_series(1, 900) n; \
                CREATE SCHEMA old; CREATE TABLE old.things (id int, name text); INSERT INTO old.things VALUES (77, 'old'); \
                GRANT pg_read_all_data TO reader";
    psql(&server, "zync", data);
    server
}

#[test]
fn live_rows_are_read_as_a_set_has_them_and_by_who_may_only_read() {
    let server = server();
    let (set, _) = take(&store_at(&server.url("zync")));
    let (mut of_set, mut live) = (Heard::default(), Heard::default());
    read_rows(&*set, &context("01jdbackup0000000000").0.stop, &mut of_set).unwrap();
    let reader = store_at(&format!("postgresql://reader:pw@127.0.0.1:{}/zync", server.port()));
    reader.live_rows().unwrap().read(&context("01jdlook000000000000").0, &mut live).unwrap();
    of_set.rows.sort();
    live.rows.sort();
    // Of a set, a table of another schema is told, and none of its rows.
    of_set.tables.dedup();
    assert_eq!(live.tables, of_set.tables);
    assert!(live.rows == of_set.rows, "{:?} {:?}", &live.rows[..5], &of_set.rows[..5]);
    assert_eq!(live.rows.len(), 904);
    assert_eq!(live.next, [("things".to_owned(), 905)]);
    assert!(live.rows.iter().any(|(_, cells)| cells[0].as_deref() == Some("Größe\ta\\b".as_bytes())));
}

#[test]
fn nobody_waits_for_rows_that_are_read() {
    let server = server();
    let store = store_at(&server.url("zync"));
    let ((begun, has_begun), (go_on, may_go_on)) = (channel(), channel());
    let reading = std::thread::spawn(move || {
        let mut heard = Heard { hold: Some((begun, may_go_on)), ..Heard::default() };
        store.live_rows().unwrap().read(&context("01jdlook000000000000").0, &mut heard)
    });
    has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
    psql(&server, "zync", "SET lock_timeout = '50s'; ALTER TABLE things ADD COLUMN added text");
    go_on.send(()).unwrap();
    let error = reading.join().unwrap().unwrap_err();
    assert!(error.class() == plan::Class::Transient && error.to_string().contains("things"), "{error:?}");
}
