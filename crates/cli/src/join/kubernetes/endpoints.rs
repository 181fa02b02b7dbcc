//! What is found in the Secrets, as addresses of the stores. Certificates and keys become files that are in memory only.

use plan::{Error, Result};
use platforms::kubernetes::find::address::Reach;
use platforms::kubernetes::find::{Certificates, DatabaseAt, DatabaseKind, RedisAt, Sentinels as FoundSentinels};
use redis_data_set::{Address, Dial, Sentinels};
use secrecy::{ExposeSecret, SecretString};
use tls::{Tls, TlsMode};

use super::memory::InMemory;
use super::ways::Dialled;
use crate::join::endpoint::Database;

/// What MySQL's URL may say of TLS; its files are those of System's pods, the Secret has the same.
const OF_MYSQL: [&str; 5] = ["ssl_mode", "sslmode", "sslca", "sslcert", "sslkey"];

/// The superuser of PostgreSQL's images.
const SUPERUSER: &str = "postgres";

/// Files that must live as long as the addresses are used. The same content is the same file, so that two addresses of one server are seen to be one.
#[derive(Default)]
pub(super) struct Files(Vec<(SecretString, InMemory)>);

impl Files {
    fn tls(&mut self, mode: TlsMode, from: &Certificates) -> Result<Tls> {
        let mut file = |content: &Option<SecretString>| -> Result<Option<std::path::PathBuf>> {
            let Some(content) = content else { return Ok(None) };
            let known = self.0.iter().find(|(known, _)| known.expose_secret() == content.expose_secret());
            if let Some((_, made)) = known {
                return Ok(Some(made.path()));
            }
            let made = InMemory::of(content)?;
            let path = made.path();
            self.0.push((content.clone(), made));
            Ok(Some(path))
        };
        Ok(Tls {
            mode: Some(mode),
            ca_file: file(&from.ca)?,
            client_certificate_file: file(&from.certificate)?,
            client_key_file: file(&from.key)?,
        })
    }
}

/// The address of a database at the end of its way.
pub(super) fn database(at: &DatabaseAt, way: &Dialled, files: &mut Files) -> Result<Database> {
    let (user, password) = match &at.admin_password {
        Some(password) => (SUPERUSER, Some(password.clone())),
        None => (at.user.as_str(), at.password.clone()),
    };
    let tls = match mode(at.tls_mode.as_deref())? {
        None => Tls::default(),
        Some(TlsMode::Disable) => Tls::of_mode(TlsMode::Disable),
        // The certificate names the Service, not the end of a forwarded port; the way itself goes through the API server's own TLS.
        Some(TlsMode::VerifyFull) if way.forwarded().is_some() => files.tls(TlsMode::VerifyCa, &at.certificates)?,
        Some(mode) => files.tls(mode, &at.certificates)?,
    };
    let said = |error: Error| error.during(format!("{} cannot be used", at.origin));
    match at.kind {
        DatabaseKind::MySql => {
            understood(&at.parameters, &OF_MYSQL).map_err(said)?;
            let mut address = mysql_data_set::Address::new(&way.host, way.port, user, &at.database).map_err(said)?;
            address.prefers_tls = is_preferred(at.tls_mode.as_deref());
            let address = password.iter().fold(address, |address, password| address.with_password(password.clone()));
            Ok(Database::MySql(address.with_tls(tls)?))
        }
        DatabaseKind::PostgreSql => {
            let mut address = postgres_data_set::Address::new(&way.host, way.port, user, &at.database).map_err(said)?;
            address.password = password;
            Ok(Database::PostgreSql(address.with_tls(tls)?))
        }
    }
}

