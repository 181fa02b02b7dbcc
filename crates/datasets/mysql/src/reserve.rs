//! Chooses the place of a restore, and whether it goes into the binary log. Changes nothing.

use plan::ports::{Context, Problem, Road, Severity};
use plan::{Error, Result};

use crate::beside;
use crate::place::{Keeps, Schemas};
use crate::privileges::Grants;
use crate::record::Record;
use crate::rights;
use crate::server::{Replicas, Server};
use crate::session::{Session, Talk};
use crate::store::{LogBin, MysqlStore};

/// Names the schemas of this run.
pub(crate) fn reserve(store: &MysqlStore, context: &Context, road: Road) -> Result<Schemas> {
    let mut session = store.session(Talk::Text, None)?;
    let server = Server::ask(&mut session)?;
    let logged = is_logged(store, &mut session, &server)?;
    let mut schemas = Schemas::of(&store.address.database, &context.run, road, logged);
    if road == Road::InPlace {
        let (open, _) = rights::writing(&Grants::ask(&mut session, &server)?, &schemas);
        schemas.keeps = Some(if open == Road::SideCopy { Keeps::Beside } else { Keeps::Within });
    }
    let own = Record::at(&schemas);
    let runs = beside::list(&mut session, &schemas.live)?;
    let swapped = runs.into_iter().filter(|run| run.is_swapped()).filter_map(|run| run.record(&schemas.live));
    schemas.over = Some(swapped.filter(|record| *record != own).map(|record| record.key().to_owned()).collect());
    Ok(schemas)
}

/// Whether the run's statements go into the binary log.
fn is_logged(store: &MysqlStore, session: &mut Session, server: &Server) -> Result<bool> {
    if !server.log_bin && store.options.log_bin != LogBin::Never {
        return Ok(true);
    }
    match store.options.log_bin {
        LogBin::Always => Ok(true),
        LogBin::Auto if Replicas::look(session, server)?.may_be() => Ok(true),
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

/// What the binary log has of a restore, for the plan. Nothing to say where there is none.
pub(crate) fn binary_log(store: &MysqlStore, session: &mut Session, server: &Server) -> Result<Option<Problem>> {
    if !server.log_bin {
        return Ok(None);
    }
    let is_logged = match store.options.log_bin {
        LogBin::Always => true,
        LogBin::Auto => Replicas::look(session, server)?.may_be(),
        LogBin::Never => false,
    };
    Ok(Some(if is_logged {
        Problem::new(
            Severity::Note,
            "the restore is written to the binary log: replicas load it as this server does and show it when they come to the swap, and a recovery to a point in time has it",
        )
    } else {
        Problem::new(
            Severity::Degrades,
            "the restore is not written to the binary log (log-bin): a replica that is down now or is made later, and a recovery to a point in time lack it, without any error",
        )
        .way_out("Set log-bin = \"always\", or make the replicas anew and take a full copy of the server afterwards.")
    }))
}
