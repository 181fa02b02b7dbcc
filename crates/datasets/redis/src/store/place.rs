//! Where the staged copy and the previous data are, and the markers by which a crash at any point is recognised.
//!
//! A side database belongs to a run exactly when it holds the run's mark (`mark`), which names the run, the data set and the role:
//!
//! | in the side database | means |
//! |---|---|
//! | no key at all | nothing is there |
//! | a mark `claimed` | it was chosen: one `SET … NX`, so that of several who choose at once one gets it |
//! | a mark `loading` | a load has begun |
//! | a mark `staged` | the staged copy is whole |
//! | a mark `previous` | the cut-over is done, this is the previous data |
//! | keys, or a mark, of others | it is somebody else's: never touched |
//!
//! What a restore left out (job queues) is counted while it loads, and kept beside the copy as `threescale-backup:left-out:<run>`, written with the
//! word that the copy is whole: copy and what was left out together must be what was dumped.
//!
//! Marks change in the same transaction as the data that they tell of. In place, every live database of the place holds the mark `half-loaded` from
//! before the first is cleared until all are whole.

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Place, Road};
use plan::{Error, Queues, Result};
use serde::{Deserialize, Serialize};
use threescale::queues::Selection;

use super::claim::claim;
use super::mark::{Holds, MARK, Mark, Marks, OLD_HALF, OLD_PREVIOUS, OLD_STAGING, Role, Seen, read};
use super::transaction::{clear, command};
use super::twice::is_same;
use super::{Named, RedisStore, ServerAt, hold};
use crate::connection::Connection;
use crate::queues::selection;
use crate::server::Server;

/// One database of the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    pub(crate) name: String,
    pub(crate) live: u32,
    /// `None` in place.
    pub(crate) side: Option<u32>,
}

/// How keys come into the databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// By `RESTORE`, over the connection.
    #[default]
    Restore,
    /// As a file that the server loads when it starts (in place only).
    File,
}

/// The place, as journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) road: Road,
    pub(crate) run: String,
    /// In the order of the store's servers and their databases.
    pub(crate) servers: Vec<Vec<Spot>>,
    /// How a restore in place is done.
    #[serde(default)]
    pub(crate) method: Method,
    /// What is done with job queues: chosen once, whatever the options are later.
    #[serde(default = "not_said")]
    pub(crate) queues: Queues,
    /// Whether values that the server takes long to make are loaded later, by a step of their own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) rest: bool,
    /// `NAMESPACE` of System's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// Whether its run leaves marks as this version does. Version 0.1.0 did not.
    #[serde(default)]
    pub(crate) marked: bool,
    /// The `maxmemory-policy` of each server when it was chosen, where it throws keys away: it is put back when the run keeps nothing there any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policies: Vec<Option<String>>,
    /// How each server was known when it was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) known: Vec<Known>,
}

/// By what a server is recognised before there is any mark in it. Either may change; both at once is another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Known {
    pub(crate) run_id: String,
    pub(crate) address: String,
}

impl Placed {
    /// Whether a set is the safety copy that this very run took.
    pub(crate) fn is_put_back(&self, kept: &KeptDataSet) -> bool {
        kept.evidence.facts.get(plan::evidence::SAFETY_COPY) == Some(&self.run)
    }

    /// The place for a set: of a safety copy all goes back, queues too.
    pub(crate) fn for_set(mut self, kept: &KeptDataSet) -> Self {
        if kept.evidence.facts.contains_key(plan::evidence::SAFETY_COPY) {
            self.queues = Queues::Keep;
        }
        self
    }

    pub(crate) fn old_staging(&self) -> String {
        format!("{OLD_STAGING}{}", self.run)
    }

    pub(crate) fn old_previous(&self) -> String {
        format!("{OLD_PREVIOUS}{}", self.run)
    }

    pub(crate) fn old_half(&self) -> String {
        format!("{OLD_HALF}{}", self.run)
    }

    pub(crate) fn left_out(&self) -> String {
        format!("threescale-backup:left-out:{}", self.run)
    }

