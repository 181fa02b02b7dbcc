//! Counts and digests computed by the server, in one pass over a table, in any order of its rows.
//!
//! A row's hash is the MD5 of its text with columns in the order of their names; its halves are taken as signed 64-bit numbers, and the digest is the sum of
//! `high * 2^64 + low` over all rows, modulo 2^128. MD5 is the one hash
//! that all versions have without an extension; it guards against loss, repetition and damage here, not against forgery.

use plan::digest::MultisetDigest;
use plan::evidence::Tally;
use plan::{Error, Result};

use crate::session::Session;
use crate::sql::{identifier, of_the_user};

/// Bytes of a large object that are hashed at a time: bounds the server's memory, whatever the object's size (up to 4 TiB).
const LARGE_OBJECT_PIECE_BYTES: u32 = 1 << 20;

/// The name of the large objects among the collections.
pub(crate) const LARGE_OBJECTS: &str = "large objects";

/// Something with rows of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Table {
    /// Schema and name.
    pub(crate) schema: String,
    /// Name.
    pub(crate) name: String,
    /// Columns in the order of their names.
    pub(crate) columns: Vec<String>,
    /// Size in bytes with its indexes and TOAST: the largest are counted first.
    pub(crate) size_bytes: i64,
}

impl Table {
    /// The name of its collection: `public.entries`, the parts quoted where needed.
    pub(crate) fn collection(&self) -> String {
        // Two tables never share a name here: `"a.b".c` is not `a."b.c"`.
        let plain = |name: &str| !name.is_empty() && name.chars().all(|character| character.is_alphanumeric() || character == '_');
        if plain(&self.schema) && plain(&self.name) { format!("{}.{}", self.schema, self.name) } else { self.quoted() }
    }

    /// Whether it has a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }
}

/// Unlogged tables have no rows on a standby, and cannot be read there: `pg_dump` takes them without rows, and so do we.
pub(crate) fn unlogged_on_a_standby(session: &mut Session) -> Result<Vec<Table>> {
    let is_standby: bool = session.row("SELECT pg_is_in_recovery()", "ask whether it is a standby")?.get(0);
    if is_standby { of_persistence(session, "= 'u'") } else { Ok(Vec::new()) }
}

/// Every table that `pg_dump` takes rows from: ordinary tables and partitions, logged or not; not those of extensions, which their scripts create.
pub(crate) fn tables(session: &mut Session) -> Result<Vec<Table>> {
    of_persistence(session, "<> ALL (CASE WHEN pg_is_in_recovery() THEN '{t,u}' ELSE '{t}' END::\"char\"[])")
}

fn of_persistence(session: &mut Session, which: &str) -> Result<Vec<Table>> {
    let query = of_the_user(
        "SELECT n.nspname::text, c.relname::text, pg_catalog.pg_table_size(c.oid), \
                ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                      ORDER BY a.attname COLLATE \"C\") \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND c.relpersistence @which@ AND @user_schemas@ \
           AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
         ORDER BY 1, 2",
    );
    let rows = session.rows(&query.replace("@which@", which), "list the tables")?;
    let table = |row: &postgres::Row| Table {
        schema: row.get(0),
        name: row.get(1),
        size_bytes: row.get::<_, Option<i64>>(2).unwrap_or(0),
        columns: row.get(3),
    };
    Ok(rows.iter().map(table).collect())
}

/// Counts and digests one table.
///
/// # Errors
/// The server's.
pub(crate) fn table(session: &mut Session, table: &Table) -> Result<Tally> {
    let columns: Vec<_> = table.columns.iter().map(|column| format!("element.{}", identifier(column))).collect();
    // ONLY: the rows of inheriting tables are theirs. ROW(…) of no columns at all has a text, too.
    let hashes = format!("SELECT md5(ROW({})::text) AS hash FROM ONLY {} AS element", columns.join(", "), table.quoted());
    sum(session, &hashes, &format!("count {}", table.collection()))
}

/// Counts large objects and digests their contents; the count is of pieces of 1 MiB, of which every object has at least one.
///
/// # Errors
/// The server's.
pub(crate) fn large_objects(session: &mut Session) -> Result<Tally> {
    let piece = LARGE_OBJECT_PIECE_BYTES;
    let hashes = format!(
        "WITH RECURSIVE piece(id, at, hash, length) AS ( \
             SELECT object.oid, 0::bigint, md5(data.bytes), length(data.bytes) \
             FROM pg_largeobject_metadata object CROSS JOIN LATERAL (SELECT lo_get(object.oid, 0, {piece}) AS bytes OFFSET 0) data \
           UNION ALL \
             SELECT piece.id, piece.at + {piece}, md5(data.bytes), length(data.bytes) \
             FROM piece CROSS JOIN LATERAL (SELECT lo_get(piece.id, piece.at + {piece}, {piece}) AS bytes OFFSET 0) data \
             WHERE piece.length = {piece} \
         ) SELECT md5(id || ':' || at || ':' || length || ':' || hash) AS hash FROM piece"
    );
    sum(session, &hashes, "count the large objects")
}

/// `sum(bigint)` is exact, and fast: the server adds in 128 bits. It comes as text, for the driver has no NUMERIC.
fn sum(session: &mut Session, hashes: &str, what: &str) -> Result<Tally> {
    let half = |from: u32| format!("coalesce(sum(('x' || substr(hash, {from}, 16))::bit(64)::bigint), 0)::text");
    let row = session.row(&format!("SELECT count(*), {}, {} FROM ({hashes}) hashes", half(1), half(17)), what)?;
    let number = |index: usize| -> Result<u128> {
        let text: String = row.get(index);
        let signed: i128 =
            text.parse().map_err(|error| Error::failed(format!("{what}: the server's sum is not a number")).because(error))?;
        Ok(signed.cast_unsigned())
    };
    let count = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
    let mut digest = MultisetDigest::default();
    digest.add_hash((number(1)? << 64).wrapping_add(number(2)?));
    Ok(Tally { count, digest })
}
