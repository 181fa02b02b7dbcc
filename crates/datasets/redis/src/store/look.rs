//! Look: what the servers are, what stands in the way of a backup or a restore, who is connected. Changes nothing.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::{Context, Findings, Problem, Road, Severity};

use super::discard::share_of_memory;
use super::file_road::closed;
use super::fits::{refused, state_problems};
use super::mark::half_loaded_by;
use super::place::{Method, free_databases};
use super::{RedisStore, ServerAt};
use crate::connection::{Connection, Reply, is_forbidden};
use crate::server::Server;

/// A key that nobody has.
const PROBE: &str = "threescale-backup:probe";

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
            permissions(at, &mut connection, &server, &mut findings)?;
            self.how_back(at, &mut connection, &server, &mut findings)?;
            markers(at, &mut connection, &mut findings)?;
            road(at, &mut connection, &server, share, &mut findings)?;
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
            let (found, problem) = self.method_at(at, &mut connection, &server)?;
            method = if found == Method::File { found } else { method };
            problems.extend(problem);
        }
        Ok((method, problems))
    }

    fn method_at(&self, at: &ServerAt, connection: &mut Connection, server: &Server) -> Result<(Method, Option<Problem>)> {
        let lacking = missing(connection, server, &TO_RESTORE)?;
        if lacking.is_empty() {
            return Ok((Method::Restore, None));
        }
        let text = format!("the user lacks commands at {}: {}", at.address.endpoint(), lacking.join(", "));
        let blocks = Problem::new(Severity::Blocks, text.clone()).way_out(way_out(&lacking));
        let Ok((road, _)) = self.file_road() else { return Ok((Method::Restore, Some(blocks))) };
        if let Some(why) = closed(road, at, connection, server)? {
            let blocks = Problem::new(Severity::Blocks, format!("{text}; and it cannot be restored by file: {why}"));
            return Ok((Method::Restore, Some(blocks.way_out(way_out(&lacking)))));
        }
        let text = format!("{text}: the set goes back as a file in its data folder, with a restart of the server");
        Ok((Method::File, Some(Problem::new(Severity::Degrades, text).way_out(way_out(&lacking)))))
    }

    fn how_back(&self, at: &ServerAt, connection: &mut Connection, server: &Server, findings: &mut Findings) -> Result<()> {
        let (method, problem) = self.method_at(at, connection, server)?;
        if method == Method::File {
            findings.road = Road::InPlace;
            let reason = problem.as_ref().map_or_else(String::new, |problem| problem.text.clone());
            fact(findings, at, "in place by file because", reason);
        }
        findings.restore_problems.extend(problem);
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
    if server.field("loading") == "1" {
        findings.backup_problems.push(
            Problem::new(Severity::Blocks, format!("{} is loading its data", at.address.endpoint())).way_out("Try again when it is ready."),
        );
    }
    if server.number("maxmemory") > 0 && !matches!(server.field("maxmemory_policy"), "noeviction" | "") {
        let text = format!("{} throws keys away when its memory is full ({})", at.address.endpoint(), server.field("maxmemory_policy"));
        findings.restore_problems.push(Problem::new(Severity::Degrades, text).way_out("3scale needs maxmemory-policy noeviction."));
    }
}

/// Commands that a backup by replication, one by SCAN, and a restore need, with arguments of the right number.
const BY_REPLICATION: [&[&str]; 2] = [&["PSYNC", "?", "-1"], &["REPLCONF", "capa", "eof"]];
const BY_SCAN: [&[&str]; 4] = [&["SCAN", "0"], &["DUMP", PROBE], &["PTTL", PROBE], &["TIME"]];
const TO_RESTORE: [&[&str]; 13] = [
    &["RESTORE", PROBE, "0", "x"],
    &["FLUSHDB", "ASYNC"],
    &["SELECT", "0"],
    &["DBSIZE"],
    &["SET", PROBE, "x"],
    &["GET", PROBE],
    &["DEL", PROBE],
    &["EXISTS", PROBE],
    &["MOVE", PROBE, "1"],
    &["MULTI"],
    &["EXEC"],
    &["WATCH", PROBE],
    &["TIME"],
];

fn way_out(commands: &[String]) -> String {
    format!("ACL SETUSER … {}", commands.iter().map(|name| format!("+{}", name.to_lowercase())).collect::<Vec<_>>().join(" "))
}

