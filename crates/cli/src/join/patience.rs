//! How long a server may be silent, and who may stop the wait for it.

use std::time::Duration;

use line::Limits;
use plan::Result;
use plan::ports::StopFlag;

use crate::config::Config;

/// See the module.
#[derive(Clone)]
pub(crate) struct Patience {
    /// As configured.
    pub quiet: Option<Duration>,
    stop: StopFlag,
}

impl Patience {
    pub(crate) fn of(config: &Config, stop: &StopFlag) -> Result<Self> {
        let seconds = config.options()?.io_seconds_max;
        Ok(Self { quiet: seconds.map(Duration::from_secs), stop: stop.clone() })
    }

    /// Who may stop the wait.
    pub(crate) fn stop(&self) -> StopFlag {
        self.stop.clone()
    }

    /// The limits of a way to a server.
    pub(crate) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits::new(self.quiet.unwrap_or(usual.quiet), self.stop.clone())
    }
}
