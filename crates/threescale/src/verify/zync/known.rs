//! What zync knows, from the rows of its database.

use std::collections::{BTreeSet, HashSet};

use plan::{Error, Result};
use serde_json::Value;

use super::super::atom::{put, take};
use super::super::sort::{Room, Sorter};
use super::{From, Of, Said, ZYNC_STATES, ZYNC_TABLES, ZyncCounts, host, number, record};

/// Tables without which nothing can be said: zync has them since 2.5.
const NEEDED: [&str; 4] = ["tenants", "models", "proxies", "entries"];

/// Of a model, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Model = 0,
    Entry = 1,
    Integration = 2,
    State = 3,
}

/// Takes rows of zync's database in any order. Memory holds the integrations that are switched off, and the services that have one with an identity provider.
pub struct Zync<'a> {
    seen: BTreeSet<&'static str>,
    /// By model.
    models: Sorter<'a>,
    /// By what it is about.
    pub(super) rows: Sorter<'a>,
    disabled: HashSet<u64>,
    pub(super) counts: ZyncCounts,
    /// Services whose applications zync brings to an identity provider.
    pub(super) oidc: HashSet<u64>,
}

impl<'a> Zync<'a> {
    /// `room` and `held_max_bytes` as in [`Sorter::new`].
    pub fn new(room: Room<'a>, held_max_bytes: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            models: Sorter::new(room, held_max_bytes),
            rows: Sorter::new(room, held_max_bytes),
            disabled: HashSet::new(),
            counts: ZyncCounts::default(),
            oidc: HashSet::new(),
        }
    }

    /// A table is there, rows or not.
    pub fn table(&mut self, table: &str) {
        self.seen.extend(ZYNC_TABLES.iter().chain([&ZYNC_STATES]).map(|wanted| wanted.table).find(|name| *name == table));
    }

    /// A row of a table of [`ZYNC_TABLES`] or [`ZYNC_STATES`], its columns in that order.
    ///
    /// # Errors
    /// When there is no room to sort it.
    pub fn row(&mut self, table: &str, cells: &[Option<&[u8]>]) -> Result<()> {
        let cell = |at: usize| cells.get(at).copied().flatten();
        let id = |at: usize| cell(at).and_then(number);
        match table {
            "tenants" => {
                self.counts.tenants += 1;
                self.of(Of::Provider, id(0), &[])
            }
            "providers" => self.of(Of::Provider, id(0), &[]),
            "proxies" => {
                self.counts.proxies += 1;
                self.of(Of::Proxy, id(0), &id(1).unwrap_or_default().to_be_bytes())
            }
            "applications" => {
                self.counts.applications += 1;
                self.of(Of::Application, id(0), &id(1).unwrap_or_default().to_be_bytes())
            }
            "models" => {
                let Some(((model, of), record)) = id(0).zip(cell(1).and_then(Of::called)).zip(id(2)) else { return Ok(()) };
                self.model(model, Part::Model, &[&[of as u8][..], &record.to_be_bytes()].concat())
            }
            "entries" => {
                let Some((entry, model)) = id(0).zip(id(1)) else { return Ok(()) };
                self.model(model, Part::Entry, &[&entry.to_be_bytes()[..], &told(cell(2)).to_bytes()].concat())
            }
            "integrations" => {
                let Some(integration) = id(0) else { return Ok(()) };
                if cell(3) == Some(b"disabled") {
                    self.disabled.insert(integration);
                }
                let is_oidc = matches!(cell(1), Some(b"Integration::Keycloak" | b"Integration::REST"));
                let Some(model) = id(2).filter(|_| is_oidc) else { return Ok(()) };
                self.model(model, Part::Integration, &integration.to_be_bytes())
            }
            "integration_states" => {
                let has_failed = matches!(cell(2), Some(b"f" | b"false" | b"0")) && cell(3).is_some();
                let Some((model, integration)) = id(0).zip(id(1)).filter(|_| has_failed) else { return Ok(()) };
                self.model(model, Part::State, &integration.to_be_bytes())
            }
            "que_jobs" => self.job(cells),
            _ => Ok(()),
        }
    }

    fn of(&mut self, of: Of, id: Option<u64>, says: &[u8]) -> Result<()> {
        id.map_or(Ok(()), |id| self.rows.push(&record(of, id, From::Row, says)))
    }

    fn model(&mut self, model: u64, part: Part, says: &[u8]) -> Result<()> {
        self.models.push(&[&model.to_be_bytes()[..], &[part as u8], says].concat())
    }

    /// A job that is done is none; one that was given up keeps its row (que, `expired_at`).
    fn job(&mut self, cells: &[Option<&[u8]>]) -> Result<()> {
        let cell = |at: usize| cells.get(at).copied().flatten();
        if cell(3).is_some() {
            return Ok(());
        }
        if cell(4).is_none() {
            self.counts.jobs += 1;
            self.counts.jobs_failing += u64::from(cell(2).and_then(number).is_some_and(|errors| errors > 0));
            return Ok(());
        }
        self.of(Of::Job, cell(0).and_then(number), &class_of(cell(1).unwrap_or_default(), cell(5)))
    }

    /// All rows were given: what the entries say is put with what it is about.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when tables are missing that every release has; when there is no room.
    pub fn settle(mut self, room: Room<'a>) -> Result<Settled<'a>> {
        if let Some(missing) = NEEDED.into_iter().find(|table| !self.seen.contains(table)) {
            return Err(Error::refused(format!(
                "zync's database has no table {missing}: zync has not made its tables yet, or it is another database"
            )));
        }
        let mut models = std::mem::replace(&mut self.models, Sorter::new(room, 1)).sorted()?;
        let mut one: Option<(u64, Model)> = None;
        while let Some(record) = models.next_record()? {
            let Some((model, part)) = record.split_first_chunk::<8>().map(|(id, rest)| (u64::from_be_bytes(*id), rest)) else { continue };
            if one.as_ref().is_none_or(|(id, _)| *id != model)
                && let Some((_, before)) = one.replace((model, Model::default()))
            {
                self.put(&before)?;
            }
            if let (Some((_, one)), Some((part, says))) = (&mut one, part.split_first()) {
                one.take(*part, says, &self.disabled);
            }
        }
        one.map_or(Ok(()), |(_, last)| self.put(&last))?;
        Ok(Settled(self))
    }

    fn put(&mut self, model: &Model) -> Result<()> {
        let Some((of, id)) = model.about else { return Ok(()) };
        if of == Of::Service && model.has_identity_provider {
            self.oidc.insert(id);
        }
        self.rows.push(&record(of, id, From::Model, &model.said.to_bytes()))
    }

    /// Whether a table is there that not every release has.
    pub(super) fn has(&self, table: &str) -> bool {
        self.seen.contains(table)
    }
}

