//! What may be shown of a configuration: values with where they came from, secrets hidden.

use serde::Serialize;

use super::Config;
use super::keys::SECTIONS;
use super::table::{Form, Kind, Section};
use super::values::{Given, Origin};

/// What stands for a secret.
pub(crate) const HIDDEN: &str = "(hidden)";

/// Parts of an address's query that say nothing secret.
const OPEN_PARTS: [&str; 8] = ["socket", "host", "port", "db", "sslmode", "ssl-mode", "encoding", "timeout"];

/// A value as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    /// `repository.s3`.
    pub section: String,
    pub key: String,
    /// As it would be written in the file; `null` when it is hidden whole, or has no default.
    pub value: Option<String>,
    pub hidden: bool,
    pub origin: ShownOrigin,
}

/// Where a value came from.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum ShownOrigin {
    Flag { flag: String },
    Environment { variable: String },
    File { file: String, line: usize },
    Default,
}

impl std::fmt::Display for ShownOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag { flag } => write!(f, "flag {flag}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl From<&Origin> for ShownOrigin {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::File { path, line } => Self::File { file: path.display().to_string(), line: *line },
            Origin::Variable(name) => Self::Environment { variable: name.clone() },
        }
    }
}

impl Config {
    /// Every value, and the defaults of keys that were not given, in sections that are there.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let mut all = Vec::new();
        let copies = self.values.copies();
        let copies = copies.iter().map(|name| Section::of_copy(name));
        for section in SECTIONS.iter().filter(|section| section.copy().is_none()).chain(copies) {
            let is_there = self.has(section.name) || section.data_set().is_none() && section.name != "writers";
            let places = section.places().filter(|place| is_there && place.form == Form::Itself);
            for place in places {
                let given = self
                    .values
                    .of(section.name)
                    .find(|given| given.place.header() == place.header() && given.place.key.name == place.key.name);
                let shown = match (given, place.key.default) {
                    (Some(given), _) => of_given(given),
                    // Tables that were not given are left out: they would be noise.
                    (None, Some(default)) if place.table.is_none() && place.key.name != "absent" => Shown {
                        section: place.header(),
                        key: place.written(),
                        value: Some(default.to_owned()),
                        hidden: false,
                        origin: ShownOrigin::Default,
                    },
                    (None, _) => continue,
                };
                all.push(shown);
            }
        }
        all
    }
}

fn of_given(given: &Given) -> Shown {
    let (value, hidden) = value_of(given);
    Shown { section: given.place.header(), key: given.place.written(), value, hidden, origin: (&given.origin).into() }
}

/// The value as it may be shown, and whether something of it is hidden.
fn value_of(given: &Given) -> (Option<String>, bool) {
    let Some(text) = given.value.as_str() else { return (Some(given.value.to_string()), false) };
    if given.place.is_hidden() {
        return (None, true);
    }
    let shown = match (given.place.form, given.place.key.kind) {
        (Form::Itself, Kind::SecretAddress) => without_secrets(text),
        (Form::Itself, Kind::Addresses) => text.split(',').map(|one| without_secrets(one.trim())).collect::<Vec<_>>().join(","),
        _ => text.to_owned(),
    };
    let hidden = shown != text;
    (Some(toml::Value::String(shown).to_string()), hidden)
}

/// Whether a value, as it stands there, has a secret in it.
pub(super) fn holds_secret(given: &Given) -> bool {
    given.place.form == Form::Itself && value_of(given).1
}

/// An address with what may be secret in it hidden. When in doubt, more is hidden.
pub(crate) fn without_secrets(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        // A folder; or no address that any store takes, such as libpq's `host=… password=…`.
        return if address.contains(['@', '=']) { HIDDEN.to_owned() } else { address.to_owned() };
    };
    // A password may have been written with a `/`, `?` or `@` in it: all before the last `@` is the login.
    let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let login = login.map(|login| match login.split_once(':') {
        Some((user, password)) if !password.is_empty() => format!("{user}:{HIDDEN}@"),
        // Some clients of Redis take a login without a colon for the password.
        None if scheme.starts_with("redis") || scheme == "unix" => format!("{HIDDEN}@"),
        _ => format!("{login}@"),
    });
    let (path, query) = place.split_once('?').map_or((place, None), |(path, query)| (path, Some(query)));
    let query = query.map(|query| {
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, _)) if !OPEN_PARTS.contains(&name) => format!("{name}={HIDDEN}"),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{}{path}{}", login.unwrap_or_default(), query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_hidden_however_it_is_written() {
        let cases = [
            ("mysql2://root:s3cret@h:3306/system", "mysql2://root:(hidden)@h:3306/system"),
            ("redis://:s3cret@h/0", "redis://:(hidden)@h/0"),
            ("redis://s3cret@h/0", "redis://(hidden)@h/0"),
            ("mysql2://root:s3@cr/et?@h/system", "mysql2://root:(hidden)@h/system"),
            ("postgresql://zync@/zync?host=/run&password=s3cret", "postgresql://zync@/zync?host=/run&password=(hidden)"),
            ("root:s3cret@h", "(hidden)"),
            ("host=h password=s3cret", "(hidden)"),
            ("/backups/3scale", "/backups/3scale"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ];
        for (address, shown) in cases {
            assert_eq!(without_secrets(address), shown);
        }
    }
}
