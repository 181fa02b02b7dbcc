//! A broken stream, a program that failed and files that change never look like a whole set.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::OpenOptions;
use std::io::Write;

use super::in_place::Broken;
use super::over_there::*;
use super::*;

fn broken(path: &Path, fault: Fault) -> crate::RemoteFilesStore {
    pod_of(path, LocalRemote { fault, ..LocalRemote::default() })
}

/// The last script of a dump packs.
const PACK: &str = "--create --file=- --format=posix --pax-option=delete=atime,delete=ctime --sort=name";

#[test]
fn a_reset_at_any_point_of_the_stream_leaves_no_verdict() {
    let (_guard, source, _) = folders();
    shell(&source, "mkdir d; echo x > d/x; head -c 9000000 /dev/urandom > large; echo z > z");
    for bytes in [700, 1_500, 2_048, 4_000, 100_000, 8_999_999, 9_003_000, 9_007_000] {
        let error = broken(&source, Fault::Reset(bytes)).dump(&context()).and_then(keep).err().unwrap();
        assert!(error.chain().contains("the connection broke"), "{bytes}: {error:?}");
    }
}

#[test]
fn a_program_that_fails_or_whose_end_is_not_known_leaves_no_verdict() {
    let (_guard, source, _) = folders();
    shell(&source, "echo x > x");
    let error = broken(&source, Fault::Status(PACK, 2)).dump(&context()).and_then(keep).err().unwrap();
    assert!(error.to_string().contains("exit status 2"), "{error:?}");
    let error = broken(&source, Fault::Vanishes(PACK)).dump(&context()).and_then(keep).err().unwrap();
    assert_eq!(error.class(), plan::Class::Transient);
    // Exit status 1 means that something changed: said, whatever tar said itself.
    let (_, kept) = broken(&source, Fault::Status(PACK, 1)).dump(&context()).and_then(keep).unwrap();
    assert_eq!(kept.evidence.facts.get("said").map(String::as_str), Some("1"));
}

#[test]
fn a_tar_that_lies_is_an_error() {
    let (guard, source, _) = folders();
    shell(&source, "mkdir d; echo x > d/x; echo y > y");
    let shims = guard.path().join("shims");
    std::fs::create_dir(&shims).unwrap();
    let lies = [
        // Cut off without a word; no end; a flipped bit in a header; content of another order; junk behind the end.
        "head -c 3000",
        "head -c 5120",
        "sed 's/ustar/uztar/;s/0000644/0000755/'",
        "tail -c +513",
        "cat; echo junk",
    ];
    for lie in lies {
        let script = format!(
            "#!/bin/sh\ncase $* in *--create*) /usr/bin/env -i PATH=/usr/bin:/bin tar \"$@\" | {{ {lie}; }} ;; *) exec /bin/tar \"$@\" ;; esac\n"
        );
        write(shims.join("tar"), script);
        shell(&shims, "chmod +x tar");
        let store = pod_of(&source, LocalRemote { shims: Some(shims.clone()), ..LocalRemote::default() });
        let error = store.dump(&context()).and_then(keep).err();
        assert!(error.is_some(), "{lie}");
    }
}

#[test]
fn a_large_file_that_is_not_read_ends_the_dump() {
    let (_guard, source, _) = folders();
    shell(&source, "head -c 9000000 /dev/zero > large; echo z > z");
    let mut dump = pod(&source).dump(&context()).unwrap();
    drop(dump.next_part().unwrap().unwrap());
    assert!(dump.next_part().unwrap_err().to_string().contains("not read to its end"));
    assert!(dump.finish().is_err());
}

#[test]
fn the_next_part_waits_for_a_reader_in_another_thread() {
    let (_guard, source, _) = folders();
    shell(&source, "head -c 30000000 /dev/zero > large; echo z > z");
    let mut dump = pod(&source).dump(&context()).unwrap();
    let Content::Stream { mut reader, size_bytes } = dump.next_part().unwrap().unwrap().content else { panic!("not a stream") };
    let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
    assert_eq!(dump.next_part().unwrap().unwrap().path, Path::new("z"));
    assert_eq!(reading.join().unwrap(), size_bytes);
    assert!(dump.next_part().unwrap().is_none());
    dump.finish().unwrap();
}

