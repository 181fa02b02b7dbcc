//! Nothing outside of the tree is ever touched: neither by a set that somebody made who knows the repository's password, nor through what the owner of the
//! tree puts in the way.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests; the seed is printed")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::over_there::pod;
use super::*;

/// A snapshot of any entries in any order.
struct Listed(Vec<(PathBuf, EntryKind)>);

impl Listed {
    fn entry((path, kind): &(PathBuf, EntryKind)) -> Entry {
        let size_bytes = if *kind == EntryKind::File { 7 } else { 0 };
        let meta = Meta { mode: 0o755, uid: Some(0), gid: Some(0), mtime_ns: Some(5), links: 1, ..Meta::default() };
        Entry { path: path.clone(), meta, size_bytes, kind: kind.clone(), handle: EntryHandle(Box::new(())) }
    }
}

impl Snapshot for Listed {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(self.0.iter().map(|entry| Ok(Self::entry(entry)))))
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        self.0.iter().find(|(found, _)| found == path).map(Self::entry).ok_or_else(|| Error::failed("no such entry"))
    }

    fn read(&self, _: &Entry) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(b"hostile")))
    }
}

fn lists(outside: &Path) -> Vec<Vec<(PathBuf, EntryKind)>> {
    let file = |path: &str| (PathBuf::from(path), EntryKind::File);
    let folder = |path: &str| (PathBuf::from(path), EntryKind::Folder);
    let link = |path: &str| (PathBuf::from(path), EntryKind::Symlink(outside.to_owned()));
    let absolute = outside.join("made").display().to_string();
    let mut deep: Vec<_> = (1..=4097).map(|levels| folder(&vec!["d"; levels].join("/"))).collect();
    deep.push(file(&vec!["d"; 4098].join("/")));
    vec![
        vec![file("../outside/made")],
        vec![file("../../outside/made")],
        vec![file(&absolute)],
        vec![folder("a"), file("a/../../outside/made")],
        vec![folder(".."), folder("../outside"), file("../outside/made")],
        vec![file("a/b")],
        vec![folder("a"), file("a//b")],
        vec![folder("a"), file("a/./b")],
        vec![file(".")],
        vec![file("")],
        vec![file("a\0b")],
        vec![link("a"), folder("a"), file("a/made")],
        vec![folder("a"), link("a"), file("a/made")],
        vec![link("a"), file("a/made")],
        vec![link("a"), file("a")],
        vec![file("a"), file("a/made")],
        vec![file("a"), file("a")],
        vec![file("b"), file("a")],
        vec![folder("a"), file("a/1"), file("b"), file("a/2")],
        vec![folder(".threescale-backup"), file(".threescale-backup/x")],
        vec![link(".threescale-backup")],
        deep,
    ]
}

/// A live tree, and a folder beside it that nobody may touch.
fn beside() -> (TempDir, PathBuf, PathBuf) {
    let (guard, source, target) = folders();
    let outside = guard.path().join("outside");
    std::fs::rename(source, &outside).unwrap();
    shell(
        &outside,
        "mkdir folder; echo untouched > file; echo untouched > folder/made; chmod 640 file; touch -d @1000000000 file folder/made folder .",
    );
    shell(&target, "mkdir live; echo live > live/file");
    (guard, outside, target)
}

fn kept_of_nothing() -> KeptDataSet {
    let (_guard, source, _) = folders();
    backup(&source).1
}

#[test]
fn names_that_no_backup_makes_are_refused_before_anything_is_touched() {
    let (_guard, outside, target) = beside();
    let (before, live) = (outside_all(&outside), super::outside(&target));
    let kept = kept_of_nothing();
    let stores: [Box<dyn DataSet>; 2] = [Box::new(store(&target)), Box::new(pod(&target))];
    for (number, list) in lists(&outside).into_iter().enumerate() {
        // A path of over 3,900 bytes is refused for its length already where tar unpacks.
        let is_deep = list.len() > 4000;
        for store in stores.iter().take(if is_deep { 1 } else { 2 }) {
            for road in [Road::SideCopy, Road::InPlace] {
                let place = store.reserve(&context(), &kept, road).unwrap();
                let snapshot: Arc<dyn Snapshot> = Arc::new(Listed(list.clone()));
                let error = store.stage(&context(), &place, snapshot, &kept).unwrap_err();
                assert_eq!(error.class(), plan::Class::NeedsPerson, "{number} {road:?}: {error:?}");
                assert!(error.to_string().contains("entry \""), "{number}: the name is told: {error:?}");
                assert_eq!(outside_all(&outside), before, "{number} {road:?}");
                assert_eq!(super::outside(&target), live, "{number} {road:?}: nothing of the live tree was removed yet");
                store.discard(&context(), &place, Discard::Staged).unwrap();
            }
        }
    }
}

