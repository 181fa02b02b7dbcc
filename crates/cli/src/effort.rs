//! How hard to work: what the options say, and where they say nothing, `[options]` of the configuration.

use std::num::NonZeroU64;

use plan::ports::StopFlag;
use plan::{Error, Result};
use repository::Limits;
use rustix::process::setpriority_process;

use crate::args::{Global, rate};
use crate::config::Config;

/// How many connections, readers or loaders a data set uses when nobody says otherwise.
const WORKERS: usize = 4;

/// The lowest priority; that of the disk goes with it (`ioprio_set(2)`).
const NICEST: i32 = 19;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// Connections, readers or loaders at the same time, for each data set.
    pub workers: usize,
    /// Steps of a run at the same time.
    pub jobs: usize,
    limits: Limits,
    is_nice: bool,
}

impl Effort {
    pub(crate) fn of(global: &Global, config: &Config) -> Result<Self> {
        let options = config.options()?;
        let number = |given: Option<u16>, configured: Option<u64>, else_: usize| {
            given.map(usize::from).or(configured.and_then(|number| usize::try_from(number).ok())).unwrap_or(else_)
        };
        let limit = |given: Option<NonZeroU64>, name: &str, configured: &Option<String>| match (given, configured) {
            (None, Some(text)) => rate(text).map(Some).map_err(|why| Error::refused(format!("[options] {name}: {why}"))),
            (given, _) => Ok(given),
        };
        let limits = Limits {
            read: limit(global.limit_read, "limit-read", &options.limit_read)?,
            upload: limit(global.limit_upload, "limit-upload", &options.limit_upload)?,
            download: limit(global.limit_download, "limit-download", &options.limit_download)?,
        };
        Ok(Self {
            workers: number(global.workers, options.workers, WORKERS),
            jobs: number(global.jobs, options.jobs, runner::LANES),
            limits,
            is_nice: global.nice || options.nice.unwrap_or(false),
        })
    }

    /// Whether it is that of most calls: of another one the past does not say how long something takes.
    pub(crate) fn is_usual(&self) -> bool {
        self.limits == Limits::default() && self.jobs == runner::LANES && !self.is_nice
    }

    /// From now on, for what this thread starts too: other threads and programs.
    pub(crate) fn hold(&self, stop: &StopFlag) {
        repository::limit(self.limits, stop);
        // To be less in the way is allowed to everybody; where it is not, nothing is lost by it.
        if self.is_nice && setpriority_process(None, NICEST).is_err() {
            tracing::warn!("the priority of this process could not be lowered");
        }
    }
}
