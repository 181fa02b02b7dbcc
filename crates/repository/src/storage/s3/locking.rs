//! Object lock of a bucket (API reference: GetObjectLockConfiguration, PutObject, GetObjectRetention, PutObjectRetention).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use object_store::PutPayload;
use object_store::path::Path;
use rustic_core::RusticResult;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::request::Fault;
use super::signed::{Answer, Ask, Signed};
use super::{Bucket, fault};
use crate::fault::{Refusal, lock};
use crate::object_lock::{Mode, ObjectLock};
use crate::storage::{Found, LocksObjects};

/// Services refuse signatures of clocks that are farther apart (API reference, RequestTimeTooSkewed); this one is as strict where they are not.
const APART_MAX: SignedDuration = SignedDuration::from_mins(15);
/// A machine may sleep, and somebody may set its clock: so long is believed what the service has said of the time.
const CLOCK_GOOD_FOR: Duration = Duration::from_secs(600);

/// What a bucket is asked that is to lock.
#[derive(Debug)]
pub(super) struct Locking {
    wanted: ObjectLock,
    signed: Signed,
    /// For the lines of a policy.
    bucket: String,
    clock: Mutex<Option<Clock>>,
}

/// What the service has said of the time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    there: Timestamp,
    here: Timestamp,
    seen: Instant,
}

