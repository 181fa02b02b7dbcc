//! Ports of pods, forwarded to a port of this machine's loopback: for programs and libraries that want an address.
//!
//! Each connection is a WebSocket of its own, to whichever pod is there at that moment. It ends here as it ended there: what broke is reset, so that nobody
//! takes the bytes that came for all there were.

mod relay;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use plan::{Class, Error, Result};
use tokio::net::{TcpListener, TcpStream};

use super::client::Cluster;
use super::request::{Line, path_in};
use super::target::{Target, find_port};
use super::websocket;

/// The one protocol that every kubelet knows.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// What went wrong with a connection over there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    at: Instant,
    class: Class,
    what: String,
    hints: Vec<String>,
}

impl Trouble {
    fn new(class: Class, what: String, hints: Vec<String>) -> Self {
        Self { at: Instant::now(), class, what, hints }
    }

    /// As an error: [`Class::Refused`] where the API server forwards nothing for this user, else [`Class::Transient`].
    #[must_use]
    pub fn error(&self) -> Error {
        self.hints.iter().cloned().fold(Error::new(self.class, self.what.clone()), Error::hint)
    }
}

/// A forwarded port. Dropping it ends its connections.
pub struct Forward {
    address: SocketAddr,
    trouble: Arc<Mutex<Option<Trouble>>>,
    tasks: Option<tokio::task::JoinHandle<()>>,
    /// Keeps the runtime that carries the connections.
    _cluster: Cluster,
}

impl Forward {
    /// Where to connect to: 127.0.0.1 and a port that was free.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What last went wrong with a connection over there, when that was not before `since`: the client that was cut off knows less.
    #[must_use]
    pub fn trouble(&self, since: Instant) -> Option<Trouble> {
        self.trouble.lock().map_or(None, |trouble| trouble.clone()).filter(|trouble| trouble.at >= since)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.take() {
            tasks.abort();
        }
    }
}

impl Cluster {
    /// Forwards a port of a pod (of a Service: the Service's port) to a loopback port.
    ///
    /// # Errors
    /// When there is no such pod, or no port is free here. Whether the pod listens is seen at the first connection.
    pub fn forward(&self, target: &Target, port: u16) -> Result<Forward> {
        // An error now is clearer than one at the first connection.
        let (line, wanted) = (self.line(), target.clone());
        self.run(async move { Ok(find_port(&line, &wanted, port).await) })??;
        let listener = self.run(async { Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await) })?;
        let failed = |error: std::io::Error| Error::failed("no loopback port can be had to forward to").because(error);
        let listener = listener.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let trouble = Arc::new(Mutex::new(None));
        let way = Arc::new(Way { line: self.line(), target: target.clone(), port, trouble: Arc::clone(&trouble), stall: self.stall() });
        let tasks = self.handle().spawn(accept(listener, way));
        Ok(Forward { address, trouble, tasks: Some(tasks), _cluster: self.clone() })
    }
}

/// Where connections go.
struct Way {
    line: Line,
    target: Target,
    port: u16,
    trouble: Arc<Mutex<Option<Trouble>>>,
    stall: std::time::Duration,
}

impl Way {
    fn broken(&self, why: String) -> Trouble {
        Trouble::new(Class::Transient, format!("a connection to port {} of {} broke: {why}", self.port, self.target), Vec::new())
    }

    fn tell(&self, what: Trouble) {
        ::log::debug!("forwarding to port {} of {}: {}", self.port, self.target, what.what);
        if let Ok(mut trouble) = self.trouble.lock() {
            *trouble = Some(what);
        }
    }
}

async fn accept(listener: TcpListener, way: Arc<Way>) {
    // Dropped with this task, and with it all connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((local, _)) => {
                    connections.spawn(connect(local, Arc::clone(&way)));
                }
                // Out of descriptors: those in use will end.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, from its beginning to its end.
async fn connect(local: TcpStream, way: Arc<Way>) {
    local.set_nodelay(true).ok();
    let opened = async {
        let (pod, port) = find_port(&way.line, &way.target, way.port).await?;
        let path = format!("{}/portforward?ports={port}", path_in(way.target.namespace(), "v1", "pods", Some(&pod.name)));
        Ok::<_, Error>(websocket::open(&way.line, &path, PROTOCOL).await?)
    };
    match opened.await {
        Ok(socket) => relay::relay(local, socket, &Arc::new(websocket::Alive::new(way.stall)), |why| way.tell(way.broken(why))).await,
        Err(error) => {
            let class = if error.class() == Class::Refused { Class::Refused } else { Class::Transient };
            way.tell(Trouble::new(class, error.chain(), error.hints().to_vec()));
            relay::reset(&local);
        }
    }
}

#[cfg(test)]
mod tests;
