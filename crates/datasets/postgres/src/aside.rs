//! Moving the live data aside within its own database, for a role that may make no other one: schemas are renamed, what stands in another's schema is moved
//! out of it, no row is touched. Undo moves back; nothing is made anew but what has neither schema nor rows of its own (large objects, default privileges,
//! rights on `public`), whose contents and statements are kept in a schema of their own.
//!
//! Each of the scripts is part of one transaction: all of it happened, or nothing.

use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, MarkRole};
use plan::{Error, Result};

use crate::mark::Tag;
use crate::session::Session;
use crate::sql::{literal, of_the_user};

const OUT: &str = include_str!("aside/out.sql");
const BACK: &str = include_str!("aside/back.sql");
const DROP: &str = include_str!("aside/drop.sql");
const EXTENSIONS: &str = include_str!("aside/extensions.sql");
const MOVE: &str = include_str!("aside/move.sql");

/// What is aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// What was live before the run.
    Before,
    /// What the run restored, after its undo.
    Stage,
}

impl What {
    const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Stage => "stage",
        }
    }

    const fn role(self) -> MarkRole {
        match self {
            Self::Before => MarkRole::Previous,
            Self::Stage => MarkRole::Staged,
        }
    }
}

fn script(text: &str, what: What, run: &RunId) -> String {
    of_the_user(&text.replace("@move@", MOVE).replace("@word@", what.word()).replace("@short@", run.short()))
}

/// Moves all that is live aside. What is left is as a new database, for a set by `pg_dump` of the version `fresh` to be loaded; without one it is bare, for something to be moved back.
///
/// # Errors
/// Never in practice: when the mark cannot be written as JSON.
pub(crate) fn out(context: &Context, data_set: DataSetName, what: What, fresh: Option<u32>) -> Result<String> {
    let tag = Tag::of(context, data_set, what.role(), "", None);
    let json =
        serde_json::to_string(&tag).map_err(|error| Error::failed("failed to write the mark of what is moved aside").because(error))?;
    let text = script(OUT, what, &context.run).replace("@fresh@", if fresh.is_some() { "true" } else { "false" });
    Ok(text.replace("@client@", &fresh.unwrap_or_default().to_string()).replace("@tag@", &literal(&json)))
}

/// Drops the extensions that the run's load made.
pub(crate) fn drop_extensions(run: &RunId) -> String {
    script(EXTENSIONS, What::Before, run)
}

/// Moves it back, into a database whose schemas have nothing of those names.
pub(crate) fn back(what: What, run: &RunId) -> String {
    script(BACK, what, run)
}

/// Drops it. Not there is fine.
pub(crate) fn drop(what: What, run: &RunId) -> String {
    script(DROP, what, run)
}

/// The schema that says that something is aside, and by how much the census of what came in its place may differ.
fn kept(what: What, run: &RunId) -> String {
    format!("kept__{}_{}_0", what.word(), run.short())
}

/// Whether something of a run is aside.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when it is of another run with the same end of its id; else the server's.
pub(crate) fn find(session: &mut Session, what: What, run: &RunId) -> Result<Option<Tag>> {
    let name = kept(what, run);
    let query = format!("SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = {}", literal(&name));
    let rows = session.rows(&query, "look what is aside")?;
    let Some(row) = rows.first() else { return Ok(None) };
    match Tag::read(row.get(0)) {
        Some(tag) if tag.threescale_backup.run == *run => Ok(Some(tag)),
        Some(tag) => Err(Error::needs_person(format!(
            "schema {name} is of {}, not of run {run}: nothing was changed",
            tag.threescale_backup.owner()
        ))),
        None => Err(Error::needs_person(format!("schema {name} does not say whose it is: nothing was changed"))),
    }
}

/// Something that is aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    /// What it is.
    pub(crate) what: What,
    /// Its mark, as it stands there.
    pub(crate) text: String,
    /// The same.
    pub(crate) tag: Tag,
}

/// What is aside in the database that a session is in, whosever, in the order in which it was moved.
///
/// # Errors
/// The server's.
pub(crate) fn all(session: &mut Session) -> Result<Vec<Aside>> {
    let query = "SELECT nspname::text, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname ~ '^kept__(before|stage)_[0-9a-z]{10}_0$' \
         AND obj_description(oid, 'pg_namespace') IS NOT NULL ORDER BY oid";
    let rows = session.rows(query, "list what is aside")?;
    let found = rows.iter().filter_map(|row| {
        let (name, text): (String, String) = (row.get(0), row.get(1));
        let tag = Tag::read(&text)?;
        let what = [What::Before, What::Stage].into_iter().find(|what| kept(*what, &tag.threescale_backup.run) == name)?;
        Some(Aside { what, text, tag })
    });
    Ok(found.collect())
}