/// All that is to be seen of a tree, with the root itself and the number of each file.
fn outside_all(at: &Path) -> String {
    format!(
        "{}{}{}",
        super::outside(at),
        outside_root(at),
        String::from_utf8_lossy(&shell(at, "find . -printf '%p %i %n %m %U %T@\n' | sort"))
    )
}

#[test]
fn links_in_the_live_tree_are_replaced_and_never_followed() {
    for remote in [false, true] {
        let (_guard, outside, target) = beside();
        let before = outside_all(&outside);
        let (_source_guard, source, _) = folders();
        shell(
            &source,
            "mkdir -p a/b folder up; echo new > a/b/file; echo new > file; echo new > folder/made; echo new > up/made; mkfifo pipe; ln file other",
        );
        shell(
            &target,
            "ln -s ../outside a; ln -s ../outside/file file; ln -s ../outside/folder folder; ln -s .. up; ln -s ../outside/file pipe; ln ../outside/file other
             mkdir -p live/x; ln -s ../../outside live/link; ln -s /etc live/etc; rm -f live/file",
        );
        let (memory, kept) = backup(&source);
        let store: Box<dyn DataSet> = if remote { Box::new(pod(&target)) } else { Box::new(store(&target)) };
        let place = stage_into(&*store, &memory, &kept, Road::InPlace);
        assert_eq!(super::outside(&target), super::outside(&source));
        assert_eq!(outside_all(&outside), before, "remote: {remote}");
        store.tidy(&context(), &place).unwrap();
        assert_eq!(super::outside(&target), super::outside(&source));
        store.discard(&context(), &place, Discard::Previous).unwrap();
        assert!(!target.join(".threescale-backup").exists(), "remote: {remote}");
    }
}

#[test]
fn a_file_that_stays_in_place_keeps_its_number_only_when_nothing_but_the_time_changes() {
    let (_guard, source, target) = folders();
    shell(&source, "echo same > same; echo same > mode; chmod 604 mode; echo same > owner; chown 7:8 owner; touch -d @5 same");
    shell(&target, "echo same > same; echo same > mode; echo same > owner");
    let number = |name: &str| std::fs::metadata(target.join(name)).unwrap().ino();
    let before = ["same", "mode", "owner"].map(number);
    let held: Vec<_> = ["mode", "owner"].iter().map(|name| std::fs::File::open(target.join(name)).unwrap()).collect();
    let (memory, kept) = backup(&source);
    stage(&target, &memory, &kept, Road::InPlace);
    assert_eq!(number("same"), before[0]);
    assert!(number("mode") != before[1] && number("owner") != before[2]);
    for file in held {
        let old = file.metadata().unwrap();
        assert_eq!((old.uid(), old.permissions().mode() & 0o777), (0, 0o644), "what was there is not changed: it may have a name outside");
    }
}

#[test]
fn a_link_in_the_place_of_the_runs_folder_is_refused() {
    for name in [".threescale-backup", ".threescale-backup/01jrun", ".threescale-backup/01jrun/stage"] {
        for remote in [false, true] {
            let (_guard, outside, target) = beside();
            let before = outside_all(&outside);
            shell(&target, &format!("mkdir -p $(dirname {name}); ln -s $PWD/../outside {name}"));
            let (_source_guard, source, _) = folders();
            shell(&source, "mkdir folder; echo new > folder/made");
            let (memory, kept) = backup(&source);
            let store: Box<dyn DataSet> = if remote { Box::new(pod(&target)) } else { Box::new(store(&target)) };
            let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
            let snapshot: Arc<dyn Snapshot> = Arc::clone(&memory) as Arc<dyn Snapshot>;
            let staged = store.stage(&context(), &place, snapshot, &kept);
            // A link inside of the run's folder is what an earlier try may have left: it is removed, and what it leads to is not.
            assert_eq!(staged.is_ok(), name.ends_with("stage"), "{name} {remote}: {staged:?}");
            assert_eq!(outside_all(&outside), before, "{name} {remote}");
        }
    }
}

