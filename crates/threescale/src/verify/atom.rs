//! One fact of one side, as a record that sorts by what it is about.

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    System = 1,
    Backend = 2,
}

/// What is said. In this order the facts of a service, and of an application, are compared: whether it is there comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// System: `in use` or `idle`. Backend: its provider key is there.
    Service,
    /// The provider's key of a service.
    ProviderKey,
    /// Whether an attribute of a service is what it should be; the item is its name.
    ServiceAttribute,
    /// The service is in `services_set`.
    InServices,
    /// The service is in the list of a provider key.
    OfProvider,
    /// The service's state: what lacks it is active.
    ServiceState,
    /// The service is the default one of a provider key.
    DefaultService,
    /// The item is a provider key that Backend has had. Of no service; only for a rewrite.
    InProviders,
    /// The item is a metric's id, the value its name.
    Metric,
    /// The value is the id of a metric's parent.
    MetricParent,
    /// The item is a name, the value a metric's id.
    MetricName,
    /// The metric is in the service's list.
    InMetrics,
    /// The item is plan, metric and period.
    Limit,
    /// A token of the service.
    Token,
    /// A level at which alerts are sent.
    AlertLevel,
    /// System: the state that Backend should have. Backend: the state.
    Application,
    /// The application is in the service's list; the value is its id as it is there.
    InApplications,
    /// The item is an attribute's name.
    ApplicationAttribute,
    /// The value is the application's id as it is there.
    UserKey,
    ApplicationKey,
    Referrer,
    /// A file that a row names; the item is a digest of its name, the value what may be shown of it.
    File,
}

const TOPICS: [Topic; 22] = [
    Topic::Service,
    Topic::ProviderKey,
    Topic::ServiceAttribute,
    Topic::InServices,
    Topic::OfProvider,
    Topic::ServiceState,
    Topic::DefaultService,
    Topic::InProviders,
    Topic::Metric,
    Topic::MetricParent,
    Topic::MetricName,
    Topic::InMetrics,
    Topic::Limit,
    Topic::Token,
    Topic::AlertLevel,
    Topic::Application,
    Topic::InApplications,
    Topic::ApplicationAttribute,
    Topic::UserKey,
    Topic::ApplicationKey,
    Topic::Referrer,
    Topic::File,
];

impl Topic {
    /// By its number; `None` when there is no such topic.
    pub(crate) fn at(number: u8) -> Option<Self> {
        TOPICS.get(usize::from(number)).copied()
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Atom<'a> {
    /// The service's id.
    pub(crate) service: &'a [u8],
    /// The application's id as it stands in keys; empty where it is about the service.
    pub(crate) application: &'a [u8],
    pub(crate) topic: Topic,
    pub(crate) item: &'a [u8],
    pub(crate) side: Side,
    pub(crate) value: &'a [u8],
}

/// An atom that was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) service: Vec<u8>,
    pub(crate) application: Vec<u8>,
    pub(crate) topic: Topic,
    pub(crate) item: Vec<u8>,
    pub(crate) side: Side,
    pub(crate) value: Vec<u8>,
}

impl Atom<'_> {
    /// The record: sorts by service, application, topic, item, and then by side.
    pub(crate) fn record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.service.len() + self.application.len() + self.item.len() + self.value.len() + 12);
        put(&mut record, self.service);
        put(&mut record, self.application);
        record.push(TOPICS.iter().position(|topic| *topic == self.topic).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX));
        put(&mut record, self.item);
        record.push(self.side as u8);
        record.extend_from_slice(self.value);
        record
    }
}

impl Read {
    /// `None` for what is no record.
    pub(crate) fn of(record: &[u8]) -> Option<Self> {
        let mut rest = record;
        let service = take(&mut rest)?;
        let application = take(&mut rest)?;
        let (topic, left) = rest.split_first()?;
        rest = left;
        let item = take(&mut rest)?;
        let (side, value) = rest.split_first()?;
        let side = if *side == Side::System as u8 { Side::System } else { Side::Backend };
        Some(Self { service, application, topic: Topic::at(*topic)?, item, side, value: value.to_vec() })
    }
}

/// Text of any length that sorts before every longer one that begins so: 0 is written `0 255`, the end `0 1`.
pub(crate) fn put(record: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        record.push(byte);
        if byte == 0 {
            record.push(u8::MAX);
        }
    }
    record.extend_from_slice(&[0, 1]);
}

pub(crate) fn take(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let (mut text, mut at) = (Vec::new(), 0);
    loop {
        match (rest.get(at)?, rest.get(at + 1)) {
            (0, Some(1)) => break,
            (0, Some(_)) => {
                text.push(0);
                at += 2;
            }
            (byte, _) => {
                text.push(*byte);
                at += 1;
            }
        }
    }
    *rest = rest.get(at + 2..)?;
    Some(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_topic_has_its_place() {
        assert!(TOPICS.is_sorted());
        assert_eq!(TOPICS.iter().position(|topic| *topic == Topic::File), Some(TOPICS.len() - 1));
    }

    proptest! {
        #[test]
        fn a_record_is_read_back_and_sorts_by_its_parts(
            one in (any::<Vec<u8>>(), any::<Vec<u8>>(), 0..TOPICS.len(), any::<Vec<u8>>(), any::<bool>(), any::<Vec<u8>>()),
            two in (any::<Vec<u8>>(), any::<Vec<u8>>(), 0..TOPICS.len(), any::<Vec<u8>>(), any::<bool>(), any::<Vec<u8>>()),
        ) {
            type Parts = (Vec<u8>, Vec<u8>, usize, Vec<u8>, bool, Vec<u8>);
            let record = |(service, application, topic, item, is_backend, value): &Parts| {
                let side = if *is_backend { Side::Backend } else { Side::System };
                Atom { service, application, topic: TOPICS[*topic], item, side, value }.record()
            };
            let read = Read::of(&record(&one)).unwrap();
            prop_assert_eq!((&read.service, &read.application, &read.item, &read.value), (&one.0, &one.1, &one.3, &one.5));
            prop_assert_eq!((read.topic, read.side == Side::Backend), (TOPICS[one.2], one.4));
            prop_assert_eq!(record(&one).cmp(&record(&two)), one.cmp(&two));
        }
    }
}
