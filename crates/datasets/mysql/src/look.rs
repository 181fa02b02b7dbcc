//! Looks at the live database: what stands in the way of a backup or a restore. Changes nothing.

use plan::Result;
use plan::ports::{Context, Findings, Problem, Road, Severity};

use crate::beside::{self, Beside};
use crate::identity;
use crate::mark;
use crate::owned;
use crate::place::Schemas;
use crate::privileges::Grants;
use crate::quote;
use crate::reserve::has_replicas;
use crate::server::{Kind, Server};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Without these a dump would silently lack triggers, views' definitions or events.
const READ: [&str; 4] = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];
/// What loading and swapping needs on every schema that takes part.
const LOAD: [&str; 7] = ["SELECT", "INSERT", "CREATE", "DROP", "ALTER", "INDEX", "REFERENCES"];
/// What the record of the cut-over needs besides.
const RECORD: [&str; 1] = ["DELETE"];
/// What making the objects needs on the live schema.
const OBJECTS: [&str; 6] = ["CREATE VIEW", "SHOW VIEW", "TRIGGER", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT"];
/// A transaction older than this is worth a word.
const LONG_SECONDS: u64 = 60;

/// Looks.
pub(crate) fn look(store: &MysqlStore, context: &Context) -> Result<Findings> {
    let database = &store.address.database;
    let mut session = store.session(Talk::Text, Some(database))?;
    let server = Server::ask(&mut session)?;
    let grants = Grants::ask(&mut session, server.kind)?;
    let mut backup = reading(&grants, &server, database);
    let (road, mut restore) = writing(&grants, &Schemas::of(database, &context.run, Road::SideCopy, true));
    backup.extend(owned::hidden_routines(&mut session, &server, &grants, database)?);
    restore.extend(owned::protected(&mut session, &server, &grants, database)?);
    let long = long_transactions(&mut session)?;
    backup.extend(
        long.iter().map(|text| {
            Problem::new(Severity::Note, text.clone()).way_out("The snapshot waits only for statements, not for transactions.")
        }),
    );
    restore.extend(long.iter().map(|text| {
        Problem::new(Severity::Degrades, text.clone())
            .way_out("End it before the cut-over: the swap waits for it, with a limit, and then changes nothing.")
    }));
    let local = session.variable("GLOBAL.local_infile")?.as_deref() == Some("1");
    let may_switch = ["SUPER", "SYSTEM_VARIABLES_ADMIN"].iter().any(|privilege| grants.everywhere(privilege));
    if !local && !may_switch {
        restore.push(
            Problem::new(
                Severity::Degrades,
                "the server takes no local files (local_infile = OFF): rows are loaded by INSERT, which is slower",
            )
            .way_out("SET GLOBAL local_infile = ON"),
        );
    }
    let (size_bytes, rows) = size(&mut session, database)?;
    let replicas = server.log_bin && has_replicas(&mut session, &server)?;
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut facts = vec![
        ("binary log".to_owned(), if server.log_bin { "on" } else { "off" }.to_owned()),
        ("replicas".into(), yes(replicas)),
        ("local_infile".into(), yes(local)),
        ("max_allowed_packet".into(), server.max_allowed_packet_bytes.to_string()),
        ("lower_case_table_names".into(), server.lower_case_table_names.to_string()),
    ];
    if road == Road::InPlace {
        facts.push(("road".into(), "in place: the user may not make the schemas for a side copy".into()));
    }
    Ok(Findings {
        store: server.name(),
        address: store.address.to_string(),
        identity: identity::of(&mut session, &server, database)?,
        half_loaded_by: half_loaded_by(&mut session, database)?,
        size_bytes,
        count: Some(rows),
        backup_problems: backup,
        restore_problems: restore,
        road,
        facts,
    })
}

/// The run that replaces the live database in place, or is in the middle of a swap.
fn half_loaded_by(session: &mut Session, database: &str) -> Result<Option<String>> {
    if let Some(found) = mark::find(session, database)? {
        return Ok(Some(found.mark.map_or_else(|| "unknown".to_owned(), |mark| mark.run.to_string())));
    }
    Ok(beside::list(session, database)?.iter().find(|run| run.is_half_way()).map(Beside::run))
}

/// What is missing for reading; the blocking ones would make a set incomplete without a word.
pub(crate) fn reading(grants: &Grants, server: &Server, database: &str) -> Vec<Problem> {
    let (user, schema) = (&grants.user, quote::name(database));
    let mut problems = Vec::new();
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
    let otherwise = if lock { "the view is taken under read locks on every table" } else { "the dump uses one connection only" };
    degrade(grants.everywhere("RELOAD"), otherwise, "RELOAD");
    match server.kind {
        Kind::Mysql => {
            degrade(grants.everywhere("BACKUP_ADMIN"), "views and routines are not protected from changes during the dump", "BACKUP_ADMIN");
            degrade(grants.everywhere("REPLICATION CLIENT"), "the position in the binary log is not recorded", "REPLICATION CLIENT");
        }
        Kind::Mariadb => {
            let may = ["BINLOG MONITOR", "REPLICATION CLIENT", "SUPER"].iter().any(|privilege| grants.everywhere(privilege));
            degrade(may, "the position in the binary log is not recorded", "BINLOG MONITOR");
        }
    }
    degrade(grants.everywhere("PROCESS"), "blocking connections cannot be named", "PROCESS");
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
        let pattern = quote::name(&format!("{}\\_\\_%", schemas.live.replace('_', "\\_")));
        problems.push(
            Problem::new(
                Severity::Degrades,
                format!("{user} may not make schemas beside {}: a restore has to go in place", quote::name(&schemas.live)),
            )
            .way_out(format!("GRANT ALL ON {pattern}.* TO {user}")),
        );
    }
    let missing: Vec<&str> = grants.missing(&LOAD, &schemas.live).into_iter().chain(grants.missing(&OBJECTS, &schemas.live)).collect();
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

fn long_transactions(session: &mut Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT t.trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, t.trx_started, NOW()) FROM information_schema.INNODB_TRX t \
         WHERE t.trx_started < NOW() - INTERVAL {LONG_SECONDS} SECOND ORDER BY t.trx_started LIMIT 5"
    );
    let rows = session.rows_if_possible("look for long transactions", &sql)?.unwrap_or_default();
    rows.iter().map(|record| Ok(format!("connection {} has had a transaction open for {} s", record.text(0)?, record.text(1)?))).collect()
}

fn size(session: &mut Session, database: &str) -> Result<(u64, u64)> {
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED), CAST(COALESCE(SUM(TABLE_ROWS), 0) AS UNSIGNED) \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
        quote::text(database)
    );
    Ok(session.rows("read sizes", &sql)?.first().map_or((0, 0), |record| (record.number(0), record.number(1))))
}
