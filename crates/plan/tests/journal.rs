//! Every state of a run × every record: what may follow is accepted, everything else asks for a person.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use plan::ids::{DataSetName, RunId, SetId};
use plan::journal::{Line, Record, Run, RunState};
use plan::step::{Output, StepId};
use plan::{Class, Plan, Purpose, Wanted, plan_backup};
use support::findings;

fn plan(purpose: Purpose) -> Plan {
    let found = BTreeMap::from([(DataSetName::SystemRedis, findings())]);
    let mut plan =
        plan_backup(Wanted { freeze: false, can_stop_writers: true, ..Wanted::new(RunId("r".into()), SetId("s".into())) }, found);
    plan.purpose = purpose;
    plan
}

fn line(record: Record) -> Line {
    Line { at: Timestamp::UNIX_EPOCH, record }
}

fn opened(purpose: Purpose) -> Run {
    let record = Record::Opened { format: plan::journal::FORMAT.into(), program_version: "0".into(), plan: Box::new(plan(purpose)) };
    // As a file holds it.
    let text = serde_json::to_string(&line(record)).unwrap();
    Run::open(serde_json::from_str(&text).unwrap()).unwrap()
}

fn started(step: u32) -> Record {
    Record::Started { step: StepId(step) }
}

fn succeeded(step: u32) -> Record {
    Record::Succeeded { step: StepId(step), output: Output::Done }
}

fn failed(step: u32) -> Record {
    Record::Failed { step: StepId(step), class: Class::Failed, error: "e".into() }
}

fn undo(step: u32) -> Record {
    Record::UndoStarted { step: StepId(step) }
}

fn undone(step: u32) -> Record {
    Record::UndoSucceeded { step: StepId(step), reached: Vec::new() }
}

fn after(purpose: Purpose, records: &[Record]) -> Run {
    let mut run = opened(purpose);
    records.iter().for_each(|record| run.apply(line(record.clone())).unwrap());
    run
}

fn all_records() -> Vec<(&'static str, Record)> {
    vec![
        ("started 1", started(1)),
        ("started 2", started(2)),
        ("succeeded 1", succeeded(1)),
        ("succeeded 2", succeeded(2)),
        ("failed 1", failed(1)),
        ("finished", Record::Finished),
        ("undo-opened", Record::UndoOpened),
        ("undo-started 1", undo(1)),
        ("undo-succeeded 1", undone(1)),
        ("undo-failed 1", Record::UndoFailed { step: StepId(1), error: "e".into() }),
        ("undone", Record::Undone),
        ("settle-started", Record::SettleStarted),
        ("settled", Record::Settled),
    ]
}

#[test]
fn only_what_may_follow_is_accepted() {
    let finished = [started(1), succeeded(1), started(2), succeeded(2), Record::Finished];
    let and = |records: &[Record], more: &[Record]| [records, more].concat();
    let cases: Vec<(&str, Vec<Record>, &[&str])> = vec![
        ("opened", vec![], &["started 1", "undo-opened"]),
        ("started", vec![started(1)], &["started 1", "succeeded 1", "failed 1", "undo-opened"]),
        ("failed", vec![started(1), failed(1)], &["started 1", "undo-opened"]),
        ("one done", vec![started(1), succeeded(1)], &["started 2", "undo-opened"]),
        ("both done", finished[..4].to_vec(), &["finished", "undo-opened"]),
        ("finished", finished.to_vec(), &["undo-opened", "settle-started"]),
        ("undo opened", and(&finished, &[Record::UndoOpened]), &["undo-opened", "undo-started 1", "undone"]),
        (
            "undo started",
            and(&finished, &[Record::UndoOpened, undo(1)]),
            &["undo-opened", "undo-started 1", "undo-succeeded 1", "undo-failed 1", "undone"],
        ),
        ("undo of one done", and(&finished, &[Record::UndoOpened, undo(1), undone(1)]), &["undo-opened", "undone"]),
        ("undone", and(&finished, &[Record::UndoOpened, Record::Undone]), &[]),
        ("settling", and(&finished, &[Record::SettleStarted]), &["settle-started", "settled"]),
        ("settled", and(&finished, &[Record::SettleStarted, Record::Settled]), &[]),
    ];
    for (name, records, wanted) in cases {
        for (record_name, record) in all_records() {
            let result = after(Purpose::Restore, &records).apply(line(record));
            assert_eq!(result.is_ok(), wanted.contains(&record_name), "{record_name} after {name}: {result:?}");
            if let Err(error) = result {
                assert_eq!(error.class(), Class::NeedsPerson);
            }
        }
    }
}

#[test]
fn a_backup_may_be_taken_up_from_its_start_and_a_restore_may_not() {
    let done = [started(1), succeeded(1)];
    assert!(after(Purpose::Backup, &done).apply(line(started(1))).is_ok());
    assert!(after(Purpose::Restore, &done).apply(line(started(1))).is_err());
}

#[test]
fn any_prefix_of_a_legal_journal_says_what_is_left() {
    let records = [started(1), failed(1), started(1), succeeded(1), started(2), succeeded(2), Record::Finished];
    let left: Vec<_> = (0..=records.len()).map(|count| after(Purpose::Restore, &records[..count]).outstanding().len()).collect();
    assert_eq!(left, [2, 2, 2, 2, 1, 1, 0, 0]);
    assert_eq!(after(Purpose::Restore, &records).state, RunState::Finished);
}

#[test]
fn a_step_that_is_not_in_the_plan_and_a_newer_format_are_refused() {
    assert_eq!(opened(Purpose::Restore).apply(line(started(99))).unwrap_err().class(), Class::NeedsPerson);
    let record =
        |format: &str| Record::Opened { format: format.into(), program_version: "9".into(), plan: Box::new(plan(Purpose::Restore)) };
    assert!(Run::open(line(record("2.7"))).is_ok());
    assert_eq!(Run::open(line(record("4.0"))).unwrap_err().class(), Class::Refused);
    assert_eq!(Run::open(line(Record::Finished)).unwrap_err().class(), Class::NeedsPerson);
}
