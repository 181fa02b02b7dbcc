//! Whether a kept database can go into this server: kind, version, collations, names, sizes. Changes nothing.

use plan::Result;
use plan::evidence::Evidence;
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity, StoreKind};
use plan::words::bytes;

use crate::cut_over;
use crate::local_infile;
use crate::owned;
use crate::place::Schemas;
use crate::privileges::Grants;
use crate::quote;
use crate::reserve;
use crate::rights;
use crate::schema::read;
use crate::server::{Kind, Server, Version};
use crate::session::{Session, Talk};
use crate::store::MysqlStore;

/// Room for what stands around the values of an `INSERT`.
const STATEMENT_BYTES: u64 = 64 << 10;
/// The least that a `max_allowed_packet` is in practice: rows of numbers, whose length an `INSERT` does not double, are below.
const LEAST_PACKET_BYTES: u64 = 256 << 10;

/// The fact that counts tables of engine MERGE.
pub(crate) const MERGE_TABLES: &str = "merge-tables";

/// The fact that counts tables of MariaDB that keep their history.
pub(crate) const HISTORY_TABLES: &str = "history-tables";

/// What a set says of itself.
pub(crate) struct Kept<'a> {
    kind: &'a StoreKind,
    /// Of the server that it was taken from: `MySQL 9.7.0`.
    store: &'a str,
    evidence: &'a Evidence,
}

impl Kept<'_> {
    fn fact(&self, name: &str) -> Option<&str> {
        self.evidence.facts.get(name).map(String::as_str)
    }

    fn count(&self, kind: &str) -> u64 {
        self.evidence.objects.get(kind).copied().unwrap_or(0)
    }
}

/// Everything in the way.
pub(crate) fn fits(store: &MysqlStore, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
    let (mut session, _) = store.session_if_there(Talk::Text)?;
    let server = Server::ask(&mut session)?;
    let grants = Grants::ask(&mut session, &server)?;
    let set = Kept { kind: &kept.kind, store: &kept.store, evidence: &kept.evidence };
    let mut problems = problems(store, &mut session, &server, &grants, &set, road)?;
    problems.push(Problem::new(
        Severity::Note,
        format!("the server does not tell its free space; the copy needs about {}", bytes(kept.bytes / 2 * 3)),
    ));
    Ok(problems)
}

/// What a plan of this user on this server would refuse the set for, or leave out of it: asked when the set is taken, by the same rules.
pub(crate) fn of_a_backup(store: &MysqlStore, session: &mut Session, server: &Server, evidence: &Evidence) -> Result<Vec<Problem>> {
    let grants = Grants::ask(session, server)?;
    let live = &store.address.database;
    if rights::is_a_reader(&grants, live) {
        let text = format!("{} may read {} only: whoever restores the set needs more", grants.user, quote::name(live));
        return Ok(vec![Problem::new(Severity::Note, text).way_out("`doctor` with that user's address says whether it has it.")]);
    }
    let road = rights::writing(&grants, &probe(live, Road::SideCopy)).0;
    let set = Kept { kind: &server.kind.into(), store: &server.name(), evidence };
    let mut problems = problems(store, session, server, &grants, &set, road)?;
    problems.retain(|problem| problem.severity == Severity::Blocks);
    problems.extend(routine_grants(store, &set, &grants));
    Ok(problems)
}

