//! The work as it goes: bars on a terminal, a plain line every few seconds elsewhere.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use plan::ids::DataSetName;
use plan::ports::{Event, Verb, Watch};
use plan::words::printable;

use super::format::{bytes, count, duration_ms, rate};

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

struct Going {
    began: Instant,
    told: Instant,
    bytes: u64,
    items: u64,
    total_bytes: Option<u64>,
}

impl Going {
    fn new(total_bytes: Option<u64>) -> Self {
        let now = Instant::now();
        Self { began: now, told: now, bytes: 0, items: 0, total_bytes }
    }

    fn milliseconds(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn sentence(&self) -> String {
        format!("{}, {}, {}", bytes(self.bytes), rate(self.bytes, self.milliseconds()), self.message())
    }

    /// How many, and how long it will take.
    fn message(&self) -> String {
        let mut text = format!("{} elements", count(self.items));
        // Before that the beginning of the work would be taken for its pace.
        let has_ground = |total: &u64| self.began.elapsed() >= ESTIMATE_AFTER && self.bytes >= total / 20 && self.bytes > 0;
        if let Some(total) = self.total_bytes.filter(|total| *total > self.bytes).filter(has_ground) {
            let left = self.milliseconds() as f64 * (total - self.bytes) as f64 / self.bytes as f64;
            text.push_str(&format!(", about {} left", duration_ms(left as i64)));
        }
        text
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
#[derive(Default)]
pub(crate) struct Lines {
    going: Mutex<BTreeMap<Work, Going>>,
}

impl Watch for Lines {
    fn see(&self, event: Event<'_>) {
        let mut going = lock(&self.going);
        match event {
            Event::Begin { data_set, verb, total_bytes } => {
                going.insert((data_set, verb), Going::new(total_bytes));
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
                let Some(mut work) = going.remove(&(data_set, verb)) else { return };
                work.total_bytes = None;
                let detail = if work.bytes > 0 { format!(": {}", work.sentence()) } else { String::new() };
                tell(&format!("{:<8} {data_set} done in {}{detail}", word(verb), duration_ms(work.milliseconds())));
            }
            Event::Note(text) => tell(text),
            Event::Warning(text) | Event::OfRecords(text) => tell(&format!("warning: {text}")),
        }
    }
}

/// Bars on standard error.
#[derive(Default)]
pub(crate) struct Bars {
    all: MultiProgress,
    going: Mutex<BTreeMap<Work, (ProgressBar, Going)>>,
}

impl Bars {
    fn bar(&self, data_set: DataSetName, verb: Verb, total_bytes: Option<u64>) -> ProgressBar {
        let template = if total_bytes.is_some() {
            "{prefix:26} {bar:30.cyan/blue} {bytes:>10} {bytes_per_sec:>12}  {msg}"
        } else {
            "{prefix:26} {spinner} {bytes:>10} {elapsed}  {msg}"
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = total_bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style);
        let bar = self.all.add(bar.with_prefix(format!("{:<8} {data_set}", word(verb))));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

impl Watch for Bars {
    fn see(&self, event: Event<'_>) {
        let mut going = lock(&self.going);
        match event {
            Event::Begin { data_set, verb, total_bytes } => {
                let bar = self.bar(data_set, verb, total_bytes.filter(|total| *total > 0));
                going.insert((data_set, verb), (bar, Going::new(total_bytes)));
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
                bar.set_message(work.message());
            }
            Event::End { data_set, verb } => {
                let Some((bar, work)) = going.remove(&(data_set, verb)) else { return };
                bar.finish_and_clear();
                let detail = if work.bytes > 0 {
                    format!("{:>10}  {:>12} elements  {:>12}", bytes(work.bytes), count(work.items), rate(work.bytes, work.milliseconds()))
                } else {
                    String::new()
                };
                self.say(&format!("✓ {:<8} {data_set:<16} {:>10}  {detail}", word(verb), duration_ms(work.milliseconds())));
            }
            Event::Note(text) => self.say(text),
            Event::Warning(text) | Event::OfRecords(text) => self.say(&format!("warning: {text}")),
        }
    }
}

impl Bars {
    fn say(&self, text: &str) {
        // When standard error is gone there is nobody to tell.
        drop(self.all.println(printable(text.trim_end())));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(text: &str) {
    drop(writeln!(io::stderr().lock(), "{}", printable(text)));
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
}
