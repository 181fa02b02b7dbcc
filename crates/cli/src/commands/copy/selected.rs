//! Which sets are copied: those that are named, or every whole one of the installation.

use jiff::Timestamp;
use plan::choice::{Candidate, Owner, Whose};
use plan::{Error, Result};
use repository::RusticRepository;

use crate::app::App;
use crate::args;
use crate::config::Config;
use crate::whose::{Wanted, candidates};

pub(super) fn selected(app: &App, config: &Config, source: &RusticRepository, args: &args::Copy) -> Result<Vec<Candidate>> {
    if args.sets.is_empty() { all(app, config, source, args) } else { named(app, config, source, args) }
}

fn named(app: &App, config: &Config, source: &RusticRepository, args: &args::Copy) -> Result<Vec<Candidate>> {
    let mut named: Vec<Candidate> = Vec::new();
    let candidates = candidates(source)?;
    for set in &args.sets {
        let to = args.to.as_deref().map(|to| format!(" --to {to}")).unwrap_or_default();
        let wanted = Wanted { after: to, ..Wanted::new("copy", set, args.partial) };
        let chosen = app.find_set(config, source, &wanted)?.0.manifest.set;
        let candidate = candidates.iter().find(|candidate| candidate.manifest.set == chosen);
        let is_new = !named.iter().any(|known| known.manifest.set == chosen);
        named.extend(candidate.filter(|_| is_new).cloned());
    }
    Ok(named)
}

/// Oldest first, so that what sets share is stored where the oldest needs it.
fn all(app: &App, config: &Config, source: &RusticRepository, args: &args::Copy) -> Result<Vec<Candidate>> {
    let whose = if args.all_installations { None } else { Some(app.whose(config)?) };
    let now = Timestamp::now();
    let is_meant = |candidate: &Candidate| {
        let manifest = &candidate.manifest;
        let is_ours = whose.as_ref().is_none_or(|whose| whose.owner(manifest) == Owner::Ours);
        is_ours && manifest.safety_for.is_none() && !manifest.is_ahead_of(now) && (args.partial || manifest.is_whole())
    };
    let mut all = candidates(source)?;
    all.retain(is_meant);
    if !all.is_empty() {
        return Ok(all);
    }
    let of = match &whose {
        None => String::new(),
        Some(Whose::Named(name)) => format!(" of {name}"),
        Some(Whose::Ours { id, .. }) => format!(" of {}", id.name),
        Some(Whose::Unknown) => " of this installation".to_owned(),
    };
    Err(Error::refused(format!("there is no whole set{of} to copy")).hint(
        "`threescale-backup list` shows what there is: --partial copies sets that lack data sets, --all-installations those of others.",
    ))
}
