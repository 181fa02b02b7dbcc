//! Trees in which not all is the user's own, as somebody who is not root: what he may not move, empty or set is known before anything is touched, or made anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use plan::ports::{Holds, Problem, Severity, Undone};

use super::over_there::pod;
use super::since::{warned, watched};
use super::*;

const HOME: &str = "FILES_TEST_OF_OTHERS";

/// Somebody who is in the group of the trees, and root as many containers have it.
const ANOTHER: [&str; 3] = ["--reuid=4242", "--regid=4242", "--clear-groups"];
const ROOT_WITHOUT_CAPABILITIES: [&str; 3] = ["--bounding-set=-all", "--inh-caps=-all", "--clear-groups"];

fn as_another(test: &str, source: &str, target: &str) -> Option<(PathBuf, [PathBuf; 2])> {
    as_user(ANOTHER, test, source, target)
}

/// As root: makes a tree and runs the test again as another user, in whose process the folders are given: source, and two targets that are alike.
fn as_user(user: [&str; 3], test: &str, source: &str, target: &str) -> Option<(PathBuf, [PathBuf; 2])> {
    if let Some(home) = std::env::var_os(HOME) {
        let home = PathBuf::from(home);
        return Some((home.join("source"), [home.join("0"), home.join("1")]));
    }
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    shell(home.path(), "chmod 755 . tests; mkdir -m 777 tmp; mkdir source 0 1; chown 4242:4242 source; chown 0:4242 0 1; chmod 2775 0 1");
    for (folder, script) in [("source", source), ("0", target), ("1", target)] {
        shell(&home.path().join(folder), script);
    }
    shell(&home.path().join("source"), "chown -R 4242:4242 .");
    let programs = "mkdir as-5001; for name in mkdir rmdir touch chmod rm; do cp $(command -v $name) as-5001; done; chown 5001 as-5001/*; chmod 4755 as-5001/*";
    shell(home.path(), programs);
    let mut command = Command::new("setpriv");
    command.args(user).arg(&program);
    command.args(["--exact", &format!("tests::others::{test}"), "--nocapture"]);
    let output = command.env(HOME, home.path()).env("TMPDIR", home.path().join("tmp")).current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    None
}

const SOURCE: &str = "mkdir -p p/1 q; echo a > p/1/a; echo new > q/q; echo t > t; touch -d @1000000 p/1/a t";
/// Made by another user of the same group, as the pods of a namespace do.
const TARGET: &str = "umask 002; mkdir -p p/1 q r; echo a > p/1/a; echo old > q/q; echo x > r/x; chown -R 5001:4242 p q r; chmod 2775 p p/1 q r; chmod 664 p/1/a q/q; touch -d @2000000 p/1/a";

fn ways(targets: &[PathBuf; 2]) -> [Box<dyn DataSet>; 2] {
    [Box::new(store(&targets[0])), Box::new(pod(&targets[1]))]
}

fn is_told(problems: &[Problem], severity: Severity, name: &str) -> bool {
    problems.iter().any(|problem| problem.severity == severity && problem.text.contains(name))
}