    pub(crate) fn rest_note(&self) -> String {
        format!("threescale-backup:rest:{}", self.run)
    }

    /// What goes back of a database.
    pub(crate) fn selection(&self, data_set: DataSetName, spot: &Spot) -> Selection {
        selection(data_set, &spot.name, self.namespace.as_deref(), self.queues.clone())
    }

    pub(crate) fn functions(&self) -> String {
        format!("threescale-backup:functions:{}", self.run)
    }
}

/// The error for a side database that is somebody else's.
pub(crate) fn foreign(at: &ServerAt, side: u32, holds: &Holds) -> Error {
    let endpoint = at.address.endpoint();
    if let Holds::Others(mark) = holds {
        let Mark { run, data_set, installation, .. } = mark.as_ref();
        return Error::needs_person(format!("database {side} of {endpoint} is marked as that of run {run}: {data_set} of installation {installation}"))
            .hint("Another run took it after this one chose it. Nothing in it was touched. `undo` ends this run; a new restore chooses another database.");
    }
    Error::needs_person(format!("database {side} of {endpoint} has keys that are not of this run"))
        .hint("It was empty when the run chose it: find out who writes to it. Nothing in it was touched.")
}

impl RedisStore {
    /// The marks of a place.
    pub(crate) const fn marks<'a>(&self, context: &'a Context, placed: &'a Placed) -> Marks<'a> {
        Marks { placed, data_set: self.name, installation: &context.installation }
    }

    /// Refuses servers that are not those of the run, before anything is written to them: neither do they carry its marks, nor are they known.
    pub(crate) fn check_known(&self, context: &Context, placed: &Placed) -> Result<()> {
        let marks = self.marks(context, placed);
        for (((at, mut connection, server), spots), known) in self.connect_all(context)?.into_iter().zip(&placed.servers).zip(&placed.known)
        {
            if server.field("run_id") == known.run_id || self.known_as(at) == known.address {
                continue;
            }
            let mut own = false;
            for spot in spots {
                own |= match spot.side {
                    Some(side) => !matches!(marks.holds(&mut connection, spot, side)?, Holds::Nothing | Holds::Others(_) | Holds::Foreign),
                    None => marks.half(&mut connection, spot)?.is_some(),
                };
            }
            if !own {
                let (run, here) = (&placed.run, self.known_as(at));
                return Err(Error::refused(format!(
                    "run {run} is of another server: its {} was at {}, here is {here}",
                    self.name, known.address
                ))
                .hint("Nothing was touched. Use the configuration of the installation that the run is of."));
            }
        }
        Ok(())
    }

    fn known_as(&self, at: &ServerAt) -> String {
        self.options.known_as.clone().unwrap_or_else(|| at.address.endpoint().to_string())
    }

    /// The place, checked against the addresses of today.
    pub(crate) fn placed(&self, place: &Place) -> Result<Placed> {
        let placed: Placed = serde_json::from_value(place.0.clone())
            .map_err(|error| Error::needs_person(format!("the place of {} cannot be understood", self.name)).because(error))?;
        let same = placed.servers.len() == self.servers.len()
            && placed.servers.iter().zip(&self.servers).all(|(spots, at)| {
                spots.len() == at.databases.len()
                    && spots.iter().zip(&at.databases).all(|(spot, named)| spot.name == named.name && spot.live == named.database)
            });
        if same {
            return Ok(placed);
        }
        Err(Error::needs_person(format!("the addresses of {} have changed since the run began", self.name))
            .hint("Put the addresses of the configuration back as they were, then resume or undo."))
    }

