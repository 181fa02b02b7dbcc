//! What a set demands of whoever restores it, found in the table of contents while it is dumped, kept among the set's facts, and held against a role's rights:
//! those of the role that takes the backup (can it bring this back?) and those of the role that restores.

use std::collections::{BTreeMap, BTreeSet};

use plan::evidence::Evidence;
use plan::ports::{Problem, Road, Severity};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::aside;
use crate::contents::Entry;
use crate::facts;
use crate::public::{self, Public};
use crate::rights::Rights;
use crate::rules::{holds_rows, label, only_superuser, some};
use crate::sql::identifier;
use crate::statements;

/// The fact that holds them.
const FACT: &str = "demands";
/// How many objects of the superuser are named.
const NAMED_MAX: usize = 200;
/// How many tables are named that need one of them.
const TABLES_MAX: usize = 5;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Demands {
    /// Objects that only a superuser makes: kind and name as in the table of contents, and what people call it.
    superuser: Vec<(String, String, String)>,
    /// How many more there are.
    superuser_more: u64,
    /// Extensions and objects of the superuser whose absence would cost rows, and some of those tables.
    needed_by: BTreeMap<String, Vec<String>>,
    /// Extensions.
    extensions: BTreeSet<String>,
    /// Roles whose default privileges are set.
    defaults_of: BTreeSet<String>,
    /// Roles that granted what they had been granted.
    grantors: BTreeSet<String>,
    /// Owners, whatever the kind of object.
    owners: BTreeSet<String>,
    /// The schema `public`; absent in sets of releases that did not look at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public: Option<Public>,
}

/// What a set of a release that did not look at the schema `public` leaves open there.
///
/// # Errors
/// As [`Demands::of`].
pub(crate) fn unknown_public(kept: &Evidence, rights: &Rights) -> Result<Option<Problem>> {
    let is_known = Demands::of(kept)?.is_some_and(|demands| demands.public.is_some());
    Ok(if is_known || !facts::list(kept, facts::SCHEMAS)?.contains("public") { None } else { public::unknown(rights) })
}

/// Finds them, entry by entry.
#[derive(Default)]
pub(crate) struct Survey {
    demands: Demands,
    /// Entries that need something that not everybody may make, and what that is.
    roots: BTreeMap<i64, String>,
}

impl Survey {
    /// Of a database with such a schema `public`.
    pub(crate) fn of(public: Option<Public>) -> Self {
        Self { demands: Demands { public, ..Demands::default() }, ..Self::default() }
    }

    /// Looks at an entry.
    pub(crate) fn see(&mut self, entry: &Entry) {
        let kind = entry.kind();
        if aside::is_name(&entry.name()) {
            return;
        }
        let owner = Entry::text(&entry.owner).filter(|owner| !owner.is_empty());
        let is_extension = kind == "EXTENSION";
        if is_extension {
            self.demands.extensions.insert(entry.name().into_owned());
        } else if only_superuser(entry) {
            if self.demands.superuser.len() < NAMED_MAX {
                self.demands.superuser.push((kind.to_owned(), entry.name().into_owned(), label(entry)));
            } else {
                self.demands.superuser_more += 1;
            }
        } else if let Some(root) = entry.needs().find_map(|id| self.roots.get(&id)).cloned() {
            if holds_rows(kind) {
                let tables = self.demands.needed_by.entry(root.clone()).or_default();
                if tables.len() < TABLES_MAX {
                    tables.push(label(entry));
                }
            }
            self.roots.insert(entry.id, root);
        }
        if is_extension || only_superuser(entry) {
            self.roots.insert(entry.id, label(entry));
        }
        match (kind, owner) {
            ("DEFAULT ACL", Some(owner)) => drop(self.demands.defaults_of.insert(owner.to_owned())),
            ("ACL" | "EXTENSION" | "COMMENT" | "TABLE DATA", _) | (_, None) => {}
            // Its owner is a superuser, if it is made at all.
            _ if only_superuser(entry) => {}
            // Of a server before version 15 it is the superuser's, and stays the target's own.
            ("SCHEMA", _) if entry.name() == "public" => {}
            (_, Some(owner)) => drop(self.demands.owners.insert(owner.to_owned())),
        }
        if matches!(kind, "ACL" | "DEFAULT ACL") {
            self.demands.grantors.extend(statements::grants(entry.statements(), |_| true, |_| false).grantors);
        }
    }

    /// All of them, when the whole table of contents was seen.
    pub(crate) fn end(self) -> Demands {
        self.demands
    }
}

