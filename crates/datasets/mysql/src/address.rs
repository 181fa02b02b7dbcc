//! Where the database is, in the form of 3scale's own Secrets: `mysql2://user:password@host:port/database`.
//!
//! Never shows the password: not in an error, not in [`fmt::Debug`], not in [`fmt::Display`].

use std::fmt;
use std::path::PathBuf;

use line::{Door, Limits};
use mysql::OptsBuilder;
use percent_encoding::percent_decode_str;
use plan::{Error, Result};
use secrecy::{ExposeSecret, SecretString};
use tls::{Tls, TlsMode};

/// The largest row that is taken: each connection holds one of them, twice. A row may be larger than what the server accepts as a statement; the protocol
/// knows 1 GiB.
pub(crate) const MAX_PACKET_BYTES: usize = if cfg!(test) { 48 << 20 } else { 256 << 20 };

const FORM: &str = "Write it as mysql2://user:password@host:port/database, or mysql2://user:password@/database?socket=/path; percent-encode special characters.";

/// What Rails knows about TLS, and this program too.
const OF_TLS: [&str; 4] = ["ssl_mode", "sslca", "sslcert", "sslkey"];
const TLS_FORM: &str = "Write ssl_mode=required, verify_ca or verify_identity in the address (sslca, sslcert, sslkey beside it), or tls = { mode = …, ca-file = … } in the section.";

/// The address of a database, with what is needed to log in.
#[derive(Clone)]
pub struct Address {
    /// Host name or IP address; ignored with a socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unix socket, instead of host and port.
    pub socket: Option<PathBuf>,
    /// User name.
    pub user: String,
    /// Password; empty for none. May be replaced by one from a file or a command.
    pub password: SecretString,
    /// The database.
    pub database: String,
    /// TLS towards the server.
    pub tls: Tls,
    /// Without a mode: TLS where the server offers it, as the client library of MySQL does for `ssl_mode=preferred`.
    pub prefers_tls: bool,
    /// How long the server may be silent, and who may stop the wait for it.
    pub limits: Limits,
}

