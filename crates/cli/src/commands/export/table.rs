//! The rows of one table as one file: statements for the server's own client, or comma-separated values. No more than a row is held.

use std::io::{BufWriter, Write};
use std::path::Path;

use plan::error::During;
use plan::ids::DataSetName;
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::{Context, Event, Repository, RowReader, StoreKind, Verb};
use plan::{Error, Result};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::agreement::read_rows;
use crate::app::App;
use crate::args::{self, TableFormat};
use crate::commands::extract::load::Load;
use crate::output::file::folder_of;
use crate::output::{bytes, count};

/// Names of tables in one message.
const NAMED_MAX: usize = 10;

/// The data set that the table is in, and how it is read.
pub(super) struct Of<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) kept: &'a KeptDataSet,
    pub(super) repository: &'a dyn Repository,
    pub(super) context: &'a Context,
}

#[derive(Serialize)]
struct TableDocument<'a> {
    set: &'a str,
    data_set: DataSetName,
    table: &'a str,
    format: &'static str,
    file: &'a Path,
    columns: &'a [String],
    rows: u64,
    bytes: u64,
}

/// Writes the table; the file gets its name when all is in it.
pub(super) fn export(app: &App, args: &args::Export, name: &str, of: &Of<'_>) -> Result<()> {
    if !matches!(of.kept.kind, StoreKind::MySql | StoreKind::MariaDb | StoreKind::PostgreSql) {
        return Err(
            Error::refused(format!("{} has no tables", args.data_set)).hint("Say system-database or zync-database, or leave --table out.")
        );
    }
    let what = || format!("write {}", args.to.display());
    if args.to.file_name().is_none() || std::fs::symlink_metadata(&args.to).is_ok() {
        return Err(
            Error::refused(format!("{} is there, or is no name for a file", args.to.display())).hint("Name a file that is not there yet.")
        );
    }
    let made = tempfile::Builder::new().prefix(".export-is-not-complete-").tempfile_in(folder_of(&args.to));
    let file = made.map_err(|error| {
        let error = Error::refused(format!("failed to make a file in {}", folder_of(&args.to).display())).because(error);
        error.hint("Name a file in a folder that is there and that you may write into.")
    })?;
    let mut rows = Rows {
        name,
        format: args.format,
        kind: &of.kept.kind,
        load: None,
        to: BufWriter::new(file),
        columns: None,
        others: Vec::new(),
        rows: 0,
        bytes: 0,
        failure: None,
    };
    of.context.watch.see(Event::Begin { data_set: args.data_set, verb: Verb::Export, total_bytes: None });
    read_rows(of.kept, of.repository, of.context, &mut rows)?;
    rows.end().during(what)?;
    let Some(columns) = rows.columns else {
        let error = Error::refused(format!("{} of set {} has no table {name}", args.data_set, of.manifest.set));
        return Err(error.hint(those_that_there_are(name, &rows.others)));
    };
    let file = rows.to.into_inner().map_err(std::io::IntoInnerError::into_error).during(what)?;
    file.as_file().sync_all().during(what)?;
    file.persist_noclobber(&args.to).map_err(|error| error.error).during(what)?;
    of.context.watch.see(Event::End { data_set: args.data_set, verb: Verb::Export });
    let told = format!("wrote {} rows of {name}, {}, to {}", count(rows.rows), bytes(rows.bytes), args.to.display());
    app.output.line(&format!("{told}; docs/one-table.md says how they go back"))?;
    app.output.document(&TableDocument {
        set: of.manifest.set.as_str(),
        data_set: args.data_set,
        table: name,
        format: if args.format == TableFormat::Sql { "sql" } else { "csv" },
        file: &args.to,
        columns: &columns,
        rows: rows.rows,
        bytes: rows.bytes,
    })
}

