//! Rows of a live database that are made what a set has, and put back, while everybody goes on.

use super::{Context, Problem};
use crate::Result;

/// A cell, as a set of this kind of store has it; `None` for NULL.
pub type Cell = Option<Vec<u8>>;

/// How rows of a table are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowsOf {
    /// The table.
    pub table: String,
    /// The columns, in the order of the cells.
    pub columns: Vec<String>,
    /// Where among them are those that tell a row from all others.
    pub key: Vec<usize>,
}

/// A row that is made what it should be. Not both sides are `None`.
#[derive(Clone, PartialEq, Eq)]
pub struct RowChange {
    /// What it was when it was looked at; `None` when there was no such row.
    pub was: Option<Vec<Cell>>,
    /// What it becomes; `None` when it goes.
    pub becomes: Option<Vec<Cell>>,
}

/// A table of the live database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableShape {
    /// Its name.
    pub name: String,
    /// Columns that are written, in their order; those that the server computes are not among them.
    pub columns: Vec<String>,
    /// Of these, columns that every new row must say.
    pub required: Vec<String>,
    /// Columns that tell a row from all others; none where there is no such key.
    pub key: Vec<String>,
    /// Other columns that no two rows share.
    pub unique: Vec<Vec<String>>,
    /// Its foreign keys.
    pub refers: Vec<Reference>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// To this table.
    pub table: String,
    /// To these columns of it.
    pub referred: Vec<String>,
}

/// Changes rows of a live database.
pub trait ChangesRows: Send + Sync {
    /// The tables that there are, by name.
    ///
    /// # Errors
    /// When the database cannot be asked.
    fn shapes(&self, context: &Context) -> Result<Vec<TableShape>>;

    /// What the user lacks to change rows of these tables. Changes nothing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    fn rows_lack(&self, context: &Context, tables: &[&str]) -> Result<Option<Problem>>;

    /// Somebody who finds rows. Changes nothing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    fn finder<'a>(&'a self, context: &'a Context) -> Result<Box<dyn FindsRows + 'a>>;

    /// Begins a transaction. What is not committed is as if it had never been.
    ///
    /// # Errors
    /// When it cannot be begun.
    fn begin<'a>(&'a self, context: &'a Context) -> Result<Box<dyn ChangingRows + 'a>>;
}

/// Finds rows of a live database.
pub trait FindsRows {
    /// Which rows there are with these values in `columns` (each list is one row's): the values as the database has them, and behind them the cells of the key.
    /// What has a NULL finds nothing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    fn find(&mut self, of: &RowsOf, columns: &[String], values: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>>;
}

/// A transaction that changes rows. Triggers are not at work in it, where the application provides for that.
pub trait ChangingRows {
    /// The rows with these keys, which nobody else changes from now on; those that there are not are left out.
    ///
    /// # Errors
    /// [`crate::Class::Transient`] when somebody holds one for too long.
    fn lock(&mut self, of: &RowsOf, keys: &[Vec<Cell>]) -> Result<Vec<Vec<Cell>>>;

    /// Which of these rows others refer to by a foreign key: their places in the list.
    ///
    /// # Errors
    /// When the database cannot be asked.
    fn referred(&mut self, of: &RowsOf, rows: &[Vec<Cell>]) -> Result<Vec<usize>>;

    /// Puts rows in.
    ///
    /// # Errors
    /// When the database refuses one.
    fn insert(&mut self, of: &RowsOf, rows: &[Vec<Cell>]) -> Result<()>;

    /// Makes a row what it should be, by its key.
    ///
    /// # Errors
    /// As [`ChangingRows::insert`].
    fn update(&mut self, of: &RowsOf, row: &[Cell]) -> Result<()>;

    /// Gives these rows values in `columns`, which no two rows share, that nobody has: until they are updated they stand in nobody's way.
    ///
    /// # Errors
    /// As [`ChangingRows::insert`]; when no column of them can hold such a value.
    fn park(&mut self, of: &RowsOf, keys: &[Vec<Cell>], columns: &[String]) -> Result<()>;

    /// Takes rows out, by their keys.
    ///
    /// # Errors
    /// As [`ChangingRows::insert`].
    fn delete(&mut self, of: &RowsOf, keys: &[Vec<Cell>]) -> Result<()>;

    /// Does something of which a rule of the database may forbid a part: a value that no two rows share, a row that another one wants. If it does, all is as before the call, and it gives false.
    ///
    /// # Errors
    /// Other errors of `work`.
    fn allows(&mut self, work: &mut dyn FnMut(&mut dyn ChangingRows) -> Result<()>) -> Result<bool>;

    /// Gives up: all is as it was before.
    ///
    /// # Errors
    /// When the database cannot be told. What was done is undone then all the same.
    fn give_up(self: Box<Self>) -> Result<()>;

    /// Makes it last. Tables into which rows were put give no id again that one of them has.
    ///
    /// # Errors
    /// When the database refuses. A connection that is lost here may have committed or not.
    fn commit(self: Box<Self>) -> Result<()>;
}

impl RowsOf {
    /// The key of a row.
    #[must_use]
    pub fn key_of(&self, row: &[Cell]) -> Vec<Cell> {
        self.key.iter().map(|at| row.get(*at).cloned().flatten()).collect()
    }

