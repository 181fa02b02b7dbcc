//! A small installation in a namespace of its own: the workloads' names, labels and stand-ins of the test cluster, without databases. Removed when dropped.

use platforms::kubernetes::{Cluster, Options};
use serde_json::{Value, json};

use crate::eventually;

/// Workload, component, element, container, role of the stand-in.
const WORKLOADS: [(&str, &str, &str, &str, &str); 11] = [
    ("system-app", "system", "app", "system-provider", "provider"),
    ("system-sidekiq", "system", "sidekiq", "system-sidekiq", "sidekiq"),
    ("system-searchd", "system", "searchd", "system-searchd", "searchd"),
    ("system-sphinx", "system", "sphinx", "system-sphinx", "searchd"),
    ("system-memcache", "system", "memcache", "memcache", "memcache"),
    ("backend-listener", "backend", "listener", "backend-listener", "listener"),
    ("backend-worker", "backend", "worker", "backend-worker", "worker"),
    ("backend-cron", "backend", "cron", "backend-cron", "cron"),
    ("zync", "zync", "zync", "zync", "cron"),
    ("zync-que", "zync", "zync-que", "que", "cron"),
    ("apicast-production", "apicast", "production", "apicast-production", "apicast"),
];
const OPERATOR: &str = "threescale-operator-controller-manager-v2";
/// Who works with less than all rights.
const LIMITED: &str = "limited";

/// Deployments, or DeploymentConfigs as of 3scale 2.14.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Deployments,
    DeploymentConfigs,
}

pub(crate) struct Installation {
    pub(crate) cluster: Cluster,
    era: Era,
}

impl Installation {
    /// An empty namespace; `None`, said plainly, without a cluster.
    pub(crate) fn empty(name: &str) -> Option<Self> {
        Self::make_namespace(name, Era::Deployments)
    }

