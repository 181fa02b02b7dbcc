//! The cut-over of a bucket, its undo, and the removal of what a run left. How far it came is told by `swap.json`, written before each phase; every phase may be begun
//! again after a crash at any object.
//!
//! ```text
//! (none) → saving → putting → swapped            cut_over
//!             ↓         ↓         ↓
//!             └→ undone ←── putting-back         undo
//! ```

use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use plan::ids::DataSetName;
use plan::ports::{Context, Discard, Event, Undone};
use plan::{Error, Result};

use crate::client::put::Limits;
use crate::key::TreeKey;
use crate::live;
use crate::parallel;
use crate::properties::Properties;
use crate::run::{self, Fate, Found, Item, MARK, Phase, RunObjects, STAGED, SWAP, Swap};

/// How many are named of what there may be many of.
const NAMED: usize = 5;

/// Keys of which there may be many: all counted, some named.
#[derive(Default)]
struct Told(Mutex<(u64, Vec<String>)>);

impl Told {
    fn note(&self, key: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.0 += 1;
        if told.1.len() < NAMED {
            told.1.push(format!("{key:?}"));
        }
    }

    /// How many, and the first of them; `None` when there was none.
    fn told(self) -> Option<(u64, String)> {
        let (count, named) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        (count > 0).then(|| (count, format!("{}{}", named.join(", "), if count > named.len() as u64 { ", …" } else { "" })))
    }
}

/// See the module.
pub(crate) struct Swapping<'a> {
    pub(crate) context: &'a Context,
    pub(crate) data_set: DataSetName,
    pub(crate) run: &'a RunObjects,
    pub(crate) limits: Limits,
}

