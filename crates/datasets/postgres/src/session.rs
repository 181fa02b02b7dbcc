//! One connection to one database: pinned settings, classed errors, statements that the stop flag cancels.

use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use line::{Line, Waiting};
use plan::ports::StopFlag;
use plan::{Error, Result};
use postgres::config::SslMode;
use postgres::{Client, Config, Row, SimpleQueryMessage};
use secrecy::ExposeSecret;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::address::{Address, Host};
use crate::asker::{About, Asker};
use crate::encryption;
use crate::failure::{self, classed};
use crate::pooler::{self, Token};
use crate::settings;

/// Databases that every server has, in the order in which they are tried for renames.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// What `pg_stat_activity` shows of us.
pub(crate) const APPLICATION: &str = "threescale-backup";

/// How often the stop flag is looked at while a statement runs.
const GLANCE: Duration = Duration::from_millis(50);

/// A connection.
pub(crate) struct Session {
    client: Client,
    connector: MakeRustlsConnect,
    /// The client says good-bye and waits for the answer.
    parting: Option<Waiting>,
    line: Option<Line>,
}

impl Session {
    /// Connects to the database of an address.
    ///
    /// # Errors
    /// [`plan::Class::Transient`] when the server cannot be reached, [`plan::Class::Refused`] when it refuses the login.
    pub(crate) fn open(address: &Address) -> Result<Self> {
        let mut session = Self::open_unwatched(address)?;
        if session.line.is_some() {
            let pid = session.row("SELECT pg_backend_pid()", "ask for the session's number")?.get(0);
            let asker = Arc::new(Asker::new(address.clone(), About::Backend(pid)));
            session.line.iter().for_each(|line| line.set_peer(Arc::clone(&asker) as Arc<dyn line::Peer>));
        }
        Ok(session)
    }

