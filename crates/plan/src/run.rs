//! Rules of runs: what may be done with one, what it keeps, whose it is, and how people are told. One place: commands ask here and nowhere else.

use crate::InstallationId;
use crate::journal::{Run, RunState, WritersState};
use crate::planned::{ObjectsPolicy, Purpose};
use crate::step::Action;

impl Run {
    /// Whether it was interrupted or failed, and can go on. A rehearsal cannot: its servers are gone.
    #[must_use]
    pub fn can_resume(&self) -> bool {
        self.state == RunState::Open && self.plan.purpose != Purpose::Rehearse
    }

    /// Whether there is something of it to put back: a restore or a repair that is not settled, or a backup that stopped the writers. Any other backup has nothing to undo.
    #[must_use]
    pub fn can_undo(&self) -> bool {
        match (self.plan.purpose, self.state) {
            (Purpose::Restore | Purpose::Repair, RunState::Open | RunState::Undoing) => true,
            (Purpose::Restore | Purpose::Repair, RunState::Finished) => self.keeps_previous(),
            (Purpose::Backup, RunState::Open | RunState::Undoing) => self.holds_writers(),
            _ => false,
        }
    }

    /// Whether it keeps something that can be dropped.
    #[must_use]
    pub fn can_settle(&self) -> bool {
        self.state == RunState::Settling || self.keeps_previous()
    }

    /// Whether it keeps data that it replaced.
    #[must_use]
    pub fn keeps_previous(&self) -> bool {
        matches!(self.state, RunState::Finished | RunState::Settling) && self.plan.purpose.changes_live() && self.has_touched_live()
    }

    /// Whether it changed live data, wholly or in part, and that was not taken back.
    #[must_use]
    pub fn has_touched_live(&self) -> bool {
        self.has_cut_over() || self.has_merged()
    }

    /// Whether it puts keys of some classes into live data that stays.
    #[must_use]
    pub fn merges(&self) -> bool {
        self.plan.steps.iter().any(|step| matches!(step.action, Action::MergeKeys { .. }))
    }

    /// Whether it did, wholly or in part, and it was not taken back.
    #[must_use]
    pub fn has_merged(&self) -> bool {
        self.plan.steps.iter().any(|step| matches!(step.action, Action::MergeKeys { .. }) && self.was_begun(step.id))
    }

    /// Whether it puts rows of a tenant into live data that stays.
    #[must_use]
    pub fn changes_rows(&self) -> bool {
        self.plan.steps.iter().any(|step| matches!(step.action, Action::ChangeRows { .. }))
    }

    /// Whether it sets keys of a live store right one by one.
    #[must_use]
    pub fn repairs_keys(&self) -> bool {
        self.plan.steps.iter().any(|step| matches!(step.action, Action::RepairKeys { .. }))
    }

    /// Whether all that it changes are keys or rows one by one, which go back only where they are as it left them.
    #[must_use]
    pub fn changes_one_by_one(&self) -> bool {
        self.plan.purpose == Purpose::Repair || self.merges() || self.changes_rows()
    }

    /// Whether nothing of it is left to do, and it keeps nothing.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            RunState::Undone | RunState::Settled | RunState::Abandoned => true,
            RunState::Finished => !self.keeps_previous(),
            RunState::Open | RunState::Undoing | RunState::Settling => false,
        }
    }

    /// Whether the live data may be neither the old nor the new: a cut-over has begun and not all of it ended, forth or back.
    #[must_use]
    pub fn is_in_mid_cut_over(&self) -> bool {
        matches!(self.state, RunState::Open | RunState::Undoing)
            && self.plan.purpose == Purpose::Restore
            && self.has_cut_over()
            && !self.changes_rows()
    }

    /// Whether it is a run of this installation, as far as both say which they are of.
    #[must_use]
    pub fn is_of(&self, installation: &InstallationId) -> bool {
        self.plan.installation.as_ref().is_none_or(|theirs| theirs.is(installation))
    }

    /// What people are told of the writers, as a sentence that is true; empty when there is nothing to tell.
    #[must_use]
    pub const fn writers_sentence(state: WritersState) -> &'static str {
        match state {
            WritersState::NotHeld => "",
            WritersState::Stopped => " The writers are stopped.",
            WritersState::Unknown => " The run did not end stopping or starting the writers: some may run, some not.",
        }
    }

    /// Whether it put the objects of an installation into a namespace that had none. Its data is that of another run, which comes after.
    #[must_use]
    pub fn fills_empty(&self) -> bool {
        self.plan.purpose == Purpose::Restore && self.plan.policies.objects == ObjectsPolicy::IntoEmpty
    }

    /// `a restore of set …, finished`.
    #[must_use]
    pub fn describe(&self) -> String {
        let what = match self.plan.purpose {
            Purpose::Backup => "a backup",
            Purpose::Restore if self.fills_empty() => "the objects, put into an empty namespace,",
            Purpose::Restore if self.changes_rows() => "a restore of one tenant",
            Purpose::Restore if self.merges() => "a restore of classes of keys",
            Purpose::Restore => "a restore",
            Purpose::Rehearse => "a rehearsal",
            Purpose::Repair => "a repair of the live stores",
        };
        let state = match self.state {
            RunState::Open => "under way or interrupted",
            RunState::Finished => "finished",
            RunState::Undoing => "being undone",
            RunState::Undone => "undone",
            RunState::Settling => "being settled",
            RunState::Settled => "settled",
            RunState::Abandoned => "abandoned",
        };
        match self.plan.purpose {
            Purpose::Repair => format!("{what}, {state}"),
            _ => format!("{what} of set {}, {state}", self.plan.set),
        }
    }
}
