//! By way of sentinels: they are asked where the server is, and what they name is looked at before it is believed
//! ([the protocol for clients](https://redis.io/docs/latest/develop/reference/sentinel-clients/)).
//!
//! A sentinel may be dead, cut off from the others, or behind a failover. So what most of them name is tried first, and a server that is not what was asked for
//! is left for the next; when there is none, every sentinel and every server is told with its reason.

use std::time::Duration;

use plan::{Class, Error, Result};
use tls::Tls;

use super::{Connection, Limits, Reply, is_forbidden, open};
use crate::address::{Address, Endpoint, SentinelAt, Sentinels};

/// Others may know it: a dead sentinel is not waited for as long as a server.
const CONNECT: Duration = Duration::from_secs(3);

/// Asks sentinels, connects to the server that they name, and logs in there.
pub(super) fn open(group: &str, address: &Address, sentinels: &Sentinels, limits: &Limits) -> Result<Connection> {
    let mut search = Search { group, address, sentinels, limits, named: Vec::new(), told: Vec::new() };
    let mut hosts = sentinels.hosts.iter();
    loop {
        while !search.agreed() {
            let Some(at) = hosts.next() else { break };
            search.ask(at)?;
        }
        let Some(position) = search.best() else { return Err(search.nowhere()) };
        if let Some(connection) = search.attempt(position)? {
            return Ok(connection);
        }
    }
}

/// A server that sentinels have named.
struct Named {
    at: Endpoint,
    by: usize,
    is_tried: bool,
}

struct Search<'a> {
    group: &'a str,
    address: &'a Address,
    sentinels: &'a Sentinels,
    limits: &'a Limits,
    named: Vec<Named>,
    /// What did not lead there, and of which class it was.
    told: Vec<(Class, String)>,
}

