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
    let tables: Vec<_> = tables.collect();
    let generated = generated(&mut session)?;
    let positions = sequences::positions(&mut session, 0)?;
    for (table, list) in wanted(&tables, &generated, reader) {
        reader.table(&table.name);
        if let Some(next) = positions.get(&format!("sequence {}.{}_id_seq", table.schema, table.name)) {
            reader.next_id(&table.name, u64::try_from(*next).unwrap_or_default());
        }
        let condition = condition(&table.name, reader);
        let statement = format!("COPY (SELECT {} FROM ONLY {}{condition}) TO STDOUT", list.join(", "), table.quoted());
        let places = (0..list.len()).map(Some).collect();
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

/// The columns of all tables that the server computes, each with its table: no dump has them.
fn generated(session: &mut Session) -> Result<Vec<(String, String)>> {
    let query = "SELECT c.oid::regclass::text, a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                 WHERE a.attgenerated <> '' AND c.relkind = 'r' AND NOT a.attisdropped";
    Ok(session.rows(query, "list the columns that are computed")?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The tables that are wanted, round by round, each with what is selected of it. A column that there is not is as if it were NULL.
fn wanted<'t>(
    tables: &[&'t digest::Table],
    generated: &[(String, String)],
    reader: &mut dyn RowReader,
) -> Vec<(&'t digest::Table, Vec<String>)> {
    let mut wanted = Vec::new();
    for round in 0..reader.rounds() {
        reader.round(round);
        for table in tables {
            let is_kept =
                |column: &&str| !generated.iter().any(|(of, name)| (*of == table.collection() || *of == table.quoted()) && name == column);
            let kept: Vec<&str> = table.columns.iter().map(String::as_str).filter(is_kept).collect();
            if reader.wants_all(&table.name, &kept) {
                wanted.push((*table, kept.into_iter().map(identifier).collect()));
            } else if let Some(columns) = reader.wants(&table.name) {
                let cell = |name: &&str| if table.has(name) { identifier(name) } else { "NULL".to_owned() };
                wanted.push((*table, columns.iter().map(cell).collect()));
            }
        }
    }
    wanted
}

fn condition(table: &str, reader: &dyn RowReader) -> String {
    let Some((column, numbers)) = reader.narrowed(table) else { return String::new() };
    let (column, numbers) = (identifier(column), numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    format!(" WHERE {column} IN ({numbers}) OR {column} IS NULL")
}
