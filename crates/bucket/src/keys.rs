//! Keys for requests: those that stay, or those of a role, which are renewed before they end, and made anew when the service says that they have ended.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use object_store::client::CredentialProvider;
use plan::{Error, Result};
use secrecy::ExposeSecret as _;

use crate::credentials::{Credentials, Token, TokenFile};
use crate::refusal::Refusal;
use crate::service::Service;

/// Codes of a service that gives keys (STS API reference, "AssumeRoleWithWebIdentity", and common errors) that will be the same at every other try.
const REFUSED: [&str; 6] =
    ["status code: 400", "status code: 401", "status code: 403", "InvalidIdentityToken", "IDPRejectedClaim", "ExpiredToken"];
/// Those that pass, though they are said with 400.
const PASSING: [&str; 2] = ["IDPCommunicationError", "Throttling"];

/// See the module.
pub struct Keys {
    service: Service,
    held: Mutex<Option<Held>>,
}

/// Who gives keys now.
#[derive(Clone)]
struct Held {
    provider: AwsCredentialProvider,
    /// The token for which it gives them, when that was asked for.
    token: Option<TokenFile>,
    generation: u64,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    pub(crate) fn new(service: &Service) -> Result<Self> {
        let keys = Self { service: service.clone(), held: Mutex::new(None) };
        if keys.tokens().is_none() {
            // What is wrong with the settings is said before the first request.
            keys.make(None, 0)?;
        }
        Ok(keys)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> Option<&Arc<dyn crate::credentials::Tokens>> {
        match &self.service.credentials {
            Credentials::Role { token: Token::Asked(tokens), .. } => Some(tokens),
            _ => None,
        }
    }

    /// Keys that are good now. Asked for on a runtime of tokio's.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when the role is not given for the token, or there is no token; [`plan::Class::Transient`] when nobody answers.
    pub async fn get(&self) -> Result<Arc<AwsCredential>> {
        let token = match self.tokens() {
            None => None,
            Some(tokens) => {
                let tokens = Arc::clone(tokens);
                let asked = tokio::task::spawn_blocking(move || tokens.file()).await;
                Some(asked.map_err(|error| Error::failed("failed to ask for a token").because(error))??)
            }
        };
        let held = self.current(token)?;
        held.provider.get_credential().await.map_err(|error| self.no_keys(error))
    }

    /// Who gives keys for this token.
    fn current(&self, token: Option<TokenFile>) -> Result<Held> {
        let known = self.lock().clone();
        let is_same = |held: &Held| match (&held.token, &token) {
            (Some(one), Some(other)) => one.is(other),
            (None, None) => true,
            _ => false,
        };
        match known {
            Some(held) if is_same(&held) => Ok(held),
            known => self.make(token, known.map_or(0, |held| held.generation + 1)),
        }
    }

    /// Which keys are given now: for [`Keys::renew`].
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lock().as_ref().map_or(0, |held| held.generation)
    }

    /// Throws the keys of a generation away, of which the service has said that they have ended. Whether there may be others now.
    #[must_use]
    pub fn renew(&self, generation: u64) -> bool {
        if matches!(self.service.credentials, Credentials::Keys { .. }) {
            return false;
        }
        let known = self.lock().clone();
        match known {
            Some(held) if held.generation == generation => self.make(held.token, generation + 1).is_ok(),
            _ => true,
        }
    }

    fn make(&self, token: Option<TokenFile>, generation: u64) -> Result<Held> {
        // The builder wants a bucket and asks it nothing.
        let builder = AmazonS3Builder::new().with_bucket_name("any").with_region(&self.service.region);
        let builder = builder.with_retry(RetryConfig { max_retries: 2, ..RetryConfig::default() });
        let builder = match &self.service.credentials {
            Credentials::Keys { id, secret } => builder
                .with_client_options(self.service.options()?)
                .with_access_key_id(id.expose_secret())
                .with_secret_access_key(secret.expose_secret()),
            Credentials::Role { arn, session, sts, token: given } => {
                let file = match (&token, given) {
                    (Some(token), _) => token.path(),
                    (None, Token::File(path)) => path,
                    (None, Token::Asked(_)) => return Err(Error::failed("there is no token for the role yet")),
                };
                let url = self.service.sts(sts.as_deref());
                let named = builder
                    .with_client_options(self.service.options_for_keys(&url, sts.is_some())?)
                    .with_config(AmazonS3ConfigKey::RoleArn, arn)
                    .with_config(AmazonS3ConfigKey::StsEndpoint, url)
                    .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, file.display().to_string());
                session.iter().fold(named, |builder, session| builder.with_config(AmazonS3ConfigKey::RoleSessionName, session))
            }
            Credentials::Agent { url, token_file } => builder
                .with_client_options(self.service.options_for_keys(url, false)?)
                .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, url)
                .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, token_file),
        };
        let store = builder.build().map_err(|error| self.service.unusable(error))?;
        let held = Held { provider: Arc::clone(store.credentials()), token, generation };
        *self.lock() = Some(held.clone());
        Ok(held)
    }

    fn no_keys(&self, error: object_store::Error) -> Error {
        let what = match &self.service.credentials {
            Credentials::Role { arn, .. } => format!("no keys for role {arn}"),
            Credentials::Agent { url, .. } => format!("no keys from {url}"),
            Credentials::Keys { .. } => "no keys".to_owned(),
        };
        let text = plan::error::causes(&error);
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&["Failed to read token file", "Failed to read EKS token file"]) {
            return Error::refused(what).because(error).hint(
                "The cluster mounts the token into the pods of a ServiceAccount that has the role: see the pod's volumes and the ServiceAccount's annotations.",
            );
        }
        if has(&REFUSED) && !has(&PASSING) {
            return Error::refused(what).because(error).hint(
                "The role is not given for this token: check the role's trust policy (audience and ServiceAccount), the annotations of the ServiceAccount, and whether the token is still valid.",
            );
        }
        match Refusal::of_connection(&error) {
            Some(refusal) => Error::refused(what).because(error).hint(refusal.hint(&self.service)),
            None => Error::transient(what).because(error),
        }
    }
}

/// For the clients of `object_store` itself: an error of ours is the source of theirs.
#[async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.get().await.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}
