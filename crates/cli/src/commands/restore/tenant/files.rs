//! Files that the rows of a tenant name: those that are not live as the set has them go back, those that only rows here name stay, and are listed.

use std::collections::BTreeSet;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::ports::{Context, DataSet, Problem, Repository, Road, Severity, Snapshot, SomeFiles};
use plan::{Class, Error, FilesBeside, Policies, Result, Target};
use serde::Serialize;
use threescale::tenant::Lost;

use crate::app::App;
use crate::commands::backup::look_at_all;
use crate::join::{self, Installation};
use crate::output::{bytes, count};
use crate::tenant_files::of_snapshot;
use crate::tenant_rows::Looked;

const FILES: DataSetName = DataSetName::SystemStorage;
/// So many are named.
const NAMED_MAX: usize = 10;
const ROWS_ONLY: &str = "`--rows-only` puts the rows back and leaves files and Backend as they are.";

/// See the module.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Files {
    /// That the set has of the tenant.
    pub(super) in_the_set: usize,
    /// Of these, that are not there.
    pub(super) missing: usize,
    /// Of these, in whose place there is something else.
    pub(super) other: usize,
    /// The paths of the first of both.
    pub(super) first: Vec<String>,
    /// That rows here name and the set does not have: they stay.
    pub(super) surplus: usize,
    /// The paths of the first of these.
    pub(super) first_surplus: Vec<String>,
    /// That its rows in the set name, and that are neither in the set nor here: nothing brings them back.
    pub(super) lost: usize,
    /// The first of these, with their rows.
    pub(super) first_lost: Vec<Lost>,
}

/// Where they go.
pub(super) struct Going {
    pub(super) store: Arc<dyn DataSet>,
    pub(super) beside: FilesBeside,
}

/// Looks for them; nothing where the set or the installation has no files, or they cannot be read, which is told. What goes back is given where `goes` says so.
pub(super) fn look(
    app: &App,
    installation: &dyn Installation,
    (manifest, repository): (&Manifest, &dyn Repository),
    context: &Context,
    (looked, goes): (&mut Looked, bool),
) -> Result<(Option<Files>, Option<Going>)> {
    match found(installation, (manifest, repository), context, (looked, goes)) {
        Ok(found) => Ok(found),
        Err(error) if error.class() == Class::Interrupted => Err(error),
        Err(error) if goes => Err(error.hint(ROWS_ONLY)),
        Err(error) => {
            app.output.note(&format!("warning: nobody knows which files of the tenant are missing: {}", error.chain()));
            Ok((None, None))
        }
    }
}

fn found(
    installation: &dyn Installation,
    (manifest, repository): (&Manifest, &dyn Repository),
    context: &Context,
    (looked, goes): (&mut Looked, bool),
) -> Result<(Option<Files>, Option<Going>)> {
    let Some(kept) = manifest.data_sets.get(&FILES).filter(|_| installation.names().contains(&FILES)) else { return Ok((None, None)) };
    let store = join::data_set(installation, FILES, Policies::default())?;
    let (Some(live), Some(puts)) = (store.live_files(), store.puts_files()) else { return Ok((None, None)) };
    let snapshot: Arc<dyn Snapshot> = Arc::from(repository.open(&kept.snapshot)?);
    // What is held are the tenant's own.
    let files = of_snapshot(&mut looked.named, snapshot.as_ref(), context)?;
    let mut surplus = BTreeSet::new();
    live.each_file(context, &mut |path, _| {
        looked.named.elsewhere(path);
        if looked.named_here.has(path) {
            surplus.insert(PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())));
        }
        Ok(())
    })?;
    surplus.retain(|path| !files.contains(path));
    let in_the_set = files.len();
    let compared = puts.compare_files(context, &SomeFiles::new(Arc::clone(&snapshot), files))?;
    let (lost, first_lost) = looked.named.lost(NAMED_MAX);
    let shown = |path: &PathBuf| String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    let found = Files {
        in_the_set,
        missing: compared.missing.len(),
        other: compared.other.len(),
        first: compared.missing.iter().chain(&compared.other).take(NAMED_MAX).map(shown).collect(),
        surplus: surplus.len(),
        first_surplus: surplus.iter().take(NAMED_MAX).map(shown).collect(),
        lost,
        first_lost,
    };
    if !goes || found.missing + found.other == 0 {
        return Ok((Some(found), None));
    }
    let findings = look_at_all(&[(FILES, Arc::clone(&store))].into(), context)?.remove(&FILES);
    let findings = findings.ok_or_else(|| Error::failed(format!("{FILES} was not looked at")))?;
    let going: BTreeSet<PathBuf> = compared.missing.into_iter().chain(compared.other).collect();
    let some = SomeFiles::kept(&SomeFiles::new(snapshot, going), kept)?;
    let leaving_them = |problem: Problem| match (problem.severity, problem.way_out.clone()) {
        (Severity::Blocks, way_out) => problem.way_out(format!("{} {ROWS_ONLY}", way_out.unwrap_or_default()).trim_start()),
        _ => problem,
    };
    let fits = puts.files_fit(context, &findings, &some)?.into_iter().map(leaving_them).collect();
    let reason = format!(
        "{}: {} are new, {} take the place of others, which are kept; all other files stay",
        bytes(some.bytes),
        count(found.missing as u64),
        count(found.other as u64)
    );
    let target = Target { findings, kept: kept.clone(), road: Road::SideCopy, fits, rest: None };
    let going = Going { beside: FilesBeside { target, reason }, store: Arc::clone(&store) };
    Ok((Some(found), Some(going)))
}