impl Clock {
    /// What time it is there. `None`: it has to be asked again.
    fn now(&self) -> Option<Timestamp> {
        let passed = self.seen.elapsed();
        // The wall's clock goes on while the machine sleeps, the other one cannot be set: both must say that it is not long ago.
        let by_the_wall = Timestamp::now().duration_since(self.here);
        let is_young = passed < CLOCK_GOOD_FOR && by_the_wall.unsigned_abs() < CLOCK_GOOD_FOR;
        is_young.then(|| self.there.checked_add(passed).ok()).flatten()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Configuration {
    object_lock_enabled: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Retention {
    mode: String,
    retain_until_date: String,
}

impl Locking {
    pub(super) fn new(wanted: ObjectLock, signed: Signed, bucket: &str) -> Self {
        Self { wanted, signed, bucket: bucket.to_owned(), clock: Mutex::new(None) }
    }

    /// The line that a policy lacks.
    fn naming(&self, fault: Fault, rights: &str, of: &str) -> Fault {
        match fault {
            Fault::Refused(refusal) if ["AccessDenied", "status code: 403"].iter().any(|word| refusal.text.contains(word)) => {
                let hint = format!(
                    "Object lock is asked for: allow {rights} on arn:aws:s3:::{}{of} in the policy of the bucket or of the user; or leave object-lock out.",
                    self.bucket
                );
                Fault::Refused(Refusal { hint, ..refusal })
            }
            other => other,
        }
    }
}

fn refusal(text: String, hint: &str) -> Fault {
    Fault::Refused(Refusal { text, hint: hint.to_owned() })
}

const NO_OBJECT_LOCK: &str = "Object lock is given to a bucket when it is made, on Amazon's S3 later too (`aws s3api put-object-lock-configuration`), and keeps versions; \
                              or leave object-lock out.";

fn read<T: DeserializeOwned>(answer: &Answer, what: &str) -> Result<T, Fault> {
    let text = std::str::from_utf8(&answer.body).ok();
    let unclear =
        || refusal(format!("the service's answer to {what} cannot be understood"), "See whether the endpoint is that of an S3 service.");
    text.and_then(|text| quick_xml::de::from_str(text).ok()).ok_or_else(unclear)
}

/// The service's time, and ours beside it.
fn clock(answer: &Answer) -> Result<Clock, Fault> {
    let (here, seen) = (Timestamp::now(), Instant::now());
    let date = answer.headers.get(http::header::DATE).and_then(|value| value.to_str().ok());
    let there = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|zoned| zoned.timestamp());
    let Some(there) = there else {
        return Err(refusal(
            "the service does not say what time it is there".to_owned(),
            "Without that nobody knows for how long an object would be locked: what stands between this machine and the service must let the header `Date` pass.",
        ));
    };
    let apart = here.duration_since(there);
    if apart.abs() > APART_MAX {
        let text = format!("the clocks of this machine ({here:.0}) and of the service ({there:.0}) differ by more than 15 minutes");
        return Err(refusal(
            text,
            "An object would be locked for too short, or for too long, which nobody could take back: set this machine's clock.",
        ));
    }
    Ok(Clock { there, here, seen })
}

impl Bucket {
    /// Asks with patience; `rights` are what a policy must allow for it.
    fn ask_signed(&self, locking: &Locking, ask: &Ask, rights: &str) -> Result<Answer, Fault> {
        let of = if ask.path.is_some() { "/*" } else { "" };
        self.ask(|| locking.signed.send(&self.patience.keys, ask)).map_err(|fault| locking.naming(fault, rights, of))
    }

    fn time(&self, locking: &Locking) -> Result<Timestamp, Fault> {
        let known = *lock(&locking.clock);
        if let Some(now) = known.and_then(|clock| clock.now()) {
            return Ok(now);
        }
        let ask = Ask { method: Method::GET, path: None, part: Some("object-lock"), headers: Vec::new(), body: PutPayload::new() };
        let has_none = |text: &str| refusal(format!("bucket {} has no object lock: {text}", locking.bucket), NO_OBJECT_LOCK);
        let answer = self.ask_signed(locking, &ask, "s3:GetBucketObjectLockConfiguration").map_err(|fault| match fault {
            Fault::NotFound(text) => has_none(&text),
            Fault::Other(error) => has_none(&bucket::one_line(&error)),
            Fault::Refused(refusal) if refusal.text.contains("status code: 405") => has_none(&refusal.text),
            fault => fault,
        })?;
        let configuration: Configuration = read(&answer, "GetObjectLockConfiguration")?;
        if configuration.object_lock_enabled.as_deref() != Some("Enabled") {
            return Err(has_none("it is not enabled"));
        }
        let clock = clock(&answer)?;
        *lock(&locking.clock) = Some(clock);
        Ok(clock.there)
    }

    /// Writes an object that is locked from its first moment on; with `only_new` only if there is none.
    pub(super) fn put_locked(&self, locking: &Locking, path: &Path, body: &PutPayload, only_new: bool) -> Result<(), Fault> {
        let until = locking.wanted.until(self.time(locking)?);
        let mut headers = vec![
            ("x-amz-object-lock-mode", locking.wanted.mode.word().to_owned()),
            ("x-amz-object-lock-retain-until-date", until.to_string()),
        ];
        headers.extend(only_new.then(|| ("if-none-match", "*".to_owned())));
        let ask = Ask { method: Method::PUT, path: Some(path.clone()), part: None, headers, body: body.clone() };
        self.ask_signed(locking, &ask, "s3:PutObject and s3:PutObjectRetention").map(drop)
    }

    fn lock_of(&self, locking: &Locking, path: &Path) -> Result<Found, Fault> {
        let ask =
            Ask { method: Method::GET, path: Some(path.clone()), part: Some("retention"), headers: Vec::new(), body: PutPayload::new() };
        let answer = match self.ask_signed(locking, &ask, "s3:GetObjectRetention") {
            Ok(answer) => answer,
            Err(Fault::NotFound(text)) if text.contains("NoSuchObjectLockConfiguration") => return Ok(Found::Free),
            Err(fault) if is_gone(&fault) => return Ok(Found::Gone),
            Err(fault) => return Err(fault),
        };
        let Retention { mode, retain_until_date } = read(&answer, "GetObjectRetention")?;
        match (Mode::of_word(&mode), retain_until_date.parse().ok()) {
            (Some(mode), Some(until)) => Ok(Found::Locked(mode, until)),
            // Some services answer so where there is none.
            (None, None) if mode.is_empty() && retain_until_date.is_empty() => Ok(Found::Free),
            _ => Err(refusal(
                format!("the service says that {path} is locked in mode {mode:?} until {retain_until_date:?}, which makes no sense"),
                "See whether the endpoint is that of an S3 service.",
            )),
        }
    }

    fn set_lock(&self, locking: &Locking, path: &Path, mode: Mode, until: Timestamp) -> Result<bool, Fault> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>",
            mode.word()
        );
        let ask = Ask {
            method: Method::PUT,
            path: Some(path.clone()),
            part: Some("retention"),
            headers: Vec::new(),
            body: PutPayload::from(body),
        };
        match self.ask_signed(locking, &ask, "s3:PutObjectRetention") {
            Ok(_) => Ok(true),
            Err(fault) if is_gone(&fault) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// Of what a delete marker hides a service says that the method is not allowed.
fn is_gone(fault: &Fault) -> bool {
    match fault {
        Fault::NotFound(text) => !text.contains("NoSuchBucket"),
        Fault::Refused(refusal) => refusal.text.contains("MethodNotAllowed"),
        _ => false,
    }
}

/// A bucket that locks.
pub(super) struct LockingBucket<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) locking: &'a Locking,
}

impl LocksObjects for LockingBucket<'_> {
    fn wanted(&self) -> ObjectLock {
        self.locking.wanted
    }

    fn now(&self) -> RusticResult<Timestamp> {
        let root = self.bucket.folder("config");
        self.bucket.time(self.locking).map_err(|error| fault("failed to ask for the object lock of the bucket of `{path}`", &root, error))
    }

    fn found(&self, path: &str) -> RusticResult<Found> {
        let path = self.bucket.folder(path);
        self.bucket.lock_of(self.locking, &path).map_err(|error| fault("failed to ask how `{path}` is locked", &path, error))
    }

    fn lock(&self, path: &str, mode: Mode, until: Timestamp) -> RusticResult<bool> {
        let path = self.bucket.folder(path);
        self.bucket.set_lock(self.locking, &path, mode, until).map_err(|error| fault("failed to lock `{path}`", &path, error))
    }
}
