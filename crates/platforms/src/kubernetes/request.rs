//! Calls of the API as JSON, repeated while the API server is away, as far as that does no harm.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use plan::ports::StopFlag;
use serde_json::Value;

use super::client::Cluster;
use super::error::{ApiError, Rule, chain};
pub use super::log::LogOptions;

/// A call that has no answer after this long is given up. Streams are not calls.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause before a call is repeated; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Objects of one page of a list.
const PAGE: u32 = 250;

/// A call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub content_type: &'static str,
    pub body: Bytes,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether twice is as good as once.
    pub is_repeatable: bool,
}

impl Call {
    pub(super) fn new(method: Method, path: &str) -> Self {
        let is_repeatable = method != Method::POST;
        Self { method, path: path.to_owned(), content_type: "application/json", body: Bytes::new(), headers: Vec::new(), is_repeatable }
    }

    fn with(mut self, content_type: &'static str, body: &Value) -> Self {
        self.content_type = content_type;
        self.body = body.to_string().into();
        self
    }

    /// The permission that it needs, and what it does, for people.
    pub(super) fn meaning(&self) -> (String, Rule) {
        meaning(&self.method, self.path.split('?').next().unwrap_or_default())
    }

    fn is_secret(&self) -> bool {
        self.method != Method::GET && self.path.contains("/secrets")
    }

    pub(super) fn failed(&self, error: &kube::Error) -> ApiError {
        let (what, rule) = self.meaning();
        ApiError::failed(what, rule, error)
    }

    pub(super) fn unanswered(&self, text: impl Into<String>) -> ApiError {
        let (what, rule) = self.meaning();
        ApiError::unanswered(what, rule, text)
    }

    pub(super) fn answered(&self, status: u16, body: &[u8]) -> ApiError {
        let (what, rule) = self.meaning();
        ApiError::answered(what, rule, status, body, self.is_secret())
    }
}

impl Cluster {
    /// The path of a namespaced kind in this installation's namespace, or of one object of it. `api_version` as in manifests: `v1`, `apps/v1`.
    #[must_use]
    pub fn path(&self, api_version: &str, plural: &str, name: Option<&str>) -> String {
        path_in(self.namespace(), api_version, plural, name)
    }

    /// Gets an object.
    ///
    /// # Errors
    /// When the server does not give it.
    pub fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(Call::new(Method::GET, path))
    }

    /// Gets an object; `None` when there is none.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub fn get_if_there(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get(path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects under a path, page by page; with `selector`, those with these labels (`app=x,tier!=y`). A listing that changed under way is begun anew.
    ///
    /// # Errors
    /// When one page cannot be had: a failed listing is never a short one.
    pub fn list(&self, path: &str, selector: Option<&str>) -> Result<Vec<Value>, ApiError> {
        let (line, path, selector) = (self.line(), path.to_owned(), selector.map(str::to_owned));
        self.run(async move { line.list(&path, selector.as_deref()).await })
    }

    /// Changes the fields that are in `patch`; `null` removes one. With `metadata.resourceVersion` in it, only when the object is still at that version
    /// ([`ApiError::is_conflict`]).
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn merge_patch(&self, path: &str, patch: &Value) -> Result<Value, ApiError> {
        self.call(Call::new(Method::PATCH, path).with("application/merge-patch+json", patch))
    }

    /// Makes an object. Not repeated when it may have been made: a conflict then says so.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn post(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Call::new(Method::POST, path).with("application/json", object))
    }

    /// Replaces an object; with `metadata.resourceVersion` in it, only when it is still at that version.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn put(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        self.call(Call::new(Method::PUT, path).with("application/json", object))
    }

    /// Deletes an object, with `DeleteOptions` (`propagationPolicy`, `preconditions`). Repeated after a broken connection, it may say "not found" for what it
    /// did itself.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn delete(&self, path: &str, options: &Value) -> Result<Value, ApiError> {
        self.call(Call::new(Method::DELETE, path).with("application/json", options))
    }

    /// Server-side apply, as `manager`, forced.
    pub(super) fn apply_as(&self, path: &str, manager: &str, object: &Value, dry_run: bool) -> Result<Value, ApiError> {
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let path = format!("{path}?fieldManager={manager}&force=true{dry_run}");
        // JSON is YAML.
        self.call(Call::new(Method::PATCH, &path).with("application/apply-patch+yaml", object))
    }

    /// A call that makes nothing although it is a POST: reviews.
    pub(super) fn ask(&self, path: &str, question: &Value) -> Result<Value, ApiError> {
        let mut call = Call::new(Method::POST, path).with("application/json", question);
        call.is_repeatable = true;
        self.call(call)
    }

    pub(super) fn call(&self, call: Call) -> Result<Value, ApiError> {
        let line = self.line();
        self.run(async move { line.call(&call).await })
    }
}

/// The way to the API server, for what runs in the cluster's own runtime.
#[derive(Clone)]
pub(super) struct Line {
    pub client: kube::Client,
    pub stop: StopFlag,
    /// For how long a call is repeated.
    pub patience: Duration,
}

