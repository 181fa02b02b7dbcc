//! PEM files: read whole, or refused by their name.

use std::path::Path;

use plan::{Error, Result};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// [`plan::Class::Refused`] naming the file when it cannot be read or holds none.
pub fn certificates(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let list = read.map_err(|error| unreadable(what, file, error))?;
    if list.is_empty() { Err(holds_none(what, file, "certificate")) } else { Ok(list) }
}

/// The private key of a PEM file.
pub(crate) fn key(what: &str, file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        pem::Error::NoItemsFound => holds_none(what, file, "private key"),
        error => unreadable(what, file, error),
    })
}

fn unreadable(what: &str, file: &Path, error: pem::Error) -> Error {
    let shown = file.display();
    match error {
        pem::Error::Io(error) => {
            Error::refused(format!("cannot read the {what} {shown}")).because(error).hint(format!("Check it: ls -l {shown}"))
        }
        error => Error::refused(format!("the {what} {shown} is not PEM")).because(error).hint(FORM),
    }
}

fn holds_none(what: &str, file: &Path, wanted: &str) -> Error {
    Error::refused(format!("the {what} {} holds no {wanted}", file.display())).hint(FORM)
}

const FORM: &str = "It is a text file with lines such as -----BEGIN CERTIFICATE----- or -----BEGIN PRIVATE KEY-----.";
