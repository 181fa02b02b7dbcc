//! Goes through the facts of both sides in one order, and says where they differ.

use std::collections::BTreeSet;

use plan::{Error, Result};

use super::Atoms;
use super::atom::{Read, Side, Topic, take};
use super::backend::Backend;
use super::finding::{Finding, Kind, Report};
use super::system::Known;
use crate::census::printable;

/// Compares. `files`: whether the files were given; then every row's is looked for. `limit`: so many of each kind are named.
///
/// # Errors
/// When what was sorted cannot be read back.
pub fn compare(atoms: Atoms<'_>, known: &Known, backend: &Backend<'_>, files: bool, limit: usize) -> Result<Report> {
    let mut judge = Judge {
        limit,
        files,
        known,
        report: Report::default(),
        service: Standing::default(),
        application: Standing::default(),
        metrics: BTreeSet::new(),
    };
    let mut records = atoms.0.sorted()?;
    let mut next = records.next_record()?;
    while let Some(record) = next {
        let fact = read(&record)?;
        let mut both = Both { system: None, backend: Vec::new() };
        both.take(fact.side, fact.value);
        loop {
            next = records.next_record()?;
            let Some(record) = &next else { break };
            let more = read(record)?;
            if (&more.service, &more.application, more.topic, &more.item) != (&fact.service, &fact.application, fact.topic, &fact.item) {
                break;
            }
            both.take(more.side, more.value);
        }
        judge.judge(&fact.service, &fact.application, fact.topic, &fact.item, &both);
    }
    judge.counters(known, backend);
    Ok(judge.report)
}

fn read(record: &[u8]) -> Result<Read> {
    Read::of(record).ok_or_else(|| Error::failed("what was sorted cannot be read back"))
}

/// What both sides say of one thing.
struct Both {
    system: Option<Vec<u8>>,
    backend: Vec<Vec<u8>>,
}

impl Both {
    fn take(&mut self, side: Side, value: Vec<u8>) {
        match side {
            Side::System => _ = self.system.get_or_insert(value),
            // As many files may have one name: three do.
            Side::Backend if self.backend.len() < 1000 => self.backend.push(value),
            Side::Backend => {}
        }
    }

    fn differs(&self) -> bool {
        self.system.as_ref().is_some_and(|value| !self.backend.is_empty() && !self.backend.contains(value))
    }
}

/// Whether a service, or an application, is there: on each side. It is told first, and what follows is judged by it.
#[derive(Default)]
struct Standing {
    name: Vec<u8>,
    system: Option<Vec<u8>>,
    backend: bool,
}

impl Standing {
    fn of(&mut self, name: &[u8]) -> &mut Self {
        if self.name != name {
            *self = Self { name: name.to_vec(), ..Self::default() };
        }
        self
    }
}

struct Judge<'k> {
    limit: usize,
    files: bool,
    known: &'k Known,
    report: Report,
    service: Standing,
    application: Standing,
    /// Ids of the service's metrics that only Backend has.
    metrics: BTreeSet<Vec<u8>>,
}

