//! Paths of tables, and whose rows they find.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use super::*;
use crate::tables::TABLES;

/// The columns of porta's tables, which the program does not need.
fn columns() -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = include_str!("../../tests/porta-columns.tsv").lines().skip(1);
    let of = |line: &'static str| {
        let mut parts = line.split('\t');
        let table = parts.next().unwrap();
        (table, parts.next().unwrap().split(' ').map(|column| column.split_once(':').unwrap().0).collect())
    };
    lines.map(of).collect()
}

#[test]
fn every_table_has_a_path_of_columns_that_there_are() {
    let columns = columns();
    assert_eq!(columns.len(), TABLES.len());
    for table in TABLES.iter() {
        let path = of_table(table.name).unwrap_or_else(|| panic!("{} has no path", table.name));
        let has = |column: &str| assert!(columns[table.name].contains(&column), "{}.{column}", table.name);
        assert_eq!(path.tenant.is_empty(), path.extract == Extract::Nobody, "{}", table.name);
        for rule in path.tenant.iter().chain(&path.product) {
            match rule {
                Rule::Is { column } => has(column),
                Rule::Refers { column, table: other, only_if } => {
                    has(column);
                    only_if.iter().for_each(|(column, _)| has(column));
                    assert!(columns[other].contains(&"id"), "{other}");
                }
            }
        }
        assert_eq!(table.has_tenant_id, columns[table.name].contains(&"tenant_id"), "{}", table.name);
    }
}

/// A text that is no rule would be dropped in silence.
#[test]
fn every_alternative_of_the_data_file_is_a_rule() {
    for row in crate::rows::rows(path::DATA) {
        let path = of_table(row.get("table")).unwrap();
        for (column, rules) in [("tenant", &path.tenant), ("product", &path.product)] {
            let written = Some(row.get(column)).filter(|text| !text.is_empty()).map_or(0, |text| text.split(" | ").count());
            assert_eq!(rules.len(), written, "{}: {column}", path.table);
        }
        assert!(["always", "asked", "nobody"].contains(&row.get("extract")), "{}", path.table);
    }
}

#[test]
fn every_table_is_read_once_and_after_those_that_its_rows_refer_to() {
    for (mut belongings, is_product) in [(Belongings::of_tenant(2, None, &[]), false), (Belongings::of_product(2, &[]), true)] {
        let mut read: Vec<&str> = Vec::new();
        let rounds = belongings.rounds();
        assert!((3..6).contains(&rounds), "{rounds}");
        for round in 0..rounds {
            let now: Vec<_> = PATHS.iter().filter(|path| belongings.wants(round, path.table, &["id"])).collect();
            for path in &now {
                for rule in if is_product { &path.product } else { &path.tenant } {
                    if let Rule::Refers { table, .. } = rule {
                        assert!(read.contains(table), "{} before {table}", path.table);
                    }
                }
            }
            read.extend(now.iter().map(|path| path.table));
        }
        let names: std::collections::BTreeSet<_> = read.iter().collect();
        assert_eq!(names.len(), read.len());
        assert!(read.len() > 20, "{read:?}");
    }
}

#[test]
fn columns_that_an_older_release_does_not_have_decide_nothing() {
    let mut belongings = Belongings::of_tenant(2, Some(1), &[]);
    assert!(belongings.wants(0, "accounts", &["id", "provider_account_id"]));
    assert!(belongings.has("accounts", &[Some(b"2"), Some(b"1")]));
    assert!(belongings.wants(1, "services", &["id", "account_id", "tenant_id"]));
    assert!(belongings.has("services", &[Some(b"7"), Some(b"2"), None]));
    assert!(!belongings.has("services", &[Some(b"8"), Some(b"3"), None]));
    // Before there were backends, metrics had no owner.
    assert!(belongings.wants(2, "metrics", &["id", "service_id", "tenant_id"]));
    assert!(belongings.has("metrics", &[Some(b"1"), Some(b"7"), None]));
    assert!(!belongings.has("metrics", &[Some(b"2"), Some(b"8"), Some(b"1")]));
    assert!(!belongings.has("metrics", &[Some(b"3"), Some(b"not a number"), None]));
}
