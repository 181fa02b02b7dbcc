//! Writers that wait for their data: an installation that is put into an empty namespace is made by the operator with all writers at 0, and the APIManager says in an
//! annotation how many of each are to come. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::note::in_api_manager;
use super::who::Writer;
use super::workload::{annotation, name};

/// Annotation of an APIManager: [`Noted`] as JSON.
const TO_COME: &str = "threescale-backup/writers-to-come";

/// What an APIManager is to name when the data is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    /// Replicas by writer; `null` where it names none.
    replicas: BTreeMap<String, Option<u64>>,
    /// Paths of its spec that were made for a 0, and go again.
    made: Vec<String>,
}

/// What is to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Coming {
    /// The APIManager that says so.
    pub(crate) api_manager: String,
    noted: Noted,
}

/// Writers whose number an APIManager may name, with the place.
fn counted() -> impl Iterator<Item = (Writer, &'static str, &'static str)> {
    Writer::ALL.into_iter().filter_map(|writer| writer.in_api_manager().map(|(component, element)| (writer, component, element)))
}

/// Sets the writers of an APIManager to 0, and notes on it what they are to be.
pub fn hold_until_restored(api_manager: &mut Value) {
    let mut noted = Noted { replicas: BTreeMap::new(), made: Vec::new() };
    for (writer, component, element) in counted() {
        noted.replicas.insert(writer.name().to_owned(), in_api_manager(api_manager, writer));
        let paths = [component.to_owned(), format!("{component}/{element}")];
        // All beneath what was made goes with it.
        let is_noted = paths.iter().any(|path| noted.made.contains(path));
        if let Some(made) = paths.into_iter().find(|path| !is_noted && api_manager.pointer(&format!("/spec/{path}")).is_none()) {
            noted.made.push(made);
        }
    }
    for (_, component, element) in counted() {
        *entry(entry(entry(entry(api_manager, "spec"), component), element), "replicas") = json!(0);
    }
    *entry(entry(entry(api_manager, "metadata"), "annotations"), TO_COME) = json!(text(&noted));
}

/// Names and numbers always become JSON.
fn text(noted: &Noted) -> String {
    json!(noted).to_string()
}

fn entry<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = json!({});
    }
    &mut value[key]
}

impl Coming {
    /// What an APIManager says is to come; `None` when it waits for nothing.
    pub(crate) fn of(api_manager: &Value) -> Option<Self> {
        let noted = serde_json::from_str(annotation(api_manager, TO_COME)?).ok()?;
        Some(Self { api_manager: name(api_manager).to_owned(), noted })
    }

    /// How many of a writer are to come: the operator's default is one. `None` when it does not wait.
    pub(crate) fn number(&self, writer: Writer) -> Option<u64> {
        self.noted.replicas.get(writer.name()).map(|number| number.unwrap_or(1))
    }

    /// Lets the writers wait. `None` when they do.
    pub(crate) fn patch_to_wait(&self, api_manager: &Value) -> Option<Value> {
        let mut patch = json!({});
        for (_, component, element) in counted().filter(|(writer, ..)| in_api_manager(api_manager, *writer) != Some(0)) {
            patch["spec"][component][element]["replicas"] = json!(0);
        }
        let note = text(&self.noted);
        if annotation(api_manager, TO_COME) != Some(&note) {
            patch["metadata"]["annotations"][TO_COME] = json!(note);
        }
        (patch != json!({})).then_some(patch)
    }

    /// Puts the numbers of some writers where the operator reads them; with the last, what was made for them and the annotation go. `None` when it is so already.
    pub(crate) fn patch(&self, api_manager: &Value, of: impl Fn(Writer) -> bool, is_last: bool) -> Option<Value> {
        let mut patch = json!({});
        for (writer, component, element) in counted().filter(|(writer, ..)| of(*writer)) {
            let Some(number) = self.noted.replicas.get(writer.name()) else { continue };
            if in_api_manager(api_manager, writer) != *number {
                patch["spec"][component][element]["replicas"] = json!(number);
            }
        }
        if is_last && annotation(api_manager, TO_COME).is_some() {
            for made in &self.noted.made {
                match made.split_once('/') {
                    Some((component, element)) => patch["spec"][component][element] = Value::Null,
                    None => patch["spec"][made.as_str()] = Value::Null,
                }
            }
            patch["metadata"]["annotations"][TO_COME] = Value::Null;
        }
        (patch != json!({})).then_some(patch)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::patch::merge;
    use super::*;

    #[test]
    fn writers_that_wait_come_as_the_set_had_them() {
        let before = json!({"metadata": {"name": "am"}, "spec": {"wildcardDomain": "d", "system": {"appSpec": {"replicas": 2, "other": 1}}, "zync": {"queSpec": {}}}});
        let mut object = before.clone();
        hold_until_restored(&mut object);
        for writer in Writer::ALL.into_iter().filter(|writer| writer.in_api_manager().is_some()) {
            assert_eq!(in_api_manager(&object, writer), Some(0), "{writer:?}");
        }
        assert_eq!(object.pointer("/spec/system/appSpec/other"), Some(&json!(1)));
        let coming = Coming::of(&object).unwrap();
        assert_eq!(
            (coming.number(Writer::SystemApp), coming.number(Writer::Zync), coming.number(Writer::SystemMemcache)),
            (Some(2), Some(1), None)
        );
        let listener = |writer| writer == Writer::BackendListener;
        let patch = coming.patch(&object, listener, false).unwrap();
        merge(&mut object, &patch);
        assert_eq!((in_api_manager(&object, Writer::BackendListener), in_api_manager(&object, Writer::SystemApp)), (None, Some(0)));
        let patch = coming.patch(&object, |_| true, true).unwrap();
        merge(&mut object, &patch);
        assert_eq!(object["spec"], before["spec"], "what was made for the 0 goes, what was empty stays");
        assert!(Writer::ALL.into_iter().all(|writer| in_api_manager(&object, writer) == in_api_manager(&before, writer)));
        let back = coming.patch_to_wait(&object).unwrap();
        let mut again = object.clone();
        merge(&mut again, &back);
        assert_eq!((Coming::of(&again).as_ref(), coming.patch_to_wait(&again)), (Some(&coming), None), "an undo lets them wait again");
        assert_eq!((Coming::of(&object), coming.patch(&object, |_| true, true)), (None, None));
    }
}