fn problems(
    store: &MysqlStore,
    session: &mut Session,
    server: &Server,
    grants: &Grants,
    kept: &Kept<'_>,
    road: Road,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    match kept.kind {
        kind if *kind == StoreKind::from(server.kind) => problems.extend(version(kept, server)),
        StoreKind::MySql | StoreKind::MariaDb => problems.push(other_kind(kept, server)),
        other => {
            problems.push(
                Problem::new(Severity::Blocks, format!("the set holds a {other} database, the address is one of {}", server.name()))
                    .way_out("Give the address of a server of the same kind."),
            );
            return Ok(problems);
        }
    }
    let live = &store.address.database;
    problems.extend(collations(session, kept, server)?);
    problems.extend(server.misspelled(live));
    problems.extend(names(kept, server));
    problems.extend(packet(kept, server, takes_files(store, session, grants)?));
    problems.extend(routine_grants(store, kept, grants));
    problems.extend(privileges(store, grants, road));
    problems.extend(of_live(session, server, grants, live, road, Some(kept))?);
    problems.extend(reserve::binary_log(store, session, server)?);
    problems.extend(database(store, kept));
    Ok(problems)
}

/// What the live database brings with it: `doctor` asks without a set, where one of what is live now is meant.
pub(crate) fn of_live(
    session: &mut Session,
    server: &Server,
    grants: &Grants,
    live: &str,
    road: Road,
    kept: Option<&Kept<'_>>,
) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let creators = kept.map_or(0, |kept| kept.count("triggers") + kept.count("routines"));
    problems.extend(trust(session, server, grants, live, creators)?);
    let has_merge_tables = match kept {
        Some(kept) => kept.fact(MERGE_TABLES).is_some(),
        None => read::has_merge_tables(session, live)?,
    };
    problems.extend(merge_tables(grants, live, road).filter(|_| has_merge_tables));
    let has_history = match kept {
        Some(kept) => kept.fact(HISTORY_TABLES).is_some(),
        None => read::has_history(session, live)?,
    };
    problems.extend(if has_history { history(session, grants)? } else { None });
    problems.extend(owned::protected(session, server, grants, live)?);
    // The way back needs the live routines too.
    problems.extend(owned::hidden_routines(session, server, grants, live)?);
    problems.extend(cut_over::foreign_keys(session, grants, live)?);
    problems.extend(defaults_within(session, grants, live, road)?);
    Ok(problems)
}

/// The names that a run would have.
fn probe(live: &str, road: Road) -> Schemas {
    Schemas::of(live, &plan::ids::RunId("0000000000".into()), road, true)
}

fn version(kept: &Kept<'_>, server: &Server) -> Option<Problem> {
    let source = Version::parse(kept.fact("version").unwrap_or(kept.store));
    let needed = kept.fact("needs-version").map(Version::parse).filter(|needed| server.version < *needed);
    if let Some(needed) = needed {
        let reason = kept.fact("needs-version-for").unwrap_or("its schema");
        let text = format!("the set needs {} {needed} or newer for {reason}; the server is {}", server.kind.display(), server.version);
        return Some(Problem::new(Severity::Blocks, text).way_out("Restore into a newer server."));
    }
    let older = (server.version.0, server.version.1) < (source.0, source.1);
    older.then(|| {
        Problem::new(Severity::Degrades, format!("the set was taken from {source}, the server is the older {}", server.version))
            .way_out("Nothing that the older server lacks was found in the schema; the proof will tell.")
    })
}

fn other_kind(kept: &Kept<'_>, server: &Server) -> Problem {
    let store = kept.store;
    match kept.fact("other-kind-obstacles") {
        Some(obstacles) => {
            Problem::new(Severity::Blocks, format!("the set is from {store} and cannot go to {}: {obstacles}", server.kind.display()))
                .way_out(format!("Restore into {}.", if server.kind == Kind::Mysql { "MariaDB" } else { "MySQL" }))
        }
        None => Problem::new(
            Severity::Degrades,
            format!("the set is from {store}, the server is {}; nothing in the schema prevents it", server.name()),
        )
        .way_out("Rehearse it first: triggers, views and routines are taken as they are written."),
    }
}

