//! Reads rows of the live database in the same kind of view as a dump, and gives its locks back when somebody would wait for them.

use plan::Result;
use plan::ports::{Context, RowReader};

use super::Table;
use crate::address::Address;
use crate::counting::enter;
use crate::digest;
use crate::guard::Guard;
use crate::sequences;
use crate::session::Session;
use crate::sql::identifier;
use crate::view::View;

/// Between two looks at the stop flag.
const GLANCE_BYTES: usize = 1 << 20;

/// Tells a reader the rows that it wants. Of two tables of a name it is the one in the schema `public`.
///
/// # Errors
/// When they cannot be read; [`plan::Class::Transient`] when somebody wanted a table for himself; what the reader says.
pub(crate) fn read_live(address: &Address, context: &Context, reader: &mut dyn RowReader) -> Result<()> {
    let mut holder = Session::open(address)?;
    let view = View::open(&mut holder, &context.stop)?;
    let guard = Guard::over(holder);
    let read = guard.explain(in_view(address, context, &view, reader));
    read.and_then(|()| guard.end().map(drop))
}

fn in_view(address: &Address, context: &Context, view: &View, reader: &mut dyn RowReader) -> Result<()> {
    let mut session = Session::open(address)?;
    enter(&mut session, &view.snapshot)?;
    let is_public = |table: &digest::Table| table.schema == "public";
    let has_twin = |table: &digest::Table| view.tables.iter().any(|other| is_public(other) && other.name == table.name);
    let tables = view.tables.iter().filter(|table| is_public(table) || !has_twin(table));
    let wanted: Vec<_> = tables.filter_map(|table| Some((table, reader.wants(&table.name)?))).collect();
    let positions = sequences::positions(&mut session, 0)?;
    for (table, columns) in wanted {
        reader.table(&table.name);
        if let Some(next) = positions.get(&format!("sequence {}.{}_id_seq", table.schema, table.name)) {
            reader.next_id(&table.name, u64::try_from(*next).unwrap_or_default());
        }
        // A column that there is not is as if it were NULL.
        let list: Vec<_> = columns.iter().map(|name| if table.has(name) { identifier(name) } else { "NULL".to_owned() }).collect();
        let statement = format!("COPY (SELECT {} FROM ONLY {}) TO STDOUT", list.join(", "), table.quoted());
        let places = (0..columns.len()).map(Some).collect();
        let mut rows = Table { name: table.name.clone(), places, begun: Vec::new() };
        let mut passed = 0;
        session.copy_out(&statement, &format!("read {}", table.collection()), |piece| {
            passed += piece.len();
            if passed > GLANCE_BYTES {
                passed = 0;
                context.stop.check()?;
            }
            rows.pass(piece, reader)
        })?;
    }
    Ok(())
}
