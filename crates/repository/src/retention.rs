//! Which sets of one installation to keep. Pure: looks at what is known of the sets, never at the repository.
//!
//! As with restic, a rule keeps the newest set of each of the newest periods that have one. It is counted twice: among the whole sets alone, so that a
//! partial set never displaces a whole one; and for each data set among all sets that hold it, so that a partial set stays while a data set of it needs
//! it. Damaged sets, sets from the future and safety copies count for no rule, and no rule removes the newest whole set. Whatever is in doubt stays.

mod rules;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Span, Timestamp, Zoned};
use plan::ids::{DataSetName, SetId};
use plan::{Error, Result};
use rules::{Fate, Rule};

/// How long a safety copy (a set taken before an in-place restore) is kept when no run needs it any more.
pub const SAFETY_COPY_DAYS: i64 = 7;
/// The same where nobody can tell whether its run is over: version 0.1.0 did not write that down.
pub const UNCERTAIN_SAFETY_COPY_DAYS: i64 = 90;
/// Sets that are newer than now by more than this are from the future: a clock was wrong.
const FUTURE_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// The rules; a set is kept when any of them keeps it.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    /// The newest sets.
    pub last: u32,
    /// The newest set of each of as many hours.
    pub hourly: u32,
    /// The newest set of each of as many days.
    pub daily: u32,
    /// The newest set of each of as many ISO weeks.
    pub weekly: u32,
    /// The newest set of each of as many months.
    pub monthly: u32,
    /// The newest set of each of as many years.
    pub yearly: u32,
    /// All sets that are younger.
    pub within: Option<Span>,
}

/// What is known of a set.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The set.
    pub set: SetId,
    /// When it was finished, by the clock of the host that took it.
    pub finished_at: Timestamp,
    /// What it holds.
    pub data_sets: BTreeSet<DataSetName>,
    /// Whether that is all that the installation has.
    pub is_whole: bool,
    /// When it is a safety copy: how many days it is kept when no run needs it.
    pub safety_copy_days: Option<i64>,
    /// Why it is damaged.
    pub damage: Option<String>,
    /// Why it stays whatever the rules say: what needs it, who protects it.
    pub held_by: Vec<String>,
}

/// What becomes of a set, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it stays.
    pub stays: bool,
    /// Why: each is a phrase like `daily 3` or `daily 1 of system-redis`.
    pub reasons: Vec<String>,
}

impl Retention {
    /// What becomes of each set of an installation; they are given oldest first.
    ///
    /// # Errors
    /// [`plan::Class::Refused`] when there is no rule, or `within` is no length of time.
    pub fn judge(&self, sets: &[Candidate], now: &Zoned) -> Result<Vec<Verdict>> {
        let rules = self.rules(now)?;
        let found = Judgement::of(&rules, sets, now, false);
        // What the rules would say if all were whole: a damaged set that they would keep is not removed behind anybody's back.
        let if_whole = Judgement::of(&rules, sets, now, true);
        let is_another_whole = |place: usize| found.counted().any(|other| other != place && sets[other].is_whole);
        Ok((0..sets.len())
            .map(|place| {
                let (set, mut stays, mut goes) = (&sets[place], sets[place].held_by.clone(), Vec::new());
                if found.is_future(place) {
                    stays.push("from the future, as a clock was wrong, here or where it was taken: counts for no rule".to_owned());
                } else if let Some(days) = set.safety_copy_days {
                    let is_young = set.finished_at >= days_before(now, days);
                    if is_young { &mut stays } else { &mut goes }.push(safety_copy(days, is_young));
                } else if let Some(damage) = &set.damage {
                    let kept = &if_whole.stays[place];
                    if let Some(rule) = kept.first() {
                        stays.push(format!("damaged, counts for no rule: {damage}; if it were whole: {rule}"));
                    } else if is_another_whole(place) {
                        goes.push(format!("damaged: {damage}"));
                        goes.extend(if_whole.goes[place].iter().cloned());
                    } else {
                        stays.push(format!("damaged: {damage}; and there is no whole set besides"));
                    }
                } else {
                    stays.extend(found.stays[place].iter().cloned());
                    goes.extend(found.goes[place].iter().cloned());
                }
                if stays.is_empty() { Verdict { stays: false, reasons: goes } } else { Verdict { stays: true, reasons: stays } }
            })
            .collect())
    }

    fn rules(&self, now: &Zoned) -> Result<Vec<Rule>> {
        let rules = Rule::of(self, now)?;
        if rules.is_empty() {
            return Err(Error::refused("no rule says which sets to keep").hint("Give at least one, for example --keep-daily 7."));
        }
        Ok(rules)
    }
}

