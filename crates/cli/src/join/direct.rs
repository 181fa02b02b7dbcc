//! Platform `direct`: every address stands in the configuration, and the writers are stopped by commands of the operator's own, or by hand.

use std::sync::Arc;

use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, NothingToSynchronise, Problem, Shelf, Snapshot, Synchronise, Writers};
use plan::{Error, Policies, Result, WritersAre};

use super::{Installation, stores};
use crate::config::Config;
use crate::output::Output;
use crate::writers::{self, Consent};

/// The configured addresses.
pub(super) struct Direct {
    config: Config,
}

impl Direct {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Installation for Direct {
    fn identity(&self) -> String {
        String::new()
    }

    fn names(&self) -> Vec<DataSetName> {
        self.config.data_sets()
    }

    fn data_set(&self, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>> {
        let made = match name {
            DataSetName::SystemDatabase | DataSetName::ZyncDatabase => stores::database(name, self.config.database(name)?, None),
            DataSetName::SystemStorage => {
                let section = self.config.storage()?;
                let options = files_data_set::Options { skip_unreadable: section.skip_unreadable };
                Ok(Arc::new(files_data_set::FilesStore::new(name, section.path, options)) as Arc<dyn DataSet>)
            }
            DataSetName::BackendRedis => stores::backend_redis(&self.config.redis(name)?, policies.queues, None),
            DataSetName::SystemRedis => stores::system_redis(&self.config.redis(name)?, policies.queues, None),
            DataSetName::KubernetesObjects => Err(Error::refused("there are no Kubernetes objects on the platform \"direct\"")
                .hint("Leave it out with --only, or set [platform] kind = \"kubernetes\".")),
        };
        made.map_err(|error| error.during(format!("[{name}] cannot be used")))
    }

    fn way_to(&self, missing: DataSetName) -> String {
        format!("Add a section [{missing}] with its address")
    }

    fn writers(&self, output: &Output, consent: Consent) -> Result<Arc<dyn Writers>> {
        writers::of(&self.config, output, consent)
    }

    fn writers_are(&self, are_stopped: bool, yes: bool) -> Option<WritersAre> {
        if self.config.has("writers") {
            Some(WritersAre::Ours)
        } else if are_stopped {
            Some(WritersAre::Stopped)
        } else {
            yes.then_some(WritersAre::Running)
        }
    }

    fn synchronise(&self) -> Result<Arc<dyn Synchronise>> {
        Ok(Arc::new(NothingToSynchronise))
    }

    fn shelf(&self) -> Option<Arc<dyn Shelf>> {
        None
    }

    fn differences(&self, _context: &Context, _snapshot: &dyn Snapshot, _policies: Policies) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn facts(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}
