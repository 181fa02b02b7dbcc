//! A proxy before a server, as networks have them: it stops forwarding and keeps its connections, or cuts them, after so many bytes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use plan::Result;
use plan::error::During;

/// What happens when the bytes have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Connections stay open, new ones are accepted, and nothing passes any more.
    Freeze,
    /// Connections are closed, and new ones too.
    Cut,
}

struct Shared {
    /// Bytes that passed, both ways, of all connections.
    passed: AtomicU64,
    /// After so many there is trouble.
    limit: AtomicU64,
    trouble: Mutex<Trouble>,
    is_gone: AtomicBool,
    frozen: (Mutex<()>, Condvar),
}

/// Listens on a port of its own, and ends with the value.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Before a port of loopback; everything passes.
    ///
    /// # Errors
    /// When no port is free.
    pub fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(|| "listen on loopback".to_owned())?;
        let port = listener.local_addr().during(|| "listen on loopback".to_owned())?.port();
        let shared = Arc::new(Shared {
            passed: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            trouble: Mutex::new(Trouble::Freeze),
            is_gone: AtomicBool::new(false),
            frozen: (Mutex::new(()), Condvar::new()),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_gone.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is not there is a connection that ends.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                    accepting.carry(client, server);
                }
            }
        });
        Ok(Self { port, shared })
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that passed since the last call of [`Proxy::trouble_after`].
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Counts anew, and makes trouble after so many bytes; `u64::MAX` for never. What was frozen goes on.
    pub fn trouble_after(&self, bytes: u64, trouble: Trouble) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        self.shared.passed.store(0, Ordering::SeqCst);
        self.shared.limit.store(bytes, Ordering::SeqCst);
        self.shared.frozen.1.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_gone.store(true, Ordering::SeqCst);
        self.shared.frozen.1.notify_all();
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn carry(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
        for (from, to) in [(client, server_too), (server, client_too)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.pump(from, to));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default();
            if !self.lets_pass(count) || to.write_all(bytes).is_err() {
                break;
            }
        }
        for socket in [from, to] {
            // Closed already is what is wanted.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    /// Waits while it is frozen; `false` when it is cut.
    fn lets_pass(&self, count: usize) -> bool {
        let has_room = || {
            let limit = self.limit.load(Ordering::SeqCst);
            self.passed.fetch_add(count as u64, Ordering::SeqCst) < limit
        };
        let mut frozen = self.frozen.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !has_room() {
            if self.is_gone.load(Ordering::SeqCst) || *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) == Trouble::Cut {
                return false;
            }
            frozen = self.frozen.1.wait(frozen).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }
}
