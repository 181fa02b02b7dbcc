//! Whether there is room: in the server's memory, and on the volume of its files. What a set needs there is an estimate, so the load itself looks again and again
//! (`watching`), and steps back before a margin.

use plan::Result;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Findings, Problem, Road, Severity, Share};

use super::discard::share_of_memory;
use super::place::Method;
use super::{RedisStore, ServerAt, hold, twice};
use crate::connection::{Connection, Reply};
use crate::server::Server;

/// Live keys whose size in memory is compared with their size in a dump.
const SAMPLES: u32 = 64;
/// Fewer tell nothing.
const SAMPLES_MIN: u32 = 16;
/// A command of an append-only file beside its value: `RESTORE`, the key, lengths.
const COMMAND_BYTES: u64 = 120;

/// What stays free: a twentieth, but no more than a gigabyte.
pub(crate) fn margin(limit: u64) -> u64 {
    (limit / 20).clamp(1 << 20, 1 << 30)
}

/// What of a set goes into one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// In memory, as the server that it was taken from held it.
    memory: u64,
    /// In a file.
    file: u64,
    keys: u64,
}

impl Need {
    /// Of a set. A set of 0.1.0 tells the memory of the whole server.
    pub(crate) fn of(kept: &KeptDataSet) -> Self {
        let number = |name: &str| kept.evidence.facts.get(name).and_then(|text| text.parse::<u64>().ok());
        let memory = number("memory-bytes").or_else(|| number("used-memory")).unwrap_or(kept.bytes);
        Self { memory, file: kept.bytes, keys: kept.evidence.count() }
    }

    /// What it adds to an append-only file.
    fn commands(self) -> u64 {
        self.file + self.keys * COMMAND_BYTES
    }
}

impl RedisStore {
    /// The road of a set that is larger than what is live, where two copies do not fit, and why.
    pub(crate) fn road_of(&self, context: &Context, findings: &Findings, kept: &KeptDataSet) -> Result<(Road, Option<Problem>)> {
        if findings.road == Road::InPlace {
            return Ok((Road::InPlace, None));
        }
        let mut beside = Vec::new();
        self.room(context, kept, Road::SideCopy, &mut beside)?;
        let Some(why) = beside.into_iter().find(|problem| problem.severity == Severity::Blocks) else { return Ok((Road::SideCopy, None)) };
        let in_place = self.fits_into(context, kept, Road::InPlace)?;
        if in_place.iter().any(|problem| problem.severity == Severity::Blocks) {
            return Ok((Road::SideCopy, None));
        }
        let text = format!("two copies do not fit, so it goes back in place, with the writers stopped: {}", why.text);
        Ok((Road::InPlace, Some(Problem { text, severity: Severity::Degrades, ..why })))
    }

    /// Whether the set has room on that road.
    pub(crate) fn room(&self, context: &Context, kept: &KeptDataSet, road: Road, problems: &mut Vec<Problem>) -> Result<()> {
        let need = Need::of(kept);
        for (at, mut connection, server) in self.connect_all(context)? {
            let live: u64 = at.databases.iter().map(|named| server.keys(named.database).0).sum();
            let goes = if road == Road::InPlace { share_of_memory(&server, live) } else { 0 };
            memory(at, &mut connection, &server, need, goes, problems)?;
            self.files(context, at, &mut connection, &server, need, road, problems)?;
            if road == Road::SideCopy && hold::evicts(&server) && !hold::can_hold(&mut connection, &server)? {
                problems.push(cannot_hold(at, &server));
            }
        }
        Ok(())
    }

