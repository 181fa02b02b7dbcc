//! Sentinels: who knows where the server of a group is now, as 3scale's Secrets write them.

use plan::{Error, Result};
use secrecy::SecretString;
use tls::{Tls, TlsMode};
use url::Url;

use super::decode;

/// Standard port of Redis Sentinel.
const PORT: u16 = 26379;

/// Sentinels that know where the server of a group is now.
#[derive(Debug, Clone)]
pub struct Sentinels {
    /// Each of them.
    pub hosts: Vec<SentinelAt>,
    /// Whether the master is wanted (the rule); otherwise any replica, for backups only.
    pub master: bool,
    /// User name towards all of them.
    pub user: Option<String>,
    /// Password towards all of them.
    pub password: Option<SecretString>,
    /// TLS towards those that speak it.
    pub(crate) tls: Tls,
}

/// One sentinel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelAt {
    /// Name or address, no brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS, also when the server does not.
    pub speaks_tls: bool,
}

impl Sentinels {
    /// Without a login. `role` as in `SENTINEL_ROLE`: `master`, `slave`, `replica`, or empty.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is none, or the role is not known.
    pub fn new(hosts: Vec<SentinelAt>, role: &str) -> Result<Self> {
        let master = match role.trim().to_ascii_lowercase().as_str() {
            "" | "master" => true,
            "slave" | "replica" => false,
            _ => return Err(Error::refused(format!("unknown sentinel role {role:?}")).hint("Use master or slave.")),
        };
        if hosts.is_empty() {
            return Err(Error::refused("the list of sentinels is empty"));
        }
        Ok(Self { hosts, master, user: None, password: None, tls: Tls::default() })
    }

    /// Reads `SENTINEL_HOSTS`: a comma list of `[redis://|rediss://][[user]:password@]host[:port]`, in which a backslash takes its meaning from the character
    /// after it (apisonator, `storage_helpers.rb`). The first user and the first password in it are for all (porta, `redis_config.rb`).
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the list or the role cannot be understood; never shows a password.
    pub fn parse(list: &str, role: &str) -> Result<Self> {
        let (mut hosts, mut user, mut password) = (Vec::new(), None, None);
        for entry in split(list).iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            let text = if entry.contains("://") { entry.to_owned() } else { format!("redis://{entry}") };
            let url =
                Url::parse(&text).map_err(|_| Error::refused("a sentinel in the list cannot be understood").hint("Write host:port."))?;
            let host =
                url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| Error::refused("a sentinel in the list names no host"))?;
            let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
            hosts.push(SentinelAt { host, port: url.port().unwrap_or(PORT), speaks_tls: url.scheme() == "rediss" });
            user = user.or(Some(decode(url.username())?).filter(|user| !user.is_empty()));
            password = password.or(url.password().map(decode).transpose()?.filter(|password| !password.is_empty()));
        }
        Ok(Self { user, password: password.map(SecretString::from), ..Self::new(hosts, role)? })
    }

    /// The login where the list has none.
    #[must_use]
    pub fn or_login(mut self, user: Option<String>, password: Option<SecretString>) -> Self {
        self.user = self.user.or(user);
        self.password = self.password.or(password);
        self
    }

    /// Whether one speaks TLS, also when the server does not.
    pub(crate) fn speak_tls(&self) -> bool {
        self.hosts.iter().any(|at| at.speaks_tls)
    }

    /// Towards them as towards the server; where only they speak it, verified in full.
    pub(super) fn with_tls(self, tls: Tls) -> Self {
        let alone = !tls.is_on() && self.speak_tls();
        Self { tls: if alone { Tls { mode: Some(TlsMode::VerifyFull), ..tls } } else { tls }, ..self }
    }
}

/// At commas.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        let plain = match character {
            ',' => {
                parts.push(String::new());
                continue;
            }
            '\\' => characters.next(),
            other => Some(other),
        };
        if let Some(part) = parts.last_mut() {
            part.extend(plain);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use secrecy::ExposeSecret;

    use super::super::Address;
    use super::*;

    fn at(host: &str, port: u16, speaks_tls: bool) -> SentinelAt {
        SentinelAt { host: host.into(), port, speaks_tls }
    }

    fn secret(sentinels: &Sentinels) -> Option<&str> {
        sentinels.password.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn they_come_as_a_comma_list_with_logins_in_it() {
        let read = Sentinels::parse("redis://:p%40w@a:1, b ,rediss://c:3,[::1]:4", "master").unwrap();
        assert_eq!(read.hosts, [at("a", 1, false), at("b", 26379, false), at("c", 3, true), at("::1", 4, false)]);
        assert_eq!((read.user.as_deref(), secret(&read)), (None, Some("p@w")));
        let read = Sentinels::parse("one, rediss://guard:s%3A%2Fe@two:2,redis://other:not-this@three", " ").unwrap();
        assert_eq!((read.user.as_deref(), secret(&read), read.master), (Some("guard"), Some("s:/e"), true));
        // A comma in a password; a login of the Secret's own keys is for lists without.
        let read =
            Sentinels::parse(r"redis://:a\,b@one,two", "slave").unwrap().or_login(Some("u".into()), Some("not this".to_owned().into()));
        assert_eq!((read.hosts.len(), secret(&read), read.user.as_deref(), read.master), (2, Some("a,b"), Some("u"), false));
        for (list, role) in [(" ,", ""), ("", "master"), ("a", "boss"), ("redis://:hunter2@", ""), ("redis://u:hunter2@h:x", "")] {
            let error = Sentinels::parse(list, role).unwrap_err();
            assert!(error.class() == plan::Class::Refused && !format!("{error:?}").contains("hunter2"), "{list:?} {error:?}");
        }
    }

    #[test]
    fn they_are_asked_with_the_tls_of_the_server_or_with_their_own() {
        let asked = |url: &str, hosts: &str, tls: Option<Tls>| {
            let address = Address::parse(url).unwrap().with_sentinels(Sentinels::parse(hosts, "").unwrap()).unwrap();
            let address = tls.map_or(Ok(address.clone()), |tls| address.with_tls(tls))?;
            let of_sentinels = address.sentinels.as_ref().unwrap().tls.clone();
            Ok::<_, Error>((address.tls.mode, of_sentinels.mode, of_sentinels.ca_file.is_some()))
        };
        let ca = Tls { ca_file: Some("ca.pem".into()), ..Tls::default() };
        let full = Some(TlsMode::VerifyFull);
        assert_eq!(asked("redis://group/1", "a", None).unwrap(), (None, None, false));
        assert_eq!(asked("rediss://group/1", "redis://a", Some(ca.clone())).unwrap(), (full, full, true));
        assert_eq!(asked("redis://group/1", "rediss://a,b", None).unwrap(), (None, full, false));
        assert_eq!(asked("redis://group/1", "rediss://a,b", Some(ca.clone())).unwrap(), (None, full, true));
        let required = Some(TlsMode::Require);
        assert_eq!(asked("redis://group/1", "a", Some(Tls::of_mode(TlsMode::Require))).unwrap(), (required, required, false));
        assert!(asked("redis://group/1", "a", Some(ca)).is_err(), "files, and nobody speaks TLS");
    }
}
