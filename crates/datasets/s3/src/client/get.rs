//! Objects as they are read: small ones whole, large ones as a stream that goes on where it broke off.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::fmt::rfc2822;
use object_store::client::HttpError;
use plan::ports::StopFlag;
use plan::{Error, Result};

use super::{Ask, Client, Fault, xml};
use crate::properties::Properties;

/// How often a stream is taken up again without a byte in between.
const TRIES: u32 = 5;

/// So long after a change nothing of the same second can come any more: times of objects are whole seconds.
const SETTLES_NS: i128 = 2_000_000_000;

/// What an answer's headers say of an object.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) e_tag: String,
    pub(crate) modified_ns: i128,
    /// Whether another may be put that nobody could tell from it by ETag, size and time: by the service's own clock, for which a change is just over.
    pub(crate) is_fresh: bool,
    pub(crate) properties: Properties,
}

impl Head {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let text = |name: HeaderName| headers.get(&name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let lacks = |name: &str| Error::failed(format!("an answer of the S3 service has no {name}"));
        let size = text(header::CONTENT_LENGTH).and_then(|text| text.parse().ok()).ok_or_else(|| lacks("Content-Length"))?;
        let e_tag = text(header::ETAG).ok_or_else(|| lacks("ETag"))?;
        let time = |name: HeaderName| Some(rfc2822::parse(&text(name)?.replace("GMT", "+0000")).ok()?.timestamp().as_nanosecond());
        let modified_ns = time(header::LAST_MODIFIED).ok_or_else(|| lacks("Last-Modified"))?;
        let is_fresh = time(header::DATE).is_none_or(|now_ns| now_ns < modified_ns + SETTLES_NS);
        Ok(Self { size, e_tag: xml::unquoted(&e_tag), modified_ns, is_fresh, properties: Properties::of_headers(headers) })
    }
}

/// What became of an object that a listing had.
pub(crate) enum Got<T> {
    /// It is as asked for.
    There(T),
    /// Another was put there since.
    Changed,
    /// It was removed since.
    Gone,
}

impl<T> Got<T> {
    fn of(result: Result<T, Fault>) -> Result<Self> {
        match result {
            Ok(there) => Ok(Self::There(there)),
            Err(fault) if fault.is_missing() => Ok(Self::Gone),
            Err(fault) if fault.is_changed() => Ok(Self::Changed),
            Err(fault) => Err(fault.into_error()),
        }
    }
}

fn get<'a>(key: &'a str, e_tag: Option<&str>) -> Ask<'a> {
    let ask = Ask::new(Method::GET, key, "s3:GetObject");
    match e_tag.and_then(|e_tag| HeaderValue::from_str(&format!("\"{e_tag}\"")).ok()) {
        Some(value) => ask.header("if-match", value),
        None => ask,
    }
}

impl Client {
    /// What an object is, without its content; `None` when there is none.
    pub(crate) fn head(&self, stop: &StopFlag, key: &str) -> Result<Option<Head>> {
        match Got::of(self.ask(stop, &Ask::new(Method::HEAD, key, "s3:GetObject")))? {
            Got::There(answer) => Head::of(&answer.headers).map(Some),
            Got::Changed | Got::Gone => Ok(None),
        }
    }

    /// A small object, whole; with `e_tag` only when it is that one.
    pub(crate) fn get(&self, stop: &StopFlag, key: &str, e_tag: Option<&str>) -> Result<Got<(Head, Bytes)>> {
        Ok(match Got::of(self.ask(stop, &get(key, e_tag)))? {
            Got::There(answer) => {
                let head = Head::of(&answer.headers)?;
                if head.size != answer.body.len() as u64 {
                    return Err(Error::transient(format!(
                        "{key:?} of {} has {} bytes, {} came",
                        self.shown(),
                        head.size,
                        answer.body.len()
                    )));
                }
                Got::There((head, answer.body))
            }
            Got::Changed => Got::Changed,
            Got::Gone => Got::Gone,
        })
    }

    /// An object as a stream; with `e_tag` only when it is that one.
    pub(crate) fn stream(self: &Arc<Self>, stop: &StopFlag, key: &str, e_tag: Option<&str>) -> Result<Got<(Head, Stream)>> {
        Ok(match Got::of(self.open(stop, &get(key, e_tag)))? {
            Got::There(response) => {
                let (parts, body) = response.into_parts();
                let head = Head::of(&parts.headers)?;
                let stream = Stream {
                    client: Arc::clone(self),
                    stop: stop.clone(),
                    key: key.to_owned(),
                    e_tag: head.e_tag.clone(),
                    size: head.size,
                    at: 0,
                    pieces: Some(body.bytes_stream()),
                    current: Bytes::new(),
                    tries: 0,
                };
                Got::There((head, stream))
            }
            Got::Changed => Got::Changed,
            Got::Gone => Got::Gone,
        })
    }
}

/// The content of one object: exactly its size, all of the same version, or an error.
pub(crate) struct Stream {
    client: Arc<Client>,
    stop: StopFlag,
    key: String,
    e_tag: String,
    size: u64,
    at: u64,
    pieces: Option<BoxStream<'static, Result<Bytes, HttpError>>>,
    current: Bytes,
    tries: u32,
}

impl Stream {
    /// Takes the stream up again where it broke off, if it is still the same object.
    fn again(&mut self, why: &str) -> Result<()> {
        self.stop.check()?;
        self.tries += 1;
        let broken = || {
            Error::transient(format!("{:?} of {} broke off after {} of {} bytes: {why}", self.key, self.client.shown(), self.at, self.size))
        };
        if self.tries > TRIES {
            return Err(broken());
        }
        let range = HeaderValue::from_str(&format!("bytes={}-", self.at)).map_err(|_| broken())?;
        match Got::of(self.client.open(&self.stop, &get(&self.key, Some(&self.e_tag)).header("range", range)))? {
            Got::There(response) => {
                self.pieces = Some(response.into_body().bytes_stream());
                Ok(())
            }
            Got::Changed | Got::Gone => Err(broken().hint("It was replaced or removed while it was read.")),
        }
    }

    fn next_piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            self.stop.check()?;
            let client = Arc::clone(&self.client);
            let piece = match &mut self.pieces {
                Some(pieces) => client.runtime.block_on(pieces.next()),
                None => None,
            };
            match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.tries = 0;
                    self.at += piece.len() as u64;
                    return Ok(Some(piece));
                }
                None if self.at == self.size => return Ok(None),
                None => self.again("it ended")?,
                Some(Err(error)) => self.again(&error.to_string())?,
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.next_piece().map_err(io::Error::other)? {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        let piece = self.current.split_to(count);
        if let Some(part) = buffer.get_mut(..count) {
            part.copy_from_slice(&piece);
        }
        Ok(count)
    }
}
