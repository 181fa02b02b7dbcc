//! Prove: reads back what was staged, in the same canonical form as the dump, and accounts for what has expired since.

use std::collections::BTreeMap;

use plan::evidence::{Evidence, Tally};
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Road, Verb};
use plan::{Error, Result};

use super::left_out::{Kept, base_ms, read_left_out};
use super::mark::{Holds, Marks};
use super::place::{Placed, Spot, foreign};
use super::{Named, RedisStore, ServerAt, rest};
use crate::connection::Connection;
use crate::dump::insert_collections;
use crate::pass::{Database, Pass, server_time_ms};
use crate::queues::PROBE;
use crate::rdb::source::NoTap;
use crate::replication::{Asked, open_view};
use crate::server::Server;
use crate::tally::{Buckets, bucket_begin};

impl RedisStore {
    pub(crate) fn prove_at(&self, context: &Context, placed: &Placed, kept: &KeptDataSet) -> Result<Evidence> {
        let base_ms = base_ms(kept)?;
        let marks = self.marks(context, placed);
        let mut found = Evidence::default();
        let mut now_ms = u64::MAX;
        let mut kept_jobs = Kept::new();
        for ((at, mut connection, server), spots) in self.connect_all(context)?.into_iter().zip(&placed.servers) {
            for spot in spots {
                select_loaded(&mut connection, &marks, at, spot)?;
                read_left_out(&mut connection, placed, &mut found.collections, &mut kept_jobs)?;
                for (name, tally) in rest::note(&mut connection, placed)?.into_iter().flat_map(|note| note.collections) {
                    found.collections.entry(name).or_default().merge(tally);
                }
            }
            let databases = spots
                .iter()
                .map(|spot| Database::new(spot.side.unwrap_or(spot.live), base_ms, placed.selection(self.name, spot)))
                .collect();
            let begun_ms = server_time_ms(&mut connection)?;
            let mut pass = Pass::new(context, self.name, Verb::Prove, databases, begun_ms);
            let after_ms = self.read_back(context, at, &mut connection, &server, &mut pass)?;
            now_ms = if now_ms == u64::MAX { after_ms } else { now_ms.max(after_ms) };
            for (named, database) in at.databases.iter().zip(pass.databases) {
                let mut collections = BTreeMap::new();
                // Where the probe of the pods writes meanwhile, its key is taken as the set has it.
                let buckets = match probe_of(kept, named).filter(|_| placed.road == Road::InPlace) {
                    Some(probe) => {
                        let (mut buckets, there) = (database.tally.buckets.clone(), database.probe.buckets.clone());
                        buckets.merge(&Buckets { persistent: probe, ..there });
                        buckets
                    }
                    None => database.buckets(),
                };
                insert_collections(named, &buckets, &mut collections);
                for (name, tally) in collections {
                    found.collections.entry(name).or_default().merge(tally);
                }
                let jobs = database.by_job.buckets.persistent;
                if jobs != kept_jobs.remove(&named.name).unwrap_or_default() {
                    found.collections.insert(format!("{}/jobs-that-differ", named.name), jobs);
                }
                if database.left_out > 0 {
                    // No set has such a collection, so that it is a difference by itself.
                    let there = Tally { count: database.left_out, ..Tally::default() };
                    found.collections.insert(format!("{}/should-be-left-out", named.name), there);
                }
            }
        }
        let skipped = account_for_expired(&kept.evidence.collections, &mut found.collections, base_ms, now_ms);
        found.objects.clone_from(&kept.evidence.objects);
        found.facts.insert("expired-since-dump".to_owned(), skipped.to_string());
        if placed.road == Road::InPlace {
            found.facts.insert("road".to_owned(), "in-place".to_owned());
        }
        Ok(found)
    }

