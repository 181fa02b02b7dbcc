//! Live rows, read for who compares: as the set of the same moment has them, and nobody waits for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use plan::ports::{DataSet, RowReader};

use super::kit::*;
use crate::reading::read_rows;

/// Columns that there are, in another order than the table's, one of which there is not.
const COLUMNS: &[&str] = &["name", "id", "no_such", "flag"];

type Told = (String, Vec<Option<Vec<u8>>>);

#[derive(Default)]
struct Heard {
    tables: Vec<String>,
    next: Vec<(String, u64)>,
    rows: Vec<Told>,
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
        self.next.push((table.to_owned(), next));
        self.next.sort();
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

fn seed(server: &lab::Mysql) {
    run(
        &mut root(server, None),
        "CREATE DATABASE `system` DEFAULT CHARACTER SET utf8mb4;;\nUSE `system`;;\n\
         CREATE TABLE things (id BIGINT AUTO_INCREMENT PRIMARY KEY, flag TINYINT(1), name VARCHAR(200) CHARACTER SET latin1, more LONGTEXT) AUTO_INCREMENT = 5;;\n\
         CREATE TABLE nothing (id INT PRIMARY KEY);;\nCREATE TABLE others (id INT PRIMARY KEY);;\nINSERT INTO others VALUES (1);;\n\
         INSERT INTO things VALUES (1, 1, 'Größe\\ta\\\\b', NULL), (2, 0, '', REPEAT('x', 1000)), (3, NULL, NULL, 'x');;\n\
         INSERT INTO things (flag, name, more) SELECT 1, CONCAT('n', SEQ.n), REPEAT('y', 3000) FROM (WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900) SELECT n FROM s) SEQ",
    );
}

#[test]
fn live_rows_are_read_as_a_set_has_them_and_by_who_may_only_read() {
    for kind in KINDS {
        let server = server(kind, &[]);
        seed(&server);
        let store = store(&server, "system");
        let (set, _) = keep(&store, &context("1"));
        let (mut of_set, mut live) = (Heard::default(), Heard::default());
        read_rows(&*set, &context("1").stop, &mut of_set).unwrap();
        run(
            &mut root(&server, None),
            "CREATE USER reader@'%' IDENTIFIED BY 'pw';;\nGRANT SELECT, SHOW VIEW, TRIGGER ON `system`.* TO reader@'%'",
        );
        let reader = store_as(&server, "reader", "system", crate::Options::default());
        reader.live_rows().unwrap().read(&context("2"), &mut live).unwrap();
        of_set.rows.sort();
        live.rows.sort();
        assert_eq!((live.tables, live.next), (of_set.tables, of_set.next), "{kind:?}");
        assert!(live.rows == of_set.rows, "{kind:?} {:?} {:?}", &live.rows[..5], &of_set.rows[..5]);
        assert_eq!(live.rows.len(), 903);
        assert!(live.rows.contains(&(
            "things".to_owned(),
            vec![Some("Größe\ta\\b".chars().map(|sign| sign as u8).collect()), Some(b"1".to_vec()), None, Some(b"1".to_vec())]
        )));
    }
}

/// Somebody changes a table while its rows are read, and the application would queue behind him: the reading ends instead.
#[test]
fn nobody_waits_for_rows_that_are_read() {
    for kind in KINDS {
        let server = server(kind, &[]);
        seed(&server);
        let store = store(&server, "system");
        let ((begun, has_begun), (go_on, may_go_on)) = (channel(), channel());
        let reading = std::thread::spawn(move || {
            let mut heard = Heard { hold: Some((begun, may_go_on)), ..Heard::default() };
            store.live_rows().unwrap().read(&context("1"), &mut heard)
        });
        has_begun.recv_timeout(Duration::from_secs(60)).unwrap();
        run(&mut root(&server, Some("system")), "SET SESSION lock_wait_timeout = 50;;\nALTER TABLE things ADD COLUMN added INT");
        go_on.send(()).unwrap();
        let error = reading.join().unwrap().unwrap_err();
        assert!(error.class() == plan::Class::Transient && error.chain().contains("gave way"), "{kind:?} {error:?}");
    }
}
