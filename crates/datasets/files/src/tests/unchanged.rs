//! What a dump takes over from the set before, and what it reads: seen by which files it opens, and by comparing what is kept with the files.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plan::ports::Earlier;

use super::*;

type Opened = Arc<Mutex<BTreeSet<String>>>;

/// A store whose files need not have been left alone for long, and what it opens.
fn watched(path: &Path) -> (FilesStore, Opened) {
    let opened = Opened::default();
    let seen = Arc::clone(&opened);
    let store = hooked(path, move |moment, path| {
        if moment == Moment::Opened {
            seen.lock().unwrap().insert(path.display().to_string());
        }
        Ok(())
    });
    (FilesStore { settled: Duration::ZERO, ..store }, opened)
}

struct Taken {
    memory: Arc<Memory>,
    kept: KeptDataSet,
    opened: BTreeSet<String>,
}

impl Taken {
    fn fact(&self, name: &str) -> &str {
        self.kept.evidence.facts.get(name).unwrap()
    }
}

/// Takes a set. What is in it must be what is in the tree now, whatever was taken over, and count as when all is read.
fn take(path: &Path, before: Option<&Taken>, reads_all: bool) -> Taken {
    let (store, opened) = watched(path);
    let dump = match before {
        Some(before) => {
            assert!(store.reuses(&before.kept));
            let snapshot = Arc::clone(&before.memory) as Arc<dyn Snapshot>;
            store.dump_since(&context(), Earlier { snapshot, kept: before.kept.clone(), reads_all }).unwrap()
        }
        None => store.dump(&context()).unwrap(),
    };
    let (memory, kept) = keep(dump).unwrap();
    let opened = std::mem::take(&mut *opened.lock().unwrap());
    Taken { memory, kept, opened }
}

/// As `cat` reads them.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = shell(path, "find . -type f -printf '%P\\0'");
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| (PathBuf::from(os(name)), std::fs::read(path.join(os(name))).unwrap())).collect()
}

fn is_as_the_tree(taken: &Taken, path: &Path, what: &str) {
    let stored = taken.memory.stored.values().filter(|stored| stored.kind == Kind::File);
    let stored: BTreeMap<_, _> = stored.map(|stored| (stored.path.clone(), stored.content.to_vec())).collect();
    assert!(stored == contents(path), "{what}");
    let (_, whole) = backup(path);
    assert_eq!(whole.evidence.differences(&taken.kept.evidence), Vec::<String>::new(), "{what}");
    assert_eq!(taken.kept.evidence.warnings, Vec::<String>::new(), "{what}");
}

const TREE: &str = "mkdir -p a/b c; for n in $(seq 30); do echo \"file $n\" > a/b/$n; echo \"other $n\" > c/$n; done; : > empty; echo x > linked; ln linked a/linked; \
    ln -s a link; mkfifo pipe; truncate -s 5M sparse; head -c 9000000 /dev/urandom > large; setfattr -n user.x -v y c/7";

#[test]
fn what_is_the_same_is_not_opened_and_all_of_it_is_read_again_in_fifty_sets() {
    let (_guard, source, target) = folders();
    shell(&source, TREE);
    let first = take(&source, None, false);
    assert_eq!(first.opened.len(), 65);
    is_as_the_tree(&first, &source, "first");
    let mut before = take(&source, Some(&first), false);
    // The digest of a large one was not known yet.
    assert!(before.opened.contains("large"), "{:?}", before.opened);
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..50 {
        let taken = take(&source, Some(&before), false);
        assert!(taken.opened.len() < 15, "{:?}", taken.opened);
        assert_eq!((taken.fact("unchanged"), taken.fact("read-again")), ("65", taken.opened.len().to_string().as_str()));
        taken.opened.iter().for_each(|name| *times.entry(name.clone()).or_default() += 1);
        // Nothing that is kept of a file changes, so its folder is stored once.
        let metas = |taken: &Taken| taken.memory.stored.values().map(|stored| stored.meta.clone()).collect::<Vec<_>>();
        assert!(metas(&taken) == metas(&before));
        before = taken;
    }
    is_as_the_tree(&before, &source, "the last");
    assert_eq!(times.len(), 65);
    assert!(times.values().all(|count| *count == 1), "{times:?}");
    // With --read-all each time.
    let all = take(&source, Some(&before), true);
    assert_eq!((all.opened.len(), all.fact("unchanged")), (65, "65"));
    // And it goes back.
    stage(&target, &before.memory, &before.kept, Road::InPlace);
    assert_eq!(outside(&target), outside(&source));
}

