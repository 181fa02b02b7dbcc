//! `copy`: sets into a second repository, encrypted anew, and only what is not there yet.

mod selected;
mod target;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plan::choice::Candidate;
use plan::ids::{DataSetName, SetId};
use plan::manifest::Manifest;
use plan::ports::{Event, Repository as _};
use plan::words::counted;
use plan::{Error, Result};
use repository::{Carried, RusticRepository, SetCopy};
use serde::Serialize;

use crate::app::App;
use crate::args;
use crate::commands::renew;
use crate::config::Config;
use crate::copied::{self, Copied};
use crate::output::bytes;
use selected::selected;
use target::{Place, Target};

/// How often it is said how far a copy is.
const TELL_EVERY: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct CopyDocument {
    copies: Vec<IntoDocument>,
}

/// What was done for one second repository.
#[derive(Serialize)]
struct IntoDocument {
    /// The name of its section.
    copy: Option<String>,
    repository: String,
    sets: Vec<SetDocument>,
    /// Results of restores and rehearsals, and protections, that were copied too.
    records: usize,
    /// Why it was ended before its time.
    error: Option<String>,
}

#[derive(Serialize)]
struct SetDocument {
    set: SetId,
    outcome: Outcome,
    /// Bytes of chunks that were not there, as they are and as they are stored.
    new_bytes: u64,
    new_stored_bytes: u64,
    /// Why it was not copied.
    problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Copied,
    /// It was there already.
    There,
    /// It would be copied.
    Missing,
    Damaged,
    /// It was removed here meanwhile.
    Gone,
}

pub(crate) fn copy(app: &App, args: &args::Copy) -> Result<()> {
    let config = app.config()?;
    let places = target::places(&config, args)?;
    let source = app.repository(&config)?;
    let candidates = selected(app, &config, source.as_ref(), args)?;
    let (mut document, mut failures) = (CopyDocument { copies: Vec::new() }, Vec::new());
    for place in &places {
        let copying = Copying { app, source: source.as_ref(), candidates: &candidates, dry_run: args.dry_run };
        let (into, failure) = copying.bring_to(&config, place, args.init);
        document.copies.push(into);
        failures.extend(failure);
        app.stop().check()?;
    }
    app.output.document(&document)?;
    first_of(failures)
}

/// Copies into every second repository that each backup is to bring up to date. A failure is for the caller to tell: there is a set.
pub(crate) fn after_backup(app: &App, config: &Config) -> Result<()> {
    let names = config.copies_after_backup();
    if names.is_empty() {
        return Ok(());
    }
    let source = app.repository(config)?;
    let args = args::Copy {
        sets: Vec::new(),
        to: None,
        password: args::ToPassword { to_password_file: None, to_password_command: None },
        init: false,
        all_installations: false,
        partial: false,
        dry_run: false,
    };
    let candidates = selected(app, config, source.as_ref(), &args)?;
    let mut failures = Vec::new();
    for name in names {
        // Only the backup prints results.
        let quiet = app.without_results();
        let copying = Copying { app: &quiet, source: source.as_ref(), candidates: &candidates, dry_run: false };
        failures.extend(copying.bring_to(config, &Place::Named(name.to_owned()), false).1);
        app.stop().check()?;
    }
    first_of(failures)
}

/// One failure as it is; of several the first, with the others.
fn first_of(mut failures: Vec<Error>) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    let first = failures.remove(0);
    Err(failures.into_iter().fold(first, |error, other| error.hint(format!("Also: {}.", other.chain()))))
}

/// Sets on their way into one second repository.
struct Copying<'a> {
    app: &'a App,
    source: &'a RusticRepository,
    candidates: &'a [Candidate],
    dry_run: bool,
}

