use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;
use std::time::Duration;

use super::IteratorExt as _;

/// Light, by its size.
type Entry = [usize; 32];

#[test]
fn what_comes_out_is_in_order_whatever_takes_long() {
    for length in [0, 1, 2, 15, 16, 17, 63, 64, 65, 129, 1000] {
        scope(|scope| {
            let entries = (0..length).map(|number| -> Entry { [number; 32] });
            let slow = |entry: Entry| {
                if entry[0] % 97 == 5 {
                    std::thread::sleep(Duration::from_millis(3));
                }
                entry
            };
            let got = entries.parallel_map_scoped(scope, slow).readahead_scoped(scope);
            assert!(got.map(|entry| entry[7]).eq(0..length));
            let handles = (0..length).readahead_scoped(scope).readahead_scoped(scope).parallel_map_scoped(scope, |number| number + 1);
            assert!(handles.readahead_scoped(scope).eq(1..=length));
        });
    }
}

#[test]
fn handles_are_few_on_their_way() {
    let (ahead, ahead_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
    scope(|scope| {
        let handles = (0..500).inspect(|_| {
            ahead_max.fetch_max(ahead.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        });
        for _ in handles.readahead_scoped(scope).parallel_map_scoped(scope, |number| number).readahead_scoped(scope) {
            ahead.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let most = ahead_max.into_inner();
    // Those in the map, and one in the hands of each of the two threads that read ahead.
    assert!(most <= threads * 2 + 3, "{most}");
}

/// A source that waits until what it gave before is done, as one does that bounds the memory: nothing of it may lie about unseen.
#[test]
fn a_source_that_waits_for_what_it_gave_goes_on() {
    let done = AtomicUsize::new(0);
    scope(|scope| {
        let entries = (0..300_usize).map(|number| -> Entry {
            while number > done.load(Ordering::SeqCst) + 1 {
                std::thread::yield_now();
            }
            [number; 32]
        });
        let count = |entry: Entry| {
            done.fetch_add(1, Ordering::SeqCst);
            entry
        };
        assert_eq!(entries.parallel_map_scoped(scope, count).readahead_scoped(scope).count(), 300);
    });
}

#[test]
fn who_stops_early_leaves_no_thread_waiting() {
    scope(|scope| {
        let entries = (0..10_000_usize).map(|number| -> Entry { [number; 32] });
        let first = entries.parallel_map_scoped(scope, |entry| entry).readahead_scoped(scope).nth(3);
        assert_eq!(first.map(|entry| entry[0]), Some(3));
    });
}

#[test]
fn a_panic_ends_all() {
    for wrong in [0, 3, 70, 999] {
        let ended = std::panic::catch_unwind(|| {
            scope(|scope| {
                let entries = (0..1000_usize).map(|number| -> Entry { [number; 32] });
                let checked = |entry: Entry| {
                    assert_ne!(entry[0], wrong);
                    entry
                };
                entries.parallel_map_scoped(scope, checked).readahead_scoped(scope).count()
            })
        });
        assert!(ended.is_err());
    }
}
