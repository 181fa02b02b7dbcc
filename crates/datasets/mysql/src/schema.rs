//! A database's schema as a value: what a dump writes into `schema.json`, and what a load makes again.
//!
//! Pure: reading it from a server is [`read`]'s, cutting definitions apart is [`definition`]'s.

pub(crate) mod definition;
pub(crate) mod lines;
pub(crate) mod literals;
pub(crate) mod needs;
pub(crate) mod read;
pub(crate) mod told;

use serde::{Deserialize, Serialize};

use crate::quote;
use crate::server::Server;

/// The newest format of `schema.json`: with parts of rows that are kept as columns.
pub(crate) const FORMAT: u32 = 3;
/// With sequences, or tables that keep their history.
const SECOND_FORMAT: u32 = 2;
/// Without any of these, which release 0.1.0 reads.
const FIRST_FORMAT: u32 = 1;
/// How MariaDB writes the "expression" of the columns that say from when, and until when, a row was.
pub(crate) const ROW_START: &str = "ROW START";
pub(crate) const ROW_END: &str = "ROW END";

/// Everything but the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    /// Version of this format.
    pub(crate) format: u32,
    /// The server that it was read from.
    pub(crate) server: Server,
    /// Tables, sorted by the file names of their rows.
    pub(crate) tables: Vec<Table>,
    /// What is not a table.
    pub(crate) objects: Objects,
    /// Sequences of MariaDB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sequences: Vec<Sequence>,
}

/// A sequence of MariaDB: a table of one row, whose columns say how it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// `SHOW CREATE SEQUENCE`.
    pub(crate) create: String,
    /// Its row: the next value that is in no cache first. Read after the moment of the view, so no row has a value that it will give.
    pub(crate) row: Vec<String>,
}

impl Schema {
    /// Of its parts.
    pub(crate) fn new(server: Server, tables: Vec<Table>, objects: Objects, sequences: Vec<Sequence>) -> Self {
        let is_new = !sequences.is_empty() || tables.iter().any(|table| table.versioned);
        Self { format: if is_new { SECOND_FORMAT } else { FIRST_FORMAT }, server, tables, objects, sequences }
    }
}

impl Sequence {
    /// Counts as another of its name that it is ahead of: no id is given twice.
    pub(crate) fn count_as(&mut self, other: &Self) {
        let next = |row: &[String]| row.first().and_then(|text| text.parse::<i128>().ok());
        let falls = self.row.get(4).is_some_and(|increment| increment.starts_with('-'));
        let is_ahead = if falls { next(&self.row) < next(&other.row) } else { next(&self.row) > next(&other.row) };
        if self.name == other.name && is_ahead && self.row.get(1..) == other.row.get(1..) {
            self.row.clone_from(&other.row);
        }
    }

    /// The statement that lets it go on where it was; `name` is quoted.
    pub(crate) fn go_on(&self, name: &str) -> String {
        format!("INSERT INTO {name} VALUES ({})", self.row.join(", "))
    }
}

/// What belongs to a database and is not a table: created last, dropped first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Objects {
    /// The database's name.
    pub(crate) database: String,
    /// Its default character set.
    pub(crate) charset: String,
    /// Its default collation.
    pub(crate) collation: String,
    /// Names of the base tables and sequences: what moves in a swap.
    pub(crate) tables: Vec<String>,
    /// Procedures and functions.
    pub(crate) routines: Vec<Object>,
    /// Views, each after those that it needs.
    pub(crate) views: Vec<Object>,
    /// Triggers, in the order in which they fire.
    pub(crate) triggers: Vec<Object>,
    /// Events.
    pub(crate) events: Vec<Object>,
    /// Privileges on single routines, which go with the routine when it is dropped, as a restore has to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routine_grants: Vec<RoutineGrant>,
}

/// Privileges of one account on one routine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoutineGrant {
    pub(crate) kind: ObjectKind,
    pub(crate) routine: String,
    /// `EXECUTE, ALTER ROUTINE`.
    pub(crate) privileges: String,
    /// `'user'@'host'`, or a role of MariaDB.
    pub(crate) account: String,
    /// Whether it may give them to others.
    pub(crate) with_grant_option: bool,
}

impl RoutineGrant {
    /// The statement that gives them; `routine` is quoted.
    pub(crate) fn statement(&self, routine: &str) -> String {
        let Self { kind, privileges, account, .. } = self;
        let option = if self.with_grant_option { " WITH GRANT OPTION" } else { "" };
        format!("GRANT {privileges} ON {} {routine} TO {account}{option}", kind.keyword())
    }
}

impl Objects {
    /// In the order of creation: what comes later may need what came before.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = &Object> {
        self.routines.iter().chain(&self.views).chain(&self.triggers).chain(&self.events)
    }

    /// Adds objects to those of their kinds.
    pub(crate) fn add<'a>(&mut self, objects: impl IntoIterator<Item = &'a Object>) {
        for object in objects {
            let of_kind = match object.kind {
                ObjectKind::Procedure | ObjectKind::Function => &mut self.routines,
                ObjectKind::View => &mut self.views,
                ObjectKind::Trigger => &mut self.triggers,
                ObjectKind::Event => &mut self.events,
            };
            of_kind.push(object.clone());
        }
    }
}

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ObjectKind {
    Procedure,
    Function,
    View,
    Trigger,
    Event,
}

