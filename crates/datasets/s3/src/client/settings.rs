//! What the bucket says of itself: for people, so that what cannot be asked is no error.

use http::Method;
use plan::Result;
use plan::ports::StopFlag;

use super::{Ask, Client, xml};

/// See the module; `None`: the service does not say it, or not to this user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `Enabled`, `Suspended`, `off`.
    pub(crate) versioning: Option<String>,
    /// Whether objects can be held so that nobody can remove them.
    pub(crate) locks_objects: Option<bool>,
}

impl Client {
    pub(crate) fn settings(&self, stop: &StopFlag) -> Result<Settings> {
        let versioning = self.setting::<xml::Versioning>(stop, "versioning", "s3:GetBucketVersioning")?;
        let lock = self.setting::<xml::ObjectLock>(stop, "object-lock", "s3:GetBucketObjectLockConfiguration")?;
        Ok(Settings {
            versioning: versioning.map(|versioning| versioning.status.unwrap_or_else(|| "off".to_owned())),
            locks_objects: lock.map(|lock| lock.object_lock_enabled.as_deref() == Some("Enabled")),
        })
    }

    fn setting<T: serde::de::DeserializeOwned>(&self, stop: &StopFlag, name: &'static str, right: &'static str) -> Result<Option<T>> {
        match self.ask(stop, &Ask::new(Method::GET, "", right).with(name, "")) {
            Ok(answer) => Ok(xml::read(&answer.body, &self.shown(), name).ok()),
            Err(fault) if fault.is_unanswered() => Ok(None),
            Err(fault) => Err(fault.into_error()),
        }
    }
}
