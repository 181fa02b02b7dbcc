//! The privileges that a backup and a restore need, and which of them are missing. Changes nothing.

use plan::ports::{Problem, Road, Severity};

use crate::owned;
use crate::place::Schemas;
use crate::privileges::Grants;
use crate::quote;
use crate::server::{Kind, Server};

/// Without these a dump would silently lack triggers, views' definitions or events.
const READ: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];
/// What loading and swapping needs on every schema that takes part.
const LOAD: [&str; 7] = ["SELECT", "INSERT", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES"];
/// What the record of the cut-over needs besides.
const RECORD: [&str; 1] = ["DELETE"];
/// What making the objects needs on the live schema.
const OBJECTS: [&str; 6] = ["CREATE VIEW", "SHOW VIEW", "TRIGGER", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT"];

/// What is missing for reading; the blocking ones would make a set incomplete without a word.
pub(crate) fn reading(grants: &Grants, server: &Server, database: &str) -> Vec<Problem> {
    let (user, schema) = (&grants.user, quote::name(database));
    let mut problems: Vec<Problem> = server.misspelled(database).into_iter().collect();
    let missing = grants.missing(&READ, database);
    if !missing.is_empty() {
        let list = missing.join(", ");
        problems.push(
            Problem::new(Severity::Blocks, format!("{user} lacks {list} on {schema}: the dump would lack what is not shown"))
                .way_out(format!("GRANT {list} ON {schema}.* TO {user}")),
        );
    }
    let sees_routines = grants.everywhere("SELECT")
        || ["EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE", "SHOW CREATE ROUTINE"].iter().any(|privilege| grants.on(privilege, database))
        || grants.everywhere("SHOW_ROUTINE");
    if !sees_routines {
        let text = format!("{user} may not see the routines of {schema}");
        problems.push(Problem::new(Severity::Blocks, text).way_out(owned::show_routines(server, user, &schema)));
    }
    let mut degrade = |ok: bool, text: &str, grant: &str| {
        if !ok {
            problems.push(
                Problem::new(Severity::Degrades, format!("{user} lacks {grant}: {text}"))
                    .way_out(format!("GRANT {grant} ON *.* TO {user}")),
            );
        }
    };
    let lock = grants.on("LOCK TABLES", database);
    match server.kind {
        Kind::Mysql => {
            degrade(
                grants.everywhere("BACKUP_ADMIN"),
                "a migration that comes during a dump ends it, instead of waiting for it",
                "BACKUP_ADMIN",
            );
            degrade(grants.everywhere("REPLICATION CLIENT"), "the position in the binary log is not recorded", "REPLICATION CLIENT");
        }
        Kind::Mariadb => {
            let otherwise = if lock { "the view is taken under read locks on every table" } else { "the dump uses one connection only" };
            let text = format!("{otherwise}, and a migration that comes during a dump ends it");
            degrade(grants.everywhere("RELOAD"), &text, "RELOAD");
            let may = ["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"].iter().any(|privilege| grants.everywhere(privilege));
            degrade(may, "the position in the binary log is not recorded", "BINLOG MONITOR");
        }
    }
    degrade(grants.everywhere("PROCESS"), "blocking connections cannot be named", "PROCESS");
    if server.kind == Kind::Mysql && !lock {
        let text = format!("{user} lacks LOCK TABLES on {schema}: the dump uses one connection only");
        problems.push(Problem::new(Severity::Degrades, text).way_out(format!("GRANT LOCK TABLES ON {schema}.* TO {user}")));
    }
    problems
}

/// The road that the privileges allow, and what is missing for it.
pub(crate) fn writing(grants: &Grants, schemas: &Schemas) -> (Road, Vec<Problem>) {
    let user = &grants.user;
    let mut problems = Vec::new();
    let side: Vec<&str> = [&schemas.stage, &schemas.before]
        .into_iter()
        .flat_map(|schema| grants.missing(&LOAD, schema).into_iter().chain(grants.missing(&RECORD, schema)))
        .collect();
    let road = if side.is_empty() { Road::SideCopy } else { Road::InPlace };
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
    let mut missing: Vec<&str> = grants.missing(&LOAD, &schemas.live).into_iter().chain(grants.missing(&OBJECTS, &schemas.live)).collect();
    if road == Road::InPlace {
        // The record is within the live schema.
        missing.extend(grants.missing(&RECORD, &schemas.live));
    }
    if !missing.is_empty() {
        let (list, schema) = (missing.join(", "), quote::name(&schemas.live));
        problems.push(
            Problem::new(Severity::Blocks, format!("{user} lacks {list} on {schema}"))
                .way_out(format!("GRANT {list} ON {schema}.* TO {user}")),
        );
    }
    let keeps_definers = ["SUPER", "SET_USER_ID", "SET_ANY_DEFINER", "SET USER"].iter().any(|privilege| grants.everywhere(privilege));
    if !keeps_definers {
        problems.push(
            Problem::new(
                Severity::Degrades,
                format!("{user} may not keep the definers of triggers, views, routines and events: they will belong to {user}"),
            )
            .way_out(format!("GRANT SET_ANY_DEFINER ON *.* TO {user} (MySQL 8.2; before: SET_USER_ID; MariaDB: SET USER)")),
        );
    }
    (road, problems)
}

/// The grant that lets a user make schemas beside a database.
pub(crate) fn way_out_beside(grants: &Grants, live: &str) -> String {
    let user = &grants.user;
    if grants.knows_patterns() {
        let pattern = quote::name(&format!("{}\\_\\_%", live.replace('_', "\\_")));
        return format!("GRANT ALL ON {pattern}.* TO {user}");
    }
    let list = LOAD.iter().chain(&RECORD).copied().collect::<Vec<_>>().join(", ");
    format!("GRANT {list} ON *.* TO {user} (partial_revokes is ON: there a pattern names no schemas)")
}
