//! What the pods are made of, and what becomes of them when something fails.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use plan::Class;

use super::*;
use crate::kubernetes::scripted::{Reply, cluster};

const RUN: &str = "01jdrun0000000000000000001";

/// As an installation of 2.15 has it, with what must not get into a copy.
fn workloads() -> Vec<Value> {
    let of = |name: &str, labels: Value, spec: Value| {
        json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"deployment": name}},
        "template": {"metadata": {"labels": labels, "annotations": {"sidecar.istio.io/inject": "false", "redisConfigMapResourceVersion": "7"}}, "spec": spec}}})
    };
    let secret = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "system-database", "key": "DB_PASSWORD"}}});
    let claim = json!({"name": "mysql-storage", "persistentVolumeClaim": {"claimName": "mysql-storage"}});
    let mysql = json!({"nodeSelector": {"disk": "ssd"}, "serviceAccountName": "amp", "securityContext": {"runAsUser": 7}, "imagePullSecrets": [{"name": "pull"}],
        "volumes": [claim, {"name": "conf", "configMap": {"name": "mysql-extra-conf"}}, {"name": "keys", "secret": {"secretName": "tls"}}],
        "containers": [{"name": "system-mysql", "image": "mysql:8", "imagePullPolicy": "Always", "resources": {"limits": {"cpu": "1", "memory": "3Gi"}},
            "env": [{"name": "MYSQL_LOWER_CASE_TABLE_NAMES", "value": "1"}, {"name": "MYSQL_ROOT_PASSWORD", "value": "live-secret"}, {"name": "MYSQL_USER", "value": "mysql"},
                {"name": "OLD_PASSWORD", "value": "live-secret"}, secret("MYSQL_PASSWORD"), secret("OTHER")],
            "volumeMounts": [{"name": "mysql-storage", "mountPath": "/var/lib/mysql/data"}, {"name": "conf", "mountPath": "/etc/my-extra.d"}, {"name": "keys", "mountPath": "/keys"}],
            "readinessProbe": {"exec": {"command": ["live"]}}, "livenessProbe": {"exec": {"command": ["live"]}}, "ports": [{"containerPort": 3306}]}]});
    let redis = json!({"containers": [{"name": "backend-redis", "image": "redis:6", "command": ["/opt/rh/rh-redis6/root/usr/bin/redis-server"], "args": ["/etc/redis.d/redis.conf"]}]});
    let zync = json!({"containers": [{"name": "postgresql", "image": "pg:10"}]});
    let sidekiq = json!({"securityContext": {"runAsUser": 9}, "initContainers": [{"name": "check-svc"}],
        "volumes": [{"name": "system-storage", "persistentVolumeClaim": {"claimName": "system-storage"}}, {"name": "config", "configMap": {"name": "system"}}],
        "containers": [{"name": "system-sidekiq", "image": "porta:2", "env": [secret("DATABASE_URL"), {"name": "RAILS_ENV", "value": "production"}],
            "volumeMounts": [{"name": "system-storage", "mountPath": "/opt/system/public/system"}, {"name": "config", "mountPath": "/opt/system-extra-configs"}]}]});
    vec![
        of("system-mysql", json!({"deployment": "system-mysql"}), mysql),
        of("backend-redis", json!({"deployment": "backend-redis"}), redis),
        of("zync-database", json!({"deployment": "zync-database"}), zync),
        of("system-sidekiq", json!({"deployment": "system-sidekiq"}), sidekiq),
    ]
}

fn made(data_set: DataSetName, kind: ServerKind, options: &ServerOptions) -> Option<Value> {
    let all = workloads();
    let all: Vec<&Value> = all.iter().collect();
    let model = pod::model(&all, data_set, kind, options.image.as_deref())?;
    let run = RunId(RUN.to_owned());
    let name = pod_name(&run, data_set);
    Some(pod::pod(&model, &pod::Wanted { name: &name, run: &run, data_set, kind, options }))
}