/// Those with the same letters in them, else the first ones.
fn those_that_there_are(name: &str, others: &[String]) -> String {
    let alike: Vec<_> = others.iter().filter(|other| other.contains(name) || name.contains(other.as_str())).collect();
    let shown: Vec<_> = if alike.is_empty() { others.iter().collect() } else { alike };
    let more = shown.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more; `ls` lists them") } else { String::new() };
    let named: Vec<_> = shown.into_iter().take(NAMED_MAX).map(String::as_str).collect();
    if named.is_empty() { "It has no table at all.".to_owned() } else { format!("It has {}{more}.", named.join(", ")) }
}

/// Writes the rows of one table, and remembers the names of the others.
struct Rows<'a> {
    name: &'a str,
    format: TableFormat,
    kind: &'a StoreKind,
    load: Option<Load>,
    to: BufWriter<NamedTempFile>,
    columns: Option<Vec<String>>,
    others: Vec<String>,
    rows: u64,
    bytes: u64,
    /// What failed before the first row.
    failure: Option<std::io::Error>,
}

impl Rows<'_> {
    fn put(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.bytes += text.len() as u64;
        self.to.write_all(text)
    }

    /// What stands before the rows.
    fn begin(&mut self, columns: &[String]) -> std::io::Result<()> {
        if self.format == TableFormat::Sql {
            let (load, begin) = Load::begin(self.kind);
            self.load = Some(load);
            return self.put(begin.as_bytes());
        }
        self.put(&line(columns.iter().map(|name| Some(name.as_bytes()))))
    }

    /// What stands behind them.
    fn end(&mut self) -> std::io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match self.load.take() {
            Some(load) => self.put(load.end().as_bytes()),
            None => Ok(()),
        }
    }
}

impl RowReader for Rows<'_> {
    fn wants_all(&mut self, table: &str, columns: &[&str]) -> bool {
        if table != self.name {
            self.others.push(table.to_owned());
            return false;
        }
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        self.failure = self.begin(&columns).err();
        self.columns = Some(columns);
        true
    }

    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let text = match &mut self.load {
            Some(load) => load.row(table, columns, cells),
            None => line(cells.iter().copied()),
        };
        self.rows += 1;
        self.put(&text).during(|| "write the rows".to_owned())
    }
}

/// A line of comma-separated values (RFC 4180, with a line feed). Bytes that are no text are written `\x…`, in hexadecimal digits.
fn line<'c>(cells: impl Iterator<Item = Option<&'c [u8]>>) -> Vec<u8> {
    let mut line = Vec::new();
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            line.push(b',');
        }
        match cell.map(std::str::from_utf8) {
            None => {}
            Some(Ok(text)) if text.is_empty() || text.contains([',', '"', '\n', '\r']) || text.trim() != text => {
                line.extend_from_slice(format!("\"{}\"", text.replace('"', "\"\"")).as_bytes());
            }
            Some(Ok(text)) => line.extend_from_slice(text.as_bytes()),
            Some(Err(_)) => line.extend_from_slice(format!("\\x{}", hex::encode(cell.unwrap_or_default())).as_bytes()),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::{line, those_that_there_are};

    #[test]
    fn a_line_of_values_is_read_as_it_was_written() {
        let cells: [Option<&[u8]>; 7] =
            [Some(b"plain"), None, Some(b""), Some(b"a,b"), Some(b"say \"x\"\n"), Some(b" edge"), Some(&[0xff, 0x00])];
        assert_eq!(String::from_utf8_lossy(&line(cells.into_iter())), "plain,,\"\",\"a,b\",\"say \"\"x\"\"\n\",\" edge\",\\xff00\n");
    }

    #[test]
    fn a_table_that_is_not_there_has_those_that_are_alike() {
        let others = ["accounts", "account_groups", "users"].map(str::to_owned);
        assert_eq!(those_that_there_are("account", &others), "It has accounts, account_groups.");
        assert_eq!(those_that_there_are("x", &others), "It has accounts, account_groups, users.");
    }
}