impl Judge<'_> {
    fn judge(&mut self, service: &[u8], application: &[u8], topic: Topic, item: &[u8], both: &Both) {
        if topic == Topic::File {
            return self.file(both);
        }
        if self.service.name != service {
            self.application = Standing::default();
            self.metrics.clear();
        }
        self.service.of(service);
        self.application.of(application);
        let (in_system, in_backend) = (both.system.is_some(), !both.backend.is_empty());
        let add = |report: &mut Report, kind: Kind, detail: &[u8]| {
            report.add(self.limit, kind, || Finding {
                service: printable(service),
                application: printable(application),
                detail: printable(detail),
            });
        };
        let report = &mut self.report;
        match topic {
            Topic::Service => {
                self.service.system.clone_from(&both.system);
                self.service.backend = in_backend;
                report.services += u64::from(in_system);
                let is_used = both.system.as_deref() == Some(b"in use");
                if !in_system && in_backend {
                    add(report, Kind::UnknownService, b"");
                } else if is_used && !in_backend {
                    add(report, Kind::ServiceMissing, b"");
                } else if in_system && !in_backend {
                    add(report, Kind::IdleMissing, b"");
                }
                return;
            }
            Topic::Application => {
                self.application.system.clone_from(&both.system);
                self.application.backend = in_backend;
                report.applications += u64::from(in_system);
            }
            _ => {}
        }
        // Of a service that one side lacks, that it lacks it is told, and not all that belongs to it.
        let (service_in_system, service_in_backend) = (self.service.system.is_some(), self.service.backend);
        if !service_in_system {
            if !service_in_backend {
                add(report, Kind::Leftover, topic_name(topic));
            }
            return;
        }
        if !service_in_backend {
            // What lets nobody in, because Backend does not know the service.
            if in_backend && !in_system {
                add(report, Kind::Leftover, topic_name(topic));
            }
            return;
        }
        let is_used = self.service.system.as_deref() == Some(b"in use");
        let missing = |kind: Kind| if is_used { kind } else { Kind::IdleMissing };
        if !application.is_empty() && topic != Topic::Application {
            if self.application.system.is_none() && !self.application.backend {
                // On neither side: a key that leads to nothing.
                add(report, Kind::Leftover, topic_name(topic));
                return;
            }
            if self.application.system.is_none() || !self.application.backend {
                // Told once, with the application.
                return;
            }
        }
        if in_backend && !in_system {
            let of_metric = match topic {
                Topic::Metric => {
                    self.metrics.insert(item.to_vec());
                    // porta leaves the metrics of a backend API with a product that does not use it any more.
                    if both.backend.first().is_some_and(|name| is_of_backend_api(name)) {
                        add(report, Kind::Leftover, topic_name(topic));
                        return;
                    }
                    None
                }
                Topic::MetricParent | Topic::InMetrics => Some(item),
                Topic::MetricName => both.backend.first().map(Vec::as_slice),
                Topic::Limit => {
                    let (plan, metric) = of_limit(item);
                    if plan.is_none_or(|plan| !self.known.plans.contains(&plan)) {
                        add(report, Kind::Leftover, topic_name(topic));
                        return;
                    }
                    metric
                }
                _ => None,
            };
            if of_metric.is_some_and(|metric| self.metrics.contains(metric)) {
                // Told once, with the metric.
                return;
            }
        }
        if matches!(topic, Topic::UserKey | Topic::ApplicationKey | Topic::Token | Topic::ProviderKey) {
            report.credentials += u64::from(in_system);
        }
        let (lacks, surplus, differs) = match topic {
            Topic::Application => {
                match (&both.system, both.backend.first()) {
                    (Some(_), None) => add(report, missing(Kind::ApplicationMissing), b""),
                    (None, Some(_)) => add(report, Kind::UnknownApplication, b""),
                    (Some(should), Some(state)) if should != state => {
                        let kind = if state == b"active" { Kind::NotSuspended } else { Kind::ApplicationDiffers };
                        add(report, kind, &[b"state ", state.as_slice(), b" instead of ", should].concat());
                    }
                    _ => {}
                }
                return;
            }
            Topic::ProviderKey => (Kind::ServiceMissing, Kind::OtherProviderKey, Kind::OtherProviderKey),
            Topic::ServiceAttribute => (Kind::ServiceDiffers, Kind::ServiceDiffers, Kind::ServiceDiffers),
            Topic::InServices | Topic::OfProvider | Topic::InMetrics | Topic::InApplications => {
                (Kind::ListDiffers, Kind::ListDiffers, Kind::ListDiffers)
            }
            Topic::Metric => (Kind::MetricMissing, Kind::UnknownMetric, Kind::MetricDiffers),
            // A stale parent is not removed when a metric is saved without one.
            Topic::MetricParent | Topic::MetricName => (Kind::MetricDiffers, Kind::MetricDiffers, Kind::MetricDiffers),
            Topic::Limit => (Kind::LimitMissing, Kind::UnknownLimit, Kind::LimitDiffers),
            Topic::Token => (Kind::TokenMissing, Kind::UnknownToken, Kind::UnknownToken),
            Topic::AlertLevel => (Kind::AlertLevelMissing, Kind::UnknownAlertLevel, Kind::UnknownAlertLevel),
            Topic::ApplicationAttribute => (Kind::ApplicationDiffers, Kind::ApplicationDiffers, Kind::ApplicationDiffers),
            Topic::UserKey => (Kind::UserKeyMissing, Kind::UnknownUserKey, Kind::UnknownUserKey),
            Topic::ApplicationKey => (Kind::ApplicationKeyMissing, Kind::UnknownApplicationKey, Kind::UnknownApplicationKey),
            Topic::Referrer => (Kind::ReferrerMissing, Kind::UnknownReferrer, Kind::UnknownReferrer),
            Topic::Service | Topic::File => return,
        };
        let detail = detail(topic, item);
        match (in_system, in_backend) {
            (true, false) => add(report, missing(lacks), &detail),
            (false, true) => add(report, surplus, &detail),
            _ if both.differs() => add(report, differs, &detail),
            _ => {}
        }
    }

    fn file(&mut self, both: &Both) {
        let Some(mut named) = both.system.as_deref().filter(|_| self.files) else { return };
        self.report.files += 1;
        let (row, size) = (take(&mut named).unwrap_or_default(), take(&mut named).unwrap_or_default());
        let kind = match both.backend.as_slice() {
            [] => Kind::FileMissing,
            sizes if size.is_empty() || sizes.contains(&size) => return,
            _ => Kind::FileDiffers,
        };
        let detail = printable(&row);
        self.report.add(self.limit, kind, || Finding { service: String::new(), application: String::new(), detail });
    }

    fn counters(&mut self, known: &Known, backend: &Backend<'_>) {
        let limit = self.limit;
        let of = |service: &[u8], detail: String| Finding { service: printable(service), application: String::new(), detail };
        for (kind, has, should) in
            [(Kind::EventsBehind, backend.newest_event, known.newest_event), (Kind::AlertsBehind, backend.newest_alert, known.newest_alert)]
        {
            if has.unwrap_or_default() < should.unwrap_or_default() {
                let detail = format!("{} instead of {} or more", has.unwrap_or_default(), should.unwrap_or_default());
                self.report.add(limit, kind, || of(b"", detail));
            }
        }
        backend.pending.iter().for_each(|service| self.report.add(limit, Kind::MarkedForDeletion, || of(service, String::new())));
        for (service, keys) in &backend.usage {
            let id: u64 = std::str::from_utf8(service).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
            let kind = if id >= known.next_service { Kind::UsageOfComingService } else { Kind::UsageOfGoneService };
            self.report.add(limit, kind, || of(service, format!("{keys} counters")));
        }
    }
}

