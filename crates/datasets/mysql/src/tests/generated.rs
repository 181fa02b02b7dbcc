//! Random schemas and rows: dumped, staged, swapped in, undone; what the server's own dump client and checksums say is the same. The seed is in the name of the thread that fails; give it
//! in `THREESCALE_BACKUP_SEED` to see a failure again, or another one to look for new ones: without it the seeds are always the same, so that a change is judged by itself.

use std::process::Command;

use lab::{Mysql, MysqlKind};
use mysql::Conn;
use mysql::prelude::Queryable;
use plan::ports::{DataSet, Discard, Road};

use super::kit::{Heard, SERVERS, context, keep, root, run, server, stage, store_with, without_implied_charset};
use crate::Options;

/// Schemas for each server.
const ROUNDS: u64 = 6;

/// xorshift64*: the tests of a seed are the same everywhere.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    pub(super) fn hit(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// A column's type, and expressions for its values.
const TYPES: [(&str, &[&str]); 26] = [
    ("TINYINT", &["-128", "0", "127"]),
    ("BIGINT UNSIGNED", &["0", "18446744073709551615", "42"]),
    ("INT ZEROFILL", &["7", "0"]),
    ("DECIMAL(30,10)", &["-12345678901234567890.0123456789", "0", "1.5"]),
    ("FLOAT", &["1e-38", "3.4e38", "-0.1", "16777217"]),
    ("DOUBLE", &["0.1", "-1e308", "2.2250738585072014e-308"]),
    ("BIT(17)", &["b'10101010101010101'", "0", "b'11111111111111111'"]),
    ("CHAR(9)", &["'a'", "''", "' é '", "'ẞ'"]),
    ("CHAR(9) CHARACTER SET latin1", &["'é'", "'a '"]),
    ("VARCHAR(40) COLLATE utf8mb4_bin", &["'tab\\tline\\nback\\\\slash'", "'\\\\N'", "'😀'", "''"]),
    ("VARCHAR(40) CHARACTER SET utf8mb3", &["'é'", "'x'"]),
    ("TEXT", &["REPEAT('long ', 300)", "'short'", "''"]),
    ("MEDIUMTEXT CHARACTER SET ucs2", &["'é'", "'plain'"]),
    ("BINARY(6)", &["X'000102'", "X'FFFEFDFCFBFA'"]),
    ("VARBINARY(30)", &["X'00095C0A0D1A'", "''"]),
    ("BLOB", &["REPEAT(X'005C09', 100)", "X'FF'"]),
    ("DATE", &["'2024-02-29'", "'0000-00-00'", "'2024-00-31'"]),
    ("TIME(3)", &["'-838:59:59.000'", "'00:00:00.001'"]),
    ("DATETIME(6)", &["'9999-12-31 23:59:59.999999'", "'0000-00-00 00:00:00'"]),
    ("TIMESTAMP(2) NULL", &["'2024-03-31 01:30:00.25'", "'2038-01-19 03:14:07'"]),
    ("YEAR", &["2155", "0"]),
    ("ENUM('','a','é,''b')", &["1", "2", "3"]),
    ("SET('','x','y','z')", &["0", "1", "5", "15"]),
    ("SET('a','b')", &["0", "3"]),
    ("JSON", &["'{\"a\": [1, 2.5, null], \"é\": \"\\\\u0001\"}'", "'null'", "'[]'"]),
    ("POINT", &["ST_GeomFromText('POINT(1 -2.5)')"]),
];

/// Types that may be in an ordinary key, with what stands in the key.
fn in_a_key(name: &str, kind: &str) -> Option<String> {
    if kind.contains("JSON") || kind.contains("POINT") {
        None
    } else if kind.contains("TEXT") || kind.contains("BLOB") {
        Some(format!("`{name}`(7)"))
    } else {
        Some(format!("`{name}`"))
    }
}

struct Made {
    name: String,
    columns: Vec<(String, usize)>,
}

