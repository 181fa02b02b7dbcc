//! Copies inside the bucket: no content passes this machine.

use http::{HeaderValue, Method};
use plan::ports::StopFlag;
use plan::{Error, Result};

use super::put::Limits;
use super::{Ask, Client, encoded, xml};

impl Client {
    /// Copies an object with all that is known of it; `false` when there is none to copy.
    pub(crate) fn copy(&self, stop: &StopFlag, limits: Limits, from: &str, to: &str) -> Result<bool> {
        let Some(head) = self.head(stop, from)? else { return Ok(false) };
        let source = HeaderValue::from_str(&format!("/{}/{}", self.bucket.name, encoded(from)));
        let source = source.map_err(|error| Error::failed(format!("{from:?} cannot be named in a request")).because(error))?;
        if head.size > limits.copy_bytes {
            return self.copy_in_parts(stop, limits, (&source, &head), to).map(|()| true);
        }
        let ask = Ask::new(Method::PUT, to, "s3:PutObject").header("x-amz-copy-source", source);
        match self.ask_late(stop, &ask) {
            Ok(answer) => xml::read::<xml::Made>(&answer.body, &self.shown(), "a copy").map(|_| true),
            Err(fault) if fault.is_missing() => Ok(false),
            Err(fault) => Err(fault.into_error()),
        }
    }

    fn copy_in_parts(&self, stop: &StopFlag, limits: Limits, (source, head): (&HeaderValue, &super::get::Head), to: &str) -> Result<()> {
        let e_tag = HeaderValue::from_str(&format!("\"{}\"", head.e_tag)).map_err(|error| Error::failed("an odd ETag").because(error))?;
        let copied = self.in_parts(stop, to, &head.properties, |upload| {
            let (mut parts, mut at) = (Vec::new(), 0);
            while at < head.size {
                stop.check()?;
                let end = (at + limits.copy_bytes).min(head.size);
                let range =
                    HeaderValue::from_str(&format!("bytes={at}-{}", end - 1)).map_err(|error| Error::failed("a range").because(error))?;
                let number = (parts.len() + 1).to_string();
                let ask = Ask::new(Method::PUT, to, "s3:PutObject")
                    .with("partNumber", number)
                    .with("uploadId", upload)
                    .header("x-amz-copy-source", source.clone())
                    .header("x-amz-copy-source-if-match", e_tag.clone())
                    .header("x-amz-copy-source-range", range);
                let answer = self.ask_late(stop, &ask).map_err(super::Fault::into_error)?;
                let made: xml::Made = xml::read(&answer.body, &self.shown(), "the copy of a part")?;
                parts.push(xml::unquoted(&made.e_tag));
                at = end;
            }
            Ok(parts)
        });
        copied.map(drop)
    }
}
