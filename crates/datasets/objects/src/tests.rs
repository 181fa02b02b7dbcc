//! What the tests share: an API server in memory at the port, an installation in it, and a snapshot in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

mod belongings;
mod comparing;
mod crashes;
mod marks;
mod round_trip;
mod server;
mod surviving;
mod undoing;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plan::ids::{DataSetName, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Content, Context, DataSet, Dump, Entry, EntryHandle, Event, Meta, Objects, Place, Road, Snapshot, Watch};
use plan::{Error, Result};
use serde_json::{Value, json};

use self::server::Server;
use crate::{ObjectsStore, Options, Policy};

/// Long random tokens of the source, by `secret/key`. None may show up anywhere.
pub(super) const TOKENS: [(&str, &str, &str); 6] = [
    ("system-master-apicast", "ACCESS_TOKEN", "s0urceApicastT0ken7Kq"),
    ("system-seed", "MASTER_ACCESS_TOKEN", "s0urceMasterT0ken9Zx"),
    ("system-seed", "MASTER_PASSWORD", "hunter2!"),
    ("system-app", "SECRET_KEY_BASE", "s0urceKeyBase4fe83ab1c9d27"),
    ("system-database", "URL", "mysql2://root:s0urcePassw0rd@system-mysql.source.svc/system"),
    ("zync", "SECRET_KEY_BASE", "s0urceZyncBase55aa77cc"),
];

/// A snapshot in memory.
#[derive(Default)]
pub(super) struct Memory(pub(super) BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    fn entry(path: &Path, content: &[u8]) -> Entry {
        Entry {
            path: path.to_owned(),
            meta: Meta::default(),
            size_bytes: content.len() as u64,
            kind: plan::ports::EntryKind::File,
            handle: EntryHandle(Box::new(content.to_vec())),
        }
    }
}

impl Snapshot for Memory {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.0.iter().map(|(path, content)| Ok(Self::entry(path, content)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        self.0.get(path).map(|content| Self::entry(path, content)).ok_or_else(|| Error::failed("no such entry"))
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(entry.handle.0.downcast_ref::<Vec<u8>>().unwrap().clone())))
    }
}

/// Keeps a dump as a repository does: the order of the parts is checked.
pub(super) fn keep(mut dump: Box<dyn Dump>) -> Result<(Arc<Memory>, KeptDataSet)> {
    let mut memory = Memory::default();
    let mut last = PathBuf::new();
    while let Some(part) = dump.next_part()? {
        assert!(last < part.path, "{} after {}", part.path.display(), last.display());
        last.clone_from(&part.path);
        let Content::Bytes(content) = part.content else { panic!("a part that is not bytes") };
        memory.0.insert(part.path, content);
    }
    let verdict = dump.finish()?;
    let kept = KeptDataSet {
        snapshot: SnapshotId("s".to_owned()),
        kind: plan::ports::StoreKind::Objects,
        store: "Kubernetes objects".to_owned(),
        identity: None,
        started_at: verdict.consistent_at,
        consistent_at: verdict.consistent_at,
        finished_at: verdict.consistent_at,
        parts: memory.0.len() as u64,
        bytes: memory.0.values().map(|content| content.len() as u64).sum(),
        stored_bytes: 0,
        evidence: verdict.evidence,
        problems: verdict.problems,
    };
    Ok((Arc::new(memory), kept))
}

/// Remembers what was told.
#[derive(Default)]
pub(super) struct Told(pub(super) Mutex<Vec<String>>);

impl Watch for Told {
    fn see(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(format!("{event:?}"));
    }
}

impl Told {
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

pub(super) fn context_and_told() -> (Context, Arc<Told>) {
    let told = Arc::new(Told::default());
    let watch: Arc<dyn Watch> = Arc::clone(&told) as Arc<dyn Watch>;
    (Context { workers: 2, watch, ..Context::new("01jrun0123456789") }, told)
}

pub(super) fn context() -> Context {
    context_and_told().0
}

pub(super) fn store(server: &Arc<Server>, policy: Policy) -> ObjectsStore {
    let objects: Arc<dyn Objects> = Arc::clone(server) as Arc<dyn Objects>;
    ObjectsStore::new(DataSetName::KubernetesObjects, objects, Options { policy, ..Options::default() })
}

pub(super) fn backup(server: &Arc<Server>) -> (Arc<Memory>, KeptDataSet) {
    keep(store(server, Policy::Missing).dump(&context()).unwrap()).unwrap()
}

/// Stages and proves.
pub(super) fn stage(store: &ObjectsStore, memory: &Arc<Memory>, kept: &KeptDataSet) -> Place {
    let context = context();
    let place = store.reserve(&context, kept, Road::SideCopy).unwrap();
    store.stage(&context, &place, Arc::clone(memory) as Arc<dyn Snapshot>, kept).unwrap();
    let found = store.prove(&context, &place, kept).unwrap();
    assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
    place
}

pub(super) fn secret(name: &str, labels: &Value, entries: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<_, _> = entries.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "type": "Opaque", "data": data})
}

