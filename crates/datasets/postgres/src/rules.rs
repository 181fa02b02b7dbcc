//! The rule of what a restore leaves out of an archive, in one place: applied to each entry of its table of contents when it is restored, and when it is dumped, so that a backup knows.
//!
//! One thing that cannot be made stops nothing else; one role that is missing loses its own rights and nobody else's.

use std::collections::{BTreeMap, BTreeSet};

use plan::ids::DataSetName;
use plan::ports::{Context, Event};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::aside;
use crate::contents::Entry;
use crate::rights::Rights;
use crate::sql::identifier;
use crate::statements;

/// How many names a sentence has.
const NAMES_MAX: usize = 20;

/// Why not everybody may make an object; `None` when its owner may (`CREATE …` in the manual, "you must be superuser").
pub(crate) fn only_superuser(entry: &Entry) -> bool {
    let statements = entry.statements();
    match entry.kind() {
        "EVENT TRIGGER"
        | "ACCESS METHOD"
        | "FOREIGN DATA WRAPPER"
        | "TEXT SEARCH PARSER"
        | "TEXT SEARCH TEMPLATE"
        | "OPERATOR CLASS"
        | "OPERATOR FAMILY"
        | "PROCEDURAL LANGUAGE"
        | "SHELL TYPE"
        | "SUBSCRIPTION"
        | "PUBLICATION TABLES IN SCHEMA" => true,
        "PUBLICATION" => statements.contains(" FOR ALL TABLES"),
        // Of built-in types nobody else is the owner.
        "CAST" => !entry.name().contains('.') || statements.contains("WITHOUT FUNCTION"),
        "TYPE" => statements.contains("\n    INPUT = "),
        "FUNCTION" | "PROCEDURE" => statements.lines().find_map(|line| line.strip_prefix("    LANGUAGE ")).is_some_and(|attributes| {
            let mut words = attributes.split(' ');
            matches!(words.next(), Some("c" | "internal")) || words.any(|word| matches!(word, "LEAKPROOF" | "SUPPORT"))
        }),
        // Only a superuser's has a state of type internal.
        "AGGREGATE" => statements.lines().any(|line| matches!(line.trim().trim_end_matches(','), "STYPE = internal" | "MSTYPE = internal")),
        _ => false,
    }
}

/// Whether rows are lost with an object.
pub(crate) fn holds_rows(kind: &str) -> bool {
    matches!(kind, "TABLE" | "SEQUENCE" | "SCHEMA")
}

/// Belongs to another object, and is nothing without it.
fn is_attribute(kind: &str) -> bool {
    matches!(
        kind,
        "COMMENT" | "ACL" | "SECURITY LABEL" | "PUBLICATION TABLE" | "PUBLICATION TABLES IN SCHEMA" | "TABLE DATA" | "SEQUENCE SET"
    )
}

/// `event trigger x`.
pub(crate) fn label(entry: &Entry) -> String {
    let kind = entry.kind().to_lowercase();
    let name = match Entry::text(&entry.namespace).filter(|schema| !schema.is_empty()) {
        Some(schema) => format!("{schema}.{}", entry.name()),
        None => entry.name().into_owned(),
    };
    // The table of contents says `CAST` and `USER MAPPING` in the name, too.
    if name.to_lowercase().starts_with(&kind) { name } else { format!("{kind} {name}") }
}

/// What the census counts of an extension, too.
pub(crate) const EXTENSIONS_PARTS: [&str; 4] = ["columns", "column defaults", "rules", "enum labels"];

/// By how much a census of what was restored may differ from the set's, by kind ([`crate::census`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tolerance {
    /// So many fewer: they were left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) fewer: BTreeMap<String, u64>,
    /// So many more: they were there, and stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) more: BTreeMap<String, u64>,
}

impl Tolerance {
    /// Whether it must be the same.
    pub(crate) fn is_none(&self) -> bool {
        self.fewer.is_empty() && self.more.is_empty()
    }

    fn fewer(&mut self, entry: &Entry) {
        let kinds: &[&str] = match entry.kind() {
            "EXTENSION" => &["extensions"],
            "EVENT TRIGGER" => &["event triggers"],
            "POLICY" => &["policies"],
            "FUNCTION" => &["functions"],
            "PROCEDURE" => &["procedures"],
            "AGGREGATE" => &["aggregates"],
            "OPERATOR" => &["operators"],
            "INDEX" => &["indexes"],
            "CONSTRAINT" => &["constraints", "indexes"],
            "FK CONSTRAINT" | "CHECK CONSTRAINT" => &["constraints"],
            "TRIGGER" => &["triggers"],
            "RULE" => &["rules"],
            "DEFAULT" => &["column defaults"],
            "STATISTICS" => &["statistics"],
            "COLLATION" => &["collations"],
            "DOMAIN" => &["domains", "constraints"],
            "TYPE" => &["enums", "ranges", "composite types"],
            "TEXT SEARCH CONFIGURATION" => &["text search configurations"],
            "VIEW" => &["views"],
            "MATERIALIZED VIEW" => &["materialized views"],
            "FOREIGN TABLE" => &["foreign tables"],
            _ => &[],
        };
        kinds.iter().for_each(|kind| *self.fewer.entry((*kind).to_owned()).or_default() += 1);
        // How many of these it has, the table of contents does not say.
        let parts: &[&str] = match entry.kind() {
            "EXTENSION" => &EXTENSIONS_PARTS,
            "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" => &["columns"],
            _ => &[],
        };
        self.fewer.extend(parts.iter().map(|kind| ((*kind).to_owned(), u64::MAX)));
    }