fn table(dice: &mut Dice, number: usize, mariadb: bool, before: &[Made]) -> (String, Made) {
    let name = format!("{}{number}", dice.one(&["t", "select ", "Ünder_", "a`b", "x.y"]));
    let columns: Vec<(String, usize)> = (0..=dice.below(6))
        .map(|at| {
            let kind = usize::try_from(dice.below(TYPES.len() as u64)).unwrap();
            (format!("{}{at}", dice.one(&["c", "key ", "ö"])), kind)
        })
        .collect();
    let mut items = Vec::new();
    let key = dice.below(4);
    items.push(match key {
        0 => "`id` INT NOT NULL AUTO_INCREMENT".to_owned(),
        1 => "`id` BIGINT NOT NULL".to_owned(),
        2 => "`id` VARCHAR(20) NOT NULL".to_owned(),
        _ => "`id` INT".to_owned(),
    });
    for (column, kind) in &columns {
        let extra = if dice.hit(6) { " COMMENT 'it''s (a, b) \\\\'" } else { "" };
        let invisible = if dice.hit(8) { " INVISIBLE" } else { "" };
        items.push(format!("`{column}` {}{invisible}{extra}", TYPES[*kind].0));
    }
    if dice.hit(2) {
        let how = dice.one(&["VIRTUAL", "STORED"]);
        items.push(format!("`gen` VARCHAR(40) GENERATED ALWAYS AS (CONCAT(`id`, '-x''')) {how}"));
        if dice.hit(2) {
            items.push("KEY `on gen` (`gen`)".into());
        }
    }
    match key {
        3 => {}
        2 if dice.hit(2) => items.push("UNIQUE KEY `only` (`id`)".into()),
        _ => items.push("PRIMARY KEY (`id`)".into()),
    }
    for (at, (column, kind)) in columns.iter().enumerate() {
        if let Some(part) = in_a_key(column, TYPES[*kind].0).filter(|_| dice.hit(3)) {
            let descending = if dice.hit(4) && !part.ends_with(')') { " DESC" } else { "" };
            items.push(format!("KEY `k{at}` ({part}{descending}, `id`)"));
        }
        if TYPES[*kind].0 == "TEXT" && dice.hit(2) {
            items.push(format!("FULLTEXT KEY `f{at}` (`{column}`)"));
        }
    }
    if dice.hit(3) {
        items.push(format!("CONSTRAINT `check {number}` CHECK (CHAR_LENGTH(`id`) < 50)"));
    }
    let partitioned = key == 1 && dice.hit(2) && !items.iter().any(|item| item.starts_with("FULLTEXT"));
    if let Some(parent) = before.iter().find(|made| made.name.starts_with('t')).filter(|_| key < 2 && !partitioned && dice.hit(2)) {
        items.push(format!(
            "`parent` INT, CONSTRAINT `fk {number}` FOREIGN KEY (`parent`) REFERENCES `{}` (`id`) ON DELETE SET NULL",
            parent.name
        ));
    }
    let options = if partitioned {
        " PARTITION BY HASH (`id`) PARTITIONS 3"
    } else {
        dice.one(&["", " ROW_FORMAT=COMPRESSED", " COMMENT='a;b'", " ROW_FORMAT=DYNAMIC CHARSET=latin1", " AUTO_INCREMENT=77"])
    };
    let options = if options.contains("AUTO") && key != 0 { "" } else { options };
    let engine = if mariadb && dice.hit(8) && !items.iter().any(|item| item.contains("FOREIGN") || item.contains("INVISIBLE")) {
        " ENGINE=MyISAM"
    } else {
        " ENGINE=InnoDB"
    };
    let engine = if options.contains("COMPRESSED") { " ENGINE=InnoDB" } else { engine };
    let sql = format!("CREATE TABLE `{}` ({}){engine}{options}", name.replace('`', "``"), items.join(", "));
    (sql, Made { name, columns })
}

