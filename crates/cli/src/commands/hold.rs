//! `hold`: what 3scale does not do by itself after a restore, for how long, and what it would do.

use std::sync::Arc;

use jiff::Timestamp;
use plan::ids::DataSetName;
use plan::ports::{Context, DataSet, LiveKeys};
use plan::step::Counting;
use plan::{Class, Error, Policies, Result};
use serde::Serialize;
use threescale::clock::CLOCKED;

use crate::app::App;
use crate::args::HoldCommand;
use crate::clock::{self, Clock, Counted};
use crate::join::Installation;
use crate::locks;
use crate::output::Table;

#[derive(Serialize)]
struct HoldDocument {
    jobs: Vec<JobDocument>,
    /// What they would find to do now.
    counts: Vec<CountDocument>,
}

#[derive(Serialize)]
struct JobDocument {
    job: &'static str,
    schedule: String,
    /// Whether the schedule is read; if not, nothing is known of when it strikes.
    schedule_is_read: bool,
    /// The last tick of those at which it does not strike.
    held_until: Option<Timestamp>,
    strikes: Option<Timestamp>,
}

#[derive(Serialize)]
struct CountDocument {
    job: String,
    what: String,
    /// `null` where the schema does not have what is asked for.
    count: Option<u64>,
    /// Of the first.
    names: Vec<String>,
}

pub(crate) fn hold(app: &App, command: &HoldCommand) -> Result<()> {
    let config = app.config()?;
    let installation = app.installation(&config)?;
    let context = app.context(&config, runner::new_run_id(), installation.id())?;
    if !installation.names().contains(&clock::DATA_SET) {
        return Err(Error::refused(format!("{} is not configured", clock::DATA_SET)).hint(installation.way_to(clock::DATA_SET)));
    }
    let store = installation.data_set(clock::DATA_SET, Policies::default())?;
    let keys = store.live_keys().ok_or_else(|| Error::refused(format!("{} has no keys", clock::DATA_SET)))?;
    let (name, changes) = match command {
        HoldCommand::Status => (None, false),
        HoldCommand::Extend { job, .. } | HoldCommand::Release { job, .. } => (job.as_deref(), true),
    };
    if let Some(name) = name.filter(|name| CLOCKED.iter().all(|job| job.name != *name)) {
        let names: Vec<_> = CLOCKED.iter().map(|job| job.name).collect();
        return Err(Error::refused(format!("the clock has no job {name}")).hint(format!("It has {}.", names.join(", "))));
    }
    if changes && let Some(lacks) = keys.lacks(&context)? {
        return Err(Error::refused(lacks.text).hint(lacks.way_out.unwrap_or_default()));
    }
    let lock = || locks::take(app, &app.state(&config, Some(installation.as_ref()))?, installation.as_ref(), &context);
    let holding = Holding { app, installation: installation.as_ref(), context: &context, keys };
    match command {
        HoldCommand::Status => {}
        HoldCommand::Extend { hold_for, .. } => {
            let _locks = lock()?;
            for clock in clock::clocks(keys, &context, name)? {
                let now = Timestamp::now();
                let ticks = clock.ticks(now, *hold_for, false);
                keys.session(&context).add_members(&ticks)?;
                if ticks.members.is_empty() {
                    app.output.note(&format!("{} is held that long already", clock.job.name));
                }
            }
        }
        HoldCommand::Release { yes, .. } => {
            // Nobody is kept waiting while a person thinks: what he was shown is looked at again.
            let shown = holding.held(name)?;
            if holding.may_release(&shown, *yes)? {
                let _locks = lock()?;
                holding.release(&shown)?;
            }
        }
    }
    // Who only looks needs less than all of it, and is told all of it when that is not enough.
    holding.show().map_err(|error| match keys.lacks(&context) {
        Ok(Some(lacks)) if error.class() == Class::Refused => Error::refused(lacks.text).hint(lacks.way_out.unwrap_or_default()),
        _ => error,
    })
}

struct Holding<'a> {
    app: &'a App,
    installation: &'a dyn Installation,
    context: &'a Context,
    keys: &'a dyn LiveKeys,
}

/// A job that is held, and its ticks to come.
type Held = (Clock, Vec<String>);

