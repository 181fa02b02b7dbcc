//! Looks at the live database without changing anything: what a backup needs, what a restore needs, which road is open.

use plan::ports::{Findings, Problem, Road, Severity};
use plan::{Class, Error, Result};

use crate::address::Address;
use crate::clients::Finder;
use crate::fits;
use crate::identity;
use crate::limits;
use crate::mark::InPlace;
use crate::privileges::{self, For};
use crate::rights::Rights;
use crate::server::Server;
use crate::session::Session;
use crate::sql::literal;
use crate::superuser::AtHand;

/// What `look` finds.
///
/// # Errors
/// When the server cannot be reached or refuses the login.
pub(crate) fn look(address: &Address, finder: Finder<'_>) -> Result<Findings> {
    match Session::open(address) {
        Ok(mut session) => found(&mut session, address, finder),
        Err(error) if error.class() == Class::Refused => {
            // A server on which the database is not there yet is fine for a restore.
            let Ok(mut session) = Session::open_maintenance(address) else { return Err(error) };
            if object_id(&mut session, &address.database)?.is_some() { Err(error) } else { absent(&mut session, address, finder) }
        }
        Err(error) => Err(error),
    }
}

/// The database's object id; `None` when there is no such database.
///
/// # Errors
/// The server's.
pub(crate) fn object_id(session: &mut Session, database: &str) -> Result<Option<u32>> {
    let rows = session.rows(&format!("SELECT oid FROM pg_database WHERE datname = {}", literal(database)), "look for the database")?;
    Ok(rows.first().map(|row| row.get(0)))
}

fn found(session: &mut Session, address: &Address, finder: Finder<'_>) -> Result<Findings> {
    let server = Server::read(session)?;
    let row = session.row(
        "SELECT pg_database_size(oid), pg_get_userbyid(datdba)::text, pg_encoding_to_char(encoding)::text, \
                (SELECT CASE WHEN bool_or(reltuples <= 0 AND pg_relation_size(c.oid) > 0) THEN NULL \
                        ELSE coalesce(sum(greatest(reltuples, 0)), 0)::bigint END FROM pg_class c WHERE relkind = 'r' AND relnamespace IN \
                    (SELECT n.oid FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')) \
         FROM pg_database WHERE datname = current_database()",
        "look at the database",
    )?;
    let owner: String = row.get(1);
    let mut backup_problems = common(&server, finder);
    let mut restore_problems = backup_problems.clone();
    let limits = limits::problems(session)?;
    backup_problems.extend(limits.iter().cloned());
    restore_problems.extend(limits);
    backup_problems.extend(privileges::missing(session, &server, For::Backup)?);
    backup_problems.extend(Rights::of_restore(session, &server, Road::SideCopy, address, finder)?.problems(session, &owner)?);
    let (road, said) = road(session, &server, address, finder)?;
    standing_in_the_way(session, &server, road == Road::SideCopy, &mut restore_problems)?;
    if road == Road::InPlace {
        restore_problems.extend(fits::obstacles(session)?);
    }
    restore_problems.extend(said);
    let mut more = vec![("owner", owner), ("encoding", row.get(2))];
    more.extend(newest_migration(session)?.map(|newest| (plan::release::SCHEMA, newest)));
    Ok(Findings {
        store: format!("PostgreSQL {}", server.version),
        address: address.to_string(),
        identity: identity::of(session, &address.database)?,
        half_loaded_by: InPlace::find(session)?.map(|found| found.run()),
        is_gone: false,
        size_bytes: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0),
        // Not known before the tables were analyzed.
        count: row.get::<_, Option<i64>>(3).and_then(|count| u64::try_from(count).ok()),
        backup_problems,
        restore_problems,
        road,
        facts: facts(&server, finder, &more),
    })
}

/// Where there is none, or this role may not read it, nothing is known.
fn newest_migration(session: &mut Session) -> Result<Option<String>> {
    // Sessions of ours have no schema in their search path but the server's own.
    let readable = session.rows(
        "SELECT format('%I.%I', nspname, relname) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace \
         WHERE relname = 'schema_migrations' AND relkind IN ('r', 'p') AND attname = 'version' AND NOT attisdropped \
         AND has_column_privilege(attrelid, attnum, 'SELECT') AND has_schema_privilege(relnamespace, 'USAGE') \
         ORDER BY nspname <> 'public', nspname LIMIT 1",
        "look for migrations",
    )?;
    let Some(table) = readable.first().map(|row| row.get::<_, String>(0)) else { return Ok(None) };
    let newest = session.row(&format!("SELECT max(version)::text FROM {table}"), "read the newest migration")?;
    Ok(newest.get(0))
}

/// The road that is open where the database is there, and what is to be said of it.
///
/// # Errors
/// The server's.
pub(crate) fn road(session: &mut Session, server: &Server, address: &Address, finder: Finder<'_>) -> Result<(Road, Vec<Problem>)> {
    let mut why_not = privileges::missing(session, server, For::SideCopy)?;
    if why_not.is_empty() {
        return Ok((Road::SideCopy, why_not));
    }
    match finder.superuser(address)? {
        AtHand::Named(name) => return Ok((Road::SideCopy, vec![lent(&name, server)])),
        AtHand::Nobody => {}
        AtHand::Unknown(error) => why_not.insert(0, not_asked(&error)),
    }
    Ok((Road::InPlace, why_not))
}