    /// For people: `row 7 of services`. Where a key has no numbers only, nothing of it is told.
    #[must_use]
    pub fn name(&self, key: &[Cell]) -> String {
        let number = |cell: &Cell| {
            let text = cell.as_ref().and_then(|cell| std::str::from_utf8(cell).ok())?;
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.to_owned())
        };
        match key.iter().map(number).collect::<Option<Vec<_>>>() {
            Some(numbers) => format!("row {} of {}", numbers.join("/"), self.table),
            None => format!("a row of {}", self.table),
        }
    }

    /// Appends itself, to be read back by [`RowsOf::read`].
    pub fn write(&self, bytes: &mut Vec<u8>) {
        put(self.table.as_bytes(), bytes);
        number(self.columns.len(), bytes);
        self.columns.iter().for_each(|column| put(column.as_bytes(), bytes));
        number(self.key.len(), bytes);
        self.key.iter().for_each(|at| number(*at, bytes));
    }

    /// What was written, taken from the beginning; `None` when it is damaged.
    #[must_use]
    pub fn read(rest: &mut &[u8]) -> Option<Self> {
        let text = |rest: &mut &[u8]| String::from_utf8(take(rest)?.to_vec()).ok();
        let table = text(rest)?;
        let columns = (0..length(rest)?).map(|_| text(rest)).collect::<Option<Vec<_>>>()?;
        let key = (0..length(rest)?).map(|_| length(rest).filter(|at| *at < columns.len())).collect::<Option<_>>()?;
        Some(Self { table, columns, key })
    }
}

impl RowChange {
    /// How many bytes it has, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let cells = self.was.iter().chain(&self.becomes).flatten();
        cells.map(|cell| 5 + cell.as_ref().map_or(0, Vec::len)).sum()
    }

    /// The row, as it was or becomes.
    #[must_use]
    pub fn row(&self) -> &[Cell] {
        self.was.as_deref().or(self.becomes.as_deref()).unwrap_or_default()
    }

    /// Appends itself, to be read back by [`RowChange::read`].
    pub fn write(&self, bytes: &mut Vec<u8>) {
        for side in [&self.was, &self.becomes] {
            bytes.push(u8::from(side.is_some()));
            if let Some(cells) = side {
                write_cells(cells.iter().map(Option::as_deref), bytes);
            }
        }
    }

    /// What was written, taken from the beginning; `None` when it is damaged.
    #[must_use]
    pub fn read(rest: &mut &[u8]) -> Option<Self> {
        let mut side = || match split(rest, 1)? {
            [0] => Some(None),
            _ => read_cells(rest).map(Some),
        };
        Some(Self { was: side()?, becomes: side()? })
    }
}

/// Appends cells, to be read back by [`read_cells`].
pub fn write_cells<'c>(cells: impl ExactSizeIterator<Item = Option<&'c [u8]>>, bytes: &mut Vec<u8>) {
    number(cells.len(), bytes);
    for cell in cells {
        bytes.push(u8::from(cell.is_some()));
        put(cell.unwrap_or_default(), bytes);
    }
}

/// Cells that were written, taken from the beginning; `None` when they are damaged.
#[must_use]
pub fn read_cells(rest: &mut &[u8]) -> Option<Vec<Cell>> {
    let cell = |rest: &mut &[u8]| {
        let is_there = split(rest, 1)? != [0];
        let bytes = take(rest)?;
        Some(is_there.then(|| bytes.to_vec()))
    };
    (0..length(rest)?).map(|_| cell(rest)).collect()
}

fn number(number: usize, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
}

fn put(text: &[u8], bytes: &mut Vec<u8>) {
    number(text.len(), bytes);
    bytes.extend_from_slice(text);
}

fn split<'r>(rest: &mut &'r [u8], length: usize) -> Option<&'r [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = split(rest, 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

fn take<'r>(rest: &mut &'r [u8]) -> Option<&'r [u8]> {
    let length = length(rest)?;
    split(rest, length)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_as_they_were_and_what_is_torn_is_not() {
        let of = RowsOf { table: "a table".to_owned(), columns: vec!["id".to_owned(), "é".to_owned()], key: vec![0] };
        let row = vec![Some(b"7".to_vec()), None];
        let other = vec![Some(Vec::new()), Some(vec![0, 255, 10])];
        let changes = [(Some(row.clone()), None), (None, Some(other.clone())), (Some(row), Some(other))]
            .map(|(was, becomes)| RowChange { was, becomes });
        let mut bytes = Vec::new();
        of.write(&mut bytes);
        changes.iter().for_each(|change| change.write(&mut bytes));
        let mut rest = bytes.as_slice();
        assert_eq!(RowsOf::read(&mut rest).unwrap(), of);
        for change in &changes {
            assert!(RowChange::read(&mut rest).unwrap() == *change);
        }
        assert!(rest.is_empty());
        let mut one = Vec::new();
        changes[2].write(&mut one);
        assert!((0..one.len()).all(|length| RowChange::read(&mut &one[..length]).is_none()), "torn");
        assert_eq!(of.name(&of.key_of(changes[0].row())), "row 7 of a table");
        assert_eq!(of.name(&[Some(b"a secret".to_vec())]), "a row of a table");
    }
}
