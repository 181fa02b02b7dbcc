//! Facts that a set keeps about its database, and that a restore checks before it touches anything. Never a secret.

use std::collections::{BTreeMap, BTreeSet};

use plan::evidence::Evidence;
use plan::{Error, Result};

use crate::clients::Clients;
use crate::properties::Properties;
use crate::server::Server;
use crate::session::Session;
use crate::sql::of_the_user;

/// Major version of the server that the set comes from.
pub(crate) const SERVER_MAJOR: &str = "server-major";
/// Major version of the `pg_dump` that wrote the archive: an older `pg_restore` may not read it.
pub(crate) const CLIENT_MAJOR: &str = "client-major";
/// By which rule the objects were counted: absent in sets of the first releases ([`crate::census::Functions`]).
pub(crate) const CENSUS: &str = "census";
/// Encoding of the database.
pub(crate) const ENCODING: &str = "encoding";
/// Lists as JSON.
pub(crate) const EXTENSIONS: &str = "extensions";
/// Roles that own objects.
pub(crate) const OWNERS: &str = "owners";
/// Roles that privileges are granted to.
pub(crate) const GRANTEES: &str = "grantees";
/// Schemas.
pub(crate) const SCHEMAS: &str = "schemas";
/// Tablespaces in which objects are, besides the database's own.
pub(crate) const TABLESPACES: &str = "tablespaces";

/// Lists of names, one query each; without what belongs to an extension, and without what a run moved aside.
const LISTS: [(&str, &str); 5] = [
    (EXTENSIONS, "SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql'"),
    (SCHEMAS, "SELECT nspname::text FROM pg_namespace n WHERE @user_schemas@"),
    (
        OWNERS,
        "WITH user_schema AS (SELECT oid, nspname, nspowner FROM pg_namespace n WHERE @user_schemas@), \
              owner AS (SELECT 'pg_class'::regclass AS kind, oid, relowner AS role FROM pg_class WHERE relnamespace IN (SELECT oid FROM user_schema) \
                        UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc WHERE pronamespace IN (SELECT oid FROM user_schema) \
                        UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM pg_type WHERE typnamespace IN (SELECT oid FROM user_schema) \
                        UNION ALL SELECT 'pg_largeobject_metadata'::regclass, oid, lomowner FROM pg_largeobject_metadata \
                        UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner FROM user_schema WHERE nspname <> 'public') \
         SELECT DISTINCT pg_get_userbyid(role)::text FROM owner \
         WHERE NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = owner.kind AND d.objid = owner.oid AND d.deptype = 'e')",
    ),
    (
        GRANTEES,
        "SELECT DISTINCT pg_get_userbyid(refobjid)::text FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype IN ('a', 'r') \
         AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    (
        TABLESPACES,
        "SELECT DISTINCT spcname::text FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE spcname <> 'pg_global'",
    ),
];

/// Collects them from the live database.
///
/// # Errors
/// The server's.
pub(crate) fn collect(
    session: &mut Session,
    server: &Server,
    clients: &Clients,
    properties: &Properties,
    database: &str,
) -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    let mut put = |name: &str, value: String| facts.insert(name.to_owned(), value);
    put("database", database.to_owned());
    put("server-version", server.version.clone());
    put(SERVER_MAJOR, server.major.to_string());
    put("client-version", clients.version.clone());
    put(CLIENT_MAJOR, clients.major.to_string());
    put(CENSUS, "2".to_owned());
    put(ENCODING, properties.encoding.clone());
    for (fact, query) in LISTS {
        let rows = session.rows(&of_the_user(query), &format!("list the {fact}"))?;
        let names: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        put(fact, serde_json::to_string(&names).map_err(|error| Error::failed(format!("failed to write the {fact}")).because(error))?);
    }
    Ok(facts)
}

/// A list of names out of a set's facts.
///
/// # Errors
/// [`plan::Class::NeedsPerson`] when the set was not written by this program, or is damaged.
pub(crate) fn list(kept: &Evidence, fact: &str) -> Result<BTreeSet<String>> {
    let text = kept.facts.get(fact).ok_or_else(|| Error::needs_person(format!("the set does not say its {fact}")))?;
    serde_json::from_str(text).map_err(|error| Error::needs_person(format!("the set's {fact} are unreadable")).because(error))
}

/// A major version out of a set's facts.
///
/// # Errors
/// As [`list`].
pub(crate) fn major(kept: &Evidence, fact: &str) -> Result<u32> {
    let number = kept.facts.get(fact).and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::needs_person(format!("the set does not say its {fact}")))
}
