//! The privileges that a backup and a restore need: one list, by which `doctor` and `plan` ask, and which `docs/privileges.md` has as a table. Changes nothing.

use plan::ports::{Problem, Road, Severity};

use crate::owned;
use crate::place::Schemas;
use crate::privileges::{GRANT_OPTION, Grants};
use crate::quote;
use crate::server::{Kind, Server, Version};

/// What a privilege is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// To read everything.
    Backup,
    /// To load and swap, on either road.
    Restore,
    /// To make schemas beside the live one. Without, a set goes in place.
    Beside,
    /// To keep what is replaced within the live database: in place, where no schema can be made.
    Within,
    /// To give privileges on single routines again.
    Routines,
    /// To make tables of engine MERGE, where the set is loaded.
    MergeTables,
}

/// Where it must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// On the database, or the schemas beside it.
    Schema,
    /// On `*.*`.
    Everything,
}

/// What happens without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// Nothing begins.
    Refused,
    /// In another way, which is said.
    Told(&'static str),
    /// Asked for where it is known whether it is needed: [`reading`] and [`crate::owned`].
    AskedFor(&'static str),
}

/// A privilege.
pub(crate) struct Right {
    pub(crate) of: For,
    pub(crate) on: On,
    /// On one kind of server only.
    pub(crate) only: Option<Kind>,
    /// Each of them serves; the first is what is asked for.
    pub(crate) any: &'static [&'static str],
    pub(crate) without: Without,
}

const fn needed(of: For, name: &'static [&'static str]) -> Right {
    Right { of, on: On::Schema, only: None, any: name, without: Without::Refused }
}

const fn told(of: For, on: On, only: Option<Kind>, any: &'static [&'static str], text: &'static str) -> Right {
    Right { of, on, only, any, without: Without::Told(text) }
}

const fn asked(of: For, on: On, only: Kind, any: &'static [&'static str], text: &'static str) -> Right {
    Right { of, on, only: Some(only), any, without: Without::AskedFor(text) }
}

const MYSQL: Option<Kind> = Some(Kind::Mysql);
const MARIADB: Option<Kind> = Some(Kind::Mariadb);

