//! The repository in a bucket behind https with a private CA, reached from the image in the cluster.

use std::path::Path;
use std::process::Command;

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal, wait_until};
use serde_json::json;

use crate::installed::Installed;

const SERVER: &str = "e2e-s3";
/// Login and bucket of the server.
const LOGIN: (&str, &str, &str) = ("AKIAE2E", "a secret key", "repository");

pub(crate) fn from_the_image() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 20: an S3 repository by https with a private CA, from the image");
    let (Some(image), Some(server)) = (settings.image.clone(), settings.s3_image.clone()) else {
        steps.step("not run: E2E_IMAGE and E2E_S3_IMAGE do not say which images to use");
        return;
    };
    steps.step("an S3 server with a certificate of a CA of its own");
    let place = Installation::of_era(&settings, "2.15");
    let folder = tempfile::tempdir().unwrap();
    for ca in ["ca", "other"] {
        openssl(folder.path(), &format!("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.crt"));
    }
    std::fs::write(folder.path().join("names"), format!("subjectAltName=DNS:{SERVER}\nbasicConstraints=critical,CA:FALSE\n")).unwrap();
    openssl(folder.path(), &format!("req -newkey rsa:2048 -nodes -subj /CN={SERVER} -keyout tls.key -out tls.csr"));
    openssl(folder.path(), "x509 -req -days 2 -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out tls.crt");
    remove(&place);
    serve(&place, &server, folder.path());

    steps.step("with another CA: refused, and told as that");
    let secret = |ca: &str| {
        let entries = [("password", "a password"), ("access-key-id", LOGIN.0), ("secret-access-key", LOGIN.1)];
        let mut arguments: Vec<_> = entries.iter().map(|(name, value)| format!("--from-literal={name}={value}")).collect();
        arguments.push(format!("--from-file=ca.crt={}/{ca}.crt", folder.path().display()));
        arguments
    };
    let install = |ca: &str| {
        let secret = secret(ca);
        let secret: Vec<&str> = secret.iter().map(String::as_str).collect();
        let at = (format!("s3://{}/threescale", LOGIN.2), format!("https://{SERVER}:9000"));
        Installed::with_bucket(&place, &image, (&at.0, &at.1), &secret)
    };
    let program = Program::new(&settings, &place.namespace);
    drop(install("other"));
    let words = program.fails(&[2], &["init", "--in-cluster"]);
    assert!(words.contains("certificate") && words.contains("ca-file"), "{words}");

    steps.step("with the server's: init, backup, restore");
    let installed = install("ca");
    program.ok(&["init", "--in-cluster"]);
    place.wait_ready();
    let before = Fingerprint::of_data(&place).only(&["system-storage/"]);
    program.ok(&["backup", "--in-cluster"]);
    place.destroy_files();
    program.ok(&["restore", "latest", "--only", "system-storage", "--yes", "--in-cluster"]);
    place.wait_ready();
    assert_equal(&Fingerprint::of_data(&place).only(&["system-storage/"]), &before, "after the restore");
    program.ok(&["settle", "--yes", "--in-cluster"]);

    steps.step("nothing is left");
    installed.delete(&place);
    remove(&place);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A pod with the test cluster's S3 server, that speaks TLS, and its Service.
fn serve(place: &Installation, image: &str, folder: &Path) {
    let file = |name: &str| format!("{}/{name}", folder.display());
    place.kubectl.act(&["create", "secret", "tls", SERVER, "--cert", &file("tls.crt"), "--key", &file("tls.key")]);
    let program = "source = open('/usr/local/bin/s3-server').read()
plain = 'request_handler=Quiet)'
assert plain in source
exec(compile(source.replace(plain, 'request_handler=Quiet, ssl_context=(\"/tls/tls.crt\", \"/tls/tls.key\"))'), 's3-server', 'exec'))";
    let environment =
        [("AWS_ACCESS_KEY_ID", LOGIN.0), ("AWS_SECRET_ACCESS_KEY", LOGIN.1), ("S3_BUCKET", LOGIN.2), ("AWS_DEFAULT_REGION", "us-east-1")];
    let environment: Vec<_> = environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVER}, "spec": {"ports": [{"port": 9000}], "selector": {"e2e": SERVER}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": SERVER, "labels": {"e2e": SERVER}}, "spec": {
            "containers": [{"name": "s3", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", program], "env": environment,
                "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 2},
                "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": true}]}],
            "volumes": [{"name": "tls", "secret": {"secretName": SERVER}}]}}]});
    drop(place.kubectl.ok(&["create", "-f", "-"], objects.to_string().as_bytes()));
    wait_until("the S3 server to be ready", 180, || {
        let pod = place.kubectl.json(&["get", "pod", SERVER]);
        (pod["status"]["containerStatuses"][0]["ready"] == true).then_some(())
    });
}

fn remove(place: &Installation) {
    for kind in ["pod", "service", "secret"] {
        place.kubectl.act(&["delete", kind, SERVER, "--ignore-not-found"]);
    }
}
