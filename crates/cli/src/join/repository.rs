//! The repository's place and password, from the configuration.

use std::collections::BTreeMap;

use plan::ports::StopFlag;
use plan::{Error, Result};
use repository::{Credentials, Location, S3};
use secrecy::{ExposeSecret, SecretString};

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
    let header = "[repository.s3]";
    check_ca_file(&section, header)?;
    let credentials = match right(&section, header)? {
        Right::Keys { id, secret } => Credentials::Keys { id, secret },
        Right::Environment(variables) => Credentials::WorkloadIdentity(variables),
    };
    Ok(S3 {
        bucket: String::new(),
        prefix: String::new(),
        retry_seconds: S3_RETRY_SECONDS,
        path_style: path_style(&section),
        region: region(&section),
        endpoint: section.endpoint,
        ca_file: section.ca_file,
        stop: stop.clone(),
        credentials,
    })
}

/// By whose right a bucket is used.
pub(super) enum Right {
    /// Keys.
    Keys {
        /// Access key id.
        id: SecretString,
        /// Secret access key.
        secret: SecretString,
    },
    /// What the cluster gives this pod: variables that begin with `AWS_`.
    Environment(BTreeMap<String, String>),
}

/// What a section says of it; `header` is the section's.
pub(super) fn right(section: &S3Section, header: &str) -> Result<Right> {
    let missing = |key: &str| Error::refused(format!("{header} has no {key}"));
    match (section.credentials.as_deref().unwrap_or("keys"), &section.access_key_id, &section.secret_access_key) {
        ("keys", id, secret) => Ok(Right::Keys {
            id: id.clone().ok_or_else(|| missing("access-key-id"))?,
            secret: secret.clone().ok_or_else(|| missing("secret-access-key"))?,
        }),
        (_, None, None) => Ok(Right::Environment(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| name.starts_with("AWS_"))
                .collect(),
        )),
        _ => Err(Error::refused(format!("{header} has keys, and credentials = \"workload-identity\""))
            .hint("Leave out access-key-id and secret-access-key, or credentials.")),
    }
}

pub(super) fn check_ca_file(section: &S3Section, header: &str) -> Result<()> {
    let Some(file) = &section.ca_file else { return Ok(()) };
    let failed = |error| Error::refused(format!("failed to read {header} ca-file {}", file.display())).because(error);
    std::fs::metadata(file).map(drop).map_err(failed)
}

pub(super) fn region(section: &S3Section) -> String {
    section.region.clone().unwrap_or_else(|| "us-east-1".to_owned())
}

pub(super) fn path_style(section: &S3Section) -> bool {
    section.path_style.unwrap_or(section.endpoint.is_some())
}
