//! The thread that looks: as `status` does, at intervals, with a configuration and a repository that are opened anew each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use plan::{Error, Result};
use repository::RusticRepository;

use super::shown::Shown;
use crate::app::App;
use crate::args;
use crate::commands::report::page;
use crate::commands::status::{Metric, Seen, document, metrics, metrics_text, one, reasons, seconds};
use crate::output::{error_json, local_time};

/// How often it looked, and how often that failed.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<[AtomicU64; 2]>);

impl Counts {
    pub(super) fn get(&self) -> (u64, u64) {
        let [all, failed] = &*self.0;
        (all.load(Ordering::Relaxed), failed.load(Ordering::Relaxed))
    }

    fn add(&self, has_failed: bool) {
        let [all, failed] = &*self.0;
        all.fetch_add(1, Ordering::Relaxed);
        failed.fetch_add(u64::from(has_failed), Ordering::Relaxed);
    }
}

/// See the module.
pub(super) struct Looks {
    /// Prints nothing: each look is one command, whose document is taken.
    app: App,
    /// Says when looks begin to fail, and when they succeed again.
    told_by: App,
    limits: args::Limits,
    every: Duration,
    shown: Arc<Shown>,
    counts: Counts,
}

/// What a look found.
struct Found {
    seen: Seen,
    reasons: Vec<String>,
    repository: String,
    /// As `status --json` prints it.
    document: String,
}

impl Looks {
    pub(super) fn new(app: &App, args: &args::Serve, shown: Arc<Shown>) -> Result<Self> {
        let every = Duration::try_from(args.every).map_err(|error| Error::refused("--every is no time").because(error))?;
        let (limits, counts) = (args.limits.clone(), Counts::default());
        Ok(Self { app: app.captured(), told_by: app.beside(), limits, every, shown, counts })
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Looks until the program is asked to end.
    pub(super) fn go_on(self) {
        let (mut last, mut has_failed) = (None, false);
        loop {
            let looked = self.look();
            if self.app.was_interrupted() {
                return;
            }
            self.counts.add(looked.is_err());
            match looked {
                Ok(found) => {
                    self.show(&found, None);
                    if has_failed {
                        self.told_by.output.note("the looks succeed again");
                    }
                    (last, has_failed) = (Some(found), false);
                }
                Err(error) => {
                    self.show_failed(last.as_ref(), &error);
                    // Told once: monitoring sees it for as long as it lasts.
                    if !has_failed {
                        self.told_by.output.note(&format!("warning: a look failed: {}", error.chain()));
                    }
                    has_failed = true;
                }
            }
            if self.app.pause(self.every).is_err() {
                return;
            }
        }
    }

    fn look(&self) -> Result<Found> {
        let app = self.app.captured();
        let config = app.config()?;
        let (location, password) = app.location(&config)?;
        let repository = RusticRepository::open(&location, &password)?;
        let seen = Seen::look(&app, &config, &location, &repository)?;
        let reasons = reasons(&seen, &self.limits);
        app.output.document(&document(&seen, &reasons, location.to_string()))?;
        let document = app.output.take_document()?.unwrap_or_default();
        Ok(Found { seen, reasons, repository: location.to_string(), document })
    }

    /// `failed`: why a later look failed.
    fn show(&self, found: &Found, failed: Option<&Error>) {
        let Found { seen, reasons, repository, document } = found;
        let is_good = reasons.is_empty() && failed.is_none();
        let mut all = metrics(seen, is_good, &self.limits);
        all.extend(of_look(failed.is_some()));
        let remark = failed.map(|error| {
            let (now, then) = (local_time(Timestamp::now()), local_time(seen.now));
            format!("The look of {now} failed: {}. What follows is what the look of {then} found.", error.chain())
        });
        self.shown.metrics(metrics_text(&seen.installation, &all));
        self.shown.page(true, page(seen, reasons, repository, remark.as_deref()));
        match failed {
            None => self.shown.status(true, document.clone()),
            Some(error) => self.shown.status(false, error_json(error, Vec::new())),
        }
    }

    /// What the last good look found stays, as that: the ages in it grow, and alerts about them go on.
    fn show_failed(&self, last: Option<&Found>, error: &Error) {
        if let Some(found) = last {
            return self.show(found, Some(error));
        }
        let installation = self.app.global().sets_of.clone().or_else(|| self.app.config().ok()?.installation_name()).unwrap_or_default();
        let mut all = vec![Metric { name: "good", help: "Whether status found nothing bad.", samples: one(0) }];
        all.extend(of_look(true));
        self.shown.metrics(metrics_text(&installation, &all));
        self.shown.failed_page(&error.chain());
        self.shown.status(false, error_json(error, Vec::new()));
    }
}

/// Of the look itself, and of this program.
fn of_look(has_failed: bool) -> Vec<Metric> {
    let version = vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], "1".to_owned())];
    vec![
        Metric {
            name: "look_failed",
            help: "Whether the last look of serve failed: all else is of the one before, but good, which is 0 then.",
            samples: one(u8::from(has_failed)),
        },
        Metric {
            name: "look_timestamp_seconds",
            help: "When the last look of serve ended, failed or not.",
            samples: one(seconds(Timestamp::now())),
        },
        Metric { name: "build_info", help: "The version of the program that serves.", samples: version },
    ]
}
