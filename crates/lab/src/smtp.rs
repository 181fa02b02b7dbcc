//! A throw-away server of SMTP that keeps what it is sent: plain, with STARTTLS, or with TLS from the beginning.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plan::Result;
use plan::error::During as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::front::server_config;
use crate::tls::Tls;

/// How a connection to it is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpMode {
    /// Not at all.
    Plain,
    /// By STARTTLS, before which it takes no mail.
    StartTls,
    /// From its beginning.
    Implicit,
}

/// What it wants of who comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SmtpWants {
    /// What `AUTH PLAIN` must bring, in base64 (RFC 4616). Without it any login is taken, and none is needed.
    pub login: Option<&'static str>,
    /// A mailbox that it does not know.
    pub unknown: Option<&'static str>,
    /// It takes connections and says nothing.
    pub is_silent: bool,
    /// To who has mail it says a line that does not end.
    pub is_endless: bool,
    /// What it says with the answer to STARTTLS, before TLS begins.
    pub says_before_tls: Option<&'static str>,
}

/// See the module.
pub struct Smtp {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    mails: Vec<SmtpMail>,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpMail {
    /// The commands before it, on its connection.
    pub commands: Vec<String>,
    /// Its lines, as they came, without what SMTP puts before a dot.
    pub lines: Vec<String>,
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

impl Smtp {
    /// Starts it, with the certificate that the files show.
    ///
    /// # Errors
    /// When the certificate cannot be used, or there is no port.
    pub fn start(mode: SmtpMode, wants: SmtpWants, files: &Tls) -> Result<Self> {
        let config = Arc::new(server_config(files)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during(|| "listen on loopback".to_owned())?;
        let port = listener.local_addr().during(|| "look at a port".to_owned())?.port();
        let seen = Arc::<Mutex<Seen>>::default();
        let sees = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for client in listener.incoming().map_while(io::Result::ok) {
                if wants.is_silent {
                    silent.push(client);
                    continue;
                }
                let (config, seen) = (Arc::clone(&config), Arc::clone(&sees));
                std::thread::spawn(move || drop(talk(client, (mode, wants), &config, &seen)));
            }
        });
        Ok(Self { port, seen })
    }

    /// Where it is.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The mails that were taken since it was asked last; who sent one has had his answer.
    #[must_use]
    pub fn taken(&self) -> Vec<SmtpMail> {
        std::mem::take(&mut locked(&self.seen).mails)
    }

    /// All lines that anybody ever said to it.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        locked(&self.seen).lines.clone()
    }
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn secured(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Box<dyn Both>> {
    Ok(Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?, stream)))
}

fn talk(client: TcpStream, (mode, wants): (SmtpMode, SmtpWants), config: &Arc<ServerConfig>, seen: &Mutex<Seen>) -> io::Result<()> {
    let raw = client.try_clone()?;
    let first: Box<dyn Both> = if mode == SmtpMode::Implicit { secured(client, config)? } else { Box::new(client) };
    let (mut stream, mut is_secured, mut commands) = (BufReader::new(first), mode == SmtpMode::Implicit, Vec::new());
    let mut is_known = wants.login.is_none();
    answer(&mut stream, "220 lab")?;
    loop {
        let line = line(&mut stream, seen)?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let may = is_secured || mode == SmtpMode::Plain;
        commands.push(line.clone());
        match verb.as_str() {
            "EHLO" if may => answer(&mut stream, "250-lab\r\n250 AUTH PLAIN")?,
            "EHLO" => answer(&mut stream, "250-lab\r\n250 STARTTLS")?,
            "STARTTLS" if !may => {
                let more = wants.says_before_tls.map(|more| format!("\r\n{more}")).unwrap_or_default();
                answer(&mut stream, &format!("220 go on{more}"))?;
                stream = BufReader::new(secured(raw.try_clone()?, config)?);
                is_secured = true;
            }
            "QUIT" => return answer(&mut stream, "221 bye"),
            _ if !may => answer(&mut stream, "530 5.7.0 Must issue a STARTTLS command first")?,
            "AUTH" if wants.login.is_none_or(|login| line == format!("AUTH PLAIN {login}")) => {
                is_known = true;
                answer(&mut stream, "235 welcome")?;
            }
            "AUTH" => answer(&mut stream, "535 5.7.8 Authentication credentials invalid")?,
            _ if !is_known => answer(&mut stream, "530 5.7.0 Authentication required")?,
            "RCPT" if wants.unknown.is_some_and(|mailbox| line.contains(mailbox)) => {
                answer(&mut stream, "550 5.1.1 No such user here")?;
            }
            "MAIL" if wants.is_endless => loop {
                stream.get_mut().write_all(&[b'2'; 65_536])?;
            },
            "DATA" => {
                answer(&mut stream, "354 go on")?;
                let lines = mail(&mut stream, seen)?;
                // Who has his answer has sent it: it is known before.
                locked(seen).mails.push(SmtpMail { commands: std::mem::take(&mut commands), lines });
                answer(&mut stream, "250 taken")?;
            }
            _ => answer(&mut stream, "250 ok")?,
        }
    }
}

fn mail(stream: &mut BufReader<Box<dyn Both>>, seen: &Mutex<Seen>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = line(stream, seen)?;
        match line.strip_prefix('.') {
            Some("") => return Ok(lines),
            Some(rest) => lines.push(rest.to_owned()),
            None => lines.push(line),
        }
    }
}

fn line(stream: &mut BufReader<Box<dyn Both>>, seen: &Mutex<Seen>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    locked(seen).lines.push(line.clone());
    Ok(line)
}

fn answer(stream: &mut BufReader<Box<dyn Both>>, text: &str) -> io::Result<()> {
    stream.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
    stream.get_mut().flush()
}
