//! A row of a small result, read cell by cell.

use mysql::{Row, Value};
use plan::{Error, Result};

/// A row of a small result.
pub(crate) struct Answer(Row);

impl Answer {
    pub(super) const fn new(row: Row) -> Self {
        Self(row)
    }

    /// The bytes of a cell; `None` for NULL and for a column that is not there.
    pub(crate) fn bytes(&self, index: usize) -> Option<&[u8]> {
        match self.0.as_ref(index) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// A cell as text.
    pub(crate) fn maybe(&self, index: usize) -> Result<Option<String>> {
        self.bytes(index)
            .map(|bytes| {
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| Error::failed(format!("{:?} of the server's answer is not UTF-8", self.column(index))))
            })
            .transpose()
    }

    /// A cell as text; empty for NULL.
    pub(crate) fn text(&self, index: usize) -> Result<String> {
        Ok(self.maybe(index)?.unwrap_or_default())
    }

    /// A cell as a number; 0 for NULL and for what is not one.
    pub(crate) fn number(&self, index: usize) -> u64 {
        self.bytes(index).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// A cell by its column's name, in any case.
    pub(crate) fn named(&self, name: &str) -> Result<Option<String>> {
        self.position(name).map_or(Ok(None), |index| self.maybe(index))
    }

    /// The bytes of a cell by its column's name, in any case.
    pub(crate) fn bytes_named(&self, name: &str) -> Option<&[u8]> {
        self.position(name).and_then(|index| self.bytes(index))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.0.columns_ref().iter().position(|column| column.name_str().eq_ignore_ascii_case(name))
    }

    fn column(&self, index: usize) -> String {
        self.0.columns_ref().get(index).map(|column| column.name_str().into_owned()).unwrap_or_default()
    }
}