    /// A session that is not asked about when it is silent: the one that asks.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) fn open_unwatched(address: &Address) -> Result<Self> {
        // As libpq: where nothing is verified, a server that wants no TLS of us is asked without.
        match Self::connect(address, address.tls.as_ref().map_or(SslMode::Prefer, |_| SslMode::Require)) {
            Err(error) if address.tls.is_none() && failure::wants_no_encryption(&error) => Self::connect(address, SslMode::Disable),
            connected => connected,
        }
    }

    fn connect(address: &Address, mode: SslMode) -> Result<Self> {
        let connector = encryption::connector(address.tls.as_ref())?;
        let what = || format!("cannot connect to PostgreSQL at {address}");
        let line = match &address.host {
            Host::Name(name) => Some(Line::open(name, address.port, &address.limits).map_err(|error| error.during(what()))?),
            Host::Socket(_) => None,
        };
        let waiting = line.as_ref().map(Line::waiting);
        let token = Token::new();
        let connected = config(address, mode, &token, line.as_ref()).connect(connector.clone());
        let client = connected.map_err(|error| explained(line.as_ref(), pooler::classed(error, address, what())))?;
        drop(waiting);
        let mut session = Self { client, connector, parting: None, line };
        session.refuse_pooler(&token, address)?;
        session.rows(&settings::pin(), "pin the session's settings")?;
        Ok(session)
    }

    /// The first question of every session, in one message that leaves nothing behind on whatever answers.
    fn refuse_pooler(&mut self, token: &Token, address: &Address) -> Result<()> {
        let _waiting = self.waiting();
        let answers = self.client.simple_query(&Token::question()).map_err(|error| self.failure(error, "ask whose session it is"))?;
        let answered = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        if answered == Some(token.text()) { Ok(()) } else { Err(pooler::refusal(address)) }
    }

    fn waiting(&self) -> Option<Waiting> {
        self.line.as_ref().map(Line::waiting)
    }

    fn failure(&self, error: postgres::Error, what: &str) -> Error {
        explained(self.line.as_ref(), classed(error, what))
    }

    /// Connects to a database that is not the live one: nobody can rename the database that he is in.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) fn open_maintenance(address: &Address) -> Result<Self> {
        let mut last = Error::refused("there is no maintenance database");
        for database in MAINTENANCE.into_iter().filter(|database| *database != address.database) {
            match Self::open(&address.with_database(database)) {
                Ok(session) => return Ok(session),
                Err(error) if error.class() == plan::Class::Refused => last = error,
                Err(error) => return Err(error),
            }
        }
        if pooler::is_refusal(&last) {
            return Err(last);
        }
        Err(last.hint(format!("Grant role {:?} CONNECT on the database \"postgres\" or \"template1\".", address.user)))
    }

    /// Runs statements without a result.
    ///
    /// # Errors
    /// The server's, classed, with what was being done.
    pub(crate) fn run(&mut self, statements: &str, what: &str) -> Result<()> {
        let _waiting = self.waiting();
        self.client.batch_execute(statements).map_err(|error| self.failure(error, what))
    }

    /// Rows of a query.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(crate) fn rows(&mut self, query: &str, what: &str) -> Result<Vec<Row>> {
        let _waiting = self.waiting();
        self.client.query(query, &[]).map_err(|error| self.failure(error, what))
    }

    /// The one row of a query.
    ///
    /// # Errors
    /// As [`Session::run`]; also when there is not exactly one.
    pub(crate) fn row(&mut self, query: &str, what: &str) -> Result<Row> {
        let _waiting = self.waiting();
        self.client.query_one(query, &[]).map_err(|error| self.failure(error, what))
    }

    /// Rows of a query, each cell as text in the server's own form: that of `COPY`, before its escapes.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(crate) fn texts(&mut self, query: &str, what: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>> {
        let _waiting = self.waiting();
        let answers = self.client.simple_query(query).map_err(|error| self.failure(error, what))?;
        let cells = |row: &postgres::SimpleQueryRow| (0..row.len()).map(|at| row.get(at).map(|text| text.as_bytes().to_vec())).collect();
        let rows = answers.iter().filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(cells(row)),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Hands over what `COPY … TO STDOUT` gives, piece by piece.
    ///
    /// # Errors
    /// As [`Session::run`]; what `take` says.
    pub(crate) fn copy_out(&mut self, statement: &str, what: &str, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let line = self.line.as_ref();
        // Lives longer than the reader, which reads to its end when it is dropped.
        let _waiting = line.map(Line::waiting);
        let mut reader = self.client.copy_out(statement).map_err(|error| explained(line, classed(error, what)))?;
        loop {
            let piece = reader.fill_buf().map_err(|error| explained(line, failure::of_copy(error, what)))?;
            if piece.is_empty() {
                return Ok(());
            }
            let length = piece.len();
            take(piece)?;
            reader.consume(length);
        }
    }

    /// Whether the server still answers, within a limit.
    pub(crate) fn is_alive(&mut self, limit: Duration) -> bool {
        self.client.is_valid(limit).is_ok()
    }

    /// Runs something long; when one of the flags is raised, the server is asked to cancel it.
    ///
    /// # Errors
    /// [`plan::Class::Interrupted`] when a flag was raised; otherwise those of `work`.
    pub(crate) fn cancellable<T>(&mut self, stops: &[&StopFlag], work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let raised = || stops.iter().any(|stop| stop.is_raised());
        if raised() {
            return Err(Error::interrupted());
        }
        let (token, connector) = (self.client.cancel_token(), self.connector.clone());
        let (done, ended) = mpsc::channel::<()>();
        let outcome = std::thread::scope(|scope| {
            scope.spawn(move || {
                while ended.recv_timeout(GLANCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    // A cancel that comes to nothing (the statement had just ended) is tried again at the next glance.
                    if raised() && token.cancel_query(connector.clone()).is_err() {
                        continue;
                    }
                }
            });
            let outcome = work(self);
            drop(done);
            outcome
        });
        if raised() { Err(Error::interrupted()) } else { outcome }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.parting = self.waiting();
    }
}

fn explained(line: Option<&Line>, error: Error) -> Error {
    match line {
        Some(line) => line.explain(error),
        None => error,
    }
}

/// The host's name is what a certificate is compared with; where to connect to is the line's door.
fn config(address: &Address, mode: SslMode, token: &Token, line: Option<&Line>) -> Config {
    let mut config = Config::new();
    config.user(&address.user).dbname(&address.database).application_name(APPLICATION);
    match line {
        Some(line) => config.hostaddr(IpAddr::V4(Ipv4Addr::LOCALHOST)).port(line.port()),
        None => config.port(address.port),
    };
    let options: Vec<_> = std::iter::once(token.option()).chain(address.options()).collect();
    config.options(&options.join(" "));
    if let Some(password) = &address.password {
        config.password(password.expose_secret());
    }
    match &address.host {
        // The server never speaks TLS on its socket.
        Host::Socket(folder) => config.host_path(folder).ssl_mode(SslMode::Disable),
        Host::Name(name) => config.host(name).ssl_mode(match address.tls.as_ref().and_then(|tls| tls.mode) {
            Some(tls::TlsMode::Disable) => SslMode::Disable,
            _ => mode,
        }),
    };
    config
}
