//! The store: logical databases by name, on one or several servers; and, beneath, what each verb does to them.

mod allowed;
mod claim;
mod counted;
pub(crate) mod discard;
mod file_load;
mod file_road;
mod fits;
mod free;
mod full;
pub(crate) mod functions;
mod hold;
mod later;
mod left_out;
mod leftovers;
pub(crate) mod limits;
mod live;
mod loader;
mod look;
pub(crate) mod mark;
mod merge;
pub(crate) mod modules;
pub(crate) mod pieces;
mod place;
mod prove;
mod read;
mod repair;
mod rest;
mod rewrite;
mod room;
mod sieve;
mod stage;
mod staged;
pub(crate) mod standstill;
mod stored;
mod strings;
mod swap;
mod transaction;
mod twice;
mod volume;
mod watching;

use std::fmt;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::Context;
use plan::{Error, LargeValues, Queues, Result};

pub use file_road::{FileRoad, Restart};
pub(crate) use stored::{Parts, Stored};

use crate::address::Address;
use crate::connection::{Connection, Crash, Limits};
use crate::server::Server;
use free::Spared;

/// Settings that hardly ever need a change.
#[derive(Clone)]
pub struct Options {
    /// For a TCP connection.
    pub connect_timeout: Duration,
    /// Without a single byte from the server.
    pub idle_timeout: Duration,
    /// Size of the parts of a dump; at most 8 MiB.
    pub part_bytes: usize,
    /// What a restore does with job queues. Chosen when a place is reserved; later verbs obey the place.
    pub queues: Queues,
    /// When values are loaded that the server takes long to make. Chosen when a place is reserved, too.
    pub large_values: LargeValues,
    /// `NAMESPACE` of the Secret `system-redis` (3scale 2.14 and before): System's keys may begin with it and a colon.
    pub namespace: Option<String>,
    /// The files of the server, when they can be reached: used for a restore in place where `RESTORE` cannot be.
    pub file_road: Option<FileRoad>,
    /// How the server is known where its address changes from call to call (a forwarded port): a Service and its namespace.
    pub known_as: Option<String>,
    /// From how many elements on a value is loaded in pieces.
    pub(crate) pieces_from: u64,
    /// For tests of crashes.
    pub(crate) crash: Option<Crash>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(90),
            part_bytes: 4 << 20,
            queues: Queues::Keep,
            large_values: LargeValues::Beside,
            namespace: None,
            file_road: None,
            known_as: None,
            pieces_from: pieces::FROM_ELEMENTS,
            crash: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("part_bytes", &self.part_bytes).field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// A logical database under its name in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The label (`storage`, `queues`), or `main`.
    pub(crate) name: String,
    pub(crate) database: u32,
}

/// A server, and which of its databases belong to the data set (ascending).
#[derive(Debug, Clone)]
pub(crate) struct ServerAt {
    pub(crate) address: Address,
    pub(crate) databases: Vec<Named>,
}

/// The Redis or Valkey databases of one data set.
#[derive(Debug)]
pub struct RedisStore {
    pub(crate) name: DataSetName,
    pub(crate) servers: Vec<ServerAt>,
    pub(crate) options: Options,
    /// The other data sets that may be on the same servers.
    pub(crate) spared: Spared,
}

impl RedisStore {
    /// The logical databases under their labels (`storage`, `queues`; an empty label stands for the only one). Addresses of the same server are read
    /// by one view.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no address, or the same database is named twice.
    pub fn new(name: DataSetName, addresses: Vec<(&str, Address)>, options: Options) -> Result<Self> {
        let mut servers: Vec<ServerAt> = Vec::new();
        for (label, address) in addresses {
            let label = if label.is_empty() { "main" } else { label };
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(Error::refused(format!("{label:?} is no label of a database")));
            }
            let named = Named { name: label.to_owned(), database: address.database() };
            if servers.iter().flat_map(|server| &server.databases).any(|other| other.name == named.name) {
                return Err(Error::refused(format!("two databases of {name} have the label {label:?}")));
            }
            match servers.iter_mut().find(|server| server.address.same_connection(&address)) {
                Some(server) if server.databases.iter().any(|other| other.database == named.database) => return Err(twice(name, &address)),
                Some(server) => server.databases.push(named),
                None => servers.push(ServerAt { address, databases: vec![named] }),
            }
        }
        if servers.is_empty() {
            return Err(Error::refused(format!("no address for {name}")));
        }
        servers.iter_mut().for_each(|server| server.databases.sort_by_key(|named| named.database));
        let options = Options { part_bytes: options.part_bytes.clamp(4 << 10, 8 << 20), ..options };
        Ok(Self { name, servers, options, spared: Spared::default() })
    }

    pub(crate) fn limits(&self, context: &Context) -> Limits {
        Limits {
            connect: self.options.connect_timeout,
            idle: self.options.idle_timeout,
            stops: vec![context.stop.clone()],
            crash: self.options.crash.clone(),
            #[cfg(test)]
            any_command: false,
        }
    }

    pub(crate) fn connect(&self, context: &Context, at: &ServerAt) -> Result<Connection> {
        Connection::open(&at.address, &self.limits(context))
    }

    /// Connects to all servers, and asks what they are. Two addresses may turn out to be one server.
    pub(crate) fn connect_all(&self, context: &Context) -> Result<Vec<(&ServerAt, Connection, Server)>> {
        let mut all: Vec<(&ServerAt, Connection, Server)> = Vec::new();
        for at in &self.servers {
            let mut connection = self.connect(context, at)?;
            let server = Server::ask(&mut connection)?;
            for (other, _, known) in &all {
                if twice::is_same(&server, known)
                    && at.databases.iter().any(|named| other.databases.iter().any(|twin| twin.database == named.database))
                {
                    return Err(twice(self.name, &at.address));
                }
            }
            all.push((at, connection, server));
        }
        Ok(all)
    }
}

fn twice(name: DataSetName, address: &Address) -> Error {
    Error::refused(format!("database {address} is named twice for {name}"))
        .hint("Storage and queues must be different logical databases: give each its own number.")
}
