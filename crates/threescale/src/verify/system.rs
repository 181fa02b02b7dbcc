//! What Backend should have, worked out from System's rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plan::ports::LARGEST_ID;
use plan::{Error, Result};

use super::atom::{Atom, Side, Topic, put, take};
use super::sort::{Room, Sorter};
use super::{Atoms, Veil, encoded};

/// Rows that are wanted of a table.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The table.
    pub table: &'static str,
    /// Its columns, in the order in which a row is given.
    pub columns: &'static [&'static str],
}

const fn wanted(table: &'static str, columns: &'static [&'static str]) -> Wanted {
    Wanted { table, columns }
}

/// All that is wanted of the system database. A table or a column that a release does not have is given as if it were NULL.
pub const TABLES: [Wanted; 15] = [
    wanted("accounts", &["id", "provider", "master", "state", "service_preffix", "default_service_id", "domain", "self_domain"]),
    wanted(
        "services",
        &["id", "account_id", "state", "backend_version", "referrer_filters_required", "notification_settings", "deployment_option"],
    ),
    // What leads to a service: for zync and its Routes.
    wanted("proxies", &["id", "service_id", "endpoint", "sandbox_endpoint", "oidc_issuer_endpoint"]),
    wanted("plans", &["id", "name", "issuer_id", "issuer_type"]),
    wanted("metrics", &["id", "system_name", "parent_id", "owner_type", "owner_id", "service_id"]),
    wanted("backend_api_configs", &["service_id", "backend_api_id"]),
    wanted("usage_limits", &["metric_id", "plan_id", "period", "value"]),
    wanted("service_tokens", &["service_id", "value"]),
    wanted(
        "cinstances",
        &["id", "plan_id", "user_account_id", "service_id", "user_key", "application_id", "state", "type", "redirect_url"],
    ),
    wanted("application_keys", &["application_id", "value"]),
    wanted("referrer_filters", &["application_id", "value"]),
    wanted("backend_events", &["id"]),
    wanted("alerts", &["alert_id"]),
    wanted("cms_files", &["id", "attachment_file_name", "random_secret", "attachment_file_size"]),
    wanted("invoices", &["id", "pdf_file_name", "pdf_file_size"]),
];

/// Tables without which nothing can be said: every release has them.
const NEEDED: [&str; 5] = ["accounts", "services", "plans", "metrics", "cinstances"];

/// The periods for which there are limits (gem pisoni, `usage_limit.rb`).
const PERIODS: [&[u8]; 7] = [b"eternity", b"year", b"month", b"week", b"day", b"hour", b"minute"];
/// The levels that Backend takes; it refuses others (apisonator, `ALERT_BINS` of `alerts.rb`).
const LEVELS: [u64; 9] = [0, 50, 80, 90, 100, 120, 150, 200, 300];

type Cell<'r> = Option<&'r [u8]>;

struct Service {
    account: u64,
    is_deleted: bool,
    backend_version: Option<Vec<u8>>,
    referrer_filters_required: bool,
    levels: BTreeSet<u64>,
}

struct Provider {
    is_master: bool,
    is_idle: bool,
    prefix: Vec<u8>,
    default_service: Option<u64>,
}

/// A provider's key: as Backend keeps it, and as it stands in names of keys; both veiled.
struct ProviderKey {
    plain: Vec<u8>,
    encoded: Vec<u8>,
}

struct Metric {
    id: u64,
    name: Vec<u8>,
    parent: Option<u64>,
    of: Owner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Service(u64),
    BackendApi(u64),
}

/// A plan's name, veiled, and the service whose it is.
type Named = (Option<Vec<u8>>, Option<u64>);

/// Takes rows of System in any order.
pub struct System<'a> {
    veil: Veil,
    seen: BTreeSet<&'static str>,
    providers: HashMap<u64, Provider>,
    services: BTreeMap<u64, Service>,
    plans: HashMap<u64, Named>,
    metrics: Vec<Metric>,
    /// Services and the backend APIs that they use.
    uses: Vec<(u64, u64)>,
    /// Applications with their keys; then limits; then tokens.
    rows: Sorter<'a>,
    newest_event: Option<u64>,
    newest_alert: Option<u64>,
    next_service: u64,
}

/// What the comparison has to know of System beside the atoms.
#[derive(Debug, Default)]
pub struct Known {
    /// The services as Backend calls them.
    pub(super) services: BTreeSet<Vec<u8>>,
    /// Plans that there are.
    pub(crate) plans: BTreeSet<u64>,
    /// What accounts have put before ids of their services; the empty one is always among them.
    prefixes: BTreeSet<Vec<u8>>,
    /// The id that System gives to the next service, at least.
    next_service: u64,
    pub(super) newest_event: Option<u64>,
    pub(super) newest_alert: Option<u64>,
}

