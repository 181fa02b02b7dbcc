//! Cuts a table into chunks: half-open ranges of a key that together hold every row once, whatever the boundaries are.
//!
//! A range is `low <= key < high`, the first without `low`, the last without `high`; the server itself compares, in the columns' own types and collations,
//! and the key's columns are NOT NULL. So every row falls into exactly one range, even if a boundary was computed from another view of the table.
//! Boundaries depend on the keys only, and stay the same from day to day: aligned ranges where the keys are dense integers, otherwise boundaries at keys
//! whose own hash says so.

mod key;
pub(crate) mod read;
mod walk;

use plan::Result;

use crate::quote;
use crate::schema::Table;
use crate::session::Session;

pub(crate) use key::ChunkKey;

/// What one chunk should be about, in bytes of the server's own estimate.
pub(crate) const CHUNK_BYTES: u64 = 8 << 20;
/// More possible keys than this for each row: not dense.
const DENSE_KEYS_PER_ROW: u128 = 16;

/// A range of a table. The condition is a SQL expression; absent for the whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) condition: Option<String>,
}

/// A boundary: literals for the key's columns.
pub(crate) type Boundary = Vec<String>;

/// Gives the chunks of a table one by one, in key order. `session` is used for reading keys only.
pub(crate) fn cut(
    session: &mut Session,
    schema: &str,
    table: &Table,
    chunk_bytes: u64,
    mut give: impl FnMut(Chunk) -> Result<()>,
) -> Result<()> {
    if table.engine.eq_ignore_ascii_case("MRG_MyISAM") {
        // Its rows are those of the tables that it unites.
        return Ok(());
    }
    let rows_per_chunk = rows_per_chunk(table, chunk_bytes);
    let Some(key) = key::choose(table) else { return give(Chunk { condition: None }) };
    if table.estimated_rows < rows_per_chunk / 2 {
        return give(Chunk { condition: None });
    }
    let mut low: Option<Boundary> = None;
    let mut boundary = |high: Boundary| {
        let chunk = Chunk { condition: condition(&key, low.as_ref(), Some(&high)) };
        low = Some(high);
        give(chunk)
    };
    match dense_range(session, schema, table, &key, rows_per_chunk)? {
        Some(range) => range.boundaries().try_for_each(|value| boundary(vec![value.to_string()]))?,
        None => walk::walk(session, schema, table, &key, rows_per_chunk, &mut boundary)?,
    }
    give(Chunk { condition: condition(&key, low.as_ref(), None) })
}

/// The index and the order in which a table is read: by the whole key where it can be cut, else as the server gives it.
pub(crate) fn order(table: &Table) -> Option<(String, String)> {
    key::choose(table).map(|key| (quote::name(&key.index), key.list()))
}

/// A power of two, so that a new estimate of the row's size rarely changes it.
fn rows_per_chunk(table: &Table, chunk_bytes: u64) -> u64 {
    let rows = (chunk_bytes / table.average_row_bytes.max(16)).max(1);
    1 << rows.ilog2()
}

/// Aligned ranges between the smallest and the largest key.
struct Dense {
    first: i128,
    last: i128,
    width: i128,
}

impl Dense {
    fn boundaries(&self) -> impl Iterator<Item = i128> {
        let start = (self.first.div_euclid(self.width) + 1) * self.width;
        let (width, last) = (self.width, self.last);
        (0..).map(move |step| start + step * width).take_while(move |boundary| *boundary <= last)
    }
}

fn dense_range(session: &mut Session, schema: &str, table: &Table, key: &ChunkKey, rows_per_chunk: u64) -> Result<Option<Dense>> {
    let [column] = key.columns.as_slice() else { return Ok(None) };
    if !column.is_integer() {
        return Ok(None);
    }
    let name = quote::name(&column.name);
    let sql = format!("SELECT MIN({name}), MAX({name}) FROM {}", table.source(schema));
    let ends = session.rows("read the ends of a key", &sql)?;
    let end = |index| ends.first().and_then(|record| record.maybe(index).ok().flatten()).and_then(|text| text.parse::<i128>().ok());
    let (Some(first), Some(last)) = (end(0), end(1)) else { return Ok(Some(Dense { first: 0, last: -1, width: 1 })) };
    let keys_per_row = (last - first).unsigned_abs() / u128::from(table.estimated_rows.max(1));
    if keys_per_row > DENSE_KEYS_PER_ROW {
        return Ok(None);
    }
    let width = u128::from(rows_per_chunk) * keys_per_row.max(1).next_power_of_two();
    Ok(Some(Dense { first, last, width: i128::try_from(width).unwrap_or(i128::MAX >> 1) }))
}

/// `low <= key AND key < high`, written out for keys of several columns.
fn condition(key: &ChunkKey, low: Option<&Boundary>, high: Option<&Boundary>) -> Option<String> {
    let sides = [low.map(|low| compare(key, low, ">", ">=")), high.map(|high| compare(key, high, "<", "<"))];
    let sides: Vec<String> = sides.into_iter().flatten().collect();
    (!sides.is_empty()).then(|| sides.join(" AND "))
}

/// `(a > x OR (a = x AND b >= y))`: understood by every optimizer, unlike comparisons of row values.
fn compare(key: &ChunkKey, boundary: &Boundary, strict: &str, last: &str) -> String {
    let mut pairs = key.columns.iter().zip(boundary).rev();
    let Some((column, value)) = pairs.next() else { return "1".into() };
    let mut text = format!("{} {last} {value}", quote::name(&column.name));
    for (column, value) in pairs {
        let name = quote::name(&column.name);
        text = format!("{name} {strict} {value} OR ({name} = {value} AND ({text}))");
    }
    format!("({text})")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn aligned_boundaries_do_not_depend_on_the_ends() {
        let boundaries = |first, last| Dense { first, last, width: 8 }.boundaries().collect::<Vec<_>>();
        assert_eq!(boundaries(-9, 17), [-8, 0, 8, 16]);
        assert_eq!(boundaries(-16, 16), [-8, 0, 8, 16]);
        assert_eq!(boundaries(3, 9), [8]);
        assert!(boundaries(1, 7).is_empty());
        assert!(boundaries(0, -1).is_empty());
    }

    #[test]
    fn a_composite_comparison_is_written_out() {
        let key = ChunkKey::of_integers(&["a", "b", "c"]);
        let boundary = vec!["1".to_owned(), "2".to_owned(), "3".to_owned()];
        let text = condition(&key, Some(&boundary), None).unwrap();
        assert_eq!(text, "(`a` > 1 OR (`a` = 1 AND (`b` > 2 OR (`b` = 2 AND (`c` >= 3)))))");
    }
}
