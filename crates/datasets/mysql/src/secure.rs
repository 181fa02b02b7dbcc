//! TLS towards MySQL ends in our line, not in the client library: one verifier for all stores, and a file with a CA means that CA and no other.
//!
//! To the library the line is a socket of this machine, whose server has no TLS to offer and to which a password may be told; to the server it is a client that
//! asks for TLS after the greeting. Until the login is over, packets are numbered anew: the server has seen one more than the library has sent.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use line::{End, Opening};
use plan::{Error, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::address::Address;

/// `CLIENT_SSL` in the second byte of the capabilities.
const TLS_FLAG: u8 = 0x08;
/// Capabilities, size of packets, character set, filler: what a client says before TLS.
const REQUEST_BYTES: usize = 32;
/// A login needs no larger packet.
const PACKET_MAX_BYTES: usize = 1 << 20;

/// See the module.
pub(crate) struct EndsTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    server: String,
    /// Whether the server is there and no TLS came about.
    had_none: AtomicBool,
}

impl EndsTls {
    /// # Errors
    /// [`plan::Class::Refused`] when a file cannot be used.
    pub(crate) fn new(address: &Address) -> Result<Self> {
        let (config, name) = (tls::client_config(&address.tls)?, tls::server_name(&address.host)?);
        Ok(Self { config, name, server: address.server(), had_none: AtomicBool::new(false) })
    }

    /// Whether the server offered no TLS, or none that both could speak.
    pub(crate) fn had_none(&self) -> bool {
        self.had_none.load(Ordering::SeqCst)
    }

    fn broke(&self, error: io::Error) -> Error {
        match tls::of(&error, format!("no TLS connection with {}", self.server)) {
            Some(refused) => {
                self.had_none.store(true, Ordering::SeqCst);
                refused
            }
            None => Error::transient(format!("{} broke off the login", self.server)).because(error),
        }
    }

    fn refuse(&self, what: &str) -> Error {
        Error::refused(format!("{} {what}", self.server))
    }

    /// What the client does is its own affair: it has an error of its own when it goes.
    fn speak(&self, mut client: &End, mut server: TcpStream) -> Result<Option<StreamOwned<ClientConnection, TcpStream>>> {
        let mut greeting = Packet::read(&mut server).map_err(|error| self.broke(error))?;
        if greeting.is_error() {
            return Ok(greeting.write(&mut client).ok().and(None));
        }
        let offers = greeting.take_tls().ok_or_else(|| self.refuse("does not speak the protocol of MySQL"))?;
        if !offers {
            self.had_none.store(true, Ordering::SeqCst);
            return Err(self.refuse("offers no TLS").hint("Give the server a certificate, or set mode = \"disable\" in the TLS options."));
        }
        if greeting.write(&mut client).is_err() {
            return Ok(None);
        }
        let Ok(mut answer) = Packet::read(&mut client) else { return Ok(None) };
        let request = answer.ask_for_tls().ok_or_else(|| self.refuse("was answered with a packet that is too short"))?;
        request.write(&mut server).map_err(|error| self.broke(error))?;
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| self.refuse("cannot be spoken to in TLS").because(error))?;
        let mut stream = StreamOwned::new(connection, server);
        answer.renumbered(1).write(&mut stream).map_err(|error| self.broke(error))?;
        loop {
            let said = Packet::read(&mut stream).map_err(|error| self.broke(error))?;
            let (is_last, wants_answer) = (said.is_last(), said.wants_answer());
            if said.renumbered(u8::MAX).write(&mut client).is_err() {
                return Ok(None);
            }
            if is_last {
                return Ok(Some(stream));
            }
            if wants_answer {
                let Ok(answer) = Packet::read(&mut client) else { return Ok(None) };
                answer.renumbered(1).write(&mut stream).map_err(|error| self.broke(error))?;
            }
        }
    }
}

impl Opening for EndsTls {
    fn open(&self, client: &End, server: TcpStream) -> Result<Option<StreamOwned<ClientConnection, TcpStream>>> {
        self.speak(client, server)
    }
}

/// A packet of a login.
struct Packet {
    number: u8,
    body: Vec<u8>,
}

impl Packet {
    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 4];
        from.read_exact(&mut head)?;
        let [a, b, c, number] = head;
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        if length > PACKET_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet of a login is too long"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Ok(Self { number, body })
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let [a, b, c, _] = u32::try_from(self.body.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut bytes = vec![a, b, c, self.number];
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes)?;
        to.flush()
    }

    fn renumbered(self, more: u8) -> Self {
        Self { number: self.number.wrapping_add(more), ..self }
    }

    fn is_error(&self) -> bool {
        self.body.first() == Some(&0xff)
    }

    /// OK or an error.
    fn is_last(&self) -> bool {
        matches!(self.body.first(), Some(0x00 | 0xff))
    }

    /// All but the word that a cached password fitted, which OK follows.
    fn wants_answer(&self) -> bool {
        !self.body.starts_with(&[0x01, 0x03])
    }

    /// Whether a greeting offers TLS; it does not any more. `None` when it is no greeting.
    fn take_tls(&mut self) -> Option<bool> {
        // Protocol, version and its end, thread, 8 bytes of a challenge, filler; then the capabilities.
        let version = self.body.get(1..)?.iter().position(|byte| *byte == 0)?;
        let flags = self.body.get_mut(1 + version + 1 + 4 + 8 + 1 + 1)?;
        let offers = *flags & TLS_FLAG != 0;
        *flags &= !TLS_FLAG;
        Some(offers)
    }

    /// Asks for TLS in a client's answer, and gives the packet that says so alone. `None` when it is too short.
    fn ask_for_tls(&mut self) -> Option<Self> {
        *self.body.get_mut(1)? |= TLS_FLAG;
        Some(Self { number: self.number, body: self.body.get(..REQUEST_BYTES)?.to_vec() })
    }
}
