//! Where the throw-away servers of a rehearsal are: programs of this machine, or pods of the cluster.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet};
use plan::{Error, Result};

use super::doors;
use super::stage::Stage;
use crate::app::App;
use crate::config::{Config, Platform};
use crate::join::RehearsalPods;

/// The servers; they end with this value.
pub(super) enum Servers {
    /// Programs of this machine.
    Here(Stage),
    /// Pods.
    Pods(RehearsalPods),
}

impl Servers {
    /// None yet.
    ///
    /// # Errors
    /// When there is no cluster for pods, or this user may not make them there.
    pub(super) fn new(app: &App, config: &Config, context: &Context, in_pods: bool) -> Result<Self> {
        if !in_pods {
            return Ok(Self::Here(Stage::default()));
        }
        if config.platform()? != Platform::Kubernetes {
            return Err(Error::refused("--pods needs a cluster, and this installation is not on one")
                .hint("Leave --pods out: then the throw-away servers are programs of this machine. Or name the cluster: --namespace, --context, --kubeconfig."));
        }
        RehearsalPods::new(config, app.global(), context).map(Self::Pods)
    }

    /// Starts the server of a data set.
    ///
    /// # Errors
    /// When there is none for its kind, or it does not start.
    pub(super) fn prepare(&mut self, context: &Context, name: DataSetName, kept: &KeptDataSet) -> Result<Arc<dyn DataSet>> {
        match self {
            Self::Here(stage) => stage.prepare(name, kept),
            Self::Pods(pods) => pods.prepare(context, name, kept),
        }
    }

    /// Runs the command of `--then` beside them.
    ///
    /// # Errors
    /// When the users who may read cannot be made; when the command ends with another status than 0.
    pub(super) fn then(&self, app: &App, context: &Context, command: &str) -> Result<()> {
        match self {
            Self::Here(stage) => doors::then(app, context, |at| doors::of_machine(stage, at), command),
            Self::Pods(pods) => doors::then(app, context, |at| doors::of_pods(context, pods, at), command),
        }
    }

    /// Removes them.
    ///
    /// # Errors
    /// When a pod cannot be removed now.
    pub(super) fn remove(self) -> Result<()> {
        match self {
            Self::Here(_) => Ok(()),
            Self::Pods(pods) => pods.remove(),
        }
    }
}
