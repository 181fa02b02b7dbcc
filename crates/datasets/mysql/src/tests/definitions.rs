//! Definitions full of what looks like something else, cut apart and put together again: the server, which reads them with its own parser, is the judge. The seed is
//! in the message of a failure; give it in `THREESCALE_BACKUP_SEED` to see that again.

use std::collections::BTreeSet;

use lab::MysqlKind;
use mysql::prelude::Queryable;
use mysql::{Conn, Row};

use super::generated::{Dice, FIRST_SEED, given_seed};
use super::kit::{SERVERS, root, run, server, store};
use crate::load::Definitions;
use crate::quote;
use crate::schema::literals::{self, Writing};
use crate::schema::{definition, read};
use crate::server::Server;
use crate::session::Talk;

const TABLES: u64 = 40;
const MUTATIONS: u64 = 4000;

/// Pieces of names, texts and comments.
const PIECES: [&str; 24] = [
    "'",
    "\"",
    "`",
    "\\",
    "(",
    ")",
    ",",
    "\n",
    " ",
    "é",
    "日本",
    "KEY `x` (`a`)",
    " REFERENCES `b` (",
    "/*",
    "*/",
    "-- ",
    "#",
    "CHECK (",
    ") ENGINE=",
    "`system`.`s`",
    "nextval(`system`.",
    ";",
    "/*!50100 ",
    "a",
];

fn text(dice: &mut Dice) -> String {
    (0..=dice.below(5)).map(|_| dice.one(&PIECES)).collect()
}

/// A name: not with a space at its end, and not twice.
fn name(dice: &mut Dice, number: u64) -> String {
    format!("{}{number}", text(dice).chars().take(20).collect::<String>())
}

/// A text as a literal, in the mode of the session.
fn literal(text: &str, plain_backslash: bool) -> String {
    let text = if plain_backslash { text.to_owned() } else { text.replace('\\', "\\\\") };
    format!("'{}'", text.replace('\'', "''"))
}

/// MySQL keeps an expression that was written under NO_BACKSLASH_ESCAPES in a form that it does not read again.
fn in_expression(text: String, plain_backslash: bool) -> String {
    if plain_backslash { text.replace(['\\', '\''], "") } else { text }
}

fn statement(dice: &mut Dice, number: u64, plain: bool, parent: Option<&(String, String)>) -> (String, (String, String)) {
    let (table, id) = (name(dice, number), name(dice, 100));
    let quoted = quote::name(&id);
    let mut items = vec![format!("{quoted} INT NOT NULL COMMENT {}", literal(&text(dice), plain))];
    let columns: Vec<String> = (0..1 + dice.below(4)).map(|at| name(dice, at)).collect();
    for column in &columns {
        let default = text(dice);
        let kind = match dice.below(4) {
            0 => format!("ENUM({}, {}) DEFAULT {0}", literal(&default, plain), literal(&format!("{default}2"), plain)),
            1 => {
                format!("VARCHAR(90) GENERATED ALWAYS AS (CONCAT({quoted}, {})) STORED", literal(&in_expression(default, plain), plain))
            }
            _ => format!("VARCHAR(90) NOT NULL DEFAULT {}", literal(&default, plain)),
        };
        items.push(format!("{} {kind} COMMENT {}", quote::name(column), literal(&text(dice), plain)));
        if dice.hit(2) {
            let unique = if dice.hit(3) { "UNIQUE " } else { "" };
            items.push(format!(
                "{unique}KEY {} ({}, {quoted}) COMMENT {}",
                quote::name(&format!("k{}", name(dice, 7))),
                quote::name(column),
                literal(&text(dice), plain)
            ));
        }
    }
    items.push(format!("PRIMARY KEY ({quoted})"));
    if dice.hit(2) {
        let than = literal(&in_expression(text(dice), plain), plain);
        items.push(format!("CONSTRAINT {} CHECK ({quoted} <> {than})", quote::name(&name(dice, number + 1000))));
    }
    if let Some((other, key)) = parent.filter(|_| dice.hit(2)) {
        items.push(format!(
            "CONSTRAINT {} FOREIGN KEY ({quoted}) REFERENCES {} ({})",
            quote::name(&name(dice, number + 2000)),
            quote::name(other),
            quote::name(key)
        ));
    }
    let sql =
        format!("CREATE TABLE {} ({}) ENGINE = InnoDB COMMENT {}", quote::name(&table), items.join(", "), literal(&text(dice), plain));
    (sql, (table, id))
}