/// All that zync knows.
pub struct Settled<'a>(pub(super) Zync<'a>);

/// What is known of a model.
#[derive(Default)]
struct Model {
    about: Option<(Of, u64)>,
    said: Said,
    has_identity_provider: bool,
}

impl Model {
    /// Its parts come in the order of [`Part`], its entries by their ids: the last one counts.
    fn take(&mut self, part: u8, says: &[u8], disabled: &HashSet<u64>) {
        let Some((id, rest)) = says.split_first_chunk::<8>() else { return };
        let is_on = !disabled.contains(&u64::from_be_bytes(*id));
        if part == Part::Model as u8 {
            let about = says.split_first().and_then(|(of, id)| Some((Of::at(*of)?, u64::from_be_bytes(*id.first_chunk::<8>()?))));
            self.about = about;
        } else if part == Part::Entry as u8 {
            self.said = Said::of_bytes(rest).unwrap_or_default();
        } else if part == Part::Integration as u8 {
            self.has_identity_provider |= is_on;
        } else {
            self.said.has_failed |= is_on;
        }
    }
}

/// What an entry says: System's answer to `GET …/proxy.json` or `GET /admin/api/provider.json` (zync, `fetch_service.rb`).
fn told(data: Option<&[u8]>) -> Said {
    let Some(data) = data else { return Said { has_entry: true, ..Said::default() } };
    let Ok(data) = serde_json::from_slice::<Value>(data) else { return Said { has_entry: true, has_data: true, ..Said::default() } };
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let of = |name: &str| text(name).map(|address| host(address.as_bytes()));
    let hosts = match (of("domain"), of("admin_domain")) {
        (None, None) => [of("endpoint"), of("sandbox_endpoint")],
        provider => [provider.0, provider.1],
    };
    let deployment = text("deployment_option").unwrap_or_default().as_bytes().to_vec();
    Said { has_entry: true, has_data: !data.is_null(), hosts, deployment, has_failed: false }
}

/// The class of a job: Rails wraps its own (`ActiveJob::QueueAdapters::QueAdapter::JobWrapper`).
fn class_of(class: &[u8], args: Option<&[u8]>) -> Vec<u8> {
    let args: Value = args.and_then(|args| serde_json::from_slice(args).ok()).unwrap_or_default();
    let inner = args.pointer("/0/job_class").and_then(Value::as_str).map(|class| class.as_bytes().to_vec());
    let mut says = Vec::new();
    put(&mut says, &inner.unwrap_or_else(|| class.to_vec()));
    says
}

/// The class that [`class_of`] wrote.
pub(super) fn class_in(mut says: &[u8]) -> Vec<u8> {
    take(&mut says).unwrap_or_default()
}
