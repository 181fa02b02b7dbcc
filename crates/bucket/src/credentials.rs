//! By whose right a bucket is used: keys that stay, or a role whose keys end by themselves.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::{Error, Result};
use secrecy::SecretString;

/// See the module. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Keys that stay.
    Keys {
        /// Access key id.
        id: SecretString,
        /// Secret access key.
        secret: SecretString,
    },
    /// A role that is taken on with a token of the cluster (STS, `AssumeRoleWithWebIdentity`): IRSA, OpenShift with STS.
    Role {
        /// The role's name: `arn:…`.
        arn: String,
        /// The name of the session in the service's log; one of the client's own when absent.
        session: Option<String>,
        /// `https://…` of the service that gives the keys; Amazon's for the region when absent.
        sts: Option<String>,
        /// The token.
        token: Token,
    },
    /// An agent on the node that gives keys to its pods (EKS Pod Identity).
    Agent {
        /// The agent's URL.
        url: String,
        /// File with the token that it wants.
        token_file: String,
    },
}

/// A token for a role.
#[derive(Clone)]
pub enum Token {
    /// A file that the cluster keeps fresh; read anew whenever keys are asked for.
    File(PathBuf),
    /// One that is asked for, and asked for again before it ends.
    Asked(Arc<dyn Tokens>),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Asked(_) => f.write_str("Asked"),
        }
    }
}

/// Gives tokens.
pub trait Tokens: Send + Sync {
    /// A file with a token that is good for a while: the same file until then. May wait for the cluster.
    ///
    /// # Errors
    /// When there is no token to be had.
    fn file(&self) -> Result<TokenFile>;
}

/// A file with a token, which is there as long as this value.
#[derive(Clone)]
pub struct TokenFile {
    path: PathBuf,
    held: Arc<dyn Any + Send + Sync>,
}

impl TokenFile {
    /// A file, and what keeps it there.
    pub fn new(path: PathBuf, held: Arc<dyn Any + Send + Sync>) -> Self {
        Self { path, held }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.held, &other.held)
    }
}

const ROLE: [&str; 2] = ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"];
const AGENT: [&str; 2] = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];

impl Credentials {
    /// What the cluster gives this pod, by the variables that Amazon's own clients read (SDK reference, "Assume role credential provider" and "Container credential
    /// provider"). `header` is the section that wants it.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when neither way is whole.
    pub fn of_environment(variables: &BTreeMap<String, String>, header: &str) -> Result<Self> {
        let value = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
        let whole = |[one, two]: [&str; 2]| value(one).zip(value(two));
        if let Some((arn, file)) = whole(ROLE) {
            let (session, sts) = (value("AWS_ROLE_SESSION_NAME"), value("AWS_ENDPOINT_URL_STS"));
            return Ok(Self::Role { arn, session, sts, token: Token::File(file.into()) });
        }
        if let Some((url, token_file)) = whole(AGENT) {
            return Ok(Self::Agent { url, token_file });
        }
        let found: Vec<_> = ROLE.into_iter().chain(AGENT).filter(|name| value(name).is_some()).collect();
        let found = if found.is_empty() { "none of them is there".to_owned() } else { format!("there is only {}", found.join(" and ")) };
        let error = Error::refused(format!("{header} credentials = \"workload-identity\", but the environment names no role: {found}"));
        Err(error
            .hint(format!(
                "A cluster gives a pod {}, or {}, when its service account has a role: see its annotations.",
                ROLE.join(" and "),
                AGENT.join(" and ")
            ))
            .hint(format!("Elsewhere set access-key-id and secret-access-key in {header}.")))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_workload_identity_is_whole_or_refused() {
        let with = |given: &[&str]| {
            let variables = given.iter().map(|name| ((*name).to_owned(), format!("value-of-{name}"))).collect();
            Credentials::of_environment(&variables, "[repository.s3]")
        };
        assert!(matches!(with(&ROLE).unwrap(), Credentials::Role { arn, token: Token::File(file), .. }
            if arn == "value-of-AWS_ROLE_ARN" && file == Path::new("value-of-AWS_WEB_IDENTITY_TOKEN_FILE")));
        assert!(matches!(with(&AGENT).unwrap(), Credentials::Agent { url, .. } if url == "value-of-AWS_CONTAINER_CREDENTIALS_FULL_URI"));
        for half in ROLE.into_iter().chain(AGENT) {
            let error = with(&[half]).unwrap_err();
            assert!(error.to_string().ends_with(&format!("there is only {half}")), "{error}");
        }
        assert!(with(&[]).is_err() && with(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).is_err());
    }
}
