//! Tests of what is noted.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn workload(name: &str, replicas: u64) -> Value {
    json!({"metadata": {"name": name, "uid": format!("uid-{name}")}, "spec": {"replicas": replicas}})
}

fn held(name: &str, run: &str, were: &str) -> Value {
    json!({"metadata": {"name": name, "annotations": {RUN: run, REPLICAS: were}}, "spec": {"replicas": 0}})
}

fn run() -> RunId {
    RunId("run1".into())
}

fn seen() -> Seen {
    Seen {
        deployments: vec![
            workload("system-sidekiq", 2),
            workload("system-app", 3),
            workload("apicast-production", 2),
            workload("system-memcache", 1),
            workload("threescale-operator-controller-manager-v2", 1),
        ],
        may_hold_operator: true,
        ..Seen::default()
    }
}

#[test]
fn numbers_and_the_operator_are_noted_and_read_again() {
    let note = Note::take(&seen(), &[DataSetName::SystemDatabase], &run()).unwrap();
    let writers: Vec<_> = note.writers.iter().map(|noted| (noted.workload.name.as_str(), noted.replicas)).collect();
    assert_eq!(writers, [("system-app", 3), ("system-sidekiq", 2), ("system-memcache", 1)]);
    assert!(matches!(&note.holder, Holder::Operator { replicas: 1, .. }));
    assert_eq!(Note::from_noted(&note.to_noted().unwrap()).unwrap().unwrap(), note);
    assert_eq!(Note::from_noted(&Noted(Value::Null)).unwrap(), None);
    let starts: Vec<_> = note.of_group(WriterGroup::System).into_iter().map(|noted| noted.workload.name.clone()).collect();
    assert_eq!(starts, ["system-memcache", "system-app", "system-sidekiq"]);
}

#[test]
fn where_nobody_writes_nobody_is_held() {
    let note = Note::take(&seen(), &[DataSetName::KubernetesObjects], &run()).unwrap();
    assert_eq!(note, Note { writers: Vec::new(), holder: Holder::Nobody, coming: None });
}

#[test]
fn what_another_run_holds_is_refused_and_what_this_run_holds_keeps_its_number() {
    let mut seen = seen();
    seen.deployments[1] = held("system-app", "other", "3");
    let error = Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap_err();
    assert_eq!(error.class(), plan::Class::Refused);
    assert!(error.to_string().contains("by run other"), "{error}");
    seen.deployments[1] = held("system-app", "run1", "3");
    let note = Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap();
    assert_eq!(note.writers[0].replicas, 3);
    let by_hand = json!({"metadata": {"name": "system-app", "annotations": {RUN: "other", REPLICAS: "3"}}, "spec": {"replicas": 5}});
    seen.deployments[1] = by_hand;
    assert_eq!(Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap().writers[0].replicas, 5, "somebody put it back");
}

#[test]
fn a_held_operator_of_another_run_is_refused() {
    let mut seen = seen();
    seen.deployments[4] = held("threescale-operator-controller-manager-v2", "other", "1");
    assert!(Note::take(&seen, &[DataSetName::SystemStorage], &run()).is_err());
}

#[test]
fn writers_at_zero_are_noted_as_zero() {
    let mut seen = seen();
    seen.deployments[0] = workload("system-sidekiq", 0);
    let note = Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap();
    assert_eq!(note.writers[1].replicas, 0);
}

#[test]
fn an_operator_out_of_reach_is_held_through_the_api_manager() {
    let api_manager = |annotations: Value, app: u64| {
        json!({"metadata": {"name": "am", "annotations": annotations},
               "spec": {"system": {"appSpec": {"replicas": app}, "sidekiqSpec": {}}, "zync": {"appSpec": {"replicas": 1}}}})
    };
    let mut seen = seen();
    seen.may_hold_operator = false;
    seen.api_managers = vec![api_manager(json!({}), 3)];
    let enforced = |note: Note| match note.holder {
        Holder::ApiManager { enforced, why } => {
            assert!(why.contains("may not scale"), "{why}");
            enforced.into_iter().map(|one| (one.writer, one.replicas)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let wanted = [(Writer::SystemApp, Some(3)), (Writer::SystemSidekiq, None)];
    assert_eq!(enforced(Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap()), wanted);
    seen.api_managers = vec![api_manager(json!({RUN: "run1", REPLICAS: "{\"system-app\":3}"}), 0)];
    assert_eq!(enforced(Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap()), wanted, "this run's own zero is not the truth");
    seen.api_managers = vec![api_manager(json!({RUN: "other", REPLICAS: "{\"system-app\":3}"}), 0)];
    assert!(Note::take(&seen, &[DataSetName::SystemStorage], &run()).is_err());
}

#[test]
fn an_autoscaler_is_noted_with_what_it_scales() {
    let mut seen = seen();
    let of = |kind: &str| json!({"metadata": {"name": "hpa"}, "spec": {"scaleTargetRef": {"kind": kind, "name": "system-app"}}});
    seen.autoscalers = vec![of("DeploymentConfig")];
    assert_eq!(Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap().writers[0].autoscaler, None);
    seen.autoscalers = vec![of("Deployment")];
    assert_eq!(Note::take(&seen, &[DataSetName::SystemStorage], &run()).unwrap().writers[0].autoscaler.as_deref(), Some("hpa"));
}
