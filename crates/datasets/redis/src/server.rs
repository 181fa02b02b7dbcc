//! What a server says about itself (`INFO`), and which RDB formats it writes and accepts.

use std::collections::BTreeMap;
use std::fmt;

use plan::Result;
use plan::evidence::Evidence;

use crate::connection::Connection;
use crate::rdb::{Dialect, Format};

/// Whether a server of that product and version loads a set.
#[must_use]
pub fn loads(evidence: &Evidence, is_valkey: bool, version: &str) -> bool {
    let server = Server::parse(&format!("{}:{version}", if is_valkey { "valkey_version" } else { "redis_version" }));
    let format = |version: &str| version.parse().ok().map(Format::of_version);
    let versions = evidence.facts.get("rdb-version").map_or("", String::as_str);
    versions.split(", ").all(|version| format(version).is_some_and(|format| server.accepts(format)))
}

/// A server as it described itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server {
    info: BTreeMap<String, String>,
    modules: Vec<String>,
}

impl Server {
    /// Asks the server.
    pub(crate) fn ask(connection: &mut Connection) -> Result<Self> {
        let text = connection.call(&[b"INFO"])?.text();
        Ok(Self::parse(&text))
    }

    /// What `INFO` answered.
    pub(crate) fn parse(text: &str) -> Self {
        let mut server = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
            if name == "module" {
                let module = value.split(',').find_map(|field| field.strip_prefix("name=")).unwrap_or(value);
                server.modules.push(module.to_owned());
            } else {
                server.info.insert(name.to_owned(), value.to_owned());
            }
        }
        server
    }

    /// A field of `INFO`; empty when there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.info.get(name).map_or("", String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.field(name).parse().unwrap_or(0)
    }

    pub(crate) fn modules(&self) -> &[String] {
        &self.modules
    }

    /// Keys, and keys that expire, of a logical database.
    pub(crate) fn keys(&self, database: u32) -> (u64, u64) {
        let line = self.field(&format!("db{database}"));
        let field = |name: &str| line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        (field("keys").unwrap_or(0), field("expires").unwrap_or(0))
    }

    pub(crate) fn is_valkey(&self) -> bool {
        self.info.contains_key("valkey_version")
    }

    /// Major, minor and patch.
    pub(crate) fn version(&self) -> (u32, u32, u32) {
        let text = if self.is_valkey() { self.field("valkey_version") } else { self.field("redis_version") };
        let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }

    /// The format that the server writes. For servers newer than this program knows: the newest that it knows of that kind.
    pub(crate) fn writes(&self) -> Format {
        let (major, minor, _) = self.version();
        if self.is_valkey() {
            let version = match (major, minor) {
                (..=8, _) => 11,
                (9, 0..=1) => 80,
                _ => 81,
            };
            return Format { dialect: if version > 79 { Dialect::Valkey } else { Dialect::Redis }, version };
        }
        let version = match (major, minor) {
            (..=2, _) => 6,
            (3, 0..=1) => 6,
            (3, _) => 7,
            (4, _) => 8,
            (5..=6, _) => 9,
            (7, 0..=1) => 10,
            (7, 2..=3) => 11,
            (7, _) | (8, 0..=4) => 12,
            (8, 5..=6) => 13,
            _ => 14,
        };
        Format { dialect: Dialect::Redis, version }
    }

    /// Whether the server loads payloads of that format. Valkey refuses what Redis has written since 7.4 (`rdbIsForeignVersion`), Redis what Valkey has written
    /// since 9.0.
    pub(crate) fn accepts(&self, format: Format) -> bool {
        let own = self.writes();
        if self.is_valkey() {
            return format.version <= 11
                || (format.dialect == Dialect::Valkey && own.dialect == Dialect::Valkey && format.version <= own.version);
        }
        format.dialect == Dialect::Redis && format.version <= own.version
    }

    /// Whether the server is at least that version, for Valkey counted as the Redis 7.2 from which it came.
    pub(crate) fn at_least(&self, major: u32, minor: u32) -> bool {
        let (found_major, found_minor, _) = self.version();
        let (found_major, found_minor) = if self.is_valkey() { (7, 2) } else { (found_major, found_minor) };
        (found_major, found_minor) >= (major, minor)
    }

    /// Memory that may be used in all, as far as the server knows; 0 when it does not say.
    pub(crate) fn memory_limit(&self) -> u64 {
        match self.number("maxmemory") {
            0 => self.number("total_system_memory") / 10 * 9,
            limit => limit,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (product, version) = if self.is_valkey() { ("Valkey", "valkey_version") } else { ("Redis", "redis_version") };
        write!(f, "{product} {}", self.field(version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Server {
        Server::parse(text)
    }

    #[test]
    fn formats_go_forward_never_back() {
        let redis = |version: &str| server(&format!("redis_version:{version}\r\n"));
        let valkey = |version: &str| server(&format!("redis_version:7.2.4\r\nvalkey_version:{version}\r\n"));
        let versions = [("5.0.14", 9), ("6.2.16", 9), ("7.0.15", 10), ("7.2.5", 11), ("7.4.1", 12), ("8.2.0", 12), ("8.6.0", 13)];
        for (version, rdb) in versions {
            assert_eq!(redis(version).writes().version, rdb, "{version}");
            assert!(redis(version).accepts(Format::of_version(rdb)));
            assert!(!redis(version).accepts(Format::of_version(rdb + 1)), "{version}");
        }
        assert!(valkey("8.0.1").accepts(Format::of_version(10)) && !valkey("8.0.1").accepts(Format::of_version(12)));
        assert!(valkey("9.0.0").accepts(Format::of_version(80)) && valkey("9.0.0").accepts(Format::of_version(11)));
        assert!(!valkey("9.0.0").accepts(Format::of_version(12)) && !valkey("8.1.0").accepts(Format::of_version(80)));
        assert!(!redis("8.2.0").accepts(Format::of_version(80)));
    }

    #[test]
    fn a_set_tells_which_programs_load_it() {
        let of = |versions: &str| Evidence { facts: [("rdb-version".to_owned(), versions.to_owned())].into(), ..Evidence::default() };
        for (versions, redis7, redis8, valkey9) in [
            ("9", true, true, true),
            ("10", true, true, true),
            ("12", false, true, false),
            ("80", false, false, true),
            ("10, 12", false, true, false),
            ("", false, false, false),
        ] {
            let evidence = of(versions);
            let found = (loads(&evidence, false, "7.0.15"), loads(&evidence, false, "8.0.6"), loads(&evidence, true, "9.1.2"));
            assert_eq!(found, (redis7, redis8, valkey9), "{versions}");
        }
    }

    #[test]
    fn info_tells_keys_and_modules() {
        let server = server("# Keyspace\r\ndb3:keys=12,expires=4,avg_ttl=0\r\nmodule:name=search,ver=1\r\nused_memory:77\r\n");
        assert_eq!((server.keys(3), server.keys(0), server.number("used_memory")), ((12, 4), (0, 0), 77));
        assert_eq!(server.modules(), ["search"]);
    }
}
