//! Goes through the facts of both sides in one order, and says what should change.

use std::collections::BTreeSet;

use plan::Result;

use super::key::{Form, key, limit};
use super::should::{Should, What};
use crate::verify::atom::{Read, Topic};
use crate::verify::facts::{self, Both};
use crate::verify::{Atoms, Known, is_of_backend_api};

type Say<'s> = &'s mut dyn FnMut(Should) -> Result<()>;

pub(super) fn walk(atoms: Atoms<'_>, known: &Known, say: Say<'_>) -> Result<()> {
    let mut walk = Walk::new(known);
    facts::each(atoms, &mut |fact, both| walk.fact(fact, both, say))
}

/// Whether a service, or an application, is there: on each side. It is told before what belongs to it.
#[derive(Default)]
struct Standing {
    name: Vec<u8>,
    system: bool,
    backend: bool,
}

/// Takes one thing after the other, in the order of [`facts::each`].
pub(crate) struct Walk<'k> {
    known: &'k Known,
    service: Standing,
    application: Standing,
    /// Whether System knows a provider's key for the service. Without one Backend's attributes of it are nobody's to change.
    has_key: bool,
    /// Metrics of the service that are left as they are, and what belongs to them.
    left: BTreeSet<Vec<u8>>,
}

impl<'k> Walk<'k> {
    pub(crate) fn new(known: &'k Known) -> Self {
        Self { known, service: Standing::default(), application: Standing::default(), has_key: false, left: BTreeSet::new() }
    }

    /// Says what should become of the next thing.
    ///
    /// # Errors
    /// What `say` says.
    pub(crate) fn fact(&mut self, fact: &Read, both: &Both, say: Say<'_>) -> Result<()> {
        let Both { system, backend } = both;
        if self.service.name != fact.service {
            self.service = Standing { name: fact.service.clone(), ..Standing::default() };
            (self.application, self.has_key) = (Standing::default(), false);
            self.left.clear();
        }
        if self.application.name != fact.application {
            self.application = Standing { name: fact.application.clone(), ..Standing::default() };
        }
        match fact.topic {
            Topic::Service => (self.service.system, self.service.backend) = (!system.is_empty(), !backend.is_empty()),
            Topic::Application => (self.application.system, self.application.backend) = (!system.is_empty(), !backend.is_empty()),
            Topic::ProviderKey => self.has_key = !system.is_empty(),
            _ => {}
        }
        let Some((key, form)) = key(fact) else { return Ok(()) };
        let should = |what, value: &[u8], is_other| Should { key: key.clone(), what, value: value.to_vec(), is_other, why: None };
        match (system.last(), backend.last()) {
            (Some(last), _) => match form {
                Form::Value | Form::Is(_) if backend.iter().any(|value| system.contains(value)) => match fact.topic {
                    Topic::UserKey => say(should(What::Agrees, b"", false)),
                    _ => Ok(()),
                },
                // What lacks it is active; what has another keeps it (apisonator, `initialize` of `service.rb`).
                Form::Value if fact.topic == Topic::ServiceState && !backend.is_empty() => Ok(()),
                Form::Value => say(should(What::Set, last, !backend.is_empty())),
                Form::Is(value) => say(should(What::Set, &value, false)),
                Form::Member(_) | Form::Token if !backend.is_empty() => Ok(()),
                Form::Member(member) => say(should(What::Add, &member, false)),
                Form::Token => say(should(What::Token, b"", false)),
                Form::MemberValue => {
                    backend.iter().filter(|value| !system.contains(value)).try_for_each(|value| say(should(What::Take, value, false)))?;
                    system.iter().filter(|value| !backend.contains(value)).try_for_each(|value| say(should(What::Add, value, false)))
                }
            },
            (None, Some(value)) if !self.stays(fact, value) => match form {
                Form::Value | Form::Is(_) | Form::Token => say(should(What::Remove, b"", false)),
                Form::Member(member) => say(should(What::Take, &member, false)),
                Form::MemberValue => backend.iter().try_for_each(|value| say(should(What::Take, value, false))),
            },
            // Keys that are not of one service or application alone.
            (None, Some(_)) if matches!(fact.topic, Topic::UserKey | Topic::DefaultService) => say(should(What::Stays, b"", false)),
            _ => Ok(()),
        }
    }

    /// Whether what only Backend has is left there.
    fn stays(&mut self, fact: &Read, value: &[u8]) -> bool {
        let is_of_application = !fact.application.is_empty();
        // Nobody has the service, or the application, any more: it lets nobody in.
        if !self.service.system && !self.service.backend || is_of_application && !self.application.system && !self.application.backend {
            return true;
        }
        match fact.topic {
            // Tells which ids were given.
            Topic::InServices => !self.service.system || !self.has_key,
            Topic::ProviderKey | Topic::ServiceState | Topic::ServiceAttribute | Topic::OfProvider => self.service.system && !self.has_key,
            Topic::DefaultService => self.service.system,
            Topic::InProviders => true,
            Topic::Metric => {
                let stays = self.service.system && is_of_backend_api(value);
                if stays {
                    self.left.insert(fact.item.clone());
                }
                stays
            }
            Topic::MetricParent | Topic::InMetrics => self.left.contains(&fact.item),
            Topic::MetricName => self.left.contains(value),
            Topic::Limit => {
                let Some((plan, metric, _)) = limit(&fact.item) else { return true };
                let is_gone = plan.parse().map_or(true, |plan| !self.known.plans.contains(&plan));
                self.left.contains(metric.as_bytes()) || self.service.system && is_gone
            }
            _ => false,
        }
    }
}
