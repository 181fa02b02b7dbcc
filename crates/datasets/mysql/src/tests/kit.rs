//! What the tests stand on: servers, a snapshot in memory, and the servers' own words about what they hold.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use lab::{Mysql, MysqlKind};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder, Row, Value};
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Entry, EntryHandle, Event, Meta, Place, Road, Snapshot, Verdict, Watch};
use plan::{Error, Result};

use crate::{Address, MysqlStore, Options};

pub(super) const KINDS: [MysqlKind; 2] = [MysqlKind::Mysql, MysqlKind::Mariadb];
/// Every server at hand.
pub(super) const SERVERS: [MysqlKind; 3] = [MysqlKind::Mysql, MysqlKind::Mariadb, MysqlKind::NewerMariadb];

/// Starts a server of a kind; the buffer pool is small, many run at a time. Temporary files go to its own folder: MariaDB removes those of every other server
/// when it starts, and a server that misses one ends (`ha_maria::drop_table` of a table that is not there).
pub(super) fn server(kind: MysqlKind, options: &[&str]) -> Mysql {
    let options: Vec<&str> = ["--innodb-buffer-pool-size=128M", "--tmpdir=."].into_iter().chain(options.iter().copied()).collect();
    Mysql::start(kind, &options).unwrap()
}

/// A connection of root, with the server's own defaults but for the character set.
pub(super) fn root(server: &Mysql, database: Option<&str>) -> Conn {
    user(server, "root", server.password(), database)
}

pub(super) fn user(server: &Mysql, name: &str, password: &str, database: Option<&str>) -> Conn {
    let options = OptsBuilder::new().ip_or_hostname(Some("127.0.0.1")).tcp_port(server.port()).prefer_socket(false);
    let options = options.user(Some(name)).pass(Some(password)).db_name(database).init(vec!["SET NAMES utf8mb4"]);
    Conn::new(options).unwrap()
}

/// Runs statements, separated by lines that hold `;;` only.
pub(super) fn run(conn: &mut Conn, script: &str) {
    for statement in script.split(";;\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        conn.query_drop(statement).unwrap_or_else(|error| panic!("{error}\n{statement}"));
    }
}

pub(super) fn store(server: &Mysql, database: &str) -> MysqlStore {
    store_with(server, database, Options { lock_wait_seconds: 2, ..Options::default() })
}

pub(super) fn store_with(server: &Mysql, database: &str, options: Options) -> MysqlStore {
    MysqlStore::new(DataSetName::SystemDatabase, Address::parse(&server.url(database)).unwrap(), options)
}

pub(super) fn store_as(server: &Mysql, name: &str, database: &str, options: Options) -> MysqlStore {
    let address = Address::parse(&format!("mysql2://{name}:pw@127.0.0.1:{}/{database}", server.port())).unwrap();
    MysqlStore::new(DataSetName::SystemDatabase, address, options)
}

/// Keeps warnings.
#[derive(Default)]
pub(super) struct Heard(pub(super) Mutex<Vec<String>>);

impl Watch for Heard {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

pub(super) fn context(run: &str) -> Context {
    Context { workers: 3, watch: Arc::new(Heard::default()), ..Context::new(format!("01jd00{run:0>10}")) }
}

/// A snapshot in memory.
pub(super) struct Held(pub(super) Vec<(PathBuf, Vec<u8>)>);

impl Snapshot for Held {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.0.iter().enumerate().map(|(index, (path, bytes))| Ok(entry(index, path, bytes.len())))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        let found = self.0.iter().position(|(held, _)| held == path).ok_or_else(|| Error::failed("no such entry"))?;
        Ok(entry(found, path, self.0[found].1.len()))
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        let index = *entry.handle.0.downcast_ref::<usize>().unwrap();
        Ok(Box::new(Cursor::new(self.0[index].1.clone())))
    }
}

fn entry(index: usize, path: &Path, len: usize) -> Entry {
    Entry {
        path: path.to_owned(),
        meta: Meta::default(),
        size_bytes: len as u64,
        kind: plan::ports::EntryKind::File,
        handle: EntryHandle(Box::new(index)),
    }
}

impl Held {
    /// The parts of rows, with their paths.
    pub(super) fn rows(&self) -> impl Iterator<Item = &(PathBuf, Vec<u8>)> {
        self.0.iter().filter(|(path, _)| path.starts_with("rows"))
    }

