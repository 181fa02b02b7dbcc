//! The jobs that a frozen backup lets be done first. Where they wait is known by the crate `threescale`.

use plan::ids::DataSetName;
use plan::ports::LiveKey;
use plan::step::{Drain, JobQueues};
use threescale::queues::{BACKEND, SYSTEM, Waiting};

/// Those of these data sets.
pub(crate) fn of(names: &[DataSetName], seconds_max: u64) -> Drain {
    let all = [(DataSetName::SystemRedis, "system", SYSTEM), (DataSetName::BackendRedis, "queues", BACKEND)];
    let queues = |(data_set, database, waiting): (DataSetName, &str, Waiting)| {
        let key = |key: &str| LiveKey { database: database.to_owned(), key: key.to_owned() };
        JobQueues { data_set, names: key(waiting.names), prefix: waiting.prefix.to_owned(), processes: waiting.processes.map(key) }
    };
    Drain { of: all.into_iter().filter(|(data_set, ..)| names.contains(data_set)).map(queues).collect(), seconds_max }
}