fn collations(session: &mut Session, kept: &Kept<'_>, server: &Server) -> Result<Option<Problem>> {
    // MariaDB lists its newest collations without their character set, and elsewhere with it.
    let full_names = "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY";
    let found = match session.rows_if_possible("read the collations", full_names)? {
        Some(found) => found,
        None => session.rows("read the collations", "SELECT COLLATION_NAME FROM information_schema.COLLATIONS")?,
    };
    let full = |name: &str| name.strip_prefix("utf8_").map_or_else(|| name.to_owned(), |rest| format!("utf8mb3_{rest}"));
    let has: Vec<String> = found.iter().map(|record| record.text(0).map(|name| full(&name))).collect::<Result<_>>()?;
    let missing: Vec<&str> =
        kept.fact("collations").unwrap_or_default().split(',').filter(|name| !name.is_empty() && !has.contains(&full(name))).collect();
    Ok((!missing.is_empty()).then(|| {
        Problem::new(Severity::Blocks, format!("{} lacks collations that the set uses: {}", server.name(), missing.join(", ")))
            .way_out("Restore into a server of the version that the set was taken from, or a newer one.")
    }))
}

fn names(kept: &Kept<'_>, server: &Server) -> Option<Problem> {
    let source = kept.fact("lower-case-table-names")?;
    let differs = source != server.lower_case_table_names.to_string();
    (differs && kept.fact("upper-case-names").is_some()).then(|| {
        Problem::new(
            Severity::Blocks,
            format!("lower_case_table_names was {source} and is {}, and tables have capital letters", server.lower_case_table_names),
        )
        .way_out(format!("Initialise the server with lower_case_table_names = {source}."))
    })
}

/// Whether rows are loaded from files, and not by `INSERT`.
fn takes_files(store: &MysqlStore, session: &mut Session, grants: &Grants) -> Result<bool> {
    let is_on = session.variable("GLOBAL.local_infile")?.as_deref() == Some("1");
    Ok(!store.options.insert_only && (is_on || local_infile::may_switch(grants)))
}

fn packet(kept: &Kept<'_>, server: &Server, takes_files: bool) -> Option<Problem> {
    let longest: u64 = kept.fact("longest-row-bytes")?.parse().ok()?;
    // An INSERT writes bytes in hexadecimal.
    let inserted = longest.saturating_mul(2) + STATEMENT_BYTES;
    if !takes_files
        && longest < server.max_allowed_packet_bytes
        && inserted > server.max_allowed_packet_bytes
        && inserted > LEAST_PACKET_BYTES
    {
        let text = format!(
            "the longest row has {longest} bytes, an INSERT of it twice as many, and the server takes {} (max_allowed_packet)",
            server.max_allowed_packet_bytes
        );
        return Some(Problem::new(Severity::Blocks, text).way_out(format!(
            "SET GLOBAL local_infile = ON, or SET GLOBAL max_allowed_packet = {}",
            (inserted + 1).next_power_of_two().min(1 << 30)
        )));
    }
    (longest >= server.max_allowed_packet_bytes).then(|| {
        Problem::new(
            Severity::Blocks,
            format!("the longest row has {longest} bytes, the server takes {} (max_allowed_packet)", server.max_allowed_packet_bytes),
        )
        .way_out(format!("SET GLOBAL max_allowed_packet = {}", (longest + 1).next_power_of_two().min(1 << 30)))
    })
}

/// Where the binary log is on, making triggers and functions needs trust or SUPER: found out before the cut-over, not in it. The way back makes those of the live
/// database again.
fn trust(session: &mut Session, server: &Server, grants: &Grants, live: &str, of_set: u64) -> Result<Option<Problem>> {
    if !server.log_bin || grants.everywhere("SUPER") || session.variable("GLOBAL.log_bin_trust_function_creators")?.as_deref() == Some("1")
    {
        return Ok(None);
    }
    let schema = quote::text(live);
    let sql = format!(
        "SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {schema} \
         UNION ALL SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {schema} LIMIT 1"
    );
    if of_set == 0 && session.rows("look for triggers and routines", &sql)?.is_empty() {
        return Ok(None);
    }
    let text = format!("{} may not make triggers and functions while the binary log is on", grants.user);
    Ok(Some(Problem::new(Severity::Blocks, text).way_out("SET GLOBAL log_bin_trust_function_creators = 1")))
}