/// All of them.
pub(crate) const RIGHTS: [Right; 42] = [
    // Without these a dump would silently lack triggers, views' definitions or events.
    needed(For::Backup, &["SELECT"]),
    needed(For::Backup, &["SHOW VIEW"]),
    needed(For::Backup, &["TRIGGER"]),
    needed(For::Backup, &["EVENT"]),
    asked(For::Backup, On::Everything, Kind::Mysql, &["SHOW_ROUTINE", "SELECT"], "refused where there are routines of others"),
    asked(
        For::Backup,
        On::Schema,
        Kind::Mariadb,
        &["EXECUTE"],
        "refused where there may be routines; bodies of those of others: `SELECT` on `mysql.proc`",
    ),
    told(For::Backup, On::Schema, None, &["LOCK TABLES"], LOCK_TABLES),
    told(For::Backup, On::Everything, MYSQL, &["BACKUP_ADMIN"], "a migration that comes during a dump ends it, instead of waiting for it"),
    told(For::Backup, On::Everything, MYSQL, &["REPLICATION CLIENT"], POSITION),
    told(
        For::Backup,
        On::Everything,
        MARIADB,
        &["RELOAD"],
        "the view is taken under read locks on every table, and a migration that comes during a dump ends it",
    ),
    told(For::Backup, On::Everything, MARIADB, &["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"], POSITION),
    told(For::Backup, On::Everything, None, &["PROCESS"], "blocking connections cannot be named"),
    // Tables.
    needed(For::Restore, &["SELECT"]),
    needed(For::Restore, &["INSERT"]),
    needed(For::Restore, &["CREATE"]),
    needed(For::Restore, &["DROP"]),
    needed(For::Restore, &["ALTER"]),
    needed(For::Restore, &["INDEX"]),
    needed(For::Restore, &["REFERENCES"]),
    // Objects.
    needed(For::Restore, &["CREATE VIEW"]),
    needed(For::Restore, &["SHOW VIEW"]),
    needed(For::Restore, &["TRIGGER"]),
    needed(For::Restore, &["CREATE ROUTINE"]),
    needed(For::Restore, &["ALTER ROUTINE"]),
    needed(For::Restore, &["EVENT"]),
    told(For::Restore, On::Everything, MYSQL, &["SET_ANY_DEFINER", "SET_USER_ID", "SUPER"], DEFINERS),
    told(For::Restore, On::Everything, MARIADB, &["SET USER", "SUPER"], DEFINERS),
    asked(For::Restore, On::Everything, Kind::Mysql, &["SYSTEM_USER"], "refused where objects of accounts that have it would be dropped"),
    asked(
        For::Restore,
        On::Everything,
        Kind::Mysql,
        &["SESSION_VARIABLES_ADMIN"],
        "tables made under `innodb_strict_mode = 0` are refused by the server when they are staged",
    ),
    needed(For::Beside, &["SELECT"]),
    needed(For::Beside, &["INSERT"]),
    needed(For::Beside, &["CREATE"]),
    needed(For::Beside, &["DROP"]),
    needed(For::Beside, &["ALTER"]),
    needed(For::Beside, &["INDEX"]),
    needed(For::Beside, &["REFERENCES"]),
    needed(For::Beside, &["DELETE"]),
    needed(For::Within, &["DELETE"]),
    told(For::Routines, On::Schema, None, &["EXECUTE"], ROUTINES),
    told(For::Routines, On::Schema, None, &["ALTER ROUTINE"], ROUTINES),
    told(For::Routines, On::Schema, None, &[GRANT_OPTION], ROUTINES),
    Right {
        of: For::MergeTables,
        on: On::Schema,
        only: None,
        any: &["UPDATE"],
        without: Without::AskedFor("refused where the set has tables of engine MERGE"),
    },
];

const LOCK_TABLES: &str = "the dump uses one connection only";
const POSITION: &str = "the position in the binary log is not recorded";
const DEFINERS: &str = "triggers, views, routines and events will belong to this user";
const ROUTINES: &str = "privileges on single routines are not given again, but told as statements";

/// The first version that knows a privilege, where not every one of its kind does (MySQL manual, 8.2.2; MariaDB's of `GRANT`).
const SINCE: [(&str, Kind, Version); 5] = [
    ("SESSION_VARIABLES_ADMIN", Kind::Mysql, Version(8, 0, 14)),
    ("SHOW_ROUTINE", Kind::Mysql, Version(8, 0, 20)),
    ("SET_ANY_DEFINER", Kind::Mysql, Version(8, 2, 0)),
    ("SET USER", Kind::Mariadb, Version(10, 5, 2)),
    ("BINLOG MONITOR", Kind::Mariadb, Version(10, 5, 2)),
];

/// Whether a server knows a privilege.
pub(crate) fn is_known(name: &str, kind: Kind, version: Version) -> bool {
    SINCE.iter().all(|(of, only, since)| *of != name || *only != kind || version >= *since)
}

/// What is asked for: the first that the server knows.
fn name(right: &Right, kind: Kind, version: Version) -> Option<&'static str> {
    right.any.iter().copied().find(|name| is_known(name, kind, version))
}

fn names<'a>(grants: &Grants, rights: impl Iterator<Item = &'a Right>) -> Vec<&'static str> {
    rights.filter_map(|right| name(right, grants.kind, grants.version)).collect()
}

/// Those of a purpose that a user has not got.
fn missing<'a>(grants: &'a Grants, of: For, schema: &'a str) -> impl Iterator<Item = &'static Right> + 'a {
    let has = move |right: &Right| {
        right.any.iter().any(|name| if right.on == On::Everything { grants.everywhere(name) } else { grants.on(name, schema) })
    };
    RIGHTS.iter().filter(move |right| right.of == of && right.only.is_none_or(|kind| kind == grants.kind) && !has(right))
}

