//! Classes of background jobs: what a job does, whether it may run twice, whether somebody would miss it. The class decides, never the queue.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::rows::rows;

pub(crate) const DATA: &str = include_str!("../data/job-classes.tsv");

/// What ActionMailer's own jobs are called; `ActionMailer::DeliveryJob` in Rails 5 (3scale 2.13 and before).
const MAIL: &str = "ActionMailer::MailDeliveryJob";
/// What Sidekiq runs for ActiveJob: Rails' own, and Sidekiq's since 7.3.
const WRAPPERS: [&str; 2] = ["ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper", "Sidekiq::ActiveJob::Wrapper"];
/// A job's name longer than this is nobody's.
const NAME_MAX_BYTES: usize = 200;
/// What is told of something in a queue that is no job.
pub const NO_JOB: &str = "(no job)";

/// What is known of a class of jobs.
#[derive(Debug)]
pub struct Kind {
    /// Its name; of mails with the mailer: `ActionMailer::MailDeliveryJob AccountMailer`.
    pub class: &'static str,
    /// Whether `--queues safe` keeps it: nothing bad comes of running it a second time, and it neither bills, nor mails, nor deletes.
    pub is_safe: bool,
    /// Whether a customer sees its effect, or its loss.
    pub is_customer_visible: bool,
    /// Whether it keeps its progress in a key of its own.
    pub is_iterable: bool,
    /// Whether it is one of a batch.
    pub is_of_a_batch: bool,
    /// What it does, and what comes of it when it is done again.
    pub effect: &'static str,
}

/// All classes that are known.
pub static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let kind = |row: crate::rows::Row| Kind {
        class: row.get("class"),
        is_safe: row.get("safe_list").starts_with("yes"),
        is_customer_visible: row.get("customer_visible") == "yes",
        is_iterable: row.get("wrapped_as").contains("iterable"),
        is_of_a_batch: row.get("class").starts_with("BillingWorker"),
        effect: row.get("effect_and_trap"),
    };
    rows(DATA).map(kind).collect()
});

/// The class of a name.
#[must_use]
pub fn kind(class: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.class == class)
}

/// Whether a class is meant by a name that a person wrote: its own, that of its mailer, or that of all mails.
#[must_use]
pub fn is_meant(class: &str, name: &str) -> bool {
    class == name || class.split_once(' ').is_some_and(|(mail, mailer)| mail == name || mailer == name)
}

/// A job as Sidekiq, ActiveJob and Resque write it: only what names its class. What a list of failures adds is in `payload` (Resque).
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    class: Option<Cow<'a, str>>,
    #[serde(borrow)]
    wrapped: Option<Cow<'a, str>>,
    #[serde(default)]
    args: serde_json::Value,
    #[serde(borrow)]
    payload: Option<Box<Written<'a>>>,
}

/// The class of a job as it stands in a queue, whatever wraps it; [`NO_JOB`] for what is none.
#[must_use]
pub fn class_of(job: &[u8]) -> String {
    let Ok(written) = serde_json::from_slice::<Written<'_>>(job) else { return NO_JOB.to_owned() };
    let name = written.name();
    let is_name = |name: &String| !name.is_empty() && name.len() <= NAME_MAX_BYTES && name.chars().all(|sign| !sign.is_control());
    name.filter(is_name).unwrap_or_else(|| NO_JOB.to_owned())
}

