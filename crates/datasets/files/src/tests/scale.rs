//! Many files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Instant;

use super::*;

#[test]
fn a_folder_of_twenty_thousand_entries_comes_back() {
    let (_guard, source, target) = folders();
    let folder = source.join("folder");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..20_000_u32 {
        write(folder.join(number.to_string()), number.to_le_bytes());
    }
    round(&source, &target, 20_000);
}

/// The normal case at a size that is measured by hand: `cargo test --release … -- --ignored --nocapture a_million`.
#[test]
#[ignore = "takes minutes; run by hand for figures"]
fn a_million_small_files_come_back() {
    let count: u32 = std::env::var("FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let (_guard, source, target) = folders();
    for number in 0..count {
        let folder = source.join(format!("2026/{:02}/{:04}", number % 12, number / 50));
        std::fs::create_dir_all(&folder).unwrap();
        write(folder.join(format!("invoice-{number}.pdf")), vec![number as u8; 2000]);
    }
    round(&source, &target, u64::from(count));
}

fn round(source: &Path, target: &Path, files: u64) {
    let begun = Instant::now();
    let mut lap = begun;
    let mut figures = Vec::new();
    let mut took = |what: &str| {
        figures.push(format!("{what} {:.2} s", lap.elapsed().as_secs_f64()));
        lap = Instant::now();
    };
    let (memory, kept) = backup(source);
    took("dump");
    assert_eq!(kept.evidence.collections.get("files").unwrap().count, files);
    let (store, context) = (store(target), context());
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    store.stage(&context, &place, memory, &kept).unwrap();
    took("stage");
    let found = store.prove(&context, &place, &kept).unwrap();
    took("prove");
    assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
    store.cut_over(&context, &place).unwrap();
    took("cut over");
    store.undo(&context, &place).unwrap();
    took("undo");
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    took("discard");
    println_figures(files, &figures);
}

#[expect(clippy::print_stdout, reason = "figures for a person")]
fn println_figures(files: u64, figures: &[String]) {
    println!("{files} files: {}", figures.join(", "));
}

/// Deeper than the paths of the kernel; a set may hold 4096 levels.
#[test]
fn a_tree_of_many_levels_comes_back_and_is_refused_where_tar_unpacks() {
    use plan::ports::Severity;
    let (_guard, source, target) = folders();
    let deep = |at: &Path, levels: u32| {
        shell(
            at,
            &format!(
                "perl -e 'for (1..{levels}) {{ mkdir \"dd\"; chdir \"dd\" or die; }} open(F, \">\", \"bottom\"); print F \"deep\"; close F'"
            ),
        );
    };
    deep(&source, 1500);
    deep(&target, 400);
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let (store, there) = (store(&target), super::over_there::pod(&target));
    let problems = there.fits(&context(), &kept, Road::SideCopy).unwrap();
    assert!(
        problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("a path in the set has 4506 bytes")),
        "{problems:?}"
    );
    store.cut_over(&context(), &place).unwrap();
    let bottom = "perl -e '$n = 0; $n++ while chdir \"dd\"; open(F, \"bottom\"); print $n, <F>'";
    assert_eq!(shell(&target, bottom), b"1500deep");
    store.undo(&context(), &place).unwrap();
    assert_eq!(shell(&target, bottom), b"400deep");
    store.discard(&context(), &place, Discard::Staged).unwrap();
    assert!(!target.join(".threescale-backup").exists());
    // And over what is there.
    let place = stage(&target, &memory, &kept, Road::InPlace);
    assert_eq!(shell(&target, bottom), b"1500deep");
    store.tidy(&context(), &place).unwrap();
}
