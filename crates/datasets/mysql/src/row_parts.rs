//! The parts of rows that a snapshot holds: each is a file of rows, or a folder with a file for each column.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use plan::ports::{Entry, Snapshot, StopFlag};
use plan::{Error, Result};

use crate::columns;
use crate::dump::{column_name, row_path_of};
use crate::schema::Table;

/// A part of the rows of a table.
pub(crate) struct RowPart {
    /// Where it is, or would be as a file of rows.
    pub(crate) path: PathBuf,
    files: Vec<Entry>,
    is_columns: bool,
}

/// Gives the parts one by one, each with the name of its table's folder.
pub(crate) fn each(snapshot: &dyn Snapshot, stop: &StopFlag, mut give: impl FnMut(&OsStr, RowPart) -> Result<()>) -> Result<()> {
    let mut open: Option<(PathBuf, Vec<Entry>)> = None;
    for entry in snapshot.entries()? {
        stop.check()?;
        let entry = entry?;
        if !entry.is_file() || !entry.path.starts_with("rows") {
            continue;
        }
        let folder = entry.path.parent().unwrap_or(Path::new("")).to_owned();
        if let Some((of, files)) = &mut open
            && *of == folder
        {
            files.push(entry);
            continue;
        }
        if let Some((of, files)) = open.take() {
            give_columns(&of, files, &mut give)?;
        }
        match folder.components().count() {
            // rows/<table>/<part>/<column>
            3 => open = Some((folder, vec![entry])),
            2 => give(name_of(&folder), RowPart { path: entry.path.clone(), files: vec![entry], is_columns: false })?,
            _ => {}
        }
    }
    open.map_or(Ok(()), |(of, files)| give_columns(&of, files, &mut give))
}

fn give_columns(folder: &Path, files: Vec<Entry>, give: &mut impl FnMut(&OsStr, RowPart) -> Result<()>) -> Result<()> {
    let part = RowPart { path: row_path_of(folder), files, is_columns: true };
    give(folder.parent().map(name_of).unwrap_or_default(), part)
}

fn name_of(folder: &Path) -> &OsStr {
    folder.file_name().unwrap_or_default()
}

impl RowPart {
    /// Its rows.
    ///
    /// # Errors
    /// When it cannot be read, or is not whole.
    pub(crate) fn read(&self, snapshot: &dyn Snapshot, table: &Table) -> Result<Vec<u8>> {
        if !self.is_columns {
            return self.files.first().map_or_else(|| Ok(Vec::new()), |file| snapshot.read_all(file));
        }
        let failed = |error: Error| error.during(format!("failed to read {}", self.path.display()));
        let wanted = columns::files(table.kept_columns().count());
        let is_named = |(index, file): (usize, &Entry)| file.path.file_name() == Some(OsStr::new(&column_name(index)));
        if self.files.len() != wanted || !self.files.iter().enumerate().all(is_named) {
            return Err(failed(Error::failed(format!(
                "it has {} files of columns that are not the {wanted} of its table",
                self.files.len()
            ))));
        }
        let columns = self.files.iter().map(|file| snapshot.read_all(file)).collect::<Result<Vec<_>>>()?;
        columns::join(&columns).map_err(failed)
    }
}
