//! Which set is meant: whose sets a command is about, and which of them `latest` or an id is.
//!
//! A set is ours when it has our name and nothing that both know says otherwise. `latest` is the newest whole one of ours. Everything else is taken by name
//! only, and said aloud: another's, one without a name (release 0.1.0 wrote none), one that lacks data sets.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::ids::DataSetName;
use crate::manifest::Manifest;
use crate::words::counted;
use crate::{Error, InstallationId, Result};

/// Sets named in one message; more are counted.
const TOLD_MAX: usize = 5;

/// Whose sets are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of this installation.
    Ours {
        /// What is known of it without asking its stores.
        id: InstallationId,
        /// What its first store that has an identity says, when it was asked.
        store: Option<(DataSetName, String)>,
    },
    /// Those of every installation of a name: another's, or one's own of before the servers were made anew.
    Named(String),
    /// It is not known which installation this is.
    Unknown,
}

/// Whose a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of the installation that is meant.
    Ours,
    /// It has no name.
    Unnamed,
    /// Another's.
    Other,
}

impl Whose {
    /// Those of this installation, of which no store was asked.
    #[must_use]
    pub const fn ours(id: InstallationId) -> Self {
        Self::Ours { id, store: None }
    }

    /// Whose a set is.
    #[must_use]
    pub fn owner(&self, manifest: &Manifest) -> Owner {
        let Some(theirs) = name_of(manifest) else { return Owner::Unnamed };
        let is_ours = match self {
            Self::Unknown => true,
            Self::Named(name) => theirs.name == *name,
            Self::Ours { id, store } => theirs.is(id) && (theirs.agrees(id) || !store_contradicts(store.as_ref(), theirs, manifest)),
        };
        if is_ours { Owner::Ours } else { Owner::Other }
    }

    /// Whether the identity of a store could tell more about one of these sets.
    #[must_use]
    pub fn asks_a_store<'a>(&self, manifests: impl Iterator<Item = &'a Manifest>) -> bool {
        let Self::Ours { id, store: None } = self else { return false };
        manifests.filter_map(name_of).any(|theirs| theirs.is(id) && !theirs.agrees(id))
    }

    /// What the installation that is meant is called, for people.
    fn called(&self) -> String {
        match self {
            Self::Ours { id, .. } => id.name.clone(),
            Self::Named(name) => name.clone(),
            Self::Unknown => "this installation".to_owned(),
        }
    }
}

/// Whether the store that was asked is not the one that the set was taken from.
fn store_contradicts(store: Option<&(DataSetName, String)>, theirs: &InstallationId, manifest: &Manifest) -> bool {
    let Some((name, identity)) = store else { return false };
    let of_set = manifest.data_sets.get(name).and_then(|kept| kept.identity.as_ref());
    let of_store = InstallationId { name: theirs.name.clone(), identity: Some(identity.clone()) };
    of_set.map_or_else(|| theirs.contradicts(&of_store), |of_set| of_set != identity)
}

/// The installation that a set names; an empty name is none.
fn name_of(manifest: &Manifest) -> Option<&InstallationId> {
    manifest.installation.as_ref().filter(|installation| !installation.name.is_empty())
}

/// A set that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its manifest.
    pub manifest: Manifest,
    /// What is known to be wrong with it.
    pub damage: Option<String>,
}

/// What was asked for.
pub struct Asked<'a> {
    /// `latest`, an id, or the beginning of one.
    pub set: &'a str,
    /// Whether `latest` may be one that lacks data sets.
    pub partial: bool,
    /// Whose sets are meant.
    pub whose: &'a Whose,
    /// Now.
    pub now: Timestamp,
    /// The command that takes a set, given its id: `restore 01k…`.
    pub command: &'a dyn Fn(&str) -> String,
}

/// What is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The set.
    pub manifest: Manifest,
    /// Whose it is.
    pub owner: Owner,
    /// What the operator must know about the choice, whole lines.
    pub notes: Vec<String>,
}

