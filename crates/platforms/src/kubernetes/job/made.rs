//! A Job from a CronJob's template. Pure, but for its random name.

use plan::{Error, Result};
use serde_json::{Map, Value, json};

use super::super::writers::pods::OURS;
use super::super::writers::workload::{list, name, text};
use super::{RESULT_MARK, SUBMITTED, Wanted};

/// The container of the program in a template: an init container where another step follows it.
pub(super) const CONTAINER: &str = "threescale-backup";
/// Other steps of a schedule are the same program: their names begin like this.
const STEP: &str = "threescale-backup-";
/// How long an ended Job stays to be looked at.
const TTL_SECONDS: u64 = 24 * 60 * 60;
/// Names of pods add six characters, and names of labels end at 63.
const NAME_LONGEST: usize = 52;

/// The end of a name that nobody else takes.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn suffix() -> Result<String> {
    // Without vowels and what looks alike, as Kubernetes does it.
    const LETTERS: &[u8; 16] = b"bcdfghjkmnpqrstv";
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("no random numbers").because(error))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 16)])).collect())
}

/// The Job: the template's pod with this command line, once.
///
/// # Errors
/// When the CronJob is no template of this program.
pub(super) fn job(cron_job: &Value, wanted: &Wanted<'_>, suffix: &str) -> Result<Value> {
    let template = cron_job.pointer("/spec/jobTemplate").ok_or_else(|| no_template(cron_job))?;
    let mut spec = template.get("spec").and_then(Value::as_object).cloned().ok_or_else(|| no_template(cron_job))?;
    for of_another in ["selector", "manualSelector", "parallelism", "completions", "suspend"] {
        spec.remove(of_another);
    }
    // Whether a run is begun anew, gone on with or taken back is a person's choice, never the controller's.
    spec.insert("backoffLimit".to_owned(), json!(0));
    spec.entry("ttlSecondsAfterFinished").or_insert(json!(TTL_SECONDS));
    let pod = spec.get_mut("template").ok_or_else(|| no_template(cron_job))?;
    label(pod);
    let pod_spec = pod.get_mut("spec").and_then(Value::as_object_mut).ok_or_else(|| no_template(cron_job))?;
    let container = program(pod_spec, wanted).ok_or_else(|| no_template(cron_job))?;
    keep_only(pod_spec, container);
    pod_spec.insert("restartPolicy".to_owned(), json!("Never"));

    let mut base = wanted.cron_job.to_owned();
    base.truncate(NAME_LONGEST - suffix.len());
    let mut made = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": format!("{}-{suffix}", base.trim_end_matches(['-', '.'])),
            "labels": template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({})),
            "annotations": template.pointer("/metadata/annotations").cloned().unwrap_or_else(|| json!({})),
        },
        "spec": spec,
    });
    label(&mut made);
    Ok(made)
}

fn no_template(cron_job: &Value) -> Error {
    Error::refused(format!("CronJob {} is not a template of this program", name(cron_job)))
        .hint(format!("Its pod must have a container (or init container) named {CONTAINER}; deploy/ has the CronJobs as they shall be."))
}

fn label(object: &mut Value) {
    if let Value::Object(object) = object
        && let Value::Object(metadata) = object.entry("metadata").or_insert_with(|| json!({}))
        && let Value::Object(labels) = metadata.entry("labels").or_insert_with(|| json!({}))
    {
        labels.insert(OURS.0.to_owned(), json!(OURS.1));
        labels.insert(SUBMITTED.to_owned(), json!("true"));
    }
}

/// The program's container with another command line.
fn program(pod_spec: &Map<String, Value>, wanted: &Wanted<'_>) -> Option<Value> {
    let all = ["containers", "initContainers"].into_iter().filter_map(|field| pod_spec.get(field)?.as_array()).flatten();
    let mut container = all.into_iter().find(|container| text(container, "/name") == CONTAINER)?.as_object()?.clone();
    container.insert("args".to_owned(), json!(wanted.arguments));
    let mut env = list(&Value::Object(container.clone()), "/env").to_vec();
    env.retain(|variable| text(variable, "/name") != RESULT_MARK);
    env.push(json!({"name": RESULT_MARK, "value": wanted.mark}));
    container.insert("env".to_owned(), Value::Array(env));
    Some(Value::Object(container))
}

