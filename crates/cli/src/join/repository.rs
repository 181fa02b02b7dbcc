//! The repository's place and password, from the configuration.

use std::path::Path;

use plan::ports::StopFlag;
use plan::{Error, Result};
use repository::{Location, Mode, ObjectLock, S3};
use secrecy::{ExposeSecret, SecretString};

use super::bucket;
use crate::config::{Config, RepositorySection, S3Section};

/// How long a request to S3 that fails is tried again.
const S3_RETRY_SECONDS: u64 = 90;
/// How many days what is written is locked, when it is not said.
const LOCK_DAYS: u32 = 30;

/// The repository's place and password.
pub(crate) fn repository(config: &Config, stop: &StopFlag) -> Result<(Location, SecretString)> {
    let (section, name) = config.repository()?;
    placed(section, &name, stop)
}

/// The place and the password of a copy.
pub(crate) fn copy(config: &Config, copy: &str, stop: &StopFlag) -> Result<(Location, SecretString)> {
    let (section, name) = config.copy(copy)?;
    placed(section, &name, stop)
}

/// A folder with this password, which no section names.
pub(crate) fn folder(path: &Path, password: SecretString) -> Result<(Location, SecretString)> {
    let section = RepositorySection {
        url: path.to_string_lossy().into_owned(),
        password: Some(password),
        object_lock: None,
        object_lock_days: None,
        s3: None,
    };
    placed(section, "--to", &StopFlag::default())
}

fn placed(section: RepositorySection, name: &str, stop: &StopFlag) -> Result<(Location, SecretString)> {
    let object_lock = object_lock(&section, name)?;
    let s3 = section.s3.map(|section| s3(section, &format!("[{name}.s3]"), stop)).transpose()?;
    let s3 = s3.map(|s3| S3 { object_lock, ..s3 });
    if s3.is_none() && section.url.starts_with("s3://") {
        return Err(Error::refused("keys of the S3 repository are missing")
            .hint(format!("Set access-key-id and secret-access-key in [{name}.s3].")));
    }
    let location = Location::parse(&section.url, s3)?;
    let shown = if name.starts_with('-') { name.to_owned() } else { format!("[{name}]") };
    let password = section.password.ok_or_else(|| {
        let variable = if name == "repository" { "THREESCALE_BACKUP_PASSWORD".to_owned() } else { password_variable(name) };
        Error::refused(format!("{shown} has no password"))
            .hint(format!("Set password-file or password-command in [{name}], or {variable}."))
    })?;
    if password.expose_secret().is_empty() {
        return Err(Error::refused(format!("the password of {shown} is empty")));
    }
    Ok((location, password))
}

fn password_variable(section: &str) -> String {
    format!("{}{}_PASSWORD", children::PREFIX, section.replace(['.', '-'], "_").to_uppercase())
}

fn s3(section: S3Section, header: &str, stop: &StopFlag) -> Result<S3> {
    let service = bucket::service(section, header)?;
    Ok(S3 { bucket: String::new(), prefix: String::new(), retry_seconds: S3_RETRY_SECONDS, service, stop: stop.clone(), object_lock: None })
}

/// How what is written is to be locked.
fn object_lock(section: &RepositorySection, name: &str) -> Result<Option<ObjectLock>> {
    let mode = match (section.object_lock.as_deref(), section.object_lock_days) {
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return Err(Error::refused(format!("[{name}] has object-lock-days and no object-lock"))
                .hint("Write object-lock = \"governance\" or \"compliance\" too; or leave object-lock-days out."));
        }
        (Some("compliance"), _) => Mode::Compliance,
        (Some(_), _) => Mode::Governance,
    };
    if !section.url.starts_with("s3://") {
        return Err(Error::refused(format!("[{name}] has object-lock, and its url is no bucket"))
            .hint("Only an S3 service locks objects: leave object-lock out, or keep the repository at s3://bucket/prefix."));
    }
    Ok(Some(ObjectLock { mode, days: section.object_lock_days.unwrap_or(LOCK_DAYS) }))
}
