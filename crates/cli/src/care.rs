//! What a restore sets right beside what it loads: the clock is held, counters of ids are kept ahead. Looked at before anything is touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, LiveKey, LiveKeys, Problem, Severity};
use plan::step::IdCounter;
use plan::{Care, Error, Hold, IdsAhead, Policies, Result};

use crate::args;
use crate::clock::{self, Clock};
use crate::join::Installation;

/// Counters of Backend, and where their ids end up in System (3scale facts, 8.2: a counter behind its rows makes System drop new events as known, and alerts clash).
const COUNTERS: [(&str, &str, &str); 2] = [("events/id", "backend_events", "id"), ("alerts/current_id", "alerts", "alert_id")];
/// Services whose statistics backend-cron erases in its next daily run, and the table that tells which of them there are.
const PENDING_DELETION: (&str, &str) = ("set_with_services_marked_for_deletion", "services");

/// The services that Backend knows.
const SERVICES: &str = "services_set";

/// What is wanted of the clock.
pub(crate) struct Wanted {
    pub(crate) no_hold: bool,
    pub(crate) hold_for: SignedDuration,
    /// Whether there is to be such a restore: then what its hold costs is told.
    pub(crate) is_to_be: bool,
}

impl Wanted {
    pub(crate) const fn of(args: &args::PlanArgs) -> Self {
        Self { no_hold: args.no_hold, hold_for: args.hold_for, is_to_be: true }
    }
}

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) care: Care,
    pub(crate) problems: Vec<Problem>,
    /// The data sets that are needed and that do not go back.
    pub(crate) beside: BTreeMap<DataSetName, Arc<dyn DataSet>>,
}

/// Counters of ids that System keeps.
pub(crate) fn counters() -> Vec<IdCounter> {
    let counter = |(key, table, column): (&str, &str, &str)| IdCounter {
        of: LiveKey { database: "storage".to_owned(), key: key.to_owned() },
        table: table.to_owned(),
        column: column.to_owned(),
    };
    COUNTERS.into_iter().map(counter).collect()
}

/// Looks at what a restore of these data sets must set right.
pub(crate) fn look(installation: &dyn Installation, context: &Context, names: &[DataSetName], args: &Wanted) -> Result<Found> {
    let mut looking = Looking { installation, context, names, found: Found::default() };
    // A store beside what goes back may be down: that stops no restore.
    if let Err(error) = looking.ids() {
        context.stop.check()?;
        looking.problem(Severity::Degrades, format!("counters of ids are not kept ahead: {}", error.chain()), error.hints().join(" "));
    }
    if names.contains(&DataSetName::SystemDatabase)
        && let Err(error) = looking.clock(args)
    {
        context.stop.check()?;
        let way_out = "Where it is, and where jobs will run, 3scale would bill and delete by what goes back. --no-hold goes on without.";
        looking.problem(Severity::Blocks, format!("the clock cannot be held: {}", error.chain()), way_out);
    }
    // Whoever is needed by no step is not asked later.
    let (ids, hold) = (looking.found.care.ids.is_some(), looking.found.care.hold.is_some());
    looking.found.beside.retain(|name, _| if *name == clock::DATA_SET { hold } else { ids });
    Ok(looking.found)
}

struct Looking<'a> {
    installation: &'a dyn Installation,
    context: &'a Context,
    names: &'a [DataSetName],
    found: Found,
}

