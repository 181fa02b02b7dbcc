//! A data set that is reached through the platform: it shows where it really is, not the end of a forwarded port on this machine, and keeps the way open.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use plan::evidence::Evidence;
use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{
    ChangesRows, Context, DataSet, Discard, Dump, Earlier, Findings, Held, KeyChanges, KeyRepairs, Leftover, LiveFiles, LiveKeys, LiveRows,
    MergesKeys, Place, Problem, PutsFiles, Road, Share, Snapshot, Staged, StoreKind, Undone,
};
use plan::{Class, Error, Result};

/// What went wrong with forwarded ports since a time.
pub(super) type Trouble = Box<dyn Fn(Instant) -> Option<Error> + Send + Sync>;

/// See the module.
pub(super) struct Reached {
    pub(super) inner: Arc<dyn DataSet>,
    /// Where it is, for people: `service system-mysql:3306`.
    pub(super) address: String,
    /// How it is reached, for people: `forwarded port`.
    pub(super) how: String,
    /// Whether it is reached by ports that are forwarded.
    pub(super) is_forwarded: bool,
    /// What an error may say of this machine, and what that is: `127.0.0.1:41234` is forwarded to ….
    pub(super) legend: Vec<(String, String)>,
    /// What went wrong with forwarded ports since a time.
    pub(super) trouble: Trouble,
    /// What must live as long as the data set is used: forwarded ports.
    pub(super) _way: Vec<Box<dyn Any + Send + Sync>>,
}

impl Reached {
    /// Says what a loopback address in an error stands for.
    fn explained<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        call().map_err(|error| {
            let error = match (self.trouble)(began) {
                Some(trouble) => by(error, &trouble),
                None => error,
            };
            let text = error.chain();
            let is_dialled = !self.is_forwarded && error.class() == Class::Transient;
            let error = if is_dialled {
                error.hint("If only the cluster can reach this address, run the command there: --in-cluster.")
            } else {
                error
            };
            let meant = self.legend.iter().filter(|(end, _)| text.contains(end.as_str()));
            meant.fold(error, |error: Error, (end, what)| error.hint(format!("{end} is forwarded to {what}.")))
        })
    }
}

impl Reached {
    /// Says of what is at the end of a forwarded port what it is: another number at each call says nothing to people, and hides that two problems are the same.
    fn named(&self, text: &mut String) {
        for (end, what) in &self.legend {
            *text = text.replace(end.as_str(), what);
        }
    }

    fn told<'a>(&self, problems: impl IntoIterator<Item = &'a mut Problem>) {
        for problem in problems {
            self.named(&mut problem.text);
            problem.way_out.iter_mut().for_each(|text| self.named(text));
        }
    }
}

/// An error, and what went wrong meanwhile with the connection: a port that is not forwarded for this user is what failed; a connection that broke may not break again.
fn by(error: Error, trouble: &Error) -> Error {
    let hints = trouble.hints().iter().cloned();
    match (trouble.class(), error.class()) {
        (Class::Refused, _) => hints.fold(Error::refused(trouble.chain()), Error::hint).hint(format!("By that failed: {}.", error.chain())),
        (_, Class::Failed | Class::Transient) => error.in_class(Class::Transient).hint(format!("The forwarded port: {}.", trouble.chain())),
        _ => error,
    }
}

impl DataSet for Reached {
    fn name(&self) -> DataSetName {
        self.inner.name()
    }

    fn kind(&self) -> Result<StoreKind> {
        self.explained(|| self.inner.kind())
    }

    fn identity(&self, context: &Context) -> Result<Option<String>> {
        self.explained(|| self.inner.identity(context))
    }

    fn parts(&self, context: &Context) -> Result<BTreeMap<String, String>> {
        let parts = self.explained(|| self.inner.parts(context))?;
        // The end of a forwarded port says nothing to people.
        Ok(parts.into_keys().map(|part| (part, self.address.clone())).collect())
    }

    fn spare(&self, other: Arc<dyn DataSet>) {
        self.inner.spare(other);
    }

    fn look(&self, context: &Context) -> Result<Findings> {
        let mut findings = self.explained(|| self.inner.look(context))?;
        findings.address.clone_from(&self.address);
        self.told(findings.backup_problems.iter_mut().chain(&mut findings.restore_problems));
        for (name, value) in &mut findings.facts {
            self.named(name);
            self.named(value);
        }
        findings.facts.insert(0, ("reached".to_owned(), self.how.clone()));
        Ok(findings)
    }

