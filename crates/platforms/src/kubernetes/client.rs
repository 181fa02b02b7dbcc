//! The way into a cluster: a client, a small runtime of its own, and the installation's namespace.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use plan::ports::StopFlag;
use plan::{Class, Error, Result};
use tokio::runtime::{Handle, Runtime};

use super::config::{self, Options};
use super::error::ApiError;
use super::request::Line;

/// For how long a call is repeated when the API server is away: it restarts within seconds, its load balancer notices within half a minute.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for the very first call: a wrong address shall be told soon.
const PATIENCE_AT_FIRST: Duration = Duration::from_secs(5);
/// Several times the ping's interval.
const STALL: Duration = Duration::from_secs(60);

/// A cluster, seen from one namespace. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    namespace: Arc<str>,
    patience: Duration,
}

struct Shared {
    client: kube::Client,
    runtime: Option<Runtime>,
    stop: StopFlag,
    stall: Duration,
    in_cluster: bool,
    origin: String,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Never waits: the last clone may be dropped by one of the runtime's own tasks.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Cluster {
    /// Finds the configuration, and sees that the API server answers and the namespace is there.
    ///
    /// # Errors
    /// [`Class::Refused`] when nothing is configured, the login is not accepted, or there is no such namespace; [`Class::Transient`] when the API server
    /// cannot be reached.
    pub fn connect(options: &Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("kubernetes")
            .enable_all()
            .build()
            .map_err(|error| Error::failed("could not start threads for the API's client").because(error))?;
        let (sender, receiver) = mpsc::channel();
        let asked = options.clone();
        runtime.spawn(async move {
            let made = match config::find(&asked).await {
                // A client must be made inside of its runtime.
                Ok(found) => kube::Client::try_from(found.config.clone()).map_err(|error| unusable(&error)).map(|client| (client, found)),
                Err(error) => Err(error),
            };
            sender.send(made).ok();
        });
        let (client, found) = receiver.recv().map_err(|error| Error::failed("the API's client did not start").because(error))??;
        let shared = Shared {
            client,
            runtime: Some(runtime),
            stop: options.stop.clone(),
            stall: options.stall.unwrap_or(STALL),
            in_cluster: found.in_cluster,
            origin: found.origin,
        };
        let patience = options.patience.unwrap_or(PATIENCE);
        let cluster = Self { shared: Arc::new(shared), namespace: found.config.default_namespace.into(), patience };
        cluster.greet()?;
        Ok(cluster)
    }

    /// The installation's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same cluster, seen from another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.into(), ..self.clone() }
    }

    /// Whether this runs in a pod of the cluster, and so reaches Services by their names.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.shared.in_cluster
    }

    /// Where the configuration came from, for people.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.shared.origin
    }

    /// The version of the API server: `v1.20.2`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn version(&self) -> Result<String, ApiError> {
        Ok(self.get("/version")?["gitVersion"].as_str().unwrap_or("unknown").to_owned())
    }

    /// Waits for a future of the cluster's own runtime. May be called from any thread, also from one that belongs to another runtime.
    pub(super) fn run<T: Send + 'static>(&self, future: impl Future<Output = Result<T, ApiError>> + Send + 'static) -> Result<T, ApiError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.handle().spawn(async move {
            sender.send(future.await).ok();
        });
        receiver.recv().unwrap_or_else(|_| {
            Err(ApiError::unanswered(
                "finish a call".to_owned(),
                super::error::Rule::none(),
                "the Kubernetes client was shut down during the request",
            ))
        })
    }

    pub(super) fn handle(&self) -> Handle {
        // It is taken by `drop` only.
        self.shared.runtime.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// The way to the API server, for tasks of the cluster's own runtime: they must not hold the runtime itself.
    pub(super) fn line(&self) -> Line {
        Line { client: self.shared.client.clone(), stop: self.shared.stop.clone(), patience: self.patience }
    }

    pub(super) fn stall(&self) -> Duration {
        self.shared.stall
    }

    /// The same cluster, with calls that are given up sooner.
    pub(super) fn hastily(&self) -> Self {
        Self { patience: self.patience.min(PATIENCE_AT_FIRST), ..self.clone() }
    }

    /// Sees that the server answers, and that the namespace is there as far as that may be known.
    fn greet(&self) -> Result<()> {
        let hasty = self.hastily();
        hasty.version().map_err(|error| Error::from(error).hint(format!("Cluster taken from {}.", self.origin())))?;
        match hasty.get(&format!("/api/v1/namespaces/{}", self.namespace())) {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Err(self.no_such_namespace()),
            // An ordinary user may not look at namespaces; what it may do is asked where it is done.
            Err(error) if error.is_forbidden() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn no_such_namespace(&self) -> Error {
        let error = Error::new(Class::Refused, format!("there is no namespace {}", self.namespace()));
        match self.hastily().list("/api/v1/namespaces", None) {
            Ok(found) => {
                let names: Vec<_> = found
                    .iter()
                    .filter_map(|namespace| namespace["metadata"]["name"].as_str())
                    .filter(|name| !name.starts_with("kube-") && !name.starts_with("openshift-"))
                    .collect();
                error.hint(format!("Namespaces here are: {}.", names.join(", "))).hint("Give the right one with --namespace.")
            }
            Err(_) => error.hint("Give the right one with --namespace; this user may not list them."),
        }
    }
}

fn unusable(error: &kube::Error) -> Error {
    // Its words may quote a command of the kubeconfig, never what that command answered.
    Error::refused("the cluster's configuration cannot be used")
        .hint(format!("The client said: {}.", super::error::chain(error)))
        .hint("Log in again: `oc login`, or your provider's command.")
}
