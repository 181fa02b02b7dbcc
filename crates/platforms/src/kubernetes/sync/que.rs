//! How far zync is with its jobs: what is seen of them look by look, and what that comes to. Pure.

use std::time::{Duration, Instant};

use super::super::writers::wait::Look;

/// So often nothing must be due: between System's last call and zync's job there is a moment in which none is.
const QUIET_LOOKS: u32 = 3;

/// What a person does.
const WAY_OUT: &str = "`kubectl logs deployment/zync-que` (dc/zync-que up to 3scale 2.14) says why; afterwards `threescale-backup verify` compares zync and its Routes, and \
     `kubectl exec deployment/system-sidekiq -- bash -c 'bundle exec rake zync:resync:domains'` tells zync all once more";

/// The jobs that were due, as far as they were seen.
pub(super) struct Seen {
    still: Duration,
    quiet: u32,
    /// The fewest so far, and when that was.
    fewest: Option<(u64, Instant)>,
    due: u64,
    is_stuck: bool,
    /// Why they could not be seen the last time.
    blind: Option<String>,
}

impl Seen {
    /// `still`: when none was done for so long, it is not waited for any more.
    pub(super) const fn new(still: Duration) -> Self {
        Self { still, quiet: 0, fewest: None, due: 0, is_stuck: false, blind: None }
    }

    /// One look: how many are due; `None` where there is no such table.
    pub(super) fn look(&mut self, due: Result<Option<u64>, String>, now: Instant) -> Look {
        self.blind = None;
        self.due = match due {
            Ok(Some(due)) => due,
            Ok(None) => return self.gives_up("zync has not made its tables yet".to_owned(), now),
            Err(why) => return self.gives_up(why, now),
        };
        if self.due == 0 {
            self.quiet += 1;
            return if self.quiet >= QUIET_LOOKS { Look::Done } else { Look::Waiting(vec!["none is due".to_owned()]) };
        }
        self.quiet = 0;
        match self.fewest {
            Some((fewest, since)) if self.due >= fewest => self.is_stuck = now.saturating_duration_since(since) >= self.still,
            _ => self.fewest = Some((self.due, now)),
        }
        if self.is_stuck { Look::Done } else { Look::Waiting(vec![format!("{} jobs are due", self.due)]) }
    }

    /// What cannot be seen may be seen soon.
    fn gives_up(&mut self, why: String, now: Instant) -> Look {
        let since = self.fewest.get_or_insert((u64::MAX, now)).1;
        self.is_stuck = now.saturating_duration_since(since) >= self.still;
        let look = if self.is_stuck { Look::Done } else { Look::Waiting(vec![why.clone()]) };
        self.blind = Some(why);
        look
    }

    /// What it came to: a note, or a warning. `is_in_time`: it was not waited for in vain.
    pub(super) fn verdict(&self, is_in_time: bool) -> Result<String, String> {
        if let Some(why) = &self.blind {
            return Err(format!("how far zync is could not be seen ({why}): Routes may be missing for a while. {WAY_OUT}"));
        }
        if is_in_time && !self.is_stuck {
            return Ok("zync has done its jobs".to_owned());
        }
        Err(format!("zync has still {} jobs to do, and does not get on with them: Routes may be missing until it has. {WAY_OUT}", self.due))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const STILL: Duration = Duration::from_secs(20);

    fn looks(all: &[(u64, Result<Option<u64>, &str>)]) -> (Seen, Vec<bool>) {
        let (began, mut seen) = (Instant::now(), Seen::new(STILL));
        let mut done = Vec::new();
        for (second, due) in all {
            let due = due.map_err(str::to_owned);
            done.push(matches!(seen.look(due, began + Duration::from_secs(*second)), Look::Done));
        }
        (seen, done)
    }

    #[test]
    fn jobs_that_get_fewer_are_waited_for_until_none_is_due_three_times() {
        let (seen, done) = looks(&[
            (0, Ok(Some(0))),
            (1, Ok(Some(9))),
            (19, Ok(Some(8))),
            (38, Ok(Some(1))),
            (39, Ok(Some(0))),
            (40, Ok(Some(0))),
            (41, Ok(Some(0))),
        ]);
        assert_eq!(done, [false, false, false, false, false, false, true]);
        assert_eq!(seen.verdict(true), Ok("zync has done its jobs".to_owned()));
    }

    #[test]
    fn jobs_of_which_none_is_done_are_a_warning_with_a_way_out() {
        let (seen, done) = looks(&[(0, Ok(Some(7))), (10, Ok(Some(9))), (19, Ok(Some(7))), (20, Ok(Some(7)))]);
        assert_eq!(done, [false, false, false, true]);
        let warning = seen.verdict(true).unwrap_err();
        assert!(warning.contains("still 7 jobs") && warning.contains("rake zync:resync:domains"), "{warning}");
        // Late, though they got fewer.
        let (seen, _) = looks(&[(0, Ok(Some(7))), (10, Ok(Some(6)))]);
        assert!(seen.verdict(false).unwrap_err().contains("still 6 jobs"));
    }

    #[test]
    fn what_cannot_be_seen_is_waited_for_and_then_said() {
        let (seen, done) = looks(&[(0, Err("no way")), (10, Ok(None)), (20, Err("no way"))]);
        assert_eq!(done, [false, false, true]);
        assert!(seen.verdict(true).unwrap_err().contains("could not be seen (no way)"));
        let (seen, done) = looks(&[(0, Err("no way")), (19, Ok(Some(0))), (20, Ok(Some(0))), (21, Ok(Some(0)))]);
        assert_eq!(done, [false, false, false, true]);
        assert!(seen.verdict(true).is_ok());
    }
}
