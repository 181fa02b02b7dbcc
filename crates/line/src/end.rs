//! One end of a way: a socket of the network or of this machine.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// A connected socket. Reads and writes through a shared reference, as both directions are pumped at the same time.
#[derive(Debug)]
pub enum End {
    /// Of the network, or of loopback.
    Tcp(TcpStream),
    /// Of this machine.
    Unix(UnixStream),
}

impl End {
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Wakes whoever reads or writes. A socket that is closed already is what was wanted.
    pub(crate) fn shut(&self, how: Shutdown) {
        drop(match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        });
    }
}

impl Read for &End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Tcp(socket) => (&mut &*socket).read(buffer),
            End::Unix(socket) => (&mut &*socket).read(buffer),
        }
    }
}

impl Write for &End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            End::Tcp(socket) => (&mut &*socket).write(bytes),
            End::Unix(socket) => (&mut &*socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
