//! Values of modules: which module a server needs to load them.

use std::collections::BTreeMap;

use plan::ports::{Problem, Severity};

use super::ServerAt;
use crate::server::Server;

/// Begin of the facts of a set that count them: `module.<type>`.
const FACT: &str = "module.";
/// The modules of the server that the set is of.
const MODULES: &str = "modules";

/// Types of values and the modules that have them, by the names that `INFO` has; whether of Valkey. Others are compared by the modules of both servers.
const KNOWN: [(&str, &[&str], bool); 9] = [
    ("vectorset", &["vectorset"], false),
    ("ReJSON-RL", &["ReJSON"], false),
    ("ReJSON-RL", &["json"], true),
    ("TSDB-TYPE", &["timeseries"], false),
    ("MBbloom--", &["bf"], false),
    ("MBbloomCF", &["bf"], false),
    ("TopK-TYPE", &["bf"], false),
    ("CMSk-TYPE", &["bf"], false),
    ("bloomfltr", &["bf"], true),
];

/// Tells the values of modules of a dump.
pub(crate) fn note_modules(server: &Server, counts: &BTreeMap<String, u64>, facts: &mut BTreeMap<String, String>) {
    for (name, count) in counts {
        facts.insert(format!("{FACT}{name}"), count.to_string());
    }
    if !counts.is_empty() {
        facts.insert(MODULES.to_owned(), server.modules().join(", "));
    }
}

/// What of a set's values a server cannot load.
pub(crate) fn modules_fit(at: &ServerAt, server: &Server, facts: &BTreeMap<String, String>, problems: &mut Vec<Problem>) {
    let endpoint = at.address.endpoint();
    let there = server.modules();
    let of_source: Vec<&str> = facts.get(MODULES).map_or("", String::as_str).split(", ").filter(|name| !name.is_empty()).collect();
    let mut counted = 0;
    for (name, count) in facts.iter().filter_map(|(fact, count)| Some((fact.strip_prefix(FACT)?, count.parse::<u64>().unwrap_or(0)))) {
        counted += count;
        let known: Vec<_> = KNOWN.iter().filter(|(known, ..)| *known == name).collect();
        let is_there = |module: &str| there.iter().any(|other| other == module);
        let lacks: Vec<&str> = if known.is_empty() {
            of_source.iter().copied().filter(|module| !is_there(module)).collect()
        } else if known.iter().any(|(_, modules, valkey)| *valkey == server.is_valkey() && modules.iter().any(|module| is_there(module))) {
            Vec::new()
        } else {
            known.iter().flat_map(|(_, modules, _)| *modules).copied().collect()
        };
        if !lacks.is_empty() {
            let has = if there.is_empty() { "no module".to_owned() } else { there.join(", ") };
            let text = format!(
                "the set has {count} values of the type {name} of a module ({}); {endpoint} ({server}) has {has} loaded, and refuses them",
                lacks.join(" or ")
            );
            problems.push(
                Problem::new(Severity::Blocks, text).way_out(
                    "Load that module there (`loadmodule` in its redis.conf, and a restart), or restore into a server that has it.",
                ),
            );
        }
    }
    let all: u64 = facts.get("module-keys").and_then(|count| count.parse().ok()).unwrap_or(0);
    if all > counted && there.is_empty() {
        let text = format!("the set has {all} values of modules, {endpoint} has no module loaded");
        problems.push(Problem::new(Severity::Blocks, text).way_out("Load the same modules."));
    }
}
