//! One request to an S3 service: tried again while that may help, and given up when the work is asked to stop.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

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
}

impl Patience {
    /// Asks until there is an answer, a refusal, or no time left.
    pub(super) async fn ask<T, F>(&self, mut request: impl FnMut() -> F) -> Result<T, Fault>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let (begin, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let error = match self.unless_stopped(request()).await.ok_or(Fault::Stopped)? {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let text = one_line(&error);
            let limit = if is_not_looked_up(&text) { self.retry.min(Duration::from_secs(LOOK_UP_SECONDS_MAX)) } else { self.retry };
            match fault(error) {
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
pub(super) fn fault(error: StoreError) -> Fault {
    let text = one_line(&error);
    if let Some(hint) = hint(&error, &text) {
        return Fault::Refused(Refusal { text, hint: hint.to_owned() });
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
fn hint(error: &StoreError, text: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["RequestTimeTooSkewed"]) {
        return Some("The clocks of this machine and of the service differ: set this machine's clock.");
    }
    if has(&["NoSuchBucket"]) {
        return Some("There is no such bucket: make it, or check url, endpoint and path-style in [repository.s3].");
    }
    if has(&["incorrectly configured region", "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraint"]) {
        return Some("The bucket is in another region, or at another endpoint: set region (and endpoint) in [repository.s3].");
    }
    if matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }) {
        return Some(
            "The service does not accept the keys, or they may not do this: check access-key-id and secret-access-key in [repository.s3], and the bucket's policy.",
        );
    }
    // Not of the bucket, but of the service that gives keys for a role: its errors are in no class of their own.
    let of_tokens = ["InvalidIdentityToken", "IDPRejectedClaim", "IDPCommunicationError", "ExpiredToken"];
    if matches!(error, StoreError::Generic { .. }) && (has(&["status code: 403"]) || has(&of_tokens)) {
        return Some(
            "The role that the cluster gives this pod is not accepted: check the role's trust policy, and the annotations of the service account.",
        );
    }
    if tls::is_untrusted(error) || has(&["invalid peer certificate"]) {
        return Some(
            "The service's certificate is not trusted: name the PEM file of the CA that it comes from with ca-file in [repository.s3]; the host in endpoint must be the one that the certificate names.",
        );
    }
    if tls::of(error, "").is_some() || has(&["corrupt message", "InvalidContentType"]) {
        return Some(
            "There is no TLS at this endpoint: see whether it begins with http:// rather than https://, and whether the port is right.",
        );
    }
    if has(&["Name or service not known", "No address associated with hostname", "nodename nor servname"]) || names_nothing(text) {
        return Some("There is no host of that name: check endpoint (and path-style) in [repository.s3].");
    }
    let is_client_error = ["400", "405", "411", "413", "414", "416"].iter().any(|code| text.contains(&format!("status code: {code}")));
    // What was cut short on the way is told so too.
    let is_client_error = is_client_error && !has(&["RequestTimeout", "IncompleteBody", "BadDigest"]);
    is_client_error.then_some("The service does not understand the request: check endpoint, region and path-style in [repository.s3].")
}

fn is_not_looked_up(text: &str) -> bool {
    text.contains("failed to lookup address") || text.contains("dns error")
}

/// Names that never exist (RFC 6761): some resolvers only say that they do not know now.
fn names_nothing(text: &str) -> bool {
    is_not_looked_up(text) && (text.contains(".invalid:") || text.contains(".invalid/"))
}

/// An error with its causes, on one line.
pub(super) fn one_line(error: &StoreError) -> String {
    plan::error::causes(error).split_whitespace().collect::<Vec<_>>().join(" ")
}
