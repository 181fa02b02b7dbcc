//! Where the staged copy and the previous data are, and the markers by which a crash at any point is recognised.
//!
//! A side database belongs to a run exactly when it holds one of the run's markers:
//!
//! | in the side database | means |
//! |---|---|
//! | no key at all | nothing is there |
//! | `threescale-backup:staging:<run>` = `loading` | a load has begun |
//! | `threescale-backup:staging:<run>` = `loaded` | the staged copy is whole |
//! | `threescale-backup:previous:<run>` | the cut-over is done, this is the previous data |
//! | keys, none of these markers | it is somebody else's: never touched |
//!
//! What a restore left out (job queues) is counted while it loads, and kept beside the copy as `threescale-backup:left-out:<run>`, written with the
//! word that the copy is whole: copy and what was left out together must be what was dumped.
//!
//! Markers change in the same transaction as the data that they tell of. In place, the live database holds
//! `threescale-backup:loading:<run>` from before it is cleared until it is whole.

use std::collections::BTreeSet;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Place, Road};
use plan::{Error, Queues, Result};
use serde::{Deserialize, Serialize};

use super::{RedisStore, ServerAt};
use crate::connection::{Connection, Reply};
use crate::queues::Rules;

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
    /// `NAMESPACE` of System's keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
}

/// What a side database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    Loading,
    Loaded,
    Previous,
    /// Keys, but no marker of the run.
    Foreign,
}

impl Placed {
    /// The place for a set: of a safety copy all goes back, queues too.
    pub(crate) fn for_set(mut self, kept: &KeptDataSet) -> Self {
        if kept.evidence.facts.contains_key(plan::evidence::SAFETY_COPY) {
            self.queues = Queues::Keep;
        }
        self
    }

    pub(crate) fn staging(&self) -> String {
        format!("threescale-backup:staging:{}", self.run)
    }

    pub(crate) fn previous(&self) -> String {
        format!("threescale-backup:previous:{}", self.run)
    }

    pub(crate) fn loading(&self) -> String {
        format!("threescale-backup:loading:{}", self.run)
    }

    pub(crate) fn left_out(&self) -> String {
        format!("threescale-backup:left-out:{}", self.run)
    }

    /// What is left out of a database.
    pub(crate) fn rules(&self, data_set: DataSetName, spot: &Spot) -> Rules {
        match self.queues {
            Queues::Keep => Rules::default(),
            Queues::Drop => Rules::of(data_set, &spot.name, self.namespace.as_deref()),
        }
    }

    pub(crate) fn functions(&self) -> String {
        format!("threescale-backup:functions:{}", self.run)
    }

    /// What a side database holds now. Leaves it selected.
    pub(crate) fn holds(&self, connection: &mut Connection, side: u32) -> Result<Holds> {
        connection.select(side)?;
        if connection.call(&[b"EXISTS", self.previous().as_bytes()])?.number() == Some(1) {
            return Ok(Holds::Previous);
        }
        match connection.call(&[b"GET", self.staging().as_bytes()])? {
            Reply::Bytes(state) if state == b"loaded" => Ok(Holds::Loaded),
            Reply::Bytes(_) => Ok(Holds::Loading),
            _ if connection.call(&[b"DBSIZE"])?.number() == Some(0) => Ok(Holds::Nothing),
            _ => Ok(Holds::Foreign),
        }
    }
}

pub(crate) fn foreign(at: &ServerAt, side: u32) -> Error {
    Error::needs_person(format!("database {side} of {} has keys that are not of this run", at.address.endpoint()))
        .hint("It was empty when the run chose it: find out who writes to it. Nothing in it was touched.")
}

impl RedisStore {
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

    /// Chooses the side databases: empty ones, from the highest number down. Changes nothing.
    pub(crate) fn reserve_place(&self, context: &Context, _kept: &KeptDataSet, road: Road) -> Result<Place> {
        let mut taken: BTreeSet<(String, u32)> = BTreeSet::new();
        let mut servers = Vec::new();
        for (at, mut connection, server) in self.connect_all(context)? {
            let mut free = match road {
                Road::SideCopy => free_databases(&mut connection, at)?,
                Road::InPlace => Vec::new(),
            };
            free.retain(|database| !taken.contains(&(server.field("run_id").to_owned(), *database)));
            let mut spots = Vec::new();
            for named in &at.databases {
                let side = match road {
                    Road::SideCopy => Some(free.pop().ok_or_else(|| no_room(at))?),
                    Road::InPlace => None,
                };
                taken.extend(side.map(|side| (server.field("run_id").to_owned(), side)));
                spots.push(Spot { name: named.name.clone(), live: named.database, side });
            }
            servers.push(spots);
        }
        let method = if road == Road::InPlace { self.in_place_method(context)?.0 } else { Method::Restore };
        let (queues, namespace) = (self.options.queues, self.options.namespace.clone());
        let placed = Placed { road, run: context.run.to_string(), servers, method, queues, namespace };
        let value = serde_json::to_value(&placed).map_err(|error| Error::failed("write the place").because(error))?;
        Ok(Place(value))
    }
}

fn no_room(at: &ServerAt) -> Error {
    Error::refused(format!("{} has not enough empty logical databases for a copy beside the live data", at.address.endpoint()))
        .hint("Raise `databases` in its configuration, empty one, or restore with --in-place.")
}

/// Empty logical databases that are not of the data set, ascending. `SWAPDB` needs them on the same server.
pub(crate) fn free_databases(connection: &mut Connection, at: &ServerAt) -> Result<Vec<u32>> {
    let server = crate::server::Server::ask(connection)?;
    let count = match connection.ask(&[b"CONFIG", b"GET", b"databases"])?.list().get(1).and_then(Reply::number) {
        Some(count) => u32::try_from(count).unwrap_or(16),
        // CONFIG is forbidden: ask for databases until there are no more.
        None => (0..256)
            .find_map(|number| match connection.ask(&[b"SELECT", number.to_string().as_bytes()]) {
                Ok(Reply::Error(_)) => Some(Ok(number)),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            })
            .unwrap_or(Ok(256))?,
    };
    let mut free = Vec::new();
    for number in 0..count.min(1024) {
        if server.keys(number).0 > 0 || at.databases.iter().any(|named| named.database == number) {
            continue;
        }
        connection.select(number)?;
        if connection.call(&[b"DBSIZE"])?.number() == Some(0) {
            free.push(number);
        }
    }
    Ok(free)
}

/// Places of journals that do not say it are of a time when all queues came back.
const fn not_said() -> Queues {
    Queues::Keep
}
