//! Files that change, vanish, grow or shrink while they are read: reported, never silently wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn dump_with(path: &Path, step: impl Fn(Moment, &Path) -> std::io::Result<()> + Send + Sync + 'static) -> (Arc<Memory>, KeptDataSet) {
    keep(hooked(path, step).dump(&context()).unwrap()).unwrap()
}

/// What was dumped can be staged and proven, whatever happened while it was read.
fn proves(target: &Path, memory: &Arc<Memory>, kept: &KeptDataSet) {
    stage(target, memory, kept, Road::SideCopy);
}

fn warned(kept: &KeptDataSet, kind: &str, path: &str) -> bool {
    kept.evidence.facts.contains_key(kind) && kept.evidence.warnings.iter().any(|text| text.contains(path))
}

#[test]
fn a_small_file_that_changes_once_is_read_again() {
    let (_guard, source, target) = folders();
    write(source.join("f"), "before");
    let (at, calls) = (source.join("f"), AtomicU32::new(0));
    let (memory, kept) = dump_with(&source, move |moment, _| {
        if moment == Moment::Opened && calls.fetch_add(1, Ordering::SeqCst) == 0 {
            write(&at, "after, longer");
        }
        Ok(())
    });
    assert_eq!(&**memory.stored.get(Path::new("f")).unwrap().content, b"after, longer");
    assert_eq!(kept.evidence.warnings, Vec::<String>::new());
    proves(&target, &memory, &kept);
}

#[test]
fn a_small_file_that_keeps_changing_is_reported() {
    let (_guard, source, target) = folders();
    write(source.join("f"), "");
    let at = source.join("f");
    let (memory, kept) = dump_with(&source, move |moment, _| {
        if moment == Moment::Opened {
            OpenOptions::new().append(true).open(&at)?.write_all(b"more")?;
        }
        Ok(())
    });
    assert!(warned(&kept, "changed-while-read", "\"f\""), "{:?}", kept.evidence);
    proves(&target, &memory, &kept);
}

#[test]
fn a_file_replaced_by_rename_is_read_whole() {
    let (_guard, source, target) = folders();
    write(source.join("f"), "old");
    let (at, new, calls) = (source.join("f"), source.join("../new"), AtomicU32::new(0));
    write(&new, "new and whole");
    let (memory, kept) = dump_with(&source, move |moment, _| {
        if moment == Moment::Opened && calls.fetch_add(1, Ordering::SeqCst) == 0 {
            std::fs::rename(&new, &at)?;
        }
        Ok(())
    });
    let content = memory.stored.get(Path::new("f")).unwrap().content.to_vec();
    assert!(content == b"old" || content == b"new and whole");
    proves(&target, &memory, &kept);
}

#[test]
fn a_vanished_file_is_reported_and_left_out() {
    let (_guard, source, target) = folders();
    write(source.join("a"), "a");
    std::fs::create_dir_all(source.join("gone/deeper")).unwrap();
    write(source.join("gone/deeper/x"), "x");
    write(source.join("z"), "z");
    let at = source.clone();
    let (memory, kept) = dump_with(&source, move |moment, path| {
        if moment == Moment::Listed && path == Path::new("") {
            std::fs::remove_file(at.join("z"))?;
            std::fs::remove_dir_all(at.join("gone"))?;
        }
        Ok(())
    });
    assert_eq!(memory.stored.keys().collect::<Vec<_>>(), [Path::new("a")]);
    assert_eq!(kept.evidence.facts.get("vanished").map(String::as_str), Some("2"));
    assert!(warned(&kept, "vanished", "\"z\"") && warned(&kept, "vanished", "\"gone\""));
    proves(&target, &memory, &kept);
}

#[test]
fn a_folder_replaced_while_below_it_is_reported() {
    let (_guard, source, _) = folders();
    shell(&source, "mkdir -p d/a; echo 1 > d/a/1; echo z > d/z");
    let at = source.clone();
    let (memory, kept) = dump_with(&source, move |moment, path| {
        if moment == Moment::Listed && path == Path::new("d/a") {
            shell(&at, "mv d ../moved; mkdir d; echo other > d/z");
        }
        Ok(())
    });
    assert!(warned(&kept, "vanished", "\"d/z\""), "{:?}", kept.evidence.warnings);
    assert!(!memory.stored.contains_key(Path::new("d/z")));
}

#[test]
fn a_large_file_that_shrinks_is_filled_and_reported() {
    let (_guard, source, target) = folders();
    write(source.join("large"), vec![7; 12 << 20]);
    let at = source.join("large");
    let (memory, kept) = dump_with(&source, move |moment, _| {
        if moment == Moment::Streamed {
            OpenOptions::new().write(true).open(&at)?.set_len(1)?;
        }
        Ok(())
    });
    let content = &memory.stored.get(Path::new("large")).unwrap().content;
    assert_eq!(content.len(), 12 << 20);
    assert_eq!((content.first(), content.last()), (Some(&7), Some(&0)));
    assert!(warned(&kept, "changed-while-read", "shorter"), "{:?}", kept.evidence.warnings);
    proves(&target, &memory, &kept);
}

