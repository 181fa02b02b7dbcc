//! Reads rows: of a set as they are in the repository, where no server is asked and no more than a part is held; or of the live database.

mod live;

use std::collections::HashMap;

use plan::ports::{RowReader, Snapshot, StopFlag};
use plan::{Error, Result};

use crate::quote;
use crate::row;
use crate::row_parts;
use crate::schema::Table;
use crate::stage::schema_of;
pub(crate) use live::read_live;

/// A table that is wanted, and the places of its wanted columns among the cells of a line.
struct Wanted<'s> {
    table: &'s Table,
    places: Vec<Option<usize>>,
}

/// `AUTO_INCREMENT=7` among the options of a table, which stand behind the last parenthesis that ends its columns.
fn next_id(create: &str) -> Option<u64> {
    let (_, options) = create.rsplit_once("\n) ")?;
    let (_, number) = options.split_once("AUTO_INCREMENT=")?;
    number.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
}

/// Tells a reader the rows that it wants.
///
/// # Errors
/// When the set cannot be read; what the reader says.
pub fn read_rows(snapshot: &dyn Snapshot, stop: &StopFlag, reader: &mut dyn RowReader) -> Result<()> {
    let schema = schema_of(snapshot)?;
    let mut wanted = HashMap::new();
    for table in &schema.tables {
        let kept: Vec<&str> = table.kept_columns().map(|column| column.name.as_str()).collect();
        let place = |name: &&str| kept.iter().position(|kept| kept == name);
        let places = if reader.wants_all(&table.name, &kept) {
            (0..kept.len()).map(Some).collect()
        } else {
            let Some(columns) = reader.wants(&table.name) else { continue };
            columns.iter().map(place).collect()
        };
        reader.table(&table.name);
        let key = table.keys.iter().find(|key| key.name == "PRIMARY");
        if let Some(key) = key.and_then(|key| key.parts.iter().map(|part| part.column.as_deref()).collect::<Option<Vec<_>>>()) {
            reader.primary_key(&table.name, &key);
        }
        if let Some(next) = next_id(&table.create) {
            reader.next_id(&table.name, next);
        }
        wanted.insert(quote::file_name(&table.name), Wanted { table, places });
    }
    row_parts::each(snapshot, stop, |folder, part| {
        let Some(wanted) = wanted.get(&*folder.to_string_lossy()) else { return Ok(()) };
        let rows = part.read(snapshot, wanted.table)?;
        for line in rows.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\n").ok_or_else(|| Error::failed(format!("{} ends within a row", part.path.display())))?;
            let cells = row::some_cells(line, &wanted.places)?;
            let cells: Vec<Option<&[u8]>> = cells.iter().map(Option::as_deref).collect();
            reader.row(&wanted.table.name, &cells)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::next_id;

    #[test]
    fn the_next_id_is_an_option_of_the_table() {
        assert_eq!(
            next_id("CREATE TABLE `t` (\n  `id` int NOT NULL AUTO_INCREMENT\n) ENGINE=InnoDB AUTO_INCREMENT=77 COMMENT='x'"),
            Some(77)
        );
        assert_eq!(next_id("CREATE TABLE `t` (\n  `id` int COMMENT 'AUTO_INCREMENT=5'\n) ENGINE=InnoDB"), None);
    }
}
