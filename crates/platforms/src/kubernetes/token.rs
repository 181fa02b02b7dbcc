//! Tokens of a ServiceAccount for others than the API server (TokenRequest API, Kubernetes 1.20 and later).

use std::time::Duration;

use plan::Result;
use secrecy::SecretString;
use serde_json::json;

use super::client::Cluster;

/// How long a token is good: a restore may take hours, and keys for a role are asked for again and again. The server may give less.
const SECONDS: u64 = 12 * 3600;

/// A token of a ServiceAccount. `Debug` does not show it.
#[derive(Debug)]
pub struct AccountToken {
    /// The token.
    pub token: SecretString,
    /// How long it is good from when it was asked for.
    pub life: Duration,
}

impl Cluster {
    /// A token of a ServiceAccount of the namespace, for an audience.
    ///
    /// # Errors
    /// When this user may not ask for one (`create` of `serviceaccounts/token`), or there is no such account.
    pub fn token(&self, account: &str, audience: &str) -> Result<AccountToken> {
        let path = format!("{}/token", self.path("v1", "serviceaccounts", Some(account)));
        let wanted = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": SECONDS},
        });
        let answer = self.ask(&path, &wanted)?;
        let token = answer["status"]["token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| plan::Error::failed(format!("the server gives no token of ServiceAccount {account}")))?;
        // Told with the clock of nobody: how long, not until when.
        let life = Duration::from_secs(answer["spec"]["expirationSeconds"].as_u64().unwrap_or(SECONDS));
        Ok(AccountToken { token: token.into(), life })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use crate::kubernetes::scripted::{Reply, cluster};

    #[test]
    fn a_token_is_asked_for_an_account_and_an_audience() {
        let cluster = cluster(|method, path, body| {
            let is_it = method == "POST" && path.starts_with("/api/v1/namespaces/n/serviceaccounts/amp/token");
            if is_it && body.contains(r#""audiences":["sts.example.com"]"#) {
                return Reply::Json(201, json!({"spec": {"expirationSeconds": 3600}, "status": {"token": "a.b.c"}}));
            }
            Reply::Json(403, json!({"reason": "Forbidden", "message": "not this"}))
        });
        let given = cluster.token("amp", "sts.example.com").unwrap();
        assert_eq!(
            (given.token.expose_secret(), given.life),
            ("a.b.c", Duration::from_secs(3600)),
            "the server gives less than it was asked for"
        );
        let error = cluster.token("default", "sts.example.com").unwrap_err();
        assert!(error.class() == plan::Class::Refused && error.hints().join(" ").contains("serviceaccounts/token"), "{error:?}");
    }
}
