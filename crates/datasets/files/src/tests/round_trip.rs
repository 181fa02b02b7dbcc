//! Everything that a tree can hold comes back.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::*;

pub(super) const TREE: &str = r#"
    mkdir -p empty nested/a/b/c sticky setgid
    chmod 1777 sticky; chmod 2775 setgid; chmod 0500 nested/a/b
    : > empty-file; printf x > one; printf 'two\n' > 'with space'; printf n > $'new\nline'
    printf s > suid; chown 123:456 suid; chmod 4755 suid
    printf g > sgid; chown 1001:1002 sgid; chmod 2711 sgid; printf z > zero; chmod 0 zero
    ln -s one link; ln -s nowhere/at/all dangling; ln -s $'odd\xff\ntarget' odd-link; chown -h 77:78 dangling; touch -h -d '2001-02-03 04:05:06.700000001' dangling
    printf hard > h1; ln h1 h2; ln h1 nested/a/h3
    truncate -s 300M sparse; printf middle | dd of=sparse bs=1 seek=100000000 conv=notrunc status=none
    truncate -s 1M small-hole; printf end >> small-hole
    head -c 20000000 /dev/urandom > large; head -c 8388608 /dev/urandom > edge; head -c 8388609 /dev/urandom > edge-and-one
    mkfifo pipe; chmod 640 pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
    setfattr -n user.color -v blue one; setfattr -n user.empty one; setfattr -n user.binary -v 0x00ff00 nested
    setfattr -n trusted.note -v kept link -h
    setfattr -n system.posix_acl_default -v 0x0200000001000700ffffffff02000700d204000004000500ffffffff10000700ffffffff20000500ffffffff setgid
    setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff02000400d204000004000400ffffffff10000600ffffffff20000000ffffffff one
    touch -d '1969-12-31 23:59:59.123456789' one; touch -d '2037-01-01 00:00:00.000000001' nested/a/b/c; touch -d @1500000000.987654321 empty
    mkdir .hidden; printf h > .hidden/.file
"#;

#[test]
fn everything_a_tree_can_hold_comes_back() {
    let (_guard, source, target) = folders();
    shell(&source, TREE);
    shell(&source, "chmod 2770 .; chown 500:501 .; touch -d @1400000000.5 .");
    shell(&target, "mkdir old; echo old > old/file; echo old > one; ln -s x link; touch -d @1300000000.25 .");
    let (live, live_root) = (outside(&target), outside_root(&target));
    let (memory, kept) = backup(&source);
    assert_eq!(kept.evidence.warnings, Vec::<String>::new());
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    assert_eq!(outside(&target), live, "staging does not touch the live tree");
    let (store, context) = (store(&target), context());
    assert!(store.kept_bytes(&context, &place).unwrap() > 20_000_000);

    store.cut_over(&context, &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
    assert_eq!(outside_root(&target), outside_root(&source));
    let links = |name: &str| std::fs::symlink_metadata(target.join(name)).unwrap();
    assert_eq!(links("h1").ino(), links("h2").ino());
    assert_eq!(links("h1").ino(), links("nested/a/h3").ino());
    assert!(links("sparse").blocks() < 100, "holes are holes");
    assert!(links("small-hole").blocks() * 512 < 100_000, "holes of small files too");
    let found = store.prove(&context, &place, &kept).unwrap();
    assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());

    store.undo(&context, &place).unwrap();
    assert_eq!((outside(&target), outside_root(&target)), (live, live_root), "undo brings the old tree back");
    store.cut_over(&context, &place).unwrap();
    assert_eq!(outside(&target), outside(&source), "and it can be cut over again");
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert!(!target.join(".threescale-backup").exists());
    assert_eq!((outside(&target), outside_root(&target)), (outside(&source), outside_root(&source)));
}

#[test]
fn names_of_every_byte_come_back() {
    let (_guard, source, target) = folders();
    for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
        let name = [b'a', byte, b'b'];
        write(source.join(os(&name)), name);
        if byte != b'.' {
            std::fs::create_dir(source.join(os(&[byte]))).unwrap();
            write(source.join(os(&[byte])).join(os(&[byte, byte, byte])), [byte]);
        }
    }
    write(source.join(os(&[b'n'; 255])), "the longest name");
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    store(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
    assert_eq!(kept.evidence.collections.get("files").unwrap().count, 254 + 253 + 1);
}