impl Address {
    /// A server by its host and port, with a user who has no password, without TLS.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no user name or no database.
    pub fn new(host: &str, port: u16, user: &str, database: &str) -> Result<Self> {
        let missing = [("user name", user), ("database", database)].into_iter().find(|(_, text)| text.is_empty());
        if let Some((what, _)) = missing {
            return Err(Error::refused(format!("the address of the MySQL database has no {what}")).hint(FORM));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            socket: None,
            user: user.to_owned(),
            password: SecretString::default(),
            database: database.to_owned(),
            tls: Tls::default(),
            prefers_tls: false,
            limits: Limits::default(),
        })
    }

    /// Reads `mysql2://` and `mysql://` addresses. The query may hold `socket`, and what Rails knows about TLS: `ssl_mode`, `sslca`, `sslcert`,
    /// `sslkey`. Another one about TLS is refused; every other parameter of Rails (`encoding`, `pool`, `reconnect`…) means nothing here.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] with the place of the fault, never the password.
    pub fn parse(url: &str) -> Result<Self> {
        let refuse = |what: &str| Error::refused(format!("malformed address of a MySQL database: {what}")).hint(FORM);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse("no \"://\" after the scheme"))?;
        if !matches!(scheme, "mysql2" | "mysql") {
            return Err(refuse("the scheme is neither mysql2 nor mysql"));
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (authority, database) = place.split_once('/').ok_or_else(|| refuse("no \"/database\" after the host"))?;
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = host_and_port(authority).map_err(|what| refuse(&what))?;
        let decode = |text: &str, what: &str| {
            let decoded = percent_decode_str(text).decode_utf8().map_err(|_| refuse(&format!("the {what} is not UTF-8")))?;
            if decoded.contains('\0') { Err(refuse(&format!("the {what} holds a NUL byte"))) } else { Ok(decoded.into_owned()) }
        };
        let mut address = Self {
            host: decode(host, "host")?,
            port,
            socket: None,
            user: decode(user, "user name")?,
            password: SecretString::from(decode(password, "password")?),
            database: decode(database, "database")?,
            tls: Tls::default(),
            prefers_tls: false,
            limits: Limits::default(),
        };
        if address.user.is_empty() {
            return Err(refuse("no user name before the host"));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode(key, "name of a parameter")?;
            if !OF_TLS.contains(&key.as_str()) {
                tls::refuse_unknown(&key).map_err(|error| error.hint(TLS_FORM))?;
            }
            let value = decode(value, "value of a parameter")?;
            address.parameter(&key, value).map_err(|what| refuse(&what))?;
        }
        if address.database.is_empty() {
            return Err(refuse("no database after the host"));
        }
        if address.host.is_empty() && address.socket.is_none() {
            return Err(refuse("no host and no socket"));
        }
        address.tls.check().map_err(|error| error.during("the address of the MySQL database contradicts itself"))?;
        Ok(address)
    }

    fn parameter(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "socket" if !value.is_empty() => self.socket = Some(value.into()),
            "sslca" => self.tls.ca_file = Some(value.into()),
            "sslcert" => self.tls.client_certificate_file = Some(value.into()),
            "sslkey" => self.tls.client_key_file = Some(value.into()),
            "ssl_mode" => {
                let mode = match value.to_ascii_lowercase().trim_start_matches("ssl_mode_") {
                    "disabled" => TlsMode::Disable,
                    "preferred" => {
                        (self.prefers_tls, self.tls.mode) = (true, None);
                        return Ok(());
                    }
                    "required" => TlsMode::Require,
                    "verify_ca" => TlsMode::VerifyCa,
                    "verify_identity" => TlsMode::VerifyFull,
                    _ => return Err("ssl_mode is none of disabled, preferred, required, verify_ca, verify_identity".into()),
                };
                (self.prefers_tls, self.tls.mode) = (false, Some(mode));
            }
            _ => {}
        }
        Ok(())
    }

    /// The same server with another password: from a file, a command, a Secret.
    #[must_use]
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.password = password;
        self
    }

    /// Sets TLS options over those of the URL.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when they contradict themselves.
    pub fn with_tls(mut self, tls: Tls) -> Result<Self> {
        self.prefers_tls &= tls.mode.is_none();
        self.tls = tls.over(self.tls);
        self.tls.check().map_err(|error| error.during(format!("the TLS options of {self} do not fit")))?;
        Ok(self)
    }

    /// The same server with other limits of waiting.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Server without database, for messages: `127.0.0.1:3306` or the socket.
    #[must_use]
    pub fn server(&self) -> String {
        match &self.socket {
            Some(socket) => socket.display().to_string(),
            None if self.host.contains(':') => format!("[{}]:{}", self.host, self.port),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Options of the client library, without a default database; through a line's door when the server is reached over the network.
    pub(crate) fn options(&self, door: Option<&Door>) -> OptsBuilder {
        let password = self.password.expose_secret();
        let options = OptsBuilder::new()
            .user(Some(self.user.as_str()))
            .pass((!password.is_empty()).then_some(password))
            // The address is taken as written: the library would otherwise move from a loopback port to the server's socket.
            .prefer_socket(false)
            .max_allowed_packet(Some(MAX_PACKET_BYTES))
            .stmt_cache_size(Some(0));
        match (door, &self.socket) {
            (Some(Door::Socket(path)), _) | (None, Some(path)) => options.socket(Some(path.display().to_string())),
            (Some(Door::Port(port)), _) => options.ip_or_hostname(Some("127.0.0.1")).tcp_port(*port),
            (None, None) => options.ip_or_hostname(Some(self.host.as_str())).tcp_port(self.port),
        }
    }
}

fn host_and_port(authority: &str) -> Result<(&str, u16), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("no \"]\" after the IPv6 address")?,
        None => match authority.find(':') {
            Some(at) => authority.split_at(at),
            None => (authority, ""),
        },
    };
    let port = match port.strip_prefix(':') {
        Some("") | None if port.len() <= 1 => 3306,
        Some(digits) => digits
            .parse()
            .map_err(|_| "the port is not a number from 1 to 65535 (is there an unencoded \"@\", \":\" or \"/\" in the password?)")?,
        None => return Err("there is something between \"]\" and the port".into()),
    };
    Ok((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server(), self.database)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self}, user {})", self.user)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_address_of_the_secret_is_read() {
        let address = Address::parse("mysql2://root:s%40c%3Aret@system-mysql/system").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.user.as_str()), ("system-mysql", 3306, "root"));
        assert_eq!((address.password.expose_secret(), address.database.as_str()), ("s@c:ret", "system"));
    }

    #[test]
    fn sockets_ipv6_and_parameters_of_rails_are_read() {
        let socket = Address::parse("mysql2://root:pw@/system?socket=/run/my%20sql.sock&encoding=utf8").unwrap();
        assert_eq!(socket.server(), "/run/my sql.sock");
        let six = Address::parse("mysql://u@[::1]:3307/db?ssl_mode=verify_identity&sslca=/ca.pem").unwrap();
        assert_eq!((six.server().as_str(), six.tls.mode), ("[::1]:3307", Some(TlsMode::VerifyFull)));
        for (query, mode, prefers) in [
            ("ssl_mode=preferred&encoding=utf8&foo=bar", None, true),
            ("ssl_mode=SSL_MODE_PREFERRED", None, true),
            ("ssl_mode=preferred&ssl_mode=required", Some(TlsMode::Require), false),
            ("ssl_mode=required&ssl_mode=preferred", None, true),
            ("pool=5", None, false),
        ] {
            let address = Address::parse(&format!("mysql2://u@h/db?{query}")).unwrap();
            assert_eq!((address.tls.mode, address.prefers_tls), (mode, prefers), "{query}");
        }
        let configured = Address::parse("mysql2://u@h/db?ssl_mode=preferred").unwrap().with_tls(Tls::of_mode(TlsMode::Disable)).unwrap();
        assert!(!configured.prefers_tls);
    }

    #[test]
    fn a_malformed_address_names_the_place_and_not_the_password() {
        for (url, place) in [
            ("mysql2:/root:hunter2@h/db", "://"),
            ("postgresql://root:hunter2@h/db", "scheme"),
            ("mysql2://root:hunter2@h", "database"),
            ("mysql2://root:hunter2@h/", "database"),
            ("mysql2://root:hunter2@h:33x6/db", "port"),
            ("mysql2://root:hunter2@h:99999/db", "port"),
            ("mysql2://root:hunter2@/db", "socket"),
            ("mysql2://root:hunter2%ff@h/db", "password"),
            ("mysql2://:hunter2@h/db", "user"),
            ("mysql2://root:hunter2@[::1/db", "]"),
            ("mysql2://root:hunter2@h/db?ssl_mode=hunter2", "ssl_mode"),
            ("mysql2://root:hunter2@h/db?sslmode=required", "\"sslmode\""),
            ("mysql2://root:hunter2@h/db?ssl-mode=REQUIRED", "\"ssl-mode\""),
            ("mysql2://root:hunter2@h/db?SSL_MODE=required", "\"SSL_MODE\""),
            ("mysql2://root:hunter2@h/db?ssl%2dmode=required", "\"ssl-mode\""),
            ("mysql2://root:hunter2@h/db?pool=5&useSSL=true", "\"useSSL\""),
            ("mysql2://root:hunter2@h/db?sslverify", "\"sslverify\""),
            ("mysql2://root:hunter2@h/db?sslcipher=AES128-SHA", "\"sslcipher\""),
            ("mysql2://root:hunter2@h/db?sslcapath=/ca", "\"sslcapath\""),
            ("mysql2://root:hunter2@h/db?tls_version=TLSv1.3", "\"tls_version\""),
            ("mysql2://root:1/x?tls:hunter2@h/db", "user"),
            ("mysql2://root:a@b/x?tls:hunter2@h/db", "a parameter of the address"),
            ("mysql2://root:hunter2@h/db?ssl_mode=preferred&sslca=/ca.pem", "no TLS mode"),
            ("mysql2://root:hunter2@h/db?sslca=/ca.pem", "no TLS mode"),
            ("mysql2://root:hunter2@h/db?ssl_mode=disabled&sslca=/ca.pem", "disabled"),
            ("mysql2://root:hunter2@h/db?ssl_mode=required&sslcert=/c.pem", "without its key"),
            ("mysql2://root:hunter2@h/db?ssl_mode=required&sslkey=/k.pem", "without its certificate"),
        ] {
            let error = Address::parse(url).unwrap_err();
            let text = format!("{error:?}");
            assert!(text.contains(place), "{url}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
            assert_eq!(error.class(), plan::Class::Refused);
        }
        assert!(!format!("{:?}", Address::parse("mysql2://root:hunter2@h/db").unwrap()).contains("hunter2"));
    }
}
