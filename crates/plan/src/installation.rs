//! Whose data it is: the name of an installation, and what tells it from another one of the same name.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// An installation: in every manifest, journal, lock and mark.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct InstallationId {
    /// The name for people: `[installation] name`, else the namespace, else one made of the system database's address. Empty when nobody said one.
    pub name: String,
    /// What stays when passwords, host names and addresses change, where one can be had: `namespace UID`, `mysql SERVER-UUID/DATABASE`,
    /// `postgresql SYSTEM-IDENTIFIER/DATABASE`, `folder FILE-SYSTEM:INODE`. Never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

impl InstallationId {
    /// An installation of which only the name is known.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), identity: None }
    }

    /// Whether the two may be the same: the names are equal, and nothing that both know says otherwise.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.name == other.name && !self.contradicts(other)
    }

    /// Whether both have an identity of the same kind, and not the same one. Of two kinds (a namespace's here, a server's there: not everybody may look at
    /// namespaces) nothing can be said.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let (Some(ours), Some(theirs)) = (&self.identity, &other.identity) else { return false };
        kind_of(ours) == kind_of(theirs) && ours != theirs
    }

    /// Whether both have the same identity.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity
    }

    /// Reads what any format of the journal has: nothing, the text `NAMESPACE` or `NAMESPACE UID` (journal format 2), or name and identity.
    pub(crate) fn of_any_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Both(InstallationId),
        }
        Ok(match Option::<Any>::deserialize(deserializer)? {
            None => None,
            Some(Any::Text(text)) if text.is_empty() => None,
            Some(Any::Text(text)) => Some(match text.split_once(' ') {
                Some((name, uid)) => Self { name: name.to_owned(), identity: Some(format!("namespace {uid}")) },
                None => Self::named(text),
            }),
            Some(Any::Both(installation)) => Some(installation),
        })
    }
}

/// `namespace`, `mysql`, `folder`, …
fn kind_of(identity: &str) -> &str {
    identity.split(' ').next().unwrap_or_default()
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "without a name" } else { &self.name };
        match &self.identity {
            Some(identity) => write!(f, "{name} ({identity})"),
            None => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, identity: Option<&str>) -> InstallationId {
        InstallationId { name: name.to_owned(), identity: identity.map(str::to_owned) }
    }

    #[test]
    fn only_what_both_know_can_contradict() {
        assert!(of("prod", Some("namespace 1")).is(&of("prod", Some("namespace 1"))));
        assert!(of("prod", Some("namespace 1")).is(&of("prod", None)));
        assert!(!of("prod", Some("namespace 1")).is(&of("prod", Some("namespace 2"))));
        assert!(!of("prod", None).is(&of("test", None)));
        assert!(of("prod", Some("namespace 1")).is(&of("prod", Some("mysql 1/system"))), "one may look at namespaces, the other may not");
    }
}
