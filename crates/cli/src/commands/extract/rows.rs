//! Writes the rows that belong, each as a line of JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use plan::Result;
use plan::ports::RowReader;
use threescale::tenant::{Belongings, Named};

use super::archive::Archive;
use super::load::Load;

/// One round over the rows of a set.
pub(super) struct Rows<'a> {
    round: usize,
    belongings: &'a mut Belongings,
    archive: &'a mut Archive,
    named: &'a mut Named,
    /// Of each table that is extracted.
    columns: &'a mut BTreeMap<String, Vec<String>>,
    load: Option<&'a mut Load>,
}

impl<'a> Rows<'a> {
    pub(super) const fn new(
        round: usize,
        belongings: &'a mut Belongings,
        archive: &'a mut Archive,
        named: &'a mut Named,
        columns: &'a mut BTreeMap<String, Vec<String>>,
        load: Option<&'a mut Load>,
    ) -> Self {
        Self { round, belongings, archive, named, columns, load }
    }

    pub(super) fn end(self) -> Result<()> {
        self.archive.end_of_lines()
    }
}

impl RowReader for Rows<'_> {
    fn wants_all(&mut self, table: &str, columns: &[&str]) -> bool {
        let wants = self.belongings.wants(self.round, table, columns);
        if wants {
            self.columns.insert(table.to_owned(), columns.iter().map(|name| (*name).to_owned()).collect());
        }
        wants
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let Some(columns) = self.columns.get(table) else { return Ok(()) };
        if !self.belongings.has(table, cells) {
            return Ok(());
        }
        self.named.row(table, columns, cells);
        if let Some(load) = &mut self.load {
            self.archive.statement(&load.row(table, columns, cells))?;
        }
        let members = columns.iter().zip(cells).map(|(name, cell)| format!("{}:{}", text(name.as_bytes()), value(*cell)));
        let line = format!("{{{}}}\n", members.collect::<Vec<_>>().join(","));
        self.archive.line(&format!("rows/{}", as_file_name(table)), line.as_bytes())
    }
}

/// A table's name as the name of one folder: nobody who may make a table chooses a path.
fn as_file_name(table: &str) -> String {
    const NOT_IN_NAMES: &AsciiSet = &CONTROLS.add(b'/').add(b'\\').add(b'%');
    let name = utf8_percent_encode(table, NOT_IN_NAMES).to_string();
    if name.chars().all(|letter| letter == '.') { name.replace('.', "%2E") } else { name }
}

fn value(cell: Option<&[u8]>) -> String {
    cell.map_or_else(|| "null".to_owned(), text)
}

/// As a string of JSON; bytes that are no text as `{"base64":"…"}`.
pub(super) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::Value::from(text).to_string(),
        Err(_) => format!("{{\"base64\":\"{}\"}}", STANDARD.encode(bytes)),
    }
}