impl Copying<'_> {
    /// Does it, and says what was done, also where it failed.
    fn bring_to(&self, config: &Config, place: &Place, init: bool) -> (IntoDocument, Option<Error>) {
        let mut into = IntoDocument { copy: place.name(), repository: String::new(), sets: Vec::new(), records: 0, error: None };
        let done = Target::open(self.app, config, place, init && !self.dry_run).and_then(|target| {
            into.repository = target.location.to_string();
            self.bring(&target, &mut into)
        });
        let failure = done.err();
        into.error = failure.as_ref().map(Error::chain);
        (into, failure)
    }

    fn bring(&self, target: &Target, into: &mut IntoDocument) -> Result<()> {
        if self.source.is_same_as(&target.repository) {
            return Err(Error::refused(format!("{target} is the repository itself, or a copy of its files"))
                .hint("A second repository has a key of its own: name another place, and create it with --init."));
        }
        let there = target.whole_sets()?;
        target.repository.try_object_lock(!self.dry_run).map_err(|error| target.with_way_out(error))?;
        let copied = self.sets(target, &there, into);
        if !self.dry_run {
            // Whatever ended it: what is there now is known.
            let beside = self.beside(target, into);
            self.remember(target, into);
            let locked = renew::repository(self.app, &target.repository, Some(&target.to_string()));
            copied?;
            beside?;
            locked?;
        } else {
            copied?;
        }
        self.app.output.line(&summary(target, into, self.dry_run))?;
        let lost: Vec<_> = into.sets.iter().filter(|set| set.outcome == Outcome::Damaged).map(|set| set.set.to_string()).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let what =
            format!("{} of {} could not be copied to {target}: {}", lost.len(), counted(into.sets.len(), "set", "sets"), lost.join(", "));
        Err(Error::failed(what).hint(
            "They are damaged where they were to be read. `threescale-backup check` names the damage, `threescale-backup repair` says what can be mended. The \
             others are there.",
        ))
    }

    fn sets(&self, target: &Target, there: &BTreeSet<SetId>, into: &mut IntoDocument) -> Result<()> {
        for candidate in self.candidates {
            self.app.stop().check()?;
            let set = &candidate.manifest.set;
            let (outcome, carried, problem) = match &candidate.damage {
                Some(damage) => (Outcome::Damaged, Carried::default(), Some(damage.clone())),
                None if there.contains(set) => (Outcome::There, Carried::default(), None),
                None if self.dry_run => (Outcome::Missing, Carried::default(), None),
                None => self.one(target, &candidate.manifest)?,
            };
            let (new_bytes, new_stored_bytes) = (carried.bytes, carried.stored_bytes);
            self.tell(target, &candidate.manifest, outcome, carried, problem.as_deref())?;
            into.sets.push(SetDocument { set: set.clone(), outcome, new_bytes, new_stored_bytes, problem });
        }
        Ok(())
    }

    fn one(&self, target: &Target, manifest: &Manifest) -> Result<(Outcome, Carried, Option<String>)> {
        let told = Told::new(self.app, manifest);
        let copied = self.source.copy_set(&manifest.set, &target.repository, self.app.stop(), &|data_set, bytes| told.see(data_set, bytes));
        Ok(match copied.map_err(|error| target.with_way_out(error))? {
            SetCopy::Done(carried) => (Outcome::Copied, carried, None),
            SetCopy::Damaged(error) => (Outcome::Damaged, Carried::default(), Some(error.chain())),
            SetCopy::Gone => (Outcome::Gone, Carried::default(), None),
        })
    }

    fn tell(&self, target: &Target, manifest: &Manifest, outcome: Outcome, carried: Carried, problem: Option<&str>) -> Result<()> {
        let set = &manifest.set;
        match outcome {
            Outcome::There => Ok(()),
            Outcome::Copied => self.app.output.line(&format!(
                "copied {set} to {target}: {}, {} new there",
                bytes(manifest.bytes()),
                bytes(carried.stored_bytes)
            )),
            Outcome::Missing => self.app.output.line(&format!("would copy {set} to {target}: {}", bytes(manifest.bytes()))),
            Outcome::Gone => self.app.output.line(&format!("set {set} was removed here before it was copied")),
            Outcome::Damaged => {
                self.app.watch().see(Event::Warning(&format!("set {set} is not copied, it is damaged: {}", problem.unwrap_or_default())));
                Ok(())
            }
        }
    }

    /// What stands beside the sets that are in both.
    fn beside(&self, target: &Target, into: &mut IntoDocument) -> Result<()> {
        let of = |wanted: &[Outcome]| -> Vec<SetId> {
            into.sets.iter().filter(|set| wanted.contains(&set.outcome)).map(|set| set.set.clone()).collect()
        };
        let (all, new) = (of(&[Outcome::There, Outcome::Copied]), of(&[Outcome::Copied]));
        into.records = self.source.copy_records(&target.repository, &all, &new).map_err(|error| target.with_way_out(error))?;
        Ok(())
    }

    /// In the repository, for `status` on whatever machine. Who may only read it has copied all the same.
    fn remember(&self, target: &Target, into: &IntoDocument) {
        let noted = target.repository.manifests().and_then(|manifests| {
            let name = |manifest: &Manifest| manifest.installation.clone().unwrap_or_default().name;
            let installations: BTreeSet<_> = self.candidates.iter().map(|candidate| name(&candidate.manifest)).collect();
            installations.into_iter().try_for_each(|installation| {
                let is_there =
                    |manifest: &&Manifest| name(manifest) == installation && manifest.is_whole() && !manifest.is_ahead_of(Timestamp::now());
                let whole: Vec<_> = manifests.iter().filter(is_there).collect();
                let newest = whole.iter().max_by_key(|manifest| manifest.started_at);
                let copied = Copied {
                    copy: target.name.clone(),
                    repository: target.location.to_string(),
                    host: self.app.host(),
                    program_version: env!("CARGO_PKG_VERSION").to_owned(),
                    finished_at: Timestamp::now(),
                    sets: whole.len() as u64,
                    newest: newest.map(|manifest| manifest.set.clone()),
                    newest_started_at: newest.map(|manifest| manifest.started_at),
                    not_copied: into.sets.iter().filter(|set| set.outcome == Outcome::Damaged).count() as u64,
                    installation,
                };
                copied::keep(self.source, &copied)
            })
        });
        if let Err(error) = noted {
            self.app.output.note(&format!("note: `status` will not know of this copy: {}", error.chain()));
        }
    }
}

