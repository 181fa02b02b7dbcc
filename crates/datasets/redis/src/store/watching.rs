//! Looks at the live server while a copy is loaded beside its data, and says stop before the server suffers: memory, keys thrown away, the volume, failing saves.

use std::time::{Duration, Instant};

use plan::ports::Context;
use plan::{Error, Result};

use super::room::{has_save_points, margin};
use super::volume::Seen;
use super::{RedisStore, ServerAt};
use crate::connection::Connection;
use crate::server::Server;

/// Looks that go through a container are this far apart, unless a quarter of what was free may be filled meanwhile.
const CONTAINER_LOOK: Duration = Duration::from_secs(3);
/// From so much of the set on the rest is reckoned from what the first keys took.
const TELLING_PART: u64 = 10;

/// A server that is watched.
pub(crate) struct Watching<'a> {
    store: &'a RedisStore,
    context: &'a Context,
    at: &'a ServerAt,
    connection: Connection,
    seen: Option<Seen>,
    /// When the volume was looked at, and how much of the set was loaded then.
    looked: Option<(Instant, u64)>,
    begin: Server,
    /// Memory at the last look, and how much came since the one before.
    used: u64,
    free: Option<u64>,
    /// Bytes of the whole set, where all of it goes into this server.
    total: Option<u64>,
}

impl<'a> Watching<'a> {
    pub(crate) fn begin(store: &'a RedisStore, context: &'a Context, at: &'a ServerAt, total: u64) -> Result<Self> {
        let mut connection = store.connect(context, at)?;
        let begin = Server::ask(&mut connection)?;
        let keeps_files = begin.number("aof_enabled") == 1 || has_save_points(&mut connection)?;
        let seen = if keeps_files { store.sees_volume(at, &mut connection, &begin)? } else { None };
        let (used, total) = (begin.number("used_memory"), (store.servers.len() == 1).then_some(total));
        Ok(Self { store, context, at, connection, seen, looked: None, begin, used, free: None, total })
    }

    /// What has been loaded is in the server; `done` bytes of the set so far, and a value of `coming` bytes is next.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when going on would harm the server.
    pub(crate) fn look(&mut self, done: u64, coming: u64) -> Result<()> {
        let now = Server::ask(&mut self.connection)?;
        self.judge(&now, done, coming)
    }

    /// The same with what the server said when it had taken `done` bytes of the set.
    pub(crate) fn judge(&mut self, now: &Server, done: u64, coming: u64) -> Result<()> {
        self.memory(now, done, coming)?;
        let evicted = now.number("evicted_keys").saturating_sub(self.begin.number("evicted_keys"));
        if evicted > 0 {
            return Err(self.stop(format!("the server threw away {evicted} keys while the copy was loaded")));
        }
        for name in ["aof_last_write_status", "rdb_last_bgsave_status", "aof_last_bgrewrite_status"] {
            if now.field(name) == "err" && self.begin.field(name) != "err" {
                return Err(self.stop(format!("{name} became err: the server cannot write its files")));
            }
        }
        self.volume(done, coming)
    }

    fn memory(&mut self, now: &Server, done: u64, coming: u64) -> Result<()> {
        let (used, limit) = (now.number("used_memory"), now.memory_limit());
        let before = std::mem::replace(&mut self.used, used);
        if limit == 0 {
            return Ok(());
        }
        // Until the next answer is judged, twice as much may come as came since the last one: so much again has been sent already.
        let next = used.saturating_sub(before).saturating_mul(4).max(coming.saturating_mul(2));
        if used.saturating_add(next).saturating_add(margin(limit)) > limit {
            return Err(
                self.stop(format!("its memory is nearly full: {used} of {limit} bytes, and a margin of {} stays free", margin(limit)))
            );
        }
        let Some(total) = self.total.filter(|total| done >= total / TELLING_PART && done > 1 << 20) else { return Ok(()) };
        let base = self.begin.number("used_memory");
        let all = u128::from(used.saturating_sub(base)) * u128::from(total) / u128::from(done.max(1));
        let all = u64::try_from(all).unwrap_or(u64::MAX).saturating_add(base);
        if all.saturating_add(margin(limit)) > limit {
            let part = 100 * done / total.max(1);
            return Err(self.stop(format!("its memory would be full: after {part} % of the set it uses {used} of {limit} bytes")));
        }
        Ok(())
    }

    fn volume(&mut self, done: u64, coming: u64) -> Result<()> {
        let Some(seen) = &self.seen else { return Ok(()) };
        if *seen == Seen::InContainer && self.is_fresh(done, coming) {
            return Ok(());
        }
        let Some(volume) = self.store.volume(self.context, seen) else { return Ok(()) };
        self.looked = Some((Instant::now(), done));
        let gone = self.free.map_or(0, |before| before.saturating_sub(volume.free)).saturating_mul(2).max(coming);
        self.free = Some(volume.free);
        if volume.free < gone.saturating_add(margin(volume.size)) {
            return Err(self.stop(format!("the volume of its files is nearly full: {} of {} bytes are free", volume.free, volume.size)));
        }
        Ok(())
    }

    fn is_fresh(&self, done: u64, coming: u64) -> bool {
        let (Some((looked, before)), Some(free)) = (self.looked, self.free) else { return false };
        looked.elapsed() < CONTAINER_LOOK && done.saturating_sub(before).saturating_add(coming) < free / 4
    }

    fn stop(&self, why: String) -> Error {
        Error::refused(format!("{}: {why}", self.at.address.endpoint()))
            .hint("The load stopped before the server refused writes. Give it more room, or restore with --in-place.")
    }
}
