//! Keys as the sources of 3scale and of its gems write them.

use super::*;

fn class(store: Store, key: &str) -> Option<Class> {
    Keys::of(store, None).know(key.as_bytes()).map(|known| known.kind.class)
}

/// As apisonator writes them: `lib/3scale/backend/stats/keys.rb`, `application.rb`, `alerts.rb` and others.
#[test]
fn keys_of_backend_are_known() {
    for (key, expected) in [
        ("services_set", Class::Configuration),
        ("service/provider_key:ab/cd/ids", Class::Configuration),
        ("service/id:7/state", Class::Configuration),
        ("application/service_id:7/id:a:b/c/plan_name", Class::Configuration),
        ("application/service_id:7/key:x/id:9/state/id", Class::Configuration),
        ("usage_limit/service_id:7/plan_id:1/metric_id:2/eternity", Class::Configuration),
        ("metric/service_id:7/name:hits.12/id", Class::Configuration),
        ("service_token/token:abc/service_id:7", Class::Configuration),
        ("stats/{service:7}/metric:1/hour:2016010218", Class::Usage),
        ("stats/{service:7}/metric:1/hour:201601021", Class::Usage),
        ("stats/{service:7}/cinstance:a/metric:5/b/metric:1/day:20160102", Class::Usage),
        ("stats/{service:7}/cinstance:a/metric:1/minute:20160102181", Class::Usage),
        ("stats/{service:7}/response_code:2XX/eternity", Class::Usage),
        ("stats/{service:7}/cinstance:a+b/response_code:404/year:20160101", Class::Usage),
        ("stats/{service:7}/cinstances", Class::Usage),
        ("stats/{service:7}/uinstance:u/metric:1/eternity", Class::Legacy),
        ("{stats_bucket}:3", Class::Legacy),
        ("notify/aggregator/batch", Class::UsageInFlight),
        ("events/id", Class::Counter),
        ("alerts/current_id", Class::Counter),
        ("events/queue", Class::Events),
        ("alerts/service_id:7/app_id:a/80/already_notified", Class::Events),
        ("alerts/service_id:7/allowed_set", Class::Configuration),
        ("daily_traffic/service:7/cinstance:a/20260105", Class::Events),
        ("errors/service_id:7", Class::Errors),
        ("set_with_services_marked_for_deletion", Class::PendingDeletion),
        ("oauth_access_tokens/service:7/app:a/", Class::AuthToken),
        ("oauth_access_tokens/service:7/token", Class::AuthToken),
        ("liveness-probe", Class::Probe),
    ] {
        assert_eq!(class(Store::BackendStorage, key), Some(expected), "{key}");
    }
    for key in [
        "",
        "services_set ",
        "stats/{service:7}/metric:1/hour:",
        "service/id:/state",
        "queue:low",
        "stats/{service:7}/metric:1/fortnight:1",
    ] {
        assert_eq!(class(Store::BackendStorage, key), None, "{key}");
    }
}

