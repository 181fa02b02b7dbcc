//! How the live rows of a tenant differ from those of a set. Both are sorted outside of memory, by table and key, and compared in one pass.

use plan::ports::{Cell, RowChange, RowsOf, read_cells, write_cells};
use plan::{Error, Result};

use crate::verify::{Merge, Room, Sorter};

/// A row that is larger cannot be kept for an undo, with what it becomes: a record of the repository has 64 MiB.
const ROW_MAX_BYTES: usize = 24 << 20;

/// Counters that do not go back: from them something was given that is not given again (facts: `care` in `tenant-tables.tsv`).
const COUNTERS: [(&str, &str); 1] = [("invoice_counters", "invoice_count")];

/// Where a row was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the set.
    Set = 0,
    /// In the live database.
    Live = 1,
}

/// How many rows of a table there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compared {
    /// That only the set has.
    pub insert: u64,
    /// That both have, with other cells.
    pub update: u64,
    /// That only the live database has.
    pub delete: u64,
    /// That both have.
    pub equal: u64,
    /// Counters that the set does not have, or has at a lower number, and that stay as they are.
    pub stay: u64,
}

impl Compared {
    /// Whether nothing changes.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.insert + self.update + self.delete == 0
    }
}

/// Takes rows of both sides.
pub struct Differing<'a> {
    tables: Vec<RowsOf>,
    sorter: Sorter<'a>,
}

impl<'a> Differing<'a> {
    /// `held_max_bytes`: what may be in memory.
    #[must_use]
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self { tables: Vec::new(), sorter: Sorter::new(room, held_max_bytes) }
    }

    /// A table whose rows are compared, and how their cells are given, on both sides. Gives its number.
    pub fn table(&mut self, of: RowsOf) -> usize {
        self.tables.push(of);
        self.tables.len() - 1
    }

    /// The number of a table.
    #[must_use]
    pub fn number_of(&self, table: &str) -> Option<usize> {
        self.tables.iter().position(|of| of.table == table)
    }

    /// The tables, by their numbers.
    #[must_use]
    pub fn tables(&self) -> &[RowsOf] {
        &self.tables
    }

    /// A row of a table.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it is too large to be kept; when there is no room.
    pub fn row(&mut self, table: usize, side: Side, cells: &[Option<&[u8]>]) -> Result<()> {
        let Some(of) = self.tables.get(table) else { return Ok(()) };
        let size: usize = cells.iter().flatten().map(|cell| cell.len()).sum();
        if size > ROW_MAX_BYTES {
            let text = format!("a row of {} has {} MiB: more than can be kept for an undo", of.table, size >> 20);
            return Err(Error::refused(text).hint("`extract SET --tenant T --sql` writes it for the server's own client."));
        }
        let mut record = u32::try_from(table).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        let key: Vec<_> = of.key.iter().map(|at| cells.get(*at).copied().flatten()).collect();
        write_cells(key.into_iter(), &mut record);
        record.push(side as u8);
        write_cells(cells.iter().copied(), &mut record);
        self.sorter.push(&record)
    }

    /// Compares. Each change is given with the number of its table, in the order of tables and keys. Gives how many there are of each table.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when both sides have a row, and one of them oftener, which no key tells apart; when what was sorted cannot be read; what `each` says.
    pub fn compare(self, mut each: impl FnMut(usize, &RowsOf, RowChange) -> Result<()>) -> Result<Vec<(RowsOf, Compared)>> {
        let mut counts = vec![Compared::default(); self.tables.len()];
        let mut sorted = Sorted { records: self.sorter.sorted()?, ahead: None };
        while let Some(row) = sorted.next(&self.tables)? {
            let (Some(of), Some(count)) = (self.tables.get(row.table), counts.get_mut(row.table)) else { continue };
            let mut both = Both::default();
            while let Some(other) = sorted.next_of(&self.tables, &row)? {
                both.take(other);
            }
            let table = row.table;
            both.take(row);
            let times = both.times(of)?;
            let becomes = never_back(of, both.live.as_deref(), both.set, count);
            let was = both.live;
            let kind = match (&was, &becomes) {
                (was, becomes) if was == becomes => {
                    count.equal += times;
                    continue;
                }
                (None, _) => &mut count.insert,
                (_, None) => &mut count.delete,
                _ => &mut count.update,
            };
            *kind += times;
            for _ in 0..times {
                each(table, of, RowChange { was: was.clone(), becomes: becomes.clone() })?;
            }
        }
        Ok(self.tables.into_iter().zip(counts).collect())
    }
}

