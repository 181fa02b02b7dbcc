//! Rows that nobody can dump: COPY, and with it `pg_dump`, writes a row as text of less than 1 GB, and a `bytea` takes twice its size. Found before the dump begins,
//! by the lengths that the rows themselves tell; the values are not read.

use plan::ports::StopFlag;
use plan::{Error, Result};

use crate::session::Session;
use crate::sql::{identifier, of_the_user};

/// A row's text, at most: what PostgreSQL gets from its own memory at once (`MaxAllocSize` in `memutils.h`).
const ROW_BYTES_MAX: u64 = 0x3fff_ffff;
/// A table whose long values take less on the disk has no such row, however well they are compressed (250 times by LZ4).
const LONG_VALUES_BYTES_MIN: u64 = 2 << 20;

/// Tables with long values, and the length of a row as text.
const TABLES: &str = "SELECT n.nspname::text, c.relname::text, \
            string_agg(format('coalesce(octet_length(%I), 0)::bigint * %s', attname, CASE type.name WHEN 'bytea' THEN 2 ELSE 1 END), ' + ') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid \
     CROSS JOIN LATERAL (SELECT coalesce(nullif(t.typbasetype, 0), t.oid)::regtype::text AS name) type \
     WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND @user_schemas@ AND a.attnum > 0 AND NOT a.attisdropped \
       AND type.name IN ('bytea', 'text', 'character varying', 'character') AND c.reltoastrelid <> 0 AND pg_relation_size(c.reltoastrelid) > @bytes@ \
     GROUP BY 1, 2 ORDER BY 1, 2";

/// Looks for them, in a session that has entered the dump's snapshot.
///
/// # Errors
/// [`plan::Class::Refused`] naming the table.
pub(crate) fn refuse(session: &mut Session, stop: &StopFlag) -> Result<()> {
    let query = of_the_user(TABLES).replace("@bytes@", &LONG_VALUES_BYTES_MIN.to_string());
    for row in session.rows(&query, "list the tables with long values")? {
        let (schema, name, length): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let table = format!("{}.{}", identifier(&schema), identifier(&name));
        let count = format!("SELECT count(*) FROM ONLY {table} WHERE {length} > {ROW_BYTES_MAX}");
        let row =
            session.cancellable(&[stop], |session| session.row(&count, &format!("look for rows of {schema}.{name} that are too long")))?;
        let count: i64 = row.get(0);
        if count > 0 {
            return Err(Error::refused(format!("{count} rows of {schema}.{name} are longer than 1 GB as text: pg_dump cannot read them"))
                .hint(format!(
                    "A bytea takes twice its size. Keep such values in several rows or as large objects. They are found by: SELECT ctid FROM {table} WHERE {length} > {ROW_BYTES_MAX}"
                )));
        }
    }
    Ok(())
}
