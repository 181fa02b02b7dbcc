//! Requests that `object_store` has no operation for: signed by it, with its connections and keys. Their failures are its errors, so that they are understood in
//! one place (`request.rs`).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bucket::{Keys, Service};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use md5::Md5;
use object_store::aws::AwsAuthorizer;
use object_store::client::{CredentialProvider as _, HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::path::Path;
use object_store::{Error as StoreError, PutPayload};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// All but what a path may have as it is, as signatures want it.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Sends them.
#[derive(Debug)]
pub(super) struct Signed {
    http: HttpClient,
    base: String,
    region: String,
}

/// One request.
pub(super) struct Ask {
    pub(super) method: Method,
    /// Of an object; else of the bucket.
    pub(super) path: Option<Path>,
    /// `retention`: what of it.
    pub(super) part: Option<&'static str>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: PutPayload,
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What the service says is wrong (API reference, "Error responses").
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Said {
    code: String,
    message: String,
}

/// An answer that says no; its text is what `request.rs` looks at.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    said: Said,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said { code, message } = &self.said;
        write!(f, "status code: {}: {code}: {message}", self.status.as_u16())
    }
}

impl std::error::Error for Refused {}

impl Signed {
    /// # Errors
    /// When the client cannot be made from these settings.
    pub(super) fn new(service: &Service, options: &object_store::client::ClientOptions, base: String) -> plan::Result<Self> {
        let http = ReqwestConnector::default().connect(options).map_err(|error| service.unusable(error))?;
        Ok(Self { http, base, region: service.region.clone() })
    }

    /// Asks once.
    ///
    /// # Errors
    /// As those of `object_store`.
    pub(super) async fn send(&self, keys: &Keys, ask: &Ask) -> object_store::Result<Answer> {
        let credential = keys.get_credential().await?;
        let sha256 = digest::<Sha256>(&ask.body);
        let mut request = self.request(ask, &sha256)?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, Some(&sha256))?;
        let response = self.http.execute(request).await.map_err(generic)?;
        let (parts, body) = response.into_parts();
        let body = body.bytes().await;
        if parts.status.is_success() {
            return Ok(Answer { headers: parts.headers, body: body.map_err(generic)? });
        }
        Err(refused(ask, parts.status, &body.unwrap_or_default()))
    }

    /// What locks is taken with a digest only (API reference, PutObject and PutObjectRetention): both kinds, because older services know but the first.
    fn request(&self, ask: &Ask, sha256: &[u8]) -> object_store::Result<HttpRequest> {
        let path = ask.path.as_ref().map(|path| utf8_percent_encode(path.as_ref(), PATH).to_string());
        let part = ask.part.map(|part| format!("?{part}=")).unwrap_or_default();
        let slash = if path.is_some() { "/" } else { "" };
        let uri = format!("{}{slash}{}{part}", self.base, path.unwrap_or_default());
        let mut builder = http::request::Builder::new().method(ask.method.clone()).uri(uri);
        for (name, value) in &ask.headers {
            builder = builder.header(*name, value);
        }
        if ask.method == Method::PUT {
            builder = builder
                .header(header::CONTENT_LENGTH, ask.body.content_length())
                .header("content-md5", BASE64_STANDARD.encode(digest::<Md5>(&ask.body)))
                .header("x-amz-checksum-sha256", BASE64_STANDARD.encode(sha256));
        }
        builder.body(HttpRequestBody::from(ask.body.clone())).map_err(generic)
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Generic { store: "S3", source: Box::new(error) }
}

fn refused(ask: &Ask, status: StatusCode, body: &[u8]) -> StoreError {
    let said = std::str::from_utf8(body).ok().and_then(|text| quick_xml::de::from_str(text).ok()).unwrap_or_default();
    let source = Box::new(Refused { status, said });
    let path = ask.path.as_ref().map(ToString::to_string).unwrap_or_default();
    match status.as_u16() {
        401 | 403 => StoreError::PermissionDenied { path, source },
        404 => StoreError::NotFound { path, source },
        409 | 412 => StoreError::AlreadyExists { path, source },
        501 => StoreError::NotImplemented { operation: source.to_string(), implementer: "the S3 service".to_owned() },
        _ => StoreError::Generic { store: "S3", source },
    }
}

/// The digest of what lies in several pieces.
fn digest<D: Digest>(payload: &PutPayload) -> Vec<u8> {
    let mut digest = D::new();
    payload.iter().for_each(|piece| digest.update(piece));
    digest.finalize().to_vec()
}
