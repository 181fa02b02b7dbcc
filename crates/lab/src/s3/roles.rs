//! A role that is given for a token, with keys that end (STS API reference, "AssumeRoleWithWebIdentity"), at the same address as the buckets.

use jiff::{SignedDuration, Timestamp};

use super::answer::error;
use super::http::{Request, Response};

/// See the module.
#[derive(Default)]
pub(super) struct Roles {
    /// The role, for which token it is given, and how long its keys are good.
    pub(super) role: Option<(String, String, SignedDuration)>,
    given: Vec<Given>,
}

/// Keys that were given.
struct Given {
    id: String,
    secret: String,
    session: String,
    until: Timestamp,
}

/// Whether a request is for keys.
pub(super) fn is_for_keys(request: &Request) -> bool {
    request.method == "POST" && request.path() == "/" && request.query("Action").is_some()
}

impl Roles {
    /// How many keys were given.
    pub(super) fn given(&self) -> usize {
        self.given.len()
    }

    /// Ends all keys that were given.
    pub(super) fn end(&mut self) {
        self.given.iter_mut().for_each(|given| given.until = Timestamp::MIN);
    }

    /// The secret key of a request's id.
    ///
    /// # Errors
    /// Status and code of S3's answer.
    pub(super) fn secret(&self, id: &str, request: &Request) -> Result<&str, (u16, &'static str)> {
        let given = self.given.iter().find(|given| given.id == id).ok_or((403, "InvalidAccessKeyId"))?;
        if request.header("x-amz-security-token") != Some(given.session.as_str()) {
            return Err((403, "InvalidToken"));
        }
        if given.until < Timestamp::now() { Err((400, "ExpiredToken")) } else { Ok(&given.secret) }
    }

    /// Gives keys.
    pub(super) fn answer(&mut self, request: &Request) -> Response {
        let asked = |name: &str| request.query(name).unwrap_or_default();
        let Some((role, token, life)) = &self.role else { return error(403, "AccessDenied") };
        if asked("Action") != "AssumeRoleWithWebIdentity" || asked("RoleArn") != *role {
            return error(403, "AccessDenied");
        }
        if asked("WebIdentityToken") != *token {
            return error(400, "InvalidIdentityToken");
        }
        let (number, until) = (self.given.len(), Timestamp::now() + *life);
        let given =
            Given { id: format!("ASIALAB{number}"), secret: format!("role-secret-{number}"), session: format!("session-{number}"), until };
        let body = format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId>\
             <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{until}</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            given.id, given.secret, given.session
        );
        self.given.push(given);
        Response {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/xml".to_owned())],
            body: body.into_bytes(),
            ..Response::default()
        }
    }
}
