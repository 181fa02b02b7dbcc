//! Listings: each whole, or an error.

use http::Method;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use plan::ports::StopFlag;
use plan::{Error, Result};

use super::{Ask, Client, xml};

/// An object as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) e_tag: String,
    pub(crate) modified_ns: i128,
}

impl Client {
    /// Hands over every object below a prefix, in the service's order, until `take` says that it is enough.
    ///
    /// # Errors
    /// When a page cannot be had or understood, or `take` fails.
    pub(crate) fn list(&self, stop: &StopFlag, prefix: &str, mut take: impl FnMut(Listed) -> Result<bool>) -> Result<()> {
        self.pages(stop, prefix, None, |page| {
            let is_encoded = page.encoding_type.as_deref() == Some("url");
            for content in page.contents {
                if !take(listed(content, is_encoded)?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// The names between a prefix and the next slash.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub(crate) fn folders(&self, stop: &StopFlag, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.pages(stop, prefix, Some("/"), |page| {
            let is_encoded = page.encoding_type.as_deref() == Some("url");
            for found in page.common_prefixes {
                let whole = if is_encoded { decoded(&found.prefix)? } else { found.prefix };
                names.extend(whole.strip_prefix(prefix).map(|name| name.trim_end_matches('/').to_owned()));
            }
            Ok(true)
        })?;
        Ok(names)
    }

    fn pages(&self, stop: &StopFlag, prefix: &str, delimiter: Option<&str>, mut take: impl FnMut(xml::Page) -> Result<bool>) -> Result<()> {
        let during = |error: Error| error.during(format!("failed to list {}", self.shown()));
        let mut token: Option<String> = None;
        loop {
            stop.check()?;
            let mut ask =
                Ask::new(Method::GET, "", "s3:ListBucket").with("list-type", "2").with("encoding-type", "url").with("prefix", prefix);
            if let Some(delimiter) = delimiter {
                ask = ask.with("delimiter", delimiter);
            }
            if let Some(token) = &token {
                ask = ask.with("continuation-token", token.as_str());
            }
            let answer = self.ask(stop, &ask).map_err(|fault| during(fault.into_error()))?;
            let mut page: xml::Page = xml::read(&answer.body, &self.shown(), "a listing")?;
            let (is_truncated, next) = (page.is_truncated, page.next_continuation_token.take());
            if !take(page).map_err(during)? || !is_truncated {
                return Ok(());
            }
            if next.is_none() || next == token {
                return Err(Error::failed(format!("the listing of {} says that there is more, and not where it goes on", self.shown())));
            }
            token = next;
        }
    }
}

fn decoded(text: &str) -> Result<String> {
    let unclear = |error| Error::failed(format!("the key {text:?} makes no sense")).because(error);
    // A plus sign is a space (a plus sign itself is %2B).
    Ok(percent_decode_str(&text.replace('+', "%20")).decode_utf8().map_err(unclear)?.into_owned())
}

fn listed(content: xml::Content, is_encoded: bool) -> Result<Listed> {
    let key = if is_encoded { decoded(&content.key)? } else { content.key };
    let modified: Timestamp = content.last_modified.parse().map_err(|error: jiff::Error| {
        Error::failed(format!("the time {:?} of {key:?} makes no sense", content.last_modified)).because(error)
    })?;
    Ok(Listed { key, size: content.size, e_tag: xml::unquoted(&content.e_tag), modified_ns: modified.as_nanosecond() })
}