impl Holding<'_> {
    /// All that are held, or the one of a name.
    fn held(&self, name: Option<&str>) -> Result<Vec<Held>> {
        let now = Timestamp::now();
        let with_ticks = |clock: Clock| {
            let members = clock.held(now).into_iter().map(|(_, member)| member).collect();
            (clock, members)
        };
        let clocks = clock::clocks(self.keys, self.context, name)?.into_iter().map(with_ticks);
        Ok(clocks.filter(|(_, members): &Held| !members.is_empty()).collect())
    }

    /// Shows what would be done, and asks.
    fn may_release(&self, held: &[Held], yes: bool) -> Result<bool> {
        if held.is_empty() {
            self.app.output.note("nothing is held");
            return Ok(false);
        }
        for counted in self.counts(held.iter().map(|(clock, _)| clock), false)? {
            self.app.output.note(&counted.sentence());
        }
        if yes {
            return Ok(true);
        }
        let names: Vec<_> = held.iter().map(|(clock, _)| clock.job.name).collect();
        match self.app.output.ask(&format!("Let {} strike again?", names.join(", ")))? {
            Some(true) => Ok(true),
            Some(false) => Err(Error::refused("not released; nothing was touched")),
            None => Err(Error::refused("nobody can be asked whether to release").hint("Say --yes.")),
        }
    }

    /// Lets go what was shown. Where more is held by now, somebody restored or held meanwhile: the counts that were shown are not those of what is live.
    fn release(&self, shown: &[Held]) -> Result<()> {
        for (clock, members) in shown {
            let now = self.held(Some(clock.job.name))?;
            if now.iter().any(|(_, held)| held.iter().any(|member| !members.contains(member))) {
                let text = format!("{} is held by more than what was shown: somebody held it, or restored, meanwhile", clock.job.name);
                return Err(Error::refused(text).hint("Nothing was let go. Call `hold release` again: it shows what is held now."));
            }
        }
        let mut keys = self.keys.session(self.context);
        shown.iter().try_for_each(|(clock, members)| keys.remove_members(&clock.key(), members))
    }

    /// By the live database, where it can be asked.
    fn counts<'c>(&self, clocks: impl IntoIterator<Item = &'c Clock>, as_held: bool) -> Result<Vec<Counted>> {
        let system = DataSetName::SystemDatabase;
        if !self.installation.names().contains(&system) {
            return Ok(Vec::new());
        }
        let store: Arc<dyn DataSet> = self.installation.data_set(system, Policies::default())?;
        store.live_rows().map_or_else(|| Ok(Vec::new()), |rows| clock::counts(rows, self.context, clocks, as_held))
    }

    fn show(&self) -> Result<()> {
        let now = Timestamp::now();
        let clocks = clock::clocks(self.keys, self.context, None)?;
        let counts = self.counts(&clocks, true)?;
        let shown = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string());
        let mut table = Table::new(&["JOB", "SCHEDULE (UTC)", "LAST TICK HELD", "STRIKES NEXT", "WHAT IT DOES"]);
        for clock in &clocks {
            let (held, strikes) = (shown(clock.held_until(now)), shown(clock.strikes(now)));
            let schedule = clock.unread.as_ref().unwrap_or(&clock.schedule).clone();
            table.row([clock.job.name.to_owned(), schedule, held, strikes, clock.job.does.to_owned()]);
        }
        self.app.output.line(&table.render())?;
        for (clock, unread) in clocks.iter().filter_map(|clock| Some((clock, clock.unread.as_ref()?))) {
            self.app.output.line(&format!(
                "{}: the schedule {unread:?} is not read, so nobody can say here when it strikes: what is held are ticks of {:?}",
                clock.job.name, clock.schedule
            ))?;
        }
        for counted in &counts {
            self.app.output.line(&counted.sentence())?;
        }
        for cost in clocks.iter().flat_map(|clock| clock.costs(now, &[])) {
            self.app.output.line(&cost)?;
        }
        let jobs = clocks.into_iter().map(|clock| JobDocument {
            job: clock.job.name,
            held_until: clock.held_until(now),
            strikes: clock.strikes(now),
            schedule_is_read: clock.unread.is_none(),
            schedule: clock.unread.unwrap_or(clock.schedule),
        });
        let document = |counted: Counted| {
            let Counted { counting: Counting { job, what, .. }, number, names } = counted;
            CountDocument { job, what, count: number, names }
        };
        let counts = counts.into_iter().map(document);
        self.app.output.document(&HoldDocument { jobs: jobs.collect(), counts: counts.collect() })
    }
}
