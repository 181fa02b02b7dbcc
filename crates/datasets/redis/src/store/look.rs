//! Look: what the servers are, what stands in the way of a backup or a restore, who is connected. Changes nothing.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::{Context, Findings, Problem, Road, Severity};

use super::allowed::{note_reading, refuses_writes};
use super::discard::share_of_memory;
use super::file_road::closed;
use super::fits::state_problems;
use super::mark::half_loaded_by;
use super::place::Method;
use super::room::margin;
use super::{RedisStore, ServerAt, hold};
use crate::connection::{Connection, Reply};
use crate::replication::on_record;
use crate::rights::For;
use crate::server::Server;

impl RedisStore {
    pub(crate) fn look_at(&self, context: &Context) -> Result<Findings> {
        let mut findings = Findings {
            store: String::new(),
            address: self
                .servers
                .iter()
                .flat_map(|at| at.databases.iter().map(|named| format!("{}/{}", at.address.endpoint(), named.database)))
                .collect::<Vec<_>>()
                .join(", "),
            identity: None,
            half_loaded_by: None,
            is_gone: false,
            size_bytes: 0,
            count: Some(0),
            backup_problems: Vec::new(),
            restore_problems: Vec::new(),
            road: Road::SideCopy,
            facts: Vec::new(),
        };
        (findings.backup_problems, findings.restore_problems) = self.shut_doors(context)?;
        if !findings.backup_problems.is_empty() {
            // What could not be asked is not nought.
            findings.count = None;
            return Ok(findings);
        }
        for (at, mut connection, server) in self.connect_all(context)? {
            let keys: u64 = at.databases.iter().map(|named| server.keys(named.database).0).sum();
            findings.count = findings.count.map(|count| count + keys);
            let share = share_of_memory(&server, keys);
            findings.size_bytes += share;
            if !findings.store.split(", ").any(|store| store == server.to_string()) {
                findings.store.push_str(if findings.store.is_empty() { "" } else { ", " });
                findings.store.push_str(&server.to_string());
            }
            state_problems(at, &server, &mut findings.restore_problems);
            persistence(at, &server, &mut findings);
            let reading = self.reading(context, at, &server)?;
            note_reading(at, &reading, &mut findings);
            self.how_back(context, at, &mut connection, &server, &mut findings)?;
            if !reading.view.has("get") && reading.view.outcome.keys.is_none() {
                markers(at, &mut connection, &mut findings)?;
                findings.backup_problems.extend(hold::lost(&mut connection, at, &server)?);
            }
            self.note_road(context, at, &mut connection, &server, share, &mut findings)?;
            clients(at, &mut connection, &mut findings)?;
        }
        Ok(findings)
    }
}

impl RedisStore {
    /// How a restore in place is done, and why it cannot be done at all.
    pub(crate) fn in_place_method(&self, context: &Context) -> Result<(Method, Vec<Problem>)> {
        let mut problems = Vec::new();
        let mut method = Method::Restore;
        for (at, mut connection, server) in self.connect_all(context)? {
            let (found, problems_here) = self.method_at(context, at, &mut connection, &server)?;
            method = if found == Method::File { found } else { method };
            problems.extend(problems_here);
        }
        Ok((method, problems))
    }

    fn method_at(&self, context: &Context, at: &ServerAt, connection: &mut Connection, server: &Server) -> Result<(Method, Vec<Problem>)> {
        let endpoint = at.address.endpoint();
        let mut problems = Vec::new();
        let lacks = self.restore_lacks(context, at, server, Road::InPlace, &[])?;
        if lacks.is_nothing() {
            refuses_writes(at, &lacks, Road::InPlace, &mut problems);
            let reading = self.reading(context, at, server)?;
            if reading.is_closed() {
                problems.push(reading.scan.problem(Severity::Blocks, &format!("what was loaded at {endpoint} cannot be read back")));
            }
            return Ok((Method::Restore, problems));
        }
        let what = format!("nothing can be loaded at {endpoint} by commands");
        let blocks = |and: String| vec![lacks.problem(Severity::Blocks, &format!("{what}{and}"))];
        let Ok((road, _)) = self.file_road() else { return Ok((Method::Restore, blocks(String::new()))) };
        let by_file = self.lacking(context, at, server.at_least(7, 0), &[For::File], &[])?;
        let why = if lacks.has("set") || lacks.has("get") || lacks.has("del") {
            Some("the marks of a run cannot be set".to_owned())
        } else if let Some(why) = closed(road, at, connection, server)? {
            Some(why)
        } else {
            let saves = by_file.has("config|set") && server.number("aof_enabled") != 1;
            saves.then(|| "CONFIG SET is not allowed: when it is stopped it would save its old data over the new file".to_owned())
        };
        if let Some(why) = why {
            return Ok((Method::Restore, blocks(format!(", nor by file ({why})"))));
        }
        let what = format!("{what}, so the set goes back as a file in its data folder, with a restart of the server");
        Ok((Method::File, vec![lacks.problem(Severity::Degrades, &what)]))
    }