impl Known {
    /// Whether a service that is yet to be made may be called so.
    pub(super) fn is_of_coming_service(&self, name: &[u8]) -> bool {
        let ids = self.prefixes.iter().filter_map(|prefix| number(name.strip_prefix(prefix.as_slice())?));
        ids.into_iter().any(|id| id >= self.next_service)
    }
}

impl<'a> System<'a> {
    /// `room` and `held_max_bytes` as in [`Sorter::new`].
    #[must_use]
    pub fn new(veil: Veil, room: Room<'a>, held_max_bytes: usize) -> Self {
        Self {
            veil,
            seen: BTreeSet::new(),
            providers: HashMap::new(),
            services: BTreeMap::new(),
            plans: HashMap::new(),
            metrics: Vec::new(),
            uses: Vec::new(),
            rows: Sorter::new(room, held_max_bytes),
            newest_event: None,
            newest_alert: None,
            next_service: 0,
        }
    }

    /// The number that a table's id column gives next.
    pub fn next_id(&mut self, table: &str, next: u64) {
        if table == "services" {
            self.next_service = next;
        }
    }

    /// A table is there, rows or not.
    pub fn table(&mut self, table: &str) {
        self.seen.extend(TABLES.iter().map(|wanted| wanted.table).find(|name| *name == table));
    }

