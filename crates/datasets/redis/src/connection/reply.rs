//! Replies of the server (RESP 2), and what its error texts mean for a run.

use plan::{Class, Error};

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(String),
    Error(String),
    Number(i64),
    Bytes(Vec<u8>),
    Nil,
    List(Vec<Self>),
}

impl Reply {
    /// The reply, or the server's refusal as an error.
    pub(crate) fn ok(self) -> plan::Result<Self> {
        match self {
            Self::Error(text) => Err(refusal(&text)),
            other => Ok(other),
        }
    }

    /// As text, whatever simple kind it is; empty for lists and nil.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Error(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Nil | Self::List(_) => String::new(),
        }
    }

    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            other => other.text().parse().ok(),
        }
    }

    /// The value behind a name, in a list of names and values.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::List(fields) = self else { return None };
        fields.iter().position(|field| field.text() == name).and_then(|at| fields.get(at + 1))
    }

    pub(crate) fn list(self) -> Vec<Self> {
        if let Self::List(list) = self { list } else { Vec::new() }
    }
}

/// What a server's error text means. The texts are those of Redis 5 to 8 and Valkey (`src/server.c`, `src/acl.c`).
pub(crate) fn refusal(text: &str) -> Error {
    let code = text.split(' ').next().unwrap_or_default();
    let message = format!("the server answered {text:?}");
    match code {
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" => {
            Error::transient(message).hint("The server is not ready; try again later.")
        }
        "READONLY" => Error::transient(message).hint("This server is a replica, or has just become one: give the address of the master."),
        "NOAUTH" | "WRONGPASS" => Error::refused(message).hint("Check the user name and the password of the address."),
        "NOPERM" => Error::refused(message).hint("Give the user the named command and all keys (ACL SETUSER … +command ~*)."),
        "OOM" => Error::failed(message).hint("The server has reached maxmemory: raise it (CONFIG SET maxmemory) first. A whole restore beside the live data needs room for two copies there; in place (--in-place) it does not."),
        "MISCONF" => Error::failed(message).hint("The server cannot write its RDB or AOF: look at its log and its disk."),
        _ if text.starts_with("ERR invalid password") => Error::refused(message).hint("Check the password of the address."),
        _ if text.contains("without any password configured") || text.contains("no password is set") => {
            Error::refused(message).hint("The address has a password, the server has none.")
        }
        _ => Error::new(Class::Failed, message),
    }
}

/// Why a logical database cannot be selected.
pub(crate) fn no_database(database: u32, peer: &str, text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    if lower.contains("cluster mode") {
        return Error::refused(format!("{peer} is in cluster mode: it has database 0 only, not {database}"))
            .hint("3scale does not support cluster mode. Give the address of a server that is not in cluster mode.");
    }
    if lower.contains("out of range") || lower.contains("invalid db index") {
        return Error::refused(format!("{peer} has no logical database {database}: the server answered {text:?}"))
            .hint("Correct the number in the address. `redis-cli CONFIG GET databases` says how many there are, counted from 0; more need `databases` in redis.conf and a restart.");
    }
    if text.starts_with("NOPERM") && lower.contains("access database") {
        return Error::refused(format!("database {database} of {peer} is not allowed to the user"))
            .hint(format!("Give it: ACL SETUSER … db={database}"));
    }
    refusal(text).during(format!("SELECT {database} at {peer}"))
}

/// Whether the refusal says that the command is forbidden to this user or not there at all (renamed, managed service, old server).
pub(crate) fn is_forbidden(text: &str) -> bool {
    text.starts_with("NOPERM")
        || text.to_ascii_lowercase().contains("unknown command")
        || text.to_ascii_lowercase().contains("unknown subcommand")
}