fn rows(dice: &mut Dice, conn: &mut Conn, made: &Made) {
    for id in 0..dice.below(30) {
        let values: Vec<String> = made
            .columns
            .iter()
            .map(|(_, kind)| if dice.hit(5) { "NULL".to_owned() } else { dice.one(TYPES[*kind].1).to_owned() })
            .collect();
        let names: Vec<String> = made.columns.iter().map(|(name, _)| format!(", `{name}`")).collect();
        let values: Vec<String> = values.iter().map(|value| format!(", {value}")).collect();
        let sql = format!("INSERT INTO `{}` (`id`{}) VALUES ({}{})", made.name.replace('`', "``"), names.concat(), id + 1, values.concat());
        conn.query_drop(&sql).unwrap_or_else(|error| panic!("{error}\n{sql}"));
    }
}

fn objects(dice: &mut Dice, conn: &mut Conn, made: &[Made]) {
    for (at, table) in made.iter().enumerate() {
        let name = table.name.replace('`', "``");
        if dice.hit(2) {
            run(conn, &format!("CREATE VIEW `view {at}` AS SELECT `id`, 'é\\\\' AS `x y` FROM `{name}` WHERE `id` > '0'"));
        }
        if dice.hit(2) {
            // Not NO_BACKSLASH_ESCAPES: MySQL keeps the expression of a generated column with a backslash before its quote, and cannot read it itself in that mode.
            let mode = dice.one(&["ANSI_QUOTES", "", "PIPES_AS_CONCAT"]);
            run(
                conn,
                &format!(
                    "SET SESSION sql_mode = '{mode}';;\nCREATE TRIGGER `tr {at}` BEFORE INSERT ON `{name}` FOR EACH ROW SET @seen = 'ü'"
                ),
            );
            run(conn, "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'");
        }
    }
    if dice.hit(2) {
        run(conn, "CREATE PROCEDURE `p é`(IN a VARCHAR(9)) SELECT CONCAT(a, 'é')");
    }
}

/// What the server's own dump client says, line by line.
pub(super) fn oracle(server: &Mysql) -> Vec<String> {
    let mut conn = root(server, Some("system"));
    let mut command: Command = server.dump_client();
    if !server.kind().is_mariadb() {
        // The log goes on meanwhile.
        command.arg("--set-gtid-purged=OFF");
    }
    // What a run keeps until it is settled is no part of the database.
    let kept = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'system' AND TABLE_NAME LIKE '\\_\\_before%'";
    for view in conn.query::<String, _>(kept).unwrap() {
        command.arg(format!("--ignore-table=system.{view}"));
    }
    command.args([
        "--routines",
        "--triggers",
        "--hex-blob",
        "--skip-extended-insert",
        "--complete-insert",
        "--skip-comments",
        "--skip-dump-date",
    ]);
    let output = command.args(["--force", "system"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("CREATE TABLE"), "{}", String::from_utf8_lossy(&output.stderr));
    // A table without a key has no order.
    let mut lines: Vec<String> = text.lines().map(without_implied_charset).collect();
    // It rounds these.
    let floats =
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'system' AND DATA_TYPE IN ('float', 'double')";
    for (table, column) in conn.query::<(String, String), _>(floats).unwrap() {
        let values: Vec<Option<String>> =
            conn.query(format!("SELECT CAST(`{column}` * 1e0 AS CHAR) FROM `{}`", table.replace('`', "``"))).unwrap();
        lines.extend(values.iter().map(|value| format!("{table}.{column}: {value:?}")));
    }
    lines.extend(checksums(server, &mut conn));
    lines.sort();
    lines
}

/// The server's checksums of its rows, which its dump client has no part in. Not of tables with a VIRTUAL column on MariaDB: there the sum is of whatever stands in
/// the place of that column, which `ALTER TABLE … ADD KEY` changes without a change of any value. (Seed 10728032184 differed so: the same table without that column
/// has the same sum before and after, and the column reads the same.)
fn checksums(server: &Mysql, conn: &mut Conn) -> Vec<String> {
    let not = if server.kind().is_mariadb() { "EXTRA LIKE '%VIRTUAL%'" } else { "FALSE" };
    let sql = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'system' AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME NOT IN \
         (SELECT TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'system' AND {not})"
    );
    let tables: Vec<String> = conn.query(sql).unwrap();
    let sum = |table: &String| {
        let sql = format!("CHECKSUM TABLE `{}` EXTENDED", table.replace('`', "``"));
        let (name, sum): (String, Option<u64>) = conn.query_first(sql).unwrap().unwrap();
        format!("checksum {name}: {sum:?}")
    };
    tables.iter().map(sum).collect()
}

