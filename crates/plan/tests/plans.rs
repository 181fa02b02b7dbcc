//! What plans promise: the order of a restore, safety copies before what they save, refusals before anything is touched.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::evidence::Evidence;
use plan::ids::{DataSetName, RunId, SetId, SnapshotId};
use plan::manifest::KeptDataSet;
use plan::ports::{Problem, Road, Severity, SyncTask};
use plan::step::{Action, StepId};
use plan::{
    Around, Class, LargeValues, ObjectsPolicy, Plan, Policies, Queues, Target, Wanted, WritersAre, plan_backup, plan_rehearsal,
    plan_restore,
};
use support::findings;

fn target(road: Road) -> Target {
    let at = Timestamp::UNIX_EPOCH;
    let kept = KeptDataSet {
        snapshot: SnapshotId("s".into()),
        kind: plan::ports::StoreKind::Other("fake".into()),
        store: "Store 1".into(),
        identity: None,
        started_at: at,
        consistent_at: at,
        finished_at: at,
        parts: 1,
        bytes: 1,
        stored_bytes: 1,
        evidence: Evidence::default(),
        problems: Vec::new(),
    };
    Target { findings: findings(), kept, road, fits: Vec::new(), rest: None }
}

fn restore(in_place: &[DataSetName], writers: WritersAre) -> Plan {
    let road = |name| if in_place.contains(&name) { Road::InPlace } else { Road::SideCopy };
    let targets = DataSetName::ALL.into_iter().map(|name| (name, target(road(name)))).collect();
    plan_restore(RunId("r".into()), SetId("s".into()), targets, &Around::just(writers))
}

/// The position of the first step that fits.
fn at(plan: &Plan, is_wanted: impl Fn(&Action) -> bool) -> usize {
    plan.steps.iter().position(|step| is_wanted(&step.action)).unwrap()
}

/// Whether a step can only run after another.
fn waits_for(plan: &Plan, step: StepId, other: StepId) -> bool {
    let needs = &plan.step(step).unwrap().needs;
    needs.iter().any(|need| *need == other || waits_for(plan, *need, other))
}

#[test]
fn nothing_is_cut_over_before_everything_is_proven_and_writers_stop() {
    let plan = restore(&[], WritersAre::Ours);
    plan.check().unwrap();
    let stop = plan.steps[at(&plan, |action| matches!(action, Action::StopWriters { .. }))].id;
    for step in &plan.steps {
        match &step.action {
            Action::Prove { .. } => assert!(waits_for(&plan, stop, step.id), "{step:?}"),
            Action::CutOver { .. } => assert!(waits_for(&plan, step.id, stop), "{step:?}"),
            _ => {}
        }
    }
    let note = at(&plan, |action| matches!(action, Action::NoteWriters { .. }));
    assert!(waits_for(&plan, stop, plan.steps[note].id), "stopped before they were noted");
    let names: Vec<_> = plan.steps.iter().rev().take(2).map(|step| step.action.to_string()).collect();
    assert_eq!(names, ["release the operator", "start the writers"]);
}

#[test]
fn what_takes_long_is_loaded_when_the_writers_are_stopped_and_all_of_it_before_the_first_cut_over() {
    let with_rest = |name: DataSetName, road| {
        let is_redis = matches!(name, DataSetName::BackendRedis | DataSetName::SystemRedis);
        (name, Target { rest: is_redis.then(|| "a long value".into()), ..target(road) })
    };
    let policies = Policies { large_values: LargeValues::DuringStop, ..Policies::default() };
    let plan_of = |names: &[DataSetName], road, writers| {
        let targets = names.iter().map(|name| with_rest(*name, road)).collect();
        let around = Around { policies: policies.clone(), ..Around::just(writers) };
        plan_restore(RunId("r".into()), SetId("s".into()), targets, &around)
    };
    let plan = plan_of(&DataSetName::ALL, Road::SideCopy, WritersAre::Ours);
    plan.check().unwrap();
    let stop = plan.steps[at(&plan, |action| matches!(action, Action::StopWriters { .. }))].id;
    let loads: Vec<_> = plan.steps.iter().filter(|step| matches!(step.action, Action::LoadRest { .. })).collect();
    assert_eq!(
        loads.iter().map(|step| step.action.to_string()).collect::<Vec<_>>(),
        ["load the rest of backend-redis", "load the rest of system-redis"]
    );
    for load in loads {
        assert!(waits_for(&plan, load.id, stop));
        for step in plan.steps.iter().filter(|step| matches!(step.action, Action::CutOver { .. })) {
            assert!(waits_for(&plan, step.id, load.id), "{step:?}");
        }
    }
    assert_eq!(plan.problems, []);
    let running = plan_of(&DataSetName::ALL, Road::SideCopy, WritersAre::Running);
    assert!(running.problems.iter().any(|problem| problem.text.contains("stands still for them, too")), "{:?}", running.problems);
    let others = plan_of(&[DataSetName::SystemDatabase], Road::SideCopy, WritersAre::Ours);
    assert!(others.problems.iter().any(|problem| problem.text.contains("no data set of Redis")), "{:?}", others.problems);
    let in_place = plan_of(&DataSetName::ALL, Road::InPlace, WritersAre::Ours);
    assert!(!in_place.steps.iter().any(|step| matches!(step.action, Action::LoadRest { .. })));
}

