//! What a user lacks, for people: the problem, and the line that mends it.

use plan::ports::{Problem, Severity};

use super::trial::Outcome;
use super::{For, Keys, rights_of};

/// What 3scale's documentation gives the user of Backend (apisonator, `docs/redis_commands.md`): of what this program needs, these.
const OF_3SCALE: [&str; 6] = ["scan", "get", "set", "del", "select", "exists"];
/// And these not.
const NOT_OF_3SCALE: [&str; 5] = ["info", "time", "restore", "flushdb", "swapdb"];

/// What a user lacks at one server, for some roads.
#[derive(Debug, Clone)]
pub(crate) struct Lacking {
    pub(crate) outcome: Outcome,
    /// Of the connection.
    pub(crate) user: String,
    of: Vec<For>,
    is_7: bool,
}

impl Lacking {
    pub(crate) const fn new(outcome: Outcome, user: String, of: Vec<For>, is_7: bool) -> Self {
        Self { outcome, user, of, is_7 }
    }

    /// Whether nothing is lacking.
    pub(crate) fn is_nothing(&self) -> bool {
        let Outcome { forbidden, unknown, keys, databases, states: _ } = &self.outcome;
        forbidden.is_empty() && unknown.is_empty() && keys.is_none() && databases.is_empty()
    }

    /// Whether one command cannot be used.
    pub(crate) fn has(&self, command: &str) -> bool {
        self.outcome.forbidden.contains(command) || self.outcome.unknown.contains(command)
    }

    /// What is lacking, in words.
    pub(crate) fn words(&self) -> String {
        let names = |commands: &std::collections::BTreeSet<&'static str>| {
            commands.iter().map(|name| name.to_uppercase().replace('|', " ")).collect::<Vec<_>>().join(", ")
        };
        let Outcome { forbidden, unknown, keys, databases, .. } = &self.outcome;
        let mut words = Vec::new();
        if !forbidden.is_empty() {
            words.push(format!("commands that are not allowed to the user {}: {}", self.user, names(forbidden)));
        }
        if !unknown.is_empty() {
            words.push(format!("commands that the server does not know (renamed, or taken away): {}", names(unknown)));
        }
        match keys {
            Some(Keys::All) => words.push(format!("not all keys are allowed to the user {}", self.user)),
            Some(_) => words.push(format!("keys that begin with threescale-backup: are not allowed to the user {}", self.user)),
            None => {}
        }
        if !databases.is_empty() {
            words.push(format!("databases that are not allowed to the user {}: {}", self.user, numbers(databases, " ")));
        }
        words.join("; ")
    }

    /// The line that gives it, for `redis-cli`. All of what the roads need, where the user has only what 3scale's documentation says.
    pub(crate) fn way_out(&self) -> String {
        let Outcome { forbidden, unknown, keys, databases, .. } = &self.outcome;
        let mut rules = Vec::new();
        match keys {
            Some(Keys::All) => rules.push("~*".to_owned()),
            Some(_) => rules.push("~threescale-backup:*".to_owned()),
            None => {}
        }
        if !databases.is_empty() {
            rules.push(format!("db={}", numbers(databases, ",")));
        }
        if self.is_of_3scale() {
            rules.extend(rights_of(&self.of, self.is_7).map(|right| format!("+{}", right.command)));
        } else {
            rules.extend(forbidden.iter().map(|name| format!("+{name}")));
        }
        let line = if rules.is_empty() { String::new() } else { format!("ACL SETUSER {} {}", self.user, rules.join(" ")) };
        let renamed = "A command that was renamed (rename-command in redis.conf) needs its name back for the time.";
        match (line.is_empty(), unknown.is_empty()) {
            (false, true) => line,
            (false, false) => format!("{line} ; {renamed}"),
            (true, _) => renamed.to_owned(),
        }
    }

    /// Whether the user is what 3scale's documentation makes for Backend, and no more.
    pub(crate) fn is_of_3scale(&self) -> bool {
        let tried: Vec<&str> = rights_of(&self.of, self.is_7).map(|right| right.command).collect();
        let forbidden = &self.outcome.forbidden;
        OF_3SCALE.iter().all(|name| !forbidden.contains(name))
            && NOT_OF_3SCALE.iter().all(|name| !tried.contains(name) || forbidden.contains(name))
            && forbidden.contains("info")
    }

    /// As a problem: `what` says what cannot be done.
    pub(crate) fn problem(&self, severity: Severity, what: &str) -> Problem {
        let note = if self.is_of_3scale() { " (it is the user that 3scale's documentation makes for Backend)" } else { "" };
        Problem::new(severity, format!("{what}: {}{note}", self.words())).way_out(self.way_out())
    }
}

fn numbers(databases: &std::collections::BTreeSet<u32>, between: &str) -> String {
    databases.iter().map(u32::to_string).collect::<Vec<_>>().join(between)
}
