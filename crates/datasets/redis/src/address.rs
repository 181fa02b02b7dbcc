//! Where a logical database is: the addresses that 3scale's own Secrets use, parsed without ever showing a password.
//!
//! Must never put a user's password into an error, a `Debug` or a `Display`.

mod sentinels;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use plan::{Error, Result};
use secrecy::{ExposeSecret, SecretString};
use tls::{Tls, TlsMode};
use url::Url;

pub use sentinels::{SentinelAt, Sentinels};

/// Standard port of Redis.
const PORT: u16 = 6379;

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Host (name or address, no brackets) and port.
    Tcp(String, u16),
    /// Path of a unix socket.
    Unix(PathBuf),
    /// The name under which sentinels know the server.
    Group(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Group(name) => write!(f, "{name}"),
        }
    }
}

/// Leads to servers of a network that this machine is not in: what to connect to from here, for a host and a port over there. Certificates are held against the
/// name over there.
#[derive(Clone)]
pub struct Dial(Arc<Lead>);

type Lead = dyn Fn(&str, u16) -> Result<(String, u16)> + Send + Sync;

impl Dial {
    /// By a function, which is called for each connection.
    pub fn new(lead: impl Fn(&str, u16) -> Result<(String, u16)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lead))
    }

    pub(crate) fn lead(&self, host: &str, port: u16) -> Result<(String, u16)> {
        (self.0)(host, port)
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

/// The address of one logical database.
#[derive(Debug, Clone)]
pub struct Address {
    pub(crate) endpoint: Endpoint,
    pub(crate) database: u32,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) tls: Tls,
    pub(crate) sentinels: Option<Sentinels>,
    pub(crate) dial: Option<Dial>,
}

