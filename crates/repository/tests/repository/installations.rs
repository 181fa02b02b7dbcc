//! Whose sets a rule is about, and what stays whatever the rules say.

use jiff::{Span, Timestamp};
use plan::Class;
use plan::ids::{DataSetName, RunId, SetId};
use plan::needs::{self, Need, Protection};
use plan::ports::Repository as _;
use repository::{ForgetOptions, ForgetReport, Retention, Whose};

use crate::scene::*;

fn days(days: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T03:00:00Z".parse().unwrap();
    start + Span::new().hours(24 * days)
}

fn daily(daily: u32) -> Retention {
    Retention { daily, ..Retention::default() }
}

fn names(sets: &[repository::JudgedSet]) -> Vec<&str> {
    sets.iter().map(|set| set.set.as_str()).collect()
}

fn why<'a>(report: &'a ForgetReport, set: &str) -> &'a [String] {
    &report.kept.iter().chain(&report.removed).find(|judged| judged.set.as_str() == set).unwrap().reasons
}

fn within_a_week() -> Retention {
    Retention { within: Some(Span::new().hours(7 * 24)), ..Retention::default() }
}

#[test]
fn rules_count_within_an_installation_and_leave_the_others_alone() {
    let scene = Scene::new();
    let repository = &scene.repository;
    for day in 0..4 {
        for (hour, name) in [(0, "a"), (1, "b"), (2, "c")] {
            take_of(repository, name, &format!("{name}{day}"), days(day) + Span::new().hours(hour), &all_of(1));
        }
    }
    take(repository, "unnamed", parts(1, 2, 1000));
    let report = repository.forget(&daily(2), &forget_of("b", days(4))).unwrap();
    assert_eq!((names(&report.kept), names(&report.removed)), (vec!["b2", "b3"], vec!["b0", "b1"]));
    let others: Vec<_> = report.others.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(others, [("installation a (namespace a)", 4), ("installation c (namespace c)", 4), ("the sets without a name", 1)]);
    let left = set_names(repository);
    assert!((0..4).all(|day| left.contains(&format!("a{day}")) && left.contains(&format!("c{day}"))), "{left:?}");
    assert_eq!(left.len(), 4 + 2 + 4 + 1);
    // Of one that has none, and of none at all.
    let report = repository.forget(&daily(1), &forget_of("d", days(4))).unwrap();
    assert_eq!((report.kept.len(), report.removed.len()), (0, 0));
    let whose = Whose::default();
    assert_eq!(repository.forget(&daily(1), &ForgetOptions { whose, ..forget_of("a", days(4)) }).unwrap().removed, []);
}

#[test]
fn one_name_in_two_clusters_is_two_installations() {
    let scene = Scene::new();
    for day in 0..3 {
        for cluster in ["1", "2"] {
            let kept = scene.repository.keep(&context(), &keep_of(&format!("{cluster}-{day}")), Script::parts(parts(1, 2, 1000))).unwrap();
            let mut manifest = manifest(&format!("{cluster}-{day}"), &kept);
            manifest.finished_at = days(day);
            manifest.installation = Some(plan::InstallationId { name: "prod".into(), identity: Some(format!("namespace {cluster}")) });
            scene.repository.write_manifest(&manifest).unwrap();
        }
    }
    let mut options = forget_of("prod", days(4));
    assert_eq!(scene.repository.forget(&daily(1), &options).unwrap_err().class(), Class::Refused);
    options.whose.installation.as_mut().unwrap().identity = Some("namespace 2".into());
    let report = scene.repository.forget(&daily(1), &options).unwrap();
    assert_eq!(names(&report.removed), ["2-0", "2-1"]);
    assert_eq!(set_names(&scene.repository), ["1-0", "1-1", "1-2", "2-2"]);
}

#[test]
fn partial_sets_never_displace_whole_ones() {
    let scene = Scene::new();
    let repository = &scene.repository;
    let readme = Retention { daily: 14, weekly: 8, monthly: 12, ..Retention::default() };
    for day in 0..2 {
        take_of(repository, "a", &format!("full{day}"), days(day), &all_of(day as u64));
    }
    for day in 2..20 {
        take_of(repository, "a", &format!("partial{day:02}"), days(day), &[(DataSetName::SystemRedis, 9)]);
        let report = repository.forget(&readme, &forget_of("a", days(day))).unwrap();
        assert!(names(&report.kept).starts_with(&["full0", "full1"]), "{report:?}");
    }
    let report = repository.forget(&daily(1), &forget_of("a", days(20))).unwrap();
    assert_eq!(names(&report.kept), ["full1", "partial19"]);
    assert_eq!(why(&report, "full1"), ["daily 1", "newest whole set"]);
    assert_eq!(why(&report, "partial19"), ["daily 1"]);
    assert_eq!(why(&report, "full0"), ["daily 1: newer days fill it"]);
}

