//! What restores and rehearsals showed of each set: the records beside the sets, and the journals at hand for what is not among them.

use std::collections::BTreeMap;

use plan::ids::SetId;
use plan::ports::Repository;
use plan::proof::{self, Proof};
use plan::{Purpose, Result};

use crate::app::App;
use crate::config::Config;

/// See the module.
#[derive(Default)]
pub(crate) struct Proofs(BTreeMap<SetId, Vec<Proof>>);

impl Proofs {
    /// All that is known. Sets can be told without it: what stands in the way is a note.
    pub(crate) fn all(app: &App, config: &Config, repository: &dyn Repository) -> Self {
        let told = |error: plan::Error| {
            app.output.note(&format!("note: not all restores and rehearsals of the sets are known: {}", error.chain()));
        };
        let mut proofs = Self(proof::proofs(repository).map_err(told).unwrap_or_default());
        proofs.add_journals(app, config).unwrap_or_else(told);
        proofs
    }

    /// Runs of earlier releases, and those whose record could not be written. A journal that cannot be read is told by `runs`; it proves nothing.
    fn add_journals(&mut self, app: &App, config: &Config) -> Result<()> {
        let state = app.state_beside_sets(config)?;
        for (id, run) in state.all()? {
            // Most are of backups: their journals are not read once more.
            let Some(run) = run.ok().filter(|run| run.plan.purpose != Purpose::Backup) else { continue };
            let known = self.0.entry(run.plan.set).or_default();
            if known.iter().any(|proof| proof.run == id) {
                continue;
            }
            if let Ok(Some(proof)) = runner::shown(&state, &id) {
                known.push(proof);
                known.sort_by_key(|proof| proof.finished_at);
            }
        }
        Ok(())
    }

    /// Those of a set, oldest first.
    pub(crate) fn of(&mut self, set: &SetId) -> Vec<Proof> {
        self.0.remove(set).unwrap_or_default()
    }
}