/// Finds the set that is meant among all that are there, oldest first.
///
/// # Errors
/// [`crate::Class::Refused`] when there is none, or when it is another's or not whole and was not asked for as such; each with the way to take it.
pub fn choose(candidates: Vec<Candidate>, asked: &Asked<'_>) -> Result<Chosen> {
    if asked.set.trim().is_empty() {
        return Err(Error::refused("no set is named").hint("Say `latest`, or an id; `threescale-backup list` shows the sets."));
    }
    if candidates.is_empty() {
        return Err(Error::refused("the repository has no set").hint("Take one with `threescale-backup backup`."));
    }
    let chosen = if asked.set == "latest" { latest(candidates, asked) } else { by_id(candidates, asked) }?;
    chosen.manifest.check_format()?;
    Ok(chosen)
}

fn by_id(candidates: Vec<Candidate>, asked: &Asked<'_>) -> Result<Chosen> {
    let wanted = asked.set.to_lowercase();
    let begins = |candidate: &Candidate| candidate.manifest.set.as_str().starts_with(&wanted);
    let fitting: Vec<_> = candidates.into_iter().filter(begins).collect();
    let (others, mut near): (Vec<_>, Vec<_>) =
        fitting.into_iter().partition(|candidate| asked.whose.owner(&candidate.manifest) == Owner::Other);
    match (near.len(), others.as_slice()) {
        (1, _) => taken_by_id(near.remove(0), asked),
        (0, [other]) => Err(of_another(&other.manifest, asked)),
        (0, []) => Err(Error::refused(format!("there is no set {}", asked.set)).hint("`threescale-backup list` shows the sets.")),
        (several, others) => {
            let several = if several == 0 { others.len() } else { several };
            Err(Error::refused(format!("{several} sets begin with {}", asked.set)).hint("Give more of the id."))
        }
    }
}

fn taken_by_id(candidate: Candidate, asked: &Asked<'_>) -> Result<Chosen> {
    let owner = asked.whose.owner(&candidate.manifest);
    let set = &candidate.manifest.set;
    if let (Owner::Unnamed, Whose::Named(name)) = (owner, asked.whose) {
        return Err(Error::refused(format!("set {set} is without a name: it is not known to be of {name}"))
            .hint(format!("`threescale-backup {}` takes it all the same.", (asked.command)(set.as_str()))));
    }
    let notes = candidate.damage.iter().map(|damage| format!("warning: set {set} is damaged: {damage}")).collect();
    Ok(Chosen { owner, notes, manifest: candidate.manifest })
}

/// The refusal of a set of another installation, with the way to take it.
fn of_another(manifest: &Manifest, asked: &Asked<'_>) -> Error {
    let (set, theirs) = (&manifest.set, manifest.installation.clone().unwrap_or_default());
    let command = (asked.command)(set.as_str());
    match asked.whose {
        Whose::Named(name) => Error::refused(format!("set {set} is of installation {theirs}, not of {name}"))
            .hint(format!("`threescale-backup {command} --installation {}` takes it.", quoted(&theirs.name))),
        Whose::Ours { id, store } if id.name == theirs.name => {
            let here = id.identity.as_ref().or(store.as_ref().map(|(_, identity)| identity));
            let here = InstallationId { name: id.name.clone(), identity: here.cloned() };
            Error::refused(format!("set {set} was taken from {} on another server: {theirs}; this one is {here}", id.name))
                .hint(format!("`threescale-backup {command} --installation {}` takes it all the same.", quoted(&theirs.name)))
        }
        Whose::Ours { .. } | Whose::Unknown => {
            Error::refused(format!("set {set} is of another installation: {theirs}; this one is {}", asked.whose.called()))
                .hint(format!("`threescale-backup {command} --installation {}` takes it all the same.", quoted(&theirs.name)))
        }
    }
}

