//! Reads rows of the live database, all as of one moment, and gives its locks back when the application would wait for them.

use mysql::{Row, Value};
use plan::ports::{Context, RowReader};
use plan::{Error, Result};

use crate::cut_over::next_of;
use crate::dump::Lookout;
use crate::place::Room;
use crate::quote;
use crate::schema::Column;
use crate::schema::read::{columns, table_names};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Between two looks at the stop flag.
const GLANCE_ROWS: u64 = 1000;
/// How long the definition of a table is waited for, in seconds.
const LOCK_WAIT_SECONDS: u32 = 5;

/// A table that is wanted, and what is selected of it.
struct Wanted {
    table: String,
    list: String,
    condition: String,
}

/// Tells a reader the rows that it wants.
///
/// # Errors
/// When they cannot be read; [`plan::Class::Transient`] when the application would have waited; what the reader says.
pub(crate) fn read_live(store: &MysqlStore, context: &Context, reader: &mut dyn RowReader) -> Result<()> {
    let wanted = wanted(&mut store.session(Talk::Text, Some(&store.address.database))?, &store.address.database, reader)?;
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.table.clone()).collect();
    let mut session = store.session(Talk::Rows, Some(&store.address.database))?;
    session.set(&format!("SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}"))?;
    let mut lookout = Lookout::begin(store, &names, vec![session.id()])?;
    session.rows("begin a transaction", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?;
    let read = wanted.iter().try_for_each(|wanted| rows(&mut session, context, wanted, reader));
    let read = read.and_then(|()| session.rows("end the transaction", "ROLLBACK").map(drop));
    lookout.end();
    read.map_err(|error| lookout.explain_reading(error))
}

/// The tables that are wanted, round by round; a column that there is not is selected as NULL.
fn wanted(session: &mut Session, database: &str, reader: &mut dyn RowReader) -> Result<Vec<Wanted>> {
    let columns = columns(session, database)?;
    let tables = table_names(session, database)?;
    let mut wanted = Vec::new();
    for round in 0..reader.rounds() {
        reader.round(round);
        for table in &tables {
            let there = columns.get(table).map_or(&[][..], Vec::as_slice);
            let Some(list) = list_of(table, there, reader) else { continue };
            reader.table(table);
            wanted.push(Wanted { list, condition: condition(table, reader), table: table.clone() });
        }
    }
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.table.clone()).collect();
    for id in next_of(session, &Room::whole(database), &names)? {
        reader.next_id(&id.name, u64::try_from(id.next).unwrap_or_default());
    }
    Ok(wanted)
}

/// What is selected of a table: all as a set would have it, or some columns.
fn list_of(table: &str, there: &[Column], reader: &mut dyn RowReader) -> Option<String> {
    let (kept, selects): (Vec<_>, Vec<_>) = there.iter().filter_map(|column| Some((column.name.as_str(), column.select.clone()?))).unzip();
    if reader.wants_all(table, &kept) {
        return Some(selects.join(", "));
    }
    let has = |name: &str| there.iter().any(|column| column.name == name);
    let list: Vec<_> = reader.wants(table)?.iter().map(|name| if has(name) { quote::name(name) } else { "NULL".to_owned() }).collect();
    Some(list.join(", "))
}

fn condition(table: &str, reader: &dyn RowReader) -> String {
    let Some((column, numbers)) = reader.narrowed(table) else { return String::new() };
    let (column, numbers) = (quote::name(column), numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
    format!(" WHERE {column} IN ({numbers}) OR {column} IS NULL")
}

fn rows(session: &mut Session, context: &Context, wanted: &Wanted, reader: &mut dyn RowReader) -> Result<()> {
    let Wanted { table, list, condition } = wanted;
    let mut number = 0_u64;
    session.stream(&format!("read the rows of {table}"), &format!("SELECT {list} FROM {}{condition}", quote::name(table)), |row, _| {
        number += 1;
        if number.is_multiple_of(GLANCE_ROWS) {
            context.stop.check()?;
        }
        reader.row(table, &cells(&row)?)
    })
}

fn cells(row: &Row) -> Result<Vec<Option<&[u8]>>> {
    let cell = |index| match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => Ok(Some(bytes.as_slice())),
        Some(Value::NULL) => Ok(None),
        _ => Err(Error::failed("the server answered a text query with a binary value")),
    };
    (0..row.len()).map(cell).collect()
}