#[test]
fn the_newest_whole_set_stays_when_backups_have_stopped() {
    let scene = Scene::new();
    for day in 0..3 {
        take_of(&scene.repository, "a", &format!("full{day}"), days(day), &all_of(1));
    }
    take_of(&scene.repository, "a", "partial", days(4), &[(DataSetName::SystemRedis, 9)]);
    let report = scene.repository.forget(&within_a_week(), &forget_of("a", days(100))).unwrap();
    assert_eq!(set_names(&scene.repository), ["full2"]);
    assert_eq!(why(&report, "full2"), ["newest whole set"]);
}

#[test]
fn a_call_that_would_leave_an_installation_no_set_is_refused() {
    let scene = Scene::new();
    let kept = scene.repository.keep(&context(), &keep_of("only"), Script::parts(parts(1, 2, 1000))).unwrap();
    let mut safety = manifest("only", &kept);
    (safety.safety_for, safety.finished_at) = (Some(RunId("run".into())), days(0));
    safety.installation = Some(plan::InstallationId { name: "b".into(), identity: None });
    scene.repository.write_manifest(&safety).unwrap();
    let error = scene.repository.forget(&daily(7), &forget_of("b", days(100))).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert!(error_text(&error).contains("no set of installation b"), "{error:?}");
    assert!(set_names(&scene.repository).contains(&"only".to_owned()));
}

#[test]
fn a_set_from_the_future_is_told_and_displaces_nothing() {
    let scene = Scene::new();
    for day in 0..3 {
        take_of(&scene.repository, "a", &format!("day{day}"), days(day), &all_of(1));
    }
    take_of(&scene.repository, "a", "clock", days(2000), &all_of(1));
    let report = scene.repository.forget(&daily(2), &forget_of("a", days(3))).unwrap();
    assert_eq!((names(&report.kept), names(&report.removed)), (vec!["day1", "day2", "clock"], vec!["day0"]));
    assert!(why(&report, "clock")[0].starts_with("from the future"), "{report:?}");
    assert!(why(&report, "day2").contains(&"newest whole set".to_owned()));
}

fn safety_copy(scene: &Scene, set: &str, run: &str, day: i64, format: &str) {
    let kept = scene.repository.keep(&context(), &keep_of(set), Script::parts(parts(day as u64, 2, 1000))).unwrap();
    let mut manifest = manifest(set, &kept);
    (manifest.safety_for, manifest.finished_at, manifest.format) = (Some(RunId(run.into())), days(day), format.into());
    manifest.installation = Some(plan::InstallationId { name: "a".into(), identity: Some("namespace a".into()) });
    scene.repository.write_manifest(&manifest).unwrap();
}

#[test]
fn what_a_run_needs_stays_until_the_run_is_over() {
    let scene = Scene::new();
    let repository = &scene.repository;
    for day in 0..3 {
        take_of(repository, "a", &format!("full{day}"), days(day), &all_of(1));
    }
    safety_copy(&scene, "safety", "01krun", 1, "2.0");
    let run = RunId("01krun".into());
    let need = |sets: &[&str]| Need {
        installation: None,
        sets: sets.iter().map(|set| SetId((*set).into())).collect(),
        since: days(1),
        note: "a restore, not settled".into(),
    };
    needs::need(repository, &run, &need(&["full0"])).unwrap();
    needs::need(repository, &run, &need(&["safety"])).unwrap();
    // From any machine, whatever it knows of the run.
    let report = scene.again().forget(&daily(1), &forget_of("a", days(300))).unwrap();
    assert_eq!((names(&report.kept), names(&report.removed)), (vec!["full0", "safety", "full2"], vec!["full1"]));
    assert_eq!(why(&report, "safety"), ["needed by run 01krun since 2026-03-02T03:00:00Z: a restore, not settled"]);
    needs::no_longer_needed(repository, &run).unwrap();
    let report = scene.again().forget(&daily(1), &forget_of("a", days(300))).unwrap();
    assert_eq!(names(&report.removed), ["full0", "safety"]);
    assert!(why(&report, "safety")[0].contains("no run needs"), "{report:?}");
}