impl Swapping<'_> {
    fn find(&self) -> Result<Found> {
        let found = self.run.find(&self.context.stop)?;
        found.check_own(&self.run.run, self.data_set)?;
        Ok(found)
    }

    fn enter(&self, swap: &Swap, phase: Phase) -> Result<()> {
        self.run.write(&self.context.stop, SWAP, &Swap { phase, ..swap.clone() })
    }

    fn gone(&self) -> Error {
        Error::needs_person(format!("there are neither staged nor previous objects of run {} at {}", self.run.run, self.run.place()))
            .hint("Look whether this is the bucket that the run was made for. Nothing was touched.")
    }

    /// Does something for every object that a cut-over changes.
    fn each(&self, work: impl Fn(&Item) -> Result<()> + Sync) -> Result<()> {
        self.run.each_list(&self.context.stop, |items| {
            let changed: Vec<_> = items.into_iter().filter(|item| matches!(item.fate, Fate::Differs | Fate::Extra)).collect();
            parallel::all(self.context, &changed, &work).map(drop)
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<bool> {
        self.run.client.copy(&self.context.stop, self.limits, from, to)
    }

    fn stage(&self, item: &Item) -> String {
        self.run.numbered("stage", item.number)
    }

    fn before(&self, item: &Item) -> String {
        self.run.numbered("before", item.number)
    }

    fn absent(&self, item: &Item) -> String {
        self.run.numbered("absent", item.number)
    }

    /// Keeps what is live of an object, or that there is none.
    fn save(&self, item: &Item) -> Result<()> {
        let (stop, client) = (&self.context.stop, &self.run.client);
        let (before, absent) = (self.before(item), self.absent(item));
        if self.copy(&item.key, &before)? {
            // An earlier cut-over may have noted the contrary.
            return client.delete(stop, &absent);
        }
        client.put_bytes(stop, &absent, Bytes::new(), &Properties::default())?;
        client.delete(stop, &before)
    }

    /// Makes the restored objects live.
    pub(crate) fn cut_over(&self) -> Result<()> {
        let found = self.find()?;
        found.check_head()?;
        let mut swap = found.swap.clone().unwrap_or(Swap { phase: Phase::Undone, order: 0, swapped_at_ns: None });
        match swap.phase {
            Phase::Swapped => return Ok(()),
            Phase::Putting => {}
            Phase::Undone | Phase::Saving => {
                if !found.is_staged {
                    return Err(self.gone());
                }
                let all = run::all(&self.run.client, &self.context.stop)?;
                run::refuse_half(&all, &self.run.run)?;
                self.check_staged()?;
                self.check_unchanged()?;
                let others = all.iter().filter(|other| other.run != found.run && other.phase() == Some(Phase::Swapped));
                swap.order = others.filter_map(|other| other.swap.as_ref()).map(|other| other.order + 1).max().unwrap_or(0);
                self.enter(&swap, Phase::Saving)?;
                self.each(|item| self.save(item))?;
                self.enter(&swap, Phase::Putting)?;
            }
            Phase::PuttingBack => {
                return Err(Error::failed("an undo of the bucket has begun and is not finished").hint("Run undo again."));
            }
            Phase::Discarding | Phase::DroppingStaged => return Err(self.gone()),
        }
        self.each(|item| match item.fate {
            Fate::Extra => self.run.client.delete(&self.context.stop, &item.key),
            _ if self.copy(&self.stage(item), &item.key)? => Ok(()),
            _ => Err(Error::needs_person(format!("the staged object of {:?} is gone from {}", item.key, self.run.place()))
                .hint("`undo` puts back what was replaced.")),
        })?;
        self.enter(&swap, Phase::Swapped)
    }

    /// What was put beside must still be there: a lifecycle rule may not know whose it is.
    fn check_staged(&self) -> Result<()> {
        let (mut wanted, mut found) = (0_usize, 0_usize);
        self.run.each_list(&self.context.stop, |items| {
            wanted += items.iter().filter(|item| item.fate == Fate::Differs).count();
            Ok(())
        })?;
        self.run.each_key(&self.context.stop, "stage/", |keys| {
            found += keys.len();
            Ok(())
        })?;
        if found == wanted {
            return Ok(());
        }
        Err(Error::failed(format!("{wanted} objects were staged below {}, {found} are there", self.run.key("stage/")))
            .hint("A lifecycle rule of the bucket, or a person, has removed them. Nothing of the bucket was changed: undo this run, and restore again."))
    }

    /// What the cut-over counts on must still be there: the application has gone on meanwhile.
    fn check_unchanged(&self) -> Result<()> {
        let stop = &self.context.stop;
        let mut live = live::all(&self.run.client, self.context)?.peekable();
        let changed = Told::default();
        self.run.each_list(stop, |items| {
            for item in items.iter().filter(|item| matches!(item.fate, Fate::Same | Fate::New)) {
                let comes_before = |placed: &Result<crate::key::Placed>| {
                    placed.as_ref().map_or(true, |placed| TreeKey::of(&placed.path).cmp(&TreeKey::of(&item.path)) == Ordering::Less)
                };
                while let Some(placed) = live.next_if(comes_before) {
                    placed?;
                }
                let is_there = |placed: &Result<crate::key::Placed>| {
                    placed.as_ref().is_ok_and(|placed| placed.key == item.key && Some(&placed.e_tag) == item.e_tag.as_ref())
                };
                if !live.peek().is_some_and(is_there) {
                    changed.note(&item.key);
                }
            }
            Ok(())
        })?;
        let Some((count, named)) = changed.told() else { return Ok(()) };
        Err(Error::failed(format!("{count} objects of the set were removed or replaced in the bucket since they were staged: {named}"))
            .hint("Nothing of the bucket was changed. Undo this run, stop the writers (system-app, system-sidekiq), then restore again with --writers-are-stopped."))
    }

    /// Makes the previous objects live again, as far as they were replaced.
    pub(crate) fn undo(&self) -> Result<Undone> {
        let stop = &self.context.stop;
        let found = self.find()?;
        found.check_head()?;
        let Some(swap) = &found.swap else {
            return Ok(if found.has_lists || found.is_staged { Undone::PreviousIsLive } else { Undone::NothingThere });
        };
        let mut swap = swap.clone();
        match swap.phase {
            Phase::Undone | Phase::DroppingStaged => return Ok(Undone::PreviousIsLive),
            Phase::Discarding => {
                return Err(Error::needs_person("the previous objects were dropped already (settle)").hint("Restore an older set instead."));
            }
            // Nothing live was changed.
            Phase::Saving => return self.enter(&swap, Phase::Undone).map(|()| Undone::PreviousIsLive),
            Phase::Putting | Phase::PuttingBack => {}
            Phase::Swapped => {
                self.check_newest(&found.run, swap.order)?;
                swap.swapped_at_ns = self.run.read_with_time::<Swap>(stop, SWAP)?.map(|(_, time_ns)| time_ns);
            }
        }
        self.enter(&swap, Phase::PuttingBack)?;
        self.keep_since(&swap)?;
        let lost = Told::default();
        self.each(|item| {
            if self.copy(&self.before(item), &item.key)? {
                return Ok(());
            }
            // Of one that was saved there is nothing to put back: what is live is all that there is.
            match self.run.client.head(stop, &self.absent(item))? {
                Some(_) if item.fate == Fate::Differs => self.run.client.delete(stop, &item.key)?,
                Some(_) => {}
                None => lost.note(&item.key),
            }
            Ok(())
        })?;
        if let Some((count, named)) = lost.told() {
            let text = format!(
                "{count} previous objects are gone from {} ({named}): a lifecycle rule of the bucket, or a person, has removed them; what is live at these keys stays",
                self.run.key("before/")
            );
            self.context.watch.see(Event::Warning(&text));
        }
        self.enter(&Swap { swapped_at_ns: None, ..swap }, Phase::Undone)?;
        Ok(Undone::PreviousIsLive)
    }

    /// What another run has replaced since is not taken away from under it: its own undo would then put back what this one restored.
    fn check_newest(&self, own: &str, order: u64) -> Result<()> {
        let all = run::all(&self.run.client, &self.context.stop)?;
        run::refuse_half(&all, &self.run.run)?;
        let is_later =
            |other: &&Found| other.run != own && other.swap.as_ref().is_some_and(|swap| swap.phase == Phase::Swapped && swap.order > order);
        match all.iter().find(is_later) {
            None => Ok(()),
            Some(later) => Err(Error::needs_person(format!("run {} has replaced objects of the bucket since run {own} did", later.run))
                .hint(format!("Undo that one first (`undo {0}`), then this one; or settle it. Nothing was touched.", later.run))),
        }
    }

    /// What was put over a restored object since the cut-over is nowhere else: it stays below `since/`.
    fn keep_since(&self, swap: &Swap) -> Result<()> {
        let Some(swapped_at_ns) = swap.swapped_at_ns else { return Ok(()) };
        let (stop, client) = (&self.context.stop, &self.run.client);
        let kept = Told::default();
        self.each(|item| {
            let Some(head) = client.head(stop, &item.key)? else { return Ok(()) };
            let is_as_restored = item.fate == Fate::Differs && item.e_tag.as_deref() == Some(head.e_tag.as_str());
            // The bucket's clock tells whole seconds; what it put back itself in an earlier call is not new.
            let is_put_back = client.head(stop, &self.before(item))?.is_some_and(|before| before.e_tag == head.e_tag);
            if is_as_restored || is_put_back || head.modified_ns < swapped_at_ns {
                return Ok(());
            }
            self.copy(&item.key, &self.run.numbered("since", item.number))?;
            kept.note(&item.key);
            Ok(())
        })?;
        if let Some((count, named)) = kept.told() {
            let text = format!(
                "{count} objects were replaced since the cut-over ({named}): what they were is kept in {}since/ until `abandon {} --remove --drop-previous` removes it",
                self.run.key(""),
                self.run.run
            );
            self.context.watch.see(Event::Warning(&text));
        }
        Ok(())
    }

    /// What the run left; refuses what is not what is to go.
    pub(crate) fn check_discard(&self, what: Discard) -> Result<Found> {
        let found = self.find()?;
        let run = &found.run;
        if what == Discard::Staged {
            found.check_head()?;
        }
        if found.is_half() {
            let error = Error::failed(format!("the bucket is half replaced by run {run}: nothing is removed"));
            return Err(error.hint("Run resume or undo first."));
        }
        if what == Discard::Staged && matches!(found.phase(), Some(Phase::Swapped | Phase::Discarding)) {
            return Err(Error::needs_person(format!("{} holds the previous objects of run {run}", self.run.place()))
                .hint("They were replaced and not put back: this may be the only copy, so nothing was dropped.")
                .hint(format!("`undo {run}` makes them live again; `settle {run}` drops them.")));
        }
        Ok(found)
    }

    /// Removes what the run left, when it is what is to go.
    pub(crate) fn discard(&self, what: Discard) -> Result<()> {
        let found = self.check_discard(what)?;
        let swap = found.swap.clone();
        match (found.phase(), what) {
            (Some(Phase::Swapped), Discard::Previous) => swap.iter().try_for_each(|swap| self.enter(swap, Phase::Discarding))?,
            // Which data is live is not known: nothing live is removed.
            (None, Discard::Previous) if found.is_headless() => {}
            (Some(Phase::Discarding), Discard::Previous) => {}
            (phase, _) => {
                if phase.is_some_and(|phase| phase != Phase::DroppingStaged) {
                    swap.iter().try_for_each(|swap| self.enter(swap, Phase::DroppingStaged))?;
                }
                self.remove_new()?;
            }
        }
        self.remove(what == Discard::Staged && found.has_since)
    }

    /// Removes the objects that staging put at their keys, as long as they are what it put there.
    pub(crate) fn remove_new(&self) -> Result<()> {
        let (stop, client) = (&self.context.stop, &self.run.client);
        self.run.each_list(stop, |items| {
            let new: Vec<_> = items.into_iter().filter(|item| item.fate == Fate::New).collect();
            parallel::all(self.context, &new, |item| {
                let Some(head) = client.head(stop, &item.key)? else { return Ok(()) };
                // Without an ETag the staging was killed in the middle of putting it.
                let is_ours = head.size == item.size && item.e_tag.as_ref().is_none_or(|e_tag| *e_tag == head.e_tag);
                if is_ours {
                    return client.delete(stop, &item.key);
                }
                let text = format!("{:?} was put by this run and replaced by somebody since: it stays", item.key);
                self.context.watch.see(Event::Warning(&text));
                Ok(())
            })?;
            let keys: std::collections::HashSet<_> = new.iter().map(|item| item.key.as_str()).collect();
            if new.iter().any(|item| item.e_tag.is_none()) {
                client.end_uploads(stop, "", |key| keys.contains(key))?;
            }
            Ok(())
        })
    }

    /// Removes what is below the run's own prefix: first what says that the lists are whole, the mark last, so that a removal that was killed is found again.
    pub(crate) fn remove(&self, keeps_since: bool) -> Result<()> {
        let (stop, client) = (&self.context.stop, &self.run.client);
        client.end_uploads(stop, &self.run.key(""), |_| true)?;
        let last = [MARK, SWAP].map(|name| self.run.key(name));
        client.delete(stop, &self.run.key(STAGED))?;
        let since = self.run.key("since/");
        self.run.each_key(stop, "", |keys| {
            let going: Vec<_> = keys.iter().filter(|(key, _)| !(last.contains(key) || keeps_since && key.starts_with(&since))).collect();
            parallel::all(self.context, &going, |(key, _)| client.delete(stop, key)).map(drop)
        })?;
        let [mark, swap] = last;
        if keeps_since {
            return Ok(());
        }
        client.delete(stop, &swap)?;
        client.delete(stop, &mark)
    }
}
