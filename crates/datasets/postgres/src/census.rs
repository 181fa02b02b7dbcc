//! Counts the objects that have no rows, by kind. Only what every version from 13 to 18 counts alike, and nothing that belongs to an extension.

use std::collections::BTreeMap;

use plan::Result;
use plan::evidence::Evidence;

use crate::facts;
use crate::session::Session;
use crate::sql::of_the_user;

/// The schemas of the user: what `pg_dump` takes.
const SCHEMAS: &str = "(SELECT n.oid FROM pg_namespace n WHERE @user_schemas@)";

/// Kind, catalogue, its namespace column (or none), and which of its rows. `c` is the row.
const KINDS: [(&str, &str, Option<&str>, &str); 24] = [
    ("tables", "pg_class", Some("relnamespace"), "c.relkind IN ('r', 'p') AND c.relpersistence <> 't'"),
    ("unlogged tables", "pg_class", Some("relnamespace"), "c.relkind = 'r' AND c.relpersistence = 'u'"),
    ("partitions", "pg_class", Some("relnamespace"), "c.relispartition AND c.relkind IN ('r', 'p')"),
    ("foreign tables", "pg_class", Some("relnamespace"), "c.relkind = 'f'"),
    ("views", "pg_class", Some("relnamespace"), "c.relkind = 'v'"),
    ("materialized views", "pg_class", Some("relnamespace"), "c.relkind = 'm'"),
    ("sequences", "pg_class", Some("relnamespace"), "c.relkind = 'S' AND c.relpersistence <> 't'"),
    ("indexes", "pg_class", Some("relnamespace"), "c.relkind IN ('i', 'I') AND c.relpersistence <> 't'"),
    // NOT NULL constraints have rows of their own only since version 18; partitions' copies follow from their parents'.
    ("constraints", "pg_constraint", Some("connamespace"), "c.contype <> 'n' AND c.conparentid = 0"),
    (
        "functions",
        "pg_proc",
        Some("pronamespace"),
        "c.prokind = 'f' AND NOT EXISTS (SELECT 1 FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid \
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_type'::regclass AND d.deptype = 'i' AND OF_RANGES)",
    ),
    ("procedures", "pg_proc", Some("pronamespace"), "c.prokind = 'p'"),
    ("aggregates", "pg_proc", Some("pronamespace"), "c.prokind IN ('a', 'w')"),
    ("enums", "pg_type", Some("typnamespace"), "c.typtype = 'e'"),
    ("domains", "pg_type", Some("typnamespace"), "c.typtype = 'd'"),
    ("ranges", "pg_type", Some("typnamespace"), "c.typtype = 'r'"),
    (
        "composite types",
        "pg_type",
        Some("typnamespace"),
        "c.typtype = 'c' AND EXISTS (SELECT 1 FROM pg_class k WHERE k.oid = c.typrelid AND k.relkind = 'c')",
    ),
    ("operators", "pg_operator", Some("oprnamespace"), "true"),
    ("collations", "pg_collation", Some("collnamespace"), "true"),
    ("text search configurations", "pg_ts_config", Some("cfgnamespace"), "true"),
    ("statistics", "pg_statistic_ext", Some("stxnamespace"), "true"),
    (
        "triggers",
        "pg_trigger",
        None,
        "NOT c.tgisinternal AND c.tgparentid = 0 AND EXISTS (SELECT 1 FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = c.tgrelid AND @user_schemas@)",
    ),
    (
        "policies",
        "pg_policy",
        None,
        "EXISTS (SELECT 1 FROM pg_class k JOIN pg_namespace n ON n.oid = k.relnamespace WHERE k.oid = c.polrelid AND @user_schemas@)",
    ),
    ("event triggers", "pg_event_trigger", None, "true"),
    ("extensions", "pg_extension", None, "true"),
];

/// Which functions are counted. Those that come with a range type by themselves are as many as the server's version makes: 2, and 3 more since version 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    /// What somebody made: the rule of today.
    OfPeople,
    /// All but those of multiranges: sets of the first releases from version 13.
    WithoutMultiranges,
    /// All: other sets of those.
    All,
}

impl Functions {
    /// The rule by which a set was counted.
    pub(crate) fn of(kept: &Evidence) -> Self {
        match (kept.facts.contains_key(facts::CENSUS), facts::major(kept, facts::SERVER_MAJOR)) {
            (true, _) => Self::OfPeople,
            (false, Ok(..14)) => Self::WithoutMultiranges,
            (false, _) => Self::All,
        }
    }

    const fn which(self) -> &'static str {
        match self {
            Self::OfPeople => "true",
            Self::WithoutMultiranges => "t.typtype = 'm'",
            Self::All => "false",
        }
    }
}

/// Kinds that hang on others: counted by a statement of their own.
const PARTS: [(&str, &str); 5] = [
    (
        "columns",
        "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') \
         AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace IN ",
    ),
    (
        "column defaults",
        "SELECT count(*) FROM pg_attrdef a JOIN pg_class c ON c.oid = a.adrelid WHERE c.relpersistence <> 't' AND c.relnamespace IN ",
    ),
    ("enum labels", "SELECT count(*) FROM pg_enum a JOIN pg_type c ON c.oid = a.enumtypid WHERE c.typnamespace IN "),
    (
        "rules",
        "SELECT count(*) FROM pg_rewrite a JOIN pg_class c ON c.oid = a.ev_class WHERE a.rulename <> '_RETURN' AND c.relnamespace IN ",
    ),
    ("schemas", "SELECT count(*) FROM pg_namespace c WHERE c.oid IN "),
];

/// Takes the census of the database that the session is in.
///
/// # Errors
/// The server's.
pub(crate) fn take(session: &mut Session, functions: Functions) -> Result<BTreeMap<String, u64>> {
    let kinds = KINDS.iter().map(|(kind, catalogue, namespace, which)| {
        let schema = namespace.map_or_else(String::new, |column| format!(" AND c.{column} IN {SCHEMAS}"));
        let which = which.replace("OF_RANGES", functions.which());
        let own = format!(
            "NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = '{catalogue}'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
        );
        format!("SELECT '{kind}', count(*) FROM {catalogue} c WHERE ({which}){schema} AND {own}")
    });
    let parts = PARTS.iter().map(|(kind, query)| query.replacen("SELECT ", &format!("SELECT '{kind}', "), 1) + SCHEMAS);
    let statement = kinds.chain(parts).collect::<Vec<_>>().join(" UNION ALL ");
    let rows = session.rows(&of_the_user(&statement), "take the census of the objects")?;
    let count = |row: &postgres::Row| (row.get::<_, String>(0), u64::try_from(row.get::<_, i64>(1)).unwrap_or(0));
    // Absent and none are the same to Evidence::differences; a census without zeros is easier to read.
    Ok(rows.iter().map(count).filter(|(_, count)| *count > 0).collect())
}
