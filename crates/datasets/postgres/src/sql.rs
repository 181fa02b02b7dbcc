//! Quoting. Every name and value that enters a statement passes through here.

/// The schemas of the user, of `pg_namespace n`: what `pg_dump` takes; not our mark ([`crate::mark::SCHEMA`]), and not what a run moved aside ([`crate::aside`]).
pub(crate) const USER_SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'threescale_backup_mark') \
     AND NOT (n.nspname ~ '__(before|stage)_[0-9a-z]{10}_[0-9]+$' AND coalesce(obj_description(n.oid, 'pg_namespace'), '') LIKE '%\"threescale-backup\"%')";

/// A query in which `@user_schemas@` stands for [`USER_SCHEMAS`].
pub(crate) fn of_the_user(query: &str) -> String {
    query.replace("@user_schemas@", USER_SCHEMAS)
}

/// An identifier, quoted always: the database may be called `Zync "x"`.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant that means the same whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// `dbname='…'` for `pg_dump` and `pg_restore`, which would read a name with `=` in it as a connection string.
pub(crate) fn connection_string(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_quotes() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("\\'"), " E'\\\\'''");
        assert_eq!(connection_string("a'b\\c=d"), "dbname='a\\'b\\\\c=d'");
    }
}
