//! Whether a kept data set can go into these servers: versions, names, modules, cluster, memory, functions.

use std::collections::{BTreeMap, BTreeSet};

use plan::Result;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, Problem, Road, Severity};

use super::limits::limits_fit;
use super::modules::modules_fit;
use super::pieces;
use super::place::Method;
use super::{RedisStore, ServerAt};
use crate::connection::Connection;
use crate::dump::rdb_version;
use crate::rdb::Format;
use crate::server::Server;

impl RedisStore {
    pub(crate) fn fits_into(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let facts = &kept.evidence.facts;
        if kept.kind != plan::ports::StoreKind::Redis {
            problems.push(Problem::new(Severity::Blocks, format!("the set holds a data set of kind {}, this is Redis", kept.kind)));
            return Ok(problems);
        }
        self.names_fit(kept, &mut problems);
        let (_, shut) = self.shut_doors(context)?;
        if !shut.is_empty() {
            problems.extend(shut);
            return Ok(problems);
        }
        let number = |name: &str| facts.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let mut may_in_pieces = true;
        for (at, mut connection, server) in self.connect_all(context)? {
            may_in_pieces &= pieces::may(&mut connection)?;
            for version in versions(facts, at) {
                let format = version.parse().ok().map(Format::of_version);
                if !format.is_some_and(|format| server.accepts(format)) {
                    let text = format!("{} is {server}, which cannot load RDB version {version} ({})", at.address.endpoint(), kept.store);
                    problems.push(
                        Problem::new(Severity::Blocks, text)
                            .way_out("Restore into a server of the same or a newer version of the same product."),
                    );
                }
            }
            state_problems(at, &server, &mut problems);
            modules_fit(at, &server, facts, &mut problems);
            if number("functions") > 0 {
                self.functions_fit(context, at, &server, facts, &mut problems)?;
            }
            limits_fit(at, &mut connection, number("largest-value-bytes"), &mut problems)?;
            if road == Road::SideCopy {
                self.databases(context, at, &mut connection, &mut problems)?;
                self.beside_is_allowed(context, at, &server, self.rest_of(kept, road).is_some(), &mut problems)?;
            }
        }
        self.standstill(kept, road, may_in_pieces, &mut problems);
        let mut by_file = false;
        if road == Road::InPlace {
            let (method, found) = self.in_place_method(context)?;
            by_file = method == Method::File;
            problems.extend(found);
            problems.extend(self.by_class_fits(method));
        }
        // A server that is restarted with another file holds one copy.
        if !by_file {
            self.room(context, kept, road, &mut problems)?;
        }
        Ok(problems)
    }

    /// Empty databases.
    fn databases(&self, context: &Context, at: &ServerAt, connection: &mut Connection, problems: &mut Vec<Problem>) -> Result<()> {
        let endpoint = at.address.endpoint();
        let (text, way_out) = match self.free_databases(context, at, connection) {
            Ok(free) if free.len() >= at.databases.len() => return Ok(()),
            Ok(free) => (
                format!(
                    "{endpoint} has {} empty logical databases, {} are needed for a copy beside the live data",
                    free.len(),
                    at.databases.len()
                ),
                "Raise `databases` in its configuration, or restore with --in-place.",
            ),
            Err(error) => {
                context.stop.check()?;
                let text = format!("nobody can say which empty databases of {endpoint} are live: {}", error.chain());
                (text, "See to it that the other data set can be reached, or restore with --in-place.")
            }
        };
        problems.push(Problem::new(Severity::Blocks, text).way_out(way_out));
        Ok(())
    }

    fn names_fit(&self, kept: &KeptDataSet, problems: &mut Vec<Problem>) {
        let own: Vec<&str> = self.servers.iter().flat_map(|server| &server.databases).map(|named| named.name.as_str()).collect();
        let in_set: Vec<&str> = kept.evidence.facts.keys().filter_map(|fact| fact.strip_prefix("folder.")).collect();
        for name in in_set.iter().filter(|name| !own.contains(name)) {
            let text = format!("the set has the database {name:?} of {}, for which there is no address", self.name);
            problems.push(Problem::new(Severity::Blocks, text).way_out("Add its address to the configuration."));
        }
        for name in own.iter().filter(|name| !in_set.contains(name)) {
            problems.push(Problem::new(Severity::Blocks, format!("the set has no database {name:?} of {}", self.name)));
        }
    }
}

/// The RDB versions of the files that go into a server.
fn versions<'a>(facts: &'a BTreeMap<String, String>, at: &ServerAt) -> BTreeSet<&'a str> {
    let own: BTreeSet<&str> = at.databases.iter().filter_map(|named| facts.get(&rdb_version(&named.name))).map(String::as_str).collect();
    if own.is_empty() { facts.get("rdb-version").map_or("", String::as_str).split(", ").collect() } else { own }
}

/// States in which nothing can be restored.
pub(crate) fn state_problems(at: &ServerAt, server: &Server, problems: &mut Vec<Problem>) {
    let endpoint = at.address.endpoint();
    if server.number("cluster_enabled") == 1 {
        let text = format!("{endpoint} is in cluster mode, which 3scale does not support and which has no logical databases");
        problems.push(Problem::new(Severity::Blocks, text).way_out("Give the address of a server that is not in cluster mode."));
    }
    if server.field("role") == "slave" {
        let text = format!("{endpoint} is a replica: it cannot be written");
        problems.push(Problem::new(Severity::Blocks, text).way_out("Give the address of the master."));
    }
    if server.number("aof_enabled") == 1 && server.field("aof_last_write_status") == "err" {
        problems.push(Problem::new(Severity::Blocks, format!("{endpoint} cannot write its AOF")).way_out("Look at its disk and its log."));
    }
}
