//! Whether a kept data set can go into a server: kind, versions, extensions, roles. Changes nothing.

use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity, StoreKind};
use plan::{Class, Result};

use crate::address::Address;
use crate::aside;
use crate::clients::{Clients, Finder};
use crate::demands::{self, Demands};
use crate::facts;
use crate::look;
use crate::rights::Rights;
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
        Err(error) if error.class() == Class::Refused => match Session::open_maintenance(address) {
            Ok(session) => session,
            Err(_) => return Err(error),
        },
        opened => opened?,
    };
    if road == Road::InPlace && look::object_id(&mut session, &address.database)?.is_none() {
        let text = format!("there is no database {:?}: nothing can be replaced in place", address.database);
        return Ok(vec![Problem::new(Severity::Blocks, text).way_out("Leave out --in-place: beside, the restore makes it.")]);
    }
    let server = Server::read(&mut session)?;
    let rights = Rights::of_restore(&mut session, &server, road, address, finder)?;
    let mut problems = versions(&server, &kept.evidence, finder)?;
    problems.extend(of_server(&mut session, &kept.evidence, &rights, road)?);
    if let Some(demands) = Demands::of(&kept.evidence)? {
        problems.extend(demands.problems(&rights));
        problems.extend(demands.staying(&rights, road));
    }
    problems.extend(demands::unknown_public(&kept.evidence, &rights)?);
    Ok(problems)
}

/// What is in the way besides versions and the set's demands.
fn of_server(session: &mut Session, kept: &Evidence, rights: &Rights, road: Road) -> Result<Vec<Problem>> {
    let mut problems: Vec<_> = extensions(session, kept)?.into_iter().collect();
    problems.extend(names(rights, kept)?);
    if road == Road::InPlace {
        problems.extend(obstacles(session)?);
        problems.extend(event_triggers(session)?);
        problems.extend(encoding(session, kept)?);
    }
    Ok(problems)
}

/// What a plan with this role would say on this server, asked when a set is taken, by the same rules. Its versions are the set's own.
pub(crate) struct AtBackup {
    road: Road,
    /// On the road that is open.
    rights: Rights,
    /// Those of a database made anew, as it would be when this one is lost.
    anew: Rights,
    /// Without the set's demands, which are known at its end.
    refused: Vec<Problem>,
}

impl AtBackup {
    /// Asks what the role may do.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn ask(session: &mut Session, server: &Server, address: &Address, finder: Finder<'_>) -> Result<Self> {
        let road = look::road(session, server, address, finder)?.0;
        let anew = Rights::of_restore(session, server, Road::SideCopy, address, finder)?;
        let rights = match road {
            Road::SideCopy => anew.clone(),
            Road::InPlace => Rights::of_restore(session, server, road, address, finder)?,
        };
        Ok(Self { road, rights, anew, refused: Vec::new() })
    }

    /// Holds what the set has against the server.
    ///
    /// # Errors
    /// The server's.
    pub(crate) fn hold_against(&mut self, session: &mut Session, kept: &Evidence) -> Result<()> {
        self.refused = of_server(session, kept, &self.rights, self.road)?;
        self.refused.retain(|problem| problem.severity == Severity::Blocks);
        Ok(())
    }

    /// All of it; of a role for backups only, notes: another one restores.
    pub(crate) fn problems(mut self, demands: &Demands, owner: &str) -> Vec<Problem> {
        let blocks = |problem: &Problem| problem.severity == Severity::Blocks;
        self.refused.extend(demands.problems(&self.rights).into_iter().filter(blocks));
        // What only a lost database would lack is an omission: in the one that is there it stays.
        let anew = demands.problems(&self.anew).into_iter().filter(|problem| !self.refused.contains(problem));
        let anew = anew.map(|problem| Problem { severity: problem.severity.min(Severity::Degrades), ..problem }).collect::<Vec<_>>();
        let mut problems: Vec<_> = self.refused.into_iter().chain(anew).collect();
        if !self.rights.may_be(owner) {
            problems.iter_mut().for_each(|problem| problem.severity = Severity::Note);
        }
        problems
    }
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
        Ok(clients) => {
            let used = |place| {
                Problem::new(Severity::Note, format!("pg_restore {} in {place} is used: none on this machine fits", clients.version))
            };
            problems.extend(clients.elsewhere().map(used));
        }
    }
    Ok(problems)
}

/// Roles and tablespaces that the set names and the server lacks.
fn names(rights: &Rights, kept: &Evidence) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let missing: Vec<_> = facts::list(kept, facts::OWNERS)?.into_iter().filter(|name| !rights.knows(name)).collect();
    if !missing.is_empty() && Demands::of(kept)?.is_none() {
        let text = format!("the roles {} do not exist: what they owned is owned by {:?} instead", missing.join(", "), rights.role);
        problems.push(Problem::new(Severity::Degrades, text).way_out("Create them before."));
    }
    let missing: Vec<_> = facts::list(kept, facts::GRANTEES)?.into_iter().filter(|name| !rights.knows(name)).collect();
    if !missing.is_empty() {
        let text = format!("rights and policies of the roles {} are left out: they do not exist here", missing.join(", "));
        problems.push(Problem::new(Severity::Degrades, text).way_out("Create them before."));
    }
    let missing: Vec<_> = facts::list(kept, facts::TABLESPACES)?.into_iter().filter(|name| !rights.has_tablespace(name)).collect();
    if !missing.is_empty() {
        let text = format!("the tablespaces {} do not exist: their objects go to the database's own", missing.join(", "));
        problems.push(Problem::new(Severity::Degrades, text).way_out("Create them before."));
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

/// What would keep the live data from being moved aside.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) fn obstacles(session: &mut Session) -> Result<Option<Problem>> {
    let obstacles = aside::obstacles(session)?;
    Ok((!obstacles.is_empty()).then(|| {
        Problem::new(Severity::Blocks, format!("the live data cannot be moved aside by this role: {}", obstacles.join(", ")))
            .way_out("Give the role CREATEDB, or the role that owns them, or use the address of a superuser.")
    }))
}

/// They stay, and so does the function that each of them calls, until what is aside is dropped.
fn event_triggers(session: &mut Session) -> Result<Option<Problem>> {
    let query = crate::sql::of_the_user(
        "SELECT evtname::text FROM pg_event_trigger JOIN pg_proc p ON p.oid = evtfoid JOIN pg_namespace n ON n.oid = pronamespace \
         WHERE NOT pg_has_role(evtowner, 'USAGE') AND @user_schemas@ ORDER BY 1",
    );
    let rows = session.rows(&query, "look at the event triggers")?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok((!names.is_empty()).then(|| {
        let text =
            format!("the event triggers {} call functions that are moved aside: they go on, and fall away with `settle`", names.join(", "));
        Problem::new(Severity::Degrades, text).way_out("Let a superuser make them anew after `settle`.")
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
