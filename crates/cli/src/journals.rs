//! The runs of an installation, wherever their journals are: here, and as copies in the repository.

use std::path::Path;

use plan::ids::RunId;
use plan::journal::Run;
use plan::ports::Repository;
use plan::{Error, InstallationId, Result};
use runner::{Beside, JournalCopy, State};

/// A run that somebody knows of.
pub(crate) struct Known {
    pub(crate) id: RunId,
    /// What its journal says, or why it cannot be read.
    pub(crate) run: Result<Run>,
    /// Where its newest journal is.
    pub(crate) is: At,
}

/// Where the newest journal of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Here.
    Here,
    /// A copy in the repository: another machine went on with it.
    Elsewhere,
    /// A copy in the repository: the one here is damaged.
    DamagedHere,
    /// Here and in the repository, and each says what the other does not.
    Both,
}

impl Known {
    /// Whether the journal here is the newest.
    pub(crate) fn is_here(&self) -> bool {
        self.is == At::Here
    }

    /// What people are told of the place, behind what the run is.
    pub(crate) const fn remark(&self) -> &'static str {
        match self.is {
            At::Here => "",
            At::Elsewhere => " (its newest journal is a copy in the repository, of another machine)",
            At::DamagedHere => " (its journal here is damaged: the copy in the repository is gone on from)",
            At::Both => " (two machines went on with it: its journal here and the copy in the repository contradict each other)",
        }
    }
}

/// Runs of an installation on Kubernetes that are not over, and whose journals are in a folder of this machine: release 0.1.0, called outside of the cluster, kept
/// them there, as `--state-folder` does. A folder that cannot be read says nothing.
pub(crate) fn left_in(folder: &Path, installation: &InstallationId) -> Option<String> {
    let all = State::folder_to_look_at(folder).and_then(|state| state.all()).unwrap_or_default();
    let is_left = |run: &Run| run.is_of(installation) && !run.is_over() && (run.plan.purpose.changes_live() || run.holds_writers());
    let left: Vec<_> = all.iter().filter(|(_, run)| run.as_ref().is_ok_and(is_left)).map(|(id, _)| id.as_str()).collect();
    let (first, more) = left.split_first()?;
    let runs =
        if more.is_empty() { format!("run {first} has its journal") } else { format!("runs {} have their journals", left.join(", ")) };
    let folder = folder.display();
    Some(format!(
        "{runs} in {folder}, not in the cluster: `threescale-backup runs --state-folder {folder}` tells of it, and so do `resume`, `undo` and `settle`."
    ))
}

/// The runs of this installation, oldest first. A journal that cannot be read may be anybody's.
pub(crate) fn known(state: &State, repository: Option<&dyn Repository>, installation: &InstallationId) -> Result<Vec<Known>> {
    let mut known: Vec<_> = state.all()?.into_iter().map(|(id, run)| Known { id, run, is: At::Here }).collect();
    known.retain(|known| known.run.as_ref().map_or(true, |run| run.is_of(installation)));
    for copy in repository.map_or_else(|| Ok(Vec::new()), |repository| runner::copies(repository, installation))? {
        let is = match runner::beside(state, &copy) {
            Beside::Older | Beside::NotForThisVersion => continue,
            Beside::NotHere | Beside::Newer => At::Elsewhere,
            Beside::DamagedHere => At::DamagedHere,
            Beside::Contradicts => At::Both,
        };
        known.retain(|known| known.id != copy.id);
        known.push(Known { id: copy.id, run: Ok(copy.run), is });
    }
    known.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(known)
}

/// How a run is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhichRun<'a> {
    /// By its id, or the beginning of it.
    Named(&'a str),
    /// The newest with which that can be done.
    NewestTo(&'a str),
}

/// The run that is meant: the one named, or the newest of this installation that fits. Brought here from its copy when another machine has the newer journal.
pub(crate) fn find(
    state: &State,
    copies: Option<&dyn Repository>,
    installation: &InstallationId,
    wanted: WhichRun<'_>,
    host: &str,
    fits: impl Fn(&Run) -> bool,
) -> Result<RunId> {
    let all = known(state, copies, installation)?;
    let found = match wanted {
        WhichRun::Named(wanted) => named(all, state, installation, wanted)?,
        WhichRun::NewestTo(verb) => {
            let standing = all.iter().rev().find_map(|known| Some((&known.id, known.run.as_ref().ok().filter(|run| !run.is_over())?)));
            let standing = standing.map(|(id, run)| format!(": run {id} is {}", run.describe())).unwrap_or_default();
            all.into_iter().rev().find(|known| known.run.as_ref().is_ok_and(&fits)).ok_or_else(|| {
                Error::refused(format!("there is no run of this installation to {verb}{standing}"))
                    .hint("`threescale-backup runs` lists them.")
            })?
        }
    };
    if let Some(repository) = copies.filter(|_| !found.is_here()) {
        let copies = runner::copies(repository, installation)?;
        if let Some(copy) = copies.iter().find(|copy: &&JournalCopy| copy.id == found.id) {
            runner::take_over(state, copy, host)?;
        }
    }
    Ok(found.id)
}

fn named(all: Vec<Known>, state: &State, installation: &InstallationId, wanted: &str) -> Result<Known> {
    let wanted = wanted.to_lowercase();
    let mut fitting: Vec<_> = all.into_iter().filter(|known| known.id.as_str().starts_with(&wanted)).collect();
    if let Some(whole) = fitting.iter().position(|known| known.id.as_str() == wanted) {
        return Ok(fitting.swap_remove(whole));
    }
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => {
            let others = state.all()?.into_iter().filter(|(id, _)| id.as_str().starts_with(&wanted));
            let theirs = others.filter_map(|(id, run)| run.ok().map(|run| (id, run.plan.installation.unwrap_or_default()))).next();
            Err(match theirs {
                Some((id, theirs)) => Error::refused(format!("run {id} is of another installation: {theirs}; this one is {installation}"))
                    .hint("Use that installation's configuration, or its namespace and cluster: --namespace, --context."),
                None => Error::refused(format!("there is no run {wanted}")).hint("`threescale-backup runs` lists them."),
            })
        }
        several => Err(Error::refused(format!("{several} runs begin with {wanted}")).hint("Give more of the id.")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_run_of_release_0_1_0_whose_journal_is_on_this_machine_is_told() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/0.1.0/interrupted");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(left_in(folder.path(), &InstallationId::named("here")), None);
        std::fs::create_dir(folder.path().join("runs")).unwrap();
        let journal = std::fs::read_dir(kept)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == "jsonl"));
        let journal = journal.unwrap();
        std::fs::copy(&journal, folder.path().join("runs").join(journal.file_name().unwrap())).unwrap();
        let said = left_in(folder.path(), &InstallationId::named("here")).unwrap();
        let run = journal.file_stem().unwrap().to_str().unwrap();
        assert!(said.contains(run) && said.contains(&format!("--state-folder {}", folder.path().display())), "{said}");
    }
}