fn permissions(at: &ServerAt, connection: &mut Connection, server: &Server, findings: &mut Findings) -> Result<()> {
    let replication = missing(connection, server, &BY_REPLICATION)?;
    let scan = missing(connection, server, &BY_SCAN)?;
    let endpoint = at.address.endpoint();
    if !replication.is_empty() {
        fact(findings, at, "dump-road", "scan");
        let text = format!(
            "replication is not allowed at {endpoint} ({}): keys are read by SCAN and DUMP, not at one point in time",
            replication.join(", ")
        );
        findings.backup_problems.push(Problem::new(Severity::Degrades, text).way_out(way_out(&replication)));
        if !scan.is_empty() {
            let text = format!("neither replication nor SCAN and DUMP are allowed at {endpoint}: {} missing", scan.join(", "));
            findings.backup_problems.push(Problem::new(Severity::Blocks, text).way_out(way_out(&scan)));
        }
    } else {
        fact(findings, at, "dump-road", "replication");
    }
    Ok(())
}

/// Which of the commands are not there, or not allowed to this user. Nothing is run: `ACL DRYRUN` from Redis 7 on; before, commands with arguments that cannot work.
fn missing(connection: &mut Connection, server: &Server, commands: &[&[&str]]) -> Result<Vec<String>> {
    let user = if server.at_least(7, 0) { connection.ask(&[b"ACL", b"WHOAMI"])? } else { Reply::Nil };
    let mut missing = Vec::new();
    for command in commands {
        let name = command.first().copied().unwrap_or_default();
        let absent = match connection.ask(&[b"COMMAND", b"INFO", name.as_bytes()])? {
            Reply::List(found) => {
                found.first().is_some_and(|found| matches!(found, Reply::Nil) || matches!(found, Reply::List(list) if list.is_empty()))
            }
            _ => false,
        };
        let denied = match &user {
            Reply::Bytes(user) => {
                let mut arguments: Vec<&[u8]> = vec![b"ACL", b"DRYRUN", user];
                arguments.extend(command.iter().map(|argument| argument.as_bytes()));
                match connection.ask(&arguments)? {
                    Reply::Bytes(text) => text != b"OK",
                    Reply::Error(text) if is_forbidden(&text) => harmless(connection, name)?,
                    _ => false,
                }
            }
            _ => harmless(connection, name)?,
        };
        if absent || denied {
            missing.push(name.to_owned());
        }
    }
    Ok(missing)
}

/// Asks with arguments that cannot work, or that change nothing. Unknown for commands where there are none.
fn harmless(connection: &mut Connection, name: &str) -> Result<bool> {
    let probe = PROBE.as_bytes();
    let command: &[&[u8]] = match name {
        "RESTORE" => &[b"RESTORE", probe, b"-1", b"x"],
        "FLUSHDB" => &[b"FLUSHDB", b"x"],
        "SWAPDB" => &[b"SWAPDB", b"x", b"x"],
        "DUMP" => &[b"DUMP", probe],
        "PTTL" => &[b"PTTL", probe],
        "SCAN" => &[b"SCAN", b"0", b"COUNT", b"1"],
        "TIME" => &[b"TIME"],
        "DBSIZE" => &[b"DBSIZE"],
        "SET" => &[b"SET", probe, b"x", b"XX", b"NX"],
        "GET" => &[b"GET", probe],
        "DEL" => &[b"DEL", probe],
        "EXISTS" => &[b"EXISTS", probe],
        "REPLCONF" => &[b"REPLCONF", b"capa", b"eof"],
        _ => return Ok(false),
    };
    refused(connection, command).map(|words| words.is_some())
}

/// A live database with a mark is one whose restore in place, or whose swap, has not come to its end.
fn markers(at: &ServerAt, connection: &mut Connection, findings: &mut Findings) -> Result<()> {
    for named in &at.databases {
        connection.select(named.database)?;
        if let Some(run) = half_loaded_by(connection)? {
            findings.half_loaded_by.get_or_insert(run);
        }
    }
    Ok(())
}

fn road(at: &ServerAt, connection: &mut Connection, server: &Server, share: u64, findings: &mut Findings) -> Result<()> {
    let free = free_databases(connection, at)?;
    let numbers: Vec<String> = free.iter().map(u32::to_string).collect();
    fact(findings, at, "empty databases", numbers.join(" "));
    let reason = if free.len() < at.databases.len() {
        Some(format!("{} empty logical databases, {} are needed", free.len(), at.databases.len()))
    } else if server.memory_limit() > 0 && server.number("used_memory") + share > server.memory_limit() {
        Some("no memory for two copies".to_owned())
    } else if !missing(connection, server, &[&["SWAPDB", "0", "1"]])?.is_empty() || refused(connection, &[b"SWAPDB", b"x", b"x"])?.is_some()
    {
        Some("SWAPDB is not allowed".to_owned())
    } else {
        None
    };
    if let Some(reason) = reason {
        findings.road = Road::InPlace;
        fact(findings, at, "in place because", reason);
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
