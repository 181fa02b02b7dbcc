//! By what the service knows who asks: keys, or what a cluster gives a pod.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use secrecy::ExposeSecret as _;

use crate::location::Credentials;

/// The variables of Amazon's own clients, as its SDK reference names them: "Assume role credential provider" and "Container credential provider". Which are there
/// decides the way; each has a companion.
const WAYS: [[(&str, AmazonS3ConfigKey); 2]; 2] = [
    [("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn), ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile)],
    [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
    ],
];
const OPTIONAL: [(&str, AmazonS3ConfigKey); 2] =
    [("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName), ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint)];

/// Adds the credentials to the client that is being built.
///
/// # Errors
/// [`plan::Class::Refused`] for a workload identity that the environment does not have.
pub(super) fn add(builder: AmazonS3Builder, credentials: &Credentials) -> plan::Result<AmazonS3Builder> {
    let variables = match credentials {
        Credentials::Keys { id, secret } => {
            return Ok(builder.with_access_key_id(id.expose_secret()).with_secret_access_key(secret.expose_secret()));
        }
        Credentials::WorkloadIdentity(variables) => variables,
    };
    let value = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let Some(way) = WAYS.iter().find(|way| way.iter().all(|(name, _)| value(name).is_some())) else {
        let found: Vec<_> = WAYS.iter().flatten().map(|(name, _)| *name).filter(|name| value(name).is_some()).collect();
        let found = if found.is_empty() { "none of them is there".to_owned() } else { format!("there is only {}", found.join(" and ")) };
        return Err(plan::Error::refused(format!(
            "[repository.s3] credentials = \"workload-identity\", but the environment names no role: {found}"
        ))
        .hint("A cluster gives a pod AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, when its service account has a role: see its annotations.")
        .hint("Elsewhere set access-key-id and secret-access-key in [repository.s3]."));
    };
    let given = way.iter().chain(&OPTIONAL).filter_map(|(name, key)| Some((*key, value(name)?)));
    Ok(given.fold(builder, |builder, (key, value)| builder.with_config(key, value)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_workload_identity_is_whole_or_refused() {
        let with = |given: &[&str]| {
            let variables = given.iter().map(|name| ((*name).to_owned(), format!("value-of-{name}"))).collect();
            add(AmazonS3Builder::new(), &Credentials::WorkloadIdentity(variables))
        };
        for [(one, key), (two, _)] in WAYS {
            let has = |builder: AmazonS3Builder| builder.get_config_value(&key);
            assert_eq!(with(&[one, two]).map(has).ok().flatten(), Some(format!("value-of-{one}")));
            for half in [one, two] {
                let error = with(&[half]).map(drop).unwrap_err();
                assert!(error.to_string().ends_with(&format!("there is only {half}")), "{error}");
            }
        }
        assert!(with(&[]).is_err());
    }
}
