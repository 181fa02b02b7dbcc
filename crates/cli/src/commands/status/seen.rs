//! What there is to be seen of an installation's backups, without a judgement.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use plan::checked::{self, Checked};
use plan::choice::{Candidate, Owner};
use plan::error::During as _;
use plan::ids::SetId;
use plan::journal::Run;
use plan::manifest::{Manifest, is_in_the_future};
use plan::ports::{Damaged, Repository as _};
use plan::proof::Proof;
use plan::words::counted;
use plan::{Error, Policies, Result};
use repository::{Location, RusticRepository};
use serde::Serialize;

use crate::app::App;
use crate::clock;
use crate::commands::sets::Proofs;
use crate::config::Config;
use crate::copied::{self, Copied};
use crate::join::{self, Installation};
use crate::journals;
use crate::whose::{candidates, told};

/// The growth is told of this long.
pub(super) const GROWTH: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a file system has, for those who are not root.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Space {
    pub(super) free_bytes: u64,
    pub(super) total_bytes: u64,
}

/// See the module.
pub(in crate::commands) struct Seen {
    pub(in crate::commands) now: Timestamp,
    /// Whether it is another one than the one that is configured: nothing here is done for it.
    pub(super) is_another: bool,
    /// Installations that have sets in the repository, when this one has none.
    pub(super) others: Vec<String>,
    /// What the installation is called; empty when that is not known.
    pub(in crate::commands) installation: String,
    /// Its sets, oldest first, without those from the future.
    pub(in crate::commands) sets: Vec<Candidate>,
    pub(in crate::commands) proofs: BTreeMap<SetId, Vec<Proof>>,
    /// Oldest first.
    pub(super) checks: Vec<Checked>,
    /// What is known of second repositories, the newest word last: those of the configuration, and others that were named.
    pub(super) copies: Vec<Copied>,
    /// The second repositories of the configuration.
    pub(super) copies_wanted: Vec<&'static str>,
    /// Damage that is known and is of no set of another installation.
    pub(super) damaged: Vec<String>,
    /// Runs that are not over, oldest first.
    pub(super) runs: Vec<Run>,
    /// What the file system of the repository has; of a bucket nobody knows it.
    pub(super) space: Option<Space>,
    /// Until when some jobs of 3scale's clock are held.
    pub(super) held_until: Option<Timestamp>,
    /// What could not be looked at, and why.
    pub(super) unknown: Vec<String>,
}

impl Seen {
    pub(in crate::commands) fn look(app: &App, config: &Config, location: &Location, repository: &RusticRepository) -> Result<Self> {
        let now = Timestamp::now();
        let whose = app.whose(config)?;
        let sets = candidates(repository)?;
        let of_others: BTreeMap<_, _> = sets.iter().filter(|set| whose.owner(&set.manifest) == Owner::Other).map(of_whom).collect();
        let is_anothers = |set: Option<&SetId>| set.is_some_and(|set| of_others.contains_key(set));
        let of_set = |damage: &Damaged| match &damage.set {
            Some(set) => format!("set {set}: {}", told(damage)),
            None => told(damage),
        };
        let damaged = repository.damaged()?.iter().filter(|damage| !is_anothers(damage.set.as_ref())).map(of_set).collect();
        let others = of_others.into_values().collect::<BTreeSet<_>>().into_iter().collect();
        let mut known = Proofs::all(app, config, repository);
        let unnamed = sets.iter().filter(|set| whose.owner(&set.manifest) == Owner::Unnamed).count();
        let ours = sets.into_iter().filter(|set| whose.owner(&set.manifest) == Owner::Ours && set.manifest.safety_for.is_none());
        let (ahead, sets): (Vec<_>, Vec<_>) = ours.partition(|set| set.manifest.is_ahead_of(now));
        let mut unknown: Vec<_> =
            ahead.iter().map(|set| of_the_future(&format!("set {} was finished", set.manifest.set), &set.manifest.host)).collect();
        unknown.extend(
            (unnamed > 0)
                .then(|| format!("{} without a name (release 0.1.0 wrote none): whose is not known", counted(unnamed, "set", "sets"))),
        );
        let mut proofs = BTreeMap::new();
        for set in &sets {
            let (later, shown): (Vec<_>, Vec<_>) =
                known.of(&set.manifest.set).into_iter().partition(|proof| is_in_the_future(proof.finished_at, now));
            unknown.extend(later.iter().map(|proof| of_the_future(&format!("run {} of set {} ended", proof.run, proof.set), &proof.host)));
            proofs.insert(set.manifest.set.clone(), shown);
        }
        let mut seen = Self {
            now,
            is_another: false,
            others,
            installation: String::new(),
            sets,
            proofs,
            checks: Vec::new(),
            copies: Vec::new(),
            copies_wanted: config.copies().into_iter().filter(|name| config.in_copy() != Some(*name)).collect(),
            damaged,
            runs: Vec::new(),
            space: None,
            held_until: None,
            unknown,
        };
        let checks = checked::checks(repository).unwrap_or_else(|error| seen.not_known("the checks of the repository", &error));
        let (later, checks): (Vec<_>, Vec<_>) = checks.into_iter().partition(|checked| is_in_the_future(checked.finished_at, now));
        seen.unknown.extend(later.iter().map(|checked| of_the_future("a check of the repository ended", &checked.host)));
        seen.checks = checks;
        seen.space = free_space(location).unwrap_or_else(|error| seen.not_known("the space that is left", &error));
        match &app.global().sets_of {
            // Its runs and its clock are where it is, and only its sets are meant; unless it is this one.
            Some(name) if config.installation_name().as_ref() != Some(name) => {
                seen.installation.clone_from(name);
                seen.is_another = true;
            }
            Some(_) | None => seen.look_at_installation(app, config, repository)?,
        }
        let copies = copied::copies(repository, &seen.installation).unwrap_or_else(|error| seen.not_known("the second copies", &error));
        let (later, copies): (Vec<_>, Vec<_>) = copies.into_iter().partition(|copied| is_in_the_future(copied.finished_at, now));
        seen.unknown.extend(later.iter().map(|copied| of_the_future(&format!("a copy into {} ended", copied.called()), &copied.host)));
        seen.copies = copies;
        Ok(seen)
    }

