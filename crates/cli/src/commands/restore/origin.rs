//! What a plan says about where its set comes from, and about what the set lacks.

use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::ports::{Problem, Severity};
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