/// Rows with the time when they were are taken from those who may set the time of their session (MariaDB manual, `secure_timestamp`).
fn history(session: &mut Session, grants: &Grants) -> Result<Option<Problem>> {
    if session.set_if_possible("SESSION timestamp = 1")? {
        return session.set("SESSION timestamp = DEFAULT").map(|()| None);
    }
    let is = session.variable("GLOBAL.secure_timestamp")?.unwrap_or_default();
    let text = format!("the history of tables is not taken from {}: secure_timestamp is {is} on the server", grants.user);
    Ok(Some(Problem::new(Severity::Blocks, text).way_out("Set secure_timestamp = NO in the server's configuration and start it anew")))
}

/// A table of engine MERGE is made by those who may change the tables beneath it.
fn merge_tables(grants: &Grants, live: &str, road: Road) -> Option<Problem> {
    let schemas = probe(live, road);
    let missing = rights::for_merge_tables(grants, schemas.target());
    missing.map(|list| {
        let text =
            format!("{} lacks {list} on {}: tables of engine MERGE are not made without", grants.user, quote::name(schemas.target()));
        Problem::new(Severity::Blocks, text).way_out(rights::way_out_for_merge_tables(grants, live, road))
    })
}

/// Privileges on single routines are given again by whoever may.
fn routine_grants(store: &MysqlStore, kept: &Kept<'_>, grants: &Grants) -> Option<Problem> {
    let count = kept.fact("routine-grants")?;
    let (user, live) = (&grants.user, &store.address.database);
    rights::for_routines(grants, live).map(|(list, way_out)| {
        let text = format!(
            "{user} lacks {list} on {}: {count} privileges on single routines are not given again, but told as statements",
            quote::name(live)
        );
        Problem::new(Severity::Degrades, text).way_out(way_out)
    })
}

fn privileges(store: &MysqlStore, grants: &Grants, road: Road) -> Vec<Problem> {
    let probe = probe(&store.address.database, road);
    let (open, mut problems) = rights::writing(grants, &probe);
    if road == Road::SideCopy && open == Road::InPlace {
        // Said as a way out of the road, not as a slower one.
        problems.retain(|problem| !problem.text.contains("in place"));
        problems.push(
            Problem::new(Severity::Blocks, format!("{} may not make schemas beside {}", grants.user, quote::name(&probe.live)))
                .way_out(format!("{}, or restore in place.", rights::way_out_beside(grants, &probe.live))),
        );
    }
    if road == Road::InPlace {
        problems.retain(|problem| !problem.text.contains("in place"));
    }
    problems
}

/// Tables whose defaults a sequence makes cannot be changed while that is elsewhere, as it would be where the previous tables are kept within the database.
fn defaults_within(session: &mut Session, grants: &Grants, live: &str, road: Road) -> Result<Option<Problem>> {
    let probe = probe(live, Road::SideCopy);
    if road != Road::InPlace || rights::writing(grants, &probe).0 == Road::SideCopy || !read::has_sequence_defaults(session, live)? {
        return Ok(None);
    }
    let text = format!(
        "live tables have defaults that a sequence makes (NEXT VALUE FOR): they can be kept only in a schema beside {}",
        quote::name(live)
    );
    Ok(Some(Problem::new(Severity::Blocks, text).way_out(rights::way_out_beside(grants, live))))
}

fn database(store: &MysqlStore, kept: &Kept<'_>) -> Option<Problem> {
    let source = kept.fact("database")?;
    (source != store.address.database).then(|| {
        Problem::new(Severity::Note, format!("the set is of database {source:?}, the address names {:?}: names of the database inside of views and routines stay as they are", store.address.database))
    })
}
