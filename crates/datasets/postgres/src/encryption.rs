//! TLS towards PostgreSQL: for our own sessions through rustls, for the child processes through libpq's environment variables.

use std::path::PathBuf;

use plan::{Error, Result};
use tls::{Tls, TlsMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Files in which distributions keep the public web's CAs, for libpq older than 16.
const SYSTEM_CA_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"];

/// The connector of our own sessions.
///
/// # Errors
/// [`plan::Class::Refused`] when a file cannot be read or does not fit.
pub(crate) fn connector(tls: Option<&Tls>) -> Result<MakeRustlsConnect> {
    // Without options: as libpq does by default, unverified.
    let config = tls::client_config(tls.unwrap_or(&Tls::default()))?;
    Ok(MakeRustlsConnect::new((*config).clone()))
}

/// libpq's environment variables for the same options.
///
/// # Errors
/// [`plan::Class::Refused`] when the public web's CAs are wanted and this machine has none that the client could read.
pub(crate) fn environment(tls: Option<&Tls>, client_major: u32) -> Result<Vec<(&'static str, PathBuf)>> {
    let Some(tls) = tls else { return Ok(vec![("PGSSLMODE", "prefer".into())]) };
    let mode = match tls.mode {
        None => "prefer",
        Some(TlsMode::Disable) => "disable",
        Some(TlsMode::Require) => "require",
        Some(TlsMode::VerifyCa) => "verify-ca",
        Some(TlsMode::VerifyFull) => "verify-full",
    };
    let mut variables: Vec<(&str, PathBuf)> = vec![("PGSSLMODE", mode.into())];
    if let Some(file) = &tls.ca_file {
        variables.push(("PGSSLROOTCERT", file.clone()));
    } else if tls.verifies_chain() {
        let system = SYSTEM_CA_FILES.iter().map(PathBuf::from).find(|file| file.exists());
        let file = system.or_else(|| (client_major >= 16).then(|| "system".into())).ok_or_else(|| {
            Error::refused("no file with the public web's CAs on this machine")
                .hint("Give the CA file of the server (sslrootcert, ca-file).")
        })?;
        variables.push(("PGSSLROOTCERT", file));
    }
    variables.extend(tls.client_certificate_file.iter().map(|file| ("PGSSLCERT", file.clone())));
    variables.extend(tls.client_key_file.iter().map(|file| ("PGSSLKEY", file.clone())));
    Ok(variables)
}
