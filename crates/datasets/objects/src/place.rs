//! Where a run notes what it restores: the namespace, and the policy it was planned with.

use plan::ids::{DataSetName, RunId};
use plan::ports::{Context, Objects, Place};
use plan::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::notes::Notes;
use crate::{Options, Policy};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spot {
    pub run: RunId,
    pub namespace: String,
    pub policy: Policy,
    /// For people: the names of the run's Secrets begin with this.
    pub secrets: String,
    /// The domain of the installation, where it is not the set's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

impl Spot {
    pub(crate) fn new(run: &RunId, namespace: &str, options: &Options) -> Self {
        let domain = options.domain.clone().filter(|_| options.policy == Policy::IntoEmpty);
        Self { run: run.clone(), namespace: namespace.to_owned(), policy: options.policy, secrets: Notes::prefix(run), domain }
    }

    pub(crate) fn to_place(&self) -> Result<Place> {
        serde_json::to_value(self).map(Place).map_err(|error| Error::failed("note the place of the objects").because(error))
    }

    /// Refuses a place of another namespace: a resumed run must not write into whatever the context now points to.
    pub(crate) fn from_place(place: &Place, objects: &dyn Objects) -> Result<Self> {
        let spot: Self = serde_json::from_value(place.0.clone())
            .map_err(|error| Error::needs_person("the journal's place of the Kubernetes objects cannot be read").because(error))?;
        if spot.namespace != objects.namespace() {
            return Err(Error::refused(format!("run {} is about namespace {}, not {}", spot.run, spot.namespace, objects.namespace()))
                .hint(format!("Use --namespace {} and the context of its cluster.", spot.namespace)));
        }
        Ok(spot)
    }

    pub(crate) fn notes<'a>(&'a self, context: &'a Context, objects: &'a dyn Objects) -> Notes<'a> {
        Notes { objects, run: &self.run, data_set: DataSetName::KubernetesObjects, installation: &context.installation }
    }
}