#[test]
fn a_large_file_that_grows_or_is_rewritten_is_reported() {
    for (grow, word) in [(true, "longer"), (false, "parts of both")] {
        let (_guard, source, target) = folders();
        write(source.join("large"), vec![7; 12 << 20]);
        let (at, calls) = (source.join("large"), AtomicU32::new(0));
        let (memory, kept) = dump_with(&source, move |moment, _| {
            if moment == Moment::Streamed && calls.fetch_add(1, Ordering::SeqCst) == 0 {
                let mut file = OpenOptions::new().append(grow).write(true).open(&at)?;
                file.write_all(b"x")?;
            }
            Ok(())
        });
        assert_eq!(memory.stored.get(Path::new("large")).unwrap().content.len(), 12 << 20);
        assert!(warned(&kept, "changed-while-read", word), "{:?}", kept.evidence.warnings);
        proves(&target, &memory, &kept);
    }
}

#[test]
fn a_small_file_that_becomes_large_is_streamed() {
    let (_guard, source, target) = folders();
    write(source.join("f"), "small");
    let (at, calls) = (source.join("f"), AtomicU32::new(0));
    let (memory, kept) = dump_with(&source, move |moment, _| {
        if moment == Moment::Opened && calls.fetch_add(1, Ordering::SeqCst) == 0 {
            write(&at, vec![1; 9 << 20]);
        }
        Ok(())
    });
    assert_eq!(memory.stored.get(Path::new("f")).unwrap().content.len(), 9 << 20);
    assert_eq!(kept.evidence.warnings, Vec::<String>::new());
    proves(&target, &memory, &kept);
}

#[test]
fn a_hard_link_whose_file_changes_between_its_names_proves() {
    let (_guard, source, target) = folders();
    shell(&source, "echo first > a; ln a b; mkdir m; echo x > m/x; ln a z");
    let at = source.clone();
    let (memory, kept) = dump_with(&source, move |moment, path| {
        if moment == Moment::Opened && path == Path::new("m/x") {
            write(at.join("z"), "another content");
        }
        Ok(())
    });
    proves(&target, &memory, &kept);
}

#[test]
fn a_tree_under_a_busy_writer_is_dumped_and_proven() {
    let (_guard, source, target) = folders();
    shell(&source, "for i in {1..300}; do mkdir -p d$((i % 10)); echo $i > d$((i % 10))/f$i; done; head -c 9000000 /dev/zero > big");
    let (at, done) = (source.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let flag = Arc::clone(&done);
    let writer = std::thread::spawn(move || {
        for round in 0_u32.. {
            if flag.load(Ordering::SeqCst) {
                return;
            }
            let file = at.join(format!("d{}/f{}", round % 10, round % 300));
            drop(std::fs::write(&file, vec![b'x'; (round % 5000) as usize]));
            drop(std::fs::remove_file(at.join(format!("d{}/f{}", round % 10, (round * 7) % 300))));
            drop(OpenOptions::new().append(true).open(at.join("big")).map(|mut big| big.write_all(b"grow")));
        }
    });
    for _ in 0..5 {
        let (memory, kept) = backup(&source);
        proves(&target, &memory, &kept);
    }
    done.store(true, Ordering::SeqCst);
    writer.join().unwrap();
}

#[test]
fn a_dropped_or_interrupted_dump_ends_its_threads() {
    let (_guard, source, _) = folders();
    shell(&source, "for i in {1..2000}; do echo $i > f$i; done; for i in {1..12}; do head -c 8000000 /dev/zero > big$i; done");
    let mut dump = store(&source).dump(&context()).unwrap();
    dump.next_part().unwrap();
    drop(dump);
    let context = context();
    let mut dump = store(&source).dump(&context).unwrap();
    dump.next_part().unwrap();
    context.stop.raise();
    assert_eq!(dump.next_part().unwrap_err().class(), plan::Class::Interrupted);
    assert!(dump.finish().is_err());
}

#[test]
fn a_stream_that_was_not_read_fails_the_dump() {
    let (_guard, source, _) = folders();
    write(source.join("large"), vec![7; 12 << 20]);
    let mut dump = store(&source).dump(&context()).unwrap();
    while dump.next_part().unwrap().is_some() {}
    assert!(dump.finish().unwrap_err().to_string().contains("1 large files"));
}

#[test]
fn warnings_are_bounded_and_counted() {
    let (_guard, source, _) = folders();
    shell(&source, "for i in {1..250}; do echo $i > f$i; done");
    let at = source.clone();
    let (_, kept) = dump_with(&source, move |moment, _| {
        if moment == Moment::Listed {
            shell(&at, "rm f*");
        }
        Ok(())
    });
    assert_eq!(kept.evidence.facts.get("vanished").map(String::as_str), Some("250"));
    assert!(kept.evidence.warnings.len() <= 102 && kept.evidence.warnings.iter().any(|text| text.contains("150 more")));
}

#[test]
fn files_that_come_and_go_while_it_is_looked_are_missed_by_nobody() {
    let (_guard, source, _) = folders();
    write(source.join("stays"), "");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (at, ended) = (source.clone(), Arc::clone(&stop));
    let restless = std::thread::spawn(move || {
        while !ended.load(Ordering::SeqCst) {
            for number in 0..300 {
                write(at.join(format!("{number}")), "");
            }
            for number in 0..300 {
                std::fs::remove_file(at.join(format!("{number}"))).unwrap();
            }
        }
    });
    let looks: Vec<_> = (0..3000).map(|_| store(&source).look(&context()).unwrap()).collect();
    stop.store(true, Ordering::SeqCst);
    restless.join().unwrap();
    let missed: Vec<_> = looks.iter().flat_map(|findings| &findings.backup_problems).map(|problem| problem.text.clone()).collect();
    assert_eq!(missed, Vec::<String>::new());
}