    /// What a set takes of servers on which other data sets may be too.
    pub(crate) fn shares_of(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Share>> {
        if !self.shut_doors(context)?.is_empty() || road == Road::InPlace && self.in_place_method(context)?.0 == Method::File {
            return Ok(Vec::new());
        }
        let (need, mut shares) = (Need::of(kept), Vec::new());
        for (at, mut connection, server) in self.connect_all(context)? {
            let endpoint = at.address.endpoint();
            let whose = twice::known_by(&server).next().unwrap_or_else(|| endpoint.to_string());
            let mut share = |what: &str, takes: u64, free: u64| {
                shares.push(Share { of: format!("{what} {whose}"), called: format!("{what} {endpoint}"), takes, free });
            };
            let live: u64 = at.databases.iter().map(|named| server.keys(named.database).0).sum();
            let goes = if road == Road::InPlace { share_of_memory(&server, live) } else { 0 };
            let limit = server.memory_limit();
            if limit > 0 {
                let free = limit.saturating_sub(server.number("used_memory")).saturating_sub(margin(limit));
                share("bytes of memory at", need.memory.saturating_sub(goes), free);
            }
            if road == Road::SideCopy {
                let free = self.free_databases(context, at, &mut connection)?.len();
                share("empty databases at", at.databases.len() as u64, free as u64);
            }
            if server.number("aof_enabled") == 1
                && let Some(volume) = self.sees_volume(at, &mut connection, &server)?.and_then(|seen| self.volume(context, &seen))
            {
                share("bytes on the volume of", need.commands(), volume.free.saturating_sub(margin(volume.size)));
            }
        }
        Ok(shares)
    }

    /// The volume of the server's files.
    #[expect(clippy::too_many_arguments, reason = "one call, all of it is needed")]
    fn files(
        &self,
        context: &Context,
        at: &ServerAt,
        connection: &mut Connection,
        server: &Server,
        need: Need,
        road: Road,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        let Some((bytes, of)) = file_bytes(connection, server, need, road)? else { return Ok(()) };
        let endpoint = at.address.endpoint();
        let seen = self.sees_volume(at, connection, server)?;
        let Some(volume) = seen.and_then(|seen| self.volume(context, &seen)) else {
            let text =
                format!("nobody can see from here how much room {endpoint} has for its files; its {of} takes about {bytes} bytes more");
            problems.push(Problem::new(Severity::Note, text));
            return Ok(());
        };
        if volume.free < bytes.saturating_add(margin(volume.size)) {
            let text =
                format!("the volume of {endpoint} has {} of {} bytes free; its {of} needs about {bytes} more", volume.free, volume.size);
            let way_out = "A full volume makes the server refuse every write. Make it larger, or free room there.";
            problems.push(Problem::new(Severity::Blocks, text).way_out(way_out));
        }
        Ok(())
    }
}

/// What a set adds to the server's files, and to which; `None` where it keeps none.
fn file_bytes(connection: &mut Connection, server: &Server, need: Need, road: Road) -> Result<Option<(u64, &'static str)>> {
    if server.number("aof_enabled") == 1 {
        return Ok(Some((need.commands(), "append-only file")));
    }
    if !has_save_points(connection)? {
        return Ok(None);
    }
    // A save writes a new file beside the old one. Files are some half of what is in memory.
    let live = if road == Road::SideCopy { server.number("used_memory_dataset") / 2 } else { 0 };
    Ok(Some((live + need.file, "next save")))
}

/// Whether the server saves by itself, as far as it tells.
pub(crate) fn has_save_points(connection: &mut Connection) -> Result<bool> {
    let save = connection.ask(&[b"CONFIG", b"GET", b"save"])?.list();
    Ok(save.get(1).is_some_and(|save| !save.text().is_empty()))
}

fn cannot_hold(at: &ServerAt, server: &Server) -> Problem {
    let (endpoint, policy) = (at.address.endpoint(), server.field("maxmemory_policy"));
    let text = format!("{endpoint} throws keys away when its memory is full ({policy}), and CONFIG SET is not allowed to hold that off");
    Problem::new(Severity::Blocks, text).way_out("Set maxmemory-policy noeviction, as 3scale needs it; or restore with --in-place.")
}

/// Memory for what comes, with what is there and does not go.
fn memory(at: &ServerAt, connection: &mut Connection, server: &Server, need: Need, goes: u64, problems: &mut Vec<Problem>) -> Result<()> {
    let (used, limit) = (server.number("used_memory").saturating_sub(goes), server.memory_limit());
    if limit == 0 {
        return Ok(());
    }
    let (endpoint, free) = (at.address.endpoint(), limit.saturating_sub(used).saturating_sub(margin(limit)));
    if need.memory > free {
        let need = need.memory;
        let way_out =
            if goes == 0 { "Raise its memory and maxmemory, or restore with --in-place." } else { "Raise its memory and maxmemory." };
        let text = format!(
            "{endpoint} uses {used} of {limit} bytes of memory beside what goes; the set needs about {need}, and a margin of {}",
            margin(limit)
        );
        problems.push(Problem::new(Severity::Blocks, text).way_out(way_out));
        return Ok(());
    }
    let as_here = sampled(at, connection)?.map_or(0, |(memory, file)| need.file.saturating_mul(memory) / file.max(1));
    if as_here > free {
        let text = format!("if {endpoint} holds the set's keys as it holds its own, they need {as_here} bytes of memory; {free} are free");
        problems.push(Problem::new(Severity::Degrades, text).way_out("The load looks at the memory and steps back before it is full."));
    }
    Ok(())
}

/// Bytes in memory and in a dump of some live keys. `None` where they are too few, or not told.
fn sampled(at: &ServerAt, connection: &mut Connection) -> Result<Option<(u64, u64)>> {
    let (mut memory, mut file, mut count) = (0, 0, 0);
    for named in &at.databases {
        connection.select(named.database)?;
        for _ in 0..SAMPLES {
            let Reply::Bytes(key) = connection.ask(&[b"RANDOMKEY"])? else { break };
            let Some(bytes) = connection.ask(&[b"MEMORY", b"USAGE", &key])?.number().and_then(|bytes| u64::try_from(bytes).ok()) else {
                break;
            };
            // Larger ones are not fetched for this.
            if bytes > 64 << 10 {
                continue;
            }
            let Reply::Bytes(dumped) = connection.ask(&[b"DUMP", &key])? else { break };
            (memory, file, count) = (memory + bytes, file + (dumped.len() + key.len()) as u64, count + 1);
        }
    }
    Ok((count >= SAMPLES_MIN).then_some((memory, file)))
}
