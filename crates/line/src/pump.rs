//! Moves the bytes of one connection, a thread for each direction, until either end closes or the line is cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plan::Error;
use rustls::{ClientConnection, StreamOwned};

use crate::end::End;
use crate::state::State;

const BUFFER_BYTES: usize = 64 << 10;

/// As it is, both ways. Returns when both directions have ended.
pub(crate) fn plain(state: &Arc<State>, client: &End, server: &End) {
    std::thread::scope(|scope| {
        scope.spawn(|| one_way(state, client, server));
        one_way(state, server, client);
    });
}

fn one_way(state: &State, from: &End, to: &End) {
    let how = match copy(state, from, to) {
        Ok(()) => Shutdown::Write,
        Err(_) => Shutdown::Both,
    };
    to.shut(how);
    if how == Shutdown::Both {
        from.shut(how);
    }
}

fn copy(state: &State, mut from: &End, mut to: &End) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = read(&mut from, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        state.touch();
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        state.touch();
    }
}

fn read(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// TLS ends here: the client's side is plain. Returns when both directions have ended.
pub(crate) fn secured(state: &Arc<State>, client: &End, stream: StreamOwned<ClientConnection, TcpStream>) {
    let (connection, socket) = (stream.conn, stream.sock);
    let wire = Wire { connection: Mutex::new(connection), out: Mutex::new(()), socket };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let sent = wire.send(state, client);
            wire.fail(state, client, sent);
        });
        let received = wire.receive(state, client);
        wire.fail(state, client, received);
        client.shut(Shutdown::Both);
    });
}

struct Wire {
    connection: Mutex<ClientConnection>,
    /// Records leave in the order in which they were made.
    out: Mutex<()>,
    socket: TcpStream,
}

impl Wire {
    fn fail(&self, state: &State, client: &End, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        if let Some(broken) = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) {
            state.cut(&Error::transient(format!("TLS with {} broke", state.server)).because(broken.clone()));
        }
        client.shut(Shutdown::Both);
        // Closed already is what was wanted.
        drop(self.socket.shutdown(Shutdown::Both));
    }

    fn send(&self, state: &State, mut client: &End) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = read(&mut client, &mut buffer)?;
            if count == 0 {
                lock(&self.connection).send_close_notify();
                self.flush()?;
                return self.socket.shutdown(Shutdown::Write);
            }
            state.touch();
            let mut rest = buffer.get(..count).unwrap_or_default();
            while !rest.is_empty() {
                let taken = lock(&self.connection).writer().write(rest)?;
                rest = rest.get(taken..).unwrap_or_default();
                self.flush()?;
                state.touch();
            }
        }
    }

    fn receive(&self, state: &State, mut client: &End) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut socket = &self.socket;
        loop {
            // What came with the handshake is there before anything is read.
            let mut ended = self.give(&mut &[][..], &mut client)?;
            let count = if ended { 0 } else { read(&mut socket, &mut buffer)? };
            state.touch();
            let mut rest = buffer.get(..count).unwrap_or_default();
            while !rest.is_empty() && !ended {
                ended = self.give(&mut rest, &mut client)?;
                state.touch();
            }
            if count == 0 || ended {
                return Ok(());
            }
        }
    }

    /// Takes records and writes what is in them to the client; whether the server has closed.
    fn give(&self, records: &mut &[u8], client: &mut &End) -> io::Result<bool> {
        let mut plain = Vec::new();
        let (is_closed, wants_write) = {
            let mut connection = lock(&self.connection);
            if !records.is_empty() {
                connection.read_tls(records)?;
            }
            let now = connection.process_new_packets().map_err(io::Error::other)?;
            plain.resize(now.plaintext_bytes_to_read(), 0);
            connection.reader().read_exact(&mut plain)?;
            (now.peer_has_closed(), connection.wants_write())
        };
        if wants_write {
            self.flush()?;
        }
        client.write_all(&plain)?;
        Ok(is_closed)
    }

    fn flush(&self) -> io::Result<()> {
        let _order = lock(&self.out);
        let mut records = Vec::new();
        let mut connection = lock(&self.connection);
        while connection.wants_write() {
            connection.write_tls(&mut records)?;
        }
        drop(connection);
        (&self.socket).write_all(&records)
    }
}

/// A lock whose holder panicked is still a lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
