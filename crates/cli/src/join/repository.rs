//! The repository's place and password, from the configuration.

use plan::ports::StopFlag;
use plan::{Error, Result};
use repository::{Location, S3};
use secrecy::{ExposeSecret, SecretString};

use super::bucket;
use crate::config::{Config, S3Section};

/// How long a request to S3 that fails is tried again.
const S3_RETRY_SECONDS: u64 = 90;

/// The repository's place and password.
pub(crate) fn repository(config: &Config, stop: &StopFlag) -> Result<(Location, SecretString)> {
    let section = config.repository()?;
    let s3 = section.s3.map(|section| s3(section, stop)).transpose()?;
    let location = Location::parse(&section.url, s3)?;
    let password = section.password.ok_or_else(|| {
        Error::refused("the repository has no password")
            .hint("Set password-file or password-command in [repository], or THREESCALE_BACKUP_PASSWORD.")
    })?;
    if password.expose_secret().is_empty() {
        return Err(Error::refused("the repository's password is empty"));
    }
    Ok((location, password))
}

fn s3(section: S3Section, stop: &StopFlag) -> Result<S3> {
    let service = bucket::service(section, "[repository.s3]")?;
    Ok(S3 { bucket: String::new(), prefix: String::new(), retry_seconds: S3_RETRY_SECONDS, service, stop: stop.clone() })
}
