//! Whether a set can go back, as the backup that took it could tell.

use std::fmt;

use serde::Serialize;

use crate::ports::{Problem, Severity};

/// The exit code of a backup whose set was taken and cannot go back, or not wholly.
pub const TAKEN_WITH_WARNINGS: u8 = 4;

/// Whether what was taken can go back to where it came from, with the user and the server that were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restorable {
    /// All of it.
    Yes,
    /// It goes back; what does not is named.
    WithOmissions,
    /// That server would refuse it; why is named.
    No,
}

impl Restorable {
    /// By the worst of what a dump found: a note harms nothing.
    #[must_use]
    pub fn of<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Self {
        let by_severity = |problem: &Problem| match problem.severity {
            Severity::Note => Self::Yes,
            Severity::Degrades => Self::WithOmissions,
            Severity::Blocks => Self::No,
        };
        problems.into_iter().map(by_severity).max().unwrap_or(Self::Yes)
    }
}

impl fmt::Display for Restorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::WithOmissions => "with omissions",
            Self::No => "no",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_problem_decides() {
        let problems: Vec<_> =
            [Severity::Note, Severity::Degrades, Severity::Blocks].into_iter().map(|severity| Problem::new(severity, "text")).collect();
        assert_eq!(Restorable::of([]), Restorable::Yes);
        assert_eq!(Restorable::of(&problems[..1]), Restorable::Yes);
        assert_eq!(Restorable::of(&problems[..2]), Restorable::WithOmissions);
        assert_eq!(Restorable::of(&problems), Restorable::No);
    }
}
