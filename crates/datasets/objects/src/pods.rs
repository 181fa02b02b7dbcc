//! Pods that runs made beside an installation, to reach its files, for tasks and for rehearsals, and that nobody removed: the call that made one died, or keeps it as evidence.
//!
//! They carry the label of this program and that of their run (crate `platforms`, `volume.rs`, `sync/pod.rs` and `rehearsal/pod.rs`); the Jobs of the chart have the former only.

use plan::Result;
use plan::ports::{Context, Holds, Leftover, ObjectKind, Objects};
use serde_json::{Value, json};

use crate::notes::OWN_LABEL;
use crate::object::{OWN_ANNOTATIONS, name_of, text_at};

fn kind() -> ObjectKind {
    ObjectKind::new("v1", "Pod", "pods")
}

/// Those of all runs but this one.
pub(crate) fn find(context: &Context, objects: &dyn Objects) -> Result<Vec<Leftover>> {
    let left = |pod: &Value| {
        let label = |name: &str| pod.get("metadata")?.get("labels")?.get(name)?.as_str();
        let run = label(&format!("{OWN_ANNOTATIONS}run")).filter(|run| *run != context.run.as_str())?;
        let (name, uid) = (name_of(pod)?, text_at(pod, "/metadata/uid")?);
        let stays = label(OWN_LABEL.0) == Some(OWN_LABEL.1) && text_at(pod, "/metadata/deletionTimestamp").is_none();
        stays.then(|| Leftover {
            what: format!("pod {name} in namespace {}", objects.namespace()),
            run: run.to_owned(),
            installation: None,
            // The throw-away server of a rehearsal has a copy of a set in it.
            holds: if label(&format!("{OWN_ANNOTATIONS}rehearsal")).is_some() { Holds::Staged } else { Holds::Nothing },
            bytes: None,
            handle: json!({"pod": name, "uid": uid}),
        })
    };
    Ok(objects.list(&kind())?.iter().filter_map(left).collect())
}

/// Removes a pod that was found; `false` when something else is meant. Gone already is fine.
pub(crate) fn remove(objects: &dyn Objects, leftover: &Leftover) -> Result<bool> {
    let (Some(name), Some(uid)) = (text_at(&leftover.handle, "/pod"), text_at(&leftover.handle, "/uid")) else { return Ok(false) };
    objects.delete(&kind(), name, uid)?;
    Ok(true)
}
