//! Who stops and starts the writers: commands of the operator's own, or the operator, asked at the right moment.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::ports::{Context, Noted, WriterGroup, Writers};
use plan::{Error, Result};
use platforms::direct::CommandWriters;

use crate::config::Config;
use crate::output::Output;

/// How long to wait for the writers to be gone, when nobody says otherwise (slow deletion of pods is normal: minutes).
const WAIT_SECONDS_MAX: u64 = 300;

/// What the operator said beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Nothing: ask.
    Ask,
    /// `--writers-are-stopped`, or `--yes`.
    Given,
}

/// The writers of the configured installation.
pub(crate) fn of(config: &Config, output: &Output, consent: Consent) -> Result<Arc<dyn Writers>> {
    Ok(match config.writers()? {
        Some(section) => Arc::new(CommandWriters {
            stop: section.stop,
            stop_makers: section.stop_makers,
            start: section.start,
            stopped: section.stopped,
            wait_seconds_max: section.wait_seconds_max.unwrap_or(WAIT_SECONDS_MAX),
        }),
        None => Arc::new(ByHand { output: output.clone(), consent }),
    })
}

/// The operator stops and starts them.
struct ByHand {
    output: Output,
    consent: Consent,
}

impl Writers for ByHand {
    fn note(&self, _context: &Context, _data_sets: &[DataSetName]) -> Result<Noted> {
        Ok(Noted(serde_json::Value::Null))
    }

    fn stop(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        if self.consent == Consent::Given {
            return Ok(());
        }
        let question =
            "Stop the writers now (system-app, system-sidekiq, backend-listener, -worker, -cron, zync, zync-que). Are they stopped?";
        match self.output.ask(question)? {
            Some(true) => Ok(()),
            Some(false) => Err(Error::failed("the writers are not stopped").hint("Stop them, then `resume`; or `undo`.")),
            None => Err(Error::failed("the writers must be stopped by hand, and nobody can be asked")
                .hint("Stop them, then say --writers-are-stopped.")),
        }
    }

    fn start(&self, _context: &Context, _noted: &Noted, group: WriterGroup) -> Result<()> {
        // Told once, not for each group.
        if group != WriterGroup::Listener {
            return Ok(());
        }
        self.output.note("Start the writers now: backend-listener first, then backend-worker, backend-cron, system-app, system-sidekiq, zync and zync-que.");
        Ok(())
    }

    fn release(&self, _context: &Context, _noted: &Noted) -> Result<()> {
        Ok(())
    }

    fn stopped(&self, _context: &Context) -> Result<Option<bool>> {
        Ok((self.consent == Consent::Given).then_some(true))
    }

    fn can_stop(&self) -> bool {
        false
    }
}
