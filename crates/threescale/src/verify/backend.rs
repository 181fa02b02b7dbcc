//! What Backend has, key by key.

use std::collections::BTreeMap;

use plan::Result;

use super::atom::{Atom, Side, Topic};
use super::system::Known;
use super::{Atoms, Veil, encoded};
use crate::keys::{Keys, Known as Key, Store};

/// Services without a row, and such that are to be deleted, are told apart up to so many.
const SERVICES_MAX: usize = 10_000;

/// What a value of the key that is being read means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wants {
    #[default]
    Nothing,
    /// The string is the value of a fact.
    Fact(Topic),
    /// As [`Self::Fact`], the value veiled.
    Veiled(Topic),
    /// Each member is an item, or names what the fact is about.
    Services,
    /// A service to which the fact belongs.
    ServicesOf(Topic),
    Applications,
    Members(Topic),
    VeiledMembers(Topic),
    /// The value is an application's id.
    UserKey,
    NewestEvent,
    NewestAlert,
    Pending,
}

/// What a key says by its name, and what its value will say.
#[derive(Default)]
struct Meaning {
    wants: Wants,
    service: Vec<u8>,
    application: Vec<u8>,
    item: Vec<u8>,
    /// That it is there says this.
    says: Option<Topic>,
    is_usage: bool,
}

impl Meaning {
    fn about(self, item: Vec<u8>) -> Self {
        Self { item, ..self }
    }

    fn wanting(self, wants: Wants) -> Self {
        Self { wants, ..self }
    }

    fn saying(self, topic: Topic) -> Self {
        Self { says: Some(topic), ..self }
    }

    fn fact(self, topic: Topic, item: &[u8]) -> Self {
        self.about(item.to_vec()).wanting(Wants::Fact(topic))
    }
}

/// Takes the keys of Backend's storage: for each first [`Self::begin`], then the pieces of its value if [`Self::wants`] says so, then [`Self::ends`].
pub struct Backend<'k> {
    veil: Veil,
    keys: Keys,
    known: &'k Known,
    wants: Wants,
    service: Vec<u8>,
    application: Vec<u8>,
    item: Vec<u8>,
    trouble: Option<plan::Error>,
    /// Counters of usage of services that System does not have.
    pub(super) usage: BTreeMap<Vec<u8>, u64>,
    pub(super) newest_event: Option<u64>,
    pub(super) newest_alert: Option<u64>,
    /// Services of System whose counters are to be erased.
    pub(super) pending: Vec<Vec<u8>>,
}

impl<'k> Backend<'k> {
    /// `known`: what System has.
    #[must_use]
    pub fn new(veil: Veil, known: &'k Known) -> Self {
        Self {
            veil,
            keys: Keys::of(Store::BackendStorage, None),
            known,
            wants: Wants::Nothing,
            service: Vec::new(),
            application: Vec::new(),
            item: Vec::new(),
            trouble: None,
            usage: BTreeMap::new(),
            newest_event: None,
            newest_alert: None,
            pending: Vec::new(),
        }
    }

    /// Whether the value of a key is wanted. Nothing begins.
    #[must_use]
    pub fn wants(&self, key: &[u8]) -> bool {
        self.keys.know(key).is_some_and(|known| self.meaning(&known, key).wants != Wants::Nothing)
    }

    /// A key begins.
    pub fn begin(&mut self, key: &[u8], atoms: &mut Atoms<'_>) {
        self.wants = Wants::Nothing;
        let Some(meaning) = self.keys.know(key).map(|known| self.meaning(&known, key)) else { return };
        let Meaning { wants, service, application, item, says, is_usage } = meaning;
        (self.wants, self.service, self.application, self.item) = (wants, service, application, item);
        if let Some(topic) = says {
            self.say(topic, b"", atoms);
        }
        if is_usage
            && !self.known.services.contains(&self.service)
            && (self.usage.len() < SERVICES_MAX || self.usage.contains_key(&self.service))
        {
            *self.usage.entry(self.service.clone()).or_default() += 1;
        }
    }

