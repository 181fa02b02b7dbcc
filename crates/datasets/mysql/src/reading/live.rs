//! Reads rows of the live database, all as of one moment, and gives its locks back when the application would wait for them.

use std::collections::{BTreeMap, BTreeSet};

use mysql::{Row, Value};
use plan::ports::{Context, RowReader};
use plan::{Error, Result};

use crate::cut_over::next_of;
use crate::dump::Lookout;
use crate::place::Room;
use crate::quote;
use crate::schema::read::table_names;
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

/// The tables that are wanted; a column that there is not is selected as NULL.
fn wanted(session: &mut Session, database: &str, reader: &mut dyn RowReader) -> Result<Vec<Wanted>> {
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let sql = format!("SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {}", quote::text(database));
    for record in session.rows("list the columns", &sql)? {
        columns.entry(record.text(0)?).or_default().insert(record.text(1)?);
    }
    let mut wanted = Vec::new();
    for table in table_names(session, database)? {
        let Some(columns_wanted) = reader.wants(&table) else { continue };
        reader.table(&table);
        let is_there = |name: &str| columns.get(&table).is_some_and(|columns| columns.contains(name));
        let list: Vec<_> = columns_wanted.iter().map(|name| if is_there(name) { quote::name(name) } else { "NULL".to_owned() }).collect();
        wanted.push(Wanted { list: list.join(", "), table });
    }
    let names: Vec<String> = wanted.iter().map(|wanted| wanted.table.clone()).collect();
    for id in next_of(session, &Room::whole(database), &names)? {
        reader.next_id(&id.name, u64::try_from(id.next).unwrap_or_default());
    }
    Ok(wanted)
}

fn rows(session: &mut Session, context: &Context, wanted: &Wanted, reader: &mut dyn RowReader) -> Result<()> {
    let Wanted { table, list } = wanted;
    let mut number = 0_u64;
    session.stream(&format!("read the rows of {table}"), &format!("SELECT {list} FROM {}", quote::name(table)), |row, _| {
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
