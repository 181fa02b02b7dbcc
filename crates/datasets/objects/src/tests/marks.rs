//! Whose notes they are: other namespaces, two hosts, two versions; what is half replaced; what stays.

use plan::ports::{DataSet, Discard, Holds, Undone};
use plan::{Class, InstallationId};
use serde_json::{Value, json};

use super::server::Fails;
use super::undoing::other_installation;
use super::*;

fn of(run: &str) -> Context {
    Context { run: plan::ids::RunId(run.to_owned()), installation: InstallationId::named("prod"), ..context() }
}

fn restore(store: &ObjectsStore, context: &Context, memory: &Arc<Memory>, kept: &KeptDataSet) -> Place {
    let place = store.reserve(context, kept, Road::SideCopy).unwrap();
    store.stage(context, &place, Arc::clone(memory) as Arc<dyn Snapshot>, kept).unwrap();
    store.cut_over(context, &place).unwrap();
    place
}

#[test]
fn a_namespace_of_the_same_name_elsewhere_knows_nothing_of_a_run_and_loses_nothing() {
    let (memory, kept) = backup(&installation("source"));
    let (here, elsewhere) = (other_installation(), other_installation());
    let (before, before_there) = (seen(&here), elsewhere.all());
    let (store_here, store_there) = (store(&here, Policy::Overwrite), store(&elsewhere, Policy::Overwrite));
    let place = restore(&store_here, &context(), &memory, &kept);
    assert_eq!(store_there.undo(&context(), &place).unwrap(), Undone::NothingThere);
    assert_eq!(store_there.cut_over(&context(), &place).unwrap_err().class(), Class::NeedsPerson);
    [Discard::Staged, Discard::Previous].into_iter().for_each(|what| store_there.discard(&context(), &place, what).unwrap());
    assert_eq!(elsewhere.all(), before_there);

    let noted = here.all();
    assert_eq!(store_here.discard(&context(), &place, Discard::Staged).unwrap_err().class(), Class::NeedsPerson);
    assert_eq!(here.all(), noted, "what was there before is noted nowhere else");
    [0, 1].into_iter().for_each(|_| assert_eq!(store_here.undo(&context(), &place).unwrap(), Undone::PreviousIsLive));
    store_here.discard(&context(), &place, Discard::Staged).unwrap();
    assert_eq!(seen(&here), before);
    assert!(!here.all().keys().any(|name| name.contains("threescale-backup")));
    assert_eq!(store_here.undo(&context(), &place).unwrap(), Undone::NothingThere);
}

#[test]
fn of_two_restores_the_newer_one_is_undone_first() {
    let (memory, kept) = backup(&installation("source"));
    let target = other_installation();
    let (before, store) = (seen(&target), store(&target, Policy::Overwrite));
    let (one, two) = (of("01jrun00000000one"), of("01jrun00000000two"));
    let place_one = restore(&store, &one, &memory, &kept);
    target.change("secrets", "system-app", |object| object["data"]["SECRET_KEY_BASE"] = "c2luY2U=".into());
    let place_two = restore(&store, &two, &memory, &kept);
    let both = seen(&target);
    let error = store.undo(&one, &place_one).unwrap_err();
    assert!(error.class() == Class::NeedsPerson && error.to_string().contains("01jrun00000000two"), "{error:?}");
    assert_eq!(seen(&target), both);
    assert_eq!(store.undo(&two, &place_two).unwrap(), Undone::PreviousIsLive);
    assert_eq!(store.undo(&one, &place_one).unwrap(), Undone::PreviousIsLive);
    assert_eq!(seen(&target), before);
}

#[test]
fn half_a_cut_over_is_seen_never_backed_up_and_gone_at_its_end() {
    let (memory, kept) = backup(&installation("source"));
    let mut halves = 0;
    for number in 1.. {
        let target = other_installation();
        let store = store(&target, Policy::Overwrite);
        let (before, place) = (seen(&target), stage(&store, &memory, &kept));
        target.die_at(number, Fails::After);
        let died = store.cut_over(&context(), &place).is_err();
        target.live_again();
        let half = store.look(&context()).unwrap().half_loaded_by;
        let is_done = target.all().keys().any(|name| name.ends_with("-after-0"));
        if died && !is_done && seen(&target) != before {
            halves += 1;
            assert_eq!(half.as_deref(), Some("01jrun0123456789"), "call {number}");
            assert_eq!(store.dump(&context()).err().unwrap().class(), Class::Refused);
            assert!(store.discard(&context(), &place, Discard::Staged).is_err());
            assert!(store.discard(&context(), &place, Discard::Previous).is_err());
        }
        store.undo(&context(), &place).unwrap();
        assert_eq!(store.look(&context()).unwrap().half_loaded_by, None);
        store.discard(&context(), &place, Discard::Staged).unwrap();
        assert_eq!(seen(&target), before);
        if !died {
            assert_eq!(half, None);
            break;
        }
    }
    assert!(halves > 2, "{halves}");
}

