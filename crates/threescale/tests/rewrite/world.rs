//! A System made at random, its rows, and the keys that Backend has of it: written down from porta's and apisonator's sources, in plain words, sharing nothing with the product.

use std::collections::{BTreeMap, BTreeSet};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Set(BTreeSet<String>),
    Hash(BTreeMap<String, String>),
}

pub(crate) type Redis = BTreeMap<String, Value>;

pub(crate) type Row = (&'static str, Vec<Option<String>>);

/// A simple generator of numbers (xorshift), the same for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub(crate) fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

pub(crate) struct Provider {
    id: u64,
    is_master: bool,
    state: &'static str,
    pub(crate) key: String,
    default_service: Option<u64>,
}

pub(crate) struct Service {
    pub(crate) id: u64,
    pub(crate) provider: u64,
    state: &'static str,
    backend_version: &'static str,
    needs_referrer: bool,
    levels: Option<Vec<u64>>,
    pub(crate) tokens: Vec<String>,
}

pub(crate) struct Metric {
    pub(crate) id: u64,
    pub(crate) name: String,
    parent: Option<u64>,
    /// Of a service, or of a backend API.
    service: Option<u64>,
    api: Option<u64>,
}

pub(crate) struct Application {
    row: u64,
    pub(crate) id: String,
    account: u64,
    pub(crate) service: u64,
    says_service: bool,
    pub(crate) plan: u64,
    state: &'static str,
    pub(crate) user_key: Option<String>,
    redirect_url: Option<String>,
    keys: Vec<String>,
    referrers: Vec<String>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) providers: Vec<Provider>,
    pub(crate) services: Vec<Service>,
    /// With name and service.
    pub(crate) plans: Vec<(u64, Option<String>, u64)>,
    pub(crate) metrics: Vec<Metric>,
    uses: Vec<(u64, u64)>,
    /// Metric, plan, period, value.
    limits: Vec<(u64, u64, &'static str, u64)>,
    pub(crate) applications: Vec<Application>,
}

const ODD: [&str; 7] = ["plain", "a/b", "with space", "of:colons:", "id:7/state", "ü✓", "key:x/id"];

impl World {
    /// `applications`: so many for each service but the master's.
    pub(crate) fn new(random: &mut Random, providers: u64, applications: u64) -> Self {
        let mut world = Self::default();
        for n in 0..=providers {
            let key = format!("{} provider {n}", random.of(&ODD));
            let state = random.of(&["approved", "approved", "suspended", "scheduled_for_deletion"]);
            world.providers.push(Provider { id: 10 + n, is_master: n == 0, state, key, default_service: None });
            world.products_of(random, n);
        }
        for at in 0..world.services.len() {
            world.metrics_of(random, at, applications);
        }
        // Each provider's own application is master's service's; its user key is the provider's key.
        for at in 0..world.providers.len() {
            let (account, key) = (world.providers[at].id, world.providers[at].key.clone());
            let mut own = world.application(random, world.services[0].id, world.plans[0].0, account);
            (own.user_key, own.row) = (Some(key), 1 + at as u64);
            world.applications.push(own);
        }
        world
    }

    fn products_of(&mut self, random: &mut Random, n: u64) {
        for nth in 0..1 + random.below(3) {
            let id = 100 * (n + 1) + nth;
            let levels = match random.below(4) {
                0 => None,
                1 => Some(Vec::new()),
                2 => Some(vec![50, 80, 100]),
                // Backend refuses 75 and 110.
                _ => Some(vec![0, 75, 90, 110, 300]),
            };
            let tokens = (0..random.below(3)).map(|token| format!("{} token {id} {token}", random.of(&ODD))).collect();
            self.services.push(Service {
                id,
                provider: 10 + n,
                state: random.of(&["incomplete", "published", "deleted"]),
                backend_version: random.of(&["1", "2", "oauth"]),
                needs_referrer: random.one_in(2),
                levels,
                tokens,
            });
            for plan in 0..2 {
                let name = if random.one_in(4) { None } else { Some(format!("plan {}", random.of(&ODD))) };
                self.plans.push((10 * id + plan, name, id));
            }
        }
        if random.one_in(3) {
            return;
        }
        self.providers[n as usize].default_service = Some(100 * (n + 1));
    }

    fn metrics_of(&mut self, random: &mut Random, at: usize, applications: u64) {
        let (id, is_master) = (self.services[at].id, at == 0);
        let hits = 1000 * id;
        self.metrics.push(Metric { id: hits, name: "hits".to_owned(), parent: None, service: Some(id), api: None });
        for nth in 1..1 + random.below(3) {
            let name = format!("{} {nth}", random.of(&ODD));
            self.metrics.push(Metric { id: hits + nth, name, parent: random.one_in(2).then_some(hits), service: Some(id), api: None });
        }
        let api = id;
        let hits_of_api = hits + 500;
        self.metrics.push(Metric { id: hits_of_api, name: format!("hits.{api}"), parent: None, service: None, api: Some(api) });
        self.metrics.push(Metric {
            id: hits + 501,
            name: format!("reads.{api}"),
            parent: Some(hits_of_api),
            service: None,
            api: Some(api),
        });
        // A backend API may be used by several products, or by none.
        let others: Vec<u64> = self.services.iter().map(|service| service.id).collect();
        self.uses.extend(others.into_iter().filter(|_| random.one_in(3)).map(|service| (service, api)));
        for (nth, period) in ["eternity", "year", "month", "week", "day", "hour", "minute"].into_iter().enumerate() {
            if random.one_in(2) {
                self.limits.push((hits + 500 * (nth as u64 % 2), 10 * id + nth as u64 % 2, period, random.below(1000)));
            }
        }
        for _ in 0..if is_master { 0 } else { applications } {
            let (plan, account) = (10 * id + random.below(2), 5000 + random.below(50));
            let application = self.application(random, id, plan, account);
            self.applications.push(application);
        }
    }

    fn application(&self, random: &mut Random, service: u64, plan: u64, account: u64) -> Application {
        let n = self.applications.len() as u64 + 1;
        let user_key = if random.one_in(3) { None } else { Some(format!("{} key {n}", random.of(&ODD))) };
        let some = |random: &mut Random, what: &str| (0..random.below(3)).map(|nth| format!("{} {what} {nth}", random.of(&ODD))).collect();
        Application {
            row: 100 + n,
            id: format!("{} {n}", random.of(&["ab12", "with space", "a/b", "x:y"])),
            account,
            service,
            says_service: !random.one_in(3),
            plan,
            state: random.of(&["live", "live", "pending", "suspended"]),
            user_key,
            redirect_url: random.of(&["", "", "https://x/", "none"]).split_terminator("none").next().map(str::to_owned),
            keys: some(random, "application key"),
            referrers: some(random, "*.example.com"),
        }
    }

    /// The rows, in an order of chance.
    pub(crate) fn rows(&self, random: &mut Random) -> Vec<Row> {
        let text = |value: &dyn std::fmt::Display| Some(value.to_string());
        let truth = |value: bool| text(&if value { "1" } else { "0" });
        let mut rows: Vec<Row> = Vec::new();
        for Provider { id, is_master, state, default_service, .. } in &self.providers {
            let default = default_service.map(|id| id.to_string());
            rows.push(("accounts", vec![text(id), truth(true), truth(*is_master), text(state), None, default]));
        }
        rows.push(("accounts", vec![text(&5000), truth(false), None, text(&"approved"), None, None]));
        for service in &self.services {
            let levels = service.levels.as_ref().map(|levels| {
                let lines: String = levels.iter().map(|level| format!("- {level}\n")).collect();
                format!("---\n:web_provider:\n{lines}:web_buyer:\n- 50\n").replace("- 50\n", if levels.is_empty() { "" } else { "- 50\n" })
            });
            rows.push((
                "services",
                vec![
                    text(&service.id),
                    text(&service.provider),
                    text(&service.state),
                    text(&service.backend_version),
                    truth(service.needs_referrer),
                    levels,
                ],
            ));
            rows.extend(service.tokens.iter().map(|token| ("service_tokens", vec![text(&service.id), text(token)])));
        }
        rows.extend(self.plans.iter().map(|(id, name, service)| ("plans", vec![text(id), name.clone(), text(service), text(&"Service")])));
        for metric in &self.metrics {
            let (kind, owner) = if metric.api.is_some() { ("BackendApi", metric.api) } else { ("Service", metric.service) };
            let number = |of: Option<u64>| of.map(|id| id.to_string());
            rows.push((
                "metrics",
                vec![text(&metric.id), text(&metric.name), number(metric.parent), text(&kind), number(owner), number(metric.service)],
            ));
        }
        rows.extend(self.uses.iter().map(|(service, api)| ("backend_api_configs", vec![text(service), text(api)])));
        rows.extend(
            self.limits
                .iter()
                .map(|(metric, plan, period, value)| ("usage_limits", vec![text(metric), text(plan), text(period), text(value)])),
        );
        for app in &self.applications {
            let service = app.says_service.then(|| app.service.to_string());
            rows.push((
                "cinstances",
                vec![
                    text(&app.row),
                    text(&app.plan),
                    text(&app.account),
                    service,
                    app.user_key.clone(),
                    text(&app.id),
                    text(&app.state),
                    text(&"Cinstance"),
                    app.redirect_url.clone(),
                ],
            ));
            rows.extend(app.keys.iter().map(|key| ("application_keys", vec![text(&app.row), text(key)])));
            rows.extend(app.referrers.iter().map(|value| ("referrer_filters", vec![text(&app.row), text(value)])));
        }
        for at in (1..rows.len()).rev() {
            rows.swap(at, random.below(at as u64 + 1) as usize);
        }
        rows
    }

    /// What Backend has after a rewrite into an empty one.
    pub(crate) fn keys(&self) -> Redis {
        let mut redis = Redis::new();
        for service in &self.services {
            let provider = self.providers.iter().find(|provider| provider.id == service.provider).unwrap();
            let (id, key) = (service.id.to_string(), &provider.key);
            set(&mut redis, &format!("service/id:{id}/state"), "active");
            set(&mut redis, &format!("service/id:{id}/provider_key"), key);
            set(&mut redis, &format!("service/id:{id}/backend_version"), service.backend_version);
            set(&mut redis, &format!("service/id:{id}/referrer_filters_required"), if service.needs_referrer { "1" } else { "0" });
            add(&mut redis, &format!("service/provider_key:{key}/ids"), &id);
            add(&mut redis, "services_set", &id);
            add(&mut redis, "provider_keys_set", key);
            if provider.default_service == Some(service.id) {
                set(&mut redis, &format!("service/provider_key:{key}/id"), &id);
            }
            for token in &service.tokens {
                let fields = BTreeMap::from([("permissions".to_owned(), String::new())]);
                redis.insert(plus(&format!("service_token/token:{token}/service_id:{id}")), Value::Hash(fields));
            }
            let levels = service.levels.clone().unwrap_or_default();
            let more = if levels.is_empty() { vec![] } else { vec![50] };
            for level in levels.into_iter().chain(more).filter(|level| [0, 50, 80, 90, 100, 120, 150, 200, 300].contains(level)) {
                add(&mut redis, &format!("alerts/service_id:{id}/allowed_set"), &level.to_string());
            }
            for metric in &self.metrics {
                let is_used = |api: u64| self.uses.contains(&(service.id, api));
                if metric.service == Some(service.id) || metric.api.is_some_and(is_used) {
                    self.metric(&mut redis, metric, service.id);
                }
            }
        }
        for (metric, plan, period, value) in &self.limits {
            let service = self.plans.iter().find(|(id, ..)| id == plan).unwrap().2;
            set(&mut redis, &format!("usage_limit/service_id:{service}/plan_id:{plan}/metric_id:{metric}/{period}"), &value.to_string());
        }
        self.applications.iter().for_each(|application| self.application_keys(&mut redis, application));
        redis
    }

    fn metric(&self, redis: &mut Redis, metric: &Metric, service: u64) {
        let Metric { id, name, parent, api, .. } = metric;
        add(redis, &format!("metrics/service_id:{service}/ids"), &id.to_string());
        set(redis, &format!("metric/service_id:{service}/id:{id}/name"), name);
        set(redis, &format!("metric/service_id:{service}/name:{name}/id"), &id.to_string());
        // The hits of a backend API count as those of the product.
        let parent = if api.is_some() && name.starts_with("hits.") { Some(1000 * service) } else { *parent };
        if let Some(parent) = parent {
            set(redis, &format!("metric/service_id:{service}/id:{id}/parent_id"), &parent.to_string());
        }
    }

    fn application_keys(&self, redis: &mut Redis, app: &Application) {
        let Application { id, service, plan, .. } = app;
        let base = format!("application/service_id:{service}/id:{id}");
        add(redis, &format!("service_id:{service}/applications"), id);
        set(redis, &format!("{base}/state"), if app.state == "live" { "active" } else { app.state });
        set(redis, &format!("{base}/plan_id"), &plan.to_string());
        if let Some(name) = &self.plans.iter().find(|(id, ..)| id == plan).unwrap().1 {
            set(redis, &format!("{base}/plan_name"), name);
        }
        if let Some(url) = &app.redirect_url {
            set(redis, &format!("{base}/redirect_url"), url);
        }
        if let Some(key) = &app.user_key {
            set(redis, &format!("application/service_id:{service}/key:{key}/id"), id);
        }
        app.keys.iter().for_each(|key| add(redis, &format!("{base}/keys"), key));
        app.referrers.iter().for_each(|value| add(redis, &format!("{base}/referrer_filters"), value));
    }
}

/// Backend writes the spaces of its keys so, and leaves those of values.
pub(crate) fn plus(key: &str) -> String {
    key.replace(' ', "+")
}

pub(crate) fn set(redis: &mut Redis, key: &str, value: &str) {
    redis.insert(plus(key), Value::Text(value.to_owned()));
}

pub(crate) fn add(redis: &mut Redis, key: &str, member: &str) {
    let Value::Set(members) = redis.entry(plus(key)).or_insert_with(|| Value::Set(BTreeSet::new())) else { panic!("{key} is no set") };
    members.insert(member.to_owned());
}