/// Lines of what the server shows, in any order, without the comma after each.
fn shown(conn: &mut Conn, schema: &str, table: &str) -> BTreeSet<String> {
    let row: Row = conn.query_first(format!("SHOW CREATE TABLE {}", quote::qualified(schema, table))).unwrap().unwrap();
    row.get::<String, _>(1).unwrap().replace("`copy`.", "`system`.").lines().map(|line| line.trim_end_matches(',').to_owned()).collect()
}

#[test]
fn odd_definitions_are_cut_as_the_server_reads_them() {
    std::thread::scope(|scope| SERVERS.map(|kind| scope.spawn(move || cut_and_made_again(kind)).join().unwrap()));
}

fn cut_and_made_again(kind: MysqlKind) {
    let seed = given_seed().unwrap_or(FIRST_SEED);
    let mut dice = Dice(seed | 1);
    let server = server(kind, &[]);
    let mut conn = root(&server, None);
    run(&mut conn, "CREATE DATABASE `system`;;\nCREATE DATABASE copy;;\nUSE `system`");
    let mut parents: Vec<(String, String)> = Vec::new();
    for number in 0..TABLES {
        let mode = dice.one(&["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"]);
        conn.query_drop(format!("SET SESSION sql_mode = '{mode}'")).unwrap();
        let (sql, table) = statement(&mut dice, number, mode.contains("BACKSLASH"), parents.last());
        // Not everything is one that the server takes: those are left out.
        if conn.query_drop(&sql).is_ok() {
            parents.push(table);
        }
    }
    assert!(parents.len() as u64 > TABLES / 3, "seed {seed}, {kind:?}: {} tables", parents.len());
    conn.query_drop("SET SESSION sql_mode = ''").unwrap();
    let store = store(&server, "system");
    let mut session = store.session(Talk::Text, Some("system")).unwrap();
    let of = Server::ask(&mut session).unwrap();
    let schema = read::schema(&mut session, &of, "system").unwrap();
    session.allow_what_was_allowed().unwrap();
    session.enter("copy").unwrap();
    for table in &schema.tables {
        let definitions = Definitions::of(table).unwrap_or_else(|error| panic!("seed {seed}, {kind:?}: {error:?}\n{}", table.create));
        let name = quote::name(&table.name);
        let keys = definitions.add_keys(&name).into_iter().chain(definitions.add_foreign_keys(&name));
        for sql in std::iter::once(definitions.create.clone()).chain(keys) {
            session
                .run("make it again", &sql)
                .unwrap_or_else(|error| panic!("seed {seed}, {kind:?}: {error:?}\n{}\nwas cut to\n{sql}", table.create));
        }
    }
    for table in &schema.tables {
        assert_eq!(shown(&mut conn, "system", &table.name), shown(&mut conn, "copy", &table.name), "seed {seed}, {kind:?}");
    }
    let creates: Vec<String> = schema.tables.iter().map(|table| table.create.clone()).collect();
    broken_ones_end_in_an_error(&mut dice, &creates);
}

/// Whatever is cut out of a definition or put into it: an error, or its parts; never the end of the program.
fn broken_ones_end_in_an_error(dice: &mut Dice, creates: &[String]) {
    for _ in 0..MUTATIONS {
        let mut characters: Vec<char> = creates[usize::try_from(dice.below(creates.len() as u64)).unwrap()].chars().collect();
        for _ in 0..=dice.below(3) {
            let at = usize::try_from(dice.below(characters.len() as u64 + 1)).unwrap();
            let until = (at + usize::try_from(dice.below(6)).unwrap()).min(characters.len());
            characters.splice(at..until, dice.one(&PIECES).chars().take(usize::try_from(dice.below(4)).unwrap()));
        }
        let text: String = characters.into_iter().collect();
        if let Ok(cut) = definition::cut(&text, |_| dice.0.is_multiple_of(2)) {
            for item in cut.keys.iter().chain(&cut.foreign_keys).chain(&cut.checks) {
                assert!(text.contains(item), "{item} is no part of {text}");
                drop(definition::key_name(item));
            }
        }
        assert!(definition::without_qualifier(&text, "`system`.").len() <= text.len());
        drop(definition::moment_of(&text, "a"));
        for writing in [Writing::default(), Writing::of("ANSI_QUOTES"), Writing::of("NO_BACKSLASH_ESCAPES")] {
            assert_eq!(literals::text(text.as_bytes(), text.as_bytes(), writing).is_empty(), text.is_empty());
        }
    }
}
