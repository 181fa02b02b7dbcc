//! A map on several threads, in order.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{Scope, available_parallelism};

use crate::broken;
use crate::queue::{Guard, Over, Queue, is_light};

/// See [`crate::IteratorExt::parallel_map_scoped`].
pub struct ParallelMap<I: Iterator, O> {
    iter: I,
    is_over: bool,
    todo: Arc<Queue<(usize, I::Item)>>,
    done: Arc<Queue<(usize, O)>>,
    /// What comes next, and what came before its turn.
    ready: VecDeque<Option<O>>,
    given: usize,
    taken: usize,
    on_their_way_max: usize,
}

impl<I: Iterator, O> ParallelMap<I, O> {
    pub(crate) fn new<'scope, 'env, F>(iter: I, scope: &'scope Scope<'scope, 'env>, map: F) -> Self
    where
        F: FnMut(I::Item) -> O + Clone + Send + 'env,
        I::Item: Send + 'env,
        O: Send + 'env,
    {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let on_their_way_max = if is_light::<I::Item>() { 64.max(threads * 2) } else { threads * 2 };
        let (todo, done) = (Arc::new(Queue::new(on_their_way_max)), Arc::new(Queue::new(on_their_way_max)));
        for _ in 0..threads {
            let (todo, done, mut map) = (Arc::clone(&todo), Arc::clone(&done), map.clone());
            scope.spawn(move || {
                let _guard = Guard(&done);
                while let Ok((number, item)) = todo.take(|| done.flush()) {
                    drop(done.give((number, map(item))));
                }
                done.flush();
            });
        }
        Self { iter, is_over: false, todo, done, ready: VecDeque::new(), given: 0, taken: 0, on_their_way_max }
    }

    fn give(&mut self) {
        while !self.is_over && self.given < self.taken + self.on_their_way_max {
            if let Some(item) = self.iter.next() {
                drop(self.todo.give((self.given, item)));
                self.given += 1;
            } else {
                self.is_over = true;
                self.todo.close();
            }
        }
    }
}

impl<I: Iterator, O> Iterator for ParallelMap<I, O> {
    type Item = O;

    fn next(&mut self) -> Option<O> {
        self.give();
        while self.taken < self.given {
            if let Some(Some(_)) = self.ready.front() {
                self.taken += 1;
                return self.ready.pop_front().flatten();
            }
            self.todo.flush();
            match self.done.take_all() {
                Ok(done) => {
                    for (number, item) in done {
                        let place = number - self.taken;
                        let places = self.ready.len().max(place + 1);
                        self.ready.resize_with(places, || None);
                        self.ready[place] = Some(item);
                    }
                }
                Err(Over::Closed | Over::Broken) => broken(),
            }
        }
        None
    }
}

impl<I: Iterator, O> Drop for ParallelMap<I, O> {
    fn drop(&mut self) {
        self.todo.close();
        self.done.close();
    }
}