impl Demands {
    /// Out of a set's facts; `None` in sets of releases that did not keep them.
    ///
    /// # Errors
    /// [`plan::Class::NeedsPerson`] when they are damaged.
    pub(crate) fn of(kept: &Evidence) -> Result<Option<Self>> {
        let Some(text) = kept.facts.get(FACT) else { return Ok(None) };
        let demands = serde_json::from_str(text);
        demands.map(Some).map_err(|error| Error::needs_person("the set's demands are unreadable").because(error))
    }

    /// Into a set's facts.
    ///
    /// # Errors
    /// Never in practice.
    pub(crate) fn put_into(&self, evidence: &mut Evidence) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|error| Error::failed("failed to write what the set demands").because(error))?;
        evidence.facts.insert(FACT.to_owned(), text);
        Ok(())
    }

    /// What a role with these rights could not bring back, or not as it is.
    pub(crate) fn problems(&self, rights: &Rights) -> Vec<Problem> {
        let role = &rights.role;
        let extensions = self.extensions.iter().filter(|name| !rights.may_make_extension(name) && !rights.has("EXTENSION", name));
        let extensions = extensions.map(|name| format!("extension {name}"));
        let objects = self.superuser.iter().filter(|(kind, name, _)| !rights.is_superuser && !rights.has(kind, name));
        let objects = objects.map(|(_, _, label)| label.clone());
        let (mut left_out, mut problems) = (Vec::new(), Vec::new());
        for label in extensions.chain(objects) {
            match self.needed_by.get(&label) {
                None => left_out.push(label),
                Some(tables) => problems.push(
                    Problem::new(
                        Severity::Blocks,
                        format!("role {role:?} may not make {label}, which {} and perhaps more need", tables.join(", ")),
                    )
                    .way_out("Restore with the address of a superuser, into a database of its making."),
                ),
            }
        }
        if !left_out.is_empty() {
            let more = if self.superuser_more > 0 && !rights.is_superuser { " and more" } else { "" };
            let text = format!(
                "role {role:?} may not make {}{more}: left out, kept in the set with its definition",
                some(left_out.iter().map(String::as_str))
            );
            problems.push(Problem::new(Severity::Degrades, text).way_out(
                "Let a superuser make it after the restore (docs/recovery-without-the-program.md shows the definitions), or restore with the address of a superuser.",
            ));
        }
        let others: Vec<_> = self.defaults_of.iter().filter(|name| !rights.may_be(name)).map(String::as_str).collect();
        if !others.is_empty() {
            let way_out = to_be(&others, rights);
            let text = format!("role {role:?} may not set the default privileges of {}: they are left out", some(others.into_iter()));
            problems.push(Problem::new(Severity::Degrades, text).way_out(way_out));
        }
        if !rights.is_superuser && !self.grantors.is_empty() {
            let text = format!(
                "what {} granted on is granted by the owners instead: only a superuser grants in the name of others",
                some(self.grantors.iter().map(String::as_str))
            );
            problems.push(Problem::new(Severity::Note, text));
        }
        let others: Vec<_> = self.owners.iter().filter(|name| !rights.may_be(name)).map(String::as_str).collect();
        if !others.is_empty() {
            let way_out = to_be(&others, rights);
            let text =
                format!("what {} owns is owned by {role:?} instead: they do not exist, or it may not be them", some(others.into_iter()));
            problems.push(Problem::new(Severity::Degrades, text).way_out(way_out));
        }
        problems.extend(self.public.as_ref().and_then(|public| public.problem(rights)));
        problems
    }

    /// What stays as it is in a database that the set goes into.
    pub(crate) fn staying(&self, rights: &Rights, road: Road) -> Option<Problem> {
        let kinds =
            ["EXTENSION", "EVENT TRIGGER", "PUBLICATION", "SUBSCRIPTION", "ACCESS METHOD", "FOREIGN DATA WRAPPER", "SERVER", "CAST"];
        let all = kinds.iter().flat_map(|kind| {
            let noun = kind.to_lowercase();
            rights
                .staying(kind)
                .filter(|name| *name != "plpgsql")
                .map(move |name| if noun == "cast" { name.to_owned() } else { format!("{noun} {name}") })
        });
        let all: Vec<String> = all.collect();
        (road == Road::InPlace && !all.is_empty()).then(|| {
            let text = format!("stays as it is, whatever the set has: {}", some(all.iter().map(String::as_str)));
            Problem::new(Severity::Note, text)
        })
    }
}

/// What lets a role act as others.
fn to_be(others: &[&str], rights: &Rights) -> String {
    let role = identifier(&rights.role);
    let missing = others.iter().filter(|name| !rights.knows(name)).map(|name| format!("CREATE ROLE {}; ", identifier(name)));
    let all: Vec<_> = others.iter().map(|name| identifier(name)).collect();
    format!("{}GRANT {} TO {role}; or restore with the address of a superuser.", missing.collect::<String>(), all.join(", "))
}