pub(super) fn assert_same(wanted: &[String], found: &[String], what: &str) {
    let only = |these: &[String], those: &[String]| -> Vec<String> { these.iter().filter(|line| !those.contains(line)).cloned().collect() };
    let (lost, new) = (only(wanted, found), only(found, wanted));
    assert!(lost.is_empty() && new.is_empty() && wanted.len() == found.len(), "{what}\nlost: {lost:#?}\nnew: {new:#?}");
}

fn one_life(server: &Mysql, seed: u64) {
    let mut dice = Dice(seed | 1);
    let mut conn = root(server, None);
    let charset = dice.one(&["utf8mb4", "latin1", "utf8mb3"]);
    run(
        &mut conn,
        &format!(
            "DROP DATABASE IF EXISTS `system`;;\nCREATE DATABASE `system` CHARACTER SET {charset};;\nUSE `system`;;\nSET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '{}'",
            dice.one(&["+00:00", "-07:00", "+05:45"])
        ),
    );
    let mut made = Vec::new();
    for number in 0..=dice.below(5) {
        let (sql, table) = table(&mut dice, usize::try_from(number).unwrap(), server.kind().is_mariadb(), &made);
        // Not every combination is one that the server takes: those are left out.
        if conn.query_drop(&sql).is_ok() {
            rows(&mut dice, &mut conn, &table);
            made.push(table);
        }
    }
    if made.is_empty() {
        return;
    }
    objects(&mut dice, &mut conn, &made);
    let before = oracle(server);
    let options = Options { chunk_bytes: 200 + dice.below(2000), insert_only: dice.hit(2), ..Options::default() };
    let heard = std::sync::Arc::new(Heard::default());
    let context = plan::ports::Context { watch: heard.clone(), ..context("1") };
    let store = store_with(server, "system", options);
    let (held, kept) = keep(&store, &context);
    run(&mut conn, "CREATE TABLE newer (id INT PRIMARY KEY);;\nINSERT INTO newer VALUES (1)");
    let changed = oracle(server);
    let place = stage(&store, &context, &held, &kept, Road::SideCopy);
    assert_same(&changed, &oracle(server), &format!("seed {seed}: staging touches nothing"));
    store.cut_over(&context, &place).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    assert_same(&before, &oracle(server), &format!("seed {seed}: after the cut-over; told: {:?}", heard.0.lock().unwrap()));
    store.undo(&context, &place).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    assert_same(&changed, &oracle(server), &format!("seed {seed}: after the undo"));
    store.discard(&context, &place, Discard::Staged).unwrap();
}

pub(super) const FIRST_SEED: u64 = 20_261_129;

/// The seed that was given, or always the same.
pub(super) fn given_seed() -> Option<u64> {
    std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|seed| seed.parse().ok())
}

#[test]
fn random_schemas_live_through_a_restore_and_its_undo() {
    let given = given_seed();
    let first = given.unwrap_or(FIRST_SEED);
    std::thread::scope(|scope| {
        for kind in SERVERS {
            scope.spawn(move || lives(kind, first, if given.is_some() { 1 } else { ROUNDS }));
        }
    });
}

fn lives(kind: MysqlKind, first: u64, rounds: u64) {
    let options: &[&str] = if kind == MysqlKind::Mysql { &["--local-infile=1", "--log-bin-trust-function-creators=1"] } else { &[] };
    let server = server(kind, options);
    for seed in first..first + rounds {
        // The thread's name is in whatever it says when it fails.
        let thread = std::thread::Builder::new().name(format!("{kind:?}, THREESCALE_BACKUP_SEED={seed}"));
        std::thread::scope(|scope| thread.spawn_scoped(scope, || one_life(&server, seed)).unwrap().join().unwrap());
    }
}