/// The address of a Redis server, by its name in the cluster; `dial` leads there.
pub(super) fn redis(at: &RedisAt, dial: Dial, files: &mut Files) -> Result<Address> {
    understood(&at.parameters, &[]).map_err(|error| error.during(format!("{} cannot be used", at.origin)))?;
    let (host, port) = match &at.sentinels {
        Some(_) => (at.host.clone(), 0),
        None => at.reach.host_and_port(),
    };
    let mut address = Address::new(host, port, at.database).with_dial(dial);
    if let Some(user) = &at.user {
        address = address.with_user(user);
    }
    if let Some(password) = &at.password {
        address = address.with_password(password.clone());
    }
    if let Some(found) = &at.sentinels {
        address = address.with_sentinels(sentinels(found).map_err(|error| error.during(format!("the sentinels beside {}", at.origin)))?)?;
    }
    if !at.is_tls {
        return Ok(address);
    }
    // As System and Backend verify; the name too, if it were sure that those who know the server by sentinels know it by the certificate's name.
    let mode = if at.certificates.ca.is_some() { TlsMode::VerifyCa } else { TlsMode::Require };
    address.with_tls(files.tls(mode, &at.certificates)?)
}

/// The sentinels of a Secret.
pub(super) fn sentinels(found: &FoundSentinels) -> Result<Sentinels> {
    let user = found.user.as_ref().map(|user| user.expose_secret().to_owned());
    Ok(Sentinels::parse(found.hosts.expose_secret(), &found.role)?.or_login(user, found.password.clone()))
}

/// Namespaces of the cluster in which the sentinels of a server are.
pub(super) fn namespaces(at: &RedisAt, reach: impl Fn(&str, u16) -> Reach) -> Vec<String> {
    let Some(Ok(found)) = at.sentinels.as_ref().map(sentinels) else { return Vec::new() };
    let mut all: Vec<_> = found
        .hosts
        .iter()
        .filter_map(|at| match reach(&at.host, at.port) {
            Reach::Service { namespace, .. } | Reach::Pod { namespace, .. } => Some(namespace),
            Reach::External { .. } => None,
        })
        .collect();
    all.dedup();
    all
}

/// Refuses a URL that says something about TLS which is not heeded.
fn understood(parameters: &[String], known: &[&str]) -> Result<()> {
    let unknown = parameters.iter().filter(|name| !known.contains(&name.as_str()));
    let way_out = "Give the address in the configuration, with tls = { mode = …, ca-file = … }.";
    unknown.map(|name| tls::refuse_unknown(name)).find(Result::is_err).unwrap_or(Ok(())).map_err(|error| error.hint(way_out))
}

/// TLS where the server offers it, in MySQL's word.
fn is_preferred(mode: Option<&str>) -> bool {
    mode.is_some_and(|mode| mode.eq_ignore_ascii_case("preferred"))
}

