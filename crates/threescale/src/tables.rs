//! Tables of the system database, and how their rows belong to tenants.

use std::sync::LazyLock;

use crate::rows::rows;

pub(crate) const DATA: &str = include_str!("../data/tenant-tables.tsv");

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Whether its rows get their ids from a counter, which must not rewind.
    pub counts_ids: bool,
    /// Whether rows have the column `tenant_id`.
    pub has_tenant_id: bool,
}

/// All tables that are known, by name.
pub static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let table = |row: crate::rows::Row| Table {
        name: row.get("table"),
        counts_ids: row.get("auto_increment").starts_with("yes"),
        has_tenant_id: row.get("tenant_id").starts_with("yes"),
    };
    let mut tables: Vec<_> = rows(DATA).map(table).collect();
    tables.sort_by_key(|table| table.name);
    tables
});

/// The table of a name.
#[must_use]
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.binary_search_by_key(&name, |table| table.name).ok().and_then(|at| TABLES.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_with_what_is_known_of_them() {
        let known = |name| table(name).map(|table| (table.counts_ids, table.has_tenant_id));
        assert_eq!(known("invoices"), Some((true, true)));
        assert_eq!(known("backend_events").map(|(_, tenant)| tenant), Some(false));
        assert_eq!(known("no_such_table"), None);
        let without = TABLES.iter().filter(|table| !table.has_tenant_id).count();
        assert_eq!(without, 7, "seven tables have no tenant_id");
    }
}