    /// A row of a table of [`TABLES`], its columns in that order.
    ///
    /// # Errors
    /// When there is no room to sort it.
    pub fn row(&mut self, table: &str, cells: &[Cell<'_>], atoms: &mut Atoms<'_>) -> Result<()> {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let id = |at: usize| cell(at).and_then(number);
        match table {
            "accounts" => {
                if let (Some(account), true) = (id(0), is_true(cell(1)) || is_true(cell(2))) {
                    let is_idle = matches!(cell(3), Some(b"suspended" | b"scheduled_for_deletion"));
                    let prefix = cell(4).unwrap_or_default().to_vec();
                    let is_master = is_true(cell(2));
                    self.providers.insert(account, Provider { is_master, is_idle, prefix, default_service: id(5) });
                }
            }
            "services" => {
                if let (Some(service), Some(account)) = (id(0), id(1)) {
                    let known = Service {
                        account,
                        is_deleted: cell(2) == Some(b"deleted"),
                        backend_version: cell(3).map(<[u8]>::to_vec),
                        referrer_filters_required: is_true(cell(4)),
                        levels: levels(cell(5).unwrap_or_default()),
                    };
                    self.services.insert(service, known);
                }
            }
            "plans" => {
                if let Some(plan) = id(0) {
                    let service = id(2).filter(|_| cell(3).is_none_or(|kind| kind == b"Service"));
                    self.plans.insert(plan, (cell(1).map(|name| self.veil.of(name)), service));
                }
            }
            "metrics" => self.metric(cells),
            "backend_api_configs" => self.uses.extend(id(0).zip(id(1))),
            "usage_limits" => {
                let period = cell(2).filter(|period| PERIODS.contains(period));
                if let (Some(metric), Some(plan), Some(period), Some(value)) = (id(0), id(1), period, cell(3)) {
                    let mut record = b"L".to_vec();
                    record.extend_from_slice(&plan.to_be_bytes());
                    record.extend_from_slice(&metric.to_be_bytes());
                    put(&mut record, period);
                    put(&mut record, value);
                    self.rows.push(&record)?;
                }
            }
            "service_tokens" => {
                if let (Some(service), Some(value)) = (id(0), cell(1).filter(|value| !value.is_empty())) {
                    self.rows.push(&[&b"T"[..], &service.to_be_bytes(), &self.veil.of(&encoded(value))].concat())?;
                }
            }
            "cinstances" => self.application(cells)?,
            "application_keys" | "referrer_filters" => {
                if let (Some(application), Some(value)) = (id(0), cell(1)) {
                    let part = if table == "application_keys" { b"1" } else { b"2" };
                    self.rows.push(&[&b"A"[..], &application.to_be_bytes(), part, &self.veil.of(value)].concat())?;
                }
            }
            "backend_events" => self.newest_event = self.newest_event.max(id(0).filter(|id| *id <= LARGEST_ID)),
            "alerts" => self.newest_alert = self.newest_alert.max(id(0).filter(|id| *id <= LARGEST_ID)),
            "cms_files" => {
                if let (Some(row), Some(name), Some(secret)) = (id(0), cell(1), cell(2)) {
                    let told = format!("cms_files {row}");
                    self.file(&super::files::cms(name, secret), &told, cell(3), atoms)?;
                }
            }
            "invoices" => {
                if let (Some(row), Some(name)) = (id(0), cell(1)) {
                    let told = format!("invoices {row}");
                    self.file(&super::files::pdf(row, name), &told, cell(2), atoms)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn file(&self, name: &[u8], told: &str, size: Cell<'_>, atoms: &mut Atoms<'_>) -> Result<()> {
        let (item, mut value) = (self.veil.of(name), Vec::new());
        put(&mut value, told.as_bytes());
        put(&mut value, size.unwrap_or_default());
        atoms.push(&Atom { service: b"", application: b"", topic: Topic::File, item: &item, side: Side::System, value: &value })
    }

    fn metric(&mut self, cells: &[Cell<'_>]) {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let id = |at: usize| cell(at).and_then(number);
        let of = match (cell(3), id(4)) {
            (Some(b"BackendApi"), Some(api)) => Some(Owner::BackendApi(api)),
            (Some(b"Service"), Some(service)) => Some(Owner::Service(service)),
            _ => id(5).map(Owner::Service),
        };
        if let (Some(metric), Some(name), Some(of)) = (id(0), cell(1), of) {
            self.metrics.push(Metric { id: metric, name: name.to_vec(), parent: id(2), of });
        }
    }

    fn application(&mut self, cells: &[Cell<'_>]) -> Result<()> {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let id = |at: usize| cell(at).and_then(number);
        let (Some(row), true) = (id(0), cell(7).is_none_or(|kind| kind == b"Cinstance")) else { return Ok(()) };
        let user_key = cell(4).filter(|key| !key.trim_ascii().is_empty());
        let mut record = [&b"A"[..], &row.to_be_bytes(), b"0"].concat();
        for text in [
            cell(1).unwrap_or_default(),
            cell(2).unwrap_or_default(),
            cell(3).unwrap_or_default(),
            &user_key.map(|key| self.veil.of(key)).unwrap_or_default(),
            &user_key.map(|key| self.veil.of(&encoded(key))).unwrap_or_default(),
            cell(5).unwrap_or_default(),
            cell(6).unwrap_or_default(),
            // An empty one is one.
            &cell(8).map(|url| [b"=", self.veil.of(url).as_slice()].concat()).unwrap_or_default(),
        ] {
            put(&mut record, text);
        }
        self.rows.push(&record)
    }

    /// All rows were given: says what Backend should have.
    ///
    /// # Errors
    /// When tables are missing that every release has, or there is no room.
    pub fn finish(self, atoms: &mut Atoms<'_>) -> Result<Known> {
        if let Some(missing) = NEEDED.into_iter().find(|table| !self.seen.contains(table)) {
            return Err(Error::refused(format!(
                "the system database has no table {missing}: it is not one of 3scale's, or of a release that is not known"
            )));
        }
        let Self { veil, providers, services, plans, metrics, uses, rows, newest_event, newest_alert, next_service, .. } = self;
        let names: BTreeMap<u64, Vec<u8>> = services
            .iter()
            .map(|(id, service)| {
                let prefix = providers.get(&service.account).map(|provider| provider.prefix.as_slice()).unwrap_or_default();
                (*id, [prefix, id.to_string().as_bytes()].concat())
            })
            .collect();
        for (id, service) in &services {
            if let (Some(name), true) = (names.get(id), providers.get(&service.account).is_some_and(|provider| provider.is_master)) {
                atoms.of_master(name);
            }
        }
        let mut keys: HashMap<u64, ProviderKey> = HashMap::new();
        let mut rows = rows.sorted()?;
        let mut application: Option<Application> = None;
        while let Some(record) = rows.next_record()? {
            let Some((row, mut rest)) =
                record.get(1..).and_then(<[u8]>::split_first_chunk::<8>).map(|(id, rest)| (u64::from_be_bytes(*id), rest))
            else {
                continue;
            };
            match (record.first(), rest.split_first()) {
                (Some(b'A'), Some((b'0', fields))) => {
                    rest = fields;
                    application = Application::of(row, &mut rest, &plans, &names);
                    if let Some(found) = &application {
                        if !found.plain_key.is_empty() && providers.contains_key(&found.account) {
                            let (plain, encoded) = (found.plain_key.clone(), found.user_key.clone());
                            keys.entry(found.account).or_insert(ProviderKey { plain, encoded });
                        }
                        found.say(atoms)?;
                    }
                }
                (Some(b'A'), Some((part, digest))) => {
                    let topic = if *part == b'1' { Topic::ApplicationKey } else { Topic::Referrer };
                    if let Some(found) = application.as_ref().filter(|found| found.row == row) {
                        found.fact(topic, digest, b"", atoms)?;
                    }
                }
                (Some(b'L'), Some(_)) => {
                    let Some(service) = plans.get(&row).and_then(|(_, service)| names.get(service.as_ref()?)) else { continue };
                    let Some((metric, mut rest)) = rest.split_first_chunk::<8>().map(|(id, rest)| (u64::from_be_bytes(*id), rest)) else {
                        continue;
                    };
                    let (Some(period), Some(value)) = (take(&mut rest), take(&mut rest)) else { continue };
                    let item = [format!("plan {row}, metric {metric}, ").as_bytes(), &period].concat();
                    say(atoms, service, Topic::Limit, &item, &value)?;
                }
                (Some(b'T'), Some(_)) => {
                    if let Some(service) = names.get(&row) {
                        say(atoms, service, Topic::Token, rest, b"")?;
                    }
                }
                _ => {}
            }
        }
        for (id, service) in &services {
            let (Some(name), key) = (names.get(id), keys.get(&service.account)) else { continue };
            let is_idle = service.is_deleted || providers.get(&service.account).is_none_or(|provider| provider.is_idle);
            say(atoms, name, Topic::Service, b"", if key.is_none() || is_idle { b"idle" } else { b"in use" })?;
            if let Some(key) = key {
                say(atoms, name, Topic::ProviderKey, b"", &key.plain)?;
                say(atoms, name, Topic::OfProvider, &key.encoded, b"")?;
                say(atoms, name, Topic::InServices, b"", b"")?;
                if let Some(version) = &service.backend_version {
                    say(atoms, name, Topic::ServiceAttribute, b"backend_version", version)?;
                }
                say(atoms, name, Topic::ServiceState, b"", b"active")?;
                if veil.tells_all() && atoms.tells(name, b"") {
                    say(atoms, b"", Topic::InProviders, &key.plain, b"")?;
                }
                if providers.get(&service.account).and_then(|provider| provider.default_service) == Some(*id) {
                    say(atoms, name, Topic::DefaultService, &key.encoded, b"")?;
                }
                let required = if service.referrer_filters_required { b"1" } else { b"0" };
                say(atoms, name, Topic::ServiceAttribute, b"referrer_filters_required", required)?;
            }
            for level in &service.levels {
                say(atoms, name, Topic::AlertLevel, level.to_string().as_bytes(), b"")?;
            }
        }
        say_metrics(atoms, &metrics, &uses, &names)?;
        Ok(Known {
            next_service: services.keys().next_back().map_or(0, |largest| largest + 1).max(next_service),
            services: names.into_values().collect(),
            prefixes: providers.into_values().map(|provider| provider.prefix).chain([Vec::new()]).collect(),
            plans: plans.into_keys().collect(),
            newest_event,
            newest_alert,
        })
    }
}

/// A metric of a backend API stands with each service that uses it; its `hits` belong to those of the service (porta `metric_extension.rb`).
fn say_metrics(atoms: &mut Atoms<'_>, metrics: &[Metric], uses: &[(u64, u64)], names: &BTreeMap<u64, Vec<u8>>) -> Result<()> {
    let mut hits: HashMap<u64, (bool, u64)> = HashMap::new();
    for metric in metrics.iter().filter(|metric| metric.parent.is_none()) {
        if let Owner::Service(service) = metric.of {
            // The one that is called so, else the first.
            let found = (metric.name != b"hits" && metric.name != format!("hits.{service}").as_bytes(), metric.id);
            hits.entry(service).and_modify(|best| *best = found.min(*best)).or_insert(found);
        }
    }
    let mut users: HashMap<u64, Vec<u64>> = HashMap::new();
    uses.iter().for_each(|(service, api)| users.entry(*api).or_default().push(*service));
    for metric in metrics {
        let (services, is_of_api) = match metric.of {
            Owner::Service(service) => (vec![service], None),
            Owner::BackendApi(api) => (users.get(&api).cloned().unwrap_or_default(), Some(api)),
        };
        for service in services {
            let Some(name) = names.get(&service) else { continue };
            let id = metric.id.to_string();
            say(atoms, name, Topic::Metric, id.as_bytes(), &metric.name)?;
            say(atoms, name, Topic::MetricName, &encoded(&metric.name), id.as_bytes())?;
            say(atoms, name, Topic::InMetrics, id.as_bytes(), b"")?;
            let are_hits = is_of_api.is_some_and(|api| metric.name == b"hits" || metric.name == format!("hits.{api}").as_bytes());
            let parent = if are_hits { hits.get(&service).map(|(_, id)| *id) } else { metric.parent };
            if let Some(parent) = parent {
                say(atoms, name, Topic::MetricParent, id.as_bytes(), parent.to_string().as_bytes())?;
            }
        }
    }
    Ok(())
}

fn say(atoms: &mut Atoms<'_>, service: &[u8], topic: Topic, item: &[u8], value: &[u8]) -> Result<()> {
    atoms.push(&Atom { service, application: b"", topic, item, side: Side::System, value })
}

struct Application {
    row: u64,
    service: Vec<u8>,
    account: u64,
    /// As it stands in names of keys, and as it is.
    encoded_id: Vec<u8>,
    id: Vec<u8>,
    state: Vec<u8>,
    plan: u64,
    plan_name: Option<Vec<u8>>,
    /// Veiled; empty where there is none.
    plain_key: Vec<u8>,
    /// The same as it stands in names of keys.
    user_key: Vec<u8>,
    redirect_url: Option<Vec<u8>>,
}

impl Application {
    /// `None` for one that Backend never has: without a plan, a service, a state or an id.
    fn of(row: u64, rest: &mut &[u8], plans: &HashMap<u64, Named>, names: &BTreeMap<u64, Vec<u8>>) -> Option<Self> {
        let (plan, account, service) = (number(&take(rest)?)?, take(rest)?, take(rest)?);
        let (plain_key, user_key, id, state, redirect_url) = (take(rest)?, take(rest)?, take(rest)?, take(rest)?, take(rest)?);
        let (plan_name, of_plan) = plans.get(&plan)?;
        let service = names.get(&number(&service).or(*of_plan)?)?.clone();
        let state = if state == b"live" { b"active".to_vec() } else { state };
        let (account, encoded_id, plan_name) = (number(&account).unwrap_or_default(), encoded(&id), plan_name.clone());
        let redirect_url = redirect_url.strip_prefix(b"=").map(<[u8]>::to_vec);
        let is_whole = !id.is_empty() && !state.is_empty();
        is_whole.then_some(Self { row, service, account, encoded_id, id, state, plan, plan_name, plain_key, user_key, redirect_url })
    }

    fn say(&self, atoms: &mut Atoms<'_>) -> Result<()> {
        self.fact(Topic::Application, b"", &self.state, atoms)?;
        self.fact(Topic::InApplications, b"", &self.id, atoms)?;
        self.fact(Topic::ApplicationAttribute, b"plan_id", self.plan.to_string().as_bytes(), atoms)?;
        self.plan_name.iter().try_for_each(|name| self.fact(Topic::ApplicationAttribute, b"plan_name", name, atoms))?;
        self.redirect_url.iter().try_for_each(|url| self.fact(Topic::ApplicationAttribute, b"redirect_url", url, atoms))?;
        if self.user_key.is_empty() { Ok(()) } else { self.fact(Topic::UserKey, &self.user_key, &self.id, atoms) }
    }

    fn fact(&self, topic: Topic, item: &[u8], value: &[u8], atoms: &mut Atoms<'_>) -> Result<()> {
        atoms.push(&Atom { service: &self.service, application: &self.encoded_id, topic, item, side: Side::System, value })
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// MySQL says `1`, PostgreSQL `t`.
const fn is_true(cell: Cell<'_>) -> bool {
    matches!(cell, Some(b"1" | b"t" | b"true"))
}

/// The numbers of `services.notification_settings`, which is YAML of lists: at these shares of a limit alerts are sent.
fn levels(settings: &[u8]) -> BTreeSet<u64> {
    let text = String::from_utf8_lossy(settings);
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.filter_map(|word| word.parse().ok()).filter(|level| LEVELS.contains(level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_from_lists_of_both_forms() {
        let found = |text: &str| levels(text.as_bytes()).into_iter().collect::<Vec<_>>();
        assert_eq!(found("---\n:web_buyer: [50, 100]\n:web_provider:\n- 80\n- 100\n- 0\n"), [0, 50, 80, 100]);
        assert_eq!(found("---\n:web_buyer:\n- 75\n- 300\n"), [300], "Backend refuses 75");
        assert_eq!(found("--- {}\n"), Vec::<u64>::new());
        assert_eq!(found(""), Vec::<u64>::new());
    }
}
