//! Loads the system database: tables, rows by `LOAD DATA LOCAL` over several connections, then triggers and procedure.
//!
//! `LOCAL` turns errors into warnings, so every portion's counts are compared: nothing may be left out silently.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use mysql::prelude::Queryable;
use mysql::{Conn, LocalInfileHandler, OptsBuilder};
use plan::error::During;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};
use plan::{Error, Result};

use super::{PROCEDURE, Table, schema, tables, triggers};
use crate::Mysql;
use crate::data::row::Rows;
use crate::data::shape::Shape;

const CONNECTIONS: usize = 3;
const PORTION_BYTES: u64 = 4 << 20;

struct Portion {
    table: &'static Table,
    first: u64,
    last: u64,
}

/// Makes the database and fills it.
pub(crate) fn load(server: &Mysql, database: &str, shape: &Shape, watch: &dyn Watch) -> Result<()> {
    let mut conn = connect(server, None)?;
    let run = |conn: &mut Conn, statement: &str| {
        conn.query_drop(statement).during(|| format!("run {}", statement.lines().next().unwrap_or_default()))
    };
    run(&mut conn, &format!("CREATE DATABASE `{database}` DEFAULT CHARACTER SET utf8mb3 COLLATE utf8mb3_bin"))?;
    run(&mut conn, &format!("USE `{database}`"))?;
    for statement in schema() {
        run(&mut conn, statement)?;
    }
    let allowed: u8 = conn.query_first("SELECT @@GLOBAL.local_infile").during(|| "read local_infile".to_owned())?.unwrap_or(0);
    run(&mut conn, "SET GLOBAL local_infile = 1")?;
    let queue = Mutex::new(portions(shape));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| work(server, database, shape, &queue, watch))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| Error::failed("a loading thread panicked"))?)
    })?;
    run(&mut conn, &format!("SET GLOBAL local_infile = {allowed}"))?;
    for trigger in triggers() {
        run(&mut conn, &trigger)?;
    }
    run(&mut conn, PROCEDURE)
}

/// Connects through the socket; `None` for no database.
pub(crate) fn connect(server: &Mysql, database: Option<&str>) -> Result<Conn> {
    let options = OptsBuilder::new().socket(server.socket().to_str()).user(Some("root")).pass(Some(server.password())).db_name(database);
    Conn::new(options).during(|| "connect to the lab's MySQL".to_owned())
}

/// Of all tables in turn, so that the connections seldom meet in one table.
fn portions(shape: &Shape) -> VecDeque<Portion> {
    let mut by_table: Vec<VecDeque<Portion>> = tables().map(|table| portions_of(table, shape)).collect();
    let mut queue = VecDeque::new();
    while by_table.iter().any(|portions| !portions.is_empty()) {
        queue.extend(by_table.iter_mut().filter_map(VecDeque::pop_front));
    }
    queue
}

fn portions_of(table: &'static Table, shape: &Shape) -> VecDeque<Portion> {
    let (rows, step) = ((table.rows)(shape), (PORTION_BYTES / table.row_bytes).max(1));
    (0..rows.div_ceil(step)).map(|index| Portion { table, first: index * step + 1, last: ((index + 1) * step).min(rows) }).collect()
}

fn work(server: &Mysql, database: &str, shape: &Shape, queue: &Mutex<VecDeque<Portion>>, watch: &dyn Watch) -> Result<()> {
    let mut conn = connect(server, Some(database))?;
    for statement in [
        // Zero dates and id 0 as they are in old installations.
        "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0, unique_checks = 0",
        "SET SESSION sql_log_bin = 0",
    ] {
        conn.query_drop(statement).during(|| format!("run {statement}"))?;
    }
    let mut rows = Rows::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(portion) = next else { return Ok(()) };
        for number in portion.first..=portion.last {
            (portion.table.row)(shape, number, &mut rows);
        }
        let bytes = rows.take();
        let size = bytes.len() as u64;
        let count = insert(&mut conn, portion.table.name, bytes)?;
        watch.see(Event::Advance { data_set: DataSetName::SystemDatabase, verb: Verb::Stage, bytes: size, items: count });
    }
}

fn insert(conn: &mut Conn, table: &str, bytes: Vec<u8>) -> Result<u64> {
    let count = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    conn.set_local_infile_handler(Some(LocalInfileHandler::new(move |_, stream| stream.write_all(&bytes))));
    conn.query_drop(format!("LOAD DATA LOCAL INFILE 'rows' INTO TABLE `{table}` CHARACTER SET binary"))
        .during(|| format!("load rows into {table}"))?;
    let (loaded, warnings) = (conn.affected_rows(), conn.warnings());
    if loaded == count && warnings == 0 {
        return Ok(count);
    }
    let seen: Vec<(String, u32, String)> = conn.query("SHOW WARNINGS LIMIT 3").during(|| "read the warnings".to_owned())?;
    Err(Error::failed(format!("{loaded} of {count} rows were loaded into {table}, with {warnings} warnings"))
        .hint(format!("The first: {seen:?}.")))
}
