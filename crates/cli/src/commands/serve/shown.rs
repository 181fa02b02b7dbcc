//! What is shown until the next look ends, and where.

use std::sync::{Arc, Mutex, PoisonError};

use super::request::{Method, Refusal, Request};
use crate::output::html;

/// The text format that everything reads.
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What Prometheus asks for first.
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// What is said to one request.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: Arc<str>,
    pub(super) has_body: bool,
}

impl Answer {
    pub(super) fn text(status: &'static str, body: &str) -> Self {
        Self { status, content_type: TEXT, body: Arc::from(format!("{body}\n")), has_body: true }
    }

    pub(super) fn of_refusal(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Broken => Self::text("400 Bad Request", "this is no request of HTTP/1"),
            Refusal::TooLong => Self::text("431 Request Header Fields Too Large", "the head of the request is too long"),
            Refusal::TooSlow => Self::text("408 Request Timeout", "the request did not come in time"),
        }
    }
}

/// A body, and whether it is what was asked for.
#[derive(Clone)]
struct Body {
    is_good: bool,
    text: Arc<str>,
}

struct Bodies {
    metrics: Arc<str>,
    page: Body,
    status: Body,
}

/// See the module.
pub(super) struct Shown(Mutex<Bodies>);

impl Shown {
    /// Before the first look has ended.
    pub(super) fn nothing_yet() -> Self {
        let why = "the first look has not ended yet";
        let status = format!("{{\"error\":\"{why}\"}}\n");
        let page = Body { is_good: false, text: Arc::from(short_page(why)) };
        Self(Mutex::new(Bodies { metrics: Arc::from(""), page, status: Body { is_good: false, text: Arc::from(status) } }))
    }

    pub(super) fn metrics(&self, text: String) {
        self.change(|bodies| bodies.metrics = Arc::from(text));
    }

    pub(super) fn page(&self, is_good: bool, text: String) {
        self.change(|bodies| bodies.page = Body { is_good, text: Arc::from(text) });
    }

    /// No look has succeeded.
    pub(super) fn failed_page(&self, why: &str) {
        self.page(false, short_page(&format!("the look failed: {why}")));
    }

    pub(super) fn status(&self, is_good: bool, text: String) {
        self.change(|bodies| bodies.status = Body { is_good, text: Arc::from(text) });
    }

    fn change(&self, change: impl FnOnce(&mut Bodies)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is said to a request.
    pub(super) fn answer(&self, request: &Request) -> Answer {
        let answer = match (request.method, request.path.as_str()) {
            (Method::Other, _) => Answer::text("405 Method Not Allowed", "only GET and HEAD are taken"),
            (_, "/metrics") => self.metrics_as(request.wants_open_metrics),
            (_, "/") => self.body(PAGE, |bodies| bodies.page.clone()),
            (_, "/status.json") => self.body(JSON, |bodies| bodies.status.clone()),
            (_, "/healthz") => Answer::text("200 OK", "alive"),
            _ => Answer::text("404 Not Found", "there are /, /metrics, /status.json and /healthz"),
        };
        Answer { has_body: request.method != Method::Head, ..answer }
    }

    fn metrics_as(&self, open: bool) -> Answer {
        let bodies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (content_type, body) =
            if open { (OPEN, Arc::from(format!("{}# EOF\n", bodies.metrics))) } else { (PLAIN, Arc::clone(&bodies.metrics)) };
        Answer { status: "200 OK", content_type, body, has_body: true }
    }

    fn body(&self, content_type: &'static str, of: impl FnOnce(&Bodies) -> Body) -> Answer {
        let body = of(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let status = if body.is_good { "200 OK" } else { "503 Service Unavailable" };
        Answer { status, content_type, body: body.text, has_body: true }
    }
}

fn short_page(why: &str) -> String {
    html::page("Backups", &format!("<h1>Backups</h1>\n<p class=\"bad\">There is nothing to show: {}.</p>\n", html::escaped(why)))
}
