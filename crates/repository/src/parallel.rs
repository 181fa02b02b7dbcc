//! Does many small waits at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Calls `work` for each item, from a few threads. Panics of `work` pass through.
pub fn each<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}
