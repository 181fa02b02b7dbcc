//! Discard: clears side databases of the run, and nothing else; and how much is kept in them.

use plan::Result;
use plan::ports::Context;

use super::RedisStore;
use super::place::{Holds, Method, Placed, Spot, foreign};
use super::transaction::{command, settle_writes, transaction};
use crate::connection::Connection;

impl RedisStore {
    pub(crate) fn discard_at(&self, context: &Context, placed: &Placed) -> Result<()> {
        if placed.method == Method::File {
            return self.discard_files(context, placed);
        }
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            forget_left_out(&mut connection, placed, spots)?;
            for side in spots.iter().filter_map(|spot| spot.side) {
                match placed.holds(&mut connection, side)? {
                    Holds::Nothing => continue,
                    Holds::Foreign => return Err(foreign(at, side)),
                    Holds::Loading | Holds::Loaded | Holds::Previous => {}
                }
                connection.call(&[b"WATCH", placed.staging().as_bytes(), placed.previous().as_bytes()])?;
                transaction(&mut connection, &vec![command(&["FLUSHDB", "ASYNC"])])?;
            }
            settle_writes(&mut connection, &server)?;
        }
        Ok(())
    }

    /// In place all that is left is the record of what was left out. By file also the server's previous files, which stay.
    pub(crate) fn tidy_at(&self, context: &Context, placed: &Placed) -> Result<()> {
        if placed.method == Method::File {
            return Ok(());
        }
        for ((_, mut connection, _), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            forget_left_out(&mut connection, placed, spots)?;
        }
        Ok(())
    }

    pub(crate) fn kept_bytes_at(&self, context: &Context, placed: &Placed) -> Result<u64> {
        if placed.method == Method::File {
            return self.previous_bytes(context, placed);
        }
        let mut bytes = 0;
        for ((_, _, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            let sides: u64 = spots.iter().filter_map(|spot| spot.side).map(|side| server.keys(side).0).sum();
            bytes += share_of_memory(&server, sides);
        }
        Ok(bytes)
    }
}

fn forget_left_out(connection: &mut Connection, placed: &Placed, spots: &[Spot]) -> Result<()> {
    for live in spots.iter().filter(|spot| spot.side.is_none()).map(|spot| spot.live) {
        connection.select(live)?;
        connection.call(&[b"DEL", placed.left_out().as_bytes()])?;
    }
    Ok(())
}

/// The memory of so many keys, as far as their share of all keys tells.
pub(crate) fn share_of_memory(server: &crate::server::Server, keys: u64) -> u64 {
    let all: u64 = (0..1024).map(|database| server.keys(database).0).sum();
    let used = server.number("used_memory").saturating_sub(server.number("used_memory_startup"));
    if all == 0 { 0 } else { u64::try_from(u128::from(used) * u128::from(keys) / u128::from(all)).unwrap_or(used) }
}
