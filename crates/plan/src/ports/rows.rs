//! Rows of a kept database, read as they are in the set: no server is asked.

use crate::Result;

/// Is told rows, table by table, in the order in which the set has them.
pub trait RowReader {
    /// The columns that are wanted of a table, in the order in which cells are given; `None` when it is not wanted.
    fn wants(&mut self, table: &str) -> Option<&'static [&'static str]>;

    /// A table that is wanted is there, with rows or without.
    fn table(&mut self, table: &str);

    /// The number that a table's id column gives next, where the set says so.
    fn next_id(&mut self, table: &str, next: u64);

    /// A row: its cells in the order of the columns that are wanted. A column that the table does not have is as if it were NULL.
    ///
    /// # Errors
    /// Ends the reading.
    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()>;
}
