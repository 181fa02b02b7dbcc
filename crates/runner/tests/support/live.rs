//! Keys and rows of the fake stores: they belong to what is live, and go with it when it is swapped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use plan::ids::DataSetName;
use plan::ports::*;
use plan::step::{Counting, IdCounter, Output};
use plan::{Care, Hold, IdsAhead, Result};
use runner::Rewriter;

use super::{FakeDataSet, World};

/// The keys that go with a content.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Of {
    pub counters: BTreeMap<String, u64>,
    pub members: BTreeSet<String>,
    pub ticks: BTreeSet<String>,
    /// The largest id that System's rows have had.
    pub rows: u64,
    /// The id that a new row would get.
    pub next_id: u64,
}

/// By the content's text.
pub type Keys = Arc<Mutex<BTreeMap<String, Of>>>;

pub const EVENTS: &str = "events/id";
pub const ALERTS: &str = "alerts/current_id";

/// What a content has when it is loaded: the set's counters are behind, one of them also behind the set's own rows.
pub fn of(content: &str) -> Of {
    let counters = |events, alerts| BTreeMap::from([(EVENTS.to_owned(), events), (ALERTS.to_owned(), alerts)]);
    let members = ["2", "99"].map(str::to_owned).into();
    match content {
        "damaged backend-redis" => Of { counters: counters(20, 3), members, ..Of::default() },
        "good backend-redis" => Of { counters: counters(5, 7), members, ..Of::default() },
        "damaged system-database" => Of { rows: 6, ..Of::default() },
        "good system-database" => Of { rows: 9, ..Of::default() },
        _ => Of::default(),
    }
}

pub fn load(keys: &Keys, content: &str) {
    keys.lock().unwrap().insert(content.to_owned(), of(content));
}

fn key(database: &str, key: &str) -> LiveKey {
    LiveKey { database: database.to_owned(), key: key.to_owned() }
}

/// What a restore of the fakes sets right.
pub fn care() -> Care {
    let counter = |of, table: &str| IdCounter { of: key("storage", of), table: table.to_owned(), column: "id".to_owned() };
    let counters = vec![counter(EVENTS, "backend_events"), counter(ALERTS, "alerts")];
    let pending_deletion = Some((key("storage", "marked"), "services".to_owned()));
    let seen = vec![(key("storage", "marked"), "services".to_owned())];
    let ticks = vec![Members { of: key("system", "ticks"), members: vec![(8, "eight".to_owned())] }];
    let counts = vec![Counting { job: "billing".into(), what: "invoices".into(), count: "how many".into(), names: "F-1".into() }];
    Care {
        ids: Some(IdsAhead { data_set: DataSetName::BackendRedis, counters, pending_deletion, seen }),
        hold: Some(Hold { data_set: DataSetName::SystemRedis, ticks, counts, reason: "held".to_owned() }),
        rewrites_configuration: false,
    }
}

/// One change, which is the same each time.
struct One(Option<KeyChange>);

impl KeyChanges for One {
    fn next_change(&mut self) -> Result<Option<KeyChange>> {
        Ok(self.0.take())
    }
}

/// Rewrites the configuration of the fakes.
pub fn rewriter() -> Rewriter {
    Arc::new(|of, make| {
        assert_eq!((of.system.snapshot.0.as_str(), of.backend.snapshot.0.as_str()), ("system-database", "backend-redis"));
        make(&mut One(Some(KeyChange::Remove { key: b"rewritten".to_vec() })))?;
        Ok(Output::Rewritten { written: 0, changed: 0, removed: 1 })
    })
}

impl World {
    /// The keys that are live in a store.
    pub fn keys_of(&self, name: DataSetName) -> Of {
        let live = self.data[&name].lock().unwrap().live.clone();
        self.keys.lock().unwrap()[&live].clone()
    }

    /// Somebody counts on.
    pub fn count_on(&self, counter: &str, more: u64) {
        let live = self.data[&DataSetName::BackendRedis].lock().unwrap().live.clone();
        *self.keys.lock().unwrap().get_mut(&live).unwrap().counters.get_mut(counter).unwrap() += more;
    }
}