    fn make_namespace(name: &str, era: Era) -> Option<Self> {
        if std::env::var_os("KUBECONFIG").is_none() {
            eprintln!("NOT RUN: {name} needs a cluster, and KUBECONFIG is not set");
            return None;
        }
        let cluster = Cluster::connect(&Options { namespace: Some("default".into()), ..Options::default() }).unwrap();
        let namespace = format!("b-{name}-{}", std::process::id());
        cluster.post("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).unwrap();
        let installation = Self { cluster: cluster.in_namespace(&namespace), era };
        eventually("the namespace has its service account", || {
            installation.cluster.get_if_there(&installation.cluster.path("v1", "serviceaccounts", Some("default"))).unwrap().is_some()
        });
        Some(installation)
    }

    /// With these workloads, one of each, ready. `operator`: one that enforces system-app and zync.
    pub(crate) fn start(name: &str, era: Era, workloads: &[&str], operator: bool) -> Option<Self> {
        let installation = Self::make_namespace(name, era)?;
        for known in WORKLOADS.iter().filter(|known| workloads.contains(&known.0)) {
            installation.make(&installation.workload(*known));
        }
        if operator {
            installation.make_operator();
        }
        installation.ready();
        Some(installation)
    }

    pub(crate) fn ready(&self) {
        eventually("all are ready", || self.all().iter().all(|object| ready(object) == replicas(object)));
    }

    pub(crate) fn make(&self, object: &Value) {
        let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        self.cluster.post(&self.cluster.path(version, &format!("{}s", kind.to_lowercase()), None), object).unwrap();
    }

    fn workload(&self, (name, component, element, container, role): (&str, &str, &str, &str, &str)) -> Value {
        let own = if self.era == Era::Deployments { "deployment" } else { "deploymentConfig" };
        let labels = json!({"app": "3scale-api-management", "threescale_component": component, "threescale_component_element": element});
        let mut pod_labels = labels.clone();
        pod_labels[own] = json!(name);
        let selector = json!({own: name});
        let storage = json!({"name": "system-storage", "mountPath": "/opt/system/public/system"});
        let template = json!({"metadata": {"labels": pod_labels}, "spec": {
            "containers": [{"name": container, "image": "localhost/threescale/app:1", "imagePullPolicy": "IfNotPresent", "command": ["standin", role],
                "env": [{"name": "FAIL_TASKS", "value": ""}, {"name": "DATABASE_URL", "value": "mysql2://root:geheim@nowhere/system"}], "volumeMounts": [storage]}],
            "initContainers": [{"name": "check-svc", "image": "localhost/threescale/app:1", "command": ["true"]}],
            "volumes": [{"name": "system-storage", "emptyDir": {}}], "terminationGracePeriodSeconds": 5}});
        let (version, kind, selector) = match self.era {
            Era::Deployments => ("apps/v1", "Deployment", json!({"matchLabels": selector})),
            Era::DeploymentConfigs => ("apps.openshift.io/v1", "DeploymentConfig", selector),
        };
        let mut spec = json!({"replicas": 1, "selector": selector, "template": template});
        if self.era == Era::DeploymentConfigs {
            spec["triggers"] = json!([{"type": "ConfigChange"}]);
            spec["strategy"] = json!({"type": "Recreate"});
        }
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec})
    }

    fn make_operator(&self) {
        let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
        let rules = [
            rule("apps.3scale.net", "apimanagers", &["get", "list"]),
            rule("apps.3scale.net", "apimanagers/status", &["patch"]),
            rule("apps.openshift.io", "deploymentconfigs", &["get", "list", "patch"]),
            rule("apps", "deployments", &["get", "list", "patch"]),
        ];
        self.make_account("operator", &rules);
        self.make(&json!({"apiVersion": "apps.3scale.net/v1alpha1", "kind": "APIManager", "metadata": {"name": "apimanager-sample"},
            "spec": {"system": {"appSpec": {"replicas": 1}, "sidekiqSpec": {}}, "zync": {"appSpec": {"replicas": 1}}}}));
        let kind = if self.era == Era::Deployments { "deployments" } else { "deploymentconfigs" };
        let labels = json!({"app": "3scale-api-management", "control-plane": "controller-manager"});
        self.make(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": OPERATOR, "labels": labels}, "spec": {
            "replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                "serviceAccountName": "operator", "containers": [{"name": "manager", "image": "localhost/threescale/operator:1", "imagePullPolicy": "IfNotPresent",
                    "command": ["operator"], "env": [{"name": "WORKLOADS", "value": kind}]}]}}}}));
    }

    fn make_account(&self, name: &str, rules: &[Value]) {
        let rbac = "rbac.authorization.k8s.io";
        self.make(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}));
        self.make(&json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": name}, "rules": rules}));
        self.make(&json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.cluster.namespace()}],
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name}}));
    }

    /// The cluster as somebody sees it who may scale these workloads, the APIManager, and not the operator.
    pub(crate) fn as_limited(&self, workloads: &[&str]) -> Cluster {
        self.make_account(
            LIMITED,
            &[
                json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}),
                json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "resourceNames": workloads}),
                json!({"apiGroups": ["apps.openshift.io"], "resources": ["deploymentconfigs"], "verbs": ["get", "list"]}),
                json!({"apiGroups": ["apps.3scale.net"], "resources": ["apimanagers"], "verbs": ["get", "list", "patch"]}),
                json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]}),
            ],
        );
        let user = format!("system:serviceaccount:{}:{LIMITED}", self.cluster.namespace());
        let options = Options { namespace: Some(self.cluster.namespace().into()), impersonate: Some(user), ..Options::default() };
        Cluster::connect(&options).unwrap()
    }

    pub(crate) fn path(&self, workload: &str) -> String {
        match self.era {
            Era::DeploymentConfigs if workload != OPERATOR => {
                self.cluster.path("apps.openshift.io/v1", "deploymentconfigs", Some(workload))
            }
            _ => self.cluster.path("apps/v1", "deployments", Some(workload)),
        }
    }

    pub(crate) fn get(&self, workload: &str) -> Value {
        self.cluster.get(&self.path(workload)).unwrap()
    }

    pub(crate) fn operator(&self) -> Value {
        self.get(OPERATOR)
    }

    pub(crate) fn scale(&self, workload: &str, replicas: u64, who: &str) {
        let path = format!("{}?fieldManager={who}", self.path(workload));
        self.cluster.merge_patch(&path, &json!({"spec": {"replicas": replicas}})).unwrap();
    }

    /// All workloads, the operator too.
    pub(crate) fn all(&self) -> Vec<Value> {
        let mut all = self.cluster.list(&self.cluster.path("apps/v1", "deployments", None), None).unwrap();
        if self.era == Era::DeploymentConfigs {
            all.extend(self.cluster.list(&self.cluster.path("apps.openshift.io/v1", "deploymentconfigs", None), None).unwrap());
        }
        all
    }

    /// Names, numbers and annotations of all workloads: what must be as it was before.
    pub(crate) fn numbers(&self) -> Vec<(String, u64, bool)> {
        let mut numbers: Vec<_> = self
            .all()
            .iter()
            .map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), replicas(object), is_marked(object)))
            .collect();
        numbers.sort();
        numbers
    }

    /// Pods whose names begin so.
    pub(crate) fn pods(&self, start: &str) -> Vec<Value> {
        let all = self.cluster.list(&self.cluster.path("v1", "pods", None), None).unwrap();
        all.into_iter().filter(|pod| pod["metadata"]["name"].as_str().unwrap().starts_with(start)).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let path = format!("/api/v1/namespaces/{}", self.cluster.namespace());
        if let Err(error) = self.cluster.delete(&path, &json!({})) {
            eprintln!("namespace {} is left behind: {error}", self.cluster.namespace());
        }
    }
}

pub(crate) fn replicas(object: &Value) -> u64 {
    object["spec"]["replicas"].as_u64().unwrap()
}

pub(crate) fn ready(object: &Value) -> u64 {
    object["status"]["readyReplicas"].as_u64().unwrap_or(0)
}

/// Whether it has one of this program's annotations.
pub(crate) fn is_marked(object: &Value) -> bool {
    object["metadata"]["annotations"].as_object().is_some_and(|all| all.keys().any(|key| key.starts_with("threescale-backup/")))
}