#[test]
fn leftovers_are_found_with_whose_they_are_and_go_only_while_they_are_what_they_were() {
    let (memory, kept) = backup(&installation("source"));
    let target = other_installation();
    let store = store(&target, Policy::Overwrite);
    // The chart's own Secret has the label too, and is of no run.
    target.add(secret("threescale-backup", &json!({"app.kubernetes.io/name": "threescale-backup"}), &[("password", "x")]));
    let (before, run) = (target.all(), of("01jrun00000000one"));
    let place = store.reserve(&run, &kept, Road::SideCopy).unwrap();
    store.stage(&run, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
    let found = store.leftovers(&context()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].run.as_str(), found[0].holds), ("01jrun00000000one", Holds::Staged));
    assert_eq!(found[0].installation, Some(InstallationId::named("prod")));
    assert!(found[0].bytes > Some(0) && found[0].what.contains(place.0["secrets"].as_str().unwrap().trim_end_matches('-')), "{found:?}");
    store.cut_over(&run, &place).unwrap();
    assert_eq!(store.leftovers(&context()).unwrap()[0].holds, Holds::Previous);
    assert_eq!(store.remove_leftover(&context(), &found[0]).unwrap_err().class(), Class::NeedsPerson, "it is what was there before, now");
    store.undo(&run, &place).unwrap();
    for left in store.leftovers(&context()).unwrap() {
        store.remove_leftover(&context(), &left).unwrap();
        store.remove_leftover(&context(), &left).unwrap();
    }
    assert_eq!(target.all().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

#[test]
fn pods_of_other_runs_are_left_until_they_are_removed() {
    let target = other_installation();
    let store = store(&target, Policy::Overwrite);
    let before = target.all();
    let pod = |name: &str, labels: Value| {
        target.add(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}}));
    };
    let of_run = |run: &str| json!({"app.kubernetes.io/name": "threescale-backup", "threescale-backup/run": run});
    pod("threescale-backup-files-00000one", of_run("01jrun00000000one"));
    // A Job's of the chart, this run's own, somebody else's, and one that is going.
    pod("nightly-x7k2p", json!({"app.kubernetes.io/name": "threescale-backup"}));
    pod("threescale-backup-files-00000two", of_run("01jrun00000000two"));
    pod("system-app-1", json!({"app": "3scale-api-management"}));
    pod("threescale-backup-rewrite-0three", of_run("01jrun0000000three"));
    target.change("pods", "threescale-backup-rewrite-0three", |pod| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into());

    let found = store.leftovers(&of("01jrun00000000two")).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].run.as_str(), found[0].holds), ("01jrun00000000one", Holds::Nothing));
    assert!(found[0].what.contains("pod threescale-backup-files-00000one"), "{found:?}");
    for _ in 0..2 {
        store.remove_leftover(&of("01jrun00000000two"), &found[0]).unwrap();
    }
    assert_eq!(target.get_now("pods", "threescale-backup-files-00000one"), None);
    assert_eq!(target.all().len(), before.len() + 4, "no other is touched");
}

#[test]
fn notes_of_version_0_1_0_are_read() {
    let (memory, kept) = backup(&installation("source"));
    let target = other_installation();
    let (before, store) = (seen(&target), store(&target, Policy::Overwrite));
    let place = restore(&store, &context(), &memory, &kept);
    let names: Vec<_> =
        target.all().into_keys().filter_map(|name| name.strip_prefix("secrets/threescale-backup-").map(str::to_owned)).collect();
    for name in names {
        target.change("secrets", &format!("threescale-backup-{name}"), |secret| {
            let annotations = secret["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.retain(|name, _| name == "threescale-backup/run");
        });
    }
    assert_eq!(store.leftovers(&context()).unwrap()[0].installation, None);
    assert_eq!(store.undo(&context(), &place).unwrap(), Undone::PreviousIsLive);
    assert_eq!(seen(&target), before);
}

#[test]
fn a_settle_that_was_cut_off_goes_on_and_its_run_is_not_undone() {
    let (memory, kept) = backup(&installation("source"));
    let target = other_installation();
    let store = store(&target, Policy::Overwrite);
    let place = restore(&store, &context(), &memory, &kept);
    target.die_at(3, Fails::After);
    assert!(store.discard(&context(), &place, Discard::Previous).is_err());
    target.live_again();
    assert_eq!(store.look(&context()).unwrap().half_loaded_by, None);
    assert_eq!(store.undo(&context(), &place).unwrap_err().class(), Class::NeedsPerson);
    store.discard(&context(), &place, Discard::Previous).unwrap();
    assert!(!target.all().keys().any(|name| name.contains("threescale-backup")));
}

#[test]
fn the_namespaces_uid_is_its_identity_where_it_may_be_read() {
    let server = installation("source");
    assert_eq!(store(&server, Policy::Missing).look(&context()).unwrap().identity, None);
    server.show_uid("1-2-3");
    assert_eq!(store(&server, Policy::Missing).look(&context()).unwrap().identity.as_deref(), Some("namespace 1-2-3"));
    assert_eq!(store(&server, Policy::Missing).identity(&context()).unwrap().as_deref(), Some("namespace 1-2-3"));
}
