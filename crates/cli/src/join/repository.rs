//! The repository's place and password, from the configuration.

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
    let missing = |key: &str| Error::refused(format!("[repository.s3] has no {key}"));
    if let Some(file) = &section.ca_file {
        let failed = |error| Error::refused(format!("failed to read [repository.s3] ca-file {}", file.display())).because(error);
        std::fs::metadata(file).map_err(failed)?;
    }
    let credentials = match (section.credentials.as_deref().unwrap_or("keys"), section.access_key_id, section.secret_access_key) {
        ("keys", id, secret) => Credentials::Keys {
            id: id.ok_or_else(|| missing("access-key-id"))?,
            secret: secret.ok_or_else(|| missing("secret-access-key"))?,
        },
        (_, None, None) => Credentials::WorkloadIdentity(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| name.starts_with("AWS_"))
                .collect(),
        ),
        _ => {
            return Err(Error::refused("[repository.s3] has keys, and credentials = \"workload-identity\"")
                .hint("Leave out access-key-id and secret-access-key, or credentials."));
        }
    };
    Ok(S3 {
        bucket: String::new(),
        prefix: String::new(),
        retry_seconds: S3_RETRY_SECONDS,
        path_style: section.path_style.unwrap_or(section.endpoint.is_some()),
        endpoint: section.endpoint,
        ca_file: section.ca_file,
        stop: stop.clone(),
        region: section.region.unwrap_or_else(|| "us-east-1".to_owned()),
        credentials,
    })
}
