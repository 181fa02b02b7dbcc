//! A line: the door for the client, the way to the server, and the threads between.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plan::error::During;
use plan::ports::StopFlag;
use plan::{Error, Result};
use rustls::{ClientConnection, StreamOwned};
use socket2::{SockRef, TcpKeepalive};
use tempfile::TempDir;

use crate::end::End;
use crate::guard::Waiting;
use crate::pump;
use crate::state::State;
use crate::watchdog::{self, Peer};

/// A machine that is gone, and a way that forgot the connection, are noticed by these while nobody says anything.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const PROBE_INTERVAL: Duration = Duration::from_secs(15);

/// How long somebody waits without a byte moving, when nobody says otherwise.
const QUIET: Duration = Duration::from_secs(60);

/// How long things may take, and who may stop them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection over TCP.
    pub connect: Duration,
    /// How long somebody waits without a byte moving before the server is asked what it does.
    pub quiet: Duration,
    /// How long asking may take.
    pub ask: Duration,
    /// Raised by a signal.
    pub stop: StopFlag,
}

impl Limits {
    /// The limits of a line whose silence is ended after so long.
    #[must_use]
    pub fn new(quiet: Duration, stop: StopFlag) -> Self {
        Self { connect: Duration::from_secs(10), quiet, ask: quiet.clamp(Duration::from_secs(3), Duration::from_secs(10)), stop }
    }

    /// For a connection that asks about another one: short, and not ended by the signal that ends that one.
    #[must_use]
    pub fn of_asking(limit: Duration) -> Self {
        Self { connect: limit / 2, quiet: limit / 2, ask: limit, stop: StopFlag::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(QUIET, StopFlag::default())
    }
}

/// Begins a connection of a client that leaves TLS to this side: speaks with both until the rest is theirs.
pub trait Opening: Send + Sync {
    /// The stream to the server, from which on everything is passed through; `None` when the client has had its answer, or has gone.
    ///
    /// # Errors
    /// When the server's certificate is not taken, or either end does not speak the protocol.
    fn open(&self, client: &End, server: TcpStream) -> Result<Option<StreamOwned<ClientConnection, TcpStream>>>;
}

/// Where the client connects to.
#[derive(Debug, Clone)]
pub enum Door {
    /// A port of 127.0.0.1.
    Port(u16),
    /// A socket in a folder that only this user enters.
    Socket(PathBuf),
}

/// A way to one server. Dropping it ends its connections.
pub struct Line {
    state: Arc<State>,
    door: Door,
    _folder: Option<TempDir>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

struct Route {
    host: String,
    port: u16,
    opening: Option<Arc<dyn Opening>>,
    limits: Limits,
}

impl Line {
    /// A door on loopback; everything passes as it is, TLS too.
    ///
    /// # Errors
    /// [`plan::Class::Transient`] when the server cannot be reached.
    pub fn open(host: &str, port: u16, limits: &Limits) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(|| "listen on loopback".to_owned())?;
        let door = Door::Port(listener.local_addr().during(|| "listen on loopback".to_owned())?.port());
        Self::start(Route { host: host.to_owned(), port, opening: None, limits: limits.clone() }, Listener::Tcp(listener), door, None)
    }

    /// A door in a folder of its own; TLS ends on this side.
    ///
    /// # Errors
    /// As [`Line::open`].
    pub fn ending_tls(host: &str, port: u16, limits: &Limits, opening: Arc<dyn Opening>) -> Result<Self> {
        // Made for this user alone.
        let folder = tempfile::Builder::new().prefix("line-").tempdir().during(|| "make a folder for a socket".to_owned())?;
        let path = folder.path().join("sock");
        let listener = UnixListener::bind(&path).during(|| format!("listen on {}", path.display()))?;
        let route = Route { host: host.to_owned(), port, opening: Some(opening), limits: limits.clone() };
        Self::start(route, Listener::Unix(listener), Door::Socket(path), Some(folder))
    }