/// A row on both sides. Where a table has no key (`features_plans`), a side may have it several times.
#[derive(Default)]
struct Both {
    set: Option<Vec<Cell>>,
    live: Option<Vec<Cell>>,
    in_the_set: u64,
    is_live: u64,
}

impl Both {
    fn take(&mut self, row: Row) {
        let (cells, times) = match row.side {
            Side::Set => (&mut self.set, &mut self.in_the_set),
            Side::Live => (&mut self.live, &mut self.is_live),
        };
        *cells = Some(row.cells);
        *times += 1;
    }

    /// How many rows it is.
    fn times(&self, of: &RowsOf) -> Result<u64> {
        match (self.in_the_set, self.is_live) {
            (in_the_set, is_live) if in_the_set == is_live || is_live == 0 => Ok(in_the_set),
            (0, is_live) => Ok(is_live),
            (in_the_set, is_live) => {
                let text = format!("table {} has equal rows, which no key tells apart: {in_the_set} in the set, {is_live} here", of.table);
                Err(Error::refused(text).hint("Take out by hand what is too many here, or put in what is missing; then plan again."))
            }
        }
    }
}

/// What a row becomes, with its counter at the larger of both numbers.
fn never_back(of: &RowsOf, was: Option<&[Cell]>, becomes: Option<Vec<Cell>>, count: &mut Compared) -> Option<Vec<Cell>> {
    let counter =
        COUNTERS.iter().find(|(table, _)| *table == of.table).and_then(|(_, name)| of.columns.iter().position(|column| column == name));
    let (Some(at), Some(was)) = (counter, was) else { return becomes };
    let Some(mut becomes) = becomes else {
        count.stay += 1;
        return Some(was.to_vec());
    };
    let number = |cells: &[Cell]| std::str::from_utf8(cells.get(at)?.as_ref()?).ok()?.parse::<i64>().ok();
    if number(was) > number(&becomes)
        && let (Some(cell), Some(live)) = (becomes.get_mut(at), was.get(at))
    {
        cell.clone_from(live);
        count.stay += 1;
    }
    Some(becomes)
}

struct Row {
    table: usize,
    key: Vec<Cell>,
    side: Side,
    cells: Vec<Cell>,
}

struct Sorted {
    records: Merge,
    ahead: Option<Row>,
}

impl Sorted {
    fn next(&mut self, tables: &[RowsOf]) -> Result<Option<Row>> {
        match self.ahead.take() {
            Some(row) => Ok(Some(row)),
            None => self.records.next_record()?.map(|record| row_of(&record, tables)).transpose(),
        }
    }

    /// The next one, if it has the same key.
    fn next_of(&mut self, tables: &[RowsOf], row: &Row) -> Result<Option<Row>> {
        let next = self.next(tables)?;
        if next.as_ref().is_some_and(|next| next.table == row.table && next.key == row.key) {
            return Ok(next);
        }
        self.ahead = next;
        Ok(None)
    }
}

