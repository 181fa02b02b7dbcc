//! Modes that lock the owner out, as somebody who is not root: the owner's own right to change them is used for the instant, and given back.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use super::over_there::pod;
use super::*;
use crate::dump::{FilesDump, Reading};
use beneath::Tree;
use plan::ports::Severity;

/// Runs a test of this file as another user; true in that user's process.
fn as_owner(test: &str) -> bool {
    const CHILD: &str = "FILES_TEST_AS_OWNER";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    shell(home.path(), "chmod 755 . tests; mkdir -m 777 tmp");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=4242", "--regid=4242", "--clear-groups"]).arg(&program).args([
        "--exact",
        &format!("tests::closed::{test}"),
        "--nocapture",
    ]);
    let output = command.env(CHILD, "yes").env("TMPDIR", home.path().join("tmp")).current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// A set of all that is there, taken by somebody who may read it.
fn taken(source: &Path) -> (Arc<Memory>, KeptDataSet) {
    let tree = Arc::new(Tree::open(source).unwrap());
    keep(Box::new(FilesDump::start(&context(), tree, Reading::Proof, Hook::default()).unwrap())).unwrap()
}

const SOURCE: &str = "mkdir -p closed/in top dark/er/y; echo c > closed/in/c; echo t > top/t; echo n > none; echo w > write-only; echo d > dark/er/y/d; mkdir -p list-only/x
    head -c 9000000 /dev/zero > large; ln none other; for name in $(seq 60); do ln none again-$name; done; ln large larger; chmod 0 none large dark/er dark; chmod 200 write-only; chmod 444 list-only; chmod 555 closed closed/in top; touch -d @1000000.5 .";

/// As [`outside`], of what may be read only by whoever may change the modes: with their modes noted before.
fn seen(at: &Path) -> String {
    // Copied as a whole: what is compared is never changed by the test.
    let listed = shell(
        at,
        "find . -path ./.threescale-backup -prune -o \\( -type f -printf '%p|%y|%m|%s|%T@|%n\\n' -o -printf '%p|%y|%m|%T@\\n' \\) 2>/dev/null | sort || true",
    );
    String::from_utf8_lossy(&listed).into_owned()
}

fn open_all(at: &Path) {
    shell(at, "find . -type d ! -perm -u=rwx -exec chmod u+rwx {} \\; ; chmod -R u+rwX .");
}

#[test]
fn folders_and_files_that_lock_their_owner_out_go_there_and_back() {
    if !as_owner("folders_and_files_that_lock_their_owner_out_go_there_and_back") {
        return;
    }
    for remote in [false, true] {
        for root_mode in ["755", "555"] {
            let (_guard, source, target) = folders();
            shell(&source, &format!("{SOURCE}; chmod {root_mode} ."));
            shell(
                &target,
                "mkdir -p live/x closed; echo l > live/x/l; echo o > none; chmod 0 none; chmod 555 live closed; touch -d @2000000.5 .; chmod 555 .",
            );
            let (memory, kept) = taken(&source);
            let wanted = seen(&source);
            let before = seen(&target);
            let all: [Box<dyn DataSet>; 2] = [Box::new(store(&target)), Box::new(pod(&target))];
            let store = &*all[usize::from(remote)];
            if !remote {
                let findings = store.look(&context()).unwrap();
                assert!(findings.restore_problems.iter().all(|problem| problem.severity < Severity::Blocks), "{findings:?}");
            }
            let place = stage_into(store, &memory, &kept, Road::SideCopy);
            assert_eq!(seen(&target), before, "staging changes nothing");
            store.cut_over(&context(), &place).unwrap();
            assert_eq!(seen(&target), wanted, "remote {remote}, root {root_mode}");
            store.undo(&context(), &place).unwrap();
            assert_eq!(seen(&target), before, "remote {remote}, root {root_mode}");
            store.cut_over(&context(), &place).unwrap();
            assert_eq!(seen(&target), wanted, "remote {remote}, root {root_mode}");
            store.discard(&context(), &place, Discard::Previous).unwrap();
            assert_eq!(seen(&target), wanted, "remote {remote}, root {root_mode}");
            open_all(&target);
            assert_eq!(shell(&target, "cat none dark/er/y/d; cksum < large; ls -A"), {
                open_all(&source);
                shell(&source, "cat none dark/er/y/d; cksum < large; ls -A")
            });
        }
    }
}

#[test]
fn a_folder_that_was_opened_for_its_rename_is_closed_after_a_crash() {
    if !as_owner("a_folder_that_was_opened_for_its_rename_is_closed_after_a_crash") {
        return;
    }
    for remote in [false, true] {
        let (_guard, source, target) = folders();
        shell(&source, "mkdir -m 555 a b");
        shell(&target, "mkdir a; mkdir -m 555 live");
        let (memory, kept) = taken(&source);
        let all: [Box<dyn DataSet>; 2] = [Box::new(store(&target)), Box::new(pod(&target))];
        let store = &*all[usize::from(remote)];
        let place = stage_into(store, &memory, &kept, Road::SideCopy);
        // What a crash leaves between the opening and the closing. The live folder of that name is another one.
        let inode = String::from_utf8(shell(&target, "stat -c %i .threescale-backup/01jrun/stage/a")).unwrap();
        write(target.join(".threescale-backup/01jrun/opened"), format!("555 {}\na", inode.trim()));
        shell(&target, "chmod 755 .threescale-backup/01jrun/stage/a; chmod 751 a");
        store.cut_over(&context(), &place).unwrap();
        assert_eq!(std::fs::metadata(target.join("a")).unwrap().permissions().mode() & 0o777, 0o555);
        store.undo(&context(), &place).unwrap();
        assert_eq!(std::fs::metadata(target.join("a")).unwrap().permissions().mode() & 0o777, 0o751);
        store.discard(&context(), &place, Discard::Staged).unwrap();
        open_all(&target);
    }
}

#[test]
fn a_backup_changes_no_mode_and_names_what_it_cannot_read() {
    if !as_owner("a_backup_changes_no_mode_and_names_what_it_cannot_read") {
        return;
    }
    let (_guard, source, _) = folders();
    shell(&source, "mkdir d; echo s > $'d/se\\'cret'; chmod 0 d/se*");
    let before = seen(&source);
    let findings = store(&source).look(&context()).unwrap();
    let blocks: Vec<_> = findings.backup_problems.iter().filter(|problem| problem.severity == Severity::Blocks).collect();
    assert_eq!(blocks.len(), 1, "{findings:?}");
    let command = blocks[0].way_out.as_ref().unwrap().rsplit_once("owner: ").unwrap().1.to_owned();
    let error = keep(store(&source).dump(&context()).unwrap()).err().unwrap();
    assert!(error.hints().iter().any(|hint| hint.contains(&command)), "{error:?}: {command}");
    assert_eq!(seen(&source), before);
    // The command is one.
    shell(&source, &command);
    assert!(keep(store(&source).dump(&context()).unwrap()).is_ok());
}
