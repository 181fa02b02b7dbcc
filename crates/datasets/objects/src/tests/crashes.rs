//! The program dies at every call of every verb, with and without the server having done its work; then it goes on or goes back.

use plan::ports::DataSet;

use super::server::Fails;
use super::undoing::other_installation;
use super::*;

struct Scene {
    memory: Arc<Memory>,
    kept: KeptDataSet,
}

impl Scene {
    fn new() -> Self {
        let (memory, kept) = backup(&installation("source"));
        Self { memory, kept }
    }

    fn staged(&self) -> (Arc<Server>, ObjectsStore, Place) {
        let target = other_installation();
        let store = store(&target, Policy::Overwrite);
        let place = stage(&store, &self.memory, &self.kept);
        (target, store, place)
    }
}

/// Calls `verb` on fresh targets, dying at the first call, the second, and so on, until it ends unharmed; then `check`.
fn die_everywhere(
    fresh: impl Fn() -> (Arc<Server>, ObjectsStore, Place),
    verb: impl Fn(&ObjectsStore, &Place) -> Result<()>,
    check: impl Fn(&Server, &ObjectsStore, &Place),
) {
    for how in [Fails::Before, Fails::After] {
        for number in 1.. {
            let (server, store, place) = fresh();
            server.die_at(number, how);
            let died = verb(&store, &place).is_err();
            server.live_again();
            check(&server, &store, &place);
            if !died {
                assert!(number > 3, "{number} calls are too few to be all");
                break;
            }
        }
    }
}

#[test]
fn a_cut_over_that_died_goes_on_and_equals_one_that_did_not() {
    let scene = Scene::new();
    let (server, store, place) = scene.staged();
    store.cut_over(&context(), &place).unwrap();
    let wanted = seen(&server);
    die_everywhere(
        || scene.staged(),
        |store, place| store.cut_over(&context(), place),
        |server, store, place| {
            store.cut_over(&context(), place).unwrap();
            assert_eq!(seen(server), wanted);
            store.cut_over(&context(), place).unwrap();
            assert_eq!(seen(server), wanted);
        },
    );
}

#[test]
fn a_cut_over_that_died_is_undone_wholly() {
    let scene = Scene::new();
    let before = seen(&other_installation());
    die_everywhere(
        || scene.staged(),
        |store, place| store.cut_over(&context(), place),
        |server, store, place| {
            store.undo(&context(), place).unwrap();
            assert_eq!(seen(server), before);
            store.discard(&context(), place, plan::ports::Discard::Staged).unwrap();
            assert!(!server.all().keys().any(|name| name.contains("threescale-backup")));
        },
    );
}

#[test]
fn an_undo_that_died_goes_on() {
    let scene = Scene::new();
    let before = seen(&other_installation());
    die_everywhere(
        || {
            let (server, store, place) = scene.staged();
            store.cut_over(&context(), &place).unwrap();
            (server, store, place)
        },
        |store, place| store.undo(&context(), place).map(drop),
        |server, store, place| {
            store.undo(&context(), place).unwrap();
            assert_eq!(seen(server), before);
        },
    );
}

#[test]
fn staging_that_died_changes_nothing_and_is_done_again() {
    let scene = Scene::new();
    let before = seen(&other_installation());
    die_everywhere(
        || {
            let target = other_installation();
            let store = store(&target, Policy::Overwrite);
            let place = store.reserve(&context(), &scene.kept, Road::SideCopy).unwrap();
            (target, store, place)
        },
        |store, place| store.stage(&context(), place, Arc::clone(&scene.memory) as Arc<dyn Snapshot>, &scene.kept),
        |server, store, _| {
            assert_eq!(seen(server), before);
            stage(store, &scene.memory, &scene.kept);
            assert_eq!(seen(server), before);
        },
    );
}

#[test]
fn a_discard_that_died_goes_on() {
    let scene = Scene::new();
    die_everywhere(
        || {
            let (server, store, place) = scene.staged();
            store.cut_over(&context(), &place).unwrap();
            (server, store, place)
        },
        |store, place| store.discard(&context(), place, plan::ports::Discard::Previous),
        |server, store, place| {
            store.discard(&context(), place, plan::ports::Discard::Previous).unwrap();
            assert!(!server.all().keys().any(|name| name.contains("threescale-backup")));
        },
    );
}
