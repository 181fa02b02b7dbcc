//! Reads rows: of a set as they are in the repository, where no server is asked and no more than a part and a row are held; or of the live database.
//!
//! A row is a line of `COPY … TO stdout` in text format (PostgreSQL manual, COPY, "Text Format").

mod live;

use std::collections::{HashMap, HashSet};

use plan::ports::{RowReader, Snapshot, StopFlag};
use plan::{Error, Result};

use crate::contents::blocks::Blocks;
use crate::contents::{Contents, Entry};
pub(crate) use live::read_live;

/// A row is longer than the server could have given.
const ROW_MAX_BYTES: usize = 1 << 30;

/// A table that is wanted.
struct Table {
    name: String,
    /// Places of the wanted columns among the cells of a line.
    places: Vec<Option<usize>>,
    /// The beginning of a row whose end has not come.
    begun: Vec<u8>,
}

/// Tells a reader the rows that it wants. Of two tables of a name it is the one in the schema `public`.
///
/// # Errors
/// When the set cannot be read, or is of a `pg_dump` that is not known; what the reader says.
pub fn read_rows(snapshot: &dyn Snapshot, stop: &StopFlag, reader: &mut dyn RowReader) -> Result<()> {
    let (mut contents, mut wanted, mut blocks) = (Contents::new(), HashMap::new(), None);
    let (mut public, mut twins) = (HashSet::new(), Vec::new());
    let mut keys: Vec<(bool, String, Vec<String>)> = Vec::new();
    for entry in snapshot.entries()? {
        stop.check()?;
        let entry = entry?;
        if entry.path.extension().is_none_or(|extension| extension != "part") {
            continue;
        }
        let bytes = snapshot.read_all(&entry)?;
        let Some(blocks) = &mut blocks else {
            // The data that came with the last entries comes out with them, behind their bytes.
            let mut entries = 0;
            let passed = contents.pass(&bytes, |entry| {
                entries += 1;
                if let Some((table, next)) = next_id(entry) {
                    reader.next_id(&table, next);
                }
                if let Some((table, columns)) = primary_key(entry) {
                    keys.push((Entry::text(&entry.namespace) == Some("public"), table, columns));
                }
                match Found::of(entry) {
                    Some(found) if Entry::text(&entry.namespace) == Some("public") => {
                        want(&mut wanted, &found, reader);
                        public.insert(found.name);
                    }
                    found => twins.extend(found),
                }
                Ok(())
            })?;
            if !contents.is_read() {
                continue;
            }
            if !contents.is_known() {
                return Err(Error::refused("the archive is of a newer pg_dump than this program knows: its rows cannot be read here"));
            }
            twins.retain(|found: &Found| !public.contains(&found.name));
            twins.iter().for_each(|found| want(&mut wanted, found, reader));
            for (_, table, columns) in keys.iter().filter(|(is_public, table, _)| *is_public || !public.contains(table)) {
                reader.primary_key(table, &columns.iter().map(String::as_str).collect::<Vec<_>>());
            }
            let mut begun = Blocks::new(contents.layout());
            let data = passed.get(passed.len() - contents.data_bytes()..).unwrap_or_default();
            begun.pass(data, |number, piece| rows(&mut wanted, number, piece, reader))?;
            blocks = Some(begun);
            continue;
        };
        blocks.pass(&bytes, |number, piece| rows(&mut wanted, number, piece, reader))?;
    }
    match blocks {
        Some(blocks) if blocks.is_whole() => Ok(()),
        _ => Err(Error::failed("the archive of pg_dump ends too early").hint("Run check, and use another set.")),
    }
}

/// A table whose rows are in the archive.
struct Found {
    id: i64,
    name: String,
    columns: Vec<String>,
}

impl Found {
    fn of(entry: &Entry) -> Option<Self> {
        let has_rows = entry.kind() == "TABLE DATA" && entry.has_data;
        let columns = || copied(Entry::text(&entry.copy).unwrap_or_default());
        has_rows.then(|| Self { id: entry.id, name: entry.name().into_owned(), columns: columns() })
    }
}

