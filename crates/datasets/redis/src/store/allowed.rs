//! What the user may do at a server, for each road, and whether the server takes writes at all: tried before anything is touched.

use plan::ports::{Context, Findings, Problem, Road, Severity};
use plan::{Class, Error, Queues, Result};

use super::{RedisStore, ServerAt};
use crate::connection::{Connection, Reply, is_forbidden, refusal};
use crate::rights::For;
use crate::rights::lacking::Lacking;
use crate::rights::trial;
use crate::server::Server;

/// How keys can be read.
pub(crate) struct Reading {
    pub(crate) view: Lacking,
    pub(crate) scan: Lacking,
}

impl Reading {
    /// Neither way is open.
    pub(crate) fn is_closed(&self) -> bool {
        !self.view.is_nothing() && !self.scan.is_nothing()
    }
}

impl RedisStore {
    /// What the user lacks for some kinds of commands. `databases` are tried too, beside those of the data set.
    pub(crate) fn lacking(&self, context: &Context, at: &ServerAt, is_7: bool, of: &[For], databases: &[u32]) -> Result<Lacking> {
        let connection = self.connect(context, at)?;
        let databases: Vec<u32> = at.databases.iter().map(|named| named.database).chain(databases.iter().copied()).collect();
        let outcome = trial::run(connection, is_7, of, &databases)?;
        let mut connection = self.connect(context, at)?;
        let user = match connection.ask(&[b"ACL", b"WHOAMI"])? {
            Reply::Bytes(user) => String::from_utf8_lossy(&user).into_owned(),
            _ => at.address.user.clone().unwrap_or_else(|| "default".to_owned()),
        };
        Ok(Lacking::new(outcome, user, of.to_vec(), is_7))
    }

    /// How keys can be read at a server.
    pub(crate) fn reading(&self, context: &Context, at: &ServerAt, server: &Server) -> Result<Reading> {
        let is_7 = server.at_least(7, 0);
        let view = self.lacking(context, at, is_7, &[For::All, For::View], &[])?;
        Ok(Reading { view, scan: self.lacking(context, at, is_7, &[For::All, For::Scan], &[])? })
    }

    /// What stands in the way of a restore by commands at a server, whatever the set: rights, and a server that takes no writes. `side` are the databases
    /// beside the live ones that it would use.
    pub(crate) fn restore_lacks(&self, context: &Context, at: &ServerAt, server: &Server, road: Road, side: &[u32]) -> Result<Lacking> {
        let beside: &[For] = if road == Road::SideCopy { &[For::Beside] } else { &[] };
        let jobs: &[For] = if matches!(self.options.queues, Queues::Safe | Queues::Only(_)) { &[For::Jobs] } else { &[] };
        self.lacking(context, at, server.at_least(7, 0), &[&[For::All, For::Restore], beside, jobs].concat(), side)
    }

    /// The same, as problems of a plan.
    pub(crate) fn beside_is_allowed(
        &self,
        context: &Context,
        at: &ServerAt,
        server: &Server,
        loads_rest: bool,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        let endpoint = at.address.endpoint();
        let lacks = self.restore_lacks(context, at, server, Road::SideCopy, &[])?;
        if !lacks.is_nothing() {
            problems.push(lacks.problem(Severity::Blocks, &format!("nothing can be loaded beside the live data at {endpoint}")));
        }
        refuses_writes(at, &lacks, Road::SideCopy, problems);
        let reading = self.reading(context, at, server)?;
        if reading.is_closed() {
            problems.push(reading.scan.problem(Severity::Blocks, &format!("what was loaded at {endpoint} could not be read back")));
        } else if loads_rest && !reading.scan.is_nothing() {
            let what = format!("what --large-values during-stop loads at {endpoint} could not be read back, key by key");
            problems.push(reading.scan.problem(Severity::Blocks, &what));
        }
        Ok(())
    }

