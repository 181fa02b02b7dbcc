//! Opening a connection: TCP, unix socket, TLS, login; by way of sentinels, where there are any.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use plan::{Error, Result};
use rustls::{ClientConnection, StreamOwned};
use secrecy::{ExposeSecret, SecretString};
use tls::Tls;

use super::{Connection, Limits, Reply, handshake, sentinel};
use crate::address::{Address, Dial, Endpoint};

/// Reads and writes give up this often to look at the stop flag.
const TICK: Duration = Duration::from_millis(500);

/// The bytes' way to the server.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Connection {
    /// Connects and logs in. The database of the address is selected by whoever needs it.
    ///
    /// # Errors
    /// [`plan::Class::Transient`] when the server cannot be reached, [`plan::Class::Refused`] when it refuses the login.
    pub(crate) fn open(address: &Address, limits: &Limits) -> Result<Self> {
        match (&address.endpoint, &address.sentinels) {
            (Endpoint::Group(group), Some(sentinels)) => sentinel::open(group, address, sentinels, limits),
            (endpoint, _) => Self::open_at(endpoint, address, limits),
        }
    }

    /// At this very server.
    pub(super) fn open_at(endpoint: &Endpoint, address: &Address, limits: &Limits) -> Result<Self> {
        let mut connection = connect(endpoint, &address.tls, address.dial.as_ref(), limits)?;
        connection.login(address.user.as_deref(), address.password.as_ref())?;
        // Refusing the name is fine; refusing the connection is not.
        match connection.ask(&[b"CLIENT", b"SETNAME", crate::CLIENT_NAME.as_bytes()])? {
            Reply::Error(text) if is_turned_away(&text) => Err(turned_away(&connection.peer, &text)),
            _ => Ok(connection),
        }
    }

    pub(super) fn login(&mut self, user: Option<&str>, password: Option<&SecretString>) -> Result<()> {
        let Some(password) = password.map(|password| password.expose_secret().as_bytes()) else {
            if let Some(user) = user {
                // A user of the ACL who needs no password (`nopass`) takes any. Other clients do not log in at all then, so a refusal is none.
                if let Reply::Error(text) = self.ask(&[b"AUTH", user.as_bytes(), b""])?
                    && is_turned_away(&text)
                {
                    return Err(turned_away(&self.peer, &text));
                }
            }
            return Ok(());
        };
        let reply = match user {
            Some(user) => self.ask(&[b"AUTH", user.as_bytes(), password])?,
            None => self.ask(&[b"AUTH", password])?,
        };
        if let Reply::Error(text) = &reply
            && is_turned_away(text)
        {
            return Err(turned_away(&self.peer, text));
        }
        reply.ok().map_err(|error| error.in_class(plan::Class::Refused).during(format!("failed to log in to {}", self.peer)))?;
        Ok(())
    }
}

/// Whether a server has refused the connection itself, and closes it.
fn is_turned_away(text: &str) -> bool {
    text.starts_with("DENIED") || text.contains("max number of clients")
}

fn turned_away(peer: &str, text: &str) -> Error {
    let said = format!("{peer} refuses the connection: {text:?}");
    if text.starts_with("DENIED") {
        return Error::refused(said).hint("It is in protected mode: it has no password and takes connections from its own machine only. Connect from there, or give it a password and the password to the address.");
    }
    Error::transient(said).hint("All its connections are taken: try again later, or `redis-cli CONFIG SET maxclients …` raises their number; `redis-cli CLIENT LIST` says whose they are.")
}

/// Connects, without a login. TLS is held against the name that the server is known by, wherever it is dialled.
pub(super) fn connect(endpoint: &Endpoint, tls: &Tls, dial: Option<&Dial>, limits: &Limits) -> Result<Connection> {
    let unreachable = |error: io::Error| {
        Error::transient(format!("cannot reach Redis at {endpoint}")).because(error).hint("Check the address, and that the server runs.")
    };
    let mut asked = None;
    let stream = match endpoint {
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(unreachable)?;
            stream.set_read_timeout(Some(TICK)).and_then(|()| stream.set_write_timeout(Some(TICK))).map_err(unreachable)?;
            Stream::Unix(stream)
        }
        Endpoint::Group(name) => return Err(Error::failed(format!("nobody says where the group {name} is"))),
        Endpoint::Tcp(host, port) => {
            let (at, number) = match dial {
                Some(dial) => dial.lead(host, *port).map_err(|error| error.during(format!("cannot reach Redis at {endpoint}")))?,
                None => (host.clone(), *port),
            };
            let stream = connect_tcp(&at, number, limits.connect).map_err(unreachable)?;
            if !tls.is_on() {
                asked = stream.peer_addr().ok().map(|at| handshake::Asked::new(at, host.clone()));
                Stream::Tcp(stream)
            } else {
                let client = ClientConnection::new(tls::client_config(tls)?, tls::server_name(host)?)
                    .map_err(|error| Error::refused("set up TLS").because(error))?;
                let mut stream = StreamOwned::new(client, stream);
                handshake::finish(&mut stream, &endpoint.to_string(), limits)?;
                Stream::Tls(Box::new(stream))
            }
        }
    };
    Ok(Connection { unanswered: asked, ..Connection::over(stream, endpoint.to_string(), limits.clone()) })
}

fn connect_tcp(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TICK))?;
                stream.set_write_timeout(Some(TICK))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
