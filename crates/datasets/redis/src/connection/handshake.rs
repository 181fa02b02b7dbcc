//! The handshake of TLS, done before anything else: a server without TLS waits for the end of a line, and would wait for ever. And who is spoken to in the wrong way
//! is told from who is not there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use plan::ports::StopFlag;
use plan::{Error, Result};
use rustls::{ClientConnection, StreamOwned};
use tls::Tls;

use super::Limits;

/// For the answer to a question that tells which of the two a port speaks.
const ANSWER: Duration = Duration::from_secs(2);
/// First bytes of a TLS server's answer (RFC 8446, 5.1): an alert, a handshake.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Speaks until both sides are ready. The socket's own timeouts are short: the stop flag is looked at in between.
pub(super) fn finish(stream: &mut StreamOwned<ClientConnection, TcpStream>, peer: &str, limits: &Limits) -> Result<()> {
    let begin = Instant::now();
    while stream.conn.is_handshaking() {
        let Err(error) = stream.conn.complete_io(&mut stream.sock) else { continue };
        if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted) {
            return Err(tls::of(&error, format!("TLS with {peer} failed"))
                .unwrap_or_else(|| Error::transient(format!("the connection to {peer} broke while TLS was set up")).because(error)));
        }
        limits.stops.iter().try_for_each(StopFlag::check)?;
        if begin.elapsed() >= limits.connect.min(limits.idle) {
            return Err(silent(stream, peer));
        }
    }
    Ok(())
}

fn silent(stream: &StreamOwned<ClientConnection, TcpStream>, peer: &str) -> Error {
    if speaks_plain(&stream.sock).unwrap_or(false) {
        return Error::refused(format!("{peer} speaks no TLS"))
            .hint("Use the server's TLS port, or write redis:// and leave the TLS mode out.");
    }
    Error::transient(format!("{peer} does not answer when TLS is asked for")).hint("See whether the server speaks TLS at this port.")
}

/// Whether the server answers to a question without secrets in plain text.
fn speaks_plain(socket: &TcpStream) -> io::Result<bool> {
    Ok(matches!(first_of_answer(socket.peer_addr()?, |to| to.write_all(b"PING\r\n"))?, b'+' | b'-'))
}

/// The first byte that comes back over a connection of its own.
fn first_of_answer(at: SocketAddr, ask: impl FnOnce(&mut TcpStream) -> io::Result<()>) -> io::Result<u8> {
    let mut socket = TcpStream::connect_timeout(&at, ANSWER)?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.set_write_timeout(Some(ANSWER))?;
    ask(&mut socket)?;
    let mut first = [0];
    socket.read_exact(&mut first)?;
    let [first] = first;
    Ok(first)
}

/// Whom plain text was sent to.
pub(super) struct Asked {
    at: SocketAddr,
    host: String,
}

impl Asked {
    pub(super) const fn new(at: SocketAddr, host: String) -> Self {
        Self { at, host }
    }

    /// An error before the first answer: whoever speaks TLS only breaks off there, and would do so for ever.
    pub(super) fn explain(&self, peer: &str, error: Error) -> Error {
        if self.speaks_tls().unwrap_or(false) {
            return Error::refused(format!("{peer} speaks TLS, and was asked in plain text"))
                .because(error)
                .hint("Write rediss:// instead of redis:// in its address, or set a TLS mode: tls = { mode = \"verify-full\" }.");
        }
        error.hint(format!("{peer} broke off before its first answer: see whether it is Redis that listens there, and in plain text."))
    }

    /// Whether the beginning of a handshake is answered as TLS answers.
    fn speaks_tls(&self) -> Result<bool> {
        let said = |error: io::Error| Error::transient("failed to ask for TLS").because(error);
        let mut client = ClientConnection::new(tls::client_config(&Tls::default())?, tls::server_name(&self.host)?)
            .map_err(|error| Error::refused("set up TLS").because(error))?;
        let first = first_of_answer(self.at, |to| client.write_tls(to).map(drop)).map_err(said)?;
        Ok(matches!(first, ALERT | HANDSHAKE))
    }
}