#[test]
fn cut_overs_follow_the_sources_of_truth_one_after_the_other() {
    let plan = restore(&[DataSetName::ZyncDatabase], WritersAre::Stopped);
    plan.check().unwrap();
    let swaps: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::CutOver { .. } | Action::Reserve { road: Road::InPlace, .. }))
        .map(|step| (step.id, step.action.data_set().unwrap()))
        .collect();
    assert_eq!(swaps.iter().map(|(_, name)| *name).collect::<Vec<_>>(), DataSetName::ALL);
    for pair in swaps.windows(2) {
        assert!(waits_for(&plan, pair[1].0, pair[0].0), "{pair:?}");
    }
}

#[test]
fn what_is_replaced_in_place_has_a_safety_copy_taken_with_the_writers_stopped() {
    let plan = restore(&DataSetName::ALL, WritersAre::ByHand);
    plan.check().unwrap();
    let copy = plan.steps[at(&plan, |action| matches!(action, Action::SafetyCopy { .. }))].id;
    let stop = plan.steps[at(&plan, |action| matches!(action, Action::StopWriters { .. }))].id;
    assert!(waits_for(&plan, copy, stop));
    for step in plan.steps.iter().filter(|step| matches!(step.action, Action::Stage { .. })) {
        assert!(waits_for(&plan, step.id, copy), "{step:?}");
    }
    let Action::SafetyCopy { data_sets } = &plan.step(copy).unwrap().action else { panic!("no safety copy") };
    assert_eq!(data_sets, &DataSetName::ALL);
}

#[test]
fn of_what_is_gone_there_is_nothing_to_copy_first() {
    let mut gone = target(Road::InPlace);
    gone.findings.is_gone = true;
    let targets = [(DataSetName::SystemDatabase, gone), (DataSetName::SystemRedis, target(Road::InPlace))];
    for (targets, copied) in [(&targets[..], vec![DataSetName::SystemRedis]), (&targets[..1], Vec::new())] {
        let targets = targets.iter().cloned().collect();
        let plan = plan_restore(RunId("r".into()), SetId("s".into()), targets, &Around::just(WritersAre::Stopped));
        plan.check().unwrap();
        let copies = plan.steps.iter().filter_map(|step| match &step.action {
            Action::SafetyCopy { data_sets } => Some(data_sets.clone()),
            _ => None,
        });
        assert_eq!(copies.flatten().collect::<Vec<_>>(), copied);
    }
}

#[test]
fn a_rehearsal_stages_proves_and_cuts_over_and_does_nothing_else() {
    let targets = DataSetName::ALL.into_iter().map(|name| (name, target(Road::SideCopy))).collect();
    let plan = plan_rehearsal(RunId("r".into()), SetId("s".into()), targets);
    plan.check().unwrap();
    assert_eq!(plan.steps.len(), 24);
    let proofs: Vec<_> = plan.steps.iter().filter(|step| matches!(step.action, Action::Prove { .. })).map(|step| step.id).collect();
    for step in &plan.steps {
        match step.action {
            Action::CutOver { .. } => {
                assert!(proofs.iter().all(|proof| step.needs.contains(proof)), "nothing is swapped that was not proven")
            }
            Action::Reserve { .. } | Action::Stage { .. } | Action::Prove { .. } => {}
            ref other => panic!("{other}"),
        }
    }
}