    fn meaning(&self, known: &Key<'_>, key: &[u8]) -> Meaning {
        let part = |name: &str| known.part(name).unwrap_or_default().to_vec();
        let veiled = |name: &str| self.veil.of(&part(name)).to_vec();
        let meaning = Meaning { service: part("service"), application: part("application"), ..Meaning::default() };
        match known.kind.pattern {
            "services_set" => meaning.wanting(Wants::Services),
            "service/id:{service}/provider_key" => meaning.saying(Topic::Service).wanting(Wants::Veiled(Topic::ProviderKey)),
            "service/id:{service}/referrer_filters_required" => meaning.fact(Topic::ServiceAttribute, b"referrer_filters_required"),
            "service/id:{service}/backend_version" => meaning.fact(Topic::ServiceAttribute, b"backend_version"),
            "service/id:{service}/state" => meaning.fact(Topic::ServiceState, b""),
            "provider_keys_set" if self.veil.tells_all() => meaning.wanting(Wants::Members(Topic::InProviders)),
            "service/provider_key:{provider_key}/id" => {
                meaning.about(veiled("provider_key")).wanting(Wants::ServicesOf(Topic::DefaultService))
            }
            "service/provider_key:{provider_key}/ids" => {
                meaning.about(veiled("provider_key")).wanting(Wants::ServicesOf(Topic::OfProvider))
            }
            "service_id:{service}/applications" => meaning.wanting(Wants::Applications),
            "application/service_id:{service}/id:{application}/state" => meaning.fact(Topic::Application, b""),
            "application/service_id:{service}/id:{application}/plan_id" => meaning.fact(Topic::ApplicationAttribute, b"plan_id"),
            "application/service_id:{service}/id:{application}/plan_name" => {
                meaning.about(b"plan_name".to_vec()).wanting(Wants::Veiled(Topic::ApplicationAttribute))
            }
            "application/service_id:{service}/id:{application}/redirect_url" => {
                meaning.about(b"redirect_url".to_vec()).wanting(Wants::Veiled(Topic::ApplicationAttribute))
            }
            "application/service_id:{service}/id:{application}/keys" => meaning.wanting(Wants::VeiledMembers(Topic::ApplicationKey)),
            "application/service_id:{service}/id:{application}/referrer_filters" => meaning.wanting(Wants::VeiledMembers(Topic::Referrer)),
            "application/service_id:{service}/key:{user_key}/id" => meaning.about(veiled("user_key")).wanting(Wants::UserKey),
            "metrics/service_id:{service}/ids" => meaning.wanting(Wants::Members(Topic::InMetrics)),
            "metric/service_id:{service}/id:{metric}/name" => meaning.fact(Topic::Metric, &part("metric")),
            "metric/service_id:{service}/id:{metric}/parent_id" => meaning.fact(Topic::MetricParent, &part("metric")),
            "metric/service_id:{service}/name:{metric_name}/id" => meaning.fact(Topic::MetricName, &part("metric_name")),
            "service_token/token:{token}/service_id:{service}" => meaning.about(veiled("token")).saying(Topic::Token),
            "alerts/service_id:{service}/allowed_set" => meaning.wanting(Wants::Members(Topic::AlertLevel)),
            "events/id" => meaning.wanting(Wants::NewestEvent),
            "alerts/current_id" => meaning.wanting(Wants::NewestAlert),
            "set_with_services_marked_for_deletion" => meaning.wanting(Wants::Pending),
            pattern if pattern.starts_with("usage_limit/") => {
                let period = key.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
                let item = [b"plan ", part("plan").as_slice(), b", metric ", &part("metric"), b", ", period].concat();
                meaning.fact(Topic::Limit, &item)
            }
            pattern if pattern.starts_with("stats/") => Meaning { is_usage: true, ..meaning },
            _ => meaning,
        }
    }

    fn say(&mut self, topic: Topic, value: &[u8], atoms: &mut Atoms<'_>) {
        let Self { service, application, item, .. } = &*self;
        if let Err(error) = atoms.push(&Atom { service, application, topic, item, side: Side::Backend, value }) {
            self.trouble.get_or_insert(error);
        }
    }

    /// A string, or a member, of the key that was wanted.
    pub fn piece(&mut self, piece: &[u8], atoms: &mut Atoms<'_>) {
        let number = || std::str::from_utf8(piece).ok().and_then(|text| text.parse::<u64>().ok());
        match self.wants {
            Wants::Nothing => {}
            Wants::Fact(topic) => self.say(topic, piece, atoms),
            Wants::Veiled(topic) => {
                let value = self.veil.of(piece);
                self.say(topic, &value, atoms);
            }
            Wants::Services => {
                self.service = piece.to_vec();
                self.say(Topic::InServices, b"", atoms);
            }
            Wants::ServicesOf(topic) => {
                self.service = piece.to_vec();
                self.say(topic, b"", atoms);
            }
            Wants::Applications => {
                self.application = encoded(piece);
                self.say(Topic::InApplications, piece, atoms);
            }
            Wants::Members(topic) => {
                self.item = piece.to_vec();
                self.say(topic, b"", atoms);
            }
            Wants::VeiledMembers(topic) => {
                self.item = self.veil.of(piece);
                self.say(topic, b"", atoms);
            }
            Wants::UserKey => {
                self.application = encoded(piece);
                self.say(Topic::UserKey, piece, atoms);
            }
            Wants::NewestEvent => self.newest_event = number(),
            Wants::NewestAlert => self.newest_alert = number(),
            Wants::Pending => {
                if self.known.services.contains(piece) && self.pending.len() < SERVICES_MAX {
                    self.pending.push(piece.to_vec());
                }
            }
        }
    }

    /// Services of System whose counters are to be erased.
    pub(crate) fn pending(&self) -> &[Vec<u8>] {
        &self.pending
    }

    /// The key has ended.
    ///
    /// # Errors
    /// When there was no room for what it says.
    pub fn ends(&mut self) -> Result<()> {
        self.wants = Wants::Nothing;
        self.trouble.take().map_or(Ok(()), Err)
    }
}