impl Line {
    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(&Call::new(Method::GET, path)).await
    }

    /// As [`Cluster::list`].
    pub(super) async fn list(&self, path: &str, selector: Option<&str>) -> Result<Vec<Value>, ApiError> {
        let mut begun_anew = 0;
        'anew: loop {
            let (mut items, mut token) = (Vec::new(), String::new());
            loop {
                let mut page = match self.get(&page_path(path, selector, &token)).await {
                    // The server no longer has the version that the first page was of.
                    Err(error) if error.status() == Some(410) && begun_anew < 3 => {
                        begun_anew += 1;
                        continue 'anew;
                    }
                    page => page?,
                };
                let (kind, version) = (list_kind(&page), page["apiVersion"].clone());
                let Value::Array(found) = page["items"].take() else {
                    return Err(Call::new(Method::GET, path).unanswered("the answer is not a list"));
                };
                items.extend(found.into_iter().map(|item| complete(item, &kind, &version)));
                token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                if token.is_empty() {
                    return Ok(items);
                }
            }
        }
    }

    pub(super) async fn call(&self, call: &Call) -> Result<Value, ApiError> {
        let began = Instant::now();
        loop {
            let response = self.send_within(call, self.patience.saturating_sub(began.elapsed())).await?;
            let error = match tokio::time::timeout(ANSWER_TIMEOUT, response.into_body().collect()).await {
                Ok(Ok(body)) => match serde_json::from_slice(&body.to_bytes()) {
                    Ok(value) => return Ok(value),
                    Err(_) => call.unanswered("the answer is not JSON"),
                },
                Ok(Err(error)) => call.unanswered(chain(&error)),
                Err(_) => call.unanswered(format!("half an answer after {} seconds", ANSWER_TIMEOUT.as_secs())),
            };
            if !error.may_repeat(call.is_repeatable) || began.elapsed() >= self.patience {
                return Err(error);
            }
            self.pause(call, PAUSE_MIN).await?;
        }
    }

    /// Sends a call until it is answered with success, for as long as patience lasts and only as far as repeating does no harm.
    pub(super) async fn send(&self, call: &Call) -> Result<http::Response<Body>, ApiError> {
        self.send_within(call, self.patience).await
    }

    async fn send_within(&self, call: &Call, patience: Duration) -> Result<http::Response<Body>, ApiError> {
        let (began, mut pause) = (Instant::now(), PAUSE_MIN);
        loop {
            let error = match send_once(&self.client, call).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !error.may_repeat(call.is_repeatable) || began.elapsed() + pause > patience {
                return Err(error);
            }
            ::log::debug!("{error}; again in {} ms", pause.as_millis());
            self.pause(call, pause).await?;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Waits, but not for longer than the operator wants.
    async fn pause(&self, call: &Call, pause: Duration) -> Result<(), ApiError> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.stop.is_raised() {
                let (what, rule) = call.meaning();
                return Err(ApiError::interrupted(what, rule));
            }
            tokio::time::sleep(PAUSE_MIN.min(pause)).await;
        }
        Ok(())
    }
}

fn page_path(path: &str, selector: Option<&str>, token: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &PAGE.to_string());
    if let Some(selector) = selector {
        query.append_pair("labelSelector", selector);
    }
    if !token.is_empty() {
        query.append_pair("continue", token);
    }
    format!("{path}?{}", query.finish())
}

async fn send_once(client: &kube::Client, call: &Call) -> Result<http::Response<Body>, ApiError> {
    let mut request = http::Request::builder()
        .method(call.method.clone())
        .uri(&call.path)
        .header(http::header::CONTENT_TYPE, call.content_type)
        .header(http::header::ACCEPT, "application/json, */*")
        .body(Body::from(call.body.to_vec()))
        .map_err(|error| call.unanswered(error.to_string()))?;
    request.headers_mut().extend(call.headers.iter().cloned());
    let late = || call.unanswered(format!("nothing came within {} seconds", ANSWER_TIMEOUT.as_secs()));
    let response =
        tokio::time::timeout(ANSWER_TIMEOUT, client.send(request)).await.map_err(|_| late())?.map_err(|error| call.failed(&error))?;
    if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    Err(refusal(call, response).await)
}

/// Reads why not.
async fn refusal(call: &Call, response: http::Response<Body>) -> ApiError {
    let status = response.status().as_u16();
    let body = tokio::time::timeout(ANSWER_TIMEOUT, response.into_body().collect()).await;
    let body = body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    call.answered(status, &body)
}

/// As [`Cluster::path`], in another namespace.
pub(super) fn path_in(namespace: &str, api_version: &str, plural: &str, name: Option<&str>) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let name = name.map(|name| format!("/{name}")).unwrap_or_default();
    format!("/{root}/{api_version}/namespaces/{namespace}/{plural}{name}")
}

/// What a call does, in the words of RBAC.
fn meaning(method: &Method, path: &str) -> (String, Rule) {
    let mut parts = path.trim_matches('/').split('/');
    let group = match parts.next() {
        Some("apis") => parts.next().unwrap_or_default(),
        _ => "",
    };
    parts.next();
    let rest: Vec<_> = parts.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (plural, name, part) =
        (rest.first().copied().unwrap_or(path), rest.get(1).copied(), rest.get(2).map(|part| format!("/{part}")).unwrap_or_default());
    let verb = match method.as_str() {
        "GET" if name.is_none() => "list",
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        _ => "delete",
    };
    let resource = format!("{plural}{part}");
    let mut what = format!("{verb} {resource}");
    if !group.is_empty() {
        what = format!("{what}.{group}");
    }
    if let Some(name) = name {
        what = format!("{what} {name}");
    }
    if let Some(namespace) = &namespace {
        what = format!("{what} in namespace {namespace}");
    }
    (what, Rule { verb: verb.to_owned(), group: group.to_owned(), resource, namespace })
}

fn list_kind(list: &Value) -> Value {
    list["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).map_or(Value::Null, |kind| Value::String(kind.to_owned()))
}

/// The objects of a list lack what the list says once.
fn complete(mut item: Value, kind: &Value, version: &Value) -> Value {
    if let Value::Object(fields) = &mut item {
        if !kind.is_null() {
            fields.entry("kind").or_insert_with(|| kind.clone());
        }
        fields.entry("apiVersion").or_insert_with(|| version.clone());
    }
    item
}

#[cfg(test)]
mod tests;