#[test]
fn what_blocks_is_refused_with_every_reason_and_way_out() {
    let mut plan = restore(&[], WritersAre::Ours);
    let problem = |text: &str| Problem::new(Severity::Blocks, text).way_out("Go there.");
    plan.data_sets.get_mut(&DataSetName::BackendRedis).unwrap().problems = vec![problem("the dump is newer")];
    plan.problems.push(problem("no space"));
    let error = plan.check().unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert_eq!(error.hints(), ["no space. Go there.", "backend-redis: the dump is newer. Go there."]);
}

#[test]
fn degrading_problems_do_not_refuse() {
    restore(&[], WritersAre::Running).check().unwrap();
}

#[test]
fn a_plan_whose_steps_contradict_each_other_is_not_run() {
    let mut plan = restore(&[], WritersAre::Ours);
    let cut = at(&plan, |action| matches!(action, Action::CutOver { .. }));
    plan.steps.swap(0, cut);
    assert!(plan.check().is_err());
    let mut plan = restore(&[], WritersAre::Ours);
    let first = plan.steps[0].clone();
    plan.steps.push(first);
    assert!(plan.check().is_err(), "a number twice");
}

#[test]
fn the_redis_servers_are_dumped_right_after_the_system_database_and_files_last() {
    let found = DataSetName::ALL.into_iter().map(|name| (name, findings())).collect();
    let plan = plan_backup(Wanted { freeze: false, can_stop_writers: false, ..Wanted::new(RunId("r".into()), SetId("s".into())) }, found);
    let order: Vec<_> = plan.steps.iter().filter_map(|step| step.action.data_set()).map(|name| name.as_str()).collect();
    assert_eq!(order, ["system-database", "backend-redis", "system-redis", "kubernetes-objects", "zync-database", "system-storage"]);
}

#[test]
fn a_backup_of_nothing_or_frozen_without_commands_is_refused() {
    let ids = || (RunId("r".into()), SetId("s".into()));
    let (run, set) = ids();
    assert!(
        plan_backup(Wanted { freeze: false, can_stop_writers: true, ..Wanted::new(run, set) }, BTreeMap::new())
            .check()
            .unwrap_err()
            .hints()[0]
            .contains("no data set is configured")
    );
    let found = || BTreeMap::from([(DataSetName::SystemRedis, findings())]);
    let (run, set) = ids();
    assert!(plan_backup(Wanted { freeze: true, can_stop_writers: false, ..Wanted::new(run, set) }, found()).check().is_err());
    let (run, set) = ids();
    let plan = plan_backup(Wanted { freeze: true, can_stop_writers: true, ..Wanted::new(run, set) }, found());
    plan.check().unwrap();
    let kinds: Vec<_> = plan.steps.iter().map(|step| step.action.to_string()).collect();
    assert_eq!(
        kinds,
        ["note the writers", "stop the writers", "dump system-redis", "start the writers", "release the operator", "write the manifest"]
    );
}