impl Address {
    /// A server by its host and port, without login and without TLS.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, database: u32) -> Self {
        Self::at(Endpoint::Tcp(host.into(), port), database)
    }

    fn at(endpoint: Endpoint, database: u32) -> Self {
        Self { endpoint, database, user: None, password: None, tls: Tls::default(), sentinels: None, dial: None }
    }

    /// Parses `redis://[user][:password]@host[:port][/database]`, `rediss://…`, `unix://[user][:password]@/path[?db=N]` or `redis+unix://…`.
    /// User and password are percent-decoded. `rediss` means full verification unless [`Address::with_tls`] says otherwise.
    ///
    /// # Errors
    /// [`plan::Class::Refused`], without the password.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').ok_or_else(|| malformed("it has no scheme"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "rediss" => Self::parse_tcp(text),
            "unix" | "redis+unix" => Self::parse_unix(rest),
            _ => Err(malformed("the scheme is not redis, rediss, unix or redis+unix")),
        }
    }

    fn parse_tcp(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| malformed("it names no host"))?;
        let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
        let mut database = match url.path().trim_matches('/') {
            "" => 0,
            digits => parse_database(digits)?,
        };
        for (name, value) in url.query_pairs() {
            if name == "db" {
                database = parse_database(&value)?;
            }
            tls::refuse_unknown(&name)
                .map_err(|error| error.hint("Write rediss:// for TLS; the rest is said by tls = { mode = …, ca-file = … }."))?;
        }
        let mode = (url.scheme() == "rediss").then_some(TlsMode::VerifyFull);
        Ok(Self {
            user: Some(decode(url.username())?).filter(|user| !user.is_empty()),
            password: url.password().map(decode).transpose()?.filter(|password| !password.is_empty()).map(SecretString::from),
            tls: Tls { mode, ..Tls::default() },
            ..Self::new(host, url.port().unwrap_or(PORT), database)
        })
    }

    fn parse_unix(rest: &str) -> Result<Self> {
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let start = rest.find('/').ok_or_else(|| malformed("it has no absolute path of a socket"))?;
        let (authority, path) = rest.split_at(start);
        let (user, password) = match authority.strip_suffix('@').unwrap_or(authority).split_once(':') {
            Some((user, password)) => (decode(user)?, decode(password)?),
            None => (decode(authority.trim_end_matches('@'))?, String::new()),
        };
        let database = query.split('&').find_map(|pair| pair.strip_prefix("db=")).map_or(Ok(0), parse_database)?;
        Ok(Self {
            user: Some(user).filter(|user| !user.is_empty()),
            password: Some(password).filter(|password| !password.is_empty()).map(SecretString::from),
            ..Self::at(Endpoint::Unix(PathBuf::from(decode(path)?)), database)
        })
    }

    /// Takes the password from elsewhere (a file, a command) instead of the URL.
    #[must_use]
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }

    /// Takes the user name from elsewhere instead of the URL.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the TLS options. Without a mode in them the scheme's stays, so that certificates alone can be given. Sentinels get the same.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when they contradict themselves or the scheme.
    pub fn with_tls(mut self, tls: Tls) -> Result<Self> {
        if self.tls.is_on() && tls.mode == Some(TlsMode::Disable) {
            return Err(Error::refused(format!("the address {self} begins with rediss://, and TLS is disabled"))
                .hint("Write redis:// in the address, or leave the mode out."));
        }
        let all = tls.over(self.tls);
        // The files may be for the sentinels alone.
        let is_for_sentinels = !all.is_on() && self.sentinels.as_ref().is_some_and(Sentinels::speak_tls);
        self.tls = if is_for_sentinels { Tls { mode: all.mode, ..Tls::default() } } else { all.clone() };
        self.sentinels = self.sentinels.map(|sentinels| sentinels.with_tls(all));
        let checked = self.sentinels.iter().map(|sentinels| &sentinels.tls).chain([&self.tls]).try_for_each(Tls::check);
        checked.map_err(|error| error.during(format!("the TLS options of {self} do not fit")))?;
        Ok(self)
    }

    /// Reads the files that the TLS options name, those of the sentinels too.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] with the file that cannot be used.
    pub fn check_files(&self) -> Result<()> {
        self.sentinels.iter().map(|sentinels| &sentinels.tls).chain([&self.tls]).try_for_each(tls::check_files)
    }

    /// Asks sentinels where the server is; the host of the address is the name of the group. They are asked with the TLS of the address.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the address is that of a unix socket.
    pub fn with_sentinels(mut self, sentinels: Sentinels) -> Result<Self> {
        self.endpoint = match self.endpoint {
            Endpoint::Tcp(group, _) | Endpoint::Group(group) => Endpoint::Group(group),
            Endpoint::Unix(_) => return Err(Error::refused("sentinels do not go together with a unix socket")),
        };
        self.sentinels = Some(sentinels.with_tls(self.tls.clone()));
        Ok(self)
    }

    /// Connects through somebody who leads there, to sentinels and to what they name too.
    #[must_use]
    pub fn with_dial(mut self, dial: Dial) -> Self {
        self.dial = Some(dial);
        self
    }

    /// The number of the logical database.
    #[must_use]
    pub const fn database(&self) -> u32 {
        self.database
    }

    /// How the server is reached.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether one connection is good for both: the same server, as far as the addresses tell, with the same login and the same TLS.
    pub(crate) fn same_connection(&self, other: &Self) -> bool {
        let hosts = |address: &Self| address.sentinels.as_ref().map(|sentinels| (sentinels.hosts.clone(), sentinels.master));
        let secret = |address: &Self| address.password.as_ref().map(|password| password.expose_secret().to_owned());
        self.endpoint == other.endpoint
            && hosts(self) == hosts(other)
            && (&self.user, secret(self), &self.tls) == (&other.user, secret(other), &other.tls)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sentinels {
            Some(sentinels) => write!(f, "{} (by {} sentinels)/{}", self.endpoint, sentinels.hosts.len(), self.database),
            None => write!(f, "{}/{}", self.endpoint, self.database),
        }
    }
}

fn malformed(why: &str) -> Error {
    Error::refused(format!("the address of a Redis database cannot be understood: {why}"))
        .hint("Write redis://[user][:password]@host:port/database, rediss://… or unix:///path?db=N; percent-encode special characters.")
}

fn parse_database(text: &str) -> Result<u32> {
    text.parse::<u32>().map_err(|_| malformed("the database is not a number"))
}