/// The owner of a tree, who swaps folders, links and files in it all the time.
const OWNER: &str = r#"
use POSIX qw(mkfifo); use Time::HiRes; $| = 1;
my ($seed, $outside, $tree) = @ARGV; srand($seed); chdir($tree) or die;
my @names = ('d0', 'd1', 'd2', 'd0/e', 'd1/e', 'd0/e/f', 'f0', 'f1', 'pipe', 'link', 'd1/f');
my @own = ('.threescale-backup', map(".threescale-backup/01jrun$_", '', map("/$_", qw(stage before since late at-work opened lent door probe mark.json swap.json staged.json))));
my @goals = ($outside, "$outside/folder", "$outside/file", '/', '..', "$outside/made");
for (my $count = 1;; $count++) {
    # Second by second: not at all, seldom, often at the program's own folder.
    my $name = rand() < (0, 0, 0.0002, 0.01)[int(Time::HiRes::time()) % 4] ? $own[rand @own] : $names[rand @names];
    my ($spare, $goal, $act) = ('spare' . int(rand 8), $goals[rand @goals], int(rand($name =~ /^\.three/ ? 10 : 9)));
    if ($act == 0) { rename($name, $spare) and symlink($goal, $name) }
    if ($act == 1) { symlink($goal, $spare) and rename($spare, $name) }
    if ($act == 2) { unlink($name) }
    if ($act == 3) { rename($name, $spare) and mkdir($name) }
    if ($act == 4) { link("$outside/file", $name) }
    if ($act == 5) { rename($spare, $name) }
    if ($act == 6) { chmod((0, 0700)[rand 2], $name) unless -l $name }
    if ($act == 7) { mkfifo($name, 0666) }
    if ($act == 8) { mkdir($name) }
    if ($act == 9) { rename('.threescale-backup', $spare); mkdir('.threescale-backup'); mkdir('.threescale-backup/01jrun'); symlink($goal, $own[2 + rand 4]) }
    print "$count\n" if $count % 1000 == 0;
}
"#;

fn owner_at_work(seed: u64, outside: &Path, tree: &Path) -> Child {
    let mut perl = Command::new("setpriv");
    perl.args(["--reuid=4242", "--regid=4242", "--clear-groups", "perl", "-e", OWNER, &seed.to_string()]);
    perl.arg(outside).arg(tree).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = perl.spawn().unwrap();
    // It is at work when it has told its first thousand.
    let mut first = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1000\n");
    // Nobody reads more: it must not wait for that.
    let mut rest = child.stdout.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut rest, &mut std::io::sink()));
    child
}

/// What restores: the mounted tree, the same where the kernel lacks `openat2`, a pod whose user is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Mounted,
    ByNames,
    Pod,
}

#[test]
fn the_owner_of_the_tree_gains_nothing_by_swapping_names_while_root_restores() {
    campaign(Way::Mounted);
}

#[test]
fn the_owner_of_the_tree_gains_nothing_where_the_kernel_lacks_openat2() {
    beneath::forget_openat2();
    campaign(Way::ByNames);
}

#[test]
fn the_owner_of_the_tree_gains_nothing_by_swapping_names_while_a_pod_of_roots_restores() {
    campaign(Way::Pod);
}

