//! The manifests of `deploy/` in a namespace, as `kubectl apply -k` with an overlay applies them.

use std::process::Command;

use e2e::Installation;

/// What was applied, and the volume beside it.
pub(crate) struct Installed {
    manifest: String,
    volume: Option<String>,
}

impl Installed {
    /// With the repository on a volume, which is a folder of the node.
    pub(crate) fn with_volume(place: &Installation, image: &str, node: &str) -> Self {
        Self::beside(
            place,
            node,
            manifest(place, image, "manifests", &["rbac-backup", "rbac-restore", "repository", "backup", "check", "restore"]),
        )
    }

    /// The same, with what the chart adds for rehearsals, and to be looked at.
    pub(crate) fn with_rehearsal(place: &Installation, image: &str, node: &str) -> Self {
        let files = ["rbac-backup", "rbac-restore", "repository", "backup", "check", "restore"];
        let manifest = format!("{}---\n{}", manifest(place, image, "manifests", &files), adapted(place, image, &of_the_chart()));
        Self::beside(place, node, manifest)
    }

    fn beside(place: &Installation, node: &str, manifest: String) -> Self {
        let volume = format!("{}-repository", place.namespace);
        let folder = format!("/var/tmp/threescale-backup-e2e/{volume}");
        let made =
            Command::new("sh").args(["-c", &format!("{node} sh -c 'rm -rf {folder} && install -d -m 0777 {folder}'")]).status().unwrap();
        assert!(made.success(), "{made}");
        let installed = Self { manifest, volume: Some(volume.clone()) };
        installed.delete(place);
        let persistent = format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {volume}}}\nspec:\n  accessModes: [ReadWriteOnce]\n  capacity: {{storage: 20Gi}}\n  \
             hostPath: {{path: {folder}}}\n  claimRef: {{namespace: {}, name: threescale-backup-repository}}\n",
            place.namespace
        );
        drop(place.kubectl.ok(&["apply", "-f", "-"], persistent.as_bytes()));
        installed.apply(place, &["--from-literal=password=a password"])
    }

    /// With the repository in a bucket, behind an endpoint whose CA is the entry `ca.crt` of the Secret.
    pub(crate) fn with_bucket(place: &Installation, image: &str, (url, endpoint): (&str, &str), secret: &[&str]) -> Self {
        let region = "- {name: THREESCALE_BACKUP_REPOSITORY_S3_REGION, value: \"us-east-1\"}";
        let more = [("ENDPOINT", endpoint), ("CA_FILE", "/secret/ca.crt")];
        let more =
            more.map(|(name, value)| format!("\n                - {{name: THREESCALE_BACKUP_REPOSITORY_S3_{name}, value: \"{value}\"}}"));
        let manifest = manifest(place, image, "manifests-s3", &["rbac-backup", "rbac-restore", "backup", "check", "restore"]);
        assert!(manifest.contains(region) && manifest.contains("s3://my-bucket/threescale"), "{manifest}");
        let manifest = manifest.replace("s3://my-bucket/threescale", url).replace(region, &format!("{region}{}", more.concat()));
        let installed = Self { manifest, volume: None };
        installed.delete(place);
        installed.apply(place, secret)
    }

    fn apply(self, place: &Installation, secret: &[&str]) -> Self {
        place.kubectl.act(&[&["create", "secret", "generic", "threescale-backup"], secret].concat());
        drop(place.kubectl.ok(&["apply", "-f", "-"], self.manifest.as_bytes()));
        self
    }

    /// Takes it away, with the journals.
    pub(crate) fn delete(&self, place: &Installation) {
        // What uses the volume first, or its claim would not go.
        let kinds = "deployments,cronjobs,jobs,pods,configmaps,leases,secrets";
        place.kubectl.act(&["delete", kinds, "-l", "app.kubernetes.io/name=threescale-backup", "--ignore-not-found"]);
        let all = ["delete", "--ignore-not-found", "--wait=true", "-f", "-"];
        drop(place.kubectl.run(&all, self.manifest.as_bytes()));
        place.kubectl.act(&["delete", "secret", "threescale-backup", "--ignore-not-found"]);
        place.kubectl.act(&["delete", "lease", "threescale-backup", "--ignore-not-found"]);
        if let Some(volume) = &self.volume {
            place.kubectl.act(&["delete", "persistentvolume", volume, "--ignore-not-found"]);
        }
    }
}

/// The files of a folder of `deploy/` as one, for this namespace, image, and kind of cluster.
fn manifest(place: &Installation, image: &str, folder: &str, files: &[&str]) -> String {
    let mut manifest = String::new();
    for file in files {
        let path = format!("{}/../deploy/{folder}/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        manifest.push_str("---\n");
        manifest.push_str(&std::fs::read_to_string(path).unwrap());
    }
    adapted(place, image, &manifest)
}

/// What helm makes of the chart's parts for rehearsals, and for `serve`.
fn of_the_chart() -> String {
    let prefix = std::env::var("THREESCALE_BACKUP_HELM_PREFIX")
        .unwrap_or_else(|_| format!("{}/.cache/threescale-backup/helm", std::env::var("HOME").unwrap()));
    let chart = format!("{}/../deploy/chart", env!("CARGO_MANIFEST_DIR"));
    let parts = ["rbac-rehearse", "rehearse", "serve"].map(|part| ["--show-only".to_owned(), format!("templates/{part}.yaml")]).concat();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let values = "rehearse.enabled=true,serve.enabled=true,serve.args={--every=10s},nodeSelector.kubernetes\\.io/os=linux,openshift=true,image.tag=latest";
    let all =
        [&["template", "threescale-backup", &chart, "--namespace", "threescale", "--kube-version", "1.30.0", "--set", values], &parts[..]]
            .concat();
    let made = Command::new(format!("{prefix}/bin/helm")).args(all).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap()
}

/// For this namespace, image, and kind of cluster.
fn adapted(place: &Installation, image: &str, manifest: &str) -> String {
    // OpenShift gives a pod the user and the group that the installation's files have.
    let confined = |line: &str| match line.strip_suffix("runAsNonRoot: true").filter(|before| before.trim().is_empty()) {
        Some(before) => ["runAsNonRoot: true", "runAsUser: 1000700000", "runAsGroup: 0", "fsGroup: 1000700000"]
            .map(|line| format!("{before}{line}\n"))
            .concat(),
        None => format!("{line}\n"),
    };
    let manifest: String = manifest.lines().map(confined).collect();
    let manifest = manifest
        .replace("namespace: threescale}", &format!("namespace: {}}}", place.namespace))
        .replace("image: \"threescale-backup:latest\"", &format!("image: {image}"));
    let has_v1 = place.kubectl.run(&["get", "cronjobs.v1.batch"], b"").status.success();
    if has_v1 { manifest } else { manifest.replace("apiVersion: batch/v1\n", "apiVersion: batch/v1beta1\n") }
}
