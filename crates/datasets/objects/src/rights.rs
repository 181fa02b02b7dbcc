//! Which rights are missing, as rules that an operator can paste into a Role.

use plan::Result;
use plan::ports::{ObjectKind, Objects, Problem, Severity};

/// What a backup does with every kind.
pub(crate) const READS: [&str; 2] = ["get", "list"];
/// What a restore does with the kinds that it puts back: server-side apply creates and patches, `undo` updates and deletes.
pub(crate) const WRITES: [&str; 6] = ["get", "list", "create", "patch", "update", "delete"];

/// The rights that are missing, one problem for each kind.
pub(crate) fn missing(objects: &dyn Objects, kinds: &[ObjectKind], verbs: &[&str]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for kind in kinds {
        let mut lacking = Vec::new();
        for verb in verbs {
            if !objects.may(verb, kind)? {
                lacking.push(*verb);
            }
        }
        if !lacking.is_empty() {
            problems.push(
                Problem::new(
                    Severity::Blocks,
                    format!("this user may not {} {} in namespace {}", lacking.join(", "), kind.plural, objects.namespace()),
                )
                .way_out(format!("Add to a Role of the namespace: {}", rule(kind, verbs))),
            );
        }
    }
    Ok(problems)
}

fn rule(kind: &ObjectKind, verbs: &[&str]) -> String {
    let verbs = verbs.iter().map(|verb| format!("\"{verb}\"")).collect::<Vec<_>>().join(", ");
    format!("{{apiGroups: [\"{}\"], resources: [\"{}\"], verbs: [{verbs}]}}", kind.group(), kind.plural)
}
