//! The patches that stop and start, as JSON. Pure. All are merge patches, so that a repeated one changes nothing.

use plan::ids::RunId;
use serde_json::{Map, Value, json};

use super::note::{Enforced, in_api_manager};
use super::workload::{REPLICAS, RUN, annotation, replicas};

/// Scales to 0 and says in the same change who did it and how many there were: a person sees it without the journal. `None` when it is so already.
pub(crate) fn to_stop(object: &Value, were: u64, run: &RunId) -> Option<Value> {
    let is_noted = annotation(object, RUN) == Some(run.as_str()) && annotation(object, REPLICAS) == Some(were.to_string().as_str());
    // What was at 0 before is not ours: nothing is written on it.
    if replicas(object) == 0 && (were == 0 || is_noted) {
        return None;
    }
    Some(json!({"metadata": {"annotations": {REPLICAS: were.to_string(), RUN: run.as_str()}}, "spec": {"replicas": 0}}))
}

/// Scales back and takes the annotations away. `None` when it is so already. Where an autoscaler has moved the number on, it is the autoscaler's.
pub(crate) fn to_start(object: &Value, were: u64, has_autoscaler: bool) -> Option<Value> {
    let is_marked = annotation(object, RUN).is_some() || annotation(object, REPLICAS).is_some();
    let now = replicas(object);
    let is_as_noted = now == were || (has_autoscaler && now > 0);
    if is_as_noted && !is_marked {
        return None;
    }
    let number = if is_as_noted { now } else { were };
    Some(json!({"metadata": {"annotations": {REPLICAS: null, RUN: null}}, "spec": {"replicas": number}}))
}

/// Sets what an APIManager enforces to 0. `None` when there is nothing to set, or it is so already.
pub(crate) fn to_hold(object: &Value, enforced: &[&Enforced], run: &RunId) -> Option<Value> {
    let set: Vec<_> = enforced.iter().filter(|one| one.replicas.is_some_and(|number| number > 0)).collect();
    if set.is_empty() {
        return None;
    }
    let is_marked = annotation(object, RUN) == Some(run.as_str());
    if is_marked && set.iter().all(|one| in_api_manager(object, one.writer) == Some(0)) {
        return None;
    }
    let numbers: Map<String, Value> = set.iter().map(|one| (one.writer.name().to_owned(), json!(one.replicas))).collect();
    let mut patch = json!({"metadata": {"annotations": {REPLICAS: Value::Object(numbers).to_string(), RUN: run.as_str()}}});
    set.iter().for_each(|one| put_replicas(&mut patch, one, &json!(0)));
    Some(patch)
}

/// Puts back what an APIManager enforced of these writers. The annotations go with the last of them (`is_last`).
pub(crate) fn to_let_go(object: &Value, enforced: &[&Enforced], is_last: bool) -> Option<Value> {
    let set: Vec<_> = enforced.iter().filter(|one| one.replicas.is_some_and(|number| number > 0)).collect();
    let changed: Vec<_> = set.iter().filter(|one| in_api_manager(object, one.writer) != one.replicas).collect();
    let unmark = is_last && annotation(object, RUN).is_some();
    if changed.is_empty() && !unmark {
        return None;
    }
    let mut patch = if unmark { json!({"metadata": {"annotations": {REPLICAS: null, RUN: null}}}) } else { json!({}) };
    changed.iter().for_each(|one| put_replicas(&mut patch, one, &json!(one.replicas)));
    Some(patch)
}

fn put_replicas(patch: &mut Value, one: &Enforced, number: &Value) {
    if let Some((component, element)) = one.writer.in_api_manager() {
        patch["spec"][component][element]["replicas"] = number.clone();
    }
}

/// As the API server merges (RFC 7386).
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::who::Writer;
    use super::*;

    fn run() -> RunId {
        RunId("r".into())
    }

    #[test]
    fn stop_and_start_put_back_what_was_and_change_nothing_the_second_time() {
        let before = json!({"metadata": {"annotations": {"other": "x"}}, "spec": {"replicas": 3, "paused": false}});
        let mut object = before.clone();
        let patch = to_stop(&object, 3, &run()).unwrap();
        merge(&mut object, &patch);
        assert_eq!(replicas(&object), 0);
        assert_eq!(annotation(&object, REPLICAS), Some("3"));
        assert_eq!(to_stop(&object, 3, &run()), None);
        let patch = to_start(&object, 3, false).unwrap();
        merge(&mut object, &patch);
        assert_eq!(object, before);
        assert_eq!(to_start(&object, 3, false), None);
    }

    #[test]
    fn what_was_at_zero_is_not_touched() {
        let object = json!({"metadata": {}, "spec": {"replicas": 0}});
        assert_eq!(to_stop(&object, 0, &run()), None);
        assert_eq!(to_start(&object, 0, false), None);
    }

    #[test]
    fn an_autoscaler_keeps_its_number() {
        let moved = json!({"metadata": {"annotations": {RUN: "r"}}, "spec": {"replicas": 5}});
        assert_eq!(to_start(&moved, 2, true).unwrap().pointer("/spec/replicas"), Some(&json!(5)));
        assert_eq!(to_start(&moved, 2, false).unwrap().pointer("/spec/replicas"), Some(&json!(2)));
    }

    #[test]
    fn an_api_manager_gets_its_numbers_back_group_by_group() {
        let before = json!({"metadata": {}, "spec": {"system": {"appSpec": {"replicas": 2}, "sidekiqSpec": {}}, "backend": {"listenerSpec": {"replicas": 1}}}});
        let one = |writer, replicas| Enforced { api_manager: "am".into(), writer, replicas };
        let (app, sidekiq, listener) =
            (one(Writer::SystemApp, Some(2)), one(Writer::SystemSidekiq, None), one(Writer::BackendListener, Some(1)));
        let all = [&app, &sidekiq, &listener];
        let mut object = before.clone();
        let patch = to_hold(&object, &all, &run()).unwrap();
        merge(&mut object, &patch);
        assert_eq!(object.pointer("/spec/system"), Some(&json!({"appSpec": {"replicas": 0}, "sidekiqSpec": {}})));
        assert_eq!(annotation(&object, REPLICAS), Some("{\"backend-listener\":1,\"system-app\":2}"));
        assert_eq!(to_hold(&object, &all, &run()), None);
        let patch = to_let_go(&object, &[&listener], false).unwrap();
        merge(&mut object, &patch);
        assert_eq!(in_api_manager(&object, Writer::BackendListener), Some(1));
        assert_eq!(in_api_manager(&object, Writer::SystemApp), Some(0));
        let patch = to_let_go(&object, &all, true).unwrap();
        merge(&mut object, &patch);
        object["metadata"] = json!({});
        assert_eq!(object, before);
        assert_eq!(to_let_go(&object, &all, true), None);
    }

    #[test]
    fn an_api_manager_that_enforces_nothing_is_not_touched() {
        let one = Enforced { api_manager: "am".into(), writer: Writer::SystemSidekiq, replicas: None };
        assert_eq!(to_hold(&json!({"metadata": {}, "spec": {}}), &[&one], &run()), None);
    }
}