pub(super) fn config_map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(super) fn custom(api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// An installation as the operator makes it, with what a customer adds.
pub(super) fn installation(namespace: &str) -> Arc<Server> {
    let server = Server::new(namespace);
    let uid = server.add(custom(
        "apps.3scale.net/v1alpha1",
        "APIManager",
        "apimanager-sample",
        &json!({
            "wildcardDomain": "example.com",
            "system": {"appSpec": {"replicas": 2}, "fileStorage": {"simpleStorageService": {"configurationSecretRef": {"name": "s3-credentials"}}}},
            "apicast": {"productionSpec": {
                "replicas": 3,
                "customPolicies": [{"name": "p", "version": "0.1", "secretRef": {"name": "my-policy"}}],
                "customEnvironments": [{"secretRef": {"name": "my-environment"}}],
                "httpsCertificateSecretRef": {"name": "my-tls"},
                "openTracing": {"tracingConfigSecretRef": {"name": "my-tracing"}},
            }},
            "imagePullSecrets": [{"name": "my-registry"}],
        }),
    ));
    server.change("apimanagers", "apimanager-sample", |object| object["status"] = json!({"conditions": []}));
    let labels = json!({"app": "3scale-api-management", "threescale_component": "system"});
    for (name, entries) in [
        ("system-master-apicast", vec![TOKENS[0]]),
        ("system-seed", vec![TOKENS[1], TOKENS[2]]),
        ("system-app", vec![TOKENS[3]]),
        ("system-database", vec![TOKENS[4]]),
        ("zync", vec![TOKENS[5]]),
    ] {
        let entries: Vec<_> = entries.into_iter().map(|(_, key, value)| (key, value)).collect();
        server.add(secret(name, &labels, &entries));
    }
    for name in ["my-policy", "my-environment", "my-tls", "my-tracing", "my-registry", "tenant-admin", "tenant-token", "provider"] {
        server.add(secret(name, &json!({}), &[("content", &format!("c0ntent of {name}"))]));
    }
    server.add(secret("s3-credentials", &json!({}), &[("AWS_BUCKET", "bucket-a"), ("AWS_SECRET_ACCESS_KEY", "s0urceS3SecretKey99")]));
    server.add(secret("threescale-registry-auth", &json!({}), &[(".dockerconfigjson", "{}")]));
    server.add(secret("somebody-elses", &json!({"app": "blog"}), &[("password", "n0tYours")]));
    let environment = json!({"THREESCALE_SUPERDOMAIN": "example.com", "AMP_RELEASE": "2.15", "RAILS_ENV": "production"});
    server.add(config_map("system-environment", &environment));
    server.own("configmaps", "system-environment", &uid);
    server.add(config_map("kube-root-ca.crt", &json!({"ca.crt": "x"})));
    server.add(custom(
        "capabilities.3scale.net/v1alpha1",
        "Tenant",
        "acme",
        &json!({"organizationName": "ACME", "masterCredentialsRef": {"name": "system-seed"}, "passwordCredentialsRef": {"name": "tenant-admin"},
                "tenantSecretRef": {"name": "tenant-token", "namespace": namespace}}),
    ));
    server.add(custom(
        "capabilities.3scale.net/v1beta1",
        "Product",
        "product-a",
        &json!({"name": "A", "providerAccountRef": {"name": "provider"}, "deployment": {"apicastHosted": {}}}),
    ));
    server.add(custom("capabilities.3scale.net/v1beta1", "ProxyConfigPromote", "promote-a", &json!({"productCRName": "product-a"})));
    server.add(custom("route.openshift.io/v1", "Route", "zync-3scale-abc", &json!({"to": {"kind": "Service", "name": "system-provider"}})));
    server.add(custom("route.openshift.io/v1", "Route", "blog", &json!({"to": {"kind": "Service", "name": "blog"}})));
    server
}

/// All objects, but for the notes of runs and what a server sets: as they are seen from outside.
pub(super) fn seen(server: &Server) -> BTreeMap<String, Value> {
    let mut seen = server.all();
    seen.retain(|name, _| !name.contains("/threescale-backup-"));
    for object in seen.values_mut() {
        let metadata = object["metadata"].as_object_mut().unwrap();
        for field in ["uid", "resourceVersion", "managedFields", "generation"] {
            metadata.remove(field);
        }
    }
    seen
}
