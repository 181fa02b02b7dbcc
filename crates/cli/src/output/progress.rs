//! The work as it goes: bars on a terminal, a plain line every few seconds elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};
use plan::words::printable;

use super::bytes;
use super::commands_in_text::with_program;
use super::format::{count, duration_ms, rate};
use super::standard_error::{self, Weight};
use crate::rates::side_by_side;

/// A line for each running verb at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How long a verb is at work, and with a twentieth of it done, before it is said how long it will take.
const ESTIMATE_AFTER: Duration = Duration::from_secs(10);

const fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Dump => "dump",
        Verb::Stage => "stage",
        Verb::Prove => "prove",
        Verb::CutOver => "cut over",
        Verb::Undo => "undo",
        Verb::Export => "export",
        Verb::Check => "check",
    }
}

/// How long works take that are to come, as fast as before, in milliseconds.
pub(crate) type Expected = BTreeMap<Work, i64>;

struct Going {
    /// As fast as before, in milliseconds, where there is a past.
    expected_ms: Option<i64>,
    began: Instant,
    told: Instant,
    bytes: u64,
    items: u64,
    total_bytes: Option<u64>,
}

impl Going {
    fn new(total_bytes: Option<u64>) -> Self {
        let now = Instant::now();
        Self { expected_ms: None, began: now, told: now, bytes: 0, items: 0, total_bytes }
    }

    fn expecting(total_bytes: Option<u64>, work: Work, expected: &Mutex<Expected>) -> Self {
        Self { expected_ms: lock(expected).get(&work).copied(), ..Self::new(total_bytes) }
    }

    fn milliseconds(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn sentence(&self) -> String {
        format!("{}, {}, {}", bytes(self.bytes), rate(self.bytes, self.milliseconds()), self.message())
    }

    /// What stands beside a bar: 39 characters, so that the line fits into 80, and what comes first fits into 60.
    fn beside_bar(&self) -> String {
        let mut text = bytes(self.bytes);
        if let Some(total) = self.total_bytes.filter(|total| *total > 0) {
            text.push_str(&format!(" of {}", bytes(total.max(self.bytes))));
        }
        // How long it will take says more than how fast it is.
        let pace = || (self.bytes > 0).then(|| rate(self.bytes, self.milliseconds()));
        text + &self.left().or_else(pace).map(|more| format!(", {more}")).unwrap_or_default()
    }

    /// The line of a verb that ended, no longer than the terminal is wide.
    fn finished(&self, data_set: DataSetName, verb: Verb, columns: usize) -> String {
        let mut line = format!("✓ {:<8} {data_set:<18} {:>11}", word(verb), duration_ms(self.milliseconds()));
        if self.bytes > 0 {
            let more = [
                format!(" {:>8}", bytes(self.bytes)),
                format!(" {:>9}", rate(self.bytes, self.milliseconds())),
                format!(" {:>11} elements", count(self.items)),
            ];
            for piece in more {
                if line.chars().count() + piece.chars().count() > columns {
                    break;
                }
                line.push_str(&piece);
            }
        }
        line
    }

    /// How many, and how long it will take.
    fn message(&self) -> String {
        let left = self.left().map(|left| format!(", {left}")).unwrap_or_default();
        format!("{} elements{left}", count(self.items))
    }

    /// How long it will take, when there is ground to say so.
    fn left(&self) -> Option<String> {
        // Before that the beginning of the work would be taken for its pace.
        let has_ground = |total: &u64| self.began.elapsed() >= ESTIMATE_AFTER && self.bytes >= total / 20 && self.bytes > 0;
        let Some(total) = self.total_bytes.filter(|total| *total > self.bytes).filter(has_ground) else {
            // As fast as before, until it is known how fast it is today.
            let is_going = self.total_bytes.is_some_and(|total| total > self.bytes);
            let left = self.expected_ms.filter(|_| is_going)? - self.milliseconds();
            return (left > 0).then(|| format!("{} left", duration_ms(left)));
        };
        let left = self.milliseconds() as f64 * (total - self.bytes) as f64 / self.bytes as f64;
        Some(format!("{} left", duration_ms(left as i64)))
    }
}

type Work = (DataSetName, Verb);

/// Warnings only.
pub(crate) struct Quiet;

impl Watch for Quiet {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) | Event::OfRecords(text) = event {
            tell(&format!("warning: {text}"));
        }
    }
}

/// Plain lines on standard error.
pub(crate) struct Lines {
    going: Mutex<BTreeMap<Work, Going>>,
    expected: Arc<Mutex<Expected>>,
}

