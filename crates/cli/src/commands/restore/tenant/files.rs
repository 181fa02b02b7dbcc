//! Files that the rows of a tenant name: which of those that the set has are not there, or of another size. They are not put back by this run; the plan says by which commands they are.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;

use plan::ids::DataSetName;
use plan::manifest::Manifest;
use plan::ports::{Context, Repository};
use plan::{Policies, Result};
use serde::Serialize;
use threescale::tenant::Named;

use crate::app::App;
use crate::join::{self, Installation};

/// So many are named.
const NAMED_MAX: usize = 10;

/// See the module.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Files {
    /// That the set has of the tenant.
    pub(super) in_the_set: usize,
    /// Of these, that are not there.
    pub(super) missing: usize,
    /// Of these, that have another size there.
    pub(super) other_size: usize,
    /// The paths of the first of both.
    pub(super) first: Vec<String>,
}

/// Looks for them; `None` where the set or the installation has no files, or they cannot be listed, which is told.
pub(super) fn look(
    app: &App,
    installation: &dyn Installation,
    (manifest, repository): (&Manifest, &dyn Repository),
    context: &Context,
    named: &mut Named,
) -> Result<Option<Files>> {
    let name = DataSetName::SystemStorage;
    let Some(kept) = manifest.data_sets.get(&name).filter(|_| installation.names().contains(&name)) else { return Ok(None) };
    // What is held are the tenant's own.
    let mut wanted: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for entry in repository.open(&kept.snapshot)?.entries()? {
        context.stop.check()?;
        let entry = entry?;
        let path = entry.path.as_os_str().as_bytes();
        if entry.is_file() && named.has(path) {
            wanted.insert(path.to_vec(), entry.size_bytes);
        }
    }
    let in_the_set = wanted.len();
    let mut other_size = Vec::new();
    let listed = join::data_set(installation, name, Policies::default()).and_then(|store| {
        let Some(files) = store.live_files() else { return Ok(false) };
        files.each_file(context, &mut |path, size_bytes| {
            if wanted.remove(path).is_some_and(|size| size != size_bytes) {
                other_size.push(String::from_utf8_lossy(path).into_owned());
            }
            Ok(())
        })?;
        Ok(true)
    });
    match listed {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => {
            context.stop.check()?;
            app.output.note(&format!("warning: nobody knows which files of the tenant are missing: {}", error.chain()));
            return Ok(None);
        }
    }
    let (missing, others) = (wanted.len(), other_size.len());
    let paths = wanted.into_keys().map(|path| String::from_utf8_lossy(&path).into_owned());
    Ok(Some(Files { in_the_set, missing, other_size: others, first: paths.chain(other_size).take(NAMED_MAX).collect() }))
}