    /// A user who may not even ask what the server is, and a server whose databases are not those of the addresses: nothing more can be found out. What matters for
    /// a backup, and what for a restore.
    pub(crate) fn shut_doors(&self, context: &Context) -> Result<(Vec<Problem>, Vec<Problem>)> {
        let (mut backup, mut restore, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        // One that cannot be reached says nothing about the next.
        for at in &self.servers {
            match self.shut_door(context, at) {
                Ok((of_backup, of_restore)) => {
                    backup.extend(of_backup);
                    restore.extend(of_restore);
                }
                Err(error) => {
                    context.stop.check()?;
                    failed.push(error);
                }
            }
        }
        match together(failed, self.servers.len()) {
            Some(error) => Err(error),
            None => Ok((backup, restore)),
        }
    }

    fn shut_door(&self, context: &Context, at: &ServerAt) -> Result<(Vec<Problem>, Vec<Problem>)> {
        let mut connection = self.connect(context, at)?;
        let endpoint = at.address.endpoint();
        let both = |problems: Vec<Problem>| Ok((problems.clone(), problems));
        let blocks = |text: String, way_out: &str| Problem::new(Severity::Blocks, text).way_out(way_out);
        let select = connection.ask(&[b"SELECT", b"0"])?;
        let may_select = !matches!(select, Reply::Error(text) if is_forbidden(&text) && !text.contains("access database"));
        let info = connection.ask(&[b"INFO"])?;
        if !may_select || matches!(&info, Reply::Error(text) if is_forbidden(text)) {
            let is_7 = knows_commands_of_7(&mut connection)?;
            let of_backup = self.lacking(context, at, is_7, &[For::All, For::View], &[])?;
            let of_restore = self.lacking(context, at, is_7, &[For::All, For::View, For::Restore, For::Beside, For::Live], &[])?;
            return Ok((
                vec![of_backup.problem(Severity::Blocks, &format!("nothing can be read at {endpoint}"))],
                vec![of_restore.problem(Severity::Blocks, &format!("nothing can be loaded at {endpoint}"))],
            ));
        }
        if let Reply::Error(text) = info {
            // Not logged in, or not ready: nothing to look at.
            let error = refusal(&text);
            return Err(error.during(format!("INFO at {endpoint}")));
        }
        let says = |line: &str| info.text().lines().any(|said| said.trim_end() == line);
        if says("loading:1") {
            let way_out = "Try again when `redis-cli INFO persistence` says loading:0.";
            return both(vec![blocks(format!("{endpoint} is loading its data"), way_out)]);
        }
        if says("cluster_enabled:1") {
            let text = format!(
                "{endpoint} is in cluster mode, which 3scale does not support: it has its share of the keys, and one logical database"
            );
            return both(vec![blocks(text, "Give the address of a server that is not in cluster mode.")]);
        }
        let mut problems = Vec::new();
        for named in &at.databases {
            if let Err(error) = connection.select(named.database)
                && error.class() == plan::Class::Refused
            {
                problems.push(blocks(error.to_string(), &error.hints().join(" ")));
            }
        }
        both(problems)
    }
}

/// Whether it is 7.0 or later, by what it knows: for a user who may not ask.
pub(crate) fn knows_commands_of_7(connection: &mut Connection) -> Result<bool> {
    let newer = connection.ask(&[b"PEXPIRETIME", b"threescale-backup:probe"])?;
    Ok(!matches!(newer, Reply::Error(text) if text.to_ascii_lowercase().contains("unknown command")))
}

/// What is wrong with each of several addresses, as one error; a person has to mend what is refused, whatever else may pass.
fn together(mut failed: Vec<Error>, of: usize) -> Option<Error> {
    if failed.len() < 2 {
        return failed.pop();
    }
    let is_refused = failed.iter().any(|error| error.class() == Class::Refused);
    let class = if is_refused { Class::Refused } else { failed.first()?.class() };
    let reasons: Vec<_> = failed.iter().map(Error::chain).collect();
    let all = Error::new(class, format!("{} of {of} addresses cannot be used: {}", failed.len(), reasons.join("; ")));
    let mut hints: Vec<String> = Vec::new();
    for hint in failed.iter().flat_map(|error| error.hints()) {
        if !hints.contains(hint) {
            hints.push(hint.clone());
        }
    }
    Some(hints.into_iter().fold(all, Error::hint))
}

/// A server that refuses writes: why, and what helps. In place, what is emptied first makes room where the memory is full.
pub(crate) fn refuses_writes(at: &ServerAt, lacking: &Lacking, road: Road, problems: &mut Vec<Problem>) {
    let endpoint = at.address.endpoint();
    for (code, text) in &lacking.outcome.states {
        let (why, way_out) = match code.as_str() {
            "OOM" if road == Road::InPlace => continue,
            "OOM" => (
                "has reached maxmemory",
                "Raise it (`redis-cli CONFIG GET maxmemory`, then `redis-cli CONFIG SET maxmemory …`), or restore with --in-place.",
            ),
            "MISCONF" => (
                "could not save its data, and takes no writes until it can",
                "Look at its log and at the room on its disk, then `redis-cli BGSAVE`. `redis-cli CONFIG SET stop-writes-on-bgsave-error no` lets it write without.",
            ),
            "NOREPLICAS" => (
                "has fewer replicas than min-replicas-to-write asks for",
                "Start its replicas, or `redis-cli CONFIG SET min-replicas-to-write 0` for the restore.",
            ),
            // Told from what the server says about itself.
            "READONLY" => continue,
            "BUSY" => ("is busy with a script", "`redis-cli SCRIPT KILL` ends it, if it has not written yet."),
            _ => ("is not ready", "Try again later."),
        };
        problems.push(Problem::new(Severity::Blocks, format!("{endpoint} {why}: it answered {text:?}")).way_out(way_out));
    }
}

/// What keys can be read by, as facts and problems.
pub(crate) fn note_reading(at: &ServerAt, reading: &Reading, findings: &mut Findings) {
    let endpoint = at.address.endpoint();
    let road = if reading.view.is_nothing() { "replication" } else { "scan" };
    findings.facts.push((format!("{endpoint} dump-road"), road.to_owned()));
    if reading.view.is_nothing() {
        return;
    }
    let what = format!("replication is not allowed at {endpoint}, and keys are read by SCAN and DUMP, not at one point in time");
    findings.backup_problems.push(reading.view.problem(Severity::Degrades, &what));
    if !reading.scan.is_nothing() {
        let what = format!("neither replication nor SCAN and DUMP are allowed at {endpoint}");
        findings.backup_problems.push(reading.scan.problem(Severity::Blocks, &what));
    }
}
