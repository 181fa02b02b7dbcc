//! Holding who would start the writers again, and letting go.
//!
//! The operator has no pause: it is scaled to 0, or, where that is not ours to do, the numbers that it enforces are set to 0 in the APIManager.

use plan::ports::{Context, Event};
use plan::{Error, Result};
use serde_json::Value;

use super::KubernetesWriters;
use super::look::{API_MANAGERS, pods};
use super::note::{Enforced, Holder, Note};
use super::patch::{to_hold, to_let_go, to_start, to_stop};
use super::pods::{running_for, told, why_still_there};
use super::wait::{Ended, Look, until};
use super::who::Writer;
use super::workload::{MANAGER, Workload};

impl KubernetesWriters {
    /// Holds the operator, and waits until it is gone.
    pub(super) fn hold(&self, context: &Context, note: &Note) -> Result<()> {
        if let Some(coming) = &note.coming {
            self.patch_api_manager(&coming.api_manager, |object| coming.patch_to_wait(object))?;
        }
        match &note.holder {
            Holder::Nobody => Ok(()),
            Holder::Operator { workload, replicas, .. } => self.hold_operator(context, workload, *replicas),
            Holder::ApiManager { enforced, .. } => {
                self.each_api_manager(enforced, |object, enforced| to_hold(object, enforced, &context.run))
            }
        }
    }

    fn hold_operator(&self, context: &Context, workload: &Workload, were: u64) -> Result<()> {
        let Some(object) = self.look_at(workload)? else {
            context.watch.see(Event::Note(&format!("{workload} is gone: nobody is held")));
            return Ok(());
        };
        if let Some(patch) = to_stop(&object, were, &context.run) {
            context.watch.see(Event::Note(&format!("holding the operator ({workload})")));
            self.patch(workload, &patch)?;
        }
        let ended = until(context, "waiting for the operator to go", self.wait_max(), || {
            let pods = pods(&self.cluster)?;
            let left: Vec<_> = running_for(&pods, &object).into_iter().map(why_still_there).collect();
            Ok(if left.is_empty() { Look::Done } else { Look::Waiting(left) })
        })?;
        match ended {
            Ended::Well => Ok(()),
            Ended::Late(reasons) => {
                let error = Error::failed(format!("the operator is still there after {} seconds", self.options.wait_seconds_max));
                Err(told(error, &reasons)
                    .hint("It would undo what a restore changes. See why its pod does not go, then `resume`; or `undo`."))
            }
        }
    }

    /// Puts back what the APIManager enforces of some writers, so that the operator starts them with us, and not against us.
    pub(super) fn let_go_of(&self, note: &Note, of: impl Fn(&Enforced) -> bool, is_last: bool) -> Result<()> {
        let Holder::ApiManager { enforced, .. } = &note.holder else { return Ok(()) };
        self.each_api_manager(enforced, |object, all| {
            let some: Vec<_> = all.iter().copied().filter(|one| of(one)).collect();
            to_let_go(object, &some, is_last)
        })
    }

    /// Writers that wait for their data: what the operator reads is what is to come of some of them.
    pub(super) fn let_come(&self, note: &Note, of: impl Fn(Writer) -> bool, is_last: bool) -> Result<()> {
        let Some(coming) = &note.coming else { return Ok(()) };
        self.patch_api_manager(&coming.api_manager, |object| coming.patch(object, &of, is_last))
    }

    /// Lets go of the operator, and waits until it is ready.
    pub(super) fn let_go(&self, context: &Context, note: &Note) -> Result<()> {
        self.let_go_of(note, |_| true, true)?;
        self.let_come(note, |_| true, true)?;
        self.let_operator_go(context, note)
    }

    /// Scales the operator back, and waits until it is ready.
    pub(super) fn let_operator_go(&self, context: &Context, note: &Note) -> Result<()> {
        let Holder::Operator { workload, replicas, .. } = &note.holder else { return Ok(()) };
        let Some(object) = self.look_at(workload)? else {
            context.watch.see(Event::Warning(&format!("{workload} is gone: there is no operator to let go")));
            return Ok(());
        };
        if let Some(patch) = to_start(&object, *replicas, false) {
            context.watch.see(Event::Note(&format!("letting the operator go ({workload})")));
            self.patch(workload, &patch)?;
        }
        self.wait_ready(context, "the operator", &[(workload, *replicas, false)])
    }

    /// Patches each APIManager that the note names, when `patch` finds something to change.
    fn each_api_manager(&self, enforced: &[Enforced], patch: impl Fn(&Value, &[&Enforced]) -> Option<Value>) -> Result<()> {
        let mut names: Vec<_> = enforced.iter().map(|one| one.api_manager.as_str()).collect();
        names.dedup();
        for name in names {
            let own: Vec<_> = enforced.iter().filter(|one| one.api_manager == name).collect();
            self.patch_api_manager(name, |object| patch(object, &own))?;
        }
        Ok(())
    }

    /// Patches an APIManager, when there is something to change. One that is gone enforces nothing.
    fn patch_api_manager(&self, name: &str, patch: impl Fn(&Value) -> Option<Value>) -> Result<()> {
        let path = self.cluster.path(API_MANAGERS, "apimanagers", Some(name));
        let Some(object) = self.cluster.get_if_there(&path)? else { return Ok(()) };
        if let Some(patch) = patch(&object) {
            self.cluster.merge_patch(&format!("{path}?fieldManager={MANAGER}"), &patch)?;
        }
        Ok(())
    }

    /// Patches a workload.
    pub(super) fn patch(&self, workload: &Workload, patch: &Value) -> Result<()> {
        self.cluster.merge_patch(&format!("{}?fieldManager={MANAGER}", workload.path(self.cluster.namespace())), patch)?;
        Ok(())
    }
}
