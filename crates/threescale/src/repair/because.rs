//! For which difference a change is made: the one that was found in the same thing, else the one of what that belongs to.

use plan::{Error, Result};

use super::about;
use crate::rewrite::should::{Should, What, Why};
use crate::verify::atom::{Read, Topic, take};
use crate::verify::{Kind, Merge, of_fact};

/// A change by what it is about. In this order the kinds are found.
pub(super) fn record(fact: &Read, should: &Should) -> Vec<u8> {
    let item = [&[fact.topic as u8], fact.item.as_slice()].concat();
    let mut record = of_fact(&fact.service, &fact.application, &item);
    record.extend_from_slice(&should.record());
    record
}

/// What something is about: service, application, topic and item.
type Thing = (Vec<u8>, Vec<u8>, Vec<u8>);

fn thing(rest: &mut &[u8]) -> Option<Thing> {
    Some((take(rest)?, take(rest)?, take(rest)?))
}

/// Finds the kinds of changes that are told in the order of their records.
pub(super) struct Because {
    kinds: Merge,
    next: Option<(Thing, Kind)>,
    /// The last that was found in a thing itself.
    same: Option<(Thing, Kind)>,
    /// The last that was found in all of a service, or of an application.
    service: Option<(Thing, Kind)>,
    application: Option<(Thing, Kind)>,
    /// The last application that has lost all its keys, or referrers: one of them is told.
    opened: Option<(Thing, Kind)>,
}

impl Because {
    pub(super) fn of(kinds: Merge) -> Result<Self> {
        let mut because = Self { kinds, next: None, same: None, service: None, application: None, opened: None };
        because.next = because.read()?;
        Ok(because)
    }

    fn read(&mut self) -> Result<Option<(Thing, Kind)>> {
        let Some(record) = self.kinds.next_record()? else { return Ok(None) };
        let mut rest = record.as_ref();
        let read = thing(&mut rest).zip(rest.first().and_then(|kind| Kind::at(*kind)));
        read.map(Some).ok_or_else(unread)
    }

    /// A change, with why it is made.
    pub(super) fn tell(&mut self, change: &[u8]) -> Result<Should> {
        let mut rest = change;
        let (thing, should) = thing(&mut rest).and_then(|thing| Some((thing, Should::of(rest)?))).ok_or_else(unread)?;
        while let Some((found, kind)) = self.next.take_if(|(found, _)| *found <= thing) {
            self.next = self.read()?;
            self.pass(found, kind);
        }
        let topic = Topic::at(thing.2.first().copied().unwrap_or_default()).ok_or_else(unread)?;
        let kind = self.kind(&thing, topic, should.what);
        Ok(Should { why: Some(Why { kind, about: about(&thing.0, &thing.1, topic) }), ..should })
    }

    fn pass(&mut self, found: Thing, kind: Kind) {
        let place = match kind {
            Kind::UnknownService | Kind::ServiceMissing => &mut self.service,
            Kind::UnknownApplication | Kind::ApplicationMissing => &mut self.application,
            Kind::IdleMissing if found.1.is_empty() => &mut self.service,
            Kind::IdleMissing => &mut self.application,
            Kind::NoKeyLeft | Kind::NoReferrerLeft => &mut self.opened,
            _ => &mut self.same,
        };
        *place = Some((found.clone(), kind));
        self.same = Some((found, kind));
    }

    fn kind(&self, thing: &Thing, topic: Topic, what: What) -> Kind {
        let same = self.same.as_ref().filter(|(found, _)| found == thing);
        let opened =
            self.opened.as_ref().filter(|(found, _)| (&found.0, &found.1, found.2.first()) == (&thing.0, &thing.1, thing.2.first()));
        let application =
            self.application.as_ref().filter(|(found, _)| !thing.1.is_empty() && (&found.0, &found.1) == (&thing.0, &thing.1));
        let service = self.service.as_ref().filter(|(found, _)| found.0 == thing.0);
        let found = same.or(opened).or(application).or(service);
        found.map_or_else(|| alone(topic, matches!(what, What::Remove | What::Take)), |(_, kind)| *kind)
    }
}

/// What belongs to something that was told: a metric that one side lacks, two applications that have each other's user key.
const fn alone(topic: Topic, is_removed: bool) -> Kind {
    match topic {
        Topic::UserKey => Kind::UserKeyElsewhere,
        Topic::ApplicationKey => Kind::ApplicationKeyMissing,
        Topic::Referrer => Kind::ReferrerMissing,
        Topic::Token => Kind::TokenMissing,
        Topic::AlertLevel => Kind::AlertLevelMissing,
        Topic::Metric | Topic::MetricParent | Topic::MetricName | Topic::InMetrics if is_removed => Kind::UnknownMetric,
        Topic::Metric | Topic::MetricParent | Topic::MetricName | Topic::InMetrics => Kind::MetricMissing,
        Topic::Limit if is_removed => Kind::UnknownLimit,
        Topic::Limit => Kind::LimitMissing,
        Topic::Application | Topic::ApplicationAttribute => Kind::ApplicationDiffers,
        Topic::InServices | Topic::InApplications | Topic::OfProvider | Topic::InProviders => Kind::ListDiffers,
        Topic::DefaultService => Kind::DefaultServiceDiffers,
        Topic::Service | Topic::ProviderKey | Topic::ServiceAttribute | Topic::ServiceState | Topic::File => Kind::ServiceDiffers,
    }
}

fn unread() -> Error {
    Error::failed("what was sorted cannot be read back")
}