impl Looking<'_> {
    /// A data set of the installation; `None` where it has no such.
    fn store(&mut self, name: DataSetName) -> Result<Option<Arc<dyn DataSet>>> {
        if !self.installation.names().contains(&name) {
            return Ok(None);
        }
        let store = self.installation.data_set(name, Policies::default())?;
        if !self.names.contains(&name) {
            self.found.beside.insert(name, Arc::clone(&store));
        }
        Ok(Some(store))
    }

    fn problem(&mut self, severity: Severity, text: impl Into<String>, way_out: impl Into<String>) {
        self.found.problems.push(Problem::new(severity, text).way_out(way_out));
    }

    fn ids(&mut self) -> Result<()> {
        let (backend, system) = (DataSetName::BackendRedis, DataSetName::SystemDatabase);
        if !self.names.contains(&backend) && !self.names.contains(&system) {
            return Ok(());
        }
        let Some(store) = self.store(backend)? else { return Ok(()) };
        let keys = store.live_keys().ok_or_else(|| Error::failed(format!("{} has no keys", store.name())))?;
        if let Some(lacks) = keys.lacks(self.context)? {
            let text = format!("counters of ids are not kept ahead: {}", lacks.text);
            self.problem(Severity::Degrades, text, lacks.way_out.unwrap_or_default());
            return Ok(());
        }
        let (counters, mut session) = (counters(), keys.session(self.context));
        for counter in &counters {
            let way_out = format!("`redis-cli TYPE {}` says what it is; 3scale has a number there.", counter.of.key);
            session.counter(&counter.of).map_err(|error: Error| error.hint(way_out))?;
        }
        let pending = match self.store(system)? {
            Some(store) if store.live_rows().is_some() => {
                Some((LiveKey { database: "storage".to_owned(), key: PENDING_DELETION.0.to_owned() }, PENDING_DELETION.1.to_owned()))
            }
            _ => None,
        };
        // Another installation's set, or a Redis that is newer than the rows: a service made tomorrow inherits the counters of none that was.
        let seen = match &pending {
            Some((marked, services)) if self.names.contains(&system) => {
                let all = LiveKey { database: "storage".to_owned(), key: SERVICES.to_owned() };
                vec![(all, services.clone()), (marked.clone(), services.clone())]
            }
            _ => Vec::new(),
        };
        self.found.care.ids = Some(IdsAhead { data_set: backend, counters, pending_deletion: pending, seen });
        Ok(())
    }

    fn clock(&mut self, args: &Wanted) -> Result<()> {
        const ALONE: &str = "Before system-sidekiq starts, see to it that billing, deletions and reports of a database of then may run.";
        if args.no_hold {
            let text = "the clock is not held: 3scale bills, deletes and sends by the restored database when it strikes next (08:00 UTC each day, Monday 00:00 UTC)";
            self.problem(Severity::Degrades, text, "Leave --no-hold out to hold it.");
            return Ok(());
        }
        let Some(store) = self.store(clock::DATA_SET)? else {
            self.problem(Severity::Degrades, format!("the clock is not held: there is no {}", clock::DATA_SET), ALONE);
            return Ok(());
        };
        let keys = store.live_keys().ok_or_else(|| Error::failed(format!("{} has no keys", store.name())))?;
        if let Some(lacks) = keys.lacks(self.context)? {
            let way_out = format!("{} Or say --no-hold.", lacks.way_out.unwrap_or_default());
            self.problem(Severity::Blocks, format!("the clock cannot be held: {}", lacks.text), way_out.trim());
            return Ok(());
        }
        let now = Timestamp::now();
        let clocks = self.clocks(keys)?;
        // What is held in a Redis that goes back is replaced, and held anew.
        let all = self.names.contains(&clock::DATA_SET);
        let mut ticks: Vec<_> = clocks.iter().map(|clock| clock.ticks(now, args.hold_for, all)).collect();
        if args.is_to_be {
            for cost in clocks.iter().zip(&ticks).flat_map(|(clock, ticks)| clock.costs(now, &ticks.members)) {
                self.problem(Severity::Degrades, cost, "Or hold it for a shorter time: --hold-for.");
            }
        }
        ticks.retain(|ticks| !ticks.members.is_empty());
        // Of the others nobody can say when they strike: that is told as a problem.
        let names: Vec<_> = clocks.iter().filter(|clock| clock.unread.is_none()).map(|clock| clock.job.name).collect();
        let until = (now + args.hold_for).strftime("%Y-%m-%d %H:%M UTC");
        let sentence = match names.len() {
            0 => "no schedule is read, so nobody can say when they strike".to_owned(),
            1 => format!("{} does not strike before {until}: `hold release` lets it", names.join("")),
            _ => format!("{} do not strike before {until}: `hold release` lets them", names.join(", ")),
        };
        let reason = format!("{sentence}; what they would do is counted");
        let counts = clock::countings();
        self.found.care.hold = (!ticks.is_empty()).then_some(Hold { data_set: clock::DATA_SET, ticks, counts, reason });
        Ok(())
    }

    fn clocks(&mut self, keys: &dyn LiveKeys) -> Result<Vec<Clock>> {
        let clocks = clock::clocks(keys, self.context, None)?;
        for clock in &clocks {
            if let Some(unread) = &clock.unread {
                let text =
                    format!("the schedule of {} is {unread:?}, which is not read: it is held by {:?}", clock.job.name, clock.schedule);
                self.problem(Severity::Degrades, text, "Look at `hold status` before system-sidekiq starts.");
            }
        }
        Ok(clocks)
    }
}