impl ObjectKind {
    /// The keyword of `CREATE`, `DROP` and `SHOW CREATE`.
    pub(crate) const fn keyword(self) -> &'static str {
        match self {
            Self::Procedure => "PROCEDURE",
            Self::Function => "FUNCTION",
            Self::View => "VIEW",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }

    /// The word in messages.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Event => "event",
        }
    }
}

/// A view, trigger, routine or event, with the session settings that it was made under and that it runs under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) name: String,
    /// `user@host`.
    pub(crate) definer: String,
    /// The statement that makes it, in UTF-8.
    pub(crate) create: String,
    /// `sql_mode`; absent for views.
    pub(crate) sql_mode: Option<String>,
    pub(crate) character_set_client: String,
    pub(crate) collation_connection: String,
    /// The database's collation when it was made; absent for views.
    pub(crate) database_collation: Option<String>,
    /// `time_zone` of an event.
    pub(crate) time_zone: Option<String>,
}

/// A base table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) engine: String,
    /// `SHOW CREATE TABLE`.
    pub(crate) create: String,
    pub(crate) columns: Vec<Column>,
    /// All keys, the primary first.
    pub(crate) keys: Vec<Key>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Number of partitions.
    pub(crate) partitions: u64,
    /// Number of CHECK constraints in the definition.
    pub(crate) checks: u64,
    /// Whether it keeps its history (MariaDB, `WITH SYSTEM VERSIONING`), which is read and loaded with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) versioned: bool,
    /// Histograms of MySQL: column, and the server's own JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) histograms: Vec<(String, String)>,
    /// The server's estimates, for the plan of chunks only.
    pub(crate) estimated_rows: u64,
    pub(crate) average_row_bytes: u64,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `varchar`, `enum`…
    pub(crate) data_type: String,
    /// `varchar(255)`, `enum('a','b')`…
    pub(crate) column_type: String,
    pub(crate) nullable: bool,
    pub(crate) charset: Option<String>,
    pub(crate) collation: Option<String>,
    pub(crate) default: Option<String>,
    /// `auto_increment`, `INVISIBLE`, `STORED GENERATED`…
    pub(crate) extra: String,
    /// The expression of a generated column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<String>,
    /// What is selected for a dump; absent for generated columns, whose values are not kept.
    pub(crate) select: Option<String>,
    /// What is assigned on load from the user variable `@cell`; absent when the cell is assigned as it is.
    pub(crate) load: Option<String>,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) unique: bool,
    /// `BTREE`, `FULLTEXT`, `SPATIAL`…
    pub(crate) index_type: String,
    pub(crate) parts: Vec<KeyPart>,
    /// Whether the optimizer may not use it (`INVISIBLE`, `IGNORED`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unseen: bool,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyPart {
    /// Absent for an expression.
    pub(crate) column: Option<String>,
    /// Length of a prefix key.
    pub(crate) prefix: Option<u64>,
    pub(crate) descending: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ForeignKey {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    /// The schema referred to, when it is another one.
    pub(crate) other_schema: Option<String>,
    pub(crate) table: String,
    pub(crate) referred: Vec<String>,
    pub(crate) on_update: String,
    pub(crate) on_delete: String,
}

impl Table {
    /// The columns that are kept, in the order of the cells of a line.
    pub(crate) fn kept_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.select.is_some())
    }

    /// The select list of a line.
    pub(crate) fn select_list(&self) -> String {
        let list: Vec<_> = self.kept_columns().filter_map(|column| column.select.as_deref()).collect();
        if list.is_empty() { "''".into() } else { list.join(", ") }
    }

    /// What its rows are selected from: of a table that keeps its history, with that.
    pub(crate) fn source(&self, schema: &str) -> String {
        let name = quote::qualified(schema, &self.name);
        if self.versioned { format!("{name} FOR SYSTEM_TIME ALL") } else { name }
    }

    /// Whether its rows are those of the consistent view: tables of other engines are read as they are at the moment of reading.
    pub(crate) fn is_in_the_view(&self) -> bool {
        self.engine.eq_ignore_ascii_case("InnoDB")
    }

    /// A column by name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Column {
    /// Whether the server computes the values.
    pub(crate) fn is_generated(&self) -> bool {
        self.select.is_none()
    }

    /// Whether it says until when a row of a table that keeps its history was.
    pub(crate) fn is_row_end(&self) -> bool {
        self.generation.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(ROW_END))
    }

    /// Whether `SELECT *` leaves it out.
    pub(crate) fn is_invisible(&self) -> bool {
        self.extra.to_ascii_uppercase().contains("INVISIBLE")
    }
}
