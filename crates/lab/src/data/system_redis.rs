//! The keys of System: Sidekiq's queues and sets, its cron, locks, and the failed web hooks, which customers see.

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};

use super::shape::Shape;
use crate::Redis;
use crate::link::Link;

/// Fills database 1, where 3scale keeps them.
pub(crate) fn load(server: &Redis, shape: &Shape, watch: &dyn Watch) -> Result<()> {
    let mut link = Link::open(server, 1)?;
    let mut random = shape.random("system-redis", 0);
    let mut job = |class: &str, queue: &str, args: &str| {
        format!(
            "{{\"class\":\"{class}\",\"queue\":\"{queue}\",\"args\":{args},\"jid\":\"{}\",\"created_at\":1767607200.0,\"retry\":true}}",
            random.hex(24)
        )
    };
    // Far ahead, so that nothing becomes due.
    let due = "4102444800";
    link.push(&["SADD", "queues", "billing", "critical", "default", "deletion", "low", "mailers", "web_hooks", "zync"])?;
    for (class, queue, args) in [
        ("BillingWorker", "billing", "[4,2,\"2026-01-05T08:00:00Z\"]"),
        ("DeleteObjectHierarchyWorker", "deletion", "[\"Plain-Service-99\"]"),
        ("BackendStorageRewriteWorker", "low", "[\"Service\",[2,3]]"),
        ("ActionMailer::MailDeliveryJob", "mailers", "[\"grüße\"]"),
        ("WebHookWorker", "web_hooks", "[\"id\",{\"url\":\"https://hook.example.com\"}]"),
        ("ZyncWorker", "zync", "[\"event-1\"]"),
    ] {
        for _ in 0..10 {
            link.push(&["LPUSH", &format!("queue:{queue}"), &job(class, queue, args)])?;
        }
    }
    link.push(&["ZADD", "schedule", due, &job("PdfReportWorker", "low", "[2]")])?;
    link.push(&["ZADD", "retry", due, &job("ZyncWorker", "zync", "[\"event-2\"]")])?;
    link.push(&["ZADD", "dead", "1767607200.25", &job("SendUserInvitationWorker", "mailers", "[3]")])?;
    link.push(&["MSET", "stat:processed", "12345", "stat:failed", "6"])?;
    link.push(&["SET", "stat:processed:2026-01-05", "45", "EX", "15552000"])?;
    for (name, cron) in [("daily", "0 8 * * *"), ("billing", "0 8 * * *"), ("weekly", "0 0 * * 1")] {
        let key = format!("cron_job:{name}");
        link.push(&["SADD", "cron_jobs", &key])?;
        link.push(&["HSET", &key, "name", name, "klass", "ThreeScale::Jobs::CronJob::Enqueuer", "cron", cron, "status", "enabled"])?;
        link.push(&["ZADD", &format!("{key}:enqueued"), "1767600000", "2026-01-05T08:00:00Z"])?;
    }
    link.push(&["HSET", "BID-0123456789abcdef012345", "pending", "1", "total", "2"])?;
    link.push(&["EXPIRE", "BID-0123456789abcdef012345", "21600"])?;
    link.push(&["SET", "lock:billing:4", "aaaabbbbccccddddeeee", "PX", "3600000"])?;
    link.push(&["SET", "activejob_uniqueness:BackendUpdateApplicationPlanJob:no_arguments", "x", "EX", "86400"])?;
    for provider in 2..2 + shape.providers {
        for n in 0..10 {
            let failure = format!(
                "{{\"id\":\"uuid-{n}\",\"time\":\"2026-01-05 10:00:00\",\"url\":\"https://hook.example.com/ü\",\"error\":\"timeout\",\"event\":\"<event><type>created</type><n>{n}</n></event>\"}}"
            );
            link.push(&["LPUSH", &format!("webhooks:failures:provider-{provider}"), &failure])?;
        }
    }
    link.finish()?;
    watch.see(Event::Advance { data_set: DataSetName::SystemRedis, verb: Verb::Stage, bytes: 20_000, items: 25 });
    Ok(())
}
