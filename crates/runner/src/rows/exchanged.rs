//! Values that no two rows share and that rows take from each other. A server looks at each row as it is changed: so those that have what another one gets are parked before, where nobody has
//! anything, within the transaction.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use plan::Result;
use plan::ports::{Cell, ChangingRows, RowChange, RowsOf, TableShape};

use super::{Parts, locked};

/// A table and the key of a row in it.
pub(super) type RowName = (String, Vec<Cell>);

/// Which way the rows change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forth,
    Back,
}

impl Way {
    /// What a row that is changed has, and what it gets.
    fn of(self, change: &RowChange) -> Option<(&[Cell], &[Cell])> {
        let (was, becomes) = (change.was.as_deref()?, change.becomes.as_deref()?);
        Some(if self == Self::Forth { (was, becomes) } else { (becomes, was) })
    }
}

/// Parks the rows that have what others get, but for those that stay. Gives those that were parked.
pub(super) fn park(
    rows: &mut dyn ChangingRows,
    parts: &Parts<'_>,
    shapes: &[TableShape],
    way: Way,
    stay: &HashSet<RowName>,
) -> Result<HashSet<RowName>> {
    let unique: BTreeMap<&str, &[Vec<String>]> = shapes.iter().map(|shape| (shape.name.as_str(), shape.unique.as_slice())).collect();
    let (mut wanted, mut parked) = (HashSet::new(), HashSet::new());
    parts.each(|of, some| {
        each_value(&unique, of, some, way, |_, _, gets, _| {
            wanted.insert(gets);
        });
        Ok(())
    })?;
    if wanted.is_empty() {
        return Ok(parked);
    }
    parts.each(|of, some| {
        let mut stand_in_the_way: BTreeMap<&[String], Vec<RowChange>> = BTreeMap::new();
        each_value(&unique, of, some, way, |columns, has, _, change| {
            if wanted.contains(&has) {
                stand_in_the_way.entry(columns).or_default().push(change.clone());
            }
        });
        for (columns, some) in stand_in_the_way {
            let mut keys = Vec::new();
            for (change, live) in some.iter().zip(locked(rows, of, &some)?) {
                let key = of.key_of(change.row());
                let name = (of.table.clone(), key.clone());
                let is_as_looked_at = live.as_deref() == way.of(change).map(|(has, _)| has);
                // It may be parked already, for another value.
                if !stay.contains(&name) && (is_as_looked_at || parked.contains(&name)) {
                    keys.push(key);
                    parked.insert(name);
                }
            }
            rows.park(of, &keys, columns)
                .map_err(|error| error.during(format!("no row was changed: rows of {} exchange values that no two share", of.table)))?;
        }
        Ok(())
    })?;
    Ok(parked)
}

/// Gives each value that no two rows share and that changes: its columns, what stands for that which the row has and for that which it gets.
fn each_value<'u, 'c>(
    unique: &BTreeMap<&str, &'u [Vec<String>]>,
    of: &RowsOf,
    some: &'c [RowChange],
    way: Way,
    mut give: impl FnMut(&'u [String], u64, u64, &'c RowChange),
) {
    for columns in unique.get(of.table.as_str()).copied().unwrap_or_default() {
        let places: Option<Vec<usize>> = columns.iter().map(|name| of.columns.iter().position(|column| column == name)).collect();
        let Some(places) = places else { continue };
        for change in some {
            let Some((has, gets)) = way.of(change) else { continue };
            let value = |row: &[Cell]| stands_for(&of.table, columns, places.iter().map(|at| row.get(*at).and_then(Option::as_deref)));
            if let (Some(has), Some(gets)) = (value(has), value(gets))
                && has != gets
            {
                give(columns, has, gets, change);
            }
        }
    }
}

/// Stands for a value; `None` where one of it is NULL, which is in nobody's way. What a collation takes for the same mostly has the same: a row that is parked for nothing does no harm.
fn stands_for<'c>(table: &str, columns: &[String], cells: impl Iterator<Item = Option<&'c [u8]>>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    (table, columns).hash(&mut hasher);
    for cell in cells {
        String::from_utf8_lossy(cell?).to_lowercase().trim_end().hash(&mut hasher);
    }
    Some(hasher.finish())
}
