//! Requests to the bucket, blocking, from any number of threads: signed, tried again while that may help, and given up when the work is asked to stop.
//!
//! `object_store` signs them and has the keys; its own operations are not used, because they refuse keys with empty segments, which S3 allows.

mod fault;
mod xml;

pub(crate) mod copy;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod put;
pub(crate) mod settings;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::Keys;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::request::Builder;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use plan::ports::StopFlag;
use plan::{Error, Result};
use tokio::runtime::Runtime;

pub(crate) use fault::Fault;

use crate::address::Bucket;

/// All but what a URL may have as it is, as signatures want it.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(100);
/// After a signal: so long may a request still take.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// So long may it take until an answer begins: a copy of 5 GiB inside the service takes its time.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// See the module.
pub(crate) struct Client {
    http: HttpClient,
    keys: Arc<Keys>,
    base: String,
    pub(crate) bucket: Bucket,
    runtime: Runtime,
}

/// One request.
pub(crate) struct Ask<'a> {
    method: Method,
    /// Empty: of the bucket itself.
    key: &'a str,
    query: Vec<(&'a str, String)>,
    headers: Vec<(&'a str, HeaderValue)>,
    body: Bytes,
    /// The right that it needs, as policies name it.
    right: &'static str,
}

impl<'a> Ask<'a> {
    fn new(method: Method, key: &'a str, right: &'static str) -> Self {
        Self { method, key, query: Vec::new(), headers: Vec::new(), body: Bytes::new(), right }
    }

    fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &'a str, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A key as it stands in a URL.
pub(crate) fn encoded(key: &str) -> String {
    utf8_percent_encode(key, PATH).to_string()
}

impl Client {
    pub(crate) fn new(bucket: &Bucket) -> Result<Self> {
        let (http, keys) = bucket.connect()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("bucket").enable_all().build();
        let runtime = runtime.map_err(|error| Error::failed("failed to start the threads of the S3 client").because(error))?;
        Ok(Self { http, keys, base: bucket.service.base(&bucket.name)?, bucket: bucket.clone(), runtime })
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        self.bucket.shown()
    }

    /// An answer, read to its end. Only for answers that are small, or bounded by the caller.
    pub(crate) fn ask(&self, stop: &StopFlag, ask: &Ask<'_>) -> Result<Answer, Fault> {
        self.patiently(stop, || async {
            let response = self.send(ask).await?;
            let (parts, body) = response.into_parts();
            Ok(Answer { headers: parts.headers, body: self.collected(ask, body).await? })
        })
    }

    /// An answer whose body comes as a stream; what breaks later is the reader's to mend.
    fn open(&self, stop: &StopFlag, ask: &Ask<'_>) -> Result<HttpResponse, Fault> {
        self.patiently(stop, || self.send(ask))
    }

    fn patiently<T, F: Future<Output = Result<T, Fault>>>(&self, stop: &StopFlag, mut request: impl FnMut() -> F) -> Result<T, Fault> {
        let (begun, mut pause, mut is_renewed) = (Instant::now(), FIRST_PAUSE, false);
        self.runtime.block_on(async {
            loop {
                let generation = self.keys.generation();
                let fault = match unless_stopped(stop, request()).await? {
                    Ok(answer) => return Ok(answer),
                    Err(fault) => fault,
                };
                if !is_renewed && fault.is_of_expired_keys() && self.keys.renew(generation) {
                    is_renewed = true;
                    continue;
                }
                let wait = fault.pause(pause);
                if !fault.may_pass() || begun.elapsed() + wait > self.bucket.retry {
                    return Err(fault);
                }
                unless_stopped(stop, tokio::time::sleep(wait)).await?;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        })
    }

    async fn send(&self, ask: &Ask<'_>) -> Result<HttpResponse, Fault> {
        let credential = self.keys.get().await.map_err(|error| Fault::lasting(error.during(format!("failed to use {}", self.shown()))))?;
        let mut request = self.request(ask)?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.bucket.service.region);
        let unsigned = |error| Fault::lasting(Error::failed(format!("failed to sign a request to {}", self.shown())).because(error));
        authorizer.try_authorize(&mut request, None).map_err(unsigned)?;
        let answered = tokio::time::timeout(ANSWER_MAX, self.http.execute(request)).await;
        let response = match answered {
            Ok(answered) => answered.map_err(|error| Fault::of_transport(&self.bucket, ask, &error))?,
            Err(_) => return Err(Fault::silent(&self.bucket, ask)),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = self.collected(ask, body).await.unwrap_or_default();
        Err(Fault::of_answer(&self.bucket, ask, parts.status, &body).with_pause(&parts.headers))
    }

    async fn collected(&self, ask: &Ask<'_>, body: HttpResponseBody) -> Result<Bytes, Fault> {
        body.bytes().await.map_err(|error| Fault::of_transport(&self.bucket, ask, &error))
    }

    fn request(&self, ask: &Ask<'_>) -> Result<HttpRequest, Fault> {
        let mut uri = format!("{}/{}", self.base, encoded(ask.key));
        for (position, (name, value)) in ask.query.iter().enumerate() {
            uri.push(if position == 0 { '?' } else { '&' });
            uri.push_str(&format!("{name}={}", utf8_percent_encode(value, QUERY)));
        }
        let begin = Builder::new().method(ask.method.clone()).uri(uri);
        let with_headers = ask.headers.iter().fold(begin, |request, (name, value)| request.header(*name, value.clone()));
        let made = with_headers.body(HttpRequestBody::from(ask.body.clone()));
        made.map_err(|error| Fault::lasting(Error::failed(format!("failed to ask {} for {:?}", self.shown(), ask.key)).because(error)))
    }

    /// An error inside of an answer that says 200: a copy and the end of an upload begin to answer before they are done.
    fn check_late(&self, ask: &Ask<'_>, answer: Answer) -> Result<Answer, Fault> {
        if xml::error(&answer.body).is_none() {
            return Ok(answer);
        }
        Err(Fault::of_answer(&self.bucket, ask, StatusCode::INTERNAL_SERVER_ERROR, &answer.body))
    }

    /// As [`Client::ask`], for requests that may say 200 and fail.
    fn ask_late(&self, stop: &StopFlag, ask: &Ask<'_>) -> Result<Answer, Fault> {
        self.patiently(stop, || async {
            let (parts, body) = self.send(ask).await?.into_parts();
            let body = self.collected(ask, body).await?;
            self.check_late(ask, Answer { headers: parts.headers, body })
        })
    }

    /// Removes an object; one that is not there is fine.
    pub(crate) fn delete(&self, stop: &StopFlag, key: &str) -> Result<()> {
        match self.ask(stop, &Ask::new(Method::DELETE, key, "s3:DeleteObject")) {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_missing() => Ok(()),
            Err(fault) => Err(fault.into_error()),
        }
    }
}

async fn unless_stopped<T>(stop: &StopFlag, work: impl Future<Output = T>) -> Result<T, Fault> {
    let stopped = async {
        while !stop.is_raised() {
            tokio::time::sleep(GLANCE).await;
        }
        tokio::time::sleep(STOP_GRACE).await;
    };
    match select(pin!(work), pin!(stopped)).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(Fault::lasting(Error::interrupted())),
    }
}

/// Dropping a runtime inside another one panics; let its threads end by themselves.
impl Drop for Client {
    fn drop(&mut self) {
        if let Ok(idle) = tokio::runtime::Builder::new_current_thread().build() {
            std::mem::replace(&mut self.runtime, idle).shutdown_background();
        }
    }
}