fn campaign(way: Way) {
    let seed = std::env::var("THREESCALE_BACKUP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    println!("THREESCALE_BACKUP_SEED={seed}");
    let (guard, outside, target) = beside();
    std::fs::set_permissions(guard.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (_source_guard, source, _) = folders();
    shell(
        &source,
        "for d in d0 d1 d2; do mkdir -p $d/e; for f in f g h made file; do echo $d$f > $d/$f; echo $f > $d/e/$f; done; done
         echo 0 > f0; ln f0 f1; mkfifo pipe; ln -s f0 link; chmod 4755 d0/f; chmod 555 d2; chown -hR 4242:4242 .",
    );
    let (memory, kept) = backup(&source);
    shell(&target, "chown -hR 4242:4242 .");
    let before = outside_all(&outside);
    let mut owner = owner_at_work(seed, &outside, &target);
    let (limit, mut outcomes) = (Instant::now() + Duration::from_secs(8), [0_u32; 2]);
    let (mut tries, mut swapped, mut longest) = (0, 0, Duration::ZERO);
    while Instant::now() < limit || tries < 4 {
        tries += 1;
        let begun = Instant::now();
        let road = if tries % 3 == 0 { Road::InPlace } else { Road::SideCopy };
        let (mounted, pod, context) = (store(&target), pod(&target), context());
        let store: &dyn DataSet = if way == Way::Pod { &pod } else { &mounted };
        let place = store.reserve(&context, &kept, road).unwrap();
        let snapshot: Arc<dyn Snapshot> = Arc::clone(&memory) as Arc<dyn Snapshot>;
        let staged = store.stage(&context, &place, snapshot, &kept);
        outcomes[usize::from(staged.is_ok())] += 1;
        if let Err(error) = &staged {
            println!("{road:?}: {error:?}");
        }
        if staged.is_ok() && road == Road::SideCopy {
            // Whatever becomes of it: what counts is outside.
            let there = store.cut_over(&context, &place);
            let back = there.and_then(|()| store.undo(&context, &place).map(drop));
            swapped += u32::from(back.is_ok());
            if let Err(error) = back {
                println!("swap: {error:?}");
            }
        }
        drop(store.prove(&context, &place, &kept));
        drop(store.leftovers(&context));
        drop(store.discard(&context, &place, Discard::Staged));
        drop(store.discard(&context, &place, Discard::Previous));
        for leftover in store.leftovers(&context).unwrap_or_default() {
            drop(store.remove_leftover(&context, &leftover));
        }
        longest = longest.max(begun.elapsed());
        assert_eq!(outside_all(&outside), before, "seed {seed}, try {tries}, {way:?} {road:?}");
        // Where a try left the tree to root, its owner gets it back: he is to be at work again. And the next try begins anew.
        shell(&target, "chown 4242:4242 . && chmod 755 . && rm -rf .threescale-backup spare* || true");
    }
    assert!(owner.try_wait().unwrap().is_none(), "the owner was at work to the end");
    owner.kill().unwrap();
    owner.wait().unwrap();
    println!("{way:?}: {tries} tries, {longest:?} the longest: {} failed, {} staged, {swapped} swapped and back", outcomes[0], outcomes[1]);
    // How many turns he has is the scheduler's; without him it goes.
    shell(&target, "chown 4242:4242 . && chmod 755 . && rm -rf .threescale-backup spare*");
    let (mounted, pod) = (store(&target), pod(&target));
    let store: &dyn DataSet = if way == Way::Pod { &pod } else { &mounted };
    let place = store.reserve(&context(), &kept, Road::SideCopy).unwrap();
    store.stage(&context(), &place, memory as Arc<dyn Snapshot>, &kept).unwrap();
    store.discard(&context(), &place, Discard::Staged).unwrap();
    assert!(longest < Duration::from_secs(300), "{longest:?}");
    shell(&target, "chmod -R u+rwx . 2>/dev/null || true; find . -mindepth 1 -delete");
}

#[test]
fn a_tree_that_a_pod_of_roots_closed_for_its_load_is_its_owners_again() {
    for mounted in [false, true] {
        for ends in ["load", "abandon", "resume"] {
            let (_guard, source, target) = folders();
            let _small = mounted.then(|| super::refusals::Small::mount(&target, "size=20m"));
            shell(&source, "for n in $(seq 30); do head -c 100000 /dev/urandom > big$n; done; chown -R 4242:4242 .; chmod 2775 .");
            shell(&target, "echo live > live; chown -R 4242:4242 .; chmod 2770 .");
            let (memory, kept) = backup(&source);
            let pod = pod(&target);
            let place = pod.reserve(&context(), &kept, Road::InPlace).unwrap();
            let mode = || String::from_utf8(shell(&target, "stat -c '%a %u:%g' .")).unwrap();
            if ends != "load" {
                let broken = Arc::new(super::in_place::Broken { memory: Arc::clone(&memory), left: Mutex::new(10) });
                assert!(pod.stage(&context(), &place, broken, &kept).is_err());
                assert_eq!(mode(), "700 0:0\n", "nobody enters half a tree");
            }
            if ends == "abandon" {
                let left = pod.leftovers(&context()).unwrap();
                pod.remove_leftover(&context(), &left[0]).unwrap();
                assert_eq!(mode(), "2770 4242:4242\n");
                continue;
            }
            pod.stage(&context(), &place, Arc::clone(&memory) as Arc<dyn Snapshot>, &kept).unwrap();
            // A mount keeps what it has; a plain folder has what the set says.
            assert_eq!(mode(), if mounted { "2770 4242:4242\n" } else { "2775 4242:4242\n" }, "{ends}");
            pod.tidy(&context(), &place).unwrap();
            assert_eq!(mode(), if mounted { "2770 4242:4242\n" } else { "2775 4242:4242\n" }, "{ends}");
            assert_eq!(super::outside(&target), super::outside(&source));
        }
    }
}