    /// What was found, as it would be without what was left out or stays.
    pub(crate) fn apply(&self, kept: &BTreeMap<String, u64>, found: &mut BTreeMap<String, u64>) {
        for kind in self.fewer.keys().chain(self.more.keys()) {
            let of = |counts: &BTreeMap<String, u64>| counts.get(kind).copied().unwrap_or(0);
            let (want, have) = (of(kept), of(found));
            let room = |counts: &BTreeMap<String, u64>| counts.get(kind).copied().unwrap_or(0);
            if want.saturating_sub(have) <= room(&self.fewer) && have.saturating_sub(want) <= room(&self.more) {
                found.insert(kind.clone(), want);
            }
        }
    }
}

/// What is left out of one archive on its way.
pub(crate) struct Omissions<'a> {
    rights: &'a Rights,
    /// Entries that are not made, and what was the first cause.
    left: BTreeMap<i64, String>,
    /// Entries whose objects are there already.
    there: BTreeSet<i64>,
    /// Who owns a schema, as far as it came.
    schemas: BTreeMap<String, String>,
    owners: BTreeSet<String>,
    grantees: BTreeSet<String>,
    grantors: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    not_made: Vec<String>,
    stays: Vec<String>,
    /// For the proof.
    pub(crate) tolerance: Tolerance,
}

impl<'a> Omissions<'a> {
    /// Before the first entry.
    pub(crate) fn of(rights: &'a Rights) -> Self {
        Self {
            rights,
            left: BTreeMap::new(),
            there: BTreeSet::new(),
            schemas: BTreeMap::new(),
            owners: BTreeSet::new(),
            grantees: BTreeSet::new(),
            grantors: BTreeSet::new(),
            tablespaces: BTreeSet::new(),
            not_made: Vec::new(),
            stays: Vec::new(),
            tolerance: Tolerance::default(),
        }
    }

    /// Changes an entry to what can be made of it here.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when rows would be lost with something that cannot be made.
    pub(crate) fn edit(&mut self, entry: &mut Entry) -> Result<()> {
        let kind = entry.kind().to_owned();
        let rights = self.rights;
        if matches!(kind.as_str(), "PUBLICATION" | "SERVER" | "FOREIGN DATA WRAPPER" | "EVENT TRIGGER" | "USER MAPPING")
            && aside::is_name(&entry.name())
        {
            // Of a run that was not settled when the backup was taken.
            self.tolerance.fewer(entry);
            self.there.insert(entry.id);
            entry.leave_out();
            return Ok(());
        }
        if rights.has(&kind, &entry.name()) {
            self.stays.push(label(entry));
            self.there.insert(entry.id);
            entry.leave_out();
            return Ok(());
        }
        if is_attribute(&kind) && entry.needs().any(|id| self.there.contains(&id)) {
            entry.leave_out();
            return Ok(());
        }
        let cause = entry.needs().find_map(|id| self.left.get(&id)).cloned();
        if let Some(cause) = cause {
            return self.follow(entry, &kind, cause);
        }
        let is_made = match kind.as_str() {
            "EXTENSION" => rights.may_make_extension(&entry.name()),
            "DEFAULT ACL" => Entry::text(&entry.owner).is_none_or(|owner| rights.may_be(owner)),
            "USER MAPPING" => statements::mapped_role(entry.statements()).is_none_or(|role| role == "PUBLIC" || rights.knows(&role)),
            "COMMENT" if entry.name() == "SCHEMA public" => rights.is_superuser || rights.owns_public,
            _ => rights.is_superuser || !only_superuser(entry),
        };
        if !is_made {
            self.leave(entry, label(entry), None);
            return Ok(());
        }
        self.edit_roles(entry, &kind);
        Ok(())
    }

    /// What needs something that is not made is not made either.
    fn follow(&mut self, entry: &mut Entry, kind: &str, cause: String) -> Result<()> {
        if is_attribute(kind) {
            entry.leave_out();
            return Ok(());
        }
        if holds_rows(kind) {
            return Err(Error::refused(format!("{} needs {cause}, which role {:?} may not make", label(entry), self.rights.role))
                .hint("Let a superuser make it in the target's template (template1 is not used: make it with a superuser's address), or restore as a superuser.")
                .hint("The live data was not touched."));
        }
        self.leave(entry, cause.clone(), Some(cause));
        Ok(())
    }