/// A line every few seconds while a set is copied.
struct Told<'a> {
    app: &'a App,
    manifest: &'a Manifest,
    /// What has passed of the set, and when that was told.
    so_far: Cell<(u64, Instant)>,
}

impl<'a> Told<'a> {
    fn new(app: &'a App, manifest: &'a Manifest) -> Self {
        Self { app, manifest, so_far: Cell::new((0, Instant::now())) }
    }

    fn see(&self, data_set: DataSetName, passed: u64) {
        let (before, told) = self.so_far.get();
        let is_due = told.elapsed() >= TELL_EVERY;
        self.so_far.set((before + passed, if is_due { Instant::now() } else { told }));
        if is_due {
            let (set, now, all) = (&self.manifest.set, bytes(before + passed), bytes(self.manifest.bytes()));
            self.app.output.note(&format!("copy of {set}: {now} of {all} ({data_set})"));
        }
    }
}

fn summary(target: &Target, into: &IntoDocument, dry_run: bool) -> String {
    let count = |wanted: Outcome| into.sets.iter().filter(|set| set.outcome == wanted).count();
    let done = if dry_run { format!("{} to copy", count(Outcome::Missing)) } else { format!("{} copied", count(Outcome::Copied)) };
    let mut parts = vec![done];
    for (outcome, what) in
        [(Outcome::There, "there already"), (Outcome::Damaged, "damaged here"), (Outcome::Gone, "removed here meanwhile")]
    {
        let number = count(outcome);
        parts.extend((number > 0).then(|| format!("{number} {what}")));
    }
    format!("{target}: {}", parts.join(", "))
}
