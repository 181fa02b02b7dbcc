//! Ports of pods, forwarded to a port of this machine's loopback: for programs and libraries that want an address.
//!
//! Each connection is a WebSocket of its own, to whichever pod is there at that moment. It ends here as it ended there: what broke is reset, so that nobody
//! takes the bytes that came for all there were.

mod relay;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use plan::{Error, Result};
use tokio::net::{TcpListener, TcpStream};

use super::client::Cluster;
use super::request::{Line, path_in};
use super::target::{Target, find_port};
use super::websocket;

/// The one protocol that every kubelet knows.
const PROTOCOL: &str = "v4.channel.k8s.io";

/// A forwarded port. Dropping it ends its connections.
pub struct Forward {
    address: SocketAddr,
    trouble: Arc<Mutex<Option<String>>>,
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

    /// What last went wrong with a connection over there: the client that was cut off knows less.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().map_or(None, |trouble| trouble.clone())
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
    trouble: Arc<Mutex<Option<String>>>,
    stall: std::time::Duration,
}

impl Way {
    fn tell(&self, what: String) {
        ::log::debug!("forwarding to port {} of {}: {what}", self.port, self.target);
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
        Ok(socket) => relay::relay(local, socket, &Arc::new(websocket::Alive::new(way.stall)), |why| way.tell(why)).await,
        Err(error) => {
            way.tell(error.hints().first().map_or_else(|| error.chain(), |hint| format!("{} ({hint})", error.chain())));
            relay::reset(&local);
        }
    }
}

#[cfg(test)]
mod tests;