/// Whether a name is one that something was given when it was moved aside: publications, servers and the like have no schema that says so.
pub(crate) fn is_name(name: &str) -> bool {
    let Some((name, number)) = name.rsplit_once('_') else { return false };
    let Some((name, short)) = name.rsplit_once('_') else { return false };
    let is_short = short.len() == 10 && short.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    is_short
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (name.ends_with("__before") || name.ends_with("__stage"))
}

/// Notes by how much the census of what was restored may differ.
///
/// # Errors
/// The server's.
pub(crate) fn note(session: &mut Session, run: &RunId, tag: &Tag) -> Result<()> {
    let text = serde_json::to_string(tag).map_err(|error| Error::failed("failed to write the mark of what is aside").because(error))?;
    let statement = format!("COMMENT ON SCHEMA {} IS {}", crate::sql::identifier(&kept(What::Before, run)), literal(&text));
    session.run(&statement, "note what the restore left out")
}

/// Schemas that are aside, whosever: for `pg_dump`, which takes patterns; each is quoted as one name.
///
/// # Errors
/// The server's.
pub(crate) fn patterns(session: &mut Session) -> Result<Vec<String>> {
    let query = of_the_user(
        "SELECT nspname::text FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT (@user_schemas@)",
    );
    let rows = session.rows(&query, "list what is aside")?;
    Ok(rows.iter().map(|row| crate::sql::identifier(row.get(0))).collect())
}

/// Bytes of what is aside of a run.
///
/// # Errors
/// The server's.
pub(crate) fn bytes(session: &mut Session, run: &RunId) -> Result<u64> {
    let query = format!(
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm') AND n.nspname ~ '__(before|stage)_{}_[0-9]+$'",
        run.short()
    );
    let bytes: i64 = session.row(&query, "ask for the size of what is aside")?.get(0);
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// What the live data is, whatever its contents: a digest of the numbers of its tables and functions. They stay with a change of rows, and what is loaded has others.
///
/// # Errors
/// The server's.
pub(crate) fn fingerprint(session: &mut Session) -> Result<String> {
    let query = of_the_user(
        "SELECT md5(coalesce(string_agg(c.oid::text, ',' ORDER BY c.oid), '')) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relpersistence <> 't' AND @user_schemas@",
    );
    Ok(session.row(&query, "look which tables are live")?.get(0))
}

/// What cannot be moved aside by this role: some of it by name, and whether the role may make the schemas for it.
///
/// # Errors
/// The server's.
pub(crate) fn obstacles(session: &mut Session) -> Result<Vec<String>> {
    let member = |class: &str, row: &str| {
        format!("NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = '{class}'::regclass AND d.objid = {row}.oid AND d.deptype = 'e')")
    };
    let query = format!(
        // A schema of our own is renamed with all that is in it, whosever.
        "WITH ours AS (SELECT n.oid, nspname FROM pg_namespace n WHERE @user_schemas@ AND {} \
            AND NOT (pg_has_role(nspowner, 'USAGE') AND NOT EXISTS (SELECT 1 FROM pg_extension WHERE extnamespace = n.oid))) \
         SELECT name FROM ( \
           SELECT format('%s %I.%I', CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'm' THEN 'materialized view' ELSE 'table' END, nspname, relname) AS name, relowner AS owner \
             FROM pg_class c JOIN ours ON ours.oid = relnamespace WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't' AND {} \
           UNION ALL SELECT format('function %s', c.oid::regprocedure), proowner FROM pg_proc c JOIN ours ON ours.oid = pronamespace WHERE {} \
           UNION ALL SELECT format('type %s', c.oid::regtype), typowner FROM pg_type c JOIN ours ON ours.oid = typnamespace WHERE typtype IN ('e', 'd', 'r') AND {} \
           UNION ALL SELECT format('operator %s', c.oid::regoperator), oprowner FROM pg_operator c JOIN ours ON ours.oid = oprnamespace WHERE {} \
           UNION ALL SELECT format('large object %s', oid), lomowner FROM pg_largeobject_metadata \
         ) object WHERE NOT pg_has_role(owner, 'USAGE') \
         UNION ALL SELECT 'new schemas: no right CREATE on the database' WHERE NOT has_database_privilege(current_database(), 'CREATE') \
         UNION ALL SELECT 'new tables in public: no right CREATE on it' WHERE EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'public') AND NOT has_schema_privilege('public', 'CREATE') \
         ORDER BY 1 LIMIT 10",
        member("pg_namespace", "n"),
        member("pg_class", "c"),
        member("pg_proc", "c"),
        member("pg_type", "c"),
        member("pg_operator", "c"),
    );
    Ok(session.rows(&of_the_user(&query), "look what cannot be moved aside")?.iter().map(|row| row.get(0)).collect())
}