/// `reads.70`: the metric of backend API 70.
fn is_of_backend_api(name: &[u8]) -> bool {
    let end = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    end.len() < name.len() && !end.is_empty() && end.iter().all(u8::is_ascii_digit)
}

/// Plan and metric of `plan 7, metric 20, minute`.
fn of_limit(item: &[u8]) -> (Option<u64>, Option<&[u8]>) {
    let number = |word: &str| -> Option<&[u8]> {
        let at = item.windows(word.len()).position(|part| part == word.as_bytes())? + word.len();
        item.get(at..)?.split(|byte| !byte.is_ascii_digit()).next()
    };
    (number("plan ").and_then(|plan| std::str::from_utf8(plan).ok()?.parse().ok()), number("metric "))
}

/// What may be shown of an item: a name or an id, never a digest.
fn detail(topic: Topic, item: &[u8]) -> Vec<u8> {
    match topic {
        Topic::ServiceAttribute | Topic::ApplicationAttribute | Topic::Limit => item.to_vec(),
        Topic::Metric | Topic::MetricParent => [b"metric ", item].concat(),
        Topic::MetricName => [b"metric named ", item].concat(),
        Topic::AlertLevel => [b"level ", item].concat(),
        Topic::InServices => b"services_set".to_vec(),
        Topic::OfProvider => b"list of the provider's services".to_vec(),
        Topic::InMetrics => [b"list of metrics, metric ", item].concat(),
        Topic::InApplications => b"list of applications".to_vec(),
        _ => Vec::new(),
    }
}

const fn topic_name(topic: Topic) -> &'static [u8] {
    match topic {
        Topic::Token => b"token",
        Topic::UserKey => b"user key",
        Topic::ApplicationKey => b"application key",
        Topic::Referrer => b"referrer",
        Topic::Limit => b"limit",
        Topic::Metric | Topic::MetricParent | Topic::MetricName | Topic::InMetrics => b"metric",
        Topic::AlertLevel => b"alert level",
        Topic::InServices | Topic::InApplications | Topic::OfProvider => b"entry of a list",
        Topic::Service | Topic::ServiceAttribute | Topic::ProviderKey => b"service",
        Topic::Application | Topic::ApplicationAttribute => b"application",
        Topic::File => b"file",
    }
}