fn row_of(record: &[u8], tables: &[RowsOf]) -> Result<Row> {
    let read = || {
        let (table, mut rest) = record.split_first_chunk::<4>()?;
        let table = usize::try_from(u32::from_be_bytes(*table)).ok().filter(|table| *table < tables.len())?;
        let key = read_cells(&mut rest)?;
        let (side, mut rest) = rest.split_first()?;
        let side = if *side == Side::Set as u8 { Side::Set } else { Side::Live };
        Some(Row { table, key, side, cells: read_cells(&mut rest)? })
    };
    read().ok_or_else(|| Error::failed("a row that was sorted cannot be read back"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::verify::Spill;

    fn room() -> std::io::Result<Box<dyn Spill>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    fn of(table: &str) -> RowsOf {
        RowsOf { table: table.to_owned(), columns: vec!["id".to_owned(), "invoice_count".to_owned()], key: vec![0] }
    }

    fn differing<'a>(room: Room<'a>, table: &str, sides: [&[(u8, u8)]; 2]) -> Differing<'a> {
        let mut differing = Differing::new(room, 200);
        let number = differing.table(of(table));
        for (side, rows) in [Side::Set, Side::Live].into_iter().zip(sides) {
            for (id, value) in rows {
                let (id, value) = (id.to_string(), value.to_string());
                differing.row(number, side, &[Some(id.as_bytes()), Some(value.as_bytes()).filter(|value| *value != b"0")]).unwrap();
            }
        }
        differing
    }

    proptest! {
        #[test]
        fn what_changes_makes_the_live_rows_those_of_the_set(
            set in prop::collection::btree_map(0..40_u8, 0..3_u8, 0..30),
            live in prop::collection::btree_map(0..40_u8, 0..3_u8, 0..30),
        ) {
            let list = |rows: &BTreeMap<u8, u8>| rows.iter().map(|(id, value)| (*id, *value)).collect::<Vec<_>>();
            let mut now: BTreeMap<Cell, Vec<Cell>> = BTreeMap::new();
            let row = |(id, value): (u8, u8)| vec![Some(id.to_string().into_bytes()), (value > 0).then(|| value.to_string().into_bytes())];
            now.extend(list(&live).into_iter().map(row).map(|row| (row[0].clone(), row)));
            let counts = differing(&room, "services", [&list(&set), &list(&live)]).compare(|_, of, change| {
                let key = of.key_of(change.row()).remove(0);
                assert_eq!(now.remove(&key), change.was);
                now.extend(change.becomes.map(|row| (key, row)));
                Ok(())
            }).unwrap();
            prop_assert_eq!(now.into_values().collect::<Vec<_>>(), {
                let mut rows: Vec<_> = list(&set).into_iter().map(row).collect();
                rows.sort();
                rows
            });
            let counts = counts[0].1;
            prop_assert_eq!((counts.insert + counts.update + counts.equal) as usize, set.len());
            prop_assert_eq!((counts.delete + counts.update + counts.equal) as usize, live.len());
        }
    }

    #[test]
    fn a_counter_of_invoices_never_goes_back() {
        let mut changes = Vec::new();
        let counts = differing(&room, "invoice_counters", [&[(1, 5), (2, 7)], &[(1, 9), (2, 3), (3, 4)]])
            .compare(|_, _, change| {
                changes.push(change.becomes.unwrap()[1].clone().unwrap());
                Ok(())
            })
            .unwrap();
        assert_eq!(changes, [b"7".to_vec()]);
        assert_eq!(counts[0].1, Compared { update: 1, equal: 2, stay: 2, ..Compared::default() });
    }

    #[test]
    fn rows_that_no_key_tells_apart_are_as_many_as_in_the_set() {
        let counted = |set: &[(u8, u8)], live: &[(u8, u8)]| {
            let mut changes = 0;
            let counts = differing(&room, "features_plans", [set, live]).compare(|_, _, _| {
                changes += 1;
                Ok(())
            });
            counts.map(|counts| (counts[0].1, changes))
        };
        let twice = &[(1, 1), (1, 1), (2, 2)][..];
        assert_eq!(counted(twice, twice).unwrap(), (Compared { equal: 3, ..Compared::default() }, 0));
        assert_eq!(counted(twice, &[]).unwrap(), (Compared { insert: 3, ..Compared::default() }, 3));
        assert_eq!(counted(&[(2, 2)], twice).unwrap(), (Compared { delete: 2, equal: 1, ..Compared::default() }, 2));
        let error = counted(twice, &[(1, 1), (3, 3)]).unwrap_err();
        assert!(
            error.to_string().contains("table features_plans has equal rows, which no key tells apart: 2 in the set, 1 here"),
            "{error}"
        );
    }
}
