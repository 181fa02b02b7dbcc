//! What a run did and how long it took, from its journal's lines.

use jiff::Timestamp;
use plan::Result;
use plan::ids::RunId;
use plan::journal::{Line, Record, Run};
use plan::step::{Action, Step, StepId};

use crate::state::State;

/// A step's part in a [`Report`].
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The step.
    pub id: StepId,
    /// What it does.
    pub action: Action,
    /// When it was started for the first time.
    pub first_started_at: Option<Timestamp>,
    /// When it was started for the last time.
    pub started_at: Option<Timestamp>,
    /// When it ended well.
    pub succeeded_at: Option<Timestamp>,
}

/// A run, with times.
#[derive(Debug, Clone)]
pub struct Report {
    /// The run as its journal tells it.
    pub run: Run,
    /// Its steps.
    pub steps: Vec<StepReport>,
}

impl Report {
    /// A run and its journal's lines.
    pub(crate) fn of(run: Run, lines: &[Line]) -> Self {
        let waiting = |step: &Step| StepReport {
            id: step.id,
            action: step.action.clone(),
            first_started_at: None,
            started_at: None,
            succeeded_at: None,
        };
        let mut steps: Vec<_> = run.plan.steps.iter().map(waiting).collect();
        for Line { at, record } in lines {
            let (Record::Started { step: id } | Record::Succeeded { step: id, .. }) = record else { continue };
            if let Some(step) = steps.iter_mut().find(|step| step.id == *id) {
                let is_start = matches!(record, Record::Started { .. });
                step.first_started_at = step.first_started_at.or(Some(*at));
                step.started_at = if is_start { Some(*at) } else { step.started_at };
                step.succeeded_at = if is_start { None } else { Some(*at) };
            }
        }
        Self { run, steps }
    }

    /// Milliseconds for which the installation did not serve: from the first start of what cuts over, loads over the live data, or stops the writers, to the end of the last step before they are let in.
    #[must_use]
    pub fn downtime_ms(&self) -> Option<i64> {
        self.span_ms(|action| match action {
            Action::StopWriters { .. }
            | Action::SafetyCopy { .. }
            | Action::CutOver { .. }
            | Action::StartWriters { .. }
            // Nobody is let in before these are done.
            | Action::NoteIds { .. }
            | Action::KeepIdsAhead { .. }
            | Action::HoldClock { .. } => true,
            Action::Stage { reserved, .. } => self.run.is_in_place(*reserved),
            Action::Dump { .. }
            | Action::WriteManifest
            | Action::Reserve { .. }
            | Action::Prove { .. }
            | Action::RewriteConfiguration { .. }
            // Everybody goes on.
            | Action::KeepKeys { .. }
            | Action::RepairKeys { .. }
            | Action::KeepRows { .. }
            | Action::ChangeRows { .. }
            | Action::StageFiles { .. }
            | Action::PutFiles { .. }
            | Action::MergeKeys { .. }
            | Action::LoadRest { .. }
            | Action::LookFirst { .. }
            | Action::NoteWriters { .. }
            | Action::Synchronise { .. }
            | Action::RestartReaders { .. }
            | Action::ReleaseWriters { .. } => false,
        })
    }

    /// Milliseconds from the start of the first cut-over to the end of the last.
    #[must_use]
    pub fn cut_over_ms(&self) -> Option<i64> {
        self.span_ms(|action| matches!(action, Action::CutOver { .. }))
    }

    fn span_ms(&self, is_wanted: impl Fn(&Action) -> bool) -> Option<i64> {
        let steps = || self.steps.iter().filter(|step| is_wanted(&step.action));
        let first = steps().filter_map(|step| step.first_started_at).min()?;
        let last = steps().filter_map(|step| step.succeeded_at).max()?;
        Some(last.as_millisecond() - first.as_millisecond())
    }
}

/// Reads a run's journal into a report.
///
/// # Errors
/// As [`State::read`].
pub fn report(state: &State, id: &RunId) -> Result<Report> {
    let (run, lines) = state.told(id)?;
    Ok(Report::of(run, &lines))
}
