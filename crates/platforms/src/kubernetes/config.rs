//! Which cluster, as whom, and which namespace: the flags, then the kubeconfig, then the service account of the pod that this runs in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use plan::ports::StopFlag;
use plan::{Error, Result};

/// How to find the cluster. All of it may be left out.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The installation's namespace; else the context's, else the pod's own.
    pub namespace: Option<String>,
    /// The kubeconfig's context; else its current one.
    pub context: Option<String>,
    /// The kubeconfig; else `$KUBECONFIG`, else `~/.kube/config`, else the service account of the pod that this runs in.
    pub kubeconfig: Option<PathBuf>,
    /// The user to act as (`--as`): `system:serviceaccount:NAMESPACE:NAME`, or a person.
    pub impersonate: Option<String>,
    /// Groups to act in, with `impersonate`.
    pub impersonate_groups: Vec<String>,
    /// Raised when the operator wants to stop: no call is repeated after that.
    pub stop: StopFlag,
    /// For how long a call is repeated while the API server cannot be had (it restarts, it is overloaded). A minute, when absent.
    pub patience: Option<Duration>,
    /// How long a stream may be without a byte and without an answer to a ping before it is given up. A minute, when absent.
    pub stall: Option<Duration>,
}

/// What the options come to.
pub(super) struct Found {
    pub config: kube::Config,
    /// Whether this runs in a pod of the cluster, and so reaches Services itself.
    pub in_cluster: bool,
    /// Where the configuration came from, for people.
    pub origin: String,
}

/// Longer than any healthy connection needs, short enough to notice a wrong address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn find(options: &Options) -> Result<Found> {
    let named = options.kubeconfig.is_some()
        || options.context.is_some()
        || is_set("KUBECONFIG")
        || home_kubeconfig().is_some_and(|path| path.exists());
    let mut found = if named || !is_set("KUBERNETES_SERVICE_HOST") { from_kubeconfig(options).await? } else { from_pod()? };
    // A restore's server may be silent for longer than any default: an index is built, a table altered.
    found.config.write_timeout = None;
    found.config.read_timeout = None;
    found.config.connect_timeout = Some(CONNECT_TIMEOUT);
    withhold_secrets(&mut found.config);
    // Calls are repeated here, where it is known which of them may be.
    found.config.default_retry = false;
    if let Some(namespace) = &options.namespace {
        found.config.default_namespace.clone_from(namespace);
    }
    if let Some(user) = &options.impersonate {
        found.config.auth_info.impersonate = Some(user.clone());
        found.config.auth_info.impersonate_groups = (!options.impersonate_groups.is_empty()).then(|| options.impersonate_groups.clone());
    }
    Ok(found)
}

/// The installation's namespace, without asking the API server whether it is there.
///
/// # Errors
/// [`plan::Class::Refused`] when none is named and nothing is configured.
pub fn namespace(options: &Options) -> Result<String> {
    if let Some(namespace) = &options.namespace {
        return Ok(namespace.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("could not read the cluster's configuration").because(error))?;
    Ok(runtime.block_on(find(options))?.config.default_namespace)
}

/// The client starts programs that the kubeconfig names for a login: they are children like all others.
fn withhold_secrets(config: &mut kube::Config) {
    let names: Vec<String> = children::withheld().into_iter().filter_map(|name| name.into_string().ok()).collect();
    if let Some(exec) = &mut config.auth_info.exec {
        exec.drop_env.get_or_insert_default().extend(names.iter().cloned());
    }
    if let Some(provider) = &mut config.auth_info.auth_provider {
        let dropped = provider.config.entry("cmd-drop-env".to_owned()).or_default();
        *dropped = format!("{dropped} {}", names.join(" ")).trim().to_owned();
    }
}

async fn from_kubeconfig(options: &Options) -> Result<Found> {
    let (kubeconfig, origin) = match &options.kubeconfig {
        Some(path) => (read(path)?, path.display().to_string()),
        None => (Kubeconfig::read().map_err(unreadable)?, "the kubeconfig".to_owned()),
    };
    let contexts: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if let Some(wanted) = &options.context
        && !contexts.contains(wanted)
    {
        return Err(
            Error::refused(format!("there is no context {wanted:?} in {origin}")).hint(format!("Contexts are: {}.", contexts.join(", ")))
        );
    }
    let choice = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &choice).await.map_err(unreadable)?;
    // Even in a pod: what a kubeconfig names may be another cluster, whose Services are not to be had from here.
    Ok(Found { config, in_cluster: false, origin })
}

fn from_pod() -> Result<Found> {
    let config = kube::Config::incluster().map_err(|error| {
        Error::refused("this pod has no service account to ask the API server with")
            .because(error)
            .hint("Set automountServiceAccountToken to true in the pod, or give a kubeconfig.")
    })?;
    Ok(Found { config, in_cluster: true, origin: "the pod's service account".to_owned() })
}

fn read(path: &Path) -> Result<Kubeconfig> {
    Kubeconfig::read_from(path).map_err(unreadable)
}

fn unreadable(error: kube::config::KubeconfigError) -> Error {
    // The parser's words may quote what it parsed: tokens. Only what is known to be harmless is repeated.
    let text = error.to_string();
    let harmless = ["failed to find", "failed to load current context", "failed to read kubeconfig from", "failed to determine"];
    let what = if harmless.iter().any(|start| text.starts_with(start)) { text } else { "it is not a kubeconfig".to_owned() };
    Error::refused(format!("no cluster is configured: {what}"))
        .hint("Log in (`oc login`, or your provider's command), or give --kubeconfig, --context or $KUBECONFIG.")
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn home_kubeconfig() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"))
}
