//! What failed for a while and changed nothing that is live is done once more; what failed after the writers stopped never says that nothing was touched.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plan::Class;
use plan::ids::DataSetName;
use support::{DyingStore, World, restore};

fn start(plan: plan::Plan) -> runner::Journal {
    runner::Journal::begin(Box::new(DyingStore { lines: Arc::default(), lives: usize::MAX }), plan).unwrap()
}

fn world(times: usize, class: Class, name: DataSetName) -> (World, plan::manifest::Manifest) {
    let (mut world, manifest) = World::new();
    world.rests = vec![Duration::ZERO; 2];
    world.faults = Arc::new(Mutex::new(support::Faults { stage: Some((name, times, class)), ..support::Faults::default() }));
    (world, manifest)
}

#[test]
fn a_store_that_is_lost_while_it_is_staged_is_staged_again() {
    let (world, manifest) = world(2, Class::Transient, DataSetName::SystemRedis);
    let journal = start(restore(&manifest, &[]));
    runner::run(&journal, &world.hands()).unwrap();
    assert!(world.live().iter().all(|live| live.starts_with("good ")), "{:?}", world.live());
}

#[test]
fn what_does_not_come_back_or_fails_for_good_is_an_error() {
    for (times, class) in [(3, Class::Transient), (1, Class::Failed)] {
        let (world, manifest) = world(times, class, DataSetName::SystemRedis);
        let error = runner::run(&start(restore(&manifest, &[])), &world.hands()).unwrap_err();
        assert_eq!(error.class(), class, "{error:?}");
        assert!(world.live().iter().all(|live| live.starts_with("damaged ")), "{:?}", world.live());
    }
}

#[test]
fn in_place_nothing_is_done_twice_and_a_refusal_after_the_writers_stopped_is_a_failure() {
    let name = DataSetName::ZyncDatabase;
    let (world, manifest) = world(1, Class::Refused, name);
    let error = runner::run(&start(restore(&manifest, &[name])), &world.hands()).unwrap_err();
    assert_eq!(error.class(), Class::Failed, "exit code 2 says that nothing was touched: {error:?}");
    assert!(!world.writers_run());
    let (world, manifest) = self::world(1, Class::Transient, name);
    let error = runner::run(&start(restore(&manifest, &[name])), &world.hands()).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
}