impl Lines {
    pub(crate) fn expecting(expected: &Arc<Mutex<Expected>>) -> Self {
        Self { going: Mutex::default(), expected: Arc::clone(expected) }
    }
}

impl Watch for Lines {
    fn see(&self, event: Event<'_>) {
        let mut going = lock(&self.going);
        match event {
            Event::Begin { data_set, verb, total_bytes } => {
                going.insert((data_set, verb), Going::expecting(total_bytes, (data_set, verb), &self.expected));
                tell(&format!("{:<8} {data_set}", word(verb)));
            }
            Event::Advance { data_set, verb, bytes, items } => {
                let Some(work) = going.get_mut(&(data_set, verb)) else { return };
                work.bytes += bytes;
                work.items += items;
                if work.told.elapsed() >= LINE_EVERY {
                    work.told = Instant::now();
                    tell(&format!("{:<8} {data_set}: {}", word(verb), work.sentence()));
                }
            }
            Event::End { data_set, verb } => {
                lock(&self.expected).remove(&(data_set, verb));
                let Some(mut work) = going.remove(&(data_set, verb)) else { return };
                work.total_bytes = None;
                let detail = if work.bytes > 0 { format!(": {}", work.sentence()) } else { String::new() };
                tell(&format!("{:<8} {data_set} done in {}{detail}", word(verb), duration_ms(work.milliseconds())));
            }
            Event::Step { .. } => {}
            Event::StepEnd { of, done, action, .. } => {
                let left = left_of_all(&lock(&self.expected), |work| going.get(&work).map(Going::milliseconds));
                tell(&format!("{action}: {}", whole_sentence(done, of, left)));
            }
            Event::Note(text) => tell(text),
            Event::Warning(text) | Event::OfRecords(text) => tell(&format!("warning: {text}")),
        }
    }
}

/// Bars on standard error.
pub(crate) struct Bars {
    all: MultiProgress,
    going: Mutex<BTreeMap<Work, (ProgressBar, Going)>>,
    /// The line for the run as a whole, below the others.
    whole: Mutex<Option<ProgressBar>>,
    expected: Arc<Mutex<Expected>>,
}

impl Bars {
    pub(crate) fn expecting(expected: &Arc<Mutex<Expected>>) -> Self {
        Self { all: MultiProgress::default(), going: Mutex::default(), whole: Mutex::default(), expected: Arc::clone(expected) }
    }

    fn bar(&self, data_set: DataSetName, verb: Verb, total_bytes: Option<u64>) -> ProgressBar {
        let template = if total_bytes.is_some() { "{prefix} {bar:12.cyan/blue} {wide_msg}" } else { "{prefix} {spinner} {wide_msg}" };
        let bar = total_bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style(template));
        let bar = bar.with_prefix(format!("{:<8} {data_set:<18}", word(verb)));
        let whole = lock(&self.whole);
        let bar = match whole.as_ref() {
            Some(whole) => self.all.insert_before(whole, bar),
            None => self.all.add(bar),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }

    fn whole(&self, done: u32, of: u32, left: Option<i64>) {
        let mut whole = lock(&self.whole);
        let line = whole.get_or_insert_with(|| {
            let line = self.all.add(ProgressBar::new_spinner().with_style(style("{prefix} {elapsed_precise} {wide_msg}")));
            line.enable_steady_tick(Duration::from_secs(1));
            line.with_prefix(format!("{:<27}", "the whole"))
        });
        line.set_message(whole_sentence(done, of, left));
        if done >= of {
            line.finish_and_clear();
            *whole = None;
        }
    }

