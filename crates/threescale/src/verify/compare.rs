//! Goes through the facts of both sides in one order, and says where they differ.

use std::collections::BTreeSet;

use plan::{Error, Result};

use super::Atoms;
use super::atom::{Read, Topic, take};
use super::backend::Backend;
use super::facts::{self, Both};
use super::finding::Kind;
use super::later::{Doors, UserKeys};
use super::look::{Difference, Look};
use super::system::Known;

/// Compares. `files`: whether the files were given; then every row's is looked for. What is found goes into the look.
///
/// # Errors
/// When what was sorted cannot be read back, or there is no room for what was found.
pub fn compare<'r>(atoms: Atoms<'_>, known: &Known, backend: &Backend<'_>, files: bool, look: Look<'r>) -> Result<Look<'r>> {
    let mut judge = Judge::new(known, files, look.only(&atoms));
    facts::each(atoms, &mut |fact, both| judge.judge(fact, both))?;
    judge.end(backend)
}

/// Whether a service, or an application, is there: on each side. It is told first, and what follows is judged by it.
#[derive(Default)]
struct Standing {
    name: Vec<u8>,
    system: Option<Vec<u8>>,
    backend: bool,
}

impl Standing {
    fn turn_to(&mut self, name: &[u8]) {
        if self.name != name {
            *self = Self { name: name.to_vec(), ..Self::default() };
        }
    }

    fn is(&mut self, both: &Both) {
        self.system = both.should().map(<[u8]>::to_vec);
        self.backend = !both.backend.is_empty();
    }
}

/// Judges one thing after the other, in the order of [`facts::each`].
pub(crate) struct Judge<'k, 'r> {
    files: bool,
    known: &'k Known,
    look: Look<'r>,
    trouble: Option<Error>,
    service: Standing,
    application: Standing,
    /// Ids of the service's metrics that only Backend has.
    metrics: BTreeSet<Vec<u8>>,
    /// Whether the service is checked by an application's keys, as System says; by user key alone there are none.
    wants_keys: bool,
    wants_referrers: bool,
    keys: Doors,
    referrers: Doors,
    user_keys: UserKeys,
}

/// What both sides say of one thing, and what that is.
struct Fact<'f> {
    service: &'f [u8],
    application: &'f [u8],
    topic: Topic,
    item: &'f [u8],
    both: &'f Both,
}

impl Fact<'_> {
    const fn in_system(&self) -> bool {
        !self.both.system.is_empty()
    }

    const fn in_backend(&self) -> bool {
        !self.both.backend.is_empty()
    }

    const fn is_surplus(&self) -> bool {
        self.in_backend() && !self.in_system()
    }
}

impl<'k, 'r> Judge<'k, 'r> {
    pub(crate) fn new(known: &'k Known, files: bool, look: Look<'r>) -> Self {
        Self {
            files,
            known,
            look,
            trouble: None,
            service: Standing::default(),
            application: Standing::default(),
            metrics: BTreeSet::new(),
            wants_keys: false,
            wants_referrers: false,
            keys: Doors::default(),
            referrers: Doors::default(),
            user_keys: UserKeys::default(),
        }
    }

    /// The next thing.
    ///
    /// # Errors
    /// When there is no room for what was found.
    pub(crate) fn judge(&mut self, fact: &Read, both: &Both) -> Result<()> {
        let Read { service, application, topic, item, .. } = fact;
        self.one(&Fact { service, application, topic: *topic, item, both });
        self.trouble.take().map_or(Ok(()), Err)
    }

