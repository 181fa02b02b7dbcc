//! Times that no set can hold, and one count everywhere.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::over_there::{pod, pod_backup};
use super::refusals::Small;
use super::*;

#[test]
fn times_outside_of_the_years_1_to_9999_are_clamped_and_told() {
    let (_guard, source, target) = folders();
    let _small = Small::mount(&source, "size=4m");
    shell(
        &source,
        "mkdir far; echo f > far/file; ln -s x link; mkfifo pipe; echo n > nano; echo b > before; touch -d '1969-12-31 23:59:59.5 UTC' before
         touch -d @1234567890.123456789 nano; touch -h -d @300000000000 link; touch -d @300000000000.7 far/file; touch -d @-99999999999.5 pipe; touch -d @400000000000 far",
    );
    for (memory, kept) in [backup(&source), pod_backup(&source)] {
        assert_eq!(kept.evidence.facts.get("odd-times").map(String::as_str), Some("4"), "{:?}", kept.evidence);
        assert!(kept.evidence.warnings.iter().any(|text| text.contains("far/file") && text.contains("years 1 to 9999")));
        let _small = Small::mount(&target, "size=4m");
        for store in [Box::new(store(&target)) as Box<dyn DataSet>, Box::new(pod(&target))] {
            let place = stage_into(&*store, &memory, &kept, Road::SideCopy);
            store.cut_over(&context(), &place).unwrap();
            let times = shell(&target, "stat -c '%n %.9Y' before far far/file link nano pipe");
            let wanted = "before -0.500000000\nfar 253402207200.000000000\nfar/file 253402207200.000000000\nlink 253402207200.000000000\nnano 1234567890.123456789\npipe -62135596800.000000000\n";
            assert_eq!(String::from_utf8_lossy(&times).replace("before -1.500000000", "before -0.500000000"), wanted);
            store.undo(&context(), &place).unwrap();
            store.discard(&context(), &place, Discard::Staged).unwrap();
        }
    }
}

#[test]
fn a_backup_and_a_look_count_the_same() {
    for script in ["echo a > a", "true", "mkdir -p d/e; echo a > d/a; ln d/a d/b; ln -s x l; mkfifo p; setfattr -n user.k -v v d/a"] {
        let (_guard, source, _) = folders();
        shell(&source, script);
        let counted: u64 = String::from_utf8(shell(&source, "find . -mindepth 1 | wc -l")).unwrap().trim().parse().unwrap();
        for store in [Box::new(store(&source)) as Box<dyn DataSet>, Box::new(pod(&source))] {
            let (_, kept) = keep(store.dump(&context()).unwrap()).unwrap();
            assert_eq!((store.look(&context()).unwrap().count, kept.evidence.count()), (Some(counted), counted), "{script}");
        }
    }
}

#[test]
fn times_that_the_target_does_not_keep_are_told_and_do_not_stop_a_restore() {
    let (_guard, source, target) = folders();
    let _small = Small::mount(&source, "size=4m");
    // ext4 keeps none after 2446.
    shell(
        &source,
        "mkdir d; echo f > d/f; echo g > g; ln -s x l; touch -d @99999999999 d/f; touch -h -d @99999999998 l; touch -d @-99999999 g",
    );
    if !shell(&target, "stat -f -c %T .").starts_with(b"ext") {
        // Other file systems keep them all: then nothing is to be told.
        return;
    }
    for (memory, kept) in [backup(&source), pod_backup(&source)] {
        for store in [Box::new(store(&target)) as Box<dyn DataSet>, Box::new(pod(&target))] {
            let place = stage_into(&*store, &memory, &kept, Road::SideCopy);
            let found = store.prove(&context(), &place, &kept).unwrap();
            let told: Vec<_> = found.warnings.iter().filter(|text| text.contains("the times of 2 entries")).collect();
            assert_eq!(told.len(), 1, "{:?}", found.warnings);
            assert!(found.warnings.iter().any(|text| text.contains("\"d/f\": its time of change")), "{:?}", found.warnings);
            store.cut_over(&context(), &place).unwrap();
            assert_eq!(shell(&target, "stat -c %Y d/f g"), b"15032385535\n-99999999\n");
            store.undo(&context(), &place).unwrap();
            store.discard(&context(), &place, Discard::Staged).unwrap();
        }
    }
}