    /// Writes all entries below a folder, as `restic restore` does, and joins what is kept as columns, as the recovery document does.
    pub(super) fn restore(&self, to: &Path) {
        for (path, bytes) in &self.0 {
            std::fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
            std::fs::write(to.join(path), bytes).unwrap();
        }
        let join = r#"for part in rows/*/*/; do if [ -d "$part" ]; then LC_ALL=C paste "$part"*.tsv > "${part%/}.tsv"; fi; done"#;
        assert!(std::process::Command::new("bash").args(["-euc", join]).current_dir(to).status().unwrap().success());
    }
}

/// Dumps a store into memory; checks the order of the parts.
pub(super) fn keep(store: &MysqlStore, context: &Context) -> (Arc<Held>, KeptDataSet) {
    try_keep(store, context).unwrap()
}

pub(super) fn try_keep(store: &MysqlStore, context: &Context) -> Result<(Arc<Held>, KeptDataSet)> {
    let findings = store.look(context)?;
    let started_at = Timestamp::now();
    let mut dump = store.dump(context)?;
    let mut parts = Vec::new();
    while let Some(part) = dump.next_part()? {
        let Content::Bytes(bytes) = part.content else { panic!("a part that is not in memory") };
        parts.push((part.path, bytes));
    }
    let Verdict { evidence, consistent_at, problems } = dump.finish()?;
    let mut sorted: Vec<_> = parts.iter().map(|(path, _)| path.clone()).collect();
    sorted.sort();
    assert!(parts.iter().map(|(path, _)| path).eq(&sorted), "parts leave in the order of restic's trees");
    let kept = KeptDataSet {
        snapshot: SnapshotId("0".into()),
        kind: store.kind()?,
        identity: None,
        store: findings.store,
        started_at,
        consistent_at,
        finished_at: Timestamp::now(),
        parts: parts.len() as u64,
        bytes: parts.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        stored_bytes: 0,
        evidence,
        problems,
    };
    Ok((Arc::new(Held(parts)), kept))
}

/// Stages and proves beside the live database; returns the place.
pub(super) fn stage(store: &MysqlStore, context: &Context, held: &Arc<Held>, kept: &KeptDataSet, road: Road) -> Place {
    let place = store.reserve(context, kept, road).unwrap();
    store.stage(context, &place, held.clone(), kept).unwrap();
    let found = store.prove(context, &place, kept).unwrap();
    let differences = kept.evidence.differences(&found);
    let rows = if differences.is_empty() { Vec::new() } else { different_rows(store, &place, held) };
    assert_eq!(differences, Vec::<String>::new(), "{:?}\n{}", found.warnings, rows.join("\n"));
    place
}

/// Says which cell differs, where a digest says only that one does.
fn different_rows(store: &MysqlStore, place: &Place, held: &Held) -> Vec<String> {
    let mut session = store.session(crate::session::Talk::Rows, None).unwrap();
    let live_name = &store.address.database;
    let target = crate::place::Schemas::from_place(place, live_name).unwrap().target().to_owned();
    let schema = crate::stage::schema_of(held).unwrap();
    let mut different = Vec::new();
    for table in schema.tables.iter().filter(|table| table.average_row_bytes < 100_000) {
        let mut lines = |schema: &str| -> Vec<String> {
            let sql = format!("SELECT {} FROM {}", table.select_list(), crate::quote::qualified(schema, &table.name));
            session.conn.query::<Row, _>(sql).unwrap().iter().map(|row| format!("{row:?}")).collect()
        };
        let (live, staged) = (lines(live_name), lines(&target));
        different.extend(live.iter().filter(|line| !staged.contains(line)).map(|line| format!("only in the live table: {line}")));
        different.extend(staged.iter().filter(|line| !live.contains(line)).map(|line| format!("only in the staged table: {line}")));
    }
    different
}

/// Whether a table or view in the live database is what a run keeps there.
fn is_of_a_run(name: &str) -> bool {
    name.starts_with("__before_") || name.starts_with("__stage_") || name == "threescale_backup_mark"
}

/// What runs keep in the live database.
pub(super) fn kept_within(server: &Mysql, database: &str) -> Vec<String> {
    let names: Vec<(String, String)> = root(server, Some(database)).query("SHOW FULL TABLES").unwrap();
    names.into_iter().map(|(name, _)| name).filter(|name| is_of_a_run(name)).collect()
}