    fn start(route: Route, listener: Listener, door: Door, folder: Option<TempDir>) -> Result<Self> {
        let shown =
            if route.host.contains(':') { format!("[{}]:{}", route.host, route.port) } else { format!("{}:{}", route.host, route.port) };
        let state = Arc::new(State::new(shown));
        // The first connection is made here: whoever opens the line is told what is wrong.
        let first = connect(&route).map_err(|error| unreachable(&state.server, error))?;
        let (watched, limits) = (Arc::clone(&state), route.limits.clone());
        std::thread::spawn(move || watchdog::watch(&watched, &limits));
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || accept(&accepting, &listener, &Arc::new(route), first));
        Ok(Self { state, door, _folder: folder })
    }

    /// Where the client connects to.
    #[must_use]
    pub const fn door(&self) -> &Door {
        &self.door
    }

    /// The port, of a line with one; 0 otherwise.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match &self.door {
            Door::Port(port) => *port,
            Door::Socket(_) => 0,
        }
    }

    /// Somebody waits for the server, as long as that lives.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        Waiting::new(&self.state)
    }

    /// Whom to ask before a silent line is cut.
    pub fn set_peer(&self, peer: Arc<dyn Peer>) {
        self.state.set_peer(peer);
    }

    /// An error that came over the line: when the line was cut, that is what it means.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        match self.state.fault() {
            Some(fault) => fault.during(error.to_string()),
            None => error,
        }
    }

    /// Why the line was cut, if it was.
    #[must_use]
    pub fn fault(&self) -> Option<Error> {
        self.state.fault()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // What the client said last still goes to the server.
        self.state.release();
        // Wakes the thread that accepts; where nobody listens any more, it has ended.
        match &self.door {
            Door::Port(port) => drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port))),
            Door::Socket(path) => drop(UnixStream::connect(Path::new(path))),
        }
    }
}

fn accept(state: &Arc<State>, listener: &Listener, route: &Arc<Route>, first: TcpStream) {
    let mut first = Some(first);
    while !state.is_released() {
        let accepted = match listener {
            Listener::Tcp(listener) => listener.accept().map(|(socket, _)| End::Tcp(socket)),
            Listener::Unix(listener) => listener.accept().map(|(socket, _)| End::Unix(socket)),
        };
        let Ok(client) = accepted else { continue };
        if state.is_released() {
            return;
        }
        state.begin_connection();
        let (state, route, ready) = (Arc::clone(state), Arc::clone(route), first.take());
        // What fails is in the state; the client sees its connection end.
        std::thread::spawn(move || {
            drop(carry(&state, &route, &client, ready));
            state.end_connection();
        });
    }
}

fn carry(state: &Arc<State>, route: &Route, client: &End, ready: Option<TcpStream>) -> io::Result<()> {
    if let End::Tcp(socket) = client {
        socket.set_nodelay(true)?;
    }
    let server = match ready {
        Some(server) => server,
        None => {
            connect(route).inspect_err(|error| state.cut(&unreachable(&state.server, io::Error::new(error.kind(), error.to_string()))))?
        }
    };
    state.keep([client.try_clone()?, End::Tcp(server.try_clone()?)]);
    match &route.opening {
        None => pump::plain(state, client, &End::Tcp(server)),
        Some(opening) => match opening.open(client, server) {
            Ok(Some(stream)) => pump::secured(state, client, stream),
            Ok(None) => {}
            Err(error) => state.cut(&error),
        },
    }
    Ok(())
}

fn connect(route: &Route) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (route.host.as_str(), route.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, route.limits.connect) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(PROBE_INTERVAL);
                SockRef::from(&socket).set_tcp_keepalive(&keep_alive)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unreachable(server: &str, error: io::Error) -> Error {
    Error::transient(format!("cannot reach {server}")).because(error).hint("Check that the server runs and that the address is right.")
}
