//! MySQL and MariaDB: `CHECKSUM TABLE`, counts, definitions of everything.

use plan::{Error, Result};

use super::{Fingerprint, cells, digest, keyed};
use crate::Mysql;

pub(super) fn fingerprint(server: &Mysql, database: &str) -> Result<Fingerprint> {
    // Without --raw, newlines inside a cell are written as \n: a row is a line.
    let ask = |sql: &str| {
        let mut client = server.client();
        client.args(["--default-character-set=utf8mb4", "-N", "-B", "-e", sql, database]);
        cells(client, '\t')
    };
    let ask = &ask;
    let mut found = Fingerprint::new();
    let in_schema = format!("WHERE TABLE_SCHEMA = '{database}'");
    let tables: Vec<String> =
        ask(&format!("SELECT TABLE_NAME FROM information_schema.TABLES {in_schema} AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1"))?.concat();
    let parts = std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2).map(|half| tables.iter().skip(half).step_by(2).collect::<Vec<_>>()).collect();
        let threads: Vec<_> = halves.into_iter().map(|half| scope.spawn(move || of_tables(&half, ask))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Error::failed("a thread panicked")))).collect::<Vec<_>>()
    });
    for part in parts {
        found.extend(part?);
    }
    let objects = [
        (
            "schema",
            format!(
                "SELECT 'default', DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'"
            ),
        ),
        (
            "view",
            format!("SELECT TABLE_NAME, SHA2(VIEW_DEFINITION, 256), DEFINER, SECURITY_TYPE FROM information_schema.VIEWS {in_schema}"),
        ),
        (
            "trigger",
            format!(
                "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER, SHA2(ACTION_STATEMENT, 256), DEFINER, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '{database}'"
            ),
        ),
        (
            "routine",
            format!(
                "SELECT ROUTINE_NAME, ROUTINE_TYPE, SHA2(ROUTINE_DEFINITION, 256), DEFINER, SECURITY_TYPE, SQL_MODE, SQL_DATA_ACCESS, IS_DETERMINISTIC, ROUTINE_COMMENT, CHARACTER_SET_CLIENT, COLLATION_CONNECTION FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '{database}'"
            ),
        ),
        (
            "parameter",
            format!(
                "SELECT CONCAT(SPECIFIC_NAME, '.', ORDINAL_POSITION), PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = '{database}'"
            ),
        ),
        (
            "event",
            format!(
                "SELECT EVENT_NAME, STATUS, SHA2(EVENT_DEFINITION, 256), DEFINER, SQL_MODE, INTERVAL_VALUE, INTERVAL_FIELD, ON_COMPLETION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{database}'"
            ),
        ),
    ];
    for (kind, sql) in objects {
        found.extend(keyed(kind, ask(&sql)?));
    }
    Ok(found)
}

/// Rows, definition and next id of some tables, by one run of the client: three lines for each table.
fn of_tables(tables: &[&String], ask: impl Fn(&str) -> Result<Vec<Vec<String>>>) -> Result<Fingerprint> {
    let questions = tables
        .iter()
        .map(|table| format!("SELECT COUNT(*) FROM `{table}`; CHECKSUM TABLE `{table}` EXTENDED; SHOW CREATE TABLE `{table}`;"));
    let answers = ask(&questions.collect::<String>())?;
    let mut found = Fingerprint::new();
    for (table, lines) in tables.iter().zip(answers.chunks(3)) {
        let cell = |row: usize, column: usize| lines.get(row).and_then(|row| row.get(column)).map_or("", String::as_str);
        if cell(2, 0) != table.as_str() {
            return Err(Error::failed(format!("no definition of table {table} where it was expected")));
        }
        found.insert(format!("rows/{table}"), format!("{} rows, checksum {}", cell(0, 0), cell(1, 1)));
        let (definition, next_id) = canonical(cell(2, 1));
        found.insert(format!("definition/{table}"), digest(&definition));
        found.insert(format!("next-id/{table}"), next_id);
    }
    Ok(found)
}

/// The order of keys and constraints means nothing, and the next id is told apart.
fn canonical(definition: &str) -> (String, String) {
    let (mut next_id, mut columns, mut keys) = (String::new(), Vec::new(), Vec::new());
    for line in definition.split("\\n") {
        let line = line.trim_end_matches(',');
        let is_key = ["  PRIMARY KEY", "  UNIQUE KEY", "  KEY", "  CONSTRAINT", "  FULLTEXT", "  SPATIAL"]
            .iter()
            .any(|start| line.starts_with(start));
        if is_key {
            keys.push(line.to_owned());
            continue;
        }
        let words = line.split(' ').filter(|word| match word.strip_prefix("AUTO_INCREMENT=") {
            Some(number) if line.starts_with(')') => {
                number.clone_into(&mut next_id);
                false
            }
            _ => true,
        });
        columns.push(without_repeated_charset(&words.collect::<Vec<_>>()));
    }
    keys.sort();
    (format!("{}\n{}", columns.join("\n"), keys.join("\n")), next_id)
}

/// MySQL tells a column's character set beside its collation when the column was made so, which every dump does; the
/// collation says it already.
fn without_repeated_charset(words: &[&str]) -> String {
    let at = words.windows(4).position(|four| matches!(four, ["CHARACTER", "SET", _, "COLLATE"]));
    let is_kept = |index: usize| at.is_none_or(|at| !(at..at + 3).contains(&index));
    words.iter().enumerate().filter(|&(index, _)| is_kept(index)).map(|(_, &word)| word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn the_order_of_keys_and_the_next_id_do_not_count_as_definition() {
        let one = canonical(
            "CREATE TABLE `t` (\\n  `a` int,\\n  KEY `x` (`a`),\\n  KEY `y` (`a`)\\n) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=latin1",
        );
        let other =
            canonical("CREATE TABLE `t` (\\n  `a` int,\\n  KEY `y` (`a`),\\n  KEY `x` (`a`)\\n) ENGINE=InnoDB DEFAULT CHARSET=latin1");
        assert_eq!(one.0, other.0);
        assert_eq!((one.1.as_str(), other.1.as_str()), ("7", ""));
        let without = canonical("CREATE TABLE `t` (\\n  `a` int,\\n  KEY `y` (`a`)\\n) ENGINE=InnoDB DEFAULT CHARSET=latin1");
        assert_ne!(one.0, without.0);
    }
}
