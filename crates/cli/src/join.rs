//! Where the parts are joined: a platform's installation becomes data sets, writers and copies. One match arm for each platform, one for each kind of store.

mod bucket;
mod configured;
mod direct;
mod endpoint;
mod kubernetes;
mod patience;
mod reached;
mod repository;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, Findings, Problem, RouteReader, Severity, Shelf, Snapshot, StopFlag, Synchronise, Writers};
use plan::{Error, InstallationId, Policies, Result, WritersAre};

pub(crate) use configured::{not_configured, nothing_configured, told_missing};
pub(crate) use kubernetes::{REHEARSED_SYSTEM, RehearsalPods, connect};
pub(crate) use patience::Patience;
pub(crate) use repository::{copy, folder, repository};

use crate::args::Global;
use crate::config::{Config, Platform};
use crate::output::Output;
use crate::writers::Consent;

/// Something beside the data sets that was looked at.
pub(crate) enum Seen<T> {
    All(T),
    /// It could not be, and why.
    Not(String),
    /// Nobody said where it is.
    NotConfigured(String),
    /// There is no such thing on this platform.
    NotHere,
}

/// Indices by their names, each with how many documents searchd has in it; `None` for one that it does not have.
pub(crate) type Documents = Vec<(&'static str, Option<u64>)>;

/// A 3scale installation, whatever it runs on.
pub(crate) trait Installation: Send + Sync {
    /// Its name, and what tells it from others as far as that is known without asking its stores.
    fn id(&self) -> InstallationId;

    /// The release of 3scale that it is, as the configuration or the platform says.
    fn release(&self) -> Option<String>;

    /// The data sets that an installation of this platform has, configured or not.
    fn expected(&self) -> Vec<DataSetName>;

    /// The data sets that it was declared not to have.
    fn absent(&self) -> Vec<DataSetName>;

    /// The data sets that it has.
    fn names(&self) -> Vec<DataSetName>;

    /// The data set of a name.
    fn data_set(&self, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>>;

    /// What to do about a data set that is wanted and not here.
    fn way_to(&self, missing: DataSetName) -> String;

    /// Who writes to the data sets.
    fn writers(&self, output: &Output, consent: Consent) -> Result<Arc<dyn Writers>>;

    /// What can be said about the writers, given what the operator said; `None` when nobody said anything.
    fn writers_are(&self, are_stopped: bool, yes: bool) -> Option<WritersAre>;

    /// Who makes copies anew.
    fn synchronise(&self) -> Result<Arc<dyn Synchronise>>;

    /// Where journals stand, when not in a folder of this machine: near the installation, where everybody finds them who reaches it.
    fn shelf(&self) -> Option<Arc<dyn Shelf>>;

    /// How the Kubernetes objects of a set differ from those here, a line each; Secrets as digests.
    fn differences(&self, context: &Context, snapshot: &dyn Snapshot, policies: Policies) -> Result<Vec<String>>;

    /// What it is, for `doctor`: name and value.
    fn facts(&self) -> Vec<(String, String)>;

    /// What stands in the way beyond the data sets, for `doctor`.
    fn problems(&self) -> Vec<Problem>;

    /// What is wrong with the installation as such, whichever data sets are wanted.
    fn standing(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// What this user may not do of what a restore of these data sets takes beside the stores.
    fn rights_lacking(&self, _names: &[DataSetName]) -> Result<Vec<Problem>> {
        Ok(Vec::new())
    }

    /// Workloads that read objects which this restore overwrites, and are not stopped for it.
    fn readers(&self, _context: &Context, _snapshot: &dyn Snapshot, _policies: Policies, _names: &[DataSetName]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// How long to rest before what failed for a while is done once more: where somebody starts anew what was lost.
    fn rests(&self) -> Vec<Duration> {
        Vec::new()
    }

    /// Tells the Routes that lead to it.
    fn each_route(&self, _context: &Context, _reader: &mut RouteReader<'_>) -> Result<Seen<()>> {
        Ok(Seen::NotHere)
    }

    /// How many documents searchd has in each of these indices.
    fn search_index(&self, _context: &Context, _names: &[&'static str]) -> Result<Seen<Documents>> {
        Ok(Seen::NotHere)
    }

    /// What stands in the way of making an installation here, where there is none.
    fn obstacles(&self) -> Result<Vec<Problem>> {
        Ok(vec![Problem::new(Severity::Blocks, "an installation is made in an empty namespace of Kubernetes, and nowhere else")])
    }

    /// What others have still to make of an installation that is being made.
    fn still_to_come(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Whether who looks after the installation is content with it: what it says otherwise.
    fn conditions_missing(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// The installation that is configured.
pub(crate) fn installation(config: &Config, global: &Global, stop: &StopFlag) -> Result<Arc<dyn Installation>> {
    match config.platform()? {
        Platform::Direct => Ok(Arc::new(direct::Direct::new(config.clone(), Patience::of(config, stop)?))),
        Platform::Kubernetes => Ok(Arc::new(kubernetes::Kubernetes::find(config, global, stop)?)),
    }
}

/// What there is of the installation that is configured, which may be nothing. `domain`: the one that it is to have, where it is not the set's.
pub(crate) fn installation_even_nothing(
    config: &Config,
    global: &Global,
    stop: &StopFlag,
    domain: Option<&str>,
) -> Result<Arc<dyn Installation>> {
    match config.platform()? {
        Platform::Direct => installation(config, global, stop),
        Platform::Kubernetes => Ok(Arc::new(kubernetes::Kubernetes::find_even_nothing(config, global, stop, domain)?)),
    }
}

/// Which installation is configured, as far as that is known without asking its stores; an empty name when nothing says it. With what went wrong meanwhile.
pub(crate) fn id(config: &Config, global: &Global, stop: &StopFlag) -> Result<(InstallationId, Option<Error>)> {
    match config.platform()? {
        Platform::Direct => Ok((direct::Direct::new(config.clone(), Patience::of(config, stop)?).id(), None)),
        Platform::Kubernetes => Ok(kubernetes::id(config, global, stop)),
    }
}

/// The installation with what tells it from others of its name: what the platform knows, else its first store that has an identity.
pub(crate) fn identified(installation: &dyn Installation, context: &Context, found: &BTreeMap<DataSetName, Findings>) -> InstallationId {
    let id = installation.id();
    let of_a_store = || first_identity(installation, context, found).map(|(_, identity)| identity);
    InstallationId { identity: id.identity.or_else(of_a_store), name: id.name }
}

/// The identity of the installation's first store that has one, whichever data sets are wanted this time and were looked at. One that does not answer is not
/// passed over: the next one's identity would be another installation's.
pub(crate) fn first_identity(
    installation: &dyn Installation,
    context: &Context,
    found: &BTreeMap<DataSetName, Findings>,
) -> Option<(DataSetName, String)> {
    let there = installation.names();
    for name in DataSetName::STORES.into_iter().filter(|name| there.contains(name)) {
        let ask = || installation.data_set(name, Policies::default()).and_then(|store| store.identity(context)).ok();
        let identity = found.get(&name).map_or_else(ask, |findings| Some(findings.identity.clone()))?;
        if let Some(identity) = identity {
            return Some((name, identity));
        }
    }
    None
}

/// Data sets that are the same data, wholly or in part, whichever are wanted this time: neither may be backed up or replaced. A store that cannot be asked now is
/// passed over.
pub(crate) fn twice(installation: &dyn Installation, context: &Context, found: &BTreeMap<DataSetName, Findings>) -> Vec<Problem> {
    let there = installation.names();
    let mut seen: BTreeMap<String, (DataSetName, String)> = BTreeMap::new();
    let mut problems: BTreeMap<(DataSetName, String), Problem> = BTreeMap::new();
    for name in DataSetName::STORES.into_iter().filter(|name| there.contains(name)) {
        let ask = || installation.data_set(name, Policies::default()).and_then(|store| store.parts(context)).unwrap_or_default();
        let known = found.get(&name).and_then(|findings| findings.identity.clone());
        for (part, here) in known.map_or_else(ask, |identity| BTreeMap::from([(identity.clone(), identity)])) {
            let Some((other, there)) = seen.get(&part) else {
                seen.insert(part, (name, here));
                continue;
            };
            if *other != name {
                let text = format!("{other} and {name} are the same data: {there} and {here} are one database");
                let way_out = "Give each a database of its own in the configuration, as 3scale's Secrets have them.";
                problems.insert((name, here), Problem::new(Severity::Blocks, text).way_out(way_out));
            }
        }
    }
    problems.into_values().collect()
}

/// The data sets that the installation has and that are not among these, each with the reason.
pub(crate) fn left_out(installation: &dyn Installation, names: &[DataSetName]) -> BTreeMap<DataSetName, String> {
    let (there, absent) = (installation.names(), installation.absent());
    let is_missing = |name: &DataSetName| !names.contains(name) && !absent.contains(name);
    let why = |name: &DataSetName| if there.contains(name) { "left out by --only" } else { "not configured" };
    installation.expected().into_iter().filter(is_missing).map(|name| (name, why(&name).to_owned())).collect()
}

/// The data set that a section with an address is about; no server is asked.
pub(crate) fn at_address(config: &Config, name: DataSetName) -> Result<Arc<dyn DataSet>> {
    direct::Direct::new(config.clone(), Patience::of(config, &StopFlag::default())?).data_set(name, Policies::default())
}

/// Whether what a section with an address says can be used, the files that it names too; no server is asked.
pub(crate) fn check_address(config: &Config, name: DataSetName) -> Result<()> {
    at_address(config, name)?;
    direct::check_files(config, name).map_err(|error| error.during(format!("[{name}] cannot be used")))
}

/// The data sets asked for, or all that there are. Each must be there.
pub(crate) fn selected(installation: &dyn Installation, only: &[DataSetName]) -> Result<Vec<DataSetName>> {
    let there = installation.names();
    if there.is_empty() {
        return Err(nothing_configured());
    }
    if let Some(missing) = only.iter().find(|name| !there.contains(name)) {
        return Err(Error::refused(format!("{missing} is not configured"))
            .hint(format!("{}, or leave it out of --only.", installation.way_to(*missing))));
    }
    let mut names = if only.is_empty() { there } else { only.to_vec() };
    names.sort();
    names.dedup();
    Ok(names)
}

/// The data sets of these names.
pub(crate) fn data_sets(
    installation: &dyn Installation,
    names: &[DataSetName],
    policies: &Policies,
) -> Result<BTreeMap<DataSetName, Arc<dyn DataSet>>> {
    names.iter().map(|name| Ok((*name, data_set(installation, *name, policies.clone())?))).collect()
}

/// A data set that knows those with which it may share a server: whichever are wanted this time, their databases are live.
pub(crate) fn data_set(installation: &dyn Installation, name: DataSetName, policies: Policies) -> Result<Arc<dyn DataSet>> {
    const MAY_SHARE: [DataSetName; 2] = [DataSetName::BackendRedis, DataSetName::SystemRedis];
    let store = installation.data_set(name, policies.clone())?;
    let there = installation.names();
    for other in MAY_SHARE.into_iter().filter(|other| MAY_SHARE.contains(&name) && *other != name && there.contains(other)) {
        // One that cannot be made is told where it is looked at.
        if let Ok(other) = installation.data_set(other, policies.clone()) {
            store.spare(other);
        }
    }
    Ok(store)
}