    /// All were seen: gives what was found.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub(crate) fn end(mut self, backend: &Backend<'_>) -> Result<Look<'r>> {
        self.application_ends();
        self.service_ends();
        self.counters(backend);
        self.trouble.take().map_or(Ok(self.look), Err)
    }

    fn one(&mut self, fact: &Fact<'_>) {
        match fact.topic {
            Topic::File => return self.file(fact.both),
            // Of no service, and only for a rewrite.
            Topic::InProviders => return,
            // Where System names none, Backend's is nobody's to change; where it names another, that one is told.
            Topic::DefaultService if !fact.in_system() => return,
            _ => {}
        }
        self.turn_to(fact);
        if fact.topic == Topic::Service {
            return self.service(fact);
        }
        if fact.is_surplus() && self.is_of_coming_service(fact) {
            let is_credential = matches!(fact.topic, Topic::Token | Topic::UserKey | Topic::ApplicationKey | Topic::ProviderKey);
            let kind = if is_credential { Kind::CredentialOfComingService } else { Kind::KeysOfComingService };
            return self.add(kind, fact, topic_name(fact.topic));
        }
        if self.is_of_what_is_gone(fact) || fact.is_surplus() && self.is_left_behind(fact) {
            return self.add(Kind::Leftover, fact, topic_name(fact.topic));
        }
        if self.is_told(fact) {
            return;
        }
        match fact.topic {
            Topic::Application => self.application(fact),
            _ => self.compare(fact),
        }
    }

    /// Takes down whether the service and the application are there, which is told before what belongs to them.
    fn turn_to(&mut self, fact: &Fact<'_>) {
        if self.service.name != fact.service || self.application.name != fact.application {
            self.application_ends();
        }
        if self.service.name != fact.service {
            self.service_ends();
            self.application = Standing::default();
            self.metrics.clear();
            (self.wants_keys, self.wants_referrers) = (false, false);
        }
        self.service.turn_to(fact.service);
        self.application.turn_to(fact.application);
        match fact.topic {
            Topic::Service => {
                self.service.is(fact.both);
                self.look.services += u64::from(fact.in_system());
            }
            Topic::Application => {
                self.application.is(fact.both);
                self.look.applications += u64::from(fact.in_system());
            }
            Topic::Metric if fact.is_surplus() => _ = self.metrics.insert(fact.item.to_vec()),
            _ => {}
        }
    }

    /// Whether the service has an id that System gives to one that is yet to be made.
    fn is_of_coming_service(&self, fact: &Fact<'_>) -> bool {
        self.service.system.is_none() && !self.service.backend && self.known.is_of_coming_service(fact.service)
    }

    /// All keys and referrers of an application are seen.
    fn application_ends(&mut self) {
        let (service, application) = (self.service.name.clone(), self.application.name.clone());
        let keys = self.keys.end(self.wants_keys, Kind::ApplicationKeyMissing, Kind::NoKeyLeft);
        let referrers = self.referrers.end(self.wants_referrers, Kind::ReferrerMissing, Kind::NoReferrerLeft);
        for (topic, all) in [(Topic::ApplicationKey, keys), (Topic::Referrer, referrers)] {
            for (kind, item) in all {
                self.late(kind, &service, &application, topic, &item);
            }
        }
    }

    /// All user keys of a service are seen.
    fn service_ends(&mut self) {
        let service = self.service.name.clone();
        for one in self.user_keys.end() {
            self.late(one.kind, &service, &one.application, Topic::UserKey, &one.item);
        }
    }

    fn late(&mut self, kind: Kind, service: &[u8], application: &[u8], topic: Topic, item: &[u8]) {
        let item = [&[topic as u8], item].concat();
        self.found(&Difference { kind, service, application, item: &item, detail: b"" });
    }

    /// Keys of what nobody has any more: they lead to nothing, and let nobody in.
    fn is_of_what_is_gone(&self, fact: &Fact<'_>) -> bool {
        if !self.service.backend {
            return self.service.system.is_none() || fact.is_surplus();
        }
        let is_of_application = !fact.application.is_empty() && fact.topic != Topic::Application;
        self.service.system.is_some() && is_of_application && self.application.system.is_none() && !self.application.backend
    }

    /// What porta leaves in Backend: the metrics of a backend API with a product that does not use it any more, and the limits of a plan that is gone.
    fn is_left_behind(&self, fact: &Fact<'_>) -> bool {
        let is_live = self.service.system.is_some() && self.service.backend;
        is_live
            && match fact.topic {
                Topic::Metric => fact.both.backend.first().is_some_and(|name| is_of_backend_api(name)),
                Topic::Limit => of_limit(fact.item).0.is_none_or(|plan| !self.known.plans.contains(&plan)),
                _ => false,
            }
    }

    /// Whether it was told with what it belongs to: a service or an application that one side lacks, a metric that only Backend has.
    fn is_told(&self, fact: &Fact<'_>) -> bool {
        if self.service.system.is_none() || !self.service.backend {
            return true;
        }
        let is_of_application = !fact.application.is_empty() && fact.topic != Topic::Application;
        if is_of_application && (self.application.system.is_none() || !self.application.backend) {
            return true;
        }
        let of_metric = match fact.topic {
            Topic::MetricParent | Topic::InMetrics => Some(fact.item),
            Topic::MetricName => fact.both.backend.first().map(Vec::as_slice),
            Topic::Limit => of_limit(fact.item).1,
            _ => None,
        };
        fact.is_surplus() && of_metric.is_some_and(|metric| self.metrics.contains(metric))
    }

    fn service(&mut self, fact: &Fact<'_>) {
        match (fact.in_system(), fact.in_backend()) {
            (false, true) => self.add(Kind::UnknownService, fact, b""),
            (true, false) => self.add(self.missing(Kind::ServiceMissing), fact, b""),
            _ => {}
        }
    }

    fn application(&mut self, fact: &Fact<'_>) {
        match (fact.both.should(), fact.both.backend.first()) {
            (Some(_), None) => self.add(self.missing(Kind::ApplicationMissing), fact, b""),
            (None, Some(_)) => self.add(Kind::UnknownApplication, fact, b""),
            (Some(should), Some(state)) if should != state.as_slice() => {
                let kind = if state == b"active" { Kind::NotSuspended } else { Kind::ApplicationDiffers };
                self.add(kind, fact, &[b"state ", state.as_slice(), b" instead of ", should].concat());
            }
            _ => {}
        }
    }

    fn compare(&mut self, fact: &Fact<'_>) {
        if matches!(fact.topic, Topic::UserKey | Topic::ApplicationKey | Topic::Token | Topic::ProviderKey) {
            self.look.credentials += u64::from(fact.in_system());
        }
        // porta writes an empty version for a service that has none.
        if fact.topic == Topic::ServiceAttribute && !fact.in_system() && fact.both.backend.iter().all(Vec::is_empty) {
            return;
        }
        let (lacks, surplus, differs) = match fact.topic {
            Topic::ProviderKey => (Kind::ServiceMissing, Kind::OtherProviderKey, Kind::OtherProviderKey),
            Topic::ServiceAttribute => self.attribute(fact),
            Topic::InServices | Topic::OfProvider | Topic::InMetrics | Topic::InApplications => {
                (Kind::ListDiffers, Kind::ListHasMore, Kind::ListDiffers)
            }
            Topic::Metric => (Kind::MetricMissing, Kind::UnknownMetric, Kind::MetricDiffers),
            // A stale parent is not removed when a metric is saved without one.
            Topic::MetricParent => (Kind::MetricDiffers, Kind::StaleParent, Kind::MetricDiffers),
            Topic::MetricName => (Kind::MetricDiffers, Kind::MetricDiffers, Kind::MetricDiffers),
            Topic::Limit => (Kind::LimitMissing, Kind::UnknownLimit, Kind::LimitDiffers),
            Topic::Token => (Kind::TokenMissing, Kind::UnknownToken, Kind::UnknownToken),
            Topic::AlertLevel => (Kind::AlertLevelMissing, Kind::UnknownAlertLevel, Kind::UnknownAlertLevel),
            // A redirect URL is not removed when it is emptied (apisonator, `application.rb`).
            Topic::ApplicationAttribute if fact.item == b"redirect_url" => {
                (Kind::ApplicationDiffers, Kind::StaleAttribute, Kind::ApplicationDiffers)
            }
            Topic::ApplicationAttribute => (Kind::ApplicationDiffers, Kind::ApplicationDiffers, Kind::ApplicationDiffers),
            Topic::UserKey => (Kind::UserKeyMissing, Kind::UnknownUserKey, Kind::UnknownUserKey),
            Topic::ApplicationKey => (Kind::ApplicationKeyMissing, Kind::UnknownApplicationKey, Kind::UnknownApplicationKey),
            Topic::Referrer => (Kind::ReferrerMissing, Kind::UnknownReferrer, Kind::UnknownReferrer),
            // One that has no state works (apisonator, `validators/service_state.rb`); 3scale itself never sets another.
            Topic::ServiceState => {
                if fact.both.differs() && self.service.system.as_deref() == Some(b"in use") {
                    self.add(Kind::ServiceNotActive, fact, b"");
                }
                return;
            }
            Topic::DefaultService => (Kind::DefaultServiceDiffers, Kind::DefaultServiceDiffers, Kind::DefaultServiceDiffers),
            Topic::Service | Topic::Application | Topic::InProviders | Topic::File => return,
        };
        let kind = match (fact.in_system(), fact.in_backend()) {
            (true, false) => self.missing(lacks),
            (false, true) => surplus,
            _ if fact.both.differs() => differs,
            _ => return self.is_there(fact.topic),
        };
        match kind {
            Kind::ApplicationKeyMissing => self.keys.lacks(fact.item),
            Kind::ReferrerMissing => self.referrers.lacks(fact.item),
            _ if fact.topic == Topic::UserKey && self.user_keys.has_room() => self.user_keys.add(kind, fact.application, fact.item),
            _ => {
                if fact.in_backend() {
                    self.is_there(fact.topic);
                }
                self.add(kind, fact, &detail(fact.topic, fact.item));
            }
        }
    }

    /// Backend has one of the application's keys, or referrers.
    const fn is_there(&mut self, topic: Topic) {
        match topic {
            Topic::ApplicationKey => self.keys.has_one(),
            Topic::Referrer => self.referrers.has_one(),
            _ => {}
        }
    }

    /// How the service is checked, and what it is where that differs.
    fn attribute(&mut self, fact: &Fact<'_>) -> (Kind, Kind, Kind) {
        let system = fact.both.should();
        let in_backend = fact.both.backend.iter().any(|value| value == b"1");
        let checks_less = if fact.item == b"backend_version" {
            self.wants_keys = system.is_some_and(|version| version != b"1");
            self.wants_keys && in_backend
        } else {
            self.wants_referrers = system == Some(b"1");
            self.wants_referrers && !in_backend
        };
        let kind = if checks_less { Kind::ChecksLess } else { Kind::ServiceDiffers };
        (kind, Kind::ServiceDiffers, kind)
    }

    /// What it is when Backend lacks something of a service: nothing to mend, where the service is not used.
    fn missing(&self, kind: Kind) -> Kind {
        if self.service.system.as_deref() == Some(b"in use") { kind } else { Kind::IdleMissing }
    }

    fn add(&mut self, kind: Kind, fact: &Fact<'_>, detail: &[u8]) {
        let item = [&[fact.topic as u8], fact.item].concat();
        self.found(&Difference { kind, service: fact.service, application: fact.application, item: &item, detail });
    }

    fn found(&mut self, difference: &Difference<'_>) {
        if let Err(error) = self.look.add(difference) {
            self.trouble.get_or_insert(error);
        }
    }

    fn file(&mut self, both: &Both) {
        let Some(mut named) = both.should().filter(|_| self.files) else { return };
        self.look.files += 1;
        let (row, size) = (take(&mut named).unwrap_or_default(), take(&mut named).unwrap_or_default());
        let kind = match both.backend.as_slice() {
            [] => Kind::FileMissing,
            sizes if size.is_empty() || sizes.contains(&size) => return,
            _ => Kind::FileDiffers,
        };
        self.found(&Difference { kind, service: b"", application: b"", item: &row, detail: &row });
    }

    fn counters(&mut self, backend: &Backend<'_>) {
        let known = self.known;
        fn of<'a>(kind: Kind, service: &'a [u8], detail: &'a [u8]) -> Difference<'a> {
            Difference { kind, service, application: b"", item: b"", detail }
        }
        for (kind, has, should) in
            [(Kind::EventsBehind, backend.newest_event, known.newest_event), (Kind::AlertsBehind, backend.newest_alert, known.newest_alert)]
        {
            if has.unwrap_or_default() < should.unwrap_or_default() {
                let detail = format!("{} instead of {} or more", has.unwrap_or_default(), should.unwrap_or_default());
                self.found(&of(kind, b"", detail.as_bytes()));
            }
        }
        backend.pending.iter().for_each(|service| self.found(&of(Kind::MarkedForDeletion, service, b"")));
        for (service, keys) in &backend.usage {
            let kind = if known.is_of_coming_service(service) { Kind::UsageOfComingService } else { Kind::UsageOfGoneService };
            self.found(&of(kind, service, format!("{keys} counters").as_bytes()));
        }
    }
}

/// `reads.70`: the metric of backend API 70.
pub(crate) fn is_of_backend_api(name: &[u8]) -> bool {
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

pub(crate) const fn topic_name(topic: Topic) -> &'static [u8] {
    match topic {
        Topic::Token => b"token",
        Topic::UserKey => b"user key",
        Topic::ApplicationKey => b"application key",
        Topic::Referrer => b"referrer",
        Topic::Limit => b"limit",
        Topic::Metric | Topic::MetricParent | Topic::MetricName | Topic::InMetrics => b"metric",
        Topic::AlertLevel => b"alert level",
        Topic::InServices | Topic::InApplications | Topic::OfProvider | Topic::DefaultService | Topic::InProviders => b"entry of a list",
        Topic::Service | Topic::ServiceState | Topic::ServiceAttribute | Topic::ProviderKey => b"service",
        Topic::Application | Topic::ApplicationAttribute => b"application",
        Topic::File => b"file",
    }
}
