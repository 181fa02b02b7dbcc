//! One request to an S3 service: tried again while that may help, and given up when the work is asked to stop.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::{Keys, Refusal as Known, Service, is_not_looked_up, one_line};
use futures_util::future::{Either, select};
use object_store::Error as StoreError;
use plan::ports::StopFlag;

use crate::fault::{Refusal, Stopped, Unreachable};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A name that cannot be looked up just now: name servers come back soon, or the name is wrong.
const LOOK_UP_SECONDS_MAX: u64 = 5;
/// After a signal: so long may a request still take.
const STOP_GRACE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(100);

/// Why a request failed in the end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The work was asked to stop.
    Stopped,
    /// The service has it not.
    NotFound(String),
    /// Something that the caller knows what to do about.
    Other(StoreError),
    /// It will fail again.
    Refused(Refusal),
    /// It may work later.
    Unreachable(String),
}

impl Fault {
    /// As the cause of an error of the engine.
    pub(super) fn into_source(self) -> Box<dyn StdError + Send + Sync> {
        match self {
            Self::Stopped => Box::new(Stopped),
            Self::NotFound(text) => Box::new(std::io::Error::new(std::io::ErrorKind::NotFound, text)),
            Self::Other(error) => Box::new(std::io::Error::other(one_line(&error))),
            Self::Refused(refusal) => Box::new(refusal),
            Self::Unreachable(text) => Box::new(Unreachable(text)),
        }
    }
}

/// How long requests are tried, and who stops them.
#[derive(Debug)]
pub(super) struct Patience {
    pub(super) retry: Duration,
    pub(super) stop: StopFlag,
    pub(super) service: Service,
    pub(super) keys: Arc<Keys>,
}

impl Patience {
    /// Asks until there is an answer, a refusal, or no time left.
    pub(super) async fn ask<T, F>(&self, mut request: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let (begin, mut pause, mut is_renewed) = (Instant::now(), FIRST_PAUSE, false);
        loop {
            let generation = self.keys.generation();
            let error = match self.unless_stopped(request()).await.ok_or(Fault::Stopped)? {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let text = one_line(&error);
            if !is_renewed && Known::is_expired(&text) && plan::error::inside(&error).is_none() && self.keys.renew(generation) {
                is_renewed = true;
                continue;
            }
            let limit = if is_not_looked_up(&text) { self.retry.min(Duration::from_secs(LOOK_UP_SECONDS_MAX)) } else { self.retry };
            match fault(&self.service, error) {
                Fault::Unreachable(_) if begin.elapsed() + pause < limit => {}
                fault => return Err(fault),
            }
            self.unless_stopped(tokio::time::sleep(pause)).await.ok_or(Fault::Stopped)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stopped = async {
            while !self.stop.is_raised() {
                tokio::time::sleep(GLANCE).await;
            }
            tokio::time::sleep(STOP_GRACE).await;
        };
        match select(pin!(work), pin!(stopped)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

/// What an error means.
fn fault(service: &Service, error: StoreError) -> Fault {
    let text = one_line(&error);
    // Keys that could not be had.
    if let Some(own) = plan::error::inside(&error) {
        return match own.class() {
            plan::Class::Transient => Fault::Unreachable(text),
            _ => Fault::Refused(Refusal { text, hint: own.hints().join(" ") }),
        };
    }
    if let Some(hint) = hint(service, &error, &text) {
        return Fault::Refused(Refusal { text, hint });
    }
    match error {
        StoreError::NotFound { .. } => Fault::NotFound(text),
        StoreError::InvalidPath { .. }
        | StoreError::NotSupported { .. }
        | StoreError::AlreadyExists { .. }
        | StoreError::Precondition { .. }
        | StoreError::NotImplemented { .. }
        | StoreError::UnknownConfigurationKey { .. } => Fault::Other(error),
        _ => Fault::Unreachable(text),
    }
}

/// The way out of what will not get better by itself.
fn hint(service: &Service, error: &StoreError, text: &str) -> Option<String> {
    if let Some(known) = Known::of_answer(text).or_else(|| Known::of_connection(error)) {
        return Some(known.hint(service));
    }
    // Of many objects at a time the refusal of one is an answer by itself.
    if matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }) || text.contains("AccessDenied") {
        return Some(format!("{} Or they may not do this: check the bucket's policy.", Known::Keys.hint(service)));
    }
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_client_error = ["400", "405", "411", "413", "414", "416"].iter().any(|code| text.contains(&format!("status code: {code}")));
    // What was cut short on the way is told so too.
    let is_client_error = is_client_error && !has(&["RequestTimeout", "IncompleteBody", "BadDigest"]);
    is_client_error
        .then(|| "The service does not understand the request: check endpoint, region and path-style in [repository.s3].".to_owned())
}
