//! Chooses the place of a restore, and whether it goes into the binary log. Changes nothing.

use plan::ports::{Context, Road};
use plan::{Error, Result};

use crate::beside;
use crate::place::Schemas;
use crate::server::{Kind, Server};
use crate::session::{Session, Talk};
use crate::store::{LogBin, MysqlStore};

/// Names the schemas of this run.
pub(crate) fn reserve(store: &MysqlStore, context: &Context, road: Road) -> Result<Schemas> {
    let mut session = store.session(Talk::Text, Some(&store.address.database))?;
    let server = Server::ask(&mut session)?;
    let logged = is_logged(store, &mut session, &server)?;
    let mut schemas = Schemas::of(&store.address.database, &context.run, road, logged);
    let runs = beside::list(&mut session, &schemas.live)?;
    let swapped = runs.into_iter().filter(|run| run.is_swapped()).filter_map(|run| run.before);
    schemas.over = Some(swapped.filter(|before| *before != schemas.before).collect());
    Ok(schemas)
}

fn is_logged(store: &MysqlStore, session: &mut Session, server: &Server) -> Result<bool> {
    if !server.log_bin && store.options.log_bin != LogBin::Never {
        return Ok(true);
    }
    match store.options.log_bin {
        LogBin::Always => Ok(true),
        LogBin::Auto if has_replicas(session, server)? => Ok(true),
        wish => {
            let may = session.set_if_possible("SESSION sql_log_bin = 0")?;
            if !may && wish == LogBin::Never {
                return Err(Error::refused("this user may not switch the binary log off for its sessions")
                    .hint("GRANT SESSION_VARIABLES_ADMIN ON *.* (MySQL) or BINLOG ADMIN ON *.* (MariaDB) to this user, or let the restore be logged."));
            }
            Ok(!may)
        }
    }
}

/// Whether somebody may read the binary log. What may not be looked at counts as a replica.
pub(crate) fn has_replicas(session: &mut Session, server: &Server) -> Result<bool> {
    // In a cluster, the log is how the other members get the data.
    if session.variable("GLOBAL.wsrep_on")?.is_some_and(|on| on == "1") {
        return Ok(true);
    }
    let group = "SELECT 1 FROM performance_schema.replication_group_members WHERE MEMBER_ID <> ''";
    if server.kind == Kind::Mysql
        && session.rows_if_possible("look for a replication group", group)?.is_some_and(|members| !members.is_empty())
    {
        return Ok(true);
    }
    let mut registered = None;
    for sql in ["SHOW REPLICAS", "SHOW SLAVE HOSTS"] {
        registered = session.rows_if_possible("look for replicas", sql)?;
        if registered.is_some() {
            break;
        }
    }
    let reading = "SELECT 1 FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";
    let reading = session.rows_if_possible("look for replicas", reading)?;
    Ok(registered.is_none_or(|replicas| !replicas.is_empty()) || reading.is_none_or(|replicas| !replicas.is_empty()))
}