#[test]
fn the_configuration_is_rewritten_where_nobody_reads_it_yet() {
    let of = |in_place: &[DataSetName], names: &[DataSetName]| {
        let road = |name| if in_place.contains(name) { Road::InPlace } else { Road::SideCopy };
        let targets = names.iter().map(|name| (*name, target(road(name)))).collect();
        let care = plan::Care { rewrites_configuration: true, ..plan::Care::default() };
        let around = Around { offers: SyncTask::ALL.to_vec(), care, ..Around::just(WritersAre::Ours) };
        plan_restore(RunId("r".into()), SetId("s".into()), targets, &around)
    };
    let is_rake = |action: &Action| *action == Action::Synchronise { task: SyncTask::BackendConfiguration };
    let is_rewrite = |action: &Action| matches!(action, Action::RewriteConfiguration { .. });
    let has = |plan: &Plan, is_wanted: &dyn Fn(&Action) -> bool| plan.steps.iter().any(|step| is_wanted(&step.action));
    for in_place in [&[][..], &[DataSetName::BackendRedis], &[DataSetName::SystemDatabase], &DataSetName::ALL] {
        let plan = of(in_place, &DataSetName::ALL);
        plan.check().unwrap();
        let rewrite = at(&plan, is_rewrite);
        assert!(!has(&plan, &is_rake), "{in_place:?}: 3scale's own task is run all the same");
        let is_redis = |action: &Action| action.data_set() == Some(DataSetName::BackendRedis);
        let proof = at(&plan, |action| matches!(action, Action::Prove { .. }) && is_redis(action));
        assert!(waits_for(&plan, plan.steps[rewrite].id, plan.steps[proof].id), "{in_place:?}: the proof compares with the set");
        let start = at(&plan, |action| matches!(action, Action::StartWriters { .. }));
        assert!(waits_for(&plan, plan.steps[start].id, plan.steps[rewrite].id), "{in_place:?}");
        let stop = at(&plan, |action| matches!(action, Action::StopWriters { .. }));
        let is_beside = !in_place.contains(&DataSetName::BackendRedis);
        assert_eq!(
            waits_for(&plan, plan.steps[stop].id, plan.steps[rewrite].id),
            is_beside,
            "{in_place:?}: the installation serves meanwhile"
        );
    }
    for alone in [DataSetName::SystemDatabase, DataSetName::BackendRedis] {
        let plan = of(&[], &[alone]);
        assert!(has(&plan, &is_rake) && !has(&plan, &is_rewrite), "{alone}");
    }
    let rehearsal =
        plan_rehearsal(RunId("r".into()), SetId("s".into()), DataSetName::ALL.map(|name| (name, target(Road::SideCopy))).into());
    assert!(!has(&rehearsal, &is_rewrite));
}

#[test]
fn copies_are_made_anew_when_those_are_up_that_they_need() {
    let targets = |names: &[DataSetName]| names.iter().map(|name| (*name, target(Road::SideCopy))).collect();
    let policies = Policies { queues: Queues::Keep, ..Policies::default() };
    let around = Around {
        writers: WritersAre::Ours,
        offers: SyncTask::ALL.to_vec(),
        policies: policies.clone(),
        readers: Vec::new(),
        care: plan::Care::default(),
        look_first: None,
    };
    let plan_of = |names: &[DataSetName]| plan_restore(RunId("r".into()), SetId("s".into()), targets(names), &around);
    let after_cut = |plan: &Plan| -> Vec<String> {
        let last = plan.steps.iter().rposition(|step| matches!(step.action, Action::CutOver { .. })).unwrap();
        plan.steps[last + 1..].iter().map(|step| step.action.to_string()).collect()
    };
    let plan = plan_of(&DataSetName::ALL);
    plan.check().unwrap();
    assert_eq!(plan.policies, policies);
    assert_eq!(
        after_cut(&plan),
        [
            "start backend-listener",
            "synchronise the Backend configuration from System",
            "start system-app, system-sidekiq, backend-worker, backend-cron",
            "start zync, zync-que",
            "release the operator",
            "synchronise the search index from System",
            "synchronise zync from System",
        ]
    );
    assert_eq!(after_cut(&plan_of(&[DataSetName::SystemRedis])), ["start the writers", "release the operator"]);
    let objects = plan_of(&[DataSetName::KubernetesObjects]);
    assert!(!objects.steps.iter().any(|step| matches!(step.action, Action::StopWriters { .. })), "nobody writes to objects");
    let stopped = Around { writers: WritersAre::Stopped, ..around.clone() };
    let plan = plan_restore(RunId("r".into()), SetId("s".into()), targets(&DataSetName::ALL), &stopped);
    assert!(plan.problems.iter().any(|problem| problem.text.contains("not made anew")), "{:?}", plan.problems);
}

#[test]
fn what_the_backup_said_is_told_and_whether_it_is_refused_is_this_servers_to_say() {
    let mut spoken = target(Road::SideCopy);
    spoken.kept.problems =
        vec![Problem::new(Severity::Blocks, "table t would be refused").way_out("Drop it."), Problem::new(Severity::Note, "histograms")];
    let plan = plan_restore(
        RunId("r".into()),
        SetId("s".into()),
        BTreeMap::from([(DataSetName::SystemDatabase, spoken)]),
        &Around::just(WritersAre::Stopped),
    );
    plan.check().unwrap();
    let told: Vec<_> =
        plan.all_problems().map(|(_, problem)| (problem.severity, problem.text.as_str(), problem.way_out.as_deref())).collect();
    assert_eq!(
        told,
        [
            (Severity::Degrades, "the backup said: table t would be refused", Some("Drop it.")),
            (Severity::Note, "the backup said: histograms", None)
        ]
    );
}