fn latest(candidates: Vec<Candidate>, asked: &Asked<'_>) -> Result<Chosen> {
    if *asked.whose == Whose::Unknown {
        return latest_of_the_only(candidates, asked);
    }
    let ours: Vec<_> = candidates.iter().filter(|candidate| asked.whose.owner(&candidate.manifest) == Owner::Ours).collect();
    if ours.is_empty() {
        return Err(none_of_ours(&candidates, asked));
    }
    let newest = ours.iter().enumerate().rev().find(|(_, candidate)| why_not(candidate, asked).is_none());
    let Some((place, chosen)) = newest else { return Err(none_fits(&ours, asked)) };
    let mut notes = skipped(ours.get(place + 1..).unwrap_or_default(), asked);
    let identities: BTreeSet<_> = ours.iter().filter_map(|candidate| candidate.manifest.installation.as_ref()?.identity.clone()).collect();
    if identities.len() > 1 {
        let installation = chosen.manifest.installation.clone().unwrap_or_default();
        notes.push(format!(
            "the sets of {} were taken from {} servers; set {} is of {installation}",
            installation.name,
            identities.len(),
            chosen.manifest.set
        ));
    }
    Ok(Chosen { manifest: chosen.manifest.clone(), owner: Owner::Ours, notes })
}

/// Where it is not known which installation this is, the only one in the repository is meant.
fn latest_of_the_only(candidates: Vec<Candidate>, asked: &Asked<'_>) -> Result<Chosen> {
    let names: BTreeSet<_> = candidates.iter().filter_map(|candidate| name_of(&candidate.manifest)).map(|one| one.name.clone()).collect();
    let only = names.iter().next().filter(|_| names.len() == 1);
    match only {
        Some(name) => latest(candidates, &Asked { whose: &Whose::Named(name.clone()), ..*asked }),
        None if names.is_empty() => Err(none_of_ours(&candidates, asked)),
        None => Err(Error::refused("it is not known whose latest set is meant")
            .hint(format!("The repository has sets of {} installations: {}.", names.len(), join(&names)))
            .hint(format!("`threescale-backup {} --installation NAME` takes the latest of one of them.", (asked.command)("latest")))),
    }
}