#[test]
fn large_files_may_be_read_after_the_parts_that_follow_them() {
    // As the repository's archiver does it: it asks for the next part before it opens the one before.
    let (_guard, source, _) = folders();
    shell(&source, "head -c 30000000 /dev/urandom > a; head -c 20000000 /dev/urandom > b; echo z > z");
    let mut dump = pod(&source).dump(&context()).unwrap();
    let parts: Vec<_> = std::iter::from_fn(|| dump.next_part().unwrap()).collect();
    let names: Vec<_> = parts.iter().map(|part| part.path.display().to_string()).collect();
    assert_eq!(names, ["a", "b", "z"]);
    for part in parts {
        if let Content::Stream { mut reader, size_bytes } = part.content {
            let mut found = Vec::new();
            reader.read_to_end(&mut found).unwrap();
            assert_eq!(found.len() as u64, size_bytes);
            assert!(found == std::fs::read(source.join(&part.path)).unwrap(), "{}", part.path.display());
        }
    }
    dump.finish().unwrap();
}

#[test]
fn an_interrupted_dump_ends_at_once_and_leaves_no_process() {
    let (_guard, source, _) = folders();
    shell(&source, "head -c 30000000 /dev/zero > large");
    let context = context();
    let mut dump = pod(&source).dump(&context).unwrap();
    let part = dump.next_part().unwrap().unwrap();
    context.stop.raise();
    assert_eq!(dump.next_part().unwrap_err().class(), plan::Class::Interrupted);
    drop(dump);
    drop(part);
}

#[test]
fn files_that_change_shrink_or_vanish_are_reported() {
    let (_guard, source, target) = folders();
    // tar is far ahead of the reader of a small stream: the pipe holds 64 KiB, so it stops inside the first large file.
    shell(&source, "head -c 20000000 /dev/zero > a-large; mkdir d; echo x > d/gone; echo y > y; head -c 20000000 /dev/zero > z-large");
    let mut dump = pod(&source).dump(&context()).unwrap();
    let first = dump.next_part().unwrap().unwrap();
    OpenOptions::new().append(true).open(source.join("a-large")).unwrap().write_all(b"more").unwrap();
    shell(&source, "rm -r d; rm y");
    let (memory, kept) = keep(Box::new(Prefixed { first: Some(first), dump })).unwrap();
    assert_eq!(memory.stored.keys().collect::<Vec<_>>(), [Path::new("a-large"), Path::new("z-large")]);
    let facts = &kept.evidence.facts;
    assert_eq!((facts.get("changed-while-read").map(String::as_str), facts.get("vanished").map(String::as_str)), (Some("1"), Some("2")));
    assert!(kept.evidence.warnings.iter().any(|text| text.contains("\"a-large\"")), "{:?}", kept.evidence.warnings);
    stage_into(&pod(&target), &memory, &kept, Road::SideCopy);

    let mut dump = pod(&source).dump(&context()).unwrap();
    let first = dump.next_part().unwrap().unwrap();
    OpenOptions::new().write(true).open(source.join("a-large")).unwrap().set_len(1).unwrap();
    let (_, kept) = keep(Box::new(Prefixed { first: Some(first), dump })).unwrap();
    assert!(kept.evidence.warnings.iter().any(|text| text.contains("shorter")), "{:?}", kept.evidence.warnings);
}

/// A dump whose first part was taken before.
struct Prefixed {
    first: Option<plan::ports::Part>,
    dump: Box<dyn Dump>,
}

impl Dump for Prefixed {
    fn next_part(&mut self) -> Result<Option<plan::ports::Part>> {
        self.first.take().map_or_else(|| self.dump.next_part(), |part| Ok(Some(part)))
    }

    fn finish(self: Box<Self>) -> Result<plan::ports::Verdict> {
        self.dump.finish()
    }
}