#[test]
fn a_tree_deeper_than_the_path_limit_comes_back() {
    let (_guard, source, target) = folders();
    // 60 folders of 200 bytes: some 12 000 bytes of path.
    shell(
        &source,
        r#"n=$(printf 'd%.0s' {1..200}); for i in {1..60}; do mkdir $n; echo $i > file; ln file second; cd -P $n; done; echo bottom > deepest; ln -s x link"#,
    );
    let (memory, kept) = backup(&source);
    assert!(memory.stored.keys().any(|path| path.as_os_str().as_bytes().len() > 12_000));
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let (store, context) = (store(&target), context());
    store.cut_over(&context, &place).unwrap();
    let bottom = shell(&target, r#"n=$(printf 'd%.0s' {1..200}); for i in {1..60}; do cd -P $n; done; cat deepest; readlink link"#);
    assert_eq!(bottom, b"bottom\nx\n");
    store.undo(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0);
    shell(&source, "rm -rf ./*");
}

#[test]
fn an_empty_tree_is_a_backup_with_a_warning() {
    let (_guard, source, target) = folders();
    let (memory, kept) = backup(&source);
    assert!(kept.evidence.warnings.iter().any(|text| text.contains("volume mounted")));
    write(target.join("old"), "old");
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    store(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
}

#[test]
fn the_programs_own_folder_and_lost_and_found_are_not_data() {
    let (_guard, source, target) = folders();
    shell(
        &source,
        "mkdir -p .threescale-backup/other/stage; echo secret > .threescale-backup/other/stage/x; mkdir -m 700 lost+found; echo y > lost+found/y; mkdir sub; mkdir -m 700 sub/lost+found; echo f > sub/.threescale-backup",
    );
    let (memory, kept) = backup(&source);
    let paths: Vec<_> = memory.stored.keys().map(|path| path.display().to_string()).collect();
    assert_eq!(paths, ["sub", "sub/.threescale-backup", "sub/lost+found"]);
    shell(&target, "mkdir -m 700 lost+found; mkdir -p .threescale-backup/other");
    let place = stage(&target, &memory, &kept, Road::SideCopy);
    let (store, context) = (store(&target), context());
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert!(target.join("lost+found").exists());
    assert!(target.join(".threescale-backup/other").exists(), "another run's folder is left alone");
}

#[test]
fn device_files_are_reported_and_left_out() {
    let (_guard, source, _) = folders();
    shell(&source, "echo x > file; mknod null c 1 3 || true");
    if !source.join("null").exists() {
        panic!("this machine does not let root make device files");
    }
    let (memory, kept) = backup(&source);
    assert_eq!(memory.stored.len(), 1);
    assert_eq!(kept.evidence.facts.get("devices").map(String::as_str), Some("1"));
    assert!(kept.evidence.warnings.iter().any(|text| text.contains("null")));
}

#[test]
fn a_changed_byte_mode_time_owner_or_attribute_fails_the_proof() {
    let (_guard, source, target) = folders();
    shell(&source, "mkdir d; echo one > d/one; echo two > two; ln two three; ln -s one link; setfattr -n user.a -v b two");
    let (memory, kept) = backup(&source);
    let damages = [
        ("printf X | dd of=d/one bs=1 conv=notrunc status=none", "files"),
        ("chmod 640 d/one", "modes"),
        ("touch -d @5.5 d/one", "times"),
        ("touch -h -d @5.5 link", "times"),
        ("chown 9 two", "owners"),
        ("chown -h :9 link", "owners"),
        ("chmod u+s two", "owners"),
        ("setfattr -n user.a -v c two", "extended-attributes"),
        ("setfattr -n user.new -v c d", "extended-attributes"),
        ("rm three; cp -a two three", "hard-links"),
        ("rm link; ln -s other link", "symlinks"),
        ("mv d e", "folders"),
        ("echo more > more", "files"),
    ];
    for (damage, collection) in damages {
        let place = stage(&target, &memory, &kept, Road::SideCopy);
        shell(&target.join(".threescale-backup/01jrun/stage"), damage);
        let found = store(&target).prove(&context(), &place, &kept).unwrap();
        let differences = kept.evidence.differences(&found);
        assert!(differences.iter().any(|text| text.starts_with(collection)), "{damage}: {differences:?}");
    }
}
