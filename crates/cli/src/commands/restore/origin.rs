//! What a plan says about where its set comes from, and about what the set lacks.

use plan::ids::DataSetName;
use plan::manifest::{Agreement, Manifest};
use plan::ports::{Problem, Severity};
use plan::release::{Known, judge};
use plan::{InstallationId, Plan, Purpose};

/// The first line of a plan whose set is not known to be of the installation that it goes into.
pub(super) fn origin(plan: &Plan, manifest: &Manifest) -> Option<String> {
    let into = match (plan.purpose, &plan.installation) {
        (Purpose::Rehearse, _) => "throw-away servers".to_owned(),
        (_, Some(installation)) => installation.to_string(),
        (_, None) => "this installation".to_owned(),
    };
    let name = |installation: &Option<InstallationId>| installation.as_ref().map(|one| one.name.clone()).unwrap_or_default();
    match &plan.from {
        Some(from) if from.name == name(&plan.installation) => {
            let server = from.identity.as_ref().map(|identity| format!(" ({identity})")).unwrap_or_default();
            Some(format!("Taken from {} on another server{server}, goes into {into}.", from.name))
        }
        Some(from) => Some(format!("Taken from another installation, {from}, goes into {into}.")),
        None if name(&manifest.installation).is_empty() => {
            let version = &manifest.program_version;
            Some(format!("Taken by release {version}, which did not write down from which installation; goes into {into}."))
        }
        None => None,
    }
}

/// The stores of the set did not agree when it was taken: so they come back.
pub(super) fn disagreeing(names: &[DataSetName], manifest: &Manifest) -> Option<Problem> {
    let both = [DataSetName::SystemDatabase, DataSetName::BackendRedis].iter().all(|name| names.contains(name));
    let differences = manifest.agreement.filter(|_| both).and_then(Agreement::differences)?;
    let text = format!(
        "the stores of the set differ: {differences}; what is missing in Backend is written anew where its configuration is, and nothing is removed there"
    );
    Some(Problem::new(Severity::Degrades, text).way_out(format!("`threescale-backup verify {}` names what differs.", manifest.set)))
}

/// The data sets that the installation has and the set does not: they stay as they are, beside others of another time.
pub(super) fn lacking(there: &[DataSetName], manifest: &Manifest) -> Vec<Problem> {
    let missing = manifest.missing();
    let is_lacking = |name: &&DataSetName| !manifest.data_sets.contains_key(name);
    let problem = |name: &DataSetName| {
        let why = match missing.get(name) {
            Some(why) => format!(" ({why})"),
            None if manifest.absent.contains(name) => " (declared absent when it was taken)".to_owned(),
            None => String::new(),
        };
        let severity = if *name == DataSetName::KubernetesObjects { Severity::Note } else { Severity::Degrades };
        Problem::new(severity, format!("the set has no {name}{why}: what is there stays as it is, and may not fit to what goes back"))
    };
    there.iter().filter(is_lacking).map(problem).collect()
}

/// Whether System here runs on the set's database, where that goes back and the objects of the set do not say it already.
pub(super) fn older_system(plan: &Plan, manifest: &Manifest, release: Option<&str>) -> Option<Problem> {
    manifest.data_sets.get(&DataSetName::SystemDatabase).filter(|_| plan.data_sets.contains_key(&DataSetName::SystemDatabase))?;
    // Sets of before do not say it; their objects may.
    let objects = manifest.data_sets.get(&DataSetName::KubernetesObjects);
    let of_objects = objects.and_then(|kept| kept.evidence.facts.get("release"));
    let set = Known { release: manifest.release.as_ref().or(of_objects).map(String::as_str), schema: manifest.newest_migration.as_deref() };
    let told = judge(set, Known { release, schema: plan.newest_migration() })?;
    let is_told = plan.all_problems().any(|(_, known)| known.text == told.text);
    (!is_told).then_some(told)
}