impl Search<'_> {
    /// Whether most of all sentinels name a server that was not tried yet.
    fn agreed(&self) -> bool {
        self.named.iter().any(|named| !named.is_tried && named.by > self.sentinels.hosts.len() / 2)
    }

    /// The server named by most, of those that were not tried; of several the one that was named first.
    fn best(&self) -> Option<usize> {
        let open = self.named.iter().enumerate().filter(|(_, named)| !named.is_tried);
        open.max_by_key(|(position, named)| (named.by, std::cmp::Reverse(*position))).map(|(position, _)| position)
    }

    /// A sentinel that gives no answer is noted; a stop ends the search.
    fn ask(&mut self, at: &SentinelAt) -> Result<()> {
        let place = Endpoint::Tcp(at.host.clone(), at.port);
        match self.answer(&place, at) {
            Ok(servers) if servers.is_empty() => {
                let what = if self.sentinels.master { "does not know" } else { "knows no usable replica of" };
                self.told.push((Class::Refused, format!("sentinel {place} {what} the group {:?}", self.group)));
            }
            Ok(servers) => servers.into_iter().for_each(|server| match self.named.iter_mut().find(|named| named.at == server) {
                Some(named) => named.by += 1,
                None => self.named.push(Named { at: server, by: 1, is_tried: false }),
            }),
            Err(error) => self.note(&format!("sentinel {place}"), error)?,
        }
        Ok(())
    }

    fn answer(&self, place: &Endpoint, at: &SentinelAt) -> Result<Vec<Endpoint>> {
        let Sentinels { tls, user, password, master, .. } = self.sentinels;
        let plain = Tls::default();
        let tls = if self.address.tls.is_on() || at.speaks_tls { tls } else { &plain };
        let limits = Limits { connect: self.limits.connect.min(CONNECT), ..self.limits.clone() };
        let mut connection = open::connect(place, tls, self.address.dial.as_ref(), &limits)?;
        connection.login(user.as_deref(), password.as_ref())?;
        let group = self.group.as_bytes();
        if *master {
            let found = connection.call(&[b"SENTINEL", b"get-master-addr-by-name", group])?.list();
            let [host, port] = found.as_slice() else { return Ok(Vec::new()) };
            return Ok(port.text().parse().ok().map(|port| Endpoint::Tcp(host.text(), port)).into_iter().collect());
        }
        let replicas = connection.call(&[b"SENTINEL", b"slaves", group])?.list();
        Ok(replicas.iter().filter_map(usable).collect())
    }

    /// Connects to a server that was named; `None` when it is not what it was named as, or cannot be used.
    fn attempt(&mut self, position: usize) -> Result<Option<Connection>> {
        let Some(named) = self.named.get_mut(position) else { return Ok(None) };
        named.is_tried = true;
        let at = named.at.clone();
        let opened = Connection::open_at(&at, self.address, self.limits).and_then(|mut connection| {
            let role = role(&mut connection)?;
            Ok((connection, role))
        });
        let wanted = if self.sentinels.master { "master" } else { "slave" };
        match opened {
            // Who may not ask takes the sentinels' word.
            Ok((connection, role)) if role.as_deref().is_none_or(|role| role == wanted) => Ok(Some(connection)),
            Ok(_) if self.sentinels.master => {
                self.told.push((Class::Transient, format!("{at} is named as the master and is a replica: a failover may be under way")));
                Ok(None)
            }
            Ok(_) => {
                self.told.push((Class::Transient, format!("{at} is named as a replica and is a master: a failover may be under way")));
                Ok(None)
            }
            Err(error) => self.note(&format!("{at}, which they name"), error).map(|()| None),
        }
    }

    fn note(&mut self, who: &str, error: Error) -> Result<()> {
        // A person has stopped the program: nothing else is to be tried.
        if self.limits.stops.iter().any(|stop| stop.check().is_err()) {
            return Err(error);
        }
        self.told.push((error.class(), format!("{who}: {}", error.chain())));
        Ok(())
    }

    /// What was tried. Of what a person has to mend and what may pass by itself, the former is told: waiting would not help.
    fn nowhere(self) -> Error {
        let is_refused = self.told.iter().any(|(class, _)| *class == Class::Refused);
        let class = if is_refused { Class::Refused } else { Class::Transient };
        let reasons: Vec<_> = self.told.into_iter().map(|(_, reason)| reason).collect();
        let wanted = if self.sentinels.master { "the master" } else { "a replica" };
        let error = Error::new(class, format!("sentinels lead to no server: {}", reasons.join("; ")));
        error.during(format!("{wanted} of the group {:?} cannot be reached", self.group)).hint(
            "The host of the address is the group's name (`redis-cli -p 26379 SENTINEL masters` lists them). The login at the sentinels is not the server's: it stands \
             in the list of hosts (redis://user:password@host:port), or in the …SENTINEL_USERNAME and …SENTINEL_PASSWORD of the Secret.",
        )
    }
}

/// A replica that the sentinel thinks is well.
fn usable(replica: &Reply) -> Option<Endpoint> {
    let field = |name: &str| replica.field(name).map(Reply::text);
    let is_well = field("flags").is_some_and(|flags| !flags.contains("down") && !flags.contains("disconnected"));
    let at = Endpoint::Tcp(field("ip")?, field("port")?.parse().ok()?);
    is_well.then_some(at)
}

/// `master` or `slave`, as the server itself says; `None` when this user may not know.
fn role(connection: &mut Connection) -> Result<Option<String>> {
    match connection.ask(&[b"INFO", b"replication"])? {
        Reply::Error(text) if is_forbidden(&text) => {}
        Reply::Error(text) => return Err(super::refusal(&text)),
        told => return Ok(told.text().lines().find_map(|line| line.trim_end().strip_prefix("role:").map(str::to_owned))),
    }
    // What 3scale's own user may ask.
    let told = connection.ask(&[b"ROLE"])?;
    Ok(told.list().first().map(Reply::text))
}