/// Words of libpq and of MySQL.
fn mode(text: Option<&str>) -> Result<Option<TlsMode>> {
    let word = text.unwrap_or_default().to_ascii_lowercase().replace('_', "-");
    Ok(Some(match word.as_str() {
        "" | "preferred" | "prefer" | "allow" => return Ok(None),
        "disable" | "disabled" => TlsMode::Disable,
        "require" | "required" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" | "verify-identity" => TlsMode::VerifyFull,
        other => {
            return Err(Error::refused(format!("the mode of TLS {other:?} is not known")).hint("Give the address in the configuration."));
        }
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use lab::{Redis, Sentinel, SentinelLogin, SentinelOptions};
    use plan::ids::DataSetName;
    use plan::ports::{Context, DataSet};
    use redis_data_set::{Options, RedisStore};

    use super::*;
    use crate::join::endpoint::BackendRedis;

    const PASSWORD: &str = "p@ss:w/d";
    const ENCODED: &str = "p%40ss%3Aw%2Fd";

    /// Everybody is where he says.
    fn dial() -> Dial {
        Dial::new(|host, port| Ok((host.to_owned(), port)))
    }

    fn at(database: u32, server: &Redis, is_tls: bool, certificates: Certificates, sentinels: Option<FoundSentinels>) -> RedisAt {
        RedisAt {
            host: "group".into(),
            reach: Reach::External { host: "127.0.0.1".into(), port: server.port() },
            user: None,
            password: Some(server.password().to_owned().into()),
            database,
            is_tls,
            certificates,
            sentinels,
            key_prefix: None,
            parameters: Vec::new(),
            origin: "Secret backend-redis, key X".into(),
        }
    }

    fn found(hosts: String, login: Option<(&str, &str)>) -> FoundSentinels {
        let secret = |text: &str| SecretString::from(text.to_owned());
        let (user, password) = (login.map(|(user, _)| user), login.map(|(_, password)| password));
        FoundSentinels {
            hosts: hosts.into(),
            role: "master".into(),
            user: user.filter(|user| !user.is_empty()).map(secret),
            password: password.map(secret),
        }
    }

    fn count(backend: BackendRedis) -> plan::Result<Option<u64>> {
        let addresses = vec![("storage", backend.storage), ("queues", backend.queues)];
        let store = RedisStore::new(DataSetName::BackendRedis, addresses, Options::default())?;
        Ok(store.look(&Context::new("x"))?.count)
    }

    /// Storage by TLS with a login in the list of its sentinels, queues in plain text with one by keys, and the other way round: each has its own.
    #[test]
    fn storage_and_queues_have_each_their_own_sentinels_tls_and_logins() {
        let folder = tempfile::tempdir().unwrap();
        let files = lab::Tls::make(folder.path()).unwrap();
        let options = files.redis_options();
        let secure = Redis::start(&options.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let plain = Redis::start(&[]).unwrap();
        for server in [&secure, &plain] {
            for database in ["0", "1"] {
                assert!(server.client().args(["-n", database, "SET", "key", "x"]).output().unwrap().status.success());
            }
        }
        let common = SentinelOptions { password: Some(PASSWORD), ..SentinelOptions::PLAIN };
        let by_user = Sentinel::start(&secure, &SentinelOptions { tls: Some(&files), login: SentinelLogin::User, ..common }).unwrap();
        let by_password = Sentinel::start(&plain, &SentinelOptions { login: SentinelLogin::Password, ..common }).unwrap();
        let read = |file: std::path::PathBuf| Some(SecretString::from(std::fs::read_to_string(file).unwrap()));
        let (certificate, key) = files.client();
        let certificates = || Certificates { ca: read(files.ca()), certificate: read(certificate.clone()), key: read(key.clone()) };
        let over_tls = |database, scheme: &str| {
            let hosts = format!("{scheme}watcher:{ENCODED}@127.0.0.1:{}", by_user.port());
            at(database, &secure, true, certificates(), Some(found(hosts, None)))
        };
        let in_plain = |database| {
            let hosts = format!("127.0.0.1:1,127.0.0.1:{}", by_password.port());
            at(database, &plain, false, Certificates::default(), Some(found(hosts, Some(("", PASSWORD)))))
        };
        for (storage, queues) in
            [(over_tls(0, ""), in_plain(1)), (in_plain(0), over_tls(1, "rediss://")), (over_tls(0, "redis://"), over_tls(1, "redis://"))]
        {
            let mut kept = Files::default();
            let of = |at: &RedisAt, kept: &mut Files| redis(at, dial(), kept).unwrap();
            let backend = BackendRedis { storage: of(&storage, &mut kept), queues: of(&queues, &mut kept) };
            // The same certificates are the same files: one connection is enough for one server.
            assert_eq!(kept.0.len(), 3);
            assert_eq!(count(backend).unwrap(), Some(2));
        }
        // Each with what is the other's: refused, and no secret is told.
        let mut kept = Files::default();
        let wrong = at(0, &secure, true, certificates(), Some(found(format!("127.0.0.1:{}", by_user.port()), Some(("", PASSWORD)))));
        let queues = redis(&in_plain(1), dial(), &mut kept).unwrap();
        let error = count(BackendRedis { storage: redis(&wrong, dial(), &mut kept).unwrap(), queues }).unwrap_err();
        assert!(error.class() == plan::Class::Refused && error.chain().contains("WRONGPASS"), "{error:?}");
        assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    }
}