    /// Chooses the side databases, and claims them. In place nothing is changed.
    pub(crate) fn reserve_place(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Place> {
        let mut servers = self.connect_all(context)?;
        let known = servers.iter().map(|(at, _, server)| Known { run_id: server.field("run_id").to_owned(), address: self.known_as(at) });
        let known = known.collect();
        let policy = |server: &Server| hold::evicts(server).then(|| server.field("maxmemory_policy").to_owned());
        let policies = servers.iter().map(|(_, _, server)| policy(server)).collect();
        let method = if road == Road::InPlace { self.in_place_method(context)?.0 } else { Method::Restore };
        self.refuse_by_class(method)?;
        let (queues, namespace) = (self.options.queues.clone(), self.options.namespace.clone());
        let (run, rest) = (context.run.to_string(), self.rest_of(kept, road).is_some());
        let mut placed = Placed { road, run, servers: Vec::new(), method, queues, rest, namespace, marked: true, policies, known };
        let marks = self.marks(context, &placed);
        let live: Vec<_> = servers.iter().map(|(_, _, server)| live_databases(&servers, server)).collect();
        let chosen: Result<_> =
            servers.iter_mut().zip(&live).map(|((at, connection, _), live)| self.choose(context, at, connection, live, &marks)).collect();
        placed.servers = chosen.inspect_err(|_| {
            // Best effort: an undo looks for claims again.
            drop(self.release_claims(context));
        })?;
        let value = serde_json::to_value(&placed).map_err(|error| Error::failed("failed to write the place").because(error))?;
        Ok(Place(value))
    }

    /// Gives back what this run claimed and did not use.
    pub(crate) fn release_claims(&self, context: &Context) -> Result<()> {
        for (at, mut connection, server) in self.connect_all(context)? {
            let beside = |number: &u32| at.databases.iter().all(|named| named.database != *number);
            for number in (0..1024).filter(|number| server.keys(*number).0 > 0).filter(beside) {
                connection.select(number)?;
                connection.call(&[b"WATCH", MARK.as_bytes()])?;
                let is_claim = |mark: &Mark| (mark.run.as_str(), mark.data_set, mark.role) == (&context.run.0, self.name, Role::Claimed);
                match read(&mut connection, MARK)? {
                    // Whatever else is in it came from somebody else.
                    Seen::Mark(mark) if is_claim(&mark) => clear(&mut connection, &vec![command(&["DEL", MARK])])?,
                    _ => connection.call(&[b"UNWATCH"]).map(drop)?,
                }
            }
        }
        Ok(())
    }

    /// The databases of a server with their side databases: what the run has claimed already, or else empty ones, from the highest number down.
    fn choose(&self, context: &Context, at: &ServerAt, connection: &mut Connection, live: &[u32], marks: &Marks<'_>) -> Result<Vec<Spot>> {
        let bare = |named: &Named| Spot { name: named.name.clone(), live: named.database, side: None };
        if marks.placed.road == Road::InPlace {
            return Ok(at.databases.iter().map(bare).collect());
        }
        let mut free = self.free_databases(context, at, connection)?;
        free.retain(|number| !live.contains(number));
        let mut spots = Vec::new();
        for mut spot in at.databases.iter().map(bare) {
            let mut side = claimed(connection, marks, &spot)?;
            while side.is_none() {
                let next = free.pop().ok_or_else(|| no_room(at))?;
                side = claim(connection, marks, &spot, next)?.then_some(next);
            }
            spot.side = side;
            spots.push(spot);
        }
        Ok(spots)
    }
}

/// Databases of the data set at a server, by whichever of its connections: they are live, also while they are empty.
fn live_databases(servers: &[(&ServerAt, Connection, Server)], server: &Server) -> Vec<u32> {
    let at_it = servers.iter().filter(|(_, _, other)| is_same(server, other));
    at_it.flat_map(|(at, _, _)| at.databases.iter().map(|named| named.database)).collect()
}

/// The database that an earlier call claimed.
fn claimed(connection: &mut Connection, marks: &Marks<'_>, spot: &Spot) -> Result<Option<u32>> {
    let server = Server::ask(connection)?;
    for number in (0..1024).filter(|number| server.keys(*number).0 > 0 && *number != spot.live) {
        if marks.holds(connection, spot, number)? == Holds::Claimed {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn no_room(at: &ServerAt) -> Error {
    Error::refused(format!("{} has not enough empty logical databases for a copy beside the live data", at.address.endpoint()))
        .hint("Raise `databases` in its configuration, empty one, or restore with --in-place.")
}

/// Places of journals that do not say it are of a time when all queues came back.
const fn not_said() -> Queues {
    Queues::Keep
}