#[test]
fn safety_copies_of_version_0_1_0_stay_for_three_months() {
    let scene = Scene::new();
    take_of(&scene.repository, "a", "full", days(0), &all_of(1));
    safety_copy(&scene, "safety", "run", 1, "1.0");
    scene.repository.forget(&daily(1), &forget_of("a", days(80))).unwrap();
    assert_eq!(set_names(&scene.repository), ["full", "safety"]);
    scene.repository.forget(&daily(1), &forget_of("a", days(100))).unwrap();
    assert_eq!(set_names(&scene.repository), ["full"]);
}

#[test]
fn what_is_protected_stays_until_it_is_not() {
    let scene = Scene::new();
    for day in 0..3 {
        take_of(&scene.repository, "a", &format!("full{day}"), days(day), &all_of(1));
    }
    let set = SetId("full0".into());
    needs::protect(&scene.repository, &set, &Protection { since: days(1), note: "before the move".into() }).unwrap();
    assert_eq!(needs::protections(&scene.again()).unwrap()[&set].note, "before the move");
    let report = scene.again().forget(&daily(1), &forget_of("a", days(300))).unwrap();
    assert_eq!(why(&report, "full0"), ["protected: before the move"]);
    assert_eq!(names(&report.removed), ["full1"]);
    needs::unprotect(&scene.repository, &set).unwrap();
    assert_eq!(names(&scene.again().forget(&daily(1), &forget_of("a", days(300))).unwrap().removed), ["full0"]);
}

#[test]
fn only_what_was_shown_goes() {
    let scene = Scene::new();
    for day in 0..3 {
        take_of(&scene.repository, "a", &format!("full{day}"), days(day), &all_of(1));
    }
    let shown = Some([SetId("full0".into())].into());
    let report = scene.repository.forget(&daily(1), &ForgetOptions { shown, ..forget_of("a", days(3)) }).unwrap();
    assert_eq!(names(&report.removed), ["full0"]);
    assert_eq!(why(&report, "full1"), ["it was not among those that were shown"]);
}

#[test]
fn an_interrupted_backup_that_a_run_still_needs_is_no_orphan() {
    let scene = Scene::new();
    take_of(&scene.repository, "a", "full", days(0), &all_of(1));
    scene.again().keep(&context(), &keep_of("interrupted"), Script::parts(parts(2, 2, 1000))).unwrap();
    let far = Timestamp::now() + Span::new().hours(1000);
    let run = RunId("run".into());
    let need = Need { installation: None, sets: vec![SetId("interrupted".into())], since: far, note: "a backup, interrupted".into() };
    needs::need(&scene.repository, &run, &need).unwrap();
    assert_eq!(scene.repository.forget(&daily(1), &forget_of("a", far)).unwrap().orphan_snapshots, 0);
    needs::no_longer_needed(&scene.repository, &run).unwrap();
    assert_eq!(scene.repository.forget(&daily(1), &forget_of("a", far)).unwrap().orphan_snapshots, 1);
}

#[test]
fn a_snapshot_is_an_orphan_only_when_both_clocks_say_that_it_is_old() {
    let scene = Scene::new();
    take_of(&scene.repository, "a", "full", days(0), &all_of(1));
    let before = scene.files("snapshots");
    scene.again().keep(&context(), &keep_of("interrupted"), Script::parts(parts(2, 2, 1000))).unwrap();
    let file = scene.files("snapshots").into_iter().find(|file| !before.contains(file)).unwrap();
    let far = Timestamp::now() + Span::new().hours(30);
    // The storage has it since an hour ago: the writer's clock was behind by more than a day.
    let then = std::time::SystemTime::now() + std::time::Duration::from_secs(29 * 3600);
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(then).unwrap();
    assert_eq!(scene.repository.forget(&daily(1), &forget_of("a", far)).unwrap().orphan_snapshots, 0);
    std::fs::File::options().append(true).open(&file).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(scene.repository.forget(&daily(1), &forget_of("a", far)).unwrap().orphan_snapshots, 1);
}