/// Why `latest` does not mean a set.
fn why_not(candidate: &Candidate, asked: &Asked<'_>) -> Option<WhyNot> {
    let manifest = &candidate.manifest;
    if manifest.safety_for.is_some() {
        Some(WhyNot::SafetyCopy)
    } else if manifest.is_ahead_of(asked.now) {
        Some(WhyNot::Future)
    } else if candidate.damage.is_some() {
        Some(WhyNot::Damaged)
    } else {
        (!asked.partial && !manifest.is_whole()).then_some(WhyNot::Partial)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhyNot {
    SafetyCopy,
    Future,
    Damaged,
    Partial,
}

/// What people read about a set that `latest` does not mean.
fn told(candidate: &Candidate, why: WhyNot) -> String {
    let manifest = &candidate.manifest;
    let set = &manifest.set;
    match why {
        WhyNot::SafetyCopy => {
            format!("{set}: the safety copy of run {}", manifest.safety_for.as_ref().map_or("", |run| run.as_str()))
        }
        WhyNot::Future => {
            let finished = manifest.finished_at.strftime("%Y-%m-%d %H:%M:%S UTC");
            format!("{set}: finished {finished}, in the future: a clock was wrong, here or on {}", manifest.host)
        }
        WhyNot::Damaged => format!("{set}: damaged: {}", candidate.damage.as_deref().unwrap_or_default()),
        WhyNot::Partial => format!("{set}: {}", manifest.extent()),
    }
}

/// Notes on sets that are newer than the chosen one; safety copies are nobody's latest.
fn skipped(newer: &[&Candidate], asked: &Asked<'_>) -> Vec<String> {
    let kinds = [(WhyNot::Partial, "newer, not whole"), (WhyNot::Damaged, "newer, damaged"), (WhyNot::Future, "not taken")];
    let line = |(kind, text): (WhyNot, &str)| {
        let of_kind: Vec<_> = newer.iter().rev().filter(|candidate| why_not(candidate, asked) == Some(kind)).collect();
        let shown: Vec<_> = of_kind.iter().take(TOLD_MAX).map(|candidate| told(candidate, kind)).collect();
        let more = of_kind.len().saturating_sub(TOLD_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (!shown.is_empty()).then(|| format!("{text}: {}{more}", shown.join("; ")))
    };
    kinds.into_iter().filter_map(line).collect()
}

/// There are sets of ours, and none is one that `latest` means.
fn none_fits(ours: &[&Candidate], asked: &Asked<'_>) -> Error {
    let name = asked.whose.called();
    let is_whole = |candidate: &&&Candidate| candidate.manifest.is_whole() && why_not(candidate, asked) != Some(WhyNot::Partial);
    let what = match asked.partial || ours.iter().any(|candidate| is_whole(&candidate)) {
        true => "that `latest` could mean",
        false => "that is whole",
    };
    let mut error = Error::refused(format!("there is no set of {name} {what}"));
    for candidate in ours.iter().rev().take(TOLD_MAX) {
        if let Some(why) = why_not(candidate, asked) {
            error = error.hint(format!("{}.", told(candidate, why)));
        }
    }
    let latest = (asked.command)("latest");
    let can_be_partial = ours.iter().any(|candidate| why_not(candidate, asked) == Some(WhyNot::Partial));
    if can_be_partial {
        return error.hint(format!("`threescale-backup {latest} --partial` takes the newest of them as it is; or name one by its id."));
    }
    error.hint("Name one by its id, or take a new one with `threescale-backup backup`.")
}

/// There is no set of ours at all.
fn none_of_ours(candidates: &[Candidate], asked: &Asked<'_>) -> Error {
    let mut error = Error::refused(format!("the repository has no set of {}", asked.whose.called()));
    let unnamed: Vec<_> = candidates.iter().filter(|candidate| asked.whose.owner(&candidate.manifest) == Owner::Unnamed).collect();
    let newest = unnamed.iter().rev().find(|candidate| why_not(candidate, asked).is_none()).or(unnamed.last());
    if let Some(newest) = newest {
        let (set, extent) = (newest.manifest.set.as_str(), newest.manifest.extent());
        error = error
            .hint(format!(
                "{} without a name (release 0.1.0 wrote none); the newest is {set}: {extent}.",
                counted(unnamed.len(), "set is", "sets are")
            ))
            .hint(format!("`threescale-backup {}` takes it.", (asked.command)(set)));
    }
    let others = others(candidates.iter().map(|candidate| &candidate.manifest), asked.whose);
    if let Some(line) = others_line(&others, asked.whose) {
        error = error.hint(format!("Others are there: {line}."));
        error =
            error.hint(format!("`threescale-backup {} --installation NAME` takes the latest of one of them.", (asked.command)("latest")));
    }
    if unnamed.is_empty() { error.hint("Take one with `threescale-backup backup`.") } else { error }
}

/// The other installations that have sets here, each with how many.
#[must_use]
pub fn others<'a>(manifests: impl Iterator<Item = &'a Manifest>, whose: &Whose) -> BTreeMap<InstallationId, usize> {
    let mut others = BTreeMap::new();
    for manifest in manifests.filter(|manifest| whose.owner(manifest) == Owner::Other) {
        *others.entry(manifest.installation.clone().unwrap_or_default()).or_insert(0) += 1;
    }
    others
}

/// `3 sets of 2 other installations: test, stage; …`; nothing when there are none.
#[must_use]
pub fn others_line(others: &BTreeMap<InstallationId, usize>, whose: &Whose) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let own = whose.called();
    let called = |one: &InstallationId| if one.name == own { format!("{own} on another server") } else { one.name.clone() };
    let names: BTreeSet<_> = others.keys().map(called).collect();
    let sets = counted(others.values().sum(), "set", "sets");
    let installations = counted(others.len(), "other installation", "other installations");
    Some(format!("{sets} of {installations}: {}; `threescale-backup list --all-installations` shows them", join(&names)))
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@+,=%".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests;