fn want(wanted: &mut HashMap<i64, Table>, found: &Found, reader: &mut dyn RowReader) {
    let Found { id, name, columns: has } = found;
    let all: Vec<&str> = has.iter().map(String::as_str).collect();
    let places = if reader.wants_all(name, &all) {
        (0..has.len()).map(Some).collect()
    } else {
        let Some(columns) = reader.wants(name) else { return };
        columns.iter().map(|column| has.iter().position(|name| name == column)).collect()
    };
    reader.table(name);
    wanted.insert(*id, Table { name: name.clone(), places, begun: Vec::new() });
}

/// Of `SELECT pg_catalog.setval('public.services_id_seq', 7, true);`: the table that has the sequence by its name, and what it gives next.
fn next_id(entry: &Entry) -> Option<(String, u64)> {
    let table = (entry.kind() == "SEQUENCE SET").then(|| entry.name().strip_suffix("_id_seq").map(str::to_owned)).flatten()?;
    let (_, values) = entry.statements().rsplit_once("', ")?;
    let (last, is_called) = values.split_once(", ")?;
    let last: u64 = last.parse().ok()?;
    Some((table, if is_called.starts_with("true") { last.saturating_add(1) } else { last }))
}

/// Of `ALTER TABLE ONLY public.accounts ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);`, whose name is `accounts accounts_pkey`: the table, and the columns.
fn primary_key(entry: &Entry) -> Option<(String, Vec<String>)> {
    let (_, columns) = (entry.kind() == "CONSTRAINT").then(|| entry.statements().split_once(" PRIMARY KEY (")).flatten()?;
    let table = entry.name().split(' ').next()?.to_owned();
    Some((table, columns.split_once(')')?.0.split(", ").map(unquoted).collect()))
}

fn unquoted(name: &str) -> String {
    match name.trim().strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.trim().to_owned(),
    }
}

/// The columns of `COPY schema.table (a, "b c") FROM stdin;`.
fn copied(statement: &str) -> Vec<String> {
    let list = statement.split_once(" (").and_then(|(_, rest)| rest.rsplit_once(") FROM ")).map(|(list, _)| list).unwrap_or_default();
    list.split(", ").map(unquoted).collect()
}

fn rows(wanted: &mut HashMap<i64, Table>, number: i64, piece: &[u8], reader: &mut dyn RowReader) -> Result<()> {
    wanted.get_mut(&number).map_or(Ok(()), |table| table.pass(piece, reader))
}

impl Table {
    /// A piece of what `COPY` gives of it.
    fn pass(&mut self, piece: &[u8], reader: &mut dyn RowReader) -> Result<()> {
        for line in piece.split_inclusive(|&byte| byte == b'\n') {
            if self.begun.len() + line.len() > ROW_MAX_BYTES {
                return Err(Error::failed(format!("a row of table {} is longer than any that there is", self.name)));
            }
            match line.strip_suffix(b"\n") {
                None => self.begun.extend_from_slice(line),
                Some(end) if self.begun.is_empty() => row(&self.name, &self.places, end, reader)?,
                Some(end) => {
                    self.begun.extend_from_slice(end);
                    let whole = std::mem::take(&mut self.begun);
                    row(&self.name, &self.places, &whole, reader)?;
                }
            }
        }
        Ok(())
    }
}

fn row(table: &str, places: &[Option<usize>], line: &[u8], reader: &mut dyn RowReader) -> Result<()> {
    // Data ends with an empty line, or with `\.`.
    if line.is_empty() || line == b"\\." {
        return Ok(());
    }
    let cells: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
    let cell = |place: &Option<usize>| place.and_then(|at| cells.get(at).copied()).filter(|cell| *cell != b"\\N").map(unescaped);
    let wanted: Vec<Option<Vec<u8>>> = places.iter().map(cell).collect();
    let wanted: Vec<Option<&[u8]>> = wanted.iter().map(Option::as_deref).collect();
    reader.row(table, &wanted)
}

fn unescaped(cell: &[u8]) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::with_capacity(cell.len()), cell.iter());
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(&other) => other,
                None => b'\\',
            },
            _ => byte,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_cells_are_read_as_copy_writes_them() {
        assert_eq!(copied("COPY public.t (id, \"user\", \"a\"\"b\") FROM stdin;\n"), ["id", "user", "a\"b"]);
        assert_eq!(copied("COPY public.t  FROM stdin;"), [""]);
        assert_eq!(unescaped(b"a\\tb\\\\n\\nc"), b"a\tb\\n\nc");
    }
}
