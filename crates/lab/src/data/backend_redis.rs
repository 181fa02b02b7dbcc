//! The keys of Backend: configuration copied from System, statistics that are nowhere else, events, queues.

use std::collections::BTreeMap;

use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};

use super::calendar::{Moment, NOW, compact_week};
use super::shape::{Application, Shape, backend_version};
use super::system::{limit, metric_name, newest_event};
use crate::Redis;
use crate::link::Link;

const DAY: i64 = 86_400;

/// Fills the storage (database 0).
pub(crate) fn load_storage(server: &Redis, shape: &Shape, watch: &dyn Watch) -> Result<()> {
    let mut keys = Keys { link: Link::open(server, 0)?, bytes: 0, items: 0, watch };
    (1..=shape.all_services()).try_for_each(|service| configuration(&mut keys, shape, service))?;
    for n in 1..=shape.services * 3 * 2 {
        let (service, plan, metric, period, value) = limit(n);
        keys.set(&format!("usage_limit/service_id:{service}/plan_id:{plan}/metric_id:{metric}/{period}"), &value.to_string())?;
    }
    for id in 1..=shape.applications {
        application(&mut keys, shape, &shape.application(id))?;
    }
    statistics(&mut keys, shape)?;
    events(&mut keys, shape)?;
    keys.finish()
}

/// Fills the queues (database 1).
pub(crate) fn load_queues(server: &Redis, shape: &Shape, watch: &dyn Watch) -> Result<()> {
    let mut keys = Keys { link: Link::open(server, 1)?, bytes: 0, items: 0, watch };
    let provider_key = shape.provider_key(2);
    keys.put(&["SADD", "resque:queues", "priority", "main", "stats"])?;
    for n in 0..20 {
        let job = format!(
            "{{\"class\":\"ThreeScale::Backend::Transactor::NotifyJob\",\"args\":[\"{provider_key}\",{{\"transactions/authorize\":{n}}},1767607200.0,1767607200.5]}}"
        );
        keys.put(&["RPUSH", "resque:queue:main", &job])?;
    }
    let failed = "{\"failed_at\":\"2026-01-05 10:00:00\",\"exception\":\"RuntimeError\",\"payload\":{\"class\":\"ThreeScale::Backend::Transactor::ReportJob\",\"args\":[\"2\",{},1767607200.0,{}]}}";
    keys.put(&["RPUSH", "resque:failed", failed])?;
    keys.set("resque:stat:processed", "1000")?;
    keys.set("resque:stat:failed", "1")?;
    keys.finish()
}

struct Keys<'a> {
    link: Link,
    bytes: u64,
    items: u64,
    watch: &'a dyn Watch,
}

impl Keys<'_> {
    fn put(&mut self, words: &[&str]) -> Result<()> {
        self.bytes += words.iter().map(|word| word.len() as u64).sum::<u64>();
        self.items += 1;
        if self.bytes > 1 << 20 {
            self.tell();
        }
        self.link.push(words)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.put(&["SET", key, value])
    }

    fn tell(&mut self) {
        self.watch.see(Event::Advance { data_set: DataSetName::BackendRedis, verb: Verb::Stage, bytes: self.bytes, items: self.items });
        (self.bytes, self.items) = (0, 0);
    }

    fn finish(mut self) -> Result<()> {
        self.tell();
        self.link.finish()
    }
}

/// Backend writes spaces of its keys as `+` (apisonator, `storage_key_helpers.rb`).
fn encode(key: &str) -> String {
    key.replace(' ', "+")
}

fn configuration(keys: &mut Keys<'_>, shape: &Shape, service: u64) -> Result<()> {
    let provider_key = shape.provider_key(shape.provider_of_service(service));
    keys.put(&["SADD", "services_set", &service.to_string()])?;
    keys.put(&["SADD", "provider_keys_set", &provider_key])?;
    keys.put(&["SADD", &format!("service/provider_key:{provider_key}/ids"), &service.to_string()])?;
    // The provider's first is its default.
    if service <= shape.providers + 1 {
        keys.set(&format!("service/provider_key:{provider_key}/id"), &service.to_string())?;
    }
    let base = format!("service/id:{service}");
    for (name, value) in [
        ("state", "active"),
        ("referrer_filters_required", "0"),
        ("backend_version", backend_version(service)),
        ("provider_key", &provider_key),
    ] {
        keys.set(&format!("{base}/{name}"), value)?;
    }
    if service % 3 == 2 {
        keys.put(&["SADD", &format!("alerts/service_id:{service}/allowed_set"), "50", "80", "100"])?;
    }
    for nth in 0..4 {
        let (metric, name) = (Shape::metric(service, nth), metric_name(nth));
        keys.put(&["SADD", &format!("metrics/service_id:{service}/ids"), &metric.to_string()])?;
        keys.set(&format!("metric/service_id:{service}/id:{metric}/name"), name)?;
        keys.set(&format!("metric/service_id:{service}/name:{name}/id"), &metric.to_string())?;
        if nth > 0 {
            keys.set(&format!("metric/service_id:{service}/id:{metric}/parent_id"), &Shape::metric(service, 0).to_string())?;
        }
    }
    keys.put(&["HSET", &format!("service_token/token:{}/service_id:{service}", shape.service_token(service)), "permissions", ""])
}

