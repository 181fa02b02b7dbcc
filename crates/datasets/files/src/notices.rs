//! What an operator must know, bounded: the first hundred of a verb are named, all are counted by kind.

use std::collections::BTreeMap;
use std::path::Path;

/// How many warnings are named.
const NAMED: usize = 100;

/// Warnings of one verb.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices {
    named: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Notices {
    /// Something about one path. `kind` is a fact's name: `changed-while-read`, `vanished`.
    pub(crate) fn about(&mut self, kind: &'static str, path: &Path, text: &str) {
        self.say(kind, || format!("{:?}: {text}", path.display().to_string()));
    }

    /// Something about the whole.
    pub(crate) fn say(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.named.len() < NAMED {
            self.named.push(text());
        }
    }

    /// How many of a kind.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// The named ones, and a last line for the rest.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.named.clone();
        let total: u64 = self.counts.values().sum();
        let rest = total.saturating_sub(self.named.len() as u64);
        if rest > 0 {
            let kinds: Vec<_> = self.counts.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
            lines.push(format!("and {rest} more ({} in all)", kinds.join(", ")));
        }
        lines
    }
}