    /// Reads the databases of the pass; gives the server's time when all that was read was certainly there.
    fn read_back(
        &self,
        context: &Context,
        at: &ServerAt,
        connection: &mut Connection,
        server: &Server,
        pass: &mut Pass<'_>,
    ) -> Result<u64> {
        match open_view(&at.address, &self.limits(context))? {
            Asked::View(view) => {
                let after_ms = server_time_ms(connection)?;
                pass.by_replication(*view, NoTap)?;
                Ok(after_ms)
            }
            Asked::Forbidden => {
                pass.by_scan(connection, server, NoTap)?;
                server_time_ms(connection)
            }
        }
    }
}

/// The probe's key as the set has it; `None` in sets of before 0.2.0, which do not tell it apart.
fn probe_of(kept: &KeptDataSet, named: &Named) -> Option<Tally> {
    serde_json::from_str(kept.evidence.facts.get(&format!("{PROBE}{}", named.name))?).ok()
}

/// Selects the database of a spot in which the run's load has come to its end: beside the live one, or in place.
pub(crate) fn select_loaded(connection: &mut Connection, marks: &Marks<'_>, at: &ServerAt, spot: &Spot) -> Result<()> {
    match spot.side {
        Some(side) => check_staged(connection, marks, at, spot, side)?,
        None => super::swap::check_loaded(connection, marks, at, std::slice::from_ref(spot))?,
    }
    connection.select(spot.side.unwrap_or(spot.live))
}

/// That the side database holds a copy that is whole. Leaves it selected.
pub(crate) fn check_staged(connection: &mut Connection, marks: &Marks<'_>, at: &ServerAt, spot: &Spot, side: u32) -> Result<()> {
    match marks.holds(connection, spot, side)? {
        Holds::Loaded => Ok(()),
        holds @ (Holds::Others(_) | Holds::Foreign) => Err(foreign(at, side, &holds)),
        _ => Err(Error::failed(format!("the load of {} has not come to its end", spot.name)).hint("Stage it again.")),
    }
}

/// Keys whose bucket has begun to expire cannot be told from keys that were lost: there, no more than were dumped is all that can be asked. Such
/// buckets are reported as they were dumped. Gives how many elements are gone.
pub(crate) fn account_for_expired(dumped: &BTreeMap<String, Tally>, found: &mut BTreeMap<String, Tally>, base_ms: u64, now_ms: u64) -> u64 {
    let mut gone = 0;
    for (name, dumped) in dumped {
        let Some(end_ms) = bucket_of(name) else { continue };
        if bucket_begin(base_ms, end_ms) > now_ms {
            continue;
        }
        let count = found.get(name).map_or(0, |tally| tally.count);
        if count <= dumped.count {
            gone += dumped.count - count;
            found.insert(name.clone(), *dumped);
        }
    }
    gone
}

/// The end of the bucket in a collection's name.
fn bucket_of(name: &str) -> Option<u64> {
    let (name, end_ms) = name.rsplit_once('/')?;
    (name.ends_with("/volatile") || name.ends_with("/volatile-fields")).then(|| end_ms.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tallies(entries: &[(&str, u64)]) -> BTreeMap<String, Tally> {
        entries.iter().map(|(name, count)| ((*name).to_owned(), Tally { count: *count, ..Tally::default() })).collect()
    }

    #[test]
    fn what_has_expired_is_accounted_for_and_nothing_else() {
        let dumped = tallies(&[("a/persistent", 5), ("a/volatile/120000", 4), ("a/volatile/180000", 7), ("a/volatile-fields/120000", 2)]);
        let mut found = tallies(&[("a/persistent", 4), ("a/volatile/120000", 1), ("a/volatile/180000", 6)]);
        let gone = account_for_expired(&dumped, &mut found, 0, 70_000);
        assert_eq!(gone, 5);
        assert_eq!(
            found,
            tallies(&[("a/persistent", 4), ("a/volatile/120000", 4), ("a/volatile/180000", 6), ("a/volatile-fields/120000", 2)])
        );
        let mut more = tallies(&[("a/volatile/120000", 5)]);
        account_for_expired(&dumped, &mut more, 0, 70_000);
        assert_eq!(more.get("a/volatile/120000").map(|tally| tally.count), Some(5), "more than were dumped is a difference");
    }
}