impl Written<'_> {
    fn name(self) -> Option<String> {
        // Nothing counts but what is run: `class`, of a wrapper the `job_class` of its argument, of Resque's failures that of their `payload`.
        let Some(class) = self.class else { return self.payload.and_then(|payload| payload.name()) };
        let first = self.args.get(0);
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        if WRAPPERS.contains(&class.as_ref()) {
            let runs = first.and_then(|job| job.get("job_class")).and_then(text).or_else(|| self.wrapped.map(Cow::into_owned))?;
            if !matches!(runs.as_str(), MAIL | "ActionMailer::DeliveryJob" | "ActionMailer::Parameterized::DeliveryJob") {
                return Some(runs);
            }
            let mailer = first.and_then(|job| job.get("arguments")?.get(0)?.as_str());
            return Some(mailer.map_or_else(|| MAIL.to_owned(), |mailer| format!("{MAIL} {mailer}")));
        }
        // A callback of a batch names its own class first.
        let named = first.filter(|_| class == "Sidekiq::Batch::Callback::Worker").and_then(text);
        Some(named.unwrap_or_else(|| class.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(job: &str) -> String {
        class_of(job.as_bytes())
    }

    /// As the gems' sources write them.
    #[test]
    fn jobs_are_known_whatever_wraps_them() {
        let mail = r#"{"retry":true,"queue":"default","class":"ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper","wrapped":"ActionMailer::MailDeliveryJob",
            "args":[{"job_class":"ActionMailer::MailDeliveryJob","arguments":["NotificationMailer","application_created","deliver_now",{"args":[]}]}],"jid":"a"}"#;
        let old = r#"{"class":"ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper","args":[{"job_class":"DeletePlainObjectWorker","arguments":[]}]}"#;
        let callback = r#"{"class":"Sidekiq::Batch::Callback::Worker","args":["BillingWorker::Callback","complete",{},"bid",null]}"#;
        let failed = r#"{"failed_at":"2026","payload":{"class":"ThreeScale::Backend::Transactor::ReportJob","args":["2",{},1.5,{}]},"exception":"E"}"#;
        for (job, expected, is_safe) in [
            (mail, "ActionMailer::MailDeliveryJob NotificationMailer", false),
            (
                r#"{"wrapped":"ActionMailer::DeliveryJob","class":"Sidekiq::ActiveJob::Wrapper","args":[{"arguments":["PostOffice"]}]}"#,
                "ActionMailer::MailDeliveryJob PostOffice",
                false,
            ),
            (r#"{"class":"BillingWorker","args":[4,2,"2026"],"jid":"b"}"#, "BillingWorker", false),
            (r#"{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"BackendMetricWorker","args":[{}]}"#, "BackendMetricWorker", true),
            // A field that is not what runs says nothing.
            (r#"{"class":"BillingWorker","payload":{"class":"ZyncWorker"}}"#, "BillingWorker", false),
            (r#"{"class":"BillingWorker","wrapped":"ZyncWorker"}"#, "BillingWorker", false),
            (
                r#"{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"ZyncWorker","args":[{"job_class":"ActionMailer::MailDeliveryJob","arguments":["PostOffice"]}]}"#,
                "ActionMailer::MailDeliveryJob PostOffice",
                false,
            ),
            (r#"{"class":"InvoiceFriendlyIdWorker","args":[1]}"#, "InvoiceFriendlyIdWorker", true),
            (old, "DeletePlainObjectWorker", false),
            (callback, "BillingWorker::Callback", false),
            (failed, "ThreeScale::Backend::Transactor::ReportJob", false),
            (r#"{"class":"ZyncWorker","args":["e"]}"#, "ZyncWorker", true),
        ] {
            assert_eq!(class(job), expected);
            assert_eq!(kind(expected).map(|kind| kind.is_safe), Some(is_safe), "{expected}");
        }
        assert_eq!(class(r#"{"class":"Sidekiq::ActiveJob::Wrapper","wrapped":"ActionMailer::MailDeliveryJob","args":["grüße"]}"#), MAIL);
        for none in ["", "[]", "{}", "7", "{\"class\":\"\"}", "{\"class\":7}", "not json", "{\"class\":\"a\\nb\"}"] {
            assert_eq!(class(none), NO_JOB, "{none}");
        }
    }

    #[test]
    fn nothing_safe_bills_mails_or_deletes() {
        for kind in KINDS.iter().filter(|kind| kind.is_safe) {
            assert!(!kind.class.starts_with(MAIL) && !kind.class.starts_with("Billing"), "{}", kind.class);
            assert!(!kind.class.starts_with("Delete") || kind.class == "DeleteProvidedAccessTokensWorker", "{}", kind.class);
        }
        assert!(KINDS.iter().filter(|kind| kind.is_safe).count() > 20);
        assert!(kind("BackendUpdateApplicationPlanJob").is_some_and(|kind| kind.is_iterable && kind.is_safe));
        assert!(kind("BillingWorker").is_some_and(|kind| kind.is_of_a_batch && kind.is_customer_visible && !kind.effect.is_empty()));
    }

    #[test]
    fn a_person_may_name_a_mailer_or_all_mails() {
        let class = "ActionMailer::MailDeliveryJob PostOffice";
        assert!(is_meant(class, "PostOffice") && is_meant(class, MAIL) && is_meant(class, class));
        assert!(!is_meant(class, "AccountMailer") && !is_meant("ZyncWorker", "Zync"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(job in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!class_of(&job).is_empty());
        }

        #[test]
        fn whatever_else_a_job_says_its_class_is_found(class_name in "[A-Z][A-Za-z:]{0,30}", args in "[ -~]{0,40}", at in 0u32..9) {
            let job = serde_json::json!({ "jid": "j", "args": [args, { "class": "Other" }], "at": at, "class": class_name.clone() });
            prop_assert_eq!(class(&job.to_string()), class_name);
        }
    }
}
