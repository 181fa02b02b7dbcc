//! TLS before a server that speaks none.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plan::error::During as _;
use plan::{Error, Result};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::Tls;

/// See the module; counts connections. Takes no new ones when this value ends.
pub struct TlsFront {
    port: u16,
    connections: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl TlsFront {
    /// Before a port of this machine, with the certificate that the files show.
    ///
    /// # Errors
    /// When the certificate cannot be used, or there is no port.
    pub fn before(server: u16, files: &Tls) -> Result<Self> {
        let config = server_config(files)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(|| "listen on loopback".to_owned())?;
        let port = listener.local_addr().during(|| "look at a port".to_owned())?.port();
        let (config, connections, is_over) = (Arc::new(config), Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counted, ends) = (Arc::clone(&connections), Arc::clone(&is_over));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), config) = (client, Arc::clone(&config)) else { continue };
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || drop(carry(client, server, config)));
            }
        });
        Ok(Self { port, connections, is_over })
    }

    /// Where it is.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that listens.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// A server's configuration with the certificate that the files show.
pub(crate) fn server_config(files: &Tls) -> Result<ServerConfig> {
    let (certificate, key) = files.server();
    let during = |error| Error::failed("failed to read a certificate of the lab").because(error);
    let chain = CertificateDer::pem_file_iter(certificate).map_err(during)?.collect::<std::result::Result<_, _>>().map_err(during)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(during)?;
    let unusable = |error| Error::failed("a certificate of the lab cannot be used").because(error);
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)
}

/// Turns about: what is there to read goes to the other side.
fn carry(client: TcpStream, server: u16, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    let tick = Some(Duration::from_millis(2));
    client.set_read_timeout(tick)?;
    server.set_read_timeout(tick)?;
    let mut secured = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, client);
    let mut buffer = vec![0; 64 << 10];
    let waits = |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    loop {
        match secured.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => server.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
        match server.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => secured.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if waits(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
