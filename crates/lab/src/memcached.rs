//! A throw-away memcached.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use plan::Result;
use plan::error::During;
use rustix::process::Signal;

use crate::folder::Folder;
use crate::port::Port;
use crate::process::mortal;
use crate::programs::find;
use crate::server::{Kind, Reach, Server, password, write_private};

/// A running server. Ends with the value.
pub struct Memcached {
    server: Server,
}

impl Memcached {
    /// Starts one that everybody may use.
    ///
    /// # Errors
    /// When the program is missing or it does not start; the end of its log is in the hints.
    pub fn start() -> Result<Self> {
        Self::start_with(false)
    }

    /// Starts one that wants a login first.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with_login() -> Result<Self> {
        Self::start_with(true)
    }

    fn start_with(login: bool) -> Result<Self> {
        let folder = Folder::create("memcached")?;
        let port = Port::reserve()?;
        let secret = password()?;
        write_private(&folder.join("logins"), &format!("user:{secret}\n"))?;
        let kind = Kind {
            name: "memcached",
            stop_signal: Signal::TERM,
            launch: Box::new(move |folder, port| {
                let mut command = mortal(&find("memcached")?)?;
                command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0", "-m", "8", "-t", "1"]);
                if rustix::process::getuid().is_root() {
                    command.args(["-u", "root"]);
                }
                if login {
                    command.arg("-Y").arg(folder.join("logins"));
                }
                Ok(command)
            }),
            ready: Box::new(|| Ok(())),
            reach: Reach::Loopback,
        };
        Ok(Self { server: Server::start(kind, folder, port, secret)? })
    }

    /// Says a line of its text protocol, with what belongs to it, and reads the first line of the answer.
    ///
    /// # Errors
    /// When it cannot be reached, or does not answer.
    pub fn say(&self, words: &str) -> Result<String> {
        let what = || "speak to memcached".to_owned();
        let mut stream = TcpStream::connect((self.server.host(), self.server.port())).during(what)?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).during(what)?;
        stream.write_all(format!("{words}\r\n").as_bytes()).during(what)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).during(what)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Deref for Memcached {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Memcached {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}
