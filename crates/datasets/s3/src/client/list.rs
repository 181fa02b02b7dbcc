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
        let mut way = Way::default();
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
            let Some(next) = next else {
                return Err(Error::failed(format!("the listing of {} says that there is more, and not where it goes on", self.shown())));
            };
            if way.was_here(&next) {
                return Err(Error::failed(format!("the listing of {} goes round: a page names one before it as the next", self.shown()))
                    .hint("That is a fault of the service. Nothing was kept of this listing."));
            }
            token = Some(next);
        }
    }
}

/// Where a listing has been: one place that moves ahead by powers of two is enough to find every circle (Brent's algorithm).
#[derive(Default)]
struct Way {
    mark: Option<String>,
    steps: u64,
    limit: u64,
}

impl Way {
    fn was_here(&mut self, token: &str) -> bool {
        if self.mark.as_deref() == Some(token) {
            return true;
        }
        self.steps += 1;
        if self.steps > self.limit {
            (self.mark, self.steps, self.limit) = (Some(token.to_owned()), 0, self.limit * 2 + 1);
        }
        false
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_goes_round_is_found_wherever_the_circle_begins() {
        for (before, around) in [(0, 1), (0, 2), (1, 1), (5, 3), (17, 40)] {
            let mut way = Way::default();
            let found = (0..1000).position(|step| {
                let place = if step < before { step } else { before + (step - before) % around };
                way.was_here(&place.to_string())
            });
            assert!(found.is_some_and(|steps| steps <= 4 * (before + around + 1)), "{before} {around}: {found:?}");
        }
        let mut straight = Way::default();
        assert!((0..1000).all(|place| !straight.was_here(&place.to_string())));
    }
}
