//! An iterator that is read on a thread of its own.

use std::sync::Arc;
use std::thread::Scope;

use crate::broken;
use crate::queue::{Guard, Over, Queue, is_light};

/// See [`crate::IteratorExt::readahead_scoped`].
pub struct Readahead<T> {
    ready: Arc<Queue<T>>,
}

impl<T> Readahead<T> {
    pub(crate) fn new<'scope, 'env, I>(iter: I, scope: &'scope Scope<'scope, 'env>) -> Self
    where
        I: Iterator<Item = T> + Send + 'env,
        T: Send + 'env,
    {
        let ready = Arc::new(Queue::new(if is_light::<T>() { 64 } else { 0 }));
        let theirs = Arc::clone(&ready);
        scope.spawn(move || {
            let _guard = Guard(&theirs);
            // To the end, though nobody may take them any more: an iterator may do its work when it is asked.
            for item in iter {
                drop(theirs.give(item));
            }
            theirs.close();
        });
        Self { ready }
    }
}

impl<T> Iterator for Readahead<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self.ready.take(|| {}) {
            Ok(item) => Some(item),
            Err(Over::Closed) => None,
            Err(Over::Broken) => broken(),
        }
    }
}

impl<T> Drop for Readahead<T> {
    fn drop(&mut self) {
        self.ready.close();
    }
}
