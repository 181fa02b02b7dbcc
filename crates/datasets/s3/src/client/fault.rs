//! Why a request failed: whether it may work later, and the way out.

use std::time::Duration;

use bucket::Refusal;
use http::{HeaderMap, StatusCode, header};
use object_store::client::HttpError;
use plan::{Class, Error};

use super::{Ask, xml};
use crate::address::Bucket;

/// See the module.
#[derive(Debug)]
pub(crate) struct Fault {
    status: Option<StatusCode>,
    code: String,
    /// How long the service wants to be left alone.
    pause: Option<Duration>,
    error: Error,
}

impl Fault {
    /// What will fail again.
    pub(super) fn lasting(error: Error) -> Self {
        Self { status: None, code: String::new(), pause: None, error }
    }

    pub(super) fn silent(bucket: &Bucket, ask: &Ask<'_>) -> Self {
        Self::lasting(Error::transient(format!("no answer from {} to {}", bucket.shown(), told(ask))))
    }

    /// There was no answer, or it broke off.
    pub(super) fn of_transport(bucket: &Bucket, ask: &Ask<'_>, error: &HttpError) -> Self {
        let what = format!("failed to reach {} for {}: {}", bucket.shown(), told(ask), bucket::one_line(error));
        match Refusal::of_connection(error) {
            Some(refusal) => Self::lasting(Error::refused(what).hint(refusal.hint(&bucket.service))),
            None => Self::lasting(Error::transient(what)),
        }
    }

    /// An answer that says no.
    pub(super) fn of_answer(bucket: &Bucket, ask: &Ask<'_>, status: StatusCode, body: &[u8]) -> Self {
        let said = xml::error(body).unwrap_or_default();
        let code = said.code;
        let text = if said.message.is_empty() { code.clone() } else { format!("{code}: {}", said.message) };
        let what =
            format!("{} answers {} to {}{}{text}", bucket.shown(), status.as_u16(), told(ask), if text.is_empty() { "" } else { ": " });
        let known = if matches!(status.as_u16(), 301 | 307) { Some(Refusal::OtherRegion) } else { Refusal::of_answer(&code) };
        let (class, hint) = match (status.as_u16(), code.as_str()) {
            _ if known.is_some() => (Class::Refused, known.map(|known| known.hint(&bucket.service))),
            (401 | 403, _) => (Class::Refused, Some(missing_right(bucket, ask))),
            (429 | 500.., _) | (_, "RequestTimeout" | "SlowDown" | "IncompleteBody" | "BadDigest") => (Class::Transient, None),
            (409, _) => (Class::Transient, None),
            _ => (Class::Failed, None),
        };
        let error = Error::new(class, what);
        Self { status: Some(status), code, pause: None, error: hint.into_iter().fold(error, Error::hint) }
    }

    /// The same, with what the answer's headers say of when to come again (RFC 9110, "Retry-After", in seconds).
    pub(super) fn with_pause(self, headers: &HeaderMap) -> Self {
        let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Self { pause: seconds.map(Duration::from_secs), ..self }
    }

    /// How long to wait before the same is asked again.
    pub(super) fn pause(&self, least: Duration) -> Duration {
        self.pause.map_or(least, |pause| pause.max(least))
    }

    /// Whether the same request may work later.
    pub(super) fn may_pass(&self) -> bool {
        self.error.class() == Class::Transient
    }

    /// Whether the keys of the request have ended.
    pub(super) fn is_of_expired_keys(&self) -> bool {
        Refusal::is_expired(&self.code)
    }

    /// Whether there is no such object (and it is not the bucket that is missing).
    pub(crate) fn is_missing(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND) && self.code != "NoSuchBucket" && self.code != "NoSuchUpload"
    }

    /// Whether the object is another one than was asked for.
    pub(crate) fn is_changed(&self) -> bool {
        self.status == Some(StatusCode::PRECONDITION_FAILED)
    }

    /// Whether the service does not know what was asked, or does not let this user ask it.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.status.is_some_and(|status| status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED) && self.code != "NoSuchBucket"
    }

    pub(crate) fn into_error(self) -> Error {
        self.error
    }
}

/// The line that a policy lacks.
fn missing_right(bucket: &Bucket, ask: &Ask<'_>) -> String {
    let of_bucket = matches!(ask.right, "s3:ListBucket" | "s3:ListBucketMultipartUploads") || ask.right.starts_with("s3:GetBucket");
    let resource = if of_bucket { bucket.name.clone() } else { format!("{}/*", bucket.name) };
    format!(
        "Allow {} on arn:aws:s3:::{resource} in the policy of the bucket or of the user; or the keys are those of another user.",
        ask.right
    )
}

fn told(ask: &Ask<'_>) -> String {
    let action = ask.right.trim_start_matches("s3:");
    if ask.key.is_empty() { action.to_owned() } else { format!("{action} of {:?}", ask.key) }
}