fn absent(session: &mut Session, address: &Address, finder: Finder<'_>) -> Result<Findings> {
    let server = Server::read(session)?;
    let mut backup_problems = common(&server, finder);
    let mut restore_problems = backup_problems.clone();
    backup_problems.push(Problem::new(Severity::Blocks, format!("there is no database {:?} on the server", address.database)));
    let at_hand = if server.create_database { None } else { Some(finder.superuser(address)?) };
    if let Some(AtHand::Unknown(error)) = &at_hand {
        restore_problems.push(not_asked(error));
    }
    if let Some(AtHand::Named(name)) = &at_hand {
        restore_problems.push(lent(name, &server));
    } else if at_hand.is_some() {
        restore_problems.push(
            Problem::new(
                Severity::Blocks,
                format!("there is no database {:?}, and role {:?} may not create it", address.database, server.role),
            )
            .way_out(format!("Create it, or: ALTER ROLE {} CREATEDB.", crate::sql::identifier(&server.role))),
        );
    }
    Ok(Findings {
        store: format!("PostgreSQL {}", server.version),
        address: address.to_string(),
        identity: identity::of(session, &address.database)?,
        half_loaded_by: None,
        is_gone: true,
        size_bytes: 0,
        count: None,
        backup_problems,
        restore_problems,
        road: Road::SideCopy,
        facts: facts(&server, finder, &[]),
    })
}

/// Whether our own role may make the side database, and rename it and the live one.
///
/// # Errors
/// The server's.
pub(crate) fn may_swap(session: &mut Session, database: &str) -> Result<bool> {
    let query = format!(
        "SELECT rolsuper OR rolcreatedb AND NOT EXISTS (SELECT 1 FROM pg_database WHERE datname = {} AND NOT pg_has_role(current_user, datdba, 'USAGE')) \
         FROM pg_roles WHERE rolname = current_user",
        literal(database)
    );
    Ok(session.row(&query, "ask what the role may do")?.get(0))
}

fn lent(superuser: &str, server: &Server) -> Problem {
    let text = format!(
        "the superuser {superuser:?}, at hand in the server's own pod, makes and swaps the side database: role {:?} may not; a role of a few hours is made for it",
        server.role
    );
    Problem::new(Severity::Note, text)
}

/// The superuser of the pod cannot be asked: without it the side copy is not to be had.
fn not_asked(error: &Error) -> Problem {
    let text = format!(
        "the superuser in the server's own pod, who could make the side database, cannot be asked: {}",
        error.hints().iter().fold(error.chain(), |text, hint| format!("{text}. {}", hint.trim_end_matches('.')))
    );
    Problem::new(Severity::Degrades, text)
        .way_out("Allow `create` on `pods/exec` in its namespace (`doctor` names the rule), or what is said of the role below.")
}

fn facts(server: &Server, finder: Finder<'_>, more: &[(&str, String)]) -> Vec<(String, String)> {
    let mut facts = vec![("role".to_owned(), server.role.clone())];
    if let Ok(clients) = finder.find(server.major, server.major) {
        let used = match clients.elsewhere() {
            None => clients.version,
            Some(place) => format!("{} in {place}", clients.version),
        };
        facts.push(("clients".to_owned(), used));
    }
    facts.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    facts
}

/// What matters for a backup and for a restore.
fn common(server: &Server, finder: Finder<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !(13..=18).contains(&server.major) {
        problems
            .push(Problem::new(Severity::Degrades, format!("PostgreSQL {} was never tried: this program knows 13 to 18", server.major)));
    }
    match finder.find(server.major, server.major) {
        Err(error) => problems.push(Problem::new(Severity::Blocks, error.to_string()).way_out(error.hints().join(" "))),
        Ok(clients) if clients.major > server.major => {
            let text = format!(
                "pg_dump is {}, the server {}: what is backed up with it is restored with pg_restore {} or newer only",
                clients.version, server.version, clients.major
            );
            problems.push(Problem::new(Severity::Note, text).way_out(format!("Install postgresql-client-{}.", server.major)));
        }
        Ok(_) => {}
    }
    problems
}

fn standing_in_the_way(session: &mut Session, server: &Server, swap: bool, problems: &mut Vec<Problem>) -> Result<()> {
    if server.in_recovery {
        problems.push(
            Problem::new(Severity::Blocks, "the server is a standby: nothing can be written").way_out("Give the address of the primary."),
        );
    }
    let row = session.row(
        "SELECT (SELECT count(*) FROM pg_stat_activity a WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid() \
                   AND NOT pg_has_role(current_user, usesysid, 'USAGE')), \
                (SELECT string_agg(slot_name, ', ') FROM pg_replication_slots WHERE database = current_database()), \
                (SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = current_database())",
        "look what stands in the way",
    )?;
    let (foreign, slots, prepared): (i64, Option<String>, Option<String>) = (row.get(0), row.get(1), row.get(2));
    if foreign > 0 && !server.signal {
        problems.push(
            Problem::new(Severity::Degrades, format!("{foreign} sessions belong to other roles and cannot be ended by {:?}", server.role))
                .way_out(format!(
                    "Stop these clients before the cut-over, or: GRANT pg_signal_backend TO {}",
                    crate::sql::identifier(&server.role)
                )),
        );
    }
    if let Some(slots) = slots.filter(|_| swap) {
        let text = format!("logical replication slots stay with the previous data: {slots}");
        problems.push(
            Problem::new(Severity::Degrades, text).way_out("Make them anew after the cut-over, and drop the old ones before `settle`."),
        );
    }
    if let Some(prepared) = prepared {
        let text = format!("prepared transactions are in the way: {prepared}");
        problems.push(Problem::new(Severity::Degrades, text).way_out("COMMIT PREPARED or ROLLBACK PREPARED them before the cut-over."));
    }
    if swap {
        problems.push(Problem::new(
            Severity::Note,
            "the server does not tell its free space: the staged copy needs as much again as the live data",
        ));
    }
    Ok(())
}
