//! The rights that a backup and a restore need: one list, by which `doctor` and `plan` ask the server, and which `docs/privileges.md` has as a table.

use plan::Result;
use plan::ports::{Problem, Severity};

use crate::server::Server;
use crate::session::Session;
use crate::sql::{identifier, of_the_user};

/// What a right is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// To read everything.
    Backup,
    /// To make, load, and swap a database beside the live one. Without, a set goes in place.
    SideCopy,
    /// To move the live data aside within its database ([`crate::aside::obstacles`] asks for it).
    InPlace,
}

/// A right.
pub(crate) struct Privilege {
    pub(crate) of: For,
    /// As the documentation has it.
    pub(crate) what: &'static str,
    /// Names of what it lacks for, as SQL has them; none where it is asked for elsewhere.
    lacking: &'static str,
    /// Gives it: with `@role@` and `@object@`.
    pub(crate) grant: &'static str,
}

/// All of them.
pub(crate) const NEEDED: [Privilege; 13] = [
    Privilege {
        of: For::Backup,
        what: "`USAGE` on every schema",
        lacking: "SELECT format('%I', nspname) FROM pg_namespace n WHERE @user_schemas@ AND NOT has_schema_privilege(n.oid, 'USAGE') \
                  AND EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = n.oid AND relkind IN ('r', 'p', 'S'))",
        grant: "GRANT USAGE ON SCHEMA @object@ TO @role@",
    },
    Privilege {
        of: For::Backup,
        what: "`SELECT` on every table",
        lacking: "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND @user_schemas@ AND NOT has_table_privilege(c.oid, 'SELECT')",
        grant: "GRANT SELECT ON TABLE @object@ TO @role@",
    },
    Privilege {
        of: For::Backup,
        what: "`SELECT` on every sequence",
        lacking: "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND @user_schemas@ AND NOT has_table_privilege(c.oid, 'SELECT')",
        grant: "GRANT SELECT ON SEQUENCE @object@ TO @role@",
    },
    Privilege {
        of: For::Backup,
        what: "`SELECT` on every large object",
        lacking: "SELECT m.oid::text FROM pg_largeobject_metadata m WHERE NOT pg_has_role(lomowner, 'USAGE') \
                  AND NOT EXISTS (SELECT 1 FROM aclexplode(lomacl) a WHERE privilege_type = 'SELECT' AND (grantee = 0 OR pg_has_role(grantee, 'USAGE')))",
        grant: "GRANT SELECT ON LARGE OBJECT @object@ TO @role@",
    },
    Privilege {
        of: For::Backup,
        what: "`BYPASSRLS`, where policies hide rows from the role",
        lacking: "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE c.relkind IN ('r', 'p') AND @user_schemas@ AND row_security_active(c.oid)",
        grant: "ALTER ROLE @role@ BYPASSRLS",
    },
    Privilege {
        of: For::Backup,
        what: "`EXECUTE` on `pg_export_snapshot()`",
        lacking: "SELECT 'pg_export_snapshot()' WHERE NOT has_function_privilege('pg_catalog.pg_export_snapshot()', 'EXECUTE')",
        grant: "GRANT EXECUTE ON FUNCTION @object@ TO @role@",
    },
    Privilege {
        of: For::SideCopy,
        what: "`CREATEDB`",
        lacking: "SELECT 'another database' FROM pg_roles WHERE rolname = current_user AND NOT (rolcreatedb OR rolsuper)",
        grant: "ALTER ROLE @role@ CREATEDB",
    },
    Privilege {
        of: For::SideCopy,
        what: "to own the database, or to be a member of its owner",
        lacking: "SELECT format('%I', pg_get_userbyid(datdba)) FROM pg_database WHERE datname = current_database() AND NOT pg_has_role(datdba, 'USAGE')",
        grant: "GRANT @object@ TO @role@",
    },
    Privilege {
        of: For::SideCopy,
        what: "`CREATE` on the database's tablespace, when that is not `pg_default`",
        lacking: "SELECT format('%I', spcname) FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = current_database() \
                  AND spcname <> 'pg_default' AND NOT has_tablespace_privilege(t.oid, 'CREATE')",
        grant: "GRANT CREATE ON TABLESPACE @object@ TO @role@",
    },
    Privilege {
        of: For::SideCopy,
        what: "`CONNECT` on the database `postgres` or `template1`",
        lacking: "SELECT 'postgres' WHERE NOT EXISTS (SELECT 1 FROM pg_database WHERE datname IN ('postgres', 'template1') AND datname <> current_database() \
                  AND datallowconn AND has_database_privilege(oid, 'CONNECT'))",
        grant: "GRANT CONNECT ON DATABASE @object@ TO @role@",
    },
    Privilege {
        of: For::InPlace,
        what: "to own what is live (the schemas, or what is in them), or to be a member of its owners",
        lacking: "",
        grant: "GRANT @object@ TO @role@",
    },
    Privilege { of: For::InPlace, what: "`CREATE` on the database", lacking: "", grant: "GRANT CREATE ON DATABASE @object@ TO @role@" },
    Privilege { of: For::InPlace, what: "`CREATE` on the schema `public`", lacking: "", grant: "GRANT CREATE ON SCHEMA public TO @role@" },
];

/// How much is named, at most.
const NAMED_MAX: usize = 5;

/// Those that our role has not got in the database that the session is in.
///
/// # Errors
/// The server's.
pub(crate) fn missing(session: &mut Session, server: &Server, of: For) -> Result<Vec<Problem>> {
    let (severity, then) = match of {
        For::Backup => (Severity::Blocks, "not all can be read"),
        For::SideCopy | For::InPlace => (Severity::Degrades, "the set replaces the live data in place, with the writers stopped"),
    };
    let mut problems = Vec::new();
    for one in NEEDED.iter().filter(|one| one.of == of && !one.lacking.is_empty()) {
        let query = format!("{} ORDER BY 1 LIMIT {}", of_the_user(one.lacking), NAMED_MAX + 1);
        let rows = session.rows(&query, "look what the role may do")?;
        let names: Vec<String> = rows.iter().take(NAMED_MAX).map(|row| row.get(0)).collect();
        let Some(first) = names.first() else { continue };
        let more = if rows.len() > NAMED_MAX { ", …" } else { "" };
        let text = format!("role {:?} lacks {} (for {}{more}): {then}", server.role, one.what.replace('`', ""), names.join(", "));
        let way_out = one.grant.replace("@object@", first).replace("@role@", &identifier(&server.role));
        problems.push(Problem::new(severity, text).way_out(way_out));
    }
    Ok(problems)
}
