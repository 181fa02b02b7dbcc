//! Whether a kept data set can go into a server: kind, versions, extensions, roles. Changes nothing.

use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity, StoreKind};
use plan::{Class, Result};

use crate::address::Address;
use crate::clients::{Clients, Finder};
use crate::facts;
use crate::restore::Omissions;
use crate::server::Server;
use crate::session::Session;

/// All that is in the way.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn problems(address: &Address, kept: &KeptDataSet, road: Road, finder: Finder<'_>) -> Result<Vec<Problem>> {
    if kept.kind != StoreKind::PostgreSql {
        let text = format!("the set holds {}, the server is PostgreSQL", kept.store);
        return Ok(vec![Problem::new(Severity::Blocks, text).way_out("Give the address of a server of the same kind.")]);
    }
    let mut session = match Session::open(address) {
        Err(error) if error.class() == Class::Refused && road == Road::SideCopy => Session::open_maintenance(address)?,
        opened => opened?,
    };
    let server = Server::read(&mut session)?;
    let mut problems = versions(&server, &kept.evidence, finder)?;
    problems.extend(extensions(&mut session, &kept.evidence)?);
    let omissions = Omissions::find(&mut session, &server, &kept.evidence)?;
    problems.extend(omissions.warnings.into_iter().map(|text| {
        Problem::new(Severity::Degrades, text).way_out("Create the missing roles and tablespaces, or restore with a superuser.")
    }));
    if road == Road::InPlace {
        problems.extend(encoding(&mut session, &kept.evidence)?);
    }
    Ok(problems)
}

/// The programs that can read the set's archive and talk to the server.
///
/// # Errors
/// [`plan::Class::Refused`] when they are not here.
pub(crate) fn clients(server: &Server, kept: &Evidence, finder: Finder<'_>) -> Result<Clients> {
    finder.find(server.major.max(facts::major(kept, facts::CLIENT_MAJOR)?), server.major)
}

fn versions(server: &Server, kept: &Evidence, finder: Finder<'_>) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let from = facts::major(kept, facts::SERVER_MAJOR)?;
    if from > server.major {
        let text = format!("the set comes from PostgreSQL {from}, the server is {}", server.version);
        problems.push(Problem::new(Severity::Blocks, text).way_out(format!("Restore into PostgreSQL {from} or newer.")));
    }
    match clients(server, kept, finder) {
        Err(error) => {
            problems.push(Problem::new(Severity::Blocks, error.to_string()).way_out(error.hints().join(" ")));
        }
        Ok(clients) if !clients.restore_into(server.major) => {
            let text = format!("pg_restore {} does not restore into PostgreSQL {}", clients.version, server.version);
            let way_out = format!("Install postgresql-client-{} and take the backup with it, or restore into 17 or newer.", server.major);
            problems.push(Problem::new(Severity::Blocks, text).way_out(way_out));
        }
        Ok(clients) => {
            let used = |place| {
                Problem::new(Severity::Note, format!("pg_restore {} in {place} is used: none on this machine fits", clients.version))
            };
            problems.extend(clients.elsewhere().map(used));
        }
    }
    Ok(problems)
}

fn extensions(session: &mut Session, kept: &Evidence) -> Result<Option<Problem>> {
    let rows = session.rows("SELECT name::text FROM pg_available_extensions", "list the available extensions")?;
    let available: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<_> = facts::list(kept, facts::EXTENSIONS)?.into_iter().filter(|name| !available.contains(name)).collect();
    Ok((!missing.is_empty()).then(|| {
        Problem::new(Severity::Blocks, format!("the server lacks the extensions {}", missing.join(", ")))
            .way_out("Install their packages on the server (postgresql-contrib has many).")
    }))
}

fn encoding(session: &mut Session, kept: &Evidence) -> Result<Option<Problem>> {
    let live: String = session.row("SELECT current_setting('server_encoding')", "ask for the encoding")?.get(0);
    let set = kept.facts.get(facts::ENCODING).map_or("", String::as_str);
    Ok((live != set).then(|| {
        Problem::new(
            Severity::Blocks,
            format!("the set's database is encoded in {set}, the live one in {live}: it cannot be replaced in place"),
        )
        .way_out("Give the role CREATEDB, so that a database of the set's encoding can be made.")
    }))
}
