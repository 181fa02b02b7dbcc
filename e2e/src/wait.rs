//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// Asks until the answer is there.
///
/// # Panics
/// When it is not there after the limit.
pub fn wait_until<T>(what: &str, limit_seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(limit_seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < limit, "waited {limit_seconds} s for {what}");
        std::thread::sleep(Duration::from_millis(250));
    }
}