/// What `ls` shows to this user.
fn seen(at: &Path) -> String {
    let listed = shell(at, "find . -path ./.threescale-backup -prune -o -printf '%p|%y|%m|%U|%s|%T@\\n' | sort");
    String::from_utf8_lossy(&listed).lines().filter(|line| !line.starts_with(".|")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_folder_at_the_root_that_cannot_be_moved_is_told_and_nothing_is_moved() {
    let name = "a_folder_at_the_root_that_cannot_be_moved_is_told_and_nothing_is_moved";
    for (user, closed) in [(ANOTHER, "chmod 755 r"), (ANOTHER, "chmod 3775 ."), (ROOT_WITHOUT_CAPABILITIES, "chmod 775 r")] {
        let Some((source, targets)) = as_user(user, name, SOURCE, &format!("{TARGET}; {closed}")) else { continue };
        let (memory, kept) = backup(&source);
        for (store, target) in ways(&targets).iter().zip(&targets) {
            let before = seen(target);
            let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
            // Through a pod already this refuses.
            let staged = store.stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept);
            let is_staged = staged.is_ok();
            let proven = if is_staged { store.prove(&context(), &place, &kept).map(drop) } else { staged };
            let swapped = store.cut_over(&context(), &place);
            for error in std::iter::once(proven.unwrap_err()).chain(is_staged.then(|| swapped.unwrap_err())) {
                assert!(error.class() == plan::Class::Refused && error.hints().iter().any(|hint| hint.contains("chmod ")), "{error:?}");
            }
            assert_eq!(seen(target), before);
            let undone = store.undo(&context(), &place).unwrap();
            assert_eq!(undone, if is_staged { Undone::PreviousIsLive } else { Undone::NothingThere });
            store.discard(&context(), &place, Discard::Staged).unwrap();
            assert_eq!(seen(target), before);
        }
        for store in ways(&targets) {
            let found = store.look(&context()).unwrap().restore_problems;
            assert!(is_told(&found, Severity::Blocks, "may not move it"), "{found:?}");
        }
        return;
    }
}

#[test]
fn what_is_deeper_down_and_cannot_be_removed_is_told_and_stands_in_no_way_for_good() {
    let name = "what_is_deeper_down_and_cannot_be_removed_is_told_and_stands_in_no_way_for_good";
    for closed in ["chmod 755 p/1", "chmod 3775 p/1"] {
        let Some((source, targets)) = as_another(name, SOURCE, &format!("{TARGET}; {closed}")) else { continue };
        let (memory, kept) = backup(&source);
        for (store, target) in ways(&targets).iter().zip(&targets) {
            let found = store.look(&context()).unwrap().restore_problems;
            assert!(is_told(&found, Severity::Degrades, "p/1") && !is_told(&found, Severity::Blocks, ""), "{found:?}");
            let in_place = store.fits(&context(), &kept, Road::InPlace).unwrap();
            assert!(is_told(&in_place, Severity::Blocks, "p/1"), "{in_place:?}");
            let live = seen(target);
            let over = store.reserve(&context(), &kept, Road::InPlace).unwrap();
            let error = store.stage(&context(), &over, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap_err();
            assert!(error.class() == plan::Class::Refused && seen(target) == live, "{error:?}");

            let place = stage_into(&**store, &memory, &kept, Road::SideCopy);
            store.cut_over(&context(), &place).unwrap();
            let previous = || seen(&target.join(".threescale-backup/01jrun/before"));
            let kept_there = previous();
            let verbs = [DataSet::check_discard, DataSet::discard, DataSet::check_discard];
            for verb in verbs {
                let error = verb(&**store, &context(), &place, Discard::Previous).unwrap_err();
                assert!(format!("{error:?}").contains("p/1") && previous() == kept_there, "{error:?}");
            }
            assert_eq!(store.leftovers(&context()).unwrap()[0].holds, Holds::Previous);
            // Whoever wishes it all the same is rid of it: what is left waits for nobody.
            let (watching, watch) = watched();
            store.remove_leftover(&watching, &store.leftovers(&context()).unwrap()[0]).unwrap();
            assert!(warned(&watch).len() == 1 && warned(&watch)[0].contains("before/p/1"), "{:?}", warned(&watch));
            let mut names: Vec<_> = previous().lines().map(|line| line.split('|').next().unwrap().to_owned()).collect();
            names.sort();
            assert_eq!(names, ["./p", "./p/1", "./p/1/a"]);
            assert_eq!(store.leftovers(&context()).unwrap()[0].holds, Holds::Mark);
            let next = Context { run: plan::ids::RunId("01jnext".to_owned()), ..context() };
            let place = store.reserve(&next, &kept, Road::SideCopy).unwrap();
            store.stage(&next, &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
            store.prove(&next, &place, &kept).unwrap();
            store.cut_over(&next, &place).unwrap();
            assert_eq!(store.undo(&next, &place).unwrap(), Undone::PreviousIsLive);
        }
        return;
    }
}

#[test]
fn in_place_what_belongs_to_another_user_is_made_anew_or_told_and_the_safety_copy_goes_back() {
    let name = "in_place_what_belongs_to_another_user_is_made_anew_or_told_and_the_safety_copy_goes_back";
    let acl = "setfacl -d -m u:77:rx q; chmod 770 q";
    let Some((source, targets)) = as_another(name, SOURCE, &format!("{TARGET}; {acl}")) else { return };
    let (memory, kept) = backup(&source);
    let files = |at: &Path| shell(at, "find . -path ./.threescale-backup -prune -o -type f -printf '%p %T@ ' -exec cat {} \\; | sort");
    for (store, target) in ways(&targets).iter().zip(&targets) {
        let before = files(target);
        let (safety, mut safety_kept) = backup(target);
        safety_kept.evidence.facts.insert(plan::evidence::SAFETY_COPY.to_owned(), "01jrun".to_owned());
        assert!(!is_told(&store.fits(&context(), &kept, Road::InPlace).unwrap(), Severity::Blocks, ""));
        let place = store.reserve(&context(), &kept, Road::InPlace).unwrap();
        for (memory, kept, wanted) in [(&memory, &kept, files(&source)), (&safety, &safety_kept, before)] {
            store.stage(&context(), &place, Arc::clone(memory) as Arc<dyn Snapshot>, kept).unwrap();
            let found = store.prove(&context(), &place, kept).unwrap();
            assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
            assert_eq!(files(target), wanted);
        }
        store.tidy(&context(), &place).unwrap();
    }
}

#[test]
fn of_a_root_of_another_user_only_what_differs_is_told() {
    let name = "of_a_root_of_another_user_only_what_differs_is_told";
    let Some((source, targets)) = as_another(name, SOURCE, TARGET) else { return };
    let (memory, kept) = backup(&source);
    for (store, target) in ways(&targets).iter().zip(&targets) {
        let (watching, watch) = watched();
        let place = stage_into(&**store, &memory, &kept, Road::SideCopy);
        store.cut_over(&watching, &place).unwrap();
        let told = |text: &str| warned(&watch).iter().filter(|told| told.contains(text)).count();
        assert_eq!((told("mode 2775 instead of 755"), told("owner 0:4242 instead of 4242:4242")), (1, 1), "{:?}", warned(&watch));
        let (watching, watch) = watched();
        assert_eq!(store.undo(&watching, &place).unwrap(), Undone::PreviousIsLive);
        let place = target.display();
        let told = warned(&watch);
        assert!(told.len() == 1 && told[0].contains(&format!("{place} itself")) && told[0].ends_with(": time of change"), "{told:?}");
    }
}

#[test]
fn what_another_user_has_made_at_the_root_since_stays_there_and_all_else_goes_back() {
    let name = "what_another_user_has_made_at_the_root_since_stays_there_and_all_else_goes_back";
    let Some((source, targets)) = as_another(name, SOURCE, TARGET) else { return };
    let (memory, kept) = backup(&source);
    for (store, target) in ways(&targets).iter().zip(&targets) {
        // Programs that act as that user.
        let as_owner = |script: &str| shell(target, &format!("umask 022; PATH=../as-5001:$PATH; {script}"));
        let before = seen(target);
        let place = stage_into(&**store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        as_owner("mkdir up; touch up/load");
        let ups = |at: &Path| seen(at).lines().filter(|line| line.starts_with("./up")).map(str::to_owned).collect::<Vec<_>>();
        let up = ups(target);
        assert_eq!(up.len(), 2);
        let (watching, watch) = watched();
        assert_eq!(store.undo(&watching, &place).unwrap(), Undone::PreviousIsLive);
        store.discard(&watching, &place, Discard::Staged).unwrap();
        let told: Vec<_> = warned(&watch).into_iter().filter(|text| text.contains("stays where it is")).collect();
        assert!(told.len() == 1 && told[0].contains("up"), "{:?}", warned(&watch));
        assert!(!warned(&watch).iter().any(|text| text.contains("kept apart") || text.contains("load")), "{:?}", warned(&watch));
        assert_eq!(ups(target), up);
        let all_else = |seen: String| seen.lines().filter(|line| !line.starts_with("./up")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(all_else(seen(target)), all_else(before.clone()));
        assert_eq!(store.leftovers(&context()).unwrap().len(), 0);

        // In the place of something that goes back: that one waits, with its way out, and all else is back.
        as_owner("chmod 775 up; rm up/load; rmdir up");
        let place = stage_into(&**store, &memory, &kept, Road::SideCopy);
        store.cut_over(&context(), &place).unwrap();
        as_owner("mkdir r");
        store.undo(&context(), &place).unwrap_err();
        let but_for_r = |seen: String| seen.lines().filter(|line| !line.starts_with("./r")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(but_for_r(seen(target)), but_for_r(before.clone()));
        as_owner("chmod 775 r");
        assert_eq!(store.undo(&context(), &place).unwrap(), Undone::PreviousIsLive);
        assert_eq!(seen(target), before);
    }
}