    fn look_at_installation(&mut self, app: &App, config: &Config, repository: &RusticRepository) -> Result<()> {
        let (id, _) = join::id(config, app.global(), app.stop())?;
        self.installation = id.name.clone();
        let installation = app.installation_even_nothing(config, None);
        let installation = installation.map(Some).unwrap_or_else(|error| self.not_known("what the installation has", &error));
        let state = app.state_to_look_at(config, installation.as_deref())?;
        let known = journals::known(&state, Some(repository), &id).unwrap_or_else(|error| self.not_known("the runs", &error));
        for known in known {
            match known.run {
                Ok(run) if run.is_over() => {}
                Ok(run) => self.runs.push(run),
                Err(error) => self.not_known::<()>(&format!("run {}", known.id), &error),
            }
        }
        if let Some(installation) = installation.filter(|installation| installation.names().contains(&clock::DATA_SET)) {
            let held = held_until(app, config, installation.as_ref(), self.now);
            self.held_until = held.unwrap_or_else(|error| self.not_known("whether the clock is held", &error));
        }
        Ok(())
    }

    fn not_known<T: Default>(&mut self, what: &str, error: &Error) -> T {
        self.unknown.push(format!("{what}: {}", error.chain()));
        T::default()
    }

    /// The newest whole set.
    pub(super) fn newest(&self) -> Option<&Candidate> {
        self.sets.iter().rev().find(|set| set.manifest.is_whole())
    }

    /// What was last said of a second repository of the configuration.
    pub(super) fn copied_to(&self, copy: &str) -> Option<&Copied> {
        self.copies.iter().rev().find(|copied| copied.copy.as_deref() == Some(copy))
    }

    /// Whole sets that are younger than the newest in a second repository.
    pub(super) fn behind(&self, copied: &Copied) -> usize {
        let is_missing =
            |set: &&Candidate| set.manifest.is_whole() && copied.newest_started_at.is_none_or(|newest| set.manifest.started_at > newest);
        self.sets.iter().filter(is_missing).count()
    }

    /// The newest restore or rehearsal of a whole set in which all of it was equal.
    pub(super) fn proven(&self) -> Option<(&Manifest, &Proof)> {
        self.all_proofs()
            .filter(|(manifest, proof)| manifest.is_whole() && proof.shows_all(manifest))
            .max_by_key(|(_, proof)| proof.finished_at)
    }

    /// The newest that failed, when nothing was proven since.
    pub(super) fn failed_proof(&self) -> Option<(&Manifest, &Proof)> {
        let (manifest, proof) =
            self.all_proofs().filter(|(_, proof)| proof.failure.is_some()).max_by_key(|(_, proof)| proof.finished_at)?;
        let is_over = self.proven().is_some_and(|(_, proven)| proven.finished_at > proof.finished_at);
        (!is_over).then_some((manifest, proof))
    }

    fn all_proofs(&self) -> impl Iterator<Item = (&Manifest, &Proof)> {
        self.sets.iter().flat_map(|set| {
            let proofs = self.proofs.get(&set.manifest.set).into_iter().flatten();
            proofs.map(move |proof| (&set.manifest, proof))
        })
    }

    /// Since when every pack that there was then has been read.
    pub(super) fn everything_read_since(&self) -> Option<Timestamp> {
        checked::everything_read_since(&self.checks)
    }

    /// Bytes that the sets of the last week added, and how many sets these are.
    pub(super) fn growth(&self) -> (u64, usize) {
        let young = || self.sets.iter().filter(|set| self.now.duration_since(set.manifest.finished_at) <= GROWTH);
        (young().map(|set| set.manifest.stored_bytes()).sum(), young().count())
    }
}

/// What the file system has that the repository's folder is on; `None` of a bucket, which does not say it.
fn free_space(location: &Location) -> Result<Option<Space>> {
    let Location::Folder(folder) = location else { return Ok(None) };
    let found = rustix::fs::statvfs(folder).during(|| format!("ask for the space at {}", folder.display()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Some(Space { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) }))
}

fn of_the_future(what: &str, host: &str) -> String {
    format!("{what} in the future: a clock was wrong, here or on {host}; it does not count")
}

/// A set, and the name of its installation.
fn of_whom(set: &Candidate) -> (SetId, String) {
    (set.manifest.set.clone(), set.manifest.installation.as_ref().map(|installation| installation.name.clone()).unwrap_or_default())
}

/// Until when the job that is held for longest is held.
fn held_until(app: &App, config: &Config, installation: &dyn Installation, now: Timestamp) -> Result<Option<Timestamp>> {
    let context = app.context(config, runner::new_run_id(), installation.id())?;
    let store = installation.data_set(clock::DATA_SET, Policies::default())?;
    let Some(keys) = store.live_keys() else { return Ok(None) };
    Ok(clock::clocks(keys, &context, None)?.iter().filter_map(|clock| clock.held_until(now)).max())
}
