//! What the API server answers when it does not do what it was asked, and what that means for a run.

use std::fmt;

use plan::Error;
use serde::Deserialize;

/// A permission, as it stands in a Role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// `get`, `list`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// `pods`, `pods/exec`.
    pub resource: String,
    /// The namespace; `None` for what belongs to the cluster.
    pub namespace: Option<String>,
}

impl Rule {
    /// No permission is needed.
    pub(super) fn none() -> Self {
        Self { verb: String::new(), group: String::new(), resource: String::new(), namespace: None }
    }
}

impl fmt::Display for Rule {
    /// The line of a Role.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "- {{apiGroups: [{:?}], resources: [{:?}], verbs: [{:?}]}}", self.group, self.resource, self.verb)
    }
}

/// A call that the API server did not do.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// What was asked: `get deployments.apps system-app in namespace threescale`.
    what: String,
    rule: Rule,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// It said so.
    Answered { status: u16, reason: String, message: String },
    /// It could not be reached, or did not answer; `is_certain`: the call was certainly not done.
    Unanswered { text: String, is_certain: bool },
    /// Its certificate is not trusted, or ours is not.
    Untrusted(String),
    /// The credentials could not be had.
    NoLogin(String),
    /// The operator wants to stop.
    Interrupted,
}

/// The part of a `Status` that is read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
}

impl ApiError {
    fn new(what: String, rule: Rule, kind: Kind) -> Self {
        Self(Box::new(Inner { what, rule, kind }))
    }

    /// From an answer. `is_secret`: the body that was sent is not to be repeated, and the server's words may quote it.
    pub(super) fn answered(what: String, rule: Rule, status: u16, body: &[u8], is_secret: bool) -> Self {
        let said: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
            // A proxy's page, or an exec that was refused before it began.
            message: String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default()).trim().to_owned(),
            ..Status::default()
        });
        let quotes = is_secret && !matches!(status, 401 | 403 | 404 | 409 | 429);
        let message = if quotes { "its words are not shown: they may quote the object".to_owned() } else { said.message };
        Self::new(what, rule, Kind::Answered { status, reason: said.reason, message })
    }

    /// From a failure of the client.
    pub(super) fn failed(what: String, rule: Rule, error: &kube::Error) -> Self {
        let text = chain(error);
        let kind = if matches!(error, kube::Error::Auth(_)) {
            Kind::NoLogin(text)
        } else if ["certificate", "UnknownIssuer", "CertificateRequired", "NotValidForName"].iter().any(|word| text.contains(word)) {
            Kind::Untrusted(text)
        } else {
            Kind::Unanswered { is_certain: is_connect(error), text }
        };
        Self::new(what, rule, kind)
    }

    /// No answer in time, or a connection that broke.
    pub(super) fn unanswered(what: String, rule: Rule, text: impl Into<String>) -> Self {
        Self::new(what, rule, Kind::Unanswered { text: text.into(), is_certain: false })
    }

    pub(super) fn interrupted(what: String, rule: Rule) -> Self {
        Self::new(what, rule, Kind::Interrupted)
    }

    /// The status of the answer, when there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if let Kind::Answered { status, .. } = &self.0.kind { Some(*status) } else { None }
    }

    /// There is no such object, or no such kind.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// The object was changed since it was read, or is there already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }

    /// This user may not do that.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    /// The permission that the call needs.
    #[must_use]
    pub fn rule(&self) -> &Rule {
        &self.0.rule
    }

    /// Whether the same call may be done again now: it may work later, and does no harm when it was done already. `is_repeatable`: twice is as good as once.
    pub(super) fn may_repeat(&self, is_repeatable: bool) -> bool {
        match &self.0.kind {
            Kind::Unanswered { is_certain, .. } => *is_certain || is_repeatable,
            Kind::Answered { status: 429, .. } => true,
            Kind::Answered { status: 500 | 502 | 503 | 504, .. } => is_repeatable,
            // An API server that just started does not know its roles yet.
            Kind::Answered { status: 403, message, .. } => message.contains("RBAC: ") && message.contains("not found"),
            Kind::Answered { .. } | Kind::Untrusted(_) | Kind::NoLogin(_) | Kind::Interrupted => false,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.0.what;
        match &self.0.kind {
            Kind::Answered { status: 401, .. } | Kind::NoLogin(_) => f.write_str("the API server does not accept the login"),
            Kind::Answered { status: 403, .. } => write!(f, "not allowed to {what}"),
            Kind::Answered { status, reason, .. } if reason.is_empty() => write!(f, "could not {what}: status {status}"),
            Kind::Answered { reason, .. } => write!(f, "could not {what}: {reason}"),
            Kind::Unanswered { .. } => write!(f, "could not {what}: no answer from the API server"),
            Kind::Untrusted(_) => f.write_str("the API server is not trusted"),
            Kind::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        let what = error.to_string();
        match &error.0.kind {
            Kind::Interrupted => Self::interrupted(),
            Kind::Unanswered { text, .. } => Self::transient(what).hint(format!("It said: {text}.")).hint(
                "Is the API server up, and can this machine reach it? `kubectl version` shows the same. Streams also break when a load balancer or proxy ends them.",
            ),
            Kind::Untrusted(text) => Self::refused(what)
                .hint(format!("It said: {text}."))
                .hint("Correct certificate-authority in the kubeconfig, or log in again."),
            Kind::NoLogin(text) => Self::refused(what).hint(format!("It said: {text}.")).hint("Log in again: `oc login`, or your provider's command."),
            Kind::Answered { status, message, .. } => answered(&error, what, *status, message),
        }
    }
}

fn answered(error: &ApiError, what: String, status: u16, message: &str) -> Error {
    let said = |error: Error| if message.is_empty() { error } else { error.hint(format!("The API server said: {}", message.trim())) };
    match status {
        401 => said(Error::refused(what)).hint("Log in again: `oc login`, or your provider's command."),
        403 => {
            let place = error.0.rule.namespace.as_ref().map_or("a ClusterRole".to_owned(), |name| format!("a Role in namespace {name}"));
            said(Error::refused(what)).hint(format!("Add to {place}, and bind it to this user: {}", error.0.rule))
        }
        409 | 429 | 500..=599 => said(Error::transient(what)),
        _ => said(Error::failed(what)),
    }
}

/// All messages of a chain of errors, each once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// Whether it failed before anything was sent.
fn is_connect(error: &kube::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return true;
        }
        if let Some(client) = cause.downcast_ref::<hyper_util::client::legacy::Error>()
            && client.is_connect()
        {
            return true;
        }
        next = cause.source();
    }
    false
}
