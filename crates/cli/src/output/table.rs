//! A plain table: columns as wide as their widest cell, numbers to the right. Where it is wider than the terminal, a few lines for each row.

use std::io::{self, IsTerminal};

use plan::words::in_one_line;

/// Rows of text.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl Into<Vec<String>>) {
        let cells: Vec<String> = cells.into();
        self.rows.push(cells.iter().map(|cell| in_one_line(cell).into_owned()).collect());
    }

    /// Lines without a trailing line feed, for the terminal that standard output is. A file gets the whole table.
    pub(crate) fn render(&self) -> String {
        self.render_in(columns())
    }

    fn render_in(&self, columns: Option<usize>) -> String {
        let table = self.table();
        let is_wider = |columns: usize| table.lines().any(|line| line.chars().count() > columns);
        match columns.filter(|columns| is_wider(*columns)) {
            Some(columns) => self.records(columns),
            None => table,
        }
    }

    fn table(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column: usize| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let is_number = |column: usize| {
            let mut cells = self.rows.iter().skip(1).map(|row| cell(row, column)).filter(|text| !text.is_empty()).peekable();
            // `12.3 MB` is a number; an id and `4/5 without …` are texts.
            let begins_with_one =
                |text: &str| text.split(' ').next().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit() || ".,%".contains(c)));
            cells.peek().is_some() && cells.all(|text| begins_with_one(&text))
        };
        let layout: Vec<_> = (0..columns).map(|column| (width(column), is_number(column))).collect();
        let line = |row: &Vec<String>| {
            let cells = layout.iter().enumerate().map(|(column, (width, right))| {
                let text = cell(row, column);
                let fill = " ".repeat(width.saturating_sub(text.chars().count()));
                if *right { format!("{fill}{text}") } else { format!("{text}{fill}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The first cell of each row on a line of its own, the others below it with their heads.
    fn records(&self, columns: usize) -> String {
        const PART: &str = " · ";
        let Some((head, rows)) = self.rows.split_first() else { return String::new() };
        let mut lines = Vec::new();
        for row in rows {
            let mut cells = head.iter().zip(row);
            lines.extend(cells.next().map(|(_, first)| first.clone()));
            let mut line = String::new();
            for (head, cell) in cells.filter(|(_, cell)| !cell.is_empty()) {
                let piece = format!("{}: {cell}", head.to_lowercase());
                let is_full = 2 + line.chars().count() + PART.chars().count() + piece.chars().count() > columns;
                if is_full && !line.is_empty() {
                    lines.push(format!("  {}", std::mem::take(&mut line)));
                }
                if !line.is_empty() {
                    line.push_str(PART);
                }
                line.push_str(&piece);
            }
            lines.extend((!line.is_empty()).then(|| format!("  {line}")));
        }
        lines.join("\n")
    }
}

/// How wide the terminal is; `None` of a file or pipe, unless `COLUMNS` says it.
fn columns() -> Option<usize> {
    let named = || std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
    if io::stdout().is_terminal() { terminal_columns() } else { named() }
}

/// How wide the terminal is that standard output is.
pub(super) fn terminal_columns() -> Option<usize> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::Table;

    fn table() -> Table {
        let mut table = Table::new(&["SET", "TAKEN", "SIZE", "DATA SETS"]);
        table.row(["01m8jpatr6cc9ft2cq18szk2ze", "2026-11-30 12:00:05", "12.3 MB", "5/5"].map(str::to_owned));
        table.row(["01m8jpatr6cc9ft2cq18szk2zf", "2026-11-30 12:00:06", "", "4/5 without zync-database"].map(str::to_owned));
        table
    }

    #[test]
    fn a_table_that_is_wider_than_the_terminal_becomes_lines_that_fit() {
        for columns in [60, 80] {
            let text = table().render_in(Some(columns));
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            assert!(
                text.contains("taken: 2026-11-30 12:00:05 · size: 12.3 MB") && text.contains("data sets: 4/5 without zync-database"),
                "{text}"
            );
            assert!(!text.contains("size:  ") && text.lines().next() == Some("01m8jpatr6cc9ft2cq18szk2ze"), "{text}");
        }
        let whole = table().render_in(None);
        assert!(whole.starts_with("SET  ") && whole.lines().count() == 3 && whole == table().render_in(Some(120)), "{whole}");
    }
}
