//! The data files, as rows by the names of their columns.

/// A row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    head: &'static str,
    line: &'static str,
}

impl Row {
    /// The text of a column; empty for `-`, and where there is no such column (a test sees that there is).
    pub(crate) fn get(&self, column: &str) -> &'static str {
        let position = self.head.split('\t').position(|name| name == column);
        position.and_then(|position| self.line.split('\t').nth(position)).filter(|text| *text != "-").unwrap_or_default()
    }
}

/// The rows of a file.
pub(crate) fn rows(file: &'static str) -> impl Iterator<Item = Row> {
    let mut lines = file.lines();
    let head = lines.next().unwrap_or_default();
    lines.filter(|line| !line.is_empty()).map(move |line| Row { head, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_all_columns_and_a_source() {
        for (file, count) in [(crate::keys::DATA, 97), (crate::jobs::DATA, 81), (crate::tables::DATA, 89), (crate::tenant::DATA, 91)] {
            let columns = file.lines().next().map_or(0, |head| head.split('\t').count());
            assert!(file.lines().all(|line| line.split('\t').count() == columns));
            assert_eq!(rows(file).count(), count);
            assert!(rows(file).all(|row| row.get("source").contains('/')));
        }
    }
}
