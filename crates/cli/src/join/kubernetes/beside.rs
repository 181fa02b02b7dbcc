//! What is beside the data sets in a namespace: the Routes that lead to it, the search index, and how far zync is with its jobs.

use std::sync::{Arc, PoisonError};

use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, RouteReader, StopFlag};
use plan::{Policies, Result};
use platforms::kubernetes::find::address::Reach;
use platforms::kubernetes::sync::QueueProbe;

use super::Kubernetes;
use crate::join::{Documents, Installation, Seen, stores};

/// searchd's port, by the MySQL protocol (porta, `config/thinking_sphinx.yml`; the operator, `component/system_searchd.go`).
const SEARCH_PORT: u16 = 9306;
/// From 2.14 on; up to 2.13.
const SEARCHERS: [&str; 2] = ["system-searchd", "system-sphinx"];

/// Jobs of que whose time has come (zync, `db/structure.sql`: `que_determine_job_state`; what failed before waits with a later `run_at`).
const DUE: &str = "SELECT COUNT(*) FROM que_jobs WHERE finished_at IS NULL AND expired_at IS NULL AND run_at <= now()";

impl Kubernetes {
    pub(super) fn routes(&self, context: &Context, reader: &mut RouteReader<'_>) -> Result<Seen<()>> {
        Ok(self.cluster.each_route(&context.stop, reader)?.map_or(Seen::All(()), Seen::Not))
    }

    pub(super) fn documents(&self, names: &[&'static str]) -> Result<Seen<Documents>> {
        let mut found = None;
        for name in SEARCHERS {
            if self.cluster.get_if_there(&self.cluster.path("v1", "services", Some(name)))?.is_some() {
                found = Some(name);
                break;
            }
        }
        let Some(name) = found else { return Ok(Seen::Not(format!("the namespace has no Service {}", SEARCHERS.join(" or ")))) };
        let reach = Reach::Service { namespace: self.cluster.namespace().to_owned(), name: name.to_owned(), port: SEARCH_PORT };
        let way = self.ways.lock().unwrap_or_else(PoisonError::into_inner).to(&reach)?;
        let began = std::time::Instant::now();
        let asked = stores::documents(&way.host, way.port, names, &self.patience);
        asked.map(Seen::All).map_err(|error| way.trouble(began).unwrap_or(error).during(format!("{reach} does not answer")))
    }

    /// How many of zync's jobs are due, in its own database; `None` where the installation has none.
    pub(super) fn due_jobs(&self) -> Option<QueueProbe> {
        let name = DataSetName::ZyncDatabase;
        if !self.names().contains(&name) {
            return None;
        }
        let store: Arc<dyn DataSet> = self.data_set(name, Policies::default()).ok()?;
        store.live_rows()?;
        let stop: StopFlag = self.patience.stop();
        Some(Box::new(move || {
            let context = Context { stop: stop.clone(), ..Context::new(runner::new_run_id().0) };
            store.live_rows().map_or(Ok(None), |rows| rows.session(&context)?.count(DUE))
        }))
    }
}