fn application(keys: &mut Keys<'_>, shape: &Shape, application: &Application) -> Result<()> {
    let (service, id) = (application.service, application.application_id());
    let base = encode(&format!("application/service_id:{service}/id:{id}"));
    keys.put(&["SADD", &format!("service_id:{service}/applications"), &id])?;
    keys.set(&format!("{base}/state"), if application.state == "live" { "active" } else { application.state })?;
    keys.set(&format!("{base}/plan_id"), &application.plan.to_string())?;
    keys.set(&format!("{base}/plan_name"), ["Basic", "Größe L", "Unlimited"][(application.plan % 3) as usize])?;
    if let Some(user_key) = &application.user_key {
        keys.set(&format!("application/service_id:{service}/key:{user_key}/id"), &id)?;
    }
    if let Some(key) = application.key(shape) {
        keys.put(&["SADD", &format!("{base}/keys"), &key])?;
    }
    application.referrer().map_or(Ok(()), |referrer| keys.put(&["SADD", &format!("{base}/referrer_filters"), &referrer]))
}

/// Counters of some days for every application with traffic, summed up to the longer periods and to its service.
fn statistics(keys: &mut Keys<'_>, shape: &Shape) -> Result<()> {
    let mut of_services: BTreeMap<(u64, u64), BTreeMap<String, u64>> = BTreeMap::new();
    for application in (1..=shape.applications).map(|id| shape.application(id)).filter(|application| application.has_traffic) {
        let (service, id) = (application.service, encode(&application.application_id()));
        keys.put(&["SADD", &format!("stats/{{service:{service}}}/cinstances"), &application.application_id()])?;
        for nth in 0..2 {
            let metric = Shape::metric(service, nth);
            let sums = sums(shape, application.id, metric);
            for (period, count) in &sums {
                keys.set(&format!("stats/{{service:{service}}}/cinstance:{id}/metric:{metric}/{period}"), &count.to_string())?;
                if !period.starts_with("year") {
                    *of_services.entry((service, metric)).or_default().entry(period.clone()).or_default() += count;
                }
            }
        }
        let minute = format!("stats/{{service:{service}}}/cinstance:{id}/metric:{}/minute:2026010510", Shape::metric(service, 0));
        keys.put(&["SET", &minute, "3", "EX", "180"])?;
    }
    for ((service, metric), sums) in of_services {
        for (period, count) in sums {
            let count = count.to_string();
            keys.set(&format!("stats/{{service:{service}}}/metric:{metric}/{period}"), &count)?;
            if metric == Shape::metric(service, 0) {
                keys.set(&format!("stats/{{service:{service}}}/response_code:200/{period}"), &count)?;
                keys.set(&format!("stats/{{service:{service}}}/response_code:2XX/{period}"), &count)?;
            }
        }
    }
    Ok(())
}

fn sums(shape: &Shape, application: u64, metric: u64) -> BTreeMap<String, u64> {
    let mut random = shape.random("stats", application << 20 ^ metric);
    let mut sums = BTreeMap::new();
    for _ in 0..4 {
        let at = NOW - random.below(40 * 24).cast_signed() * (DAY / 24);
        let (moment, count) = (Moment::of(at), 1 + random.below(5000));
        for period in [
            "eternity".to_owned(),
            format!("year:{}", moment.compact_year()),
            format!("month:{}", moment.compact_month()),
            format!("week:{}", compact_week(at)),
            format!("day:{}", moment.compact_day()),
            format!("hour:{}", moment.compact_hour()),
        ] {
            *sums.entry(period).or_default() += count;
        }
    }
    sums
}

/// Events, alerts, errors and locks; the counters are ahead of System's rows.
fn events(keys: &mut Keys<'_>, shape: &Shape) -> Result<()> {
    let newest = newest_event(shape);
    keys.set("events/id", &(newest + 20).to_string())?;
    for id in newest + 1..=newest + 20 {
        let event = format!("{{\"id\":{id},\"type\":\"first_traffic\",\"timestamp\":\"2026-01-05 10:00:00 UTC\"}}");
        keys.put(&["ZADD", "events/queue", &id.to_string(), &event])?;
    }
    keys.put(&["SET", "events/ping", "1", "EX", "60"])?;
    keys.set("alerts/current_id", &(shape.applications / 20 + 5).to_string())?;
    for id in (1..=shape.applications).step_by(40) {
        let application = shape.application(id);
        let (service, id) = (application.service, encode(&application.application_id()));
        keys.put(&["SET", &format!("alerts/service_id:{service}/app_id:{id}/80/already_notified"), "1", "EX", "86400"])?;
        keys.put(&["SET", &format!("daily_traffic/service:{service}/cinstance:{id}/20260105"), "1", "EX", "172800"])?;
    }
    for service in 2..=shape.all_services() {
        for n in 0..30 {
            let error = format!(
                "{{\"code\":\"application_key_invalid\",\"message\":\"application key \\\"ü✓{n}\\\" is invalid\",\"timestamp\":\"2026-01-05 10:00:00 UTC\"}}"
            );
            keys.put(&["LPUSH", &format!("errors/service_id:{service}"), &error])?;
        }
    }
    let usage = format!("{{\"provider_key\":\"{}\",\"usage\":{{\"transactions\":1}}}}", shape.provider_key(2));
    keys.put(&["RPUSH", "notify/aggregator/batch", &usage])?;
    // A service that is gone from System.
    keys.put(&["SADD", "set_with_services_marked_for_deletion", &(shape.all_services() + 50).to_string()])?;
    keys.set("liveness-probe", "1")
}
