//! Chooses the place of a restore, and whether it goes into the binary log. Changes nothing.

use plan::ports::{Context, Road};
use plan::{Error, Result};

use crate::beside;
use crate::place::Schemas;
use crate::server::{Server, has_replicas};
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