impl FakeDataSet {
    fn with<T>(&self, act: impl FnOnce(&mut Of) -> T) -> T {
        let live = self.data.lock().unwrap().live.clone();
        act(self.keys.lock().unwrap().entry(live).or_default())
    }
}

impl LiveKeys for FakeDataSet {
    fn lacks(&self, _: &Context) -> Result<Option<Problem>> {
        Ok(None)
    }
    fn session<'a>(&'a self, _: &'a Context) -> Box<dyn KeySession + 'a> {
        Box::new(self)
    }
    fn read(&self, _: &Context, _: &str, _: &mut dyn KeyReader) -> Result<()> {
        Ok(())
    }
}

impl KeySession for &FakeDataSet {
    fn members(&mut self, _: &LiveKey) -> Result<Vec<String>> {
        Ok(self.with(|of| of.ticks.iter().cloned().collect()))
    }
    fn add_members(&mut self, members: &Members) -> Result<()> {
        self.with(|of| of.ticks.extend(members.members.iter().map(|(_, member)| member.clone())));
        Ok(())
    }
    fn remove_members(&mut self, _: &LiveKey, members: &[String]) -> Result<()> {
        self.with(|of| of.ticks.retain(|tick| !members.contains(tick)));
        Ok(())
    }
    fn field(&mut self, _: &LiveKey, _: &str) -> Result<Option<String>> {
        Ok(None)
    }
    fn counter(&mut self, of: &LiveKey) -> Result<u64> {
        Ok(self.with(|keys| keys.counters.get(&of.key).copied().unwrap_or_default()))
    }
    fn raise(&mut self, of: &LiveKey, to: u64) -> Result<()> {
        self.with(|keys| {
            let number = keys.counters.entry(of.key.clone()).or_default();
            *number = to.max(*number);
        });
        Ok(())
    }
    fn lower(&mut self, of: &LiveKey, from: u64, to: u64) -> Result<bool> {
        Ok(self.with(|keys| {
            let number = keys.counters.entry(of.key.clone()).or_default();
            let is_it = *number == from;
            *number = if is_it { to } else { *number };
            is_it
        }))
    }
    fn some_of_set(&mut self, _: &LiveKey, _: u64) -> Result<(Vec<String>, u64)> {
        Ok((self.with(|of| of.members.iter().cloned().collect()), 0))
    }
    fn length(&mut self, _: &LiveKey) -> Result<u64> {
        Ok(0)
    }
    fn remove_from_set(&mut self, _: &LiveKey, members: &[String]) -> Result<()> {
        self.with(|of| of.members.retain(|member| !members.contains(member)));
        Ok(())
    }
}

impl LiveRows for FakeDataSet {
    fn session<'a>(&'a self, _: &'a Context) -> Result<Box<dyn RowSession + 'a>> {
        Ok(Box::new(self))
    }
    fn read(&self, _: &Context, _: &mut dyn RowReader) -> Result<()> {
        Ok(())
    }
}

impl RowSession for &FakeDataSet {
    fn largest(&mut self, _: &str, _: &str) -> Result<Option<u64>> {
        Ok(Some(self.with(|of| of.rows)))
    }
    fn those_of(&mut self, _: &str, ids: &[u64]) -> Result<Vec<u64>> {
        Ok(ids.iter().copied().filter(|id| *id == 2).collect())
    }
    fn count(&mut self, _: &str) -> Result<Option<u64>> {
        Ok(Some(self.with(|of| of.rows)))
    }
    fn raise_next_id(&mut self, _: &str, to: u64) -> Result<Option<u64>> {
        Ok(self.with(|of| {
            let was = of.next_id;
            of.next_id = to.max(was);
            (to > was).then_some(was)
        }))
    }
    fn texts(&mut self, question: &str) -> Result<Vec<String>> {
        Ok(vec![question.to_owned()])
    }
}
