//! Tokens of a ServiceAccount for others than the API server (TokenRequest API, Kubernetes 1.20 and later).

use plan::Result;
use secrecy::SecretString;
use serde_json::json;

use super::client::Cluster;

/// How long a token is good: a restore may take hours, and keys for a role are asked for again and again. The server may give less.
const SECONDS: u64 = 12 * 3600;

impl Cluster {
    /// A token of a ServiceAccount of the namespace, for an audience.
    ///
    /// # Errors
    /// When this user may not ask for one (`create` of `serviceaccounts/token`), or there is no such account.
    pub fn token(&self, account: &str, audience: &str) -> Result<SecretString> {
        let path = format!("{}/token", self.path("v1", "serviceaccounts", Some(account)));
        let wanted = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": SECONDS},
        });
        let answer = self.ask(&path, &wanted)?;
        let token = answer["status"]["token"].as_str().filter(|token| !token.is_empty());
        token.map(SecretString::from).ok_or_else(|| plan::Error::failed(format!("the server gives no token of ServiceAccount {account}")))
    }
}