/// As Sidekiq 7.3, sidekiq-batch, sidekiq-cron 1.12, sidekiq-throttled, activejob-uniqueness and Resque 2.6 write them.
#[test]
fn keys_of_jobs_are_known() {
    for (key, expected) in [
        ("queue:mailers", Class::Jobs),
        ("queue:bulk:indexing", Class::Jobs),
        ("schedule", Class::Jobs),
        ("retry", Class::Jobs),
        ("queues", Class::JobNames),
        ("processes", Class::Process),
        ("system-sidekiq-5c9f-x2x:7:0123456789ab", Class::Process),
        ("system-sidekiq-5c9f-x2x:7:0123456789ab:work", Class::Process),
        ("system-sidekiq-5c9f-x2x:7:0123456789ab:workers", Class::Process),
        ("system-sidekiq-5c9f-x2x:7:0123456789ab-signals", Class::Process),
        ("it-0123", Class::JobState),
        ("BID-aBc_9", Class::Batch),
        ("BID-aBc_9-jids", Class::Batch),
        ("invalidated-bid-aBc_9", Class::Batch),
        ("throttled:web_hook_worker:concurrency.v2", Class::Lock),
        ("throttled:set_tenant_id_worker:concurrency.v2:7", Class::Lock),
        ("throttled:x:threshold", Class::Lock),
        ("activejob_uniqueness:delete_object:no_arguments", Class::Lock),
        ("lock:import", Class::Lock),
        ("process_cleanup", Class::Lock),
        ("lock:billing:42", Class::Guard),
        ("cron_job:billing_jobs:enqueued", Class::Guard),
        ("cron_job:billing_jobs", Class::Record),
        ("cron_job:billing_jobs:jid_history", Class::Record),
        ("cron_jobs", Class::Record),
        ("billing-summary-xyz", Class::Record),
        ("dead", Class::Record),
        ("stat:processed:2024-05-01", Class::Record),
        ("j|20240501|8:10", Class::Record),
        ("webhooks:failures:provider-2", Class::CustomerRecord),
        ("ratelimit:Z2lk:signup", Class::Guard),
    ] {
        assert_eq!(class(Store::SystemRedis, key), Some(expected), "{key}");
    }
    for key in ["queued", "a:b:0123456789ab", "host:7:0123456789a", ":7:0123456789ab", "", "xlock:a", "stat:x"] {
        assert_eq!(class(Store::SystemRedis, key), None, "{key}");
    }
    for (key, expected) in [
        ("resque:queue:priority", Class::Jobs),
        ("resque:failed", Class::Jobs),
        ("resque:queues", Class::JobNames),
        ("resque:workers", Class::Process),
        ("resque:workers:heartbeat", Class::Process),
        ("resque:worker:host:1:main:started", Class::Process),
        ("resque:pruning_dead_workers_in_progress", Class::Lock),
        ("resque:threescale::backend::failedjobsscheduler:lock", Class::Lock),
        ("resque:stat:processed", Class::Record),
        ("resque:stat:failed:host:1:main", Class::Record),
    ] {
        assert_eq!(class(Store::BackendQueues, key), Some(expected), "{key}");
    }
    assert_eq!(class(Store::BackendQueues, "queue:main"), None);
}

#[test]
fn a_namespace_may_stand_before_systems_keys() {
    for namespace in ["porta", "porta:"] {
        let keys = Keys::of(Store::SystemRedis, Some(namespace));
        let class = |key: &str| keys.know(key.as_bytes()).map(|known| known.kind.class);
        assert_eq!(class("porta:queue:low"), Some(Class::Jobs));
        assert_eq!(class("queue:low"), Some(Class::Jobs), "keys from before it was set");
        assert_eq!(class("other:queue:low"), None, "somebody else's");
    }
    assert_eq!(class(Store::SystemRedis, "porta:queue:low"), None);
}

/// A key that the pattern stands for.
fn example(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern.split('[').next().unwrap_or_default().to_owned();
    while let Some(sign) = rest.chars().next() {
        if let Some(escaped) = rest.strip_prefix('\\') {
            text.extend(escaped.chars().next());
            rest = escaped.chars().skip(1).collect();
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            text.push_str(&match name {
                "nonce" => "0123456789ab".to_owned(),
                "host" | "user_key" | "application" | "token" | "queue" => "zz".to_owned(),
                _ if name.contains('|') => name.split('|').next().unwrap_or_default().replace(":T", ":2026"),
                _ => "77".to_owned(),
            });
            rest = after.to_owned();
        } else {
            text.push(sign);
            rest = rest.chars().skip(1).collect();
        }
    }
    text.replace(":T", ":2026")
}

#[test]
fn no_row_is_hidden_by_one_before() {
    for (position, kind) in KINDS.iter().enumerate() {
        let example = example(kind.pattern);
        let known = Keys::of(kind.store, None).know(example.as_bytes());
        let found = known.and_then(|known| KINDS.iter().position(|other| std::ptr::eq(other, known.kind)));
        assert_eq!(found, Some(position), "{} as {example}", kind.pattern);
    }
    assert_eq!(KINDS.len(), 96, "all rows but the prefix");
}