#[test]
fn who_reads_what_is_overwritten_starts_again_when_all_serve() {
    let policies = Policies { objects: ObjectsPolicy::Overwrite, ..Policies::default() };
    let readers = vec!["apicast-staging".to_owned(), "apicast-production".to_owned()];
    let around = Around {
        writers: WritersAre::Ours,
        offers: SyncTask::ALL.to_vec(),
        policies,
        readers: readers.clone(),
        care: plan::Care::default(),
        look_first: None,
    };
    let restart = |plan: &Plan| plan.steps.iter().position(|step| step.action == Action::RestartReaders { readers: readers.clone() });
    let of = |names: &[DataSetName]| {
        let targets = names.iter().map(|name| (*name, target(Road::SideCopy))).collect();
        plan_restore(RunId("r".into()), SetId("s".into()), targets, &around)
    };
    let plan = of(&[DataSetName::KubernetesObjects, DataSetName::SystemDatabase]);
    plan.check().unwrap();
    let released = plan.steps.iter().position(|step| matches!(step.action, Action::ReleaseWriters { .. }));
    assert_eq!(restart(&plan), released.map(|at| at + 1));
    let alone = of(&[DataSetName::KubernetesObjects]);
    alone.check().unwrap();
    assert_eq!(restart(&alone), Some(alone.steps.len() - 1), "also where no writer stops");
}

#[test]
fn a_command_looks_when_all_is_proven_and_before_anything_live_is_touched() {
    let look = || Around {
        look_first: Some("true".to_owned()),
        care: plan::Care { rewrites_configuration: true, ..plan::Care::default() },
        ..Around::just(WritersAre::Ours)
    };
    let plan_of = |targets| plan_restore(RunId("r".into()), SetId("s".into()), targets, &look());
    let mut targets: BTreeMap<_, _> = DataSetName::ALL.into_iter().map(|name| (name, target(Road::SideCopy))).collect();
    targets.get_mut(&DataSetName::SystemStorage).unwrap().road = Road::InPlace;
    let plan = plan_of(targets.clone());
    plan.check().unwrap();
    let at = plan.steps.iter().position(|step| matches!(step.action, Action::LookFirst { .. })).unwrap();
    let step = &plan.steps[at];
    let ready: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| match &step.action {
            Action::Prove { reserved, .. } => matches!(plan.step(*reserved).unwrap().action, Action::Reserve { road: Road::SideCopy, .. }),
            Action::RewriteConfiguration { .. } => true,
            _ => false,
        })
        .map(|step| step.id)
        .collect();
    assert!(ready.len() > 3 && ready.iter().all(|id| step.needs.contains(id)), "{ready:?} {step:?}");
    let Action::LookFirst { staged, .. } = &step.action else { unreachable!() };
    assert!(staged.iter().all(|(name, _)| *name != DataSetName::SystemStorage), "it is not there yet");
    let is_before = |step: &plan::step::Step| {
        matches!(step.action, Action::Reserve { .. } | Action::Stage { .. } | Action::Prove { .. } | Action::RewriteConfiguration { .. })
    };
    assert!(plan.steps[..at].iter().all(is_before), "{:?}", plan.steps);
    let reaches = |from: &plan::step::Step| {
        let (mut wanted, mut seen) = (from.needs.clone(), Vec::new());
        while let Some(id) = wanted.pop() {
            seen.push(id);
            wanted.extend(plan.step(id).unwrap().needs.clone());
        }
        seen.contains(&step.id)
    };
    assert!(plan.steps[at + 1..].iter().all(reaches), "nothing goes on without it: {:?}", plan.steps);
    assert!(plan.problems.iter().any(|problem| problem.text.contains("--then does not see system-storage")), "{:?}", plan.problems);
    targets.values_mut().for_each(|target| target.road = Road::InPlace);
    assert!(plan_of(targets).check().is_err(), "there is nothing to look at");
}
