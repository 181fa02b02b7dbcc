//! Objects as they are written: in one request, or in parts when they are large. No ACL is ever sent: a bucket that has none refuses it, and without one an object is
//! private, as porta's are.

use std::io::{self, Read};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method};
use md5::{Digest as _, Md5};
use plan::ports::StopFlag;
use plan::{Error, Result};

use super::{Ask, Client, xml};
use crate::properties::Properties;

/// How large a request may be. S3's own limits are in the user guide, "Amazon S3 multipart upload limits".
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What is larger is written in parts of at least this size, in bytes. At least 5 MiB on Amazon's S3.
    pub part_bytes: u64,
    /// What is larger is copied in parts of this size, in bytes. At most 5 GiB on Amazon's S3.
    pub copy_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { part_bytes: 8 << 20, copy_bytes: 1 << 30 }
    }
}

/// S3 allows 10,000.
const PARTS_MAX: u64 = 9_000;

/// A bucket that locks what is written takes nothing without a digest (S3 API reference, PutObject and UploadPart: `Content-MD5`); the others compare it.
fn with_digest<'a>(ask: Ask<'a>, body: Bytes) -> Result<Ask<'a>> {
    let digest = BASE64_STANDARD.encode(Md5::digest(&body));
    let digest =
        HeaderValue::try_from(digest).map_err(|error| Error::failed("the digest of an object could not be written").because(error))?;
    Ok(ask.header("content-md5", digest).body(body))
}

impl Client {
    /// Writes an object of a size that is known; gives its ETag.
    pub(crate) fn put(
        &self,
        stop: &StopFlag,
        limits: Limits,
        (key, size): (&str, u64),
        content: &mut dyn Read,
        properties: &Properties,
    ) -> Result<String> {
        if size <= limits.part_bytes {
            let body = exactly(content, size)?;
            return self.put_bytes(stop, key, body, properties);
        }
        let part_bytes = limits.part_bytes.max(size.div_ceil(PARTS_MAX));
        self.in_parts(stop, key, properties, |upload| {
            let (mut parts, mut left) = (Vec::new(), size);
            while left > 0 {
                stop.check()?;
                let bytes = part_bytes.min(left);
                let body = exactly(content, bytes)?;
                let number = parts.len() + 1;
                let ask = Ask::new(Method::PUT, key, "s3:PutObject").with("partNumber", number.to_string()).with("uploadId", upload);
                let ask = with_digest(ask, body)?;
                let answer = self.ask(stop, &ask).map_err(super::Fault::into_error)?;
                parts.push(e_tag_of(&answer.headers, key)?);
                left -= bytes;
            }
            Ok(parts)
        })
    }

    /// Writes a small object; gives its ETag.
    pub(crate) fn put_bytes(&self, stop: &StopFlag, key: &str, body: Bytes, properties: &Properties) -> Result<String> {
        let ask = properties.on(with_digest(Ask::new(Method::PUT, key, "s3:PutObject"), body)?)?;
        let answer = self.ask(stop, &ask).map_err(super::Fault::into_error)?;
        e_tag_of(&answer.headers, key)
    }

    /// Begins an upload in parts, and ends it: with the parts that `make` gives, or by taking it back.
    pub(super) fn in_parts(
        &self,
        stop: &StopFlag,
        key: &str,
        properties: &Properties,
        make: impl FnOnce(&str) -> Result<Vec<String>>,
    ) -> Result<String> {
        let begin = properties.on(Ask::new(Method::POST, key, "s3:PutObject").with("uploads", ""))?;
        let answer = self.ask(stop, &begin).map_err(super::Fault::into_error)?;
        let begun: xml::Begun = xml::read(&answer.body, &self.shown(), "the beginning of an upload")?;
        let made = make(&begun.upload_id).and_then(|parts| self.join(stop, key, &begun.upload_id, &parts));
        made.inspect_err(|_| {
            // What is left after all is found by `end_uploads`. The work may have been asked to stop: this is asked nevertheless.
            drop(self.abort(&StopFlag::default(), key, &begun.upload_id));
        })
    }

    fn join(&self, stop: &StopFlag, key: &str, upload: &str, parts: &[String]) -> Result<String> {
        let numbered = parts.iter().enumerate();
        let list: String =
            numbered.map(|(at, e_tag)| format!("<Part><PartNumber>{}</PartNumber><ETag>\"{e_tag}\"</ETag></Part>", at + 1)).collect();
        let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let ask = Ask::new(Method::POST, key, "s3:PutObject").with("uploadId", upload).body(body.into());
        let answer = self.ask_late(stop, &ask).map_err(super::Fault::into_error)?;
        let made: xml::Made = xml::read(&answer.body, &self.shown(), "the end of an upload")?;
        Ok(xml::unquoted(&made.e_tag))
    }

    fn abort(&self, stop: &StopFlag, key: &str, upload: &str) -> Result<()> {
        match self.ask(stop, &Ask::new(Method::DELETE, key, "s3:AbortMultipartUpload").with("uploadId", upload)) {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_unanswered() => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Takes back the uploads to keys that `is_ours` says, which a killed run has begun and nobody sees. A service that does not list them is left as it is.
    pub(crate) fn end_uploads(&self, stop: &StopFlag, prefix: &str, is_ours: impl Fn(&str) -> bool) -> Result<()> {
        let ask = Ask::new(Method::GET, "", "s3:ListBucketMultipartUploads").with("uploads", "").with("prefix", prefix);
        let answer = match self.ask(stop, &ask) {
            Ok(answer) => answer,
            Err(fault) if fault.is_unanswered() => return Ok(()),
            Err(fault) => return Err(fault.into_error()),
        };
        let Ok(uploads) = xml::read::<xml::Uploads>(&answer.body, &self.shown(), "a listing of uploads") else { return Ok(()) };
        let ours = uploads.upload.iter().filter(|upload| is_ours(&upload.key));
        ours.into_iter().try_for_each(|upload| self.abort(stop, &upload.key, &upload.upload_id))
    }
}

fn e_tag_of(headers: &http::HeaderMap, key: &str) -> Result<String> {
    let e_tag = headers.get(http::header::ETAG).and_then(|value: &HeaderValue| value.to_str().ok());
    e_tag.map(xml::unquoted).ok_or_else(|| Error::failed(format!("the S3 service gives no ETag for {key:?}")))
}

fn exactly(content: &mut dyn Read, bytes: u64) -> Result<Bytes> {
    let length = usize::try_from(bytes).map_err(|error| Error::failed("a part is larger than memory").because(error))?;
    let mut buffer = vec![0; length];
    content.read_exact(&mut buffer).map_err(|error| {
        let own = plan::error::inside(&error).map(plan::Error::class);
        let failed = Error::failed("failed to read the content from the repository");
        let failed = own.map_or_else(|| failed, |class| Error::new(class, "failed to read the content from the repository"));
        if error.kind() == io::ErrorKind::UnexpectedEof { failed.hint("It is shorter than its entry says.") } else { failed.because(error) }
    })?;
    Ok(Bytes::from(buffer))
}
