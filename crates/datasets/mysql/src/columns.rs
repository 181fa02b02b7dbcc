//! The rows of a part as columns: one file for each column, one line for each row. Where many rows change in few columns, as `updated_at` does, the other
//! columns are the same chunks again, and a column packs better than rows do.
//!
//! Pure. The files of a part side by side, joined by tabs, are its rows: that is what `paste` does, so nobody needs this program for it.

use plan::{Error, Result};

/// A smaller part is kept as rows: it is a few chunks of the repository at most, and would be a chunk for each column.
const SMALLEST_BYTES: usize = 512 << 10;
/// A larger one is a single row, which is held once as it is.
const LARGEST_BYTES: usize = 9 << 20;
/// Files of a part; the last has all further columns. `paste` opens all of them at a time.
const FILES_MAX: usize = 256;

/// The columns of the rows of a part, or nothing where it is to be kept as rows.
pub(crate) fn split(rows: &[u8]) -> Option<Vec<Vec<u8>>> {
    if !(SMALLEST_BYTES..=LARGEST_BYTES).contains(&rows.len()) {
        return None;
    }
    let first = rows.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = files(memchr::memchr_iter(b'\t', first).count() + 1);
    if count == 1 {
        return None;
    }
    let mut columns = vec![Vec::new(); count];
    for line in rows.split_inclusive(|&byte| byte == b'\n') {
        let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
        for (index, column) in columns.iter_mut().enumerate() {
            let end = if index + 1 < count { memchr::memchr(b'\t', rest).unwrap_or(rest.len()) } else { rest.len() };
            let (cell, behind) = rest.split_at_checked(end)?;
            column.extend_from_slice(cell);
            column.push(b'\n');
            rest = behind.strip_prefix(b"\t").unwrap_or(behind);
        }
    }
    Some(columns)
}

/// How many files the parts of a table of so many columns have.
pub(crate) fn files(columns: usize) -> usize {
    columns.clamp(1, FILES_MAX)
}

/// The rows of columns.
///
/// # Errors
/// When they do not have the same number of lines.
pub(crate) fn join(columns: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut rests: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
    let mut rows = Vec::with_capacity(columns.iter().map(Vec::len).sum());
    while rests.iter().any(|rest| !rest.is_empty()) {
        for (index, rest) in rests.iter_mut().enumerate() {
            let end = memchr::memchr(b'\n', rest).ok_or_else(|| Error::failed(format!("column {} of it has too few lines", index + 1)))?;
            let (cell, behind) = rest.split_at(end);
            if index > 0 {
                rows.push(b'\t');
            }
            rows.extend_from_slice(cell);
            *rest = behind.strip_prefix(b"\n").unwrap_or_default();
        }
        rows.push(b'\n');
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn rows(columns: usize) -> Vec<u8> {
        let mut rows = Vec::new();
        for number in 0..SMALLEST_BYTES / columns {
            let cell =
                |column: usize| if (column + number).is_multiple_of(3) { String::new() } else { format!("\\t{}\\n", number * column) };
            rows.extend((0..columns).map(cell).collect::<Vec<_>>().join("\t").bytes().chain([b'\n']));
        }
        assert!((SMALLEST_BYTES..=LARGEST_BYTES).contains(&rows.len()));
        rows
    }

    #[test]
    fn columns_side_by_side_are_the_rows_again() {
        for count in [2, 7, FILES_MAX, FILES_MAX + 9] {
            let rows = rows(count);
            let columns = split(&rows).unwrap();
            assert_eq!(columns.len(), files(count));
            assert!(join(&columns).unwrap() == rows, "{count} columns");
        }
    }

    #[test]
    fn a_small_part_a_single_row_and_a_single_column_stay_rows() {
        assert!(split(format!("1\t{}\n", "a".repeat(LARGEST_BYTES)).as_bytes()).is_none());
        assert!(split(b"1\ta\n").is_none());
        assert!(split(&b"a cell of some bytes\n".repeat(SMALLEST_BYTES / 8)).is_none());
    }

    #[test]
    fn columns_of_unequal_length_are_no_rows() {
        assert!(join(&[b"1\n2\n".to_vec(), b"a\n".to_vec()]).is_err());
        assert!(join(&[b"1\n".to_vec(), b"a\nb\n".to_vec()]).is_err());
        assert!(join(&[b"1\n".to_vec(), b"a".to_vec()]).is_err());
        assert_eq!(join(&[b"\n".to_vec(), b"\n".to_vec()]).unwrap(), b"\t\n");
    }
}