/// What somebody does between two sets, and the files that must be read then.
const CHANGES: [(&str, &[&str]); 13] = [
    ("echo FILE 3 > a/b/3", &["a/b/3"]),
    // Size and time of change as before.
    ("cp -p a/b/4 ../ref; echo 'FiLE 4' > a/b/4; touch -r ../ref a/b/4", &["a/b/4"]),
    ("touch -d @1000000 a/b/5", &["a/b/5"]),
    ("chmod 600 a/b/6; setfattr -n user.x -v z c/7", &["a/b/6", "c/7"]),
    ("cp -p a/b/8 ../new; echo 'fILE 8' > ../new; touch -r a/b/8 ../new; mv ../new a/b/8", &["a/b/8"]),
    // The same names, another file.
    ("mv a/b/9 ../x; mv a/b/8 a/b/9; mv ../x a/b/8", &["a/b/8", "a/b/9"]),
    ("ln c/10 c/more", &["c/10", "c/more"]),
    ("rm a/linked", &["linked"]),
    (
        "mv c d",
        &[
            "d/1", "d/10", "d/11", "d/12", "d/13", "d/14", "d/15", "d/16", "d/17", "d/18", "d/19", "d/2", "d/20", "d/21", "d/22", "d/23",
            "d/24", "d/25", "d/26", "d/27", "d/28", "d/29", "d/3", "d/30", "d/4", "d/5", "d/6", "d/7", "d/8", "d/9", "d/more",
        ],
    ),
    ("rm a/b/11; mkdir a/b/11; echo in > a/b/11/in; rm a/b/12; ln -s x a/b/12", &["a/b/11/in"]),
    ("rm a/b/13 a/b/14; : > new", &["new"]),
    ("printf Z | dd of=large bs=1 seek=8500000 conv=notrunc status=none", &["large"]),
    ("truncate -s 6M sparse", &["sparse"]),
];

#[test]
fn what_changed_in_any_way_is_read() {
    let (_guard, source, _) = folders();
    shell(&source, TREE);
    let mut before = take(&source, None, false);
    for _ in 0..2 {
        before = take(&source, Some(&before), false);
    }
    for (change, read) in CHANGES {
        shell(&source, change);
        let taken = take(&source, Some(&before), false);
        read.iter().for_each(|name| assert!(taken.opened.contains(*name), "{change}: {name} in {:?}", taken.opened));
        let unchanged: usize = taken.fact("unchanged").parse().unwrap();
        assert_eq!(unchanged + read.len(), contents(&source).len(), "{change}");
        is_as_the_tree(&taken, &source, change);
        before = taken;
    }
}

#[test]
fn what_no_time_tells_is_read() {
    let (_guard, source, _) = folders();
    shell(&source, TREE);
    // Changed a moment before it was read: the next change could have the same time.
    let (fresh, kept) = backup(&source);
    assert!(fresh.stored.values().all(|stored| stored.meta.note.is_empty()));
    let fresh = Taken { memory: fresh, kept, opened: BTreeSet::new() };
    let again = take(&source, Some(&fresh), false);
    assert_eq!((again.opened.len(), again.fact("unchanged")), (65, "0"));
    is_as_the_tree(&again, &source, "fresh");

    // A time in the future, each time.
    shell(&source, "touch -d 2099-01-01 a/b/1");
    let before = take(&source, Some(&again), false);
    assert!(take(&source, Some(&before), false).opened.contains("a/b/1"));

    // The clock was set back: the set before was taken later than now. And whatever else an entry may say.
    type Bend = fn(&mut Meta);
    let bends: [(&str, Bend); 5] = [
        ("read later than now", |meta| meta.read_at_ns = meta.read_at_ns.map(|at_ns| at_ns + 3_600_000_000_000)),
        ("never read", |meta| meta.read_at_ns = None),
        ("another device", |meta| meta.note.get_mut(20).into_iter().for_each(|byte| *byte ^= 1)),
        ("another inode", |meta| meta.note.get_mut(28).into_iter().for_each(|byte| *byte ^= 1)),
        ("a note of another form", |meta| meta.note.first_mut().into_iter().for_each(|byte| *byte = 7)),
    ];
    for (what, bend) in bends {
        let copied = |stored: &Stored| {
            let mut meta = stored.meta.clone();
            bend(&mut meta);
            let kind = match &stored.kind {
                Kind::File => Kind::File,
                Kind::Folder => Kind::Folder,
                Kind::Symlink(target) => Kind::Symlink(target.clone()),
                Kind::Fifo => Kind::Fifo,
                Kind::Socket => Kind::Socket,
            };
            (stored.path.clone(), Stored { path: stored.path.clone(), meta, kind, content: Arc::clone(&stored.content) })
        };
        let memory = Arc::new(Memory { stored: before.memory.stored.values().map(copied).collect() });
        let bent = Taken { memory, kept: before.kept.clone(), opened: BTreeSet::new() };
        let taken = take(&source, Some(&bent), false);
        assert_eq!((taken.opened.len(), taken.fact("unchanged")), (65, "0"), "{what}");
        is_as_the_tree(&taken, &source, what);
    }

    // A tree that was put back: the same paths, sizes and times, other files.
    shell(&source, "mkdir ../copy; cp -a . ../copy; find . -mindepth 1 -delete; cp -a ../copy/. .");
    assert_eq!(take(&source, Some(&before), false).fact("unchanged"), "0");

    // A set without notes: of an older program, or taken through a pod.
    let (store, _) = watched(&source);
    let mut old = before.kept.clone();
    old.evidence.facts.remove("read-again-turn");
    assert!(!store.reuses(&old));
}
