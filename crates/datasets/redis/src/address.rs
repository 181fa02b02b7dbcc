//! Where a logical database is: the addresses that 3scale's own Secrets use, parsed without ever showing a password.
//!
//! Must never put a user's password into an error, a `Debug` or a `Display`.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use plan::{Error, Result};
use secrecy::SecretString;
use tls::{Tls, TlsMode};
use url::Url;

/// Standard port of Redis.
const PORT: u16 = 6379;
/// Standard port of Redis Sentinel.
const SENTINEL_PORT: u16 = 26379;

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// Host (name or address, no brackets) and port. With sentinels, the host is the name of the group.
    Tcp(String, u16),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Sentinels that know where the server of a group is now.
#[derive(Debug, Clone)]
pub struct Sentinels {
    /// Host and port of each.
    pub hosts: Vec<(String, u16)>,
    /// Whether the master is wanted (the rule); otherwise any replica, for backups only.
    pub master: bool,
    /// User name towards the sentinels.
    pub user: Option<String>,
    /// Password towards the sentinels.
    pub password: Option<SecretString>,
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
}

impl Address {
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
        }
        let mode = (url.scheme() == "rediss").then_some(TlsMode::VerifyFull);
        Ok(Self {
            endpoint: Endpoint::Tcp(host, url.port().unwrap_or(PORT)),
            database,
            user: Some(decode(url.username())?).filter(|user| !user.is_empty()),
            password: url.password().map(decode).transpose()?.filter(|password| !password.is_empty()).map(SecretString::from),
            tls: Tls { mode, ..Tls::default() },
            sentinels: None,
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
            endpoint: Endpoint::Unix(PathBuf::from(decode(path)?)),
            database,
            user: Some(user).filter(|user| !user.is_empty()),
            password: Some(password).filter(|password| !password.is_empty()).map(SecretString::from),
            tls: Tls::default(),
            sentinels: None,
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

    /// Sets the TLS options. Without a mode in them the scheme's stays, so that certificates alone can be given.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when they contradict themselves or the scheme.
    pub fn with_tls(mut self, tls: Tls) -> Result<Self> {
        if self.tls.is_on() && tls.mode == Some(TlsMode::Disable) {
            return Err(Error::refused(format!("the address {self} begins with rediss://, and TLS is disabled"))
                .hint("Write redis:// in the address, or leave the mode out."));
        }
        self.tls = tls.over(self.tls);
        self.tls.check().map_err(|error| error.during(format!("the TLS options of {self} do not fit")))?;
        Ok(self)
    }

    /// Asks sentinels where the server is; the host of the URL is the name of the group. As 3scale's Secrets have them: `hosts` is a comma
    /// list of `[redis://][user:password@]host[:port]` (`SENTINEL_HOSTS`), `role` is `master`, `slave` or empty (`SENTINEL_ROLE`).
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the list or the role cannot be understood.
    pub fn with_sentinels(mut self, hosts: &str, role: &str, user: Option<String>, password: Option<SecretString>) -> Result<Self> {
        if matches!(self.endpoint, Endpoint::Unix(_)) {
            return Err(Error::refused("sentinels do not go together with a unix socket"));
        }
        let master = match role.trim().to_ascii_lowercase().as_str() {
            "" | "master" => true,
            "slave" | "replica" => false,
            _ => return Err(Error::refused(format!("unknown sentinel role {role:?}")).hint("Use master or slave.")),
        };
        let mut sentinels = Sentinels { hosts: Vec::new(), master, user, password };
        for entry in hosts.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let text = if entry.contains("://") { entry.to_owned() } else { format!("redis://{entry}") };
            let url =
                Url::parse(&text).map_err(|_| Error::refused("a sentinel in the list cannot be understood").hint("Write host:port."))?;
            let host =
                url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| Error::refused("a sentinel in the list names no host"))?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            sentinels.hosts.push((host, url.port().unwrap_or(SENTINEL_PORT)));
            if let (None, Some(found)) = (&sentinels.password, url.password()) {
                sentinels.password = Some(SecretString::from(decode(found)?));
                sentinels.user = Some(decode(url.username())?).filter(|user| !user.is_empty());
            }
        }
        if sentinels.hosts.is_empty() {
            return Err(Error::refused("the list of sentinels is empty"));
        }
        self.sentinels = Some(sentinels);
        Ok(self)
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

    /// Whether both are on the same server, as far as the addresses tell.
    pub(crate) fn same_server(&self, other: &Self) -> bool {
        let hosts = |address: &Self| address.sentinels.as_ref().map(|sentinels| (sentinels.hosts.clone(), sentinels.master));
        self.endpoint == other.endpoint && hosts(self) == hosts(other)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sentinels {
            Some(sentinels) => {
                let Endpoint::Tcp(group, _) = &self.endpoint else { return Err(fmt::Error) };
                write!(f, "{group} (by {} sentinels)/{}", sentinels.hosts.len(), self.database)
            }
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
    use secrecy::ExposeSecret;

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
    fn sentinels_come_as_a_comma_list() {
        let address =
            Address::parse("redis://mymaster/1").unwrap().with_sentinels("redis://:pw@a:1, b , c:3", "master", None, None).unwrap();
        let sentinels = address.sentinels.as_ref().unwrap();
        assert_eq!(sentinels.hosts, [("a".into(), 1), ("b".into(), 26379), ("c".into(), 3)]);
        assert_eq!(sentinels.password.as_ref().map(|password| password.expose_secret().to_owned()).as_deref(), Some("pw"));
        assert!(Address::parse("redis://m/1").unwrap().with_sentinels("a", "boss", None, None).is_err());
        assert!(Address::parse("redis://m/1").unwrap().with_sentinels(" ,", "", None, None).is_err());
    }
}
