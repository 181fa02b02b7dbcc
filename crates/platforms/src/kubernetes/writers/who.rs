//! Which workloads write to which data set, in which group they start, and where the APIManager says how many there are. Pure.
//!
//! The names and labels are those of every era (`threescale_component` and `threescale_component_element`, else the object's name).

use plan::ids::DataSetName;
use plan::ports::WriterGroup;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::workload;

/// A workload that writes. Declared in the order in which they are stopped: those that make work for others first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Writer {
    SystemApp,
    SystemSidekiq,
    BackendListener,
    BackendWorker,
    BackendCron,
    Zync,
    ZyncQue,
    /// Writes nowhere, but answers from rows that may not be there any more.
    SystemMemcache,
}

impl Writer {
    pub(crate) const ALL: [Self; 8] = [
        Self::SystemApp,
        Self::SystemSidekiq,
        Self::BackendListener,
        Self::BackendWorker,
        Self::BackendCron,
        Self::Zync,
        Self::ZyncQue,
        Self::SystemMemcache,
    ];

    /// The workload's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SystemApp => "system-app",
            Self::SystemSidekiq => "system-sidekiq",
            Self::BackendListener => "backend-listener",
            Self::BackendWorker => "backend-worker",
            Self::BackendCron => "backend-cron",
            Self::Zync => "zync",
            Self::ZyncQue => "zync-que",
            Self::SystemMemcache => "system-memcache",
        }
    }

    /// `threescale_component` and `threescale_component_element`.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::SystemApp => ("system", "app"),
            Self::SystemSidekiq => ("system", "sidekiq"),
            Self::BackendListener => ("backend", "listener"),
            Self::BackendWorker => ("backend", "worker"),
            Self::BackendCron => ("backend", "cron"),
            Self::Zync => ("zync", "zync"),
            Self::ZyncQue => ("zync", "zync-que"),
            Self::SystemMemcache => ("system", "memcache"),
        }
    }

    /// The data sets that must not change under it. System writes the configuration and reads the counters of Backend's Redis; apicast writes nowhere
    /// and goes on serving from the configuration that it has.
    const fn writes_to(self) -> &'static [DataSetName] {
        use DataSetName::{BackendRedis, SystemDatabase, SystemRedis, SystemStorage, ZyncDatabase};
        match self {
            Self::SystemApp | Self::SystemSidekiq => &[SystemDatabase, SystemStorage, BackendRedis, SystemRedis],
            Self::BackendListener | Self::BackendWorker | Self::BackendCron => &[BackendRedis],
            Self::Zync | Self::ZyncQue => &[ZyncDatabase],
            Self::SystemMemcache => &[SystemDatabase],
        }
    }

    pub(crate) fn writes_to_any(self, data_sets: &[DataSetName]) -> bool {
        self.writes_to().iter().any(|name| data_sets.contains(name))
    }

    /// Whether it makes jobs for others and does none.
    pub(crate) const fn makes_jobs(self) -> bool {
        matches!(self, Self::SystemApp | Self::BackendListener | Self::BackendCron)
    }

    /// The group with which it starts.
    pub(crate) const fn group(self) -> WriterGroup {
        match self {
            Self::BackendListener => WriterGroup::Listener,
            Self::SystemApp | Self::SystemSidekiq | Self::BackendWorker | Self::BackendCron | Self::SystemMemcache => WriterGroup::System,
            Self::Zync | Self::ZyncQue => WriterGroup::Zync,
        }
    }

    /// Its turn within the group: the cache before those who use it, those who take work off before those who make it; sidekiq waits for system-app.
    pub(crate) const fn turn(self) -> u8 {
        match self {
            Self::SystemMemcache | Self::BackendListener | Self::Zync => 0,
            Self::BackendWorker | Self::ZyncQue => 1,
            Self::BackendCron => 2,
            Self::SystemApp => 3,
            Self::SystemSidekiq => 4,
        }
    }

    /// Where an APIManager may say how many there are: `spec.<component>.<element>.replicas`.
    pub(crate) const fn in_api_manager(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::SystemApp => Some(("system", "appSpec")),
            Self::SystemSidekiq => Some(("system", "sidekiqSpec")),
            Self::BackendListener => Some(("backend", "listenerSpec")),
            Self::BackendWorker => Some(("backend", "workerSpec")),
            Self::BackendCron => Some(("backend", "cronSpec")),
            Self::Zync => Some(("zync", "appSpec")),
            Self::ZyncQue => Some(("zync", "queSpec")),
            Self::SystemMemcache => None,
        }
    }

    /// Which writer a workload is. Labels first: names can be anything in an installation that was not made by the operator.
    pub(crate) fn of(object: &Value) -> Option<Self> {
        let label = |key: &str| object.pointer("/metadata/labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
        if let (Some(component), Some(element)) = (label("threescale_component"), label("threescale_component_element")) {
            return Self::ALL.into_iter().find(|writer| writer.labels() == (component, element));
        }
        Self::ALL.into_iter().find(|writer| writer.name() == workload::name(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stopped_for(data_sets: &[DataSetName]) -> Vec<&'static str> {
        Writer::ALL.into_iter().filter(|writer| writer.writes_to_any(data_sets)).map(Writer::name).collect()
    }

    #[test]
    fn only_those_who_write_to_a_data_set_are_stopped_for_it() {
        assert_eq!(stopped_for(&[DataSetName::SystemDatabase]), ["system-app", "system-sidekiq", "system-memcache"]);
        assert_eq!(stopped_for(&[DataSetName::SystemStorage]), ["system-app", "system-sidekiq"]);
        assert_eq!(stopped_for(&[DataSetName::SystemRedis]), ["system-app", "system-sidekiq"]);
        assert_eq!(stopped_for(&[DataSetName::ZyncDatabase]), ["zync", "zync-que"]);
        let backend = ["system-app", "system-sidekiq", "backend-listener", "backend-worker", "backend-cron"];
        assert_eq!(stopped_for(&[DataSetName::BackendRedis]), backend);
        assert!(stopped_for(&[DataSetName::KubernetesObjects]).is_empty());
        assert_eq!(stopped_for(&DataSetName::ALL).len(), Writer::ALL.len());
    }

    #[test]
    fn labels_say_who_it_is_and_else_the_name() {
        let labelled = |component: &str, element: &str, name: &str| {
            Writer::of(
                &json!({"metadata": {"name": name, "labels": {"threescale_component": component, "threescale_component_element": element}}}),
            )
        };
        assert_eq!(labelled("zync", "zync-que", "anything"), Some(Writer::ZyncQue));
        assert_eq!(labelled("apicast", "production", "apicast-production"), None);
        assert_eq!(labelled("system", "redis", "system-app"), None, "labels win over the name");
        assert_eq!(Writer::of(&json!({"metadata": {"name": "backend-cron"}})), Some(Writer::BackendCron));
        assert_eq!(Writer::of(&json!({"metadata": {"name": "system-mysql"}})), None);
    }

    #[test]
    fn the_cache_starts_before_system_and_sidekiq_after_it() {
        let mut system: Vec<_> = Writer::ALL.into_iter().filter(|writer| writer.group() == WriterGroup::System).collect();
        system.sort_by_key(|writer| writer.turn());
        let names: Vec<_> = system.into_iter().map(Writer::name).collect();
        assert_eq!(names, ["system-memcache", "backend-worker", "backend-cron", "system-app", "system-sidekiq"]);
    }
}