/// Everything that a server says about a database: definitions, and checksums of the rows; not what runs keep in it.
pub(super) fn all_of(server: &Mysql, database: &str) -> BTreeMap<String, String> {
    let mut conn = root(server, None);
    let mut all = BTreeMap::new();
    let Some(shown) = conn.query_first::<Row, _>(format!("SHOW CREATE DATABASE `{database}`")).ok().flatten() else { return all };
    all.insert("database".into(), text(&shown, 1));
    conn.query_drop(format!("USE `{database}`")).unwrap();
    let tables: Vec<(String, String)> = conn.query("SHOW FULL TABLES").unwrap();
    for (name, kind) in tables.into_iter().filter(|(name, _)| !is_of_a_run(name)) {
        let quoted = format!("`{}`", name.replace('`', "``"));
        let shown: Row = conn.query_first(format!("SHOW CREATE TABLE {quoted}")).unwrap().unwrap();
        all.insert(format!("{kind} {name}"), without_implied_charset(&text(&shown, 1)));
        if kind == "BASE TABLE" {
            let sum: Row = conn.query_first(format!("CHECKSUM TABLE {quoted} EXTENDED")).unwrap().unwrap();
            all.insert(format!("checksum {name}"), text(&sum, 1));
        }
    }
    for (kind, list, column) in [
        ("TRIGGER", "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()", 2),
        (
            "PROCEDURE",
            "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'PROCEDURE'",
            2,
        ),
        (
            "FUNCTION",
            "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'FUNCTION'",
            2,
        ),
        ("EVENT", "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()", 3),
    ] {
        for name in conn.query::<String, _>(list).unwrap() {
            let shown: Row = conn.query_first(format!("SHOW CREATE {kind} `{name}`")).unwrap().unwrap();
            // sql_mode, definition, character set, collations: all but the time of creation.
            let settings: Vec<String> =
                (1..shown.len()).filter(|at| shown.columns_ref()[*at].name_str() != "Created").map(|at| text(&shown, at)).collect();
            assert!(!text(&shown, column).is_empty());
            all.insert(format!("{kind} {name}"), settings.join(" | "));
        }
    }
    let order: Vec<(String, String, u32)> = conn
        .query("SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME, ACTION_ORDER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()")
        .unwrap();
    all.extend(order.into_iter().map(|(table, name, at)| (format!("order {table} {name}"), at.to_string())));
    all
}

/// MySQL notes whether a column's character set was written out; `SHOW CREATE TABLE` then repeats it. The collation says it too.
pub(super) fn without_implied_charset(create: &str) -> String {
    let mut pieces = create.split(" CHARACTER SET ");
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        match piece.split_once(' ') {
            Some((_, rest)) if rest.starts_with("COLLATE ") => out.push(' '),
            _ => out.push_str(" CHARACTER SET "),
        }
        out.push_str(piece.split_once(' ').filter(|(_, rest)| rest.starts_with("COLLATE ")).map_or(piece, |(_, rest)| rest));
    }
    out
}

fn text(row: &Row, index: usize) -> String {
    match row.as_ref(index) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

/// Schemas of runs that are there.
pub(super) fn side_schemas(server: &Mysql) -> Vec<String> {
    root(server, None).query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '%\\_\\_stage\\_%' OR SCHEMA_NAME LIKE '%\\_\\_before\\_%'").unwrap()
}

/// Fails with the first difference of two descriptions. The id that a table or a sequence gives next may be higher than it was: none is given twice.
pub(super) fn assert_same(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>, what: &str) {
    let names: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    for name in names {
        let (wanted, found) = (wanted.get(name), found.get(name));
        if !wanted.zip(found).is_some_and(|(wanted, found)| goes_on_later(wanted, found)) {
            assert_eq!(wanted, found, "{what}: {name}");
        }
    }
}

/// Whether two definitions differ in `AUTO_INCREMENT=…` only, and the one that was found is not lower.
fn goes_on_later(wanted: &str, found: &str) -> bool {
    let apart = |text: &str| -> (String, u64) {
        let Some((before, rest)) = text.split_once("AUTO_INCREMENT=") else { return (text.to_owned(), 0) };
        let end = rest.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(rest.len());
        (format!("{}{}", before, rest[end..].trim_start()), rest[..end].parse().unwrap_or(0))
    };
    let ((wanted, at_least), (found, next)) = (apart(wanted), apart(found));
    wanted == found && next >= at_least
}

/// Waits for a condition, with a limit.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