fn options() -> ServerOptions {
    ServerOptions { seconds_max: 3600, ..ServerOptions::default() }
}

#[test]
fn a_copy_of_the_installations_own_store_has_its_image_and_settings_and_none_of_its_data_and_secrets() {
    let pod = made(DataSetName::SystemDatabase, ServerKind::MySql, &options()).unwrap();
    let (spec, server) = (&pod["spec"], &pod["spec"]["containers"][0]);
    assert_eq!((&server["image"], &server["imagePullPolicy"]), (&json!("mysql:8"), &json!("Always")));
    assert_eq!(server["resources"], json!({"limits": {"cpu": "1", "memory": "3Gi"}, "requests": {"cpu": "100m", "memory": "256Mi"}}));
    assert_eq!(
        spec["volumes"],
        json!([{"name": "conf", "configMap": {"name": "mysql-extra-conf"}}, {"name": "rehearsal", "emptyDir": {}}])
    );
    assert_eq!(
        server["volumeMounts"],
        json!([{"name": "conf", "mountPath": "/etc/my-extra.d"}, {"name": "rehearsal", "mountPath": "/rehearsal"}, {"name": "rehearsal", "mountPath": "/var/lib/mysql/data"}])
    );
    let own = json!({"secretKeyRef": {"name": "threescale-backup-rehearsal-0000000001-system-database", "key": "password"}});
    assert_eq!(
        server["env"],
        json!([{"name": "MYSQL_LOWER_CASE_TABLE_NAMES", "value": "1"}, {"name": "MYSQL_USER", "value": "rehearsal"}, {"name": "MYSQL_DATABASE", "value": "system"},
            {"name": "MYSQL_PASSWORD", "valueFrom": own}, {"name": "MYSQL_ROOT_PASSWORD", "valueFrom": own}])
    );
    assert!(!pod.to_string().contains("live") && !pod.to_string().contains("mysql-storage"), "{pod}");
    // It runs where and as the store does, has no token, and ends by itself.
    assert_eq!((&spec["nodeSelector"]["disk"], &spec["securityContext"]["runAsUser"]), (&json!("ssd"), &json!(7)));
    assert_eq!((&spec["automountServiceAccountToken"], &spec["activeDeadlineSeconds"]), (&json!(false), &json!(3600)));
    assert_eq!((&spec["restartPolicy"], &spec["imagePullSecrets"][0]["name"]), (&json!("Never"), &json!("pull")));
    // Nobody takes it for one of his.
    assert_eq!(
        pod["metadata"]["labels"],
        json!({"app.kubernetes.io/name": "threescale-backup", "app.kubernetes.io/managed-by": "threescale-backup", "threescale-backup/run": RUN,
            "threescale-backup/rehearsal": "system-database"})
    );
    assert_eq!(pod["metadata"]["annotations"], json!({"sidecar.istio.io/inject": "false"}));
    assert!(workloads().iter().all(|workload| !crate::kubernetes::writers::workload::selects(workload, &pod)));
}

#[test]
fn limits_are_as_configured_and_files_and_redis_get_what_they_need_and_no_more() {
    let limited = ServerOptions { memory_limit: Some("4Gi".into()), volume_limit: Some("50Gi".into()), ..options() };
    let pod = made(DataSetName::SystemDatabase, ServerKind::MySql, &limited).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "4Gi"}));
    assert_eq!(pod["spec"]["volumes"][1], json!({"name": "rehearsal", "emptyDir": {"sizeLimit": "50Gi"}}));

    let pod = made(DataSetName::SystemStorage, ServerKind::Files, &options()).unwrap();
    let files = &pod["spec"]["containers"][0];
    assert_eq!((&files["image"], &files["env"], &pod["spec"]["initContainers"]), (&json!("porta:2"), &json!([]), &Value::Null));
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "rehearsal", "emptyDir": {}}]));
    assert_eq!(files["resources"]["limits"]["memory"], "2Gi");

    let pod = made(DataSetName::BackendRedis, ServerKind::Redis, &options()).unwrap();
    let redis = &pod["spec"]["containers"][0];
    assert_eq!(redis["command"][4], "/opt/rh/rh-redis6/root/usr/bin/redis-server", "older images do not have it on the PATH");
    assert_eq!(redis.get("args"), None, "the live settings write an append-only file");
}

