//! Tries what a user may do, without changing anything: what only reads is asked; what writes is asked with arguments that cannot work, of which the server
//! says so only after it has looked whether it may be done at all. So its state is seen too: a server that refuses writes says why.

use std::collections::{BTreeMap, BTreeSet};

use plan::Result;

use super::{For, Keys, Right, Try, rights_of};
use crate::connection::{Connection, Reply};

/// Keys that nobody has: one of this program's, and one that only a pattern for all keys has.
const OWN_KEY: &str = "threescale-backup:probe";
pub(crate) const ANY_KEY: &str = "\u{1}~any key\u{7f}";

/// What is not allowed, or not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Commands that the user lacks.
    pub(crate) forbidden: BTreeSet<&'static str>,
    /// Commands that the server does not know.
    pub(crate) unknown: BTreeSet<&'static str>,
    /// Whether keys are forbidden: some of all, or this program's own.
    pub(crate) keys: Option<Keys>,
    /// Numbers of databases that are forbidden.
    pub(crate) databases: BTreeSet<u32>,
    /// What the server says of its state, by its first word (`OOM`, `MISCONF`, …).
    pub(crate) states: BTreeMap<String, String>,
}

/// Tries all that roads need. The connection is good for nothing else afterwards.
pub(crate) fn run(mut connection: Connection, is_7: bool, of: &[For], databases: &[u32]) -> Result<Outcome> {
    let connection = &mut connection;
    let mut outcome = Outcome::default();
    for database in databases {
        if let Reply::Error(text) = connection.ask(&[b"SELECT", database.to_string().as_bytes()])?
            && text.contains("access database")
        {
            outcome.databases.insert(*database);
        }
    }
    let mut last = Vec::new();
    for right in rights_of(of, is_7) {
        match right.probe {
            Try::With(["SELECT", _]) => ask(connection, right, &["SELECT", &first(databases)], &mut outcome)?,
            Try::With(words) => ask(connection, right, words, &mut outcome)?,
            Try::Last(words) => last.push((right, words)),
            Try::Not => {}
        }
    }
    // A transaction that has begun is discarded by the end of the connection.
    last.sort_by_key(|(right, _)| right.command == "psync");
    for (right, words) in last {
        if right.command == "psync" {
            drop(connection.ask(&[b"DISCARD"])?);
            // Before 7.0 it can be queued; some of these servers would send all they have, whatever the offset is.
            if !is_7 {
                drop(connection.ask(&[b"MULTI"])?);
            }
        }
        ask(connection, right, words, &mut outcome)?;
    }
    Ok(outcome)
}

fn first(databases: &[u32]) -> String {
    databases.first().map_or_else(|| "0".to_owned(), u32::to_string)
}

fn ask(connection: &mut Connection, right: &Right, words: &[&str], outcome: &mut Outcome) -> Result<()> {
    let keys: &[(&str, Option<Keys>)] = match right.keys {
        Keys::None => &[("", None)],
        Keys::Own => &[(OWN_KEY, Some(Keys::Own))],
        Keys::All => &[(OWN_KEY, Some(Keys::Own)), (ANY_KEY, Some(Keys::All))],
    };
    for (key, kind) in keys {
        let words: Vec<&[u8]> = words.iter().map(|word| if *word == "KEY" { key.as_bytes() } else { word.as_bytes() }).collect();
        if let Reply::Error(text) = connection.ask(&words)? {
            judge(right.command, &text, *kind, outcome);
        }
    }
    Ok(())
}

/// What a refusal means. The texts are those of `src/acl.c` and `src/server.c`, Redis 6.2 to 8 and Valkey 9.
fn judge(command: &'static str, text: &str, keys: Option<Keys>, outcome: &mut Outcome) {
    // So is `EXEC` refused.
    let text = text.strip_prefix("EXECABORT Transaction discarded because of: ").unwrap_or(text);
    let lower = text.to_ascii_lowercase();
    match text.split(' ').next().unwrap_or_default() {
        "NOPERM" if lower.contains("access database") => {}
        "NOPERM" if lower.contains(" key") => {
            outcome.keys = outcome.keys.filter(|known| *known == Keys::All).or(keys);
        }
        "NOPERM" => {
            outcome.forbidden.insert(command);
        }
        code @ ("OOM" | "MISCONF" | "NOREPLICAS" | "READONLY" | "LOADING" | "MASTERDOWN" | "BUSY" | "CLUSTERDOWN") => {
            outcome.states.entry(code.to_owned()).or_insert_with(|| text.to_owned());
        }
        _ if lower.contains("unknown command") || lower.contains("unknown subcommand") => {
            outcome.unknown.insert(command);
        }
        // Wrong arguments, on purpose.
        _ => {}
    }
}