    fn say(&self, text: &str) {
        // When standard error is gone there is nobody to tell.
        drop(self.all.println(super::in_terminal(&printable(text.trim_end()), standard_error::terminal_columns())));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn whole_sentence(done: u32, of: u32, left_ms: Option<i64>) -> String {
    let time = left_ms.map(|left| format!(", about {}", duration_ms(left))).unwrap_or_default();
    format!("{done} of {of} steps done, {} left{time}", of.saturating_sub(done))
}

/// How long all works take that have not ended, of which some run side by side; `since`: how long one is at work. `None` when nothing is expected any more.
fn left_of_all(expected: &Expected, since: impl Fn(Work) -> Option<i64>) -> Option<i64> {
    let left = expected.iter().map(|(work, ms)| ms.saturating_sub(since(*work).unwrap_or(0)).max(0));
    Some(side_by_side(left)).filter(|ms| *ms > 0)
}

impl Watch for Bars {
    fn see(&self, event: Event<'_>) {
        let mut going = lock(&self.going);
        match event {
            Event::Begin { data_set, verb, total_bytes } => {
                let bar = self.bar(data_set, verb, total_bytes.filter(|total| *total > 0));
                going.insert((data_set, verb), (bar, Going::expecting(total_bytes, (data_set, verb), &self.expected)));
            }
            Event::Advance { data_set, verb, bytes, items } => {
                let Some((bar, work)) = going.get_mut(&(data_set, verb)) else { return };
                work.bytes += bytes;
                work.items += items;
                // Sizes of stores are estimates: a bar does not stop at its end.
                if bar.length().is_some_and(|length| length < work.bytes) {
                    bar.set_length(work.bytes);
                }
                bar.set_position(work.bytes);
                bar.set_message(work.beside_bar());
            }
            Event::End { data_set, verb } => {
                lock(&self.expected).remove(&(data_set, verb));
                let Some((bar, work)) = going.remove(&(data_set, verb)) else { return };
                bar.finish_and_clear();
                self.say(&work.finished(data_set, verb, columns()));
            }
            Event::Step { .. } | Event::StepEnd { .. } => {
                let left = left_of_all(&lock(&self.expected), |work| going.get(&work).map(|(_, going)| going.milliseconds()));
                match event {
                    Event::StepEnd { of, done, .. } => self.whole(done, of, left),
                    Event::Step { of, .. } if lock(&self.whole).is_none() => self.whole(0, of, left),
                    _ => {}
                }
            }
            Event::Note(text) => self.say(&with_program(text)),
            Event::Warning(text) | Event::OfRecords(text) => self.say(&format!("warning: {}", with_program(text))),
        }
    }
}

/// How wide the terminal is; 80 when nobody knows.
fn columns() -> usize {
    let named = || std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    standard_error::terminal_columns().or_else(named).unwrap_or(80)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(text: &str) {
    standard_error::tell(Weight::of(text), &with_program(text));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn how_long_it_will_take_is_told_when_there_is_ground_for_it() {
        let going = |bytes, seconds| {
            let began = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            Going { began, bytes, ..Going::new(Some(1000)) }.message()
        };
        let is_told = |message: String| message.contains("left");
        assert!(!is_told(going(900, 0)), "a beginning is no pace");
        assert!(!is_told(going(10, 60)), "a part of a hundred is no pace");
        assert!(!is_told(going(0, 60)) && !is_told(going(1000, 60)));
        assert!(is_told(going(500, 60)));
    }

    #[test]
    fn as_long_as_before_until_it_is_known_how_long_today() {
        let going = |bytes, seconds, expected_ms| {
            let began = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            Going { began, bytes, expected_ms, ..Going::new(Some(1000)) }.left()
        };
        assert!(going(0, 1, Some(61_000)).unwrap().starts_with("60 s left") || going(0, 1, Some(61_000)).unwrap().starts_with("1 min"));
        assert_eq!((going(0, 100, Some(61_000)), going(1000, 1, Some(61_000)), going(0, 1, None)), (None, None, None));
        assert!(going(500, 60, Some(10)).unwrap().contains("left"), "today's own pace");
        let (one, other) = ((DataSetName::SystemDatabase, Verb::Stage), (DataSetName::SystemStorage, Verb::Stage));
        let expected = Expected::from([(one, 60_000), (other, 10_000)]);
        assert_eq!(left_of_all(&expected, |work| (work == one).then_some(20_000)), Some(40_000));
        assert_eq!(left_of_all(&expected, |_| Some(60_000)), None);
        assert_eq!(whole_sentence(3, 12, Some(40_000)), format!("3 of 12 steps done, 9 left, about {}", duration_ms(40_000)));
    }

    #[test]
    fn what_ended_fits_into_the_terminal() {
        let began = Instant::now().checked_sub(Duration::from_secs(125)).unwrap();
        let work = Going { began, bytes: 123_456_789, items: 123_456_789, ..Going::new(None) };
        for columns in [60, 80, 100] {
            let line = work.finished(DataSetName::KubernetesObjects, Verb::CutOver, columns);
            let width = line.chars().count();
            assert!(width <= columns && line.contains("2 min 05 s") && line.contains("123 MB"), "{width} {line}");
            assert_eq!(line.contains("elements"), columns >= 100, "{line}");
        }
        let going = Going { began, bytes: 123_456_789, ..Going::new(Some(999_456_789)) };
        let beside = going.beside_bar();
        assert!(beside.chars().count() < 80 - 27 - 1 - 12 && beside.starts_with("123 MB of 999 MB"), "{beside}");
        assert!("123 MB of 999 MB".len() < 60 - 27 - 1 - 12);
    }
}
