//! TELLS: brings one short document to an HTTP address, or a text to mailboxes, within seconds. What stands in the address may be a secret, and is in no error.

mod mail;

use std::path::PathBuf;
use std::time::Duration;

use plan::{Error, Result};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use tls::{Tls, TlsMode};

pub use mail::{MAIL_SECONDS_MAX, Mail};

/// How long all of it may take: nobody waits longer for being told.
pub const SECONDS_MAX: u64 = 10;

/// Who is told, over which connection.
#[derive(Debug, Clone)]
pub struct Address {
    url: SecretString,
    ca_file: Option<PathBuf>,
}

impl Address {
    /// `url`: `https://…` or `http://…`. `ca_file`: PEM file with the only CAs that are trusted; the public web's when absent.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when it is no such address.
    pub fn parse(url: &SecretString, ca_file: Option<PathBuf>) -> Result<Self> {
        let is_http = Url::parse(url.expose_secret()).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_http {
            return Err(Error::refused("the address is not one of HTTP").hint("Write https://host/path."));
        }
        Ok(Self { url: url.clone(), ca_file })
    }

    /// The same with another part at the end of its path: `https://host/id` becomes `https://host/id/start`.
    ///
    /// # Errors
    /// When nothing can be added to it.
    pub fn below(&self, part: &str) -> Result<Self> {
        let mut url = self.parsed()?;
        url.path_segments_mut().map_err(|()| Error::refused("the address has no path"))?.pop_if_empty().push(part);
        Ok(Self { url: url.as_str().into(), ca_file: self.ca_file.clone() })
    }

    fn parsed(&self) -> Result<Url> {
        Url::parse(self.url.expose_secret()).map_err(|error| Error::refused("the address is not one of HTTP").because(error))
    }

    /// Whether the file with the CAs can be used.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when not.
    pub fn check(&self) -> Result<()> {
        tls::check_files(&self.tls())
    }

    fn tls(&self) -> Tls {
        Tls { ca_file: self.ca_file.clone(), ..Tls::of_mode(TlsMode::VerifyFull) }
    }

    /// Its scheme, host and port, which are no secret: `https://hooks.example.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.parsed().map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Posts a body. An answer that is not of the class "successful" (RFC 9110, section 15.3) is an error; a redirect is not followed.
    ///
    /// # Errors
    /// When it cannot be reached, does not answer in time, or refuses.
    pub fn post(&self, content_type: &str, body: Vec<u8>) -> Result<()> {
        self.send(Method::POST, content_type, body)
    }

    /// The same with PUT: the body takes the place of what is there.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn put(&self, content_type: &str, body: Vec<u8>) -> Result<()> {
        self.send(Method::PUT, content_type, body)
    }

    fn send(&self, method: Method, content_type: &str, body: Vec<u8>) -> Result<()> {
        let failed = |what: &str| Error::transient(format!("{what} {}", self.origin()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed("start a client for").because(error))?;
        let config = rustls::ClientConfig::clone(&*tls::client_config(&self.tls())?);
        let limit = Duration::from_secs(SECONDS_MAX);
        let client = reqwest::Client::builder().tls_backend_preconfigured(config).timeout(limit).redirect(Policy::none());
        let client = client.build().map_err(|error| failed("make a client for").because(error.without_url()))?;
        let request = client.request(method, self.parsed()?).header(CONTENT_TYPE, content_type).body(body);
        // The time for names and for a silent server is in it too.
        let answer = runtime.block_on(async { tokio::time::timeout(limit, request.send()).await });
        // A name server that is silent is asked by a thread that cannot be ended: it is not waited for.
        runtime.shutdown_background();
        let answer = answer.map_err(|_| failed(&format!("no answer within {SECONDS_MAX} s from")))?;
        let answer = answer.map_err(|error| match tls::of(&error, format!("failed to reach {}", self.origin())) {
            Some(told) => told,
            None => failed("failed to reach").because(error.without_url()),
        })?;
        if answer.status().is_success() { Ok(()) } else { Err(failed(&format!("answer {} from", answer.status()))) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn address(url: &str) -> Result<Address> {
        Address::parse(&SecretString::from(url), None)
    }

    #[test]
    fn an_address_is_one_of_http_and_is_in_no_error() {
        for wrong in ["", "hooks.example.com/secret", "ftp://h/secret", "file:///secret", "https://", "mailto:secret@h"] {
            let error = address(wrong).unwrap_err();
            assert!(!format!("{error:?}{}", error.chain()).contains("secret"), "{wrong}");
        }
        let address = address("http://127.0.0.1:1/a/secret?key=secret").unwrap();
        assert_eq!(address.origin(), "http://127.0.0.1:1");
        let error = address.post("text/plain", Vec::new()).unwrap_err();
        assert!(!format!("{error:?}{}", error.chain()).contains("secret"), "{error:?}");
        assert!(!format!("{address:?}").contains("secret"));
    }

    #[test]
    fn a_part_is_added_to_the_path() {
        let below = |url: &str| address(url).unwrap().below("fail").unwrap().parsed().unwrap().to_string();
        assert_eq!(below("https://h/id"), "https://h/id/fail");
        assert_eq!(below("https://h/id/?create=1"), "https://h/id/fail?create=1");
    }
}
