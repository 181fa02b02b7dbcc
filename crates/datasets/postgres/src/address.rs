//! Where a database is, read from the URL that 3scale's own Secrets hold. It must never print a password.

use std::fmt;
use std::path::PathBuf;

use line::Limits;
use percent_encoding::percent_decode_str;
use plan::{Error, Result};
use secrecy::SecretString;
use tls::{Tls, TlsMode};
use url::Url;

/// Query parameters that configure the Rails connection pool or the driver, and mean nothing to a backup.
const IGNORED: [&str; 14] = [
    "application_name",
    "channel_binding",
    "checkout_timeout",
    "connect_timeout",
    "encoding",
    "idle_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "pool",
    "prepared_statements",
    "reaping_frequency",
    "timeout",
];

/// A server's network name or its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// DNS name or IP address.
    Name(String),
    /// The folder of its Unix socket.
    Socket(PathBuf),
}

/// One database on one server, and how to log in.
#[derive(Debug, Clone)]
pub struct Address {
    /// The server.
    pub host: Host,
    /// Its port; part of the socket's name, too.
    pub port: u16,
    /// The live database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password; none for peer or certificate authentication.
    pub password: Option<SecretString>,
    /// TLS. `None` does what libpq does by default (`sslmode=prefer`): encrypted when the server offers it, unverified.
    pub tls: Option<Tls>,
    /// The role whose rights sessions use, when it is not the one that logs in.
    pub acts_as: Option<String>,
    /// How long the server may be silent, and who may stop the wait for it.
    pub limits: Limits,
}

impl Address {
    /// A server by its host and port, with a role that has no password.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no role or no database.
    pub fn new(host: &str, port: u16, user: &str, database: &str) -> Result<Self> {
        let draft =
            Draft { host: host.to_owned(), port: Some(port), user: user.to_owned(), database: database.to_owned(), ..Draft::default() };
        draft.finish()
    }

    /// Reads `postgresql://user:password@host:port/database?sslmode=…` ([libpq's form](https://www.postgresql.org/docs/current/libpq-connect.html)),
    /// percent-encoding and `host=/folder` included.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it is not such a URL, lacks a part, or has a parameter that cannot be honoured (named).
    pub fn parse(url: &str) -> Result<Self> {
        let parsed = Url::parse(&with_host(url)).map_err(|error| malformed("is malformed").because(error))?;
        if !matches!(parsed.scheme(), "postgresql" | "postgres") {
            return Err(malformed("does not begin with postgresql:// or postgres://"));
        }
        let mut draft = Draft {
            host: decoded(parsed.host_str().unwrap_or_default().trim_matches(['[', ']']))?,
            port: parsed.port(),
            database: decoded(parsed.path().trim_start_matches('/'))?,
            user: decoded(parsed.username())?,
            password: parsed.password().map(decoded).transpose()?.map(SecretString::from),
            ..Draft::default()
        };
        for pair in parsed.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            draft.set(&decoded(name)?, decoded(value)?)?;
        }
        draft.finish()
    }

    /// Sets TLS options over those of the URL.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when they contradict themselves.
    pub fn with_tls(mut self, tls: Tls) -> Result<Self> {
        let tls = tls.over(self.tls.take().unwrap_or_default());
        tls.check().map_err(|error| error.during(format!("the TLS options of {self} do not fit")))?;
        self.tls = (tls != Tls::default()).then_some(tls);
        Ok(self)
    }

    /// What a session is told when it begins, as options of the server's command line.
    pub(crate) fn options(&self) -> Option<String> {
        self.acts_as.as_ref().map(|role| format!("-c role={}", role.replace('\\', "\\\\").replace(' ', "\\ ")))
    }

    /// The same server with other limits of waiting.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self { limits, ..self.clone() }
    }

    /// The same server and login, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }
}

impl fmt::Display for Address {
    /// Without user and password: `127.0.0.1:5432/zync_production`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]:{}/{}", self.port, self.database),
            Host::Name(name) => write!(f, "{name}:{}/{}", self.port, self.database),
            Host::Socket(folder) => write!(f, "{}:{}/{}", folder.display(), self.port, self.database),
        }
    }
}

/// An address while its parameters are read.
#[derive(Default)]
struct Draft {
    host: String,
    port: Option<u16>,
    database: String,
    user: String,
    password: Option<SecretString>,
    mode: Option<String>,
    files: Tls,
}