fn decode(text: &str) -> Result<String> {
    percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| malformed("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn secret(address: &Address) -> Option<&str> {
        address.password.as_ref().map(|password| password.expose_secret())
    }

    #[test]
    fn an_address_has_user_password_host_port_and_database() {
        let address = Address::parse("redis://bob:p%40ss%2F@db.example:7000/3").unwrap();
        assert_eq!(address.endpoint, Endpoint::Tcp("db.example".into(), 7000));
        assert_eq!((address.database, address.user.as_deref(), secret(&address)), (3, Some("bob"), Some("p@ss/")));
        assert_eq!(address.to_string(), "db.example:7000/3");
        let address = Address::parse("redis://:only@[::1]").unwrap();
        assert_eq!((address.to_string().as_str(), address.user.as_deref(), secret(&address)), ("[::1]:6379/0", None, Some("only")));
    }

    #[test]
    fn a_unix_socket_has_its_database_in_the_query() {
        let address = Address::parse("unix://:s%3Acret@/run/redis%20x.sock?db=4").unwrap();
        assert_eq!(address.endpoint, Endpoint::Unix("/run/redis x.sock".into()));
        assert_eq!((address.database, secret(&address)), (4, Some("s:cret")));
        assert_eq!(Address::parse("redis+unix:///tmp/s").unwrap().database, 0);
    }

    #[test]
    fn errors_and_debug_never_show_the_password() {
        for text in [
            "redis://u:hunter2@/0",
            "redis://u:hunter2@h/x",
            "redis://u:hunter2@h:99999999/0",
            "http://u:hunter2@h",
            "unix://u:hunter2@nopath",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            assert_eq!(error.class(), plan::Class::Refused);
        }
        let address = Address::parse("rediss://u:hunter2@h/1").unwrap();
        assert!(!format!("{address:?} {address}").contains("hunter2"));
        assert_eq!(address.tls.mode, Some(TlsMode::VerifyFull));
    }

    #[test]
    fn a_wish_for_tls_that_is_not_understood_is_refused() {
        for query in ["ssl=true", "tls=yes", "SSL_CERT_REQS=none", "db=2&sslmode=require"] {
            let error = Address::parse(&format!("redis://u:hunter2@h/1?{query}")).unwrap_err();
            let text = format!("{error:?}");
            assert!(error.class() == plan::Class::Refused && text.contains("rediss://") && !text.contains("hunter2"), "{text}");
        }
        assert_eq!(Address::parse("redis://h/1?db=2&timeout=5").unwrap().database, 2);
    }

    #[test]
    fn tls_options_complete_the_scheme_and_must_not_contradict_it() {
        let address = |scheme: &str| Address::parse(&format!("{scheme}://h/1")).unwrap();
        let ca = Tls { ca_file: Some("ca.pem".into()), ..Tls::default() };
        assert_eq!(address("rediss").with_tls(ca.clone()).unwrap().tls.mode, Some(TlsMode::VerifyFull));
        assert_eq!(address("redis").with_tls(Tls::of_mode(TlsMode::VerifyCa)).unwrap().tls.mode, Some(TlsMode::VerifyCa));
        let half = Tls { client_key_file: Some("client.key".into()), ..Tls::of_mode(TlsMode::Require) };
        for (scheme, tls) in [("redis", ca), ("rediss", Tls::of_mode(TlsMode::Disable)), ("redis", half)] {
            assert_eq!(address(scheme).with_tls(tls).unwrap_err().class(), plan::Class::Refused, "{scheme}");
        }
    }

    #[test]
    fn one_connection_is_for_addresses_that_differ_in_their_database_only() {
        let address = |text: &str| Address::parse(text).unwrap();
        let one = address("redis://bob:pw@h:1/0");
        for (other, same) in [
            ("redis://bob:pw@h:1/1", true),
            ("redis://bob:pw@h:2/1", false),
            ("redis://ann:pw@h:1/1", false),
            ("redis://bob:other@h:1/1", false),
            ("redis://:pw@h:1/1", false),
            ("rediss://bob:pw@h:1/1", false),
        ] {
            assert_eq!(one.same_connection(&address(other)), same, "{other}");
        }
        let with_ca = |file: &str| address("rediss://h/1").with_tls(Tls { ca_file: Some(file.into()), ..Tls::default() }).unwrap();
        assert!(with_ca("a.pem").same_connection(&with_ca("a.pem")) && !with_ca("a.pem").same_connection(&with_ca("b.pem")));
    }
}