/// Names of those without which nothing begins.
fn needed_and_missing(grants: &Grants, of: For, schema: &str) -> Vec<&'static str> {
    names(grants, missing(grants, of, schema).filter(|right| right.without == Without::Refused))
}

/// What is told of the others.
fn told_and_missing(grants: &Grants, of: For, schema: &str) -> Vec<Problem> {
    let problem = |right: &'static Right| {
        let (Without::Told(text), Some(name)) = (right.without, name(right, grants.kind, grants.version)) else { return None };
        let (user, schema) = (&grants.user, quote::name(schema));
        let (on, grant) = match right.on {
            On::Schema => (format!(" on {schema}"), format!("GRANT {name} ON {schema}.* TO {user}")),
            On::Everything => (String::new(), format!("GRANT {name} ON *.* TO {user}")),
        };
        Some(Problem::new(Severity::Degrades, format!("{user} lacks {name}{on}: {text}")).way_out(grant))
    };
    missing(grants, of, schema).filter_map(problem).collect()
}

/// What is missing for reading; the blocking ones would make a set incomplete without a word.
pub(crate) fn reading(grants: &Grants, server: &Server, database: &str) -> Vec<Problem> {
    let (user, schema) = (&grants.user, quote::name(database));
    let mut problems: Vec<Problem> = server.misspelled(database).into_iter().collect();
    let needed = needed_and_missing(grants, For::Backup, database);
    if !needed.is_empty() {
        let list = needed.join(", ");
        problems.push(
            Problem::new(
                Severity::Blocks,
                format!("{user} lacks {list} on {schema}: without that the server hides objects, and the dump would miss them silently"),
            )
            .way_out(grant(grants, &needed, database)),
        );
    }
    let sees_routines = grants.everywhere("SELECT")
        || ["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE"].iter().any(|privilege| grants.on(privilege, database))
        || grants.everywhere("SHOW_ROUTINE");
    if !sees_routines {
        let text = format!("{user} may not see the routines of {schema}");
        problems.push(Problem::new(Severity::Blocks, text).way_out(owned::show_routines(server, user, &schema)));
    }
    problems.extend(told_and_missing(grants, For::Backup, database));
    problems
}

/// The road that the privileges allow, and what is missing for it.
pub(crate) fn writing(grants: &Grants, schemas: &Schemas) -> (Road, Vec<Problem>) {
    let user = &grants.user;
    let mut problems = Vec::new();
    let is_beside = [&schemas.stage, &schemas.before].into_iter().all(|schema| needed_and_missing(grants, For::Beside, schema).is_empty());
    let road = if is_beside { Road::SideCopy } else { Road::InPlace };
    if road == Road::InPlace {
        let way_out = way_out_beside(grants, &schemas.live);
        problems.push(
            Problem::new(
                Severity::Degrades,
                format!("{user} may not make schemas beside {}: a restore has to go in place", quote::name(&schemas.live)),
            )
            .way_out(way_out),
        );
    }
    let mut needed = needed_and_missing(grants, For::Restore, &schemas.live);
    if road == Road::InPlace {
        // The record is within the live schema.
        needed.extend(needed_and_missing(grants, For::Within, &schemas.live));
    }
    if !needed.is_empty() {
        let (list, schema) = (needed.join(", "), quote::name(&schemas.live));
        problems.push(Problem::new(Severity::Blocks, format!("{user} lacks {list} on {schema}")).way_out(grant(
            grants,
            &needed,
            &schemas.live,
        )));
    }
    problems.extend(told_and_missing(grants, For::Restore, &schemas.live));
    (road, problems)
}

