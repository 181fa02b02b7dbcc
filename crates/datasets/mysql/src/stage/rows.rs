//! Loads parts of rows: by `LOAD DATA`, or by `INSERT` where the server takes no local files. Each part in a transaction of its own, and all of it or nothing:
//! the server takes what it can of a bad part and says so in warnings only.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use crossbeam_channel::Receiver;
use mysql::LocalInfileHandler;
use mysql::prelude::Queryable;
use plan::ports::{Context, Event, Snapshot, Verb};
use plan::{Error, Result};

use crate::load;
use crate::place::Schemas;
use crate::row;
use crate::row_parts::RowPart;
use crate::schema::{Schema, Table};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// An `INSERT` ends about here; a larger row makes a larger statement.
const INSERT_BYTES: usize = 1 << 20;

/// Loads parts until there are no more.
pub(super) fn load_parts(
    store: &MysqlStore,
    context: &Context,
    schemas: &Schemas,
    snapshot: &dyn Snapshot,
    schema: &Schema,
    local: bool,
    parts: &Receiver<(usize, RowPart)>,
) -> Result<()> {
    let mut session = store.restoring(Talk::Rows, schemas, Some(schemas.target()))?;
    let waiting: Arc<Mutex<Vec<u8>>> = Arc::default();
    let handed = Arc::clone(&waiting);
    // Whatever file the server asks for, it gets the part and nothing else.
    session.conn.set_local_infile_handler(Some(LocalInfileHandler::new(move |_, to| {
        let part = handed.lock().map_err(|_| std::io::Error::other("the part is gone"))?;
        to.write_all(&part)
    })));
    for (index, part) in parts {
        context.stop.check()?;
        let Some(table) = schema.tables.get(index) else { continue };
        let bytes = part.read(snapshot, table)?;
        let rows = row::count(&bytes);
        let size_bytes = bytes.len() as u64;
        let loaded = if local {
            *waiting.lock().map_err(|_| Error::failed("the part is gone"))? = bytes;
            session.in_transaction("load a part", || context.stop.check(), |session| load_data(session, schemas.target(), table, rows))
        } else {
            session.in_transaction("load a part", || context.stop.check(), |session| insert(session, schemas.target(), table, &bytes, rows))
        };
        loaded.map_err(|error| error.during(format!("failed to load {} into table {:?}", part.path.display(), table.name)))?;
        context.watch.see(Event::Advance { data_set: store.name, verb: Verb::Stage, bytes: size_bytes, items: rows });
    }
    Ok(())
}

fn load_data(session: &mut Session, schema: &str, table: &Table, rows: u64) -> Result<()> {
    let affected = session.run("load rows", &load::statement(Some(schema), table, "part"))?;
    accept(session, table, affected, rows)
}

fn insert(session: &mut Session, schema: &str, table: &Table, bytes: &[u8], rows: u64) -> Result<()> {
    let start = load::insert_into(schema, table);
    let columns: Vec<_> = table.kept_columns().collect();
    let taken = session.variable("max_allowed_packet")?.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let limit = INSERT_BYTES.min(taken / 2);
    let (mut statement, mut held, mut affected) = (start.clone(), 0, 0);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let cells = if columns.is_empty() { Vec::new() } else { row::cells(line.strip_suffix(b"\n").unwrap_or(line))? };
        let values: Vec<String> = columns.iter().zip(&cells).map(|(column, cell)| load::literal(column, cell.as_deref())).collect();
        let values = format!("({})", values.join(","));
        if held > 0 && statement.len() + values.len() >= limit {
            affected += flush(session, table, &mut statement, &start, &mut held)?;
        }
        if held > 0 {
            statement.push(',');
        }
        statement.push_str(&values);
        held += 1;
        if statement.len() >= limit {
            affected += flush(session, table, &mut statement, &start, &mut held)?;
        }
    }
    affected += flush(session, table, &mut statement, &start, &mut held)?;
    if affected != rows {
        return Err(Error::failed(format!("{affected} rows instead of {rows} were loaded")));
    }
    Ok(())
}

fn flush(session: &mut Session, table: &Table, statement: &mut String, start: &str, held: &mut u64) -> Result<u64> {
    if *held == 0 {
        return Ok(0);
    }
    let affected = session.run("insert rows", statement).map_err(|error| {
        error.hint("A row larger than half of max_allowed_packet cannot be inserted: raise it, or set local_infile = ON on the server.")
    })?;
    accept(session, table, affected, *held)?;
    statement.clear();
    statement.push_str(start);
    *held = 0;
    Ok(affected)
}

/// Whether a statement took every row as it was. Fine are the warning of an ENUM's error value (index 0), which is what was
/// read, and the one that the history of a table needs more partitions, which the original had too.
fn accept(session: &mut Session, table: &Table, affected: u64, rows: u64) -> Result<()> {
    let warnings = if session.conn.warnings() == 0 { Vec::new() } else { warnings(session)? };
    let is_enum = |message: &str| {
        let of_enum = |column: &crate::schema::Column| column.data_type == "enum" && message.contains(&format!("'{}'", column.name));
        message.starts_with("Data truncated for column") && table.columns.iter().any(of_enum)
    };
    let is_fine = |message: &str| is_enum(message) || message.starts_with("Versioned table ");
    let bad: Vec<&String> = warnings.iter().filter(|message| !is_fine(message)).take(3).collect();
    if affected == rows && bad.is_empty() {
        return Ok(());
    }
    let mut error = Error::failed(format!("{affected} rows instead of {rows} were taken as they are"));
    for message in bad {
        error = error.hint(format!("The server warns: {message}."));
    }
    Err(error)
}

fn warnings(session: &mut Session) -> Result<Vec<String>> {
    let _waiting = session.waiting();
    let rows: Vec<(String, u32, String)> = session.conn.query("SHOW WARNINGS").map_err(|error| session.failure("read warnings", error))?;
    Ok(rows.into_iter().map(|(_, _, message)| message).collect())
}
