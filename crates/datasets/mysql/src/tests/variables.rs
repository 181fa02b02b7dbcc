//! No setting of a server changes what is read or written.

use lab::{Mysql, MysqlKind};
use mysql::Row;
use mysql::prelude::Queryable;
use plan::ports::{DataSet, Discard, Road};

use super::kit::{SERVERS, all_of, assert_same, context, keep, root, run, server, stage, store};
use crate::session::is_in_the_list_of_variables;

#[test]
fn every_session_variable_of_every_server_is_in_the_list() {
    for kind in SERVERS {
        let server = server(kind, &[]);
        let mut conn = root(&server, None);
        let sql = if kind.is_mariadb() {
            "SELECT VARIABLE_NAME FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_SCOPE LIKE 'SESSION%'"
        } else {
            "SELECT VARIABLE_NAME FROM performance_schema.variables_metadata WHERE VARIABLE_SCOPE LIKE 'SESSION%'"
        };
        let names: Vec<String> = conn.query(sql).unwrap();
        assert!(names.len() > 100, "{names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !is_in_the_list_of_variables(name)).collect();
        assert!(unknown.is_empty(), "{kind:?}: does one of these change what is read or written? {unknown:?}");
    }
}

/// What an operator, a cloud or an old habit may have set.
const COMMON: [&str; 17] = [
    "sql_select_limit=100",
    "max_join_size=10",
    "sql_safe_updates=1",
    "sql_notes=0",
    "autocommit=0",
    "completion_type=2",
    "time_zone='+05:30'",
    "sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,PIPES_AS_CONCAT,IGNORE_SPACE'",
    "group_concat_max_len=4",
    "div_precision_increment=0",
    "net_read_timeout=1",
    "net_write_timeout=1",
    "max_error_count=0",
    "foreign_key_checks=0",
    "unique_checks=0",
    "innodb_lock_wait_timeout=1",
    "sql_auto_is_null=1",
];
const MYSQL: [&str; 10] = [
    "transaction_isolation='READ-UNCOMMITTED'",
    "max_execution_time=1",
    "sql_require_primary_key=1",
    "sql_generate_invisible_primary_key=1",
    "show_gipk_in_create_table_and_information_schema=0",
    "explicit_defaults_for_timestamp=0",
    "default_collation_for_utf8mb4=utf8mb4_general_ci",
    "show_create_table_verbosity=1",
    "transaction_read_only=1",
    "innodb_strict_mode=1",
];
const MARIADB: [&str; 9] = [
    "tx_isolation='READ-UNCOMMITTED'",
    "max_statement_time=0.05",
    "idle_transaction_timeout=1",
    "idle_readonly_transaction_timeout=1",
    "idle_write_transaction_timeout=1",
    "explicit_defaults_for_timestamp=0",
    "innodb_compression_default=1",
    "old_mode=''",
    "tx_read_only=1",
];

fn fill(server: &Mysql) {
    let mut conn = root(server, None);
    let engine = if server.kind().is_mariadb() { "" } else { ", utc TIMESTAMP NOT NULL" };
    run(
        &mut conn,
        &format!(
            "SET SESSION autocommit = 1, sql_mode = '', time_zone = '+00:00', completion_type = 0;;\n\
             CREATE DATABASE `system` CHARACTER SET utf8mb4;;\nUSE `system`;;\n\
             CREATE TABLE many (id INT PRIMARY KEY, name CHAR(9) COLLATE utf8mb4_unicode_ci, ts TIMESTAMP NULL, zero DATE{engine});;\n\
             CREATE TABLE bare (a VARCHAR(9) CHARACTER SET utf8mb3, b TIMESTAMP NULL)"
        ),
    );
    let stamp = if server.kind().is_mariadb() { "" } else { ", '2024-03-31 02:30:00'" };
    let rows: Vec<String> = (0..900).map(|id| format!("({id}, 'n{id} ', '2024-06-30 23:30:00', '0000-00-00'{stamp})")).collect();
    run(&mut conn, &format!("INSERT INTO many VALUES {};;\nINSERT INTO bare VALUES ('a ', NULL), ('a ', NULL)", rows.join(",")));
}

#[test]
fn no_setting_of_the_server_changes_what_is_kept_or_restored() {
    for kind in SERVERS {
        let server = server(kind, &["--local-infile=1"]);
        fill(&server);
        let (plain, _) = keep(&store(&server, "system"), &context("1"));
        let before = all_of(&server, "system");
        let mut conn = root(&server, None);
        let own: &[&str] = if kind == MysqlKind::Mysql { &MYSQL } else { &MARIADB };
        for setting in COMMON.iter().chain(own) {
            conn.query_drop(format!("SET GLOBAL {setting}")).unwrap_or_else(|error| panic!("{kind:?} {setting}: {error}"));
        }
        let store = store(&server, "system");
        let (held, kept) = keep(&store, &context("2"));
        assert_eq!(kept.evidence.collections["many"].count, 900);
        assert!(plain.rows().eq(held.rows()), "{kind:?}: the same rows");
        let place = stage(&store, &context("2"), &held, &kept, Road::SideCopy);
        store.cut_over(&context("2"), &place).unwrap();
        for setting in COMMON.iter().chain(own) {
            let name = setting.split_once('=').unwrap().0;
            conn.query_drop(format!("SET GLOBAL {name} = DEFAULT")).unwrap_or_else(|error| panic!("{kind:?} {name}: {error}"));
        }
        assert_same(&before, &all_of(&server, "system"), "under the server's own settings again");
        store.discard(&context("2"), &place, Discard::Previous).unwrap();
    }
}

/// A limit that cuts a stream short is found by the server's own count, whatever sets it.
#[test]
fn what_was_read_is_counted_by_another_road() {
    for kind in SERVERS {
        let server = server(kind, &[]);
        fill(&server);
        let (_, kept) = keep(&store(&server, "system"), &context("1"));
        let counts: Vec<Row> = root(&server, Some("system")).query("SELECT COUNT(*) FROM many").unwrap();
        assert_eq!(counts[0].get::<u64, _>(0), Some(kept.evidence.collections["many"].count));
        assert_eq!(kept.evidence.facts.get("counted-by").map(String::as_str), Some("the rows that passed, and COUNT(*) in the same view"));
    }
}