/// Those that are missing for giving privileges on single routines again, and the statement that gives them.
pub(crate) fn for_routines(grants: &Grants, database: &str) -> Option<(String, String)> {
    let names = names(grants, missing(grants, For::Routines, database));
    (!names.is_empty()).then(|| (names.join(", "), grant(grants, &names, database)))
}

/// Those that are missing for making tables of engine MERGE in a schema (MySQL manual, 18.7; besides those of a restore).
pub(crate) fn for_merge_tables(grants: &Grants, schema: &str) -> Option<String> {
    let names = names(grants, missing(grants, For::MergeTables, schema));
    (!names.is_empty()).then(|| names.join(", "))
}

/// The statement that gives them, for the schema that the set is loaded in on a road.
pub(crate) fn way_out_for_merge_tables(grants: &Grants, live: &str, road: Road) -> String {
    let names = names(grants, RIGHTS.iter().filter(|right| right.of == For::MergeTables));
    if road == Road::InPlace { grant(grants, &names, live) } else { beside(grants, live, &names) }
}

/// The privileges of a kind of server with which definers are kept; one is enough.
pub(crate) fn keeping_definers(kind: Kind) -> String {
    let of_kind = |right: &&Right| right.only == Some(kind) && matches!(right.without, Without::Told(DEFINERS));
    RIGHTS.iter().find(of_kind).map_or_else(String::new, |right| right.any.join(" or "))
}

/// Whether a user may change nothing in a database: one for backups only.
pub(crate) fn is_a_reader(grants: &Grants, database: &str) -> bool {
    ["INSERT", "CREATE", "DROP", "ALTER"].iter().all(|privilege| !grants.on(privilege, database))
}

/// The statement that gives privileges on a database.
fn grant(grants: &Grants, names: &[&str], database: &str) -> String {
    format!("GRANT {} ON {}.* TO {}", names.join(", "), quote::name(database), grants.user)
}

/// The grant that lets a user make schemas beside a database.
pub(crate) fn way_out_beside(grants: &Grants, live: &str) -> String {
    if grants.knows_patterns() {
        return beside(grants, live, &["ALL"]);
    }
    beside(grants, live, &names(grants, RIGHTS.iter().filter(|right| right.of == For::Beside)))
}

/// The statement that gives privileges on the schemas beside a database.
fn beside(grants: &Grants, live: &str, names: &[&str]) -> String {
    let (list, user) = (names.join(", "), &grants.user);
    if grants.knows_patterns() {
        let pattern = quote::name(&format!("{}\\_\\_%", live.replace('_', "\\_")));
        return format!("GRANT {list} ON {pattern}.* TO {user}");
    }
    format!("GRANT {list} ON *.* TO {user} (partial_revokes is ON: there a pattern names no schemas)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privilege_is_asked_for_by_a_name_that_the_server_knows() {
        let definers = |kind, version| {
            let right = RIGHTS.iter().find(|right| right.only == Some(kind) && matches!(right.without, Without::Told(DEFINERS)));
            right.and_then(|right| name(right, kind, version))
        };
        assert_eq!(definers(Kind::Mysql, Version(8, 0, 36)), Some("SET_USER_ID"));
        assert_eq!(definers(Kind::Mysql, Version(8, 2, 0)), Some("SET_ANY_DEFINER"));
        assert_eq!(definers(Kind::Mariadb, Version(10, 4, 30)), Some("SUPER"));
        assert_eq!(definers(Kind::Mariadb, Version(10, 5, 2)), Some("SET USER"));
        let user = "'a'@'%'";
        let shows = |version| {
            let server = Server { kind: Kind::Mysql, version, lower_case_table_names: 0, max_allowed_packet_bytes: 0, log_bin: false };
            owned::show_routines(&server, user, "`s`")
        };
        assert_eq!(shows(Version(8, 0, 19)), "GRANT SELECT ON *.* TO 'a'@'%'");
        assert_eq!(shows(Version(9, 7, 4)), "GRANT SHOW_ROUTINE ON *.* TO 'a'@'%'");
    }
}