#[test]
fn an_image_is_configured_where_the_store_is_elsewhere_and_runs_as_systems_pods_do() {
    assert!(made(DataSetName::SystemDatabase, ServerKind::PostgreSql, &options()).is_none(), "zync's server is another version");
    assert!(made(DataSetName::SystemRedis, ServerKind::Redis, &options()).is_none());
    let configured = ServerOptions { image: Some("mine/pg:15".into()), ..options() };
    let pod = made(DataSetName::SystemDatabase, ServerKind::PostgreSql, &configured).unwrap();
    let server = &pod["spec"]["containers"][0];
    assert_eq!((&server["image"], &server["securityContext"]), (&json!("mine/pg:15"), &json!({"allowPrivilegeEscalation": false})));
    assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 9);
    assert!(!pod.to_string().contains("RAILS_ENV") && !pod.to_string().contains("system-storage"), "{pod}");
    let error = no_image(DataSetName::SystemDatabase, ServerKind::PostgreSql);
    let told = format!("{error:?}");
    assert!(
        error.class() == Class::Refused
            && told.contains("postgresql-image")
            && told.contains("THREESCALE_BACKUP_REHEARSE_POSTGRESQL_IMAGE"),
        "{told}"
    );
}

#[test]
fn the_secret_and_the_policy_go_with_the_pod_and_only_jobs_of_this_program_come_in() {
    let mut pod = made(DataSetName::ZyncDatabase, ServerKind::PostgreSql, &options()).unwrap();
    pod["metadata"]["uid"] = json!("u-1");
    let (secret, policy) = (pod::secret(&pod, "p"), pod::policy(&pod));
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": "u-1"}]);
    for object in [&secret, &policy] {
        assert_eq!((&object["metadata"]["ownerReferences"], &object["metadata"]["name"]), (&owner, &pod["metadata"]["name"]));
    }
    let selected = policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
    assert!(selected.len() == 2 && selected.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value), "{policy}");
    let from = &policy["spec"]["ingress"][0]["from"][0]["podSelector"];
    assert_eq!(from["matchLabels"], json!({"app.kubernetes.io/name": "threescale-backup"}));
    assert_eq!(
        from["matchExpressions"][0],
        json!({"key": "threescale-backup/rehearsal", "operator": "DoesNotExist"}),
        "no server reaches another"
    );
    assert_eq!((&policy["spec"]["policyTypes"], &policy["spec"]["egress"]), (&json!(["Ingress", "Egress"]), &json!([])));
}

/// What the API server is asked for, in order, when it answers `trouble` so; the pod's status is `status`.
fn calls(trouble: &'static str, status: Value) -> (Result<()>, Vec<String>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let (heard, pod) = (Arc::clone(&said), Arc::new(Mutex::new(Value::Null)));
    let cluster = cluster(move |method, path, body| {
        let path = path.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        if method != "GET" {
            heard.lock().unwrap().push(format!("{method} {path}"));
        }
        match (method, path.as_str()) {
            ("POST", resource) if resource == trouble => Reply::Json(403, json!({"reason": "Forbidden", "message": "no"})),
            ("GET", "deployments") => Reply::Json(200, json!({"kind": "DeploymentList", "apiVersion": "apps/v1", "items": workloads()})),
            ("POST", "pods") => {
                let mut made: Value = serde_json::from_str(body).unwrap();
                (made["metadata"]["uid"], made["status"]) = (json!("u"), status.clone());
                *pod.lock().unwrap() = made.clone();
                Reply::Json(201, made)
            }
            ("POST", _) => Reply::Json(201, json!({})),
            ("GET" | "DELETE", name) if name.starts_with("threescale-backup-rehearsal") => Reply::Json(200, pod.lock().unwrap().clone()),
            _ => Reply::Json(404, json!({"reason": "NotFound"})),
        }
    });
    let made = cluster.rehearsal_server(&Context::new(RUN), DataSetName::SystemStorage, ServerKind::Files, &options()).map(drop);
    let first = made
        .and_then(|()| cluster.rehearsal_server(&Context::new(RUN), DataSetName::SystemDatabase, ServerKind::MySql, &options()).map(drop));
    let calls = said.lock().unwrap().clone();
    (first, calls)
}

