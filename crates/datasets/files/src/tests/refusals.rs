//! No space, no right, no mount: refused or reported, with the way out, and nothing touched.
#![expect(clippy::unwrap_used, reason = "tests")]

use plan::Class;
use plan::ports::Severity;

use super::*;

/// A small tmpfs, gone at the end.
pub(super) struct Small(PathBuf);

impl Small {
    pub(super) fn mount(at: &Path, options: &str) -> Self {
        shell(at, &format!("mount -t tmpfs -o {options} tmpfs ."));
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that another test starts at this moment may still hold a file of it.
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn no_space_is_refused_before_anything_is_touched() {
    let (_guard, source, target) = folders();
    let small = Small::mount(&target, "size=4m,nr_inodes=100");
    write(target.join("live"), "live");
    let before = (outside(&target), outside_root(&target));
    shell(&source, "head -c 6000000 /dev/urandom > big");
    let (memory, kept) = backup(&source);
    let (store, context) = (store(&target), context());
    let problems = store.fits(&context, &kept, Road::SideCopy).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("bytes are needed")));
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let error = store.stage(&context, &place, memory, &kept).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert_eq!((outside(&target), outside_root(&target)), before);
    assert!(!target.join(".threescale-backup").exists());
    shell(&source, "rm big; for i in {1..200}; do : > f$i; done");
    let (memory, kept) = backup(&source);
    let error = store.stage(&context, &place, memory, &kept).unwrap_err();
    assert!(error.class() == Class::Refused && error.to_string().contains("inodes"), "{error:?}");
    drop(small);
}

#[test]
fn a_disk_that_fills_while_staging_is_an_error_and_discard_cleans() {
    let (_guard, source, target) = folders();
    let small = Small::mount(&target, "size=8m");
    write(target.join("live"), "live");
    let before = outside(&target);
    shell(&source, "for i in {1..10}; do head -c 600000 /dev/urandom > f$i; done");
    let (memory, kept) = backup(&source);
    let (store, context) = (store(&target), context());
    assert!(store.fits(&context, &kept, Road::SideCopy).unwrap().is_empty());
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let mut lying = kept.clone();
    lying.evidence.facts.insert("allocated-bytes".to_owned(), "1".to_owned());
    shell(&target, "head -c 5000000 /dev/zero > filler");
    let error = store.stage(&context, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &lying).unwrap_err();
    assert!(error.chain().contains("No space left"), "{error:?}");
    assert!(error.hints().iter().any(|hint| hint.contains("Free space")));
    assert!(store.cut_over(&context, &place).is_err());
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    shell(&target, "rm filler");
    assert_eq!(outside(&target), before);
    assert!(!target.join(".threescale-backup").exists());
    stage(&target, &memory, &kept, Road::SideCopy);
    drop(small);
}

#[test]
fn a_mount_at_the_top_is_read_but_not_swapped() {
    let (_guard, source, target) = folders();
    for path in [&source, &target] {
        std::fs::create_dir(path.join("volume")).unwrap();
    }
    let mounts = (Small::mount(&source.join("volume"), "size=4m"), Small::mount(&target.join("volume"), "size=4m"));
    write(source.join("volume/f"), "inside");
    let (memory, kept) = backup(&source);
    assert!(memory.stored.contains_key(Path::new("volume/f")));
    assert_eq!(kept.evidence.facts.get("mount-points").map(String::as_str), Some("1"));
    let (store, context) = (store(&target), context());
    assert_eq!(store.look(&context).unwrap().road, Road::InPlace);
    let place = store.reserve(&context, &kept, Road::SideCopy).unwrap();
    let error = store.stage(&context, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap_err();
    assert_eq!(error.class(), Class::Refused);
    assert!(target.join("volume").exists());
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    stage(&target, &memory, &kept, Road::InPlace);
    assert_eq!(std::fs::read(target.join("volume/f")).unwrap(), b"inside");
    drop(mounts);
}

#[test]
fn a_read_only_mount_is_seen() {
    let (_guard, _, target) = folders();
    let small = Small::mount(&target, "size=1m,ro");
    let findings = store(&target).look(&context()).unwrap();
    assert!(findings.restore_problems.iter().any(|problem| problem.severity == Severity::Blocks && problem.text.contains("read-only")));
    drop(small);
}

#[test]
fn a_missing_or_wrong_root_is_refused_with_the_way_out() {
    let (_guard, source, _) = folders();
    write(source.join("file"), "");
    for path in [source.join("missing"), source.join("file")] {
        for error in [store(&path).look(&context()).err().unwrap(), store(&path).dump(&context()).err().unwrap()] {
            assert!(error.class() == Class::Refused && !error.hints().is_empty(), "{error:?}");
        }
    }
}

#[test]
fn a_look_counts_and_names_the_file_system() {
    let (_guard, source, _) = folders();
    shell(&source, "mkdir d; head -c 5000 /dev/zero > d/f; ln -s x y");
    let findings = store(&source).look(&context()).unwrap();
    assert_eq!((findings.count, findings.size_bytes, findings.road), (Some(3), 5000, Road::SideCopy));
    assert!(findings.facts.iter().any(|(name, _)| name == "file-system"));
}

#[test]
fn an_unreadable_file_ends_the_dump_unless_told_otherwise() {
    let (_guard, source, target) = folders();
    shell(&source, "echo a > a; echo b > b; echo c > c");
    let eio = |moment, path: &Path| {
        if moment == Moment::Opened && path == Path::new("b") { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    };
    let error = keep(hooked(&source, eio).dump(&context()).unwrap()).err().unwrap();
    assert!(error.to_string().contains("source/b") && error.hints().iter().any(|hint| hint.contains("not be complete")), "{error:?}");
    let lenient = FilesStore { options: Options { skip_unreadable: true, ..Options::default() }, ..hooked(&source, eio) };
    let (memory, kept) = keep(lenient.dump(&context()).unwrap()).unwrap();
    assert_eq!(memory.stored.len(), 2);
    assert_eq!(kept.evidence.facts.get("unreadable").map(String::as_str), Some("1"));
    stage(&target, &memory, &kept, Road::SideCopy);
}

#[test]
fn an_entry_that_leaves_the_tree_is_refused() {
    let (_guard, source, target) = folders();
    write(source.join("a"), "a");
    let (_, kept) = backup(&source);
    for path in ["../evil", "/etc/evil", "a/../../evil", ".threescale-backup/x"] {
        let mut memory = Memory::default();
        let stored = Stored { path: path.into(), meta: Meta::default(), kind: Kind::File, content: Arc::default() };
        memory.stored.insert(path.into(), stored);
        let place = store(&target).reserve(&context(), &kept, Road::SideCopy).unwrap();
        let error = store(&target).stage(&context(), &place, Arc::new(memory), &kept).unwrap_err();
        assert_eq!(error.class(), Class::NeedsPerson, "{path}");
    }
    assert!(!target.join("../evil").exists());
}
