//! The key of a fact, as apisonator makes it (`lib/3scale/backend/{service,application,metric,usage_limit,service_token,alerts}.rb`), and how the fact stands in it.

use crate::verify::atom::{Read, Topic};

/// How a fact stands in its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// The string is the value of the fact.
    Value,
    /// The string is this.
    Is(Vec<u8>),
    /// The set has this member.
    Member(Vec<u8>),
    /// The set has the value of the fact as a member.
    MemberValue,
    /// That the hash is there.
    Token,
}

/// `None` for what stands in no key of its own.
pub(super) fn key(fact: &Read) -> Option<(Vec<u8>, Form)> {
    let Read { service, application, topic, item, .. } = fact;
    let of_service = |head: &str, tail: &[u8]| [head.as_bytes(), service, tail].concat();
    let of_application = |name: &[u8]| [b"application/service_id:", service.as_slice(), b"/id:", application, b"/", name].concat();
    let of_metric = |name: &[u8]| [b"metric/service_id:", service.as_slice(), b"/id:", item, b"/", name].concat();
    Some(match topic {
        Topic::Service | Topic::File => return None,
        Topic::ProviderKey => (of_service("service/id:", b"/provider_key"), Form::Value),
        Topic::ServiceState => (of_service("service/id:", b"/state"), Form::Value),
        Topic::ServiceAttribute => (of_service("service/id:", &[b"/", item.as_slice()].concat()), Form::Value),
        Topic::InServices => (b"services_set".to_vec(), Form::Member(service.clone())),
        Topic::InProviders => (b"provider_keys_set".to_vec(), Form::Member(item.clone())),
        Topic::OfProvider => ([b"service/provider_key:", item.as_slice(), b"/ids"].concat(), Form::Member(service.clone())),
        Topic::DefaultService => ([b"service/provider_key:", item.as_slice(), b"/id"].concat(), Form::Is(service.clone())),
        Topic::Metric => (of_metric(b"name"), Form::Value),
        Topic::MetricParent => (of_metric(b"parent_id"), Form::Value),
        Topic::MetricName => ([b"metric/service_id:", service.as_slice(), b"/name:", item, b"/id"].concat(), Form::Value),
        Topic::InMetrics => (of_service("metrics/service_id:", b"/ids"), Form::Member(item.clone())),
        Topic::Limit => {
            let (plan, metric, period) = limit(item)?;
            let key = format!("/plan_id:{plan}/metric_id:{metric}/{period}");
            (of_service("usage_limit/service_id:", key.as_bytes()), Form::Value)
        }
        Topic::Token => ([b"service_token/token:", item.as_slice(), b"/service_id:", service].concat(), Form::Token),
        Topic::AlertLevel => (of_service("alerts/service_id:", b"/allowed_set"), Form::Member(item.clone())),
        Topic::Application => (of_application(b"state"), Form::Value),
        Topic::ApplicationAttribute => (of_application(item), Form::Value),
        Topic::InApplications => (of_service("service_id:", b"/applications"), Form::MemberValue),
        Topic::UserKey => ([b"application/service_id:", service.as_slice(), b"/key:", item, b"/id"].concat(), Form::Value),
        Topic::ApplicationKey => (of_application(b"keys"), Form::Member(item.clone())),
        Topic::Referrer => (of_application(b"referrer_filters"), Form::Member(item.clone())),
    })
}

/// Plan, metric and period of `plan 7, metric 20, minute`.
pub(super) fn limit(item: &[u8]) -> Option<(&str, &str, &str)> {
    let (plan, rest) = std::str::from_utf8(item).ok()?.strip_prefix("plan ")?.split_once(", metric ")?;
    let (metric, period) = rest.split_once(", ")?;
    Some((plan, metric, period))
}
