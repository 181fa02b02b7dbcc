//! A row as a line: the format of `LOAD DATA` with its default separators, which every `mysql` client can load.
//!
//! Tab between cells, line feed after a row, NULL as `\N`; the bytes NUL, tab, line feed and backslash are written `\0 \t \n \\`, all others as they
//! are. So one row has one line, and equal rows have equal lines: the line is also what is digested.

use mysql::{Row, Value};
use plan::{Error, Result};

const ESCAPE: [u8; 256] = {
    let mut table = [0; 256];
    table[0] = b'0';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[b'\\' as usize] = b'\\';
    table
};

/// Appends the line of a row, with its line feed; returns the bytes of its cells, as the server counts them.
pub(crate) fn write(out: &mut Vec<u8>, row: &Row) -> Result<usize> {
    let mut size_bytes = 0;
    for index in 0..row.len() {
        if index > 0 {
            out.push(b'\t');
        }
        match row.as_ref(index) {
            Some(Value::Bytes(bytes)) => {
                size_bytes += bytes.len();
                cell(out, bytes);
            }
            Some(Value::NULL) => out.extend_from_slice(b"\\N"),
            _ => return Err(Error::failed("the server answered a text query with a binary value")),
        }
    }
    out.push(b'\n');
    Ok(size_bytes)
}

fn cell(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPE[usize::from(byte)];
        if escape != 0 {
            out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
            out.extend_from_slice(&[b'\\', escape]);
            plain = at + 1;
        }
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
}

/// Number of rows in a part: every line feed ends one.
pub(crate) fn count(part: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', part).count() as u64
}

/// The cells of a line (without its line feed); `None` for NULL.
pub(crate) fn cells(line: &[u8]) -> Result<Vec<Option<Vec<u8>>>> {
    line.split(|&byte| byte == b'\t').map(|cell| if cell == b"\\N" { Ok(None) } else { unescape(cell).map(Some) }).collect()
}

/// As [`cells`], of the wanted places only; `None` also for a place that there is not.
pub(crate) fn some_cells(line: &[u8], places: &[Option<usize>]) -> Result<Vec<Option<Vec<u8>>>> {
    let cells: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
    let cell = |place: &Option<usize>| place.and_then(|at| cells.get(at).copied()).filter(|cell| *cell != b"\\N").map(unescape).transpose();
    places.iter().map(cell).collect()
}

fn unescape(cell: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(cell.len());
    let mut bytes = cell.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'0') => 0,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'\\') => b'\\',
                _ => return Err(Error::failed("a part holds an unknown escape")),
            },
            _ => byte,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_byte_survives_a_line() {
        let all: Vec<u8> = (0..=255).collect();
        let mut line = Vec::new();
        cell(&mut line, &all);
        line.push(b'\t');
        line.extend_from_slice(b"\\N");
        line.push(b'\t');
        cell(&mut line, b"\\N");
        line.push(b'\t');
        assert_eq!(count(&line), 0);
        assert_eq!(cells(&line).unwrap(), [Some(all), None, Some(b"\\N".to_vec()), Some(Vec::new())]);
    }
}
