//! Rows, keys and files that are read one after the other, of a set or of a live store: who is told them.

use crate::Result;

/// Is told rows, table by table, in the order in which they are kept.
pub trait RowReader {
    /// The columns that are wanted of a table, in the order in which cells are given; `None` when it is not wanted.
    fn wants(&mut self, _table: &str) -> Option<&'static [&'static str]> {
        None
    }

    /// Whether all columns of a table are wanted, in this order; then [`Self::wants`] is not asked about it.
    fn wants_all(&mut self, _table: &str, _columns: &[&str]) -> bool {
        false
    }

    /// Live rows: in so many rounds it is asked which tables are wanted, and what is wanted in a round is told before that of the next. All of it is of one moment.
    fn rounds(&self) -> usize {
        1
    }

    /// Live rows: a round begins.
    fn round(&mut self, _round: usize) {}

    /// Live rows: a column of a table that is wanted, and numbers. Rows that have another number there need not be told; those that have NULL are.
    fn narrowed(&self, _table: &str) -> Option<(&'static str, Vec<u64>)> {
        None
    }

    /// A table that is wanted is there, with rows or without.
    fn table(&mut self, _table: &str) {}

    /// The columns that tell a row of a table from all others, where the set says so. Before the first row.
    fn primary_key(&mut self, _table: &str, _columns: &[&str]) {}

    /// The number that a table's id column gives next, where that is known.
    fn next_id(&mut self, _table: &str, _next: u64) {}

    /// A row: its cells in the order of the columns that are wanted. A column that the table does not have is as if it were NULL.
    ///
    /// # Errors
    /// Ends the reading.
    fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()>;
}

/// A key that was read.
#[derive(Debug, Clone, Copy)]
pub struct ReadKey<'k> {
    /// The key.
    pub key: &'k [u8],
    /// Its type, as `TYPE` calls it.
    pub kind: &'static str,
    /// Elements of a list, a set, a sorted set or a hash; 1 for anything else.
    pub elements: u64,
    /// Bytes of key and value as they are kept.
    pub bytes: u64,
    /// When it expires, milliseconds since the epoch.
    pub expires_ms: Option<u64>,
}

/// Is told what a database of keys holds.
pub trait KeyReader {
    /// Whether the pieces of a key's value are wanted. Asked at any time; nothing begins.
    fn wants(&self, key: &[u8]) -> bool;

    /// A key begins.
    fn begin(&mut self, _key: &[u8]) {}

    /// A string, an element, a member, or a field and then its value.
    fn piece(&mut self, key: &[u8], piece: &[u8]);

    /// The key has ended. Of a live store, keys whose values are not wanted are only begun.
    ///
    /// # Errors
    /// Ends the reading.
    fn key(&mut self, key: &ReadKey<'_>) -> Result<()>;
}

/// Is told a file: its path below the root, and its size in bytes.
pub type FileReader<'r> = dyn FnMut(&[u8], u64) -> Result<()> + 'r;

/// A Route of OpenShift's router that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRoute<'r> {
    /// The host that it is for.
    pub host: &'r [u8],
    /// A router has said that it does not admit it.
    pub is_refused: bool,
    /// zync made it.
    pub is_of_zync: bool,
}

/// Is told a Route.
pub type RouteReader<'r> = dyn FnMut(&ReadRoute<'_>) -> Result<()> + 'r;
