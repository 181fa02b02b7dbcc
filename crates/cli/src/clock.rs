//! The clock of an installation: what is held of it, and the ticks that would hold more. What its jobs and keys are is known by the crate `threescale`.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use plan::Result;
use plan::ids::DataSetName;
use plan::ports::{Context, KeySession, LiveKey, LiveKeys, LiveRows, Members};
use plan::step::Counting;
use threescale::clock::{self, CLOCKED, Clocked, Cron};

/// The label of System's only database.
const DATABASE: &str = "system";

/// A job that the clock starts, as it stands in an installation.
pub(crate) struct Clock {
    pub(crate) job: Clocked,
    pub(crate) schedule: String,
    cron: Cron,
    /// What the installation has as its schedule, when that is not read: the known one is held instead.
    pub(crate) unread: Option<String>,
    members: Vec<String>,
}

fn key(key: String) -> LiveKey {
    LiveKey { database: DATABASE.to_owned(), key }
}

/// All of them, or the one of a name.
pub(crate) fn clocks(keys: &dyn LiveKeys, context: &Context, name: Option<&str>) -> Result<Vec<Clock>> {
    let wanted = CLOCKED.into_iter().filter(|job| name.is_none_or(|name| name == job.name));
    let mut keys = keys.session(context);
    wanted.map(|job| Clock::read(keys.as_mut(), job)).collect()
}

impl Clock {
    fn read(keys: &mut (dyn KeySession + '_), job: Clocked) -> Result<Self> {
        let (of_job, of_ticks) = (format!("cron_job:{}", job.name), clock::ticks_key(job.name));
        let strange = |error: plan::Error| {
            error.hint(format!("sidekiq-cron keeps {of_job} as a hash and {of_ticks} as a sorted set. Where one is another type, it is not sidekiq-cron's: look at it with TYPE, and DEL it."))
        };
        let found = keys.field(&key(of_job.clone()), "cron").map_err(strange)?;
        let members = keys.members(&key(of_ticks.clone())).map_err(strange)?;
        let read = found.as_deref().and_then(|text| Some((text.to_owned(), Cron::parse(text)?)));
        let unread = found.filter(|_| read.is_none());
        let known = || Some((job.cron.to_owned(), Cron::parse(job.cron)?));
        let (schedule, cron) =
            read.or_else(known).ok_or_else(|| plan::Error::failed(format!("the schedule of {} is not read", job.name)))?;
        Ok(Self { job, schedule, cron, unread, members })
    }

    /// What would hold it until then; nothing of it is there yet, unless `all` is wanted.
    pub(crate) fn ticks(&self, now: Timestamp, hold_for: SignedDuration, all: bool) -> Members {
        let ticks = self.cron.ticks(now, now + hold_for).into_iter().map(|tick| (tick.as_second(), clock::member(tick)));
        let members = ticks.filter(|(_, member)| all || !self.members.contains(member)).collect();
        Members { of: key(clock::ticks_key(self.job.name)), members }
    }

    /// The ticks to come at which it will not strike.
    pub(crate) fn held(&self, now: Timestamp) -> Vec<(Timestamp, String)> {
        let ticks = self.members.iter().filter_map(|member| Some((clock::tick_of(member)?, member.clone())));
        ticks.filter(|(tick, _)| *tick > now).collect()
    }

    fn held_ticks(&self, now: Timestamp) -> Vec<Timestamp> {
        self.held(now).into_iter().map(|(tick, _)| tick).collect()
    }

    /// What its hold costs, with the ticks that would be added.
    pub(crate) fn costs(&self, now: Timestamp, added: &[(i64, String)]) -> Vec<String> {
        let held = self.held_ticks(now).into_iter().chain(added.iter().filter_map(|(_, member)| clock::tick_of(member)));
        clock::months_not_billed(self.job.name, &held.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())
    }

    /// The key of its ticks.
    pub(crate) fn key(&self) -> LiveKey {
        key(clock::ticks_key(self.job.name))
    }

    /// Until when every tick is held; `None` also when its schedule is not read.
    pub(crate) fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        if self.unread.is_some() {
            return None;
        }
        clock::held_until(&self.cron, &self.held_ticks(now), now)
    }

    /// The first tick at which it strikes; `None` also when its schedule is not read.
    pub(crate) fn strikes(&self, now: Timestamp) -> Option<Timestamp> {
        if self.unread.is_some() {
            return None;
        }
        let held = self.held_ticks(now);
        self.cron.ticks(now, now + clock::LONGEST_HOLD * 2).into_iter().find(|tick| !held.contains(tick))
    }
}

/// Names that are shown of what a job would find to do.
const NAMES_MAX: usize = 5;

/// What the jobs of the clock would find to do when they strike next, held or not, to be asked.
pub(crate) fn countings() -> Vec<Counting> {
    countings_at(clock::next_strike(Timestamp::now()))
}

fn countings_at(strike: Timestamp) -> Vec<Counting> {
    let questions = clock::questions(strike).into_iter();
    let counting = |question: clock::Question| Counting {
        job: question.job.to_owned(),
        what: question.what.to_owned(),
        count: question.count(),
        names: question.names(NAMES_MAX),
    };
    questions.map(counting).collect()
}

/// What a job would find to do.
pub(crate) struct Counted {
    pub(crate) counting: Counting,
    pub(crate) number: Option<u64>,
    /// Of the first.
    pub(crate) names: Vec<String>,
}

/// What each of these jobs would find at its next strike: with `as_held`, that is the first one that is not held. `None` for the number where the database's schema does
/// not have what is asked for.
pub(crate) fn counts<'a>(
    rows: &dyn LiveRows,
    context: &Context,
    clocks: impl IntoIterator<Item = &'a Clock>,
    as_held: bool,
) -> Result<Vec<Counted>> {
    let (mut counts, mut rows, now) = (Vec::new(), rows.session(context)?, Timestamp::now());
    for clock in clocks {
        let strike = clock.strikes(now).filter(|_| as_held).unwrap_or_else(|| clock::next_strike(now));
        for counting in countings_at(strike).into_iter().filter(|counting| counting.job == clock.job.name) {
            let number = rows.count(&counting.count)?;
            let names = if number.is_some_and(|number| number > 0) { rows.texts(&counting.names)? } else { Vec::new() };
            counts.push(Counted { counting, number, names });
        }
    }
    Ok(counts)
}

impl Counted {
    /// For people.
    pub(crate) fn sentence(&self) -> String {
        match self.number {
            Some(number) => self.counting.sentence(number, &self.names),
            None => format!(
                "{}: {} cannot be counted, this database's schema does not have what is asked for",
                self.counting.job, self.counting.what
            ),
        }
    }
}

/// The data set that has the clock.
pub(crate) const DATA_SET: DataSetName = DataSetName::SystemRedis;
