//! The same logical database under two addresses: known by what the servers say of themselves, because a name, a socket, a sentinel or a replica may lead to
//! the same data.

use std::collections::BTreeMap;

use plan::Result;
use plan::ports::Context;

use super::RedisStore;
use crate::server::Server;

/// By what a server, and the data that it shares with its master and all replicas of that, are known as long as they run (`INFO`: `run_id`, `master_replid`).
pub(crate) fn known_by(server: &Server) -> impl Iterator<Item = String> {
    let of = |kind: &str, field: &str| {
        let id = server.field(field);
        // A server that never had a replica may say nothing but zeros.
        id.bytes().any(|byte| byte != b'0').then(|| format!("{kind} {id}"))
    };
    of("redis", "run_id").into_iter().chain(of("redis-data", "master_replid"))
}

/// Whether both are one server, or one is a replica of the other.
pub(crate) fn is_same(one: &Server, other: &Server) -> bool {
    let others: Vec<_> = known_by(other).collect();
    known_by(one).any(|id| others.contains(&id))
}

impl RedisStore {
    /// The logical databases of the data set, each by all that it is known by, and its address.
    pub(crate) fn parts_of_servers(&self, context: &Context) -> Result<BTreeMap<String, String>> {
        let mut parts = BTreeMap::new();
        for (at, _, server) in self.connect_all(context)? {
            for named in &at.databases {
                let address = format!("{}/{}", at.address.endpoint(), named.database);
                parts.extend(known_by(&server).map(|id| (format!("{id}/{}", named.database), address.clone())));
            }
        }
        Ok(parts)
    }
}