#[test]
fn whatever_fails_no_pod_stays() {
    let pod = |data_set: &str| format!("DELETE threescale-backup-rehearsal-0000000001-{data_set}");
    let (files, database) = (pod("system-storage"), pod("system-database"));
    let ready = json!({"phase": "Running", "podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}]});
    let files_went = ["POST pods", "POST networkpolicies", files.as_str()];

    let (error, said) = calls("secrets", ready.clone());
    assert_eq!(said, [&files_went[..], &["POST pods", "POST networkpolicies", "POST secrets", &database]].concat());
    assert!(format!("{:?}", error.unwrap_err()).contains("secrets"));

    let (error, said) = calls("networkpolicies", ready);
    assert_eq!(said, files_went, "without its policy it gets no password");
    assert_eq!(error.unwrap_err().class(), Class::Refused);

    let ended = json!({"phase": "Failed", "containerStatuses": [{"name": "server", "state": {"terminated": {"exitCode": 127, "message": "a\nthis image has neither\n"}}}]});
    let (error, said) = calls("", ended);
    assert_eq!(said, files_went);
    assert!(error.unwrap_err().to_string().contains("ended before it could be used: exit status 127: a / this image has neither"));
}

/// As a pod does it, but for the port and the folder.
#[test]
fn redis_is_started_with_a_password_that_no_argument_of_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script =
        scripts::REDIS.replace("port 6379", &format!("port {port}\nbind 127.0.0.1")).replace("/rehearsal", folder.path().to_str().unwrap());
    let password = password().unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script, "threescale-backup", ""]).env("REDISCLI_AUTH", password.expose_secret()).stdout(std::process::Stdio::null());
    let mut shell = shell.spawn().unwrap();
    let ask = |password: Option<&str>, words: &[&str]| {
        let mut client = std::process::Command::new("redis-cli");
        client.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(words).env_remove("REDISCLI_AUTH");
        client.envs(password.map(|password| ("REDISCLI_AUTH", password)));
        String::from_utf8(client.output().unwrap().stdout).unwrap()
    };
    let right = Some(password.expose_secret());
    let limit = Instant::now() + Duration::from_secs(20);
    while ask(right, &["PING"]) != "PONG\n" {
        assert!(Instant::now() < limit, "it does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(ask(None, &["DBSIZE"]).contains("NOAUTH"));
    assert_eq!(ask(right, &["SHUTDOWN", "NOSAVE"]), "");
    assert!(shell.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a copy is written nowhere");
    // The server hides its own arguments: what it is given is seen by a program in its place.
    let (program, given) = (folder.path().join("program"), folder.path().join("given"));
    std::fs::write(&program, format!("#!/bin/sh\nfor word; do echo \"word $word\"; done > {0}; cat >> {0}\n", given.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script, "threescale-backup", program.to_str().unwrap()]).env("REDISCLI_AUTH", password.expose_secret());
    assert!(shell.status().unwrap().success());
    let given = std::fs::read_to_string(given).unwrap();
    assert!(given.starts_with(&format!("word -\nrequirepass {}\n", password.expose_secret())), "{given}");
}
