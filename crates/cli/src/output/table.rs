//! A plain table: columns as wide as their widest cell, numbers to the right.

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

    /// Lines without a trailing line feed.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column: usize| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0);
        let is_number = |column: usize| {
            let mut cells = self.rows.iter().skip(1).map(|row| cell(row, column)).filter(|text| !text.is_empty()).peekable();
            // `4/5 without …` is a text.
            cells.peek().is_some() && cells.all(|text| text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains('/'))
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
}
