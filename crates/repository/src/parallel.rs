//! Does many small waits at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use plan::Result;

use crate::fault::lock;

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

/// What `work` gives for each item, in their order, from a few threads.
///
/// # Errors
/// The first that `work` gives; nothing new is begun after it, so that a storage that is gone is not asked for all the rest.
pub fn try_map<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let numbered: Vec<_> = items.iter().enumerate().collect();
    let done = Mutex::new(Ok(Vec::with_capacity(items.len())));
    each(&numbered, threads, |(number, item)| {
        if lock(&done).is_err() {
            return;
        }
        let result = work(item);
        let mut done = lock(&done);
        match (&mut *done, result) {
            (Ok(done), Ok(value)) => done.push((*number, value)),
            (Ok(_), Err(error)) => *done = Err(error),
            (Err(_), _) => {}
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use plan::Error;

    use super::*;

    #[test]
    fn values_come_in_the_order_of_their_items() {
        let items: Vec<_> = (0..1000).collect();
        assert_eq!(try_map(&items, 8, |item| Ok(item * 2)).unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!(try_map(&[] as &[u8], 8, |_| Ok(())).unwrap().is_empty());
    }

    #[test]
    fn nothing_new_is_begun_after_an_error() {
        let (items, begun) = (vec![(); 1000], AtomicUsize::new(0));
        let error = try_map(&items, 4, |()| -> Result<()> {
            begun.fetch_add(1, Ordering::Relaxed);
            Err(Error::failed("gone"))
        });
        assert_eq!(error.unwrap_err().to_string(), "gone");
        assert!(begun.into_inner() <= 4, "one for each thread at most");
    }
}
