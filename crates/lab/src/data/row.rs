//! Rows as text with tabs: what `LOAD DATA` of MySQL and `COPY` of PostgreSQL both read.

use std::fmt::{Display, Write};

use super::calendar::Moment;

/// Rows under construction: cell after cell, then `end`.
#[derive(Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    is_inside: bool,
    scratch: String,
}

impl Rows {
    fn cell(&mut self) {
        if self.is_inside {
            self.bytes.push(b'\t');
        }
        self.is_inside = true;
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.cell();
        self.bytes.extend_from_slice(b"\\N");
        self
    }

    /// Numbers, and other things whose text needs no escape.
    pub(crate) fn plain(&mut self, value: impl Display) -> &mut Self {
        self.cell();
        self.scratch.clear();
        // Writing to a String does not fail.
        write!(self.scratch, "{value}").unwrap_or_default();
        self.bytes.extend_from_slice(self.scratch.as_bytes());
        self
    }

    pub(crate) fn plain_or_null(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.plain(value),
            None => self.null(),
        }
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.blob(value.as_bytes())
    }

    pub(crate) fn blob(&mut self, value: &[u8]) -> &mut Self {
        self.cell();
        let mut start = 0;
        for (index, &byte) in value.iter().enumerate() {
            let escaped = match byte {
                0 => b'0',
                b'\t' => b't',
                b'\n' => b'n',
                b'\\' => b'\\',
                _ => continue,
            };
            self.bytes.extend_from_slice(&value[start..index]);
            self.bytes.extend_from_slice(&[b'\\', escaped]);
            start = index + 1;
        }
        self.bytes.extend_from_slice(&value[start..]);
        self
    }

    /// A date with time, from seconds since 1970.
    pub(crate) fn moment(&mut self, seconds: i64) -> &mut Self {
        self.plain(Moment::of(seconds).date_time())
    }

    /// `created_at` and `updated_at`, the same.
    pub(crate) fn made(&mut self, seconds: i64) -> &mut Self {
        self.moment(seconds).moment(seconds)
    }

    pub(crate) fn end(&mut self) {
        self.bytes.push(b'\n');
        self.is_inside = false;
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The rows so far; the next begin anew.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}