/// The program's container instead of the schedule's steps. What an administrator added beside them (a proxy, something that prepares) stays.
fn keep_only(pod_spec: &mut Map<String, Value>, container: Value) {
    let is_step = |container: &Value| text(container, "/name") == CONTAINER || text(container, "/name").starts_with(STEP);
    for field in ["containers", "initContainers"] {
        if let Some(Value::Array(containers)) = pod_spec.get_mut(field) {
            containers.retain(|container| !is_step(container));
        }
    }
    if pod_spec.get("initContainers").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        pod_spec.remove("initContainers");
    }
    if let Value::Array(containers) = pod_spec.entry("containers").or_insert_with(|| json!([])) {
        containers.insert(0, container);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn cron_job(init: Value, containers: Value) -> Value {
        json!({"metadata": {"name": "threescale-backup", "uid": "u"}, "spec": {"schedule": "0 2 * * *", "jobTemplate": {
            "metadata": {"labels": {"team": "api"}},
            "spec": {"backoffLimit": 3, "activeDeadlineSeconds": 7200, "completions": 2, "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"serviceAccountName": "threescale-backup", "restartPolicy": "OnFailure", "initContainers": init, "containers": containers,
                    "volumes": [{"name": "repository"}]}}}}}})
    }

    fn made(cron_job: &Value) -> Value {
        let arguments = ["restore".to_owned(), "latest".to_owned(), "--yes".to_owned()];
        job(cron_job, &Wanted { cron_job: "threescale-backup", arguments: &arguments, mark: "result: " }, "bcdfghjk").unwrap()
    }

    #[test]
    fn the_scheduled_step_becomes_the_only_one_with_another_command_line() {
        let env = json!([{"name": "A", "value": "b"}, {"name": RESULT_MARK, "value": "old"}]);
        let scheduled = json!([{"name": "wait-for-proxy"}, {"name": "threescale-backup", "args": ["backup"], "env": env, "image": "i"}]);
        let made = made(&cron_job(scheduled, json!([{"name": "threescale-backup-forget", "args": ["forget"]}, {"name": "proxy"}])));
        assert_eq!(text(&made, "/metadata/name"), "threescale-backup-bcdfghjk");
        assert_eq!(
            made.pointer("/metadata/labels"),
            Some(&json!({"team": "api", "app.kubernetes.io/name": "threescale-backup", "threescale-backup/submitted": "true"}))
        );
        let spec = made.get("spec").unwrap();
        assert_eq!(spec.get("backoffLimit"), Some(&json!(0)), "a run that failed is never begun anew by itself");
        assert_eq!(spec.get("completions"), None);
        assert_eq!(spec.get("activeDeadlineSeconds"), Some(&json!(7200)));
        assert!(spec.get("ttlSecondsAfterFinished").is_some());
        let pod = spec.pointer("/template/spec").unwrap();
        assert_eq!(pod.get("restartPolicy"), Some(&json!("Never")));
        assert_eq!(pod.get("serviceAccountName"), Some(&json!("threescale-backup")));
        assert_eq!(pod.get("initContainers"), Some(&json!([{"name": "wait-for-proxy"}])));
        let names: Vec<_> = list(pod, "/containers").iter().map(|container| text(container, "/name")).collect();
        assert_eq!(names, ["threescale-backup", "proxy"]);
        let program = pod.pointer("/containers/0").unwrap();
        assert_eq!(program.get("args"), Some(&json!(["restore", "latest", "--yes"])));
        assert_eq!(program.get("env"), Some(&json!([{"name": "A", "value": "b"}, {"name": RESULT_MARK, "value": "result: "}])));
        assert_eq!(program.get("image"), Some(&json!("i")));
    }

    #[test]
    fn a_template_with_one_step_works_too() {
        let made = made(&cron_job(json!([]), json!([{"name": "threescale-backup", "args": ["resume"]}])));
        assert_eq!(made.pointer("/spec/template/spec/initContainers"), None);
        assert_eq!(made.pointer("/spec/template/spec/containers/0/args/0"), Some(&json!("restore")));
    }

    #[test]
    fn a_cron_job_of_somebody_else_is_refused() {
        let other = cron_job(json!([]), json!([{"name": "cleaner"}]));
        let error = job(&other, &Wanted { cron_job: "x", arguments: &[], mark: "" }, "b").err().unwrap();
        assert!(error.to_string().contains("not a template"), "{error}");
    }

    #[test]
    fn long_names_stay_within_what_labels_allow() {
        let long = "a".repeat(80);
        let wanted = Wanted { cron_job: &long, arguments: &[], mark: "" };
        let made = job(&cron_job(json!([]), json!([{"name": "threescale-backup"}])), &wanted, &suffix().unwrap()).unwrap();
        assert!(text(&made, "/metadata/name").len() <= 53);
    }
}