    fn how_back(
        &self,
        context: &Context,
        at: &ServerAt,
        connection: &mut Connection,
        server: &Server,
        findings: &mut Findings,
    ) -> Result<()> {
        let (method, problems) = self.method_at(context, at, connection, server)?;
        if method == Method::File {
            findings.road = Road::InPlace;
            let reason = problems.first().map_or_else(String::new, |problem| problem.text.clone());
            fact(findings, at, "in place by file because", reason);
        }
        findings.restore_problems.extend(problems);
        Ok(())
    }

    /// Whether there is a way beside the live data.
    fn note_road(
        &self,
        context: &Context,
        at: &ServerAt,
        connection: &mut Connection,
        server: &Server,
        share: u64,
        findings: &mut Findings,
    ) -> Result<()> {
        let free = self.free_databases(context, at, connection);
        if let Ok(free) = &free {
            let numbers: Vec<String> = free.iter().map(u32::to_string).collect();
            fact(findings, at, "empty databases", numbers.join(" "));
        }
        context.stop.check()?;
        let lacks_databases = match &free {
            Err(error) => Some(format!("nobody can say which empty databases are live: {}", error.chain())),
            Ok(free) => (free.len() < at.databases.len())
                .then(|| format!("{} empty logical databases, {} are needed", free.len(), at.databases.len())),
        };
        let reason = if lacks_databases.is_some() {
            lacks_databases
        } else if server.memory_limit() > 0 && server.number("used_memory") + share + margin(server.memory_limit()) > server.memory_limit()
        {
            Some("no memory for two copies".to_owned())
        } else if hold::evicts(server) && !hold::can_hold(connection, server)? {
            Some(format!("it throws keys away ({}), and CONFIG SET is not allowed to hold that off", server.field("maxmemory_policy")))
        } else {
            let lacks = self.restore_lacks(context, at, server, Road::SideCopy, &[])?;
            (!lacks.is_nothing()).then(|| lacks.words())
        };
        if let Some(reason) = reason {
            findings.road = Road::InPlace;
            fact(findings, at, "in place because", reason);
        }
        Ok(())
    }
}

fn fact(findings: &mut Findings, at: &ServerAt, name: &str, value: impl ToString) {
    findings.facts.push((format!("{} {name}", at.address.endpoint()), value.to_string()));
}

fn persistence(at: &ServerAt, server: &Server, findings: &mut Findings) {
    for name in [
        "used_memory",
        "maxmemory",
        "maxmemory_policy",
        "aof_enabled",
        "aof_last_write_status",
        "rdb_last_bgsave_status",
        "connected_slaves",
    ] {
        fact(findings, at, name, server.field(name));
    }
    for named in &at.databases {
        let (keys, expires) = server.keys(named.database);
        fact(findings, at, &named.name, format!("database {}: {keys} keys, {expires} expire", named.database));
    }
    if server.field("rdb_last_bgsave_status") == "err" {
        let problem = Problem::new(Severity::Degrades, format!("the last background save of {} failed", at.address.endpoint()));
        findings.backup_problems.push(problem.way_out("A dump needs a fork too: look at the server's log for memory or disk."));
    }
    if server.number("maxmemory") > 0 && !matches!(server.field("maxmemory_policy"), "noeviction" | "") {
        let text = format!("{} throws keys away when its memory is full ({})", at.address.endpoint(), server.field("maxmemory_policy"));
        findings.restore_problems.push(Problem::new(Severity::Degrades, text).way_out("3scale needs maxmemory-policy noeviction."));
    }
}

/// A live database with a mark is one whose restore in place, or whose swap, has not come to its end.
fn markers(at: &ServerAt, connection: &mut Connection, findings: &mut Findings) -> Result<()> {
    for named in &at.databases {
        connection.select(named.database)?;
        if let Some(run) = half_loaded_by(connection)? {
            findings.half_loaded_by.get_or_insert(run);
        }
        if let Some(before) = on_record(connection)? {
            let endpoint = at.address.endpoint();
            let text = format!("a backup that was killed has left repl-diskless-sync of {endpoint} at yes; it was {before}");
            findings.backup_problems.push(Problem::new(Severity::Note, text).way_out("The next backup puts it back."));
        }
    }
    Ok(())
}

/// Who is connected to the databases: a hint at writers that still run.
fn clients(at: &ServerAt, connection: &mut Connection, findings: &mut Findings) -> Result<()> {
    let Reply::Bytes(list) = connection.ask(&[b"CLIENT", b"LIST"])? else { return Ok(()) };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8_lossy(&list).lines() {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
        let in_set = field("db").parse().is_ok_and(|number: u32| at.databases.iter().any(|named| named.database == number));
        if !in_set || field("name") == crate::CLIENT_NAME || field("flags").contains('S') {
            continue;
        }
        let host = field("addr").rsplit_once(':').map_or("unix", |(host, _)| host);
        let who = if field("name").is_empty() { host.to_owned() } else { format!("{} {host}", field("name")) };
        *counts.entry(format!("{who} on database {}", field("db"))).or_default() += 1;
    }
    for (who, count) in counts {
        fact(findings, at, "clients", format!("{count} × {who}"));
    }
    Ok(())
}