impl Draft {
    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "host" | "hostaddr" => self.host = value,
            "port" => self.port = Some(value.parse().map_err(|_| malformed("has a port that is not a number from 0 to 65535"))?),
            "user" => self.user = value,
            "password" => self.password = Some(SecretString::from(value)),
            "dbname" | "database" => self.database = value,
            "sslmode" => self.mode = Some(value),
            // The public web's CAs, as without a file.
            "sslrootcert" if value == "system" => {}
            "sslrootcert" => self.files.ca_file = Some(value.into()),
            "sslcert" => self.files.client_certificate_file = Some(value.into()),
            "sslkey" => self.files.client_key_file = Some(value.into()),
            name if IGNORED.contains(&name) => {}
            name => {
                return Err(malformed(&format!("has the parameter {name:?}, which is not supported"))
                    .hint("Supported: host, port, user, password, dbname, sslmode, sslrootcert, sslcert, sslkey."));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Address> {
        if self.host.contains(',') {
            return Err(malformed("names several hosts").hint("Give the address of the primary server alone."));
        }
        if self.user.is_empty() {
            return Err(malformed("names no user"));
        }
        if self.database.is_empty() || self.database.contains('\0') {
            return Err(malformed("names no database"));
        }
        let host = match self.host.as_str() {
            "" => Host::Name("localhost".to_owned()),
            path if path.starts_with('/') => Host::Socket(path.into()),
            name => Host::Name(name.to_owned()),
        };
        let tls = tls(self.mode.as_deref(), self.files)?;
        let (port, limits) = (self.port.unwrap_or(5432), Limits::default());
        Ok(Address { host, port, database: self.database, user: self.user, password: self.password, tls, acts_as: None, limits })
    }
}

/// libpq takes `user@/database?host=/folder`, a URL proper does not: the default host stands in.
fn with_host(url: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    if url[authority..end].ends_with('@') { format!("{}localhost{}", &url[..end], &url[end..]) } else { url.to_owned() }
}

fn tls(mode: Option<&str>, files: Tls) -> Result<Option<Tls>> {
    let mode = match mode {
        // What is given for `allow`, too: it asks without TLS first, and finds the same servers.
        None | Some("prefer" | "allow") if files == Tls::default() => return Ok(None),
        Some("require") => TlsMode::Require,
        Some("disable") => TlsMode::Disable,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        None | Some("prefer" | "allow") => {
            return Err(malformed("names certificates, but no sslmode").hint("Add sslmode=verify-full, verify-ca or require."));
        }
        Some(other) => {
            return Err(malformed(&format!("has sslmode {other:?}, which is not supported"))
                .hint("Use disable, allow, prefer, require, verify-ca or verify-full."));
        }
    };
    let tls = Tls { mode: Some(mode), ..files };
    tls.check().map_err(|error| error.during("the PostgreSQL URL contradicts itself"))?;
    Ok(Some(tls))
}

fn decoded(text: &str) -> Result<String> {
    Ok(percent_decode_str(text).decode_utf8().map_err(|_| malformed("is not UTF-8 after percent-decoding"))?.into_owned())
}

/// Never shows the URL: a password is in it.
fn malformed(what: &str) -> Error {
    Error::refused(format!("the PostgreSQL URL {what}"))
        .hint("The form is postgresql://user:password@host:5432/database?sslmode=verify-full; encode special characters as %XX.")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_url_of_zync_is_read() {
        let address = Address::parse("postgresql://zync:p%40ss%2Fw%C3%B6rd@db.example:6432/zync_production").unwrap();
        assert_eq!(address.host, Host::Name("db.example".into()));
        assert_eq!((address.port, address.user.as_str(), address.database.as_str()), (6432, "zync", "zync_production"));
        assert_eq!(address.password.as_ref().unwrap().expose_secret(), "p@ss/wörd");
        assert_eq!(address.tls, None);
        assert_eq!(address.to_string(), "db.example:6432/zync_production");
        assert!(!format!("{address:?}").contains("p@ss"));
    }

    #[test]
    fn sockets_ipv6_and_odd_names_are_read() {
        let socket = Address::parse("postgres:///a%2Fb%20%22C%22?host=/var/run/postgresql&user=me+you").unwrap();
        assert_eq!(socket.host, Host::Socket("/var/run/postgresql".into()));
        assert_eq!((socket.database.as_str(), socket.user.as_str()), ("a/b \"C\"", "me+you"));
        assert_eq!(Address::parse("postgres://u:p@/x?host=/s").unwrap().host, Host::Socket("/s".into()));
        let encoded = Address::parse("postgres://u@%2Ftmp%2Fpg/x").unwrap();
        assert_eq!(encoded.host, Host::Socket("/tmp/pg".into()));
        assert_eq!(Address::parse("postgres://u@[::1]:5/x").unwrap().host, Host::Name("::1".into()));
    }

    #[test]
    fn tls_parameters_become_tls_options() {
        let address =
            Address::parse("postgres://u@h/x?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&pool=5").unwrap();
        let tls = address.tls.unwrap();
        assert_eq!(tls.mode, Some(TlsMode::VerifyFull));
        assert_eq!(tls.ca_file, Some("/ca.pem".into()));
        assert_eq!(tls.client_certificate_file, Some("/c.pem".into()));
        assert_eq!(tls.client_key_file, Some("/k.pem".into()));
        assert_eq!(Address::parse("postgres://u@h/x?sslmode=require").unwrap().tls, Some(Tls::of_mode(TlsMode::Require)));
        assert!(Address::parse("postgres://u@h/x?sslmode=require&sslrootcert=/ca").unwrap().tls.unwrap().verifies_chain());
    }

    #[test]
    fn bad_urls_are_refused_by_name_and_never_shown() {
        for (url, word) in [
            ("mysql2://u:secret@h/x", "postgresql://"),
            ("postgres://u:secret@h/x?gssencmode=require", "gssencmode"),
            ("postgres://u:secret@h/x?sslmode=sometimes", "sometimes"),
            ("postgres://u:secret@h/x?sslrootcert=/ca", "sslmode"),
            ("postgres://u:secret@h/x?sslmode=disable&sslrootcert=/ca", "disabled"),
            ("postgres://u:secret@h/x?sslmode=require&sslcert=/c", "without its key"),
            ("postgres://u:secret@h/x?sslmode=require&sslkey=/k", "without its certificate"),
            ("postgres://u:secret@h", "database"),
            ("postgres://h/x", "user"),
            ("postgres://u:secret@a,b/x", "several"),
            ("postgres://u:secret@h:99999/x", "malformed"),
            ("u:secret", "postgresql://"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.class(), plan::Class::Refused, "{url}");
            let shown = format!("{error:?}");
            assert!(shown.contains(word), "{url}: {shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