#[test]
fn a_broken_staging_is_never_proven_or_swapped_and_is_begun_again() {
    let (_guard, source, target) = folders();
    shell(&source, "mkdir -m 500 d; head -c 3000000 /dev/urandom > large; for i in 1 2 3 4 5; do echo $i > f$i; done");
    shell(&target, "echo live > live");
    let before = (outside(&target), outside_root(&target));
    let (memory, kept) = backup(&source);
    let place = pod(&target).reserve(&context(), &kept, Road::SideCopy).unwrap();
    let unstaged = |error: Error, class: plan::Class| {
        assert_eq!(error.class(), class, "{error:?}");
        assert!(pod(&target).prove(&context(), &place, &kept).is_err(), "half a staging is not proven");
        assert!(pod(&target).cut_over(&context(), &place).is_err());
        assert_eq!((outside(&target), outside_root(&target)), before);
    };
    for bytes in [5_000, 200_000, 2_900_000] {
        let deaf = broken(&target, Fault::Deaf(bytes));
        let error = deaf.stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap_err();
        unstaged(error, plan::Class::Transient);
    }
    for reads in 0..4 {
        let torn = Arc::new(Broken { memory: Arc::clone(&memory), left: Mutex::new(reads) });
        let error = pod(&target).stage(&context(), &place, torn, &kept).unwrap_err();
        assert_eq!(error.to_string(), "the repository is gone");
        unstaged(error, plan::Class::Failed);
    }
    let error = broken(&target, Fault::Status("--extract --file=- --same-permissions --numeric-owner \"$3\"", 2))
        .stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept)
        .unwrap_err();
    unstaged(error, plan::Class::Failed);
    stage_into(&pod(&target), &memory, &kept, Road::SideCopy);
    pod(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
}

#[test]
fn a_volume_that_is_full_is_refused_or_named() {
    let (_guard, source, target) = folders();
    shell(&target, "mount -t tmpfs -o size=8m tmpfs .");
    shell(&source, "for i in {1..10}; do head -c 600000 /dev/urandom > f$i; done");
    let (memory, kept) = backup(&source);
    let (store, context) = (pod(&target), context());
    assert!(store.fits(&context, &kept, Road::SideCopy).unwrap().is_empty());
    shell(&target, "head -c 5000000 /dev/zero > filler");
    assert!(!store.fits(&context, &kept, Road::SideCopy).unwrap().is_empty());
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let refused = store.stage(&context, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap_err();
    let untouched = !target.join(".threescale-backup").exists();
    let mut lying = kept;
    lying.evidence.facts.insert("allocated-bytes".to_owned(), "1".to_owned());
    let full = store.stage(&context, &place, memory, &lying).unwrap_err();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    let clean = !target.join(".threescale-backup").exists();
    shell(&target, "cd /; umount -l \"$OLDPWD\"");
    assert!(refused.class() == plan::Class::Refused && untouched, "{refused:?}");
    assert!(full.hints().iter().any(|hint| hint.contains("Free space")) && clean, "{full:?}");
}

#[test]
fn an_interrupted_replacement_through_a_pod_goes_on() {
    let (_guard, source, target) = folders();
    shell(&source, "mkdir -m 500 d; head -c 300000 /dev/urandom > a; head -c 300000 /dev/urandom > z; touch -d @999.25 .");
    shell(&target, "mkdir old; echo live > old/live; echo live > a");
    let (memory, kept) = backup(&source);
    let place = pod(&target).reserve(&context(), &kept, Road::InPlace).unwrap();
    for fault in [
        Fault::Deaf(3_000),
        Fault::Deaf(200_000),
        Fault::Vanishes("sort | uniq -c"),
        Fault::Vanishes("--extract --file=- --same-permissions"),
    ] {
        let torn = broken(&target, fault);
        assert!(torn.stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).is_err());
        assert!(pod(&target).prove(&context(), &place, &kept).is_err(), "half a staging is not proven");
    }
    stage_into(&pod(&target), &memory, &kept, Road::InPlace);
    assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)));
}
