//! Whose sets a command is about, and which of them is meant. The rules are `plan::choice`'s; here is what they are asked about.

use jiff::Timestamp;
use plan::Result;
use plan::choice::{Asked, Candidate, Chosen, Whose, choose};
use plan::manifest::Manifest;
use plan::ports::{Context, Damaged, Repository};

use crate::app::App;
use crate::config::Config;
use crate::join::{self, Installation};

/// A set as the command line names it.
pub(crate) struct Wanted<'a> {
    /// `latest`, an id, or the beginning of one.
    pub set: &'a str,
    /// Whether `latest` may be one that lacks data sets.
    pub partial: bool,
    /// The command, for the ways out.
    pub verb: &'static str,
    /// What follows the set there.
    pub after: String,
}

impl<'a> Wanted<'a> {
    pub(crate) const fn new(verb: &'static str, set: &'a str, partial: bool) -> Self {
        Self { set, partial, verb, after: String::new() }
    }
}

impl App {
    /// Whose sets are meant, without asking any store: those of `--installation`, else those of the installation that is configured.
    pub(crate) fn whose(&self, config: &Config) -> Result<Whose> {
        if let Some(name) = &self.global().sets_of {
            return Ok(Whose::Named(name.clone()));
        }
        let (id, problem) = join::id(config, self.global(), self.stop())?;
        let is_known = !id.name.is_empty();
        if let Some(problem) = problem {
            let what = if is_known { "its namespace's identity is not known" } else { "it is not known which installation this is" };
            self.output.note(&format!("note: {what}: {}", problem.chain()));
        }
        Ok(if is_known { Whose::ours(id) } else { Whose::Unknown })
    }

    /// The set that is meant, of the installation that is configured; no store is asked.
    pub(crate) fn find_set(&self, config: &Config, repository: &dyn Repository, wanted: &Wanted<'_>) -> Result<(Chosen, Whose)> {
        let whose = self.whose(config)?;
        let chosen = self.choose(candidates(repository)?, &whose, wanted)?;
        Ok((chosen, whose))
    }

    /// The same for a command that reaches the installation: where sets of the same name may come from another server, its store is asked which it is.
    pub(crate) fn find_set_for(
        &self,
        installation: &dyn Installation,
        context: &Context,
        repository: &dyn Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Chosen> {
        let candidates = candidates(repository)?;
        let mut whose = self.global().sets_of.clone().map_or_else(|| Whose::ours(installation.id()), Whose::Named);
        if whose.asks_a_store(candidates.iter().map(|candidate| &candidate.manifest))
            && let Whose::Ours { store, .. } = &mut whose
        {
            *store = join::first_identity(installation, context, &std::collections::BTreeMap::new());
        }
        self.choose(candidates, &whose, wanted)
    }

    fn choose(&self, candidates: Vec<Candidate>, whose: &Whose, wanted: &Wanted<'_>) -> Result<Chosen> {
        let command = |set: &str| format!("{} {set}{}", wanted.verb, wanted.after);
        let asked = Asked { set: wanted.set, partial: wanted.partial, whose, now: Timestamp::now(), command: &command };
        let chosen = choose(candidates, &asked)?;
        chosen.notes.iter().for_each(|note| self.output.note(&format!("note: {note}")));
        Ok(chosen)
    }
}

/// All sets that are there, oldest first, each with what is known to be wrong with it.
pub(crate) fn candidates(repository: &dyn Repository) -> Result<Vec<Candidate>> {
    let damaged = repository.damaged()?;
    let damage_of = |manifest: &Manifest| {
        let of_it = damaged.iter().filter(|damage| damage.set.as_ref() == Some(&manifest.set)).map(told);
        Some(of_it.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
    };
    Ok(repository.manifests()?.into_iter().map(|manifest| Candidate { damage: damage_of(&manifest), manifest }).collect())
}

/// What is damaged, without the set's id.
pub(crate) fn told(damage: &Damaged) -> String {
    let data_set = damage.data_set.map(|name| format!("{name}: ")).unwrap_or_default();
    format!("{data_set}{}", damage.what)
}
