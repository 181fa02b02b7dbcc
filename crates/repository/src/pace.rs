//! How fast bytes may pass, for lines and servers that others use too. The limits are those of the whole process: what a line bears does not depend on how many
//! repositories are open.

use std::num::NonZeroU64;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use plan::ports::StopFlag;

use crate::fault::lock;

/// Bytes a second, on average; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// What dumps may give: reading from the stores.
    pub read: Option<NonZeroU64>,
    /// What may be written into repositories. A file goes at once, and the next one waits.
    pub upload: Option<NonZeroU64>,
    /// What may be read from repositories, as [`Limits::upload`].
    pub download: Option<NonZeroU64>,
}

/// The paces of this process.
#[derive(Debug)]
pub struct Paces {
    pub read: Option<Pace>,
    pub upload: Option<Pace>,
    pub download: Option<Pace>,
}

static PACES: OnceLock<Paces> = OnceLock::new();

/// Sets the limits of this process, once: those of a second call are not heeded. When the flag is raised nobody waits any more.
pub fn limit(limits: Limits, stop: &StopFlag) {
    let pace = |limit: Option<NonZeroU64>| limit.map(|limit| Pace::new(limit, stop.clone()));
    PACES.get_or_init(|| Paces { read: pace(limits.read), upload: pace(limits.upload), download: pace(limits.download) });
}

/// The paces of this process, where there are limits.
pub fn paces() -> Option<&'static Paces> {
    PACES.get()
}

/// Bytes pass one after the other, those of all threads.
#[derive(Debug)]
pub struct Pace {
    per_second: NonZeroU64,
    free_at: Mutex<Option<Instant>>,
    stop: StopFlag,
}

impl Pace {
    fn new(per_second: NonZeroU64, stop: StopFlag) -> Self {
        Self { per_second, free_at: Mutex::new(None), stop }
    }

    /// Waits until these bytes may pass: until those before them would have at this pace. Ends early when the process is asked to stop, or what this is for is over.
    pub fn wait_for(&self, bytes: u64, is_over: impl Fn() -> bool) {
        /// So soon it is seen that all is over.
        const STEP: Duration = Duration::from_millis(50);
        let turn = self.pass(bytes, Instant::now());
        while !self.stop.is_raised() && !is_over() {
            let left = turn.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(STEP));
        }
    }

    /// These passed, and nobody knew how many they would be.
    pub fn passed(&self, bytes: u64) {
        self.pass(bytes, Instant::now());
    }

    /// When these bytes may pass. Who comes after them waits for them, too.
    fn pass(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = lock(&self.free_at);
        let turn = free_at.map_or(now, |free_at| free_at.max(now));
        let takes = Duration::from_secs_f64(bytes as f64 / self.per_second.get() as f64);
        *free_at = Some(turn.checked_add(takes).unwrap_or(turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_waits_for_what_came_before_and_nobody_saves_up() {
        let pace = Pace::new(NonZeroU64::new(1_000).unwrap_or(NonZeroU64::MIN), StopFlag::default());
        let (now, seconds) = (Instant::now(), Duration::from_secs);
        assert_eq!(pace.pass(3_000, now), now);
        assert_eq!(pace.pass(500, now + seconds(1)), now + seconds(3));
        assert_eq!(pace.pass(1, now + seconds(2)), now + Duration::from_millis(3_500));
        // Nothing passed for long: no more passes at once for it.
        assert_eq!(pace.pass(1_000, now + seconds(60)), now + seconds(60));
        assert_eq!(pace.pass(1, now + seconds(60)), now + seconds(61));
    }

    #[test]
    fn nobody_waits_when_it_is_over() {
        let stop = StopFlag::default();
        let pace = Pace::new(NonZeroU64::MIN, stop.clone());
        pace.wait_for(1 << 40, || false);
        pace.wait_for(1 << 40, || true);
        stop.raise();
        pace.wait_for(1, || false);
    }
}
