//! Installations that the test cluster does not have: sentinels, TLS, buckets, lost labels, missing Secrets, an operator out of sight.

#![expect(clippy::unwrap_used, reason = "tests")]

use secrecy::ExposeSecret;
use serde_json::json;

use super::address::Reach;
use super::*;
use crate::kubernetes::scripted::{Reply, cluster};

fn secret(data: &[(&str, &str)]) -> Reply {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let data: serde_json::Map<_, _> = data.iter().map(|(key, value)| ((*key).to_owned(), json!(encode(value)))).collect();
    Reply::Json(200, json!({ "data": data }))
}

fn unusual(path: &str) -> Reply {
    let path = path.split('?').next().unwrap();
    match path.trim_start_matches("/api/v1/namespaces/n/") {
        "/apis/apps/v1/namespaces/n/deployments" => Reply::Json(
            200,
            json!({"kind": "DeploymentList", "items": [
                // Without its labels.
                {"metadata": {"name": "system-app"}, "spec": {"selector": {"matchLabels": {"deployment": "system-app"}}}},
                {"metadata": {"name": "somebody-elses"}, "spec": {}},
            ]}),
        ),
        "/apis/apps/v1/deployments" => Reply::Json(403, json!({"reason": "Forbidden"})),
        "/apis/apps.3scale.net/v1alpha1/namespaces/n/apimanagers" => Reply::Json(
            200,
            json!({"items": [{"metadata": {"name": "am"}, "spec": {"system": {"fileStorage":
                {"simpleStorageService": {"configurationSecretRef": {"name": "s3-auth"}, "sts": {"enabled": true, "audience": "sts.amazonaws.com"}}}}}}]}),
        ),
        "pods" => Reply::Json(200, json!({"items": []})),
        "secrets/system-database" => secret(&[
            ("URL", "postgresql://system:p%40ss@db.example.com/system?sslmode=require"),
            ("DATABASE_SSL_MODE", "verify-full"),
            ("DB_SSL_CA", "-----BEGIN"),
        ]),
        "secrets/backend-redis" => secret(&[
            ("REDIS_STORAGE_URL", "rediss://mymaster/2"),
            ("REDIS_STORAGE_SENTINEL_HOSTS", "redis://guard:x%40y@one:26380, two.b.svc"),
            ("REDIS_STORAGE_SENTINEL_PASSWORD", "not this one"),
            ("REDIS_QUEUES_SENTINEL_HOSTS", "three.b,four.example"),
            ("REDIS_QUEUES_SENTINEL_USERNAME", "guard-of-queues"),
            ("REDIS_QUEUES_SENTINEL_PASSWORD", "z"),
            ("REDIS_STORAGE_SENTINEL_ROLE", " "),
            ("REDIS_STORAGE_PASSWORD", "storage-password"),
            ("REDIS_SSL_CA", "ca"),
            ("REDIS_QUEUES_URL", "redis://queues.example.com"),
            ("REDIS_SSL_QUEUES_CA", "queues-ca"),
        ]),
        "secrets/s3-auth" => secret(&[
            ("AWS_BUCKET", "files"),
            ("AWS_PROTOCOL", "HTTP"),
            ("AWS_HOSTNAME", "s3.storage.svc:9000"),
            ("AWS_PATH_STYLE", "true"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/files"),
        ]),
        "secrets/system-redis" => secret(&[("URL", "hunter2")]),
        "/api/v1/namespaces/b/services/three" => Reply::Json(200, json!({"metadata": {"name": "three"}})),
        "secrets/zync" => Reply::Json(403, json!({"reason": "Forbidden"})),
        _ => Reply::Json(404, json!({"reason": "NotFound"})),
    }
}

#[test]
fn unusual_installations_are_understood_and_what_is_missing_is_named() {
    let found = cluster(|_, path, _| unusual(path)).find().unwrap();
    assert_eq!(found.era, Era::External);
    assert_eq!(found.workloads.iter().map(|workload| workload.element.as_str()).collect::<Vec<_>>(), ["app"]);
    assert_eq!(found.operator, None);
    assert!(found.problems.iter().any(|problem| problem.text.contains("may not look for it elsewhere")), "{:?}", found.problems);

    let database = found.system_database.unwrap();
    assert_eq!(database.kind, DatabaseKind::PostgreSql);
    assert_eq!(database.reach, Reach::External { host: "db.example.com".into(), port: 5432 });
    assert_eq!((database.password.unwrap().expose_secret(), database.tls_mode.as_deref()), ("p@ss", Some("verify-full")));
    assert_eq!(database.certificates.ca.unwrap().expose_secret(), "-----BEGIN");

    let redis = found.backend_redis.unwrap();
    assert_eq!((redis.storage.database, redis.storage.is_tls, redis.queues.database, redis.queues.is_tls), (2, true, 0, false));
    assert_eq!(redis.storage.password.unwrap().expose_secret(), "storage-password");
    assert_eq!(redis.queues.certificates.ca.unwrap().expose_secret(), "queues-ca");
    let sentinels = redis.storage.sentinels.unwrap();
    assert_eq!((sentinels.group.as_str(), sentinels.role.as_str()), ("mymaster", "master"));
    let service = |namespace: &str, name: &str, port| Reach::Service { namespace: namespace.into(), name: name.into(), port };
    assert_eq!(sentinels.reaches, [service("n", "one", 26380), service("b", "two", 26379)]);
    let login = |sentinels: &databases::Sentinels| {
        [&sentinels.user, &sentinels.password].map(|part| part.as_ref().unwrap().expose_secret().to_owned())
    };
    assert_eq!(login(&sentinels), ["guard", "x@y"]);
    let sentinels = redis.queues.sentinels.unwrap();
    assert_eq!(login(&sentinels), ["guard-of-queues", "z"]);
    // Two parts are a Service where there is one of that name.
    assert_eq!(sentinels.reaches, [service("b", "three", 26379), Reach::External { host: "four.example".into(), port: 26379 }]);

    let problem = found.system_redis.unwrap_err();
    assert!(problem.text.contains("key URL of Secret system-redis is not an address"), "{problem:?}");
    assert!(!format!("{problem:?}").contains("hunter2"));
    let problem = found.zync_database.unwrap_err();
    assert!(problem.way_out.unwrap().contains(r#"resources: ["secrets"], verbs: ["get"]"#));
    let FilesAt::Bucket(bucket) = found.system_storage.unwrap() else { panic!("not a bucket") };
    assert_eq!((bucket.secret.as_str(), bucket.bucket.as_str(), bucket.protocol.as_str()), ("s3-auth", "files", "http"));
    assert_eq!(bucket.service, Some(("s3.storage.svc:9000".into(), service("storage", "s3", 9000))));
    assert!(bucket.path_style && bucket.region.is_none());
    let BucketRight::Role { arn, audience, token_file } = bucket.right else { panic!("not a role") };
    assert_eq!(
        (arn.as_str(), audience.as_str(), token_file.as_str()),
        ("arn:aws:iam::1:role/files", "sts.amazonaws.com", "/var/run/secrets/openshift/serviceaccount/token")
    );
}

#[test]
fn a_namespace_without_3scale_is_refused() {
    let empty = cluster(|_, path, _| match path.split('?').next().unwrap() {
        "/apis/apps/v1/namespaces/n/deployments" | "/api/v1/namespaces/n/pods" => Reply::Json(200, json!({"items": []})),
        _ => Reply::Json(404, json!({"reason": "NotFound"})),
    });
    assert_eq!(empty.find().unwrap_err().class(), plan::Class::Refused);
}

#[test]
fn the_sentinels_of_system_are_asked_with_their_own_login() {
    let found = cluster(|_, path, _| match path.split('?').next().unwrap() {
        "/api/v1/namespaces/n/secrets/system-redis" => secret(&[
            ("URL", "redis://mymaster/1"),
            ("SENTINEL_HOSTS", "one:26379"),
            ("REDIS_SENTINEL_USERNAME", "guard"),
            ("REDIS_SENTINEL_PASSWORD", "of-sentinels"),
            ("REDIS_PASSWORD", "of-the-server"),
        ]),
        _ => unusual(path),
    })
    .find()
    .unwrap();
    let redis = found.system_redis.unwrap();
    let sentinels = redis.sentinels.unwrap();
    assert_eq!(sentinels.user.unwrap().expose_secret(), "guard");
    assert_eq!(sentinels.password.unwrap().expose_secret(), "of-sentinels");
    assert_eq!(redis.password.unwrap().expose_secret(), "of-the-server");
}
