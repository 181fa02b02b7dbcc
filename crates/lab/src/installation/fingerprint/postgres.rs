//! PostgreSQL: a sum over digests of rows, sequences, and the server's own texts of its definitions.

use plan::Result;

use super::{Fingerprint, cells, keyed};
use crate::Postgres;

const SEPARATOR: char = '\u{1f}';

const DEFINITIONS: [(&str, &str); 8] = [
    (
        "column",
        "SELECT c.relname || '.' || a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, md5(coalesce(pg_get_expr(d.adbin, d.adrelid), '')), a.attidentity, a.attgenerated
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped",
    ),
    ("table", "SELECT relname, relpersistence, pg_get_userbyid(relowner), coalesce(reloptions::text, ''), coalesce(obj_description(oid), '') FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"),
    ("index", "SELECT indexname, md5(indexdef) FROM pg_indexes WHERE schemaname = 'public'"),
    ("constraint", "SELECT conrelid::regclass || '.' || conname, md5(pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"),
    ("trigger", "SELECT tgrelid::regclass || '.' || tgname, md5(pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"),
    ("function", "SELECT oid::regprocedure, md5(pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"),
    ("enum", "SELECT enumtypid::regtype, string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum JOIN pg_type t ON t.oid = enumtypid WHERE typnamespace = 'public'::regnamespace GROUP BY 1"),
    ("database", "SELECT 'default', pg_encoding_to_char(encoding), datcollate, datctype, pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"),
];

pub(super) fn fingerprint(server: &Postgres, database: &str) -> Result<Fingerprint> {
    // Several statements by one run of the client.
    let ask = |statements: &[String]| {
        let mut client = server.client();
        client.args(["-A", "-t", "-F", &SEPARATOR.to_string(), "-d", database]);
        client.args(statements.iter().flat_map(|statement| ["-c", statement]));
        cells(client, SEPARATOR)
    };
    let names = |kind: char| {
        ask(&[format!("SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = '{kind}'")])
    };
    let mut found = Fingerprint::new();
    // The sum does not depend on the order, and repeated rows count.
    let rows = names('r')?.concat().into_iter().map(|table| {
        format!("SELECT '{table}', count(*) || ' rows', coalesce(sum(('x' || left(md5(t::text), 16))::bit(64)::bigint::numeric), 0) FROM public.{table} t")
    });
    found.extend(keyed("rows", ask(&rows.collect::<Vec<_>>())?));
    let sequences =
        names('S')?.concat().into_iter().map(|sequence| format!("SELECT '{sequence}', last_value, is_called FROM public.{sequence}"));
    found.extend(keyed("sequence", ask(&sequences.collect::<Vec<_>>())?));
    for (kind, sql) in DEFINITIONS {
        found.extend(keyed(kind, ask(&[sql.to_owned()])?));
    }
    Ok(found)
}
