//! The handshake of TLS, done before anything else: a server without TLS waits for the end of a line, and would wait for ever.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use plan::ports::StopFlag;
use plan::{Error, Result};
use rustls::{ClientConnection, StreamOwned};

use super::Limits;

/// For the answer to a question in plain text.
const PLAIN_ANSWER: Duration = Duration::from_secs(2);

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
    let mut other = TcpStream::connect_timeout(&socket.peer_addr()?, PLAIN_ANSWER)?;
    other.set_read_timeout(Some(PLAIN_ANSWER))?;
    other.write_all(b"PING\r\n")?;
    let mut first = [0];
    other.read_exact(&mut first)?;
    Ok(matches!(first, [b'+' | b'-']))
}
