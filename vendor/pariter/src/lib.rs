//! `parallel_map_scoped` and `readahead_scoped` of [pariter](https://docs.rs/pariter/0.6.0): the same names, the same order of what comes out.
//!
//! What differs is how threads meet. There every item woke a thread three times, and four items were on their way with two processors. Here an item that holds what it is (as an entry of
//! a folder does) wakes nobody by itself, and 64 of them may be on their way; an item that is a handle to bytes elsewhere wakes at once, and as few are on their way as there. Which of
//! the two it is says its size, see [`queue::is_light`].

use std::panic::resume_unwind;
use std::thread::Scope;

mod parallel_map;
mod queue;
mod readahead;

pub use parallel_map::ParallelMap;
pub use readahead::Readahead;

/// Iterators that work ahead on other threads.
pub trait IteratorExt: Iterator + Sized {
    /// Calls `map` with each item, on as many threads as there are processors. What it gives comes in the order of the items. Nothing is read before the first is asked for.
    fn parallel_map_scoped<'env, 'scope, F, O>(self, scope: &'scope Scope<'scope, 'env>, map: F) -> ParallelMap<Self, O>
    where
        F: FnMut(Self::Item) -> O + Clone + Send + 'env,
        Self::Item: Send + 'env,
        O: Send + 'env,
    {
        ParallelMap::new(self, scope, map)
    }

    /// Reads ahead on a thread of its own, from now on.
    fn readahead_scoped<'env, 'scope>(self, scope: &'scope Scope<'scope, 'env>) -> Readahead<Self::Item>
    where
        Self: Send + 'env,
        Self::Item: Send + 'env,
    {
        Readahead::new(self, scope)
    }
}

impl<I: Iterator> IteratorExt for I {}

/// Another thread panicked: so does who waits for it.
fn broken() -> ! {
    resume_unwind(Box::new("a thread that works ahead has panicked"))
}

#[cfg(test)]
mod tests;
