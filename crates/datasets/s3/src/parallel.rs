//! Many requests at once: an object of some kilobytes is all waiting.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use plan::ports::Context;
use plan::{Error, Result};

/// Requests at once for each worker that the operator allows.
const PER_WORKER: usize = 8;
/// Never more than this.
const AT_ONCE_MAX: usize = 64;

/// How many requests are under way at once.
pub(crate) fn at_once(context: &Context) -> usize {
    (context.workers.max(1) * PER_WORKER).min(AT_ONCE_MAX)
}

/// Does the work for all of them, many at once, and gives what it gave, in their order. After the first failure nothing more is begun.
pub(crate) fn all<T: Sync, R: Send>(context: &Context, items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    some(context, at_once(context), items, work)
}

/// The same with so many at once: what holds much memory is done by as many as there are workers.
pub(crate) fn some<T: Sync, R: Send>(
    context: &Context,
    at_once: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(items.len()) {
            scope.spawn(|| {
                while let Some((item, result)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| items.get(at).zip(results.get(at)))
                {
                    match context.stop.check().and_then(|()| work(item)) {
                        Ok(done) => *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(done),
                        Err(error) => {
                            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                            next.store(items.len(), Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let done = results.into_iter().map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.collect::<Option<_>>().ok_or_else(|| Error::failed("a bug: a request was neither done nor failed"))
}