    fn fits(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Problem>> {
        let mut problems = self.explained(|| self.inner.fits(context, kept, road))?;
        self.told(&mut problems);
        Ok(problems)
    }

    fn road(&self, context: &Context, findings: &Findings, kept: &KeptDataSet) -> Result<(Road, Option<Problem>)> {
        let (road, mut problem) = self.explained(|| self.inner.road(context, findings, kept))?;
        self.told(&mut problem);
        Ok((road, problem))
    }

    fn shares(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Vec<Share>> {
        self.explained(|| self.inner.shares(context, kept, road))
    }

    fn dump(&self, context: &Context) -> Result<Box<dyn Dump>> {
        self.explained(|| self.inner.dump(context))
    }

    fn reuses(&self, earlier: &KeptDataSet) -> bool {
        self.inner.reuses(earlier)
    }

    fn dump_since(&self, context: &Context, earlier: Earlier) -> Result<Box<dyn Dump>> {
        self.explained(|| self.inner.dump_since(context, earlier))
    }

    fn reserve(&self, context: &Context, kept: &KeptDataSet, road: Road) -> Result<Place> {
        self.explained(|| self.inner.reserve(context, kept, road))
    }

    fn release(&self, context: &Context) -> Result<()> {
        self.explained(|| self.inner.release(context))
    }

    fn stage(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.explained(|| self.inner.stage(context, place, snapshot, kept))
    }

    fn rest(&self, kept: &KeptDataSet, road: Road) -> Option<String> {
        self.inner.rest(kept, road)
    }

    fn load_rest(&self, context: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, kept: &KeptDataSet) -> Result<()> {
        self.explained(|| self.inner.load_rest(context, place, snapshot, kept))
    }

    fn change_keys(&self, context: &Context, place: &Place, database: &str, changes: &mut dyn KeyChanges) -> Result<()> {
        self.explained(|| self.inner.change_keys(context, place, database, changes))
    }

    fn changes_lack(&self, context: &Context) -> Result<Option<Problem>> {
        let mut lacks = self.explained(|| self.inner.changes_lack(context))?;
        self.told(&mut lacks);
        Ok(lacks)
    }

    fn prove(&self, context: &Context, place: &Place, kept: &KeptDataSet) -> Result<Evidence> {
        self.explained(|| self.inner.prove(context, place, kept))
    }

    fn staged(&self, place: &Place) -> Result<Option<Staged>> {
        self.inner.staged(place)
    }

    fn ask_staged(&self, context: &Context, place: &Place, words: &[String], answer: &mut dyn Write) -> Result<()> {
        self.explained(|| self.inner.ask_staged(context, place, words, answer))
    }

    fn cut_over(&self, context: &Context, place: &Place) -> Result<()> {
        self.explained(|| self.inner.cut_over(context, place))
    }

    fn undo(&self, context: &Context, place: &Place) -> Result<Undone> {
        self.explained(|| self.inner.undo(context, place))
    }

    fn check_discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.explained(|| self.inner.check_discard(context, place, what))
    }

    fn discard(&self, context: &Context, place: &Place, what: Discard) -> Result<()> {
        self.explained(|| self.inner.discard(context, place, what))
    }

    fn tidy(&self, context: &Context, place: &Place) -> Result<()> {
        self.explained(|| self.inner.tidy(context, place))
    }

    fn keeps_previous(&self, place: &Place) -> bool {
        self.inner.keeps_previous(place)
    }

    fn kept_bytes(&self, context: &Context, place: &Place) -> Result<u64> {
        self.explained(|| self.inner.kept_bytes(context, place))
    }

    fn lock(&self, context: &Context) -> Result<Option<Box<dyn Held>>> {
        self.explained(|| self.inner.lock(context))
    }

    fn merges_keys(&self) -> Option<&dyn MergesKeys> {
        self.inner.merges_keys()
    }

    fn key_repairs(&self) -> Option<&dyn KeyRepairs> {
        self.inner.key_repairs()
    }

    fn live_keys(&self) -> Option<&dyn LiveKeys> {
        self.inner.live_keys()
    }

    fn live_rows(&self) -> Option<&dyn LiveRows> {
        self.inner.live_rows()
    }

    fn changes_rows(&self) -> Option<&dyn ChangesRows> {
        self.inner.changes_rows()
    }

    fn live_files(&self) -> Option<&dyn LiveFiles> {
        self.inner.live_files()
    }

    fn puts_files(&self) -> Option<&dyn PutsFiles> {
        self.inner.puts_files()
    }

    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        self.explained(|| self.inner.leftovers(context))
    }

    fn remove_leftover(&self, context: &Context, leftover: &Leftover) -> Result<()> {
        self.explained(|| self.inner.remove_leftover(context, leftover))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_forwarded_port_knows_goes_before_what_the_client_does() {
        let rule = || Error::refused("not allowed to create pods/portforward").hint("Add to a Role: …");
        let refused = by(Error::transient("Connection reset"), &rule());
        assert_eq!((refused.class(), refused.chain()), (Class::Refused, "not allowed to create pods/portforward".to_owned()));
        assert!(refused.hints().iter().any(|hint| hint == "Add to a Role: …"));
        let lost = || Error::transient("a connection to port 3306 broke: the pod is gone");
        assert_eq!(by(Error::failed("the load failed"), &lost()).class(), Class::Transient, "a pod that was lost comes back");
        assert_eq!(by(Error::needs_person("two of them"), &lost()).class(), Class::NeedsPerson);
    }
}
