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
        } else if tls::is_untrusted(error) || text.contains("certificate") {
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
            Kind::Answered { status: 403, message, .. } if is_of_admission(message) => write!(f, "the API server refuses to {what}"),
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
        403 if is_of_admission(message) => {
            said(Error::refused(what)).hint(admission(message, error.0.rule.namespace.as_deref().unwrap_or("NAMESPACE")))
        }
        403 => {
            let place = error.0.rule.namespace.as_ref().map_or("a ClusterRole".to_owned(), |name| format!("a Role in namespace {name}"));
            said(Error::refused(what)).hint(format!("Add to {place}, and bind it to this user: {}", error.0.rule))
        }
        // Pods are found before they are used, and come and go.
        404 if error.0.rule.resource.starts_with("pods") => {
            said(Error::transient(what)).hint("The pod went away meanwhile: the same call takes the one that has come in its place.")
        }
        409 | 429 | 500..=599 => said(Error::transient(what)),
        _ => said(Error::failed(what)),
    }
}

/// Whether a 403 is not about this user's permissions: those say who cannot do what, or have no words at all.
fn is_of_admission(message: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "exceeded quota",
        "must specify",
        "violates PodSecurity",
        "security context constraint",
        "admission webhook",
        "denied the request",
        "because it is being terminated",
        "usage per",
    ];
    !message.contains(" cannot ") && SIGNS.iter().any(|sign| message.contains(sign))
}

/// What refuses, and where to look.
fn admission(message: &str, namespace: &str) -> String {
    let has = |sign: &str| message.contains(sign);
    if has("exceeded quota") || has("must specify") {
        format!(
            "No permission is missing: a ResourceQuota of namespace {namespace} is in the way. Raise it, or free some of it: kubectl -n {namespace} describe resourcequota"
        )
    } else if has("usage per") {
        format!("No permission is missing: a LimitRange of namespace {namespace} is in the way: kubectl -n {namespace} describe limitrange")
    } else if has("violates PodSecurity") {
        format!(
            "No permission is missing: the pod security level of namespace {namespace} is in the way: kubectl get namespace {namespace} --show-labels"
        )
    } else if has("security context constraint") {
        format!(
            "No permission on the object is missing: no security context constraint lets the pod in that is made as System's own are: oc -n {namespace} get pods -o yaml shows which those have"
        )
    } else if has("being terminated") {
        format!("Namespace {namespace} is being deleted: kubectl get namespace {namespace} -o yaml says what it waits for")
    } else {
        "No permission is missing: an admission webhook refuses it. Ask who runs it: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations".to_owned()
    }
}

/// All messages of a chain of errors, each once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    in_our_words(&tls::causes(error))
}

/// What libraries say that helps nobody at night.
fn in_our_words(text: &str) -> String {
    const CLOSED: &str = "the connection was closed under way";
    let is_cut = ["close_notify", "Connection reset without closing handshake", "unexpected EOF", "UnexpectedEof"]
        .iter()
        .any(|words| text.contains(words));
    if is_cut { CLOSED.to_owned() } else { text.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Error {
        let rule = Rule { verb: "create".to_owned(), group: String::new(), resource: "pods".to_owned(), namespace: Some("n".to_owned()) };
        let body = serde_json::json!({"reason": "Forbidden", "message": message}).to_string();
        ApiError::answered("create pods in namespace n".to_owned(), rule, 403, body.as_bytes(), false).into()
    }

    #[test]
    fn a_pod_that_went_away_is_no_failure_for_good_and_another_object_is() {
        let found = |resource: &str| -> Error {
            let rule =
                Rule { verb: "get".to_owned(), group: String::new(), resource: resource.to_owned(), namespace: Some("n".to_owned()) };
            let body = serde_json::json!({"reason": "NotFound", "message": format!("{resource} \"x\" not found")}).to_string();
            ApiError::answered(format!("get {resource} x"), rule, 404, body.as_bytes(), false).into()
        };
        assert_eq!(found("pods").class(), plan::Class::Transient);
        assert_eq!(found("pods/exec").class(), plan::Class::Transient);
        assert_eq!(found("secrets").class(), plan::Class::Failed);
    }

    #[test]
    fn what_admission_refuses_is_not_told_as_a_missing_permission() {
        for (message, way_out) in [
            ("pods \"p\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9", "describe resourcequota"),
            ("pods \"p\" is forbidden: failed quota: q: must specify limits.cpu", "describe resourcequota"),
            ("pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false", "--show-labels"),
            (
                "pods \"p\" is forbidden: unable to validate against any security context constraint: [provider restricted]",
                "security context constraint",
            ),
            ("admission webhook \"w.example\" denied the request: no", "admission webhook"),
            ("pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2", "describe limitrange"),
            ("pods \"p\" is forbidden: unable to create new content in namespace n because it is being terminated", "being deleted"),
        ] {
            let error = refused(message);
            assert_eq!(
                (error.class(), error.chain().as_str()),
                (plan::Class::Refused, "the API server refuses to create pods in namespace n"),
                "{message}"
            );
            assert!(error.hints().iter().any(|hint| hint.contains(way_out)), "{message}: {error:?}");
            assert!(!error.hints().iter().any(|hint| hint.contains("Add to a Role")), "{message}");
        }
        let rbac = refused("pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\" in the namespace \"n\"");
        assert_eq!(rbac.chain(), "not allowed to create pods in namespace n");
        assert!(rbac.hints().iter().any(|hint| hint.contains("Add to a Role in namespace n")), "{rbac:?}");
    }

    #[test]
    fn words_of_libraries_that_lead_to_their_manuals_are_ours() {
        let error =
            std::io::Error::other("peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual");
        assert_eq!(chain(&error), "the connection was closed under way");
    }
}
