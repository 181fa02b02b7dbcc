//! Looks at the live database: what stands in the way of a backup or a restore. Changes nothing.

use plan::Result;
use plan::ports::{Context, Findings, Problem, Road, Severity};

use crate::beside::{self, Beside};
use crate::fits;
use crate::identity;
use crate::local_infile;
use crate::mark;
use crate::objects;
use crate::owned;
use crate::place::Schemas;
use crate::privileges::Grants;
use crate::quote;
use crate::rights;
use crate::schema::read;
use crate::server::{Replicas, Server};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// A transaction older than this is worth a word.
const LONG_SECONDS: u64 = 60;

/// Looks.
pub(crate) fn look(store: &MysqlStore, context: &Context) -> Result<Findings> {
    let database = &store.address.database;
    let (mut session, is_there) = store.session_if_there(Talk::Text)?;
    let server = Server::ask(&mut session)?;
    let grants = Grants::ask(&mut session, &server)?;
    let mut backup = rights::reading(&grants, &server, database);
    let (road, mut restore) = rights::writing(&grants, &Schemas::of(database, &context.run, Road::SideCopy, true));
    if !is_there {
        let text = format!("there is no database {database:?} on {}", store.address.server());
        let way_out = "Check the database in the address. If it was dropped, `restore` makes it again.";
        backup.push(Problem::new(Severity::Blocks, text.clone()).way_out(way_out));
        restore.push(Problem::new(Severity::Degrades, format!("{text}: the restore makes it, with the set's character set and collation")));
    }
    backup.extend(owned::hidden_routines(&mut session, &server, &grants, database)?);
    restore.extend(fits::of_live(&mut session, &server, &grants, database, road, None)?);
    // What may not be read is told above.
    if let Ok(objects) = read::objects(&mut session, database) {
        let broken = objects::broken::list(&mut session, database, &objects)?;
        restore.extend(broken.iter().filter_map(objects::broken::in_a_plan));
    }
    for (text, way_out) in read::others(&mut session, database)? {
        let problem = Problem::new(Severity::Blocks, text).way_out(way_out);
        backup.push(problem.clone());
        restore.push(problem);
    }
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
    if !local && !local_infile::may_switch(&grants) {
        restore.push(
            Problem::new(
                Severity::Degrades,
                "the server takes no local files (local_infile = OFF): rows are loaded by INSERT, which is slower",
            )
            .way_out("SET GLOBAL local_infile = ON"),
        );
    }
    let (size_bytes, rows) = size(&mut session, database)?;
    let replicas = if server.log_bin { Replicas::look(&mut session, &server)? } else { Replicas::No };
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut facts = vec![
        ("binary log".to_owned(), if server.log_bin { "on" } else { "off" }.to_owned()),
        ("replicas".into(), replicas.to_string()),
        ("local_infile".into(), yes(local)),
        ("max_allowed_packet".into(), server.max_allowed_packet_bytes.to_string()),
        ("lower_case_table_names".into(), server.lower_case_table_names.to_string()),
    ];
    // Where there is none, or this user may not read it, nothing is known.
    let migrations = format!("SELECT MAX(version) FROM {}.schema_migrations", quote::name(database));
    if let Some(rows) = session.rows_if_possible("read the newest migration", &migrations)?
        && let Some(newest) = rows.first().map_or(Ok(None), |record| record.maybe(0))?
    {
        facts.push((plan::release::SCHEMA.to_owned(), newest));
    }
    if road == Road::InPlace {
        facts.push(("road".into(), "in place: the user may not make the schemas for a side copy".into()));
    }
    Ok(Findings {
        store: server.name(),
        address: store.address.to_string(),
        identity: identity::of(&mut session, &server, database)?,
        half_loaded_by: half_loaded_by(&mut session, database)?,
        is_gone: !is_there,
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