    fn leave(&mut self, entry: &mut Entry, cause: String, of: Option<String>) {
        let label = label(entry);
        self.tolerance.fewer(entry);
        self.left.insert(entry.id, cause);
        self.not_made.push(match of {
            Some(of) => format!("{label} (needs {of})"),
            None => label,
        });
        entry.leave_out();
    }

    fn edit_roles(&mut self, entry: &mut Entry, kind: &str) {
        let rights = self.rights;
        let is_public = kind == "SCHEMA" && entry.name() == "public" && !rights.owns_public && !rights.is_superuser;
        // A name in another encoding is left to the server.
        if let Some(owner) = Entry::text(&entry.owner).filter(|owner| !owner.is_empty() && (is_public || !rights.may_be(owner))) {
            if !is_public && kind != "ACL" && !is_attribute(kind) {
                self.owners.insert(owner.to_owned());
            }
            entry.owner = Some(Vec::new());
        }
        self.give_away(entry, kind);
        if let Some(tablespace) = Entry::text(&entry.tablespace).filter(|name| !name.is_empty() && !rights.has_tablespace(name)) {
            self.tablespaces.insert(tablespace.to_owned());
            entry.tablespace = Some(Vec::new());
        }
        let without = match kind {
            "ACL" | "DEFAULT ACL" => {
                statements::grants(entry.statements(), |role| rights.knows(role), |role| rights.is_superuser && rights.knows(role))
            }
            "POLICY" => statements::policy(entry.statements(), |role| rights.knows(role)),
            _ => return,
        };
        if without.roles.is_empty() && without.grantors.is_empty() {
            return;
        }
        self.grantees.extend(without.roles);
        self.grantors.extend(without.grantors);
        if kind == "POLICY" && without.text.is_empty() {
            self.leave(entry, label(entry), None);
        } else {
            entry.definition = Some(without.text.into_bytes());
        }
    }

    /// An owner must have CREATE on the schema when he is given something there, unless a superuser gives; his rights come later in the archive, or not at all.
    fn give_away(&mut self, entry: &mut Entry, kind: &str) {
        let Some(owner) = Entry::text(&entry.owner).filter(|owner| !owner.is_empty()).map(str::to_owned) else { return };
        if kind == "SCHEMA" {
            self.schemas.insert(entry.name().into_owned(), owner);
            return;
        }
        let schema = Entry::text(&entry.namespace).filter(|schema| !schema.is_empty());
        // As `pg_restore` finds what to alter.
        let what = Entry::text(&entry.drop).and_then(|drop| drop.trim_end().strip_prefix("DROP ")?.strip_suffix(';'));
        let (Some(schema), Some(what)) = (schema, what) else { return };
        if self.rights.is_superuser
            || owner == self.rights.role
            || self.schemas.get(schema) == Some(&owner)
            || entry.statements().is_empty()
        {
            return;
        }
        let (schema, owner) = (identifier(schema), identifier(&owner));
        let given = format!(
            "{}\nGRANT CREATE ON SCHEMA {schema} TO {owner};\nALTER {what} OWNER TO {owner};\nREVOKE CREATE ON SCHEMA {schema} FROM {owner};\n",
            entry.statements()
        );
        entry.definition = Some(given.into_bytes());
        entry.owner = Some(Vec::new());
    }

    /// One sentence each, for the operator.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let names = |names: &BTreeSet<String>| some(names.iter().map(String::as_str));
        let role = &self.rights.role;
        let mut sentences = Vec::new();
        if !self.owners.is_empty() {
            sentences.push(format!(
                "what {} owned is owned by {role:?} instead: such roles do not exist here, or this role may not be them",
                names(&self.owners)
            ));
        }
        if !self.grantees.is_empty() {
            sentences.push(format!("rights and policies of the roles {} are left out: they do not exist here", names(&self.grantees)));
        }
        if !self.grantors.is_empty() {
            sentences.push(format!("what {} granted on is granted by the owners instead", names(&self.grantors)));
        }
        if !self.tablespaces.is_empty() {
            sentences.push(format!("the tablespaces {} do not exist: their objects go to the database's own", names(&self.tablespaces)));
        }
        if !self.not_made.is_empty() {
            sentences.push(format!("left out, for role {role:?} may not make it: {}", some(self.not_made.iter().map(String::as_str))));
        }
        if !self.stays.is_empty() {
            sentences.push(format!("stays as it is in the live database: {}", some(self.stays.iter().map(String::as_str))));
        }
        sentences
    }

    /// Tells the operator.
    pub(crate) fn tell(&self, context: &Context, data_set: DataSetName) {
        for sentence in self.sentences() {
            context.watch.see(Event::Warning(&format!("{data_set}: {sentence}")));
        }
    }
}

/// Some names, and how many there are more.
pub(crate) fn some<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<_> = names.collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}