fn safety_copy(days: i64, is_young: bool) -> String {
    match (days == UNCERTAIN_SAFETY_COPY_DAYS, is_young) {
        (true, true) => format!("safety copy of the last {days} days; nobody knows whether its run is over"),
        (true, false) => format!("safety copy, older than {days} days"),
        (false, true) => format!("safety copy of the last {days} days"),
        (false, false) => format!("safety copy that no run needs any more, older than {days} days"),
    }
}

/// The beginning of time when there is no such day.
fn days_before(now: &Zoned, days: i64) -> Timestamp {
    now.checked_sub(Span::new().days(days)).map_or(Timestamp::MIN, |then| then.timestamp())
}

/// What the rules say of each set, by its place.
struct Judgement<'a> {
    sets: &'a [Candidate],
    now: &'a Zoned,
    with_damaged: bool,
    stays: Vec<Vec<String>>,
    goes: Vec<Vec<String>>,
}

impl<'a> Judgement<'a> {
    fn of(rules: &[Rule], sets: &'a [Candidate], now: &'a Zoned, with_damaged: bool) -> Self {
        let mut found = Self { sets, now, with_damaged, stays: vec![Vec::new(); sets.len()], goes: vec![Vec::new(); sets.len()] };
        for rule in rules {
            found.count_whole(rule);
            found.count_partial(rule);
        }
        found.keep_the_newest();
        found
    }

    fn is_future(&self, place: usize) -> bool {
        self.sets[place].finished_at.duration_since(self.now.timestamp()) > FUTURE_AFTER
    }

    /// Places of the sets that count, newest first.
    fn counted(&self) -> impl Iterator<Item = usize> {
        let counts = |place: &usize| {
            let set = &self.sets[*place];
            set.safety_copy_days.is_none() && (self.with_damaged || set.damage.is_none()) && !self.is_future(*place)
        };
        (0..self.sets.len()).rev().filter(counts).collect::<Vec<_>>().into_iter()
    }

    fn count_whole(&mut self, rule: &Rule) {
        let whole: Vec<_> = self.counted().filter(|place| self.sets[*place].is_whole).collect();
        for (place, fate) in rule.fates(&whole, self.sets, self.now) {
            match fate {
                Fate::Kept(text) => self.stays[place].push(text),
                Fate::Gone(text) => self.goes[place].push(text),
            }
        }
        // An installation changes: whole sets of different times may hold different data sets, and each of these is counted for itself.
        let mut also: BTreeMap<(usize, String), BTreeSet<DataSetName>> = BTreeMap::new();
        for name in DataSetName::ALL {
            let holding: Vec<_> = whole.iter().copied().filter(|place| self.sets[*place].data_sets.contains(&name)).collect();
            for (place, fate) in rule.fates(&holding, self.sets, self.now) {
                if let Fate::Kept(text) = fate
                    && self.stays[place].is_empty()
                {
                    also.entry((place, text)).or_default().insert(name);
                }
            }
        }
        for ((place, text), names) in also {
            self.stays[place].push(format!("{text} of {}", join(&names)));
        }
    }

    fn count_partial(&mut self, rule: &Rule) {
        let mut said: BTreeMap<(usize, Fate), BTreeSet<DataSetName>> = BTreeMap::new();
        for name in DataSetName::ALL {
            let holding: Vec<_> = self.counted().filter(|place| self.sets[*place].data_sets.contains(&name)).collect();
            for (place, fate) in rule.fates(&holding, self.sets, self.now) {
                if !self.sets[place].is_whole {
                    said.entry((place, fate)).or_default().insert(name);
                }
            }
        }
        for ((place, fate), names) in said {
            let of = if names == self.sets[place].data_sets { String::new() } else { format!(" of {}", join(&names)) };
            match fate {
                Fate::Kept(text) => self.stays[place].push(format!("{text}{of}")),
                Fate::Gone(text) => self.goes[place]
                    .push(text.split_once(':').map_or_else(|| format!("{text}{of}"), |(rule, why)| format!("{rule}{of}:{why}"))),
            }
        }
    }

    fn keep_the_newest(&mut self) {
        let newest_whole = self.counted().find(|place| self.sets[*place].is_whole);
        if let Some(place) = newest_whole {
            self.stays[place].push("newest whole set".to_owned());
        }
        let mut alone: BTreeMap<usize, BTreeSet<DataSetName>> = BTreeMap::new();
        for name in DataSetName::ALL {
            let mut holding = self.counted().filter(|place| self.sets[*place].data_sets.contains(&name)).peekable();
            if let Some(newest) = holding.peek().copied()
                && holding.all(|place| self.stays[place].is_empty())
            {
                alone.entry(newest).or_default().insert(name);
            }
        }
        for (place, names) in alone {
            self.stays[place].push(format!("newest set with {}", join(&names)));
        }
    }
}

fn join(names: &BTreeSet<DataSetName>) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
