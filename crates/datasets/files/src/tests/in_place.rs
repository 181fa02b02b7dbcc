//! The road over the live data.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::MetadataExt;

use super::*;

const SOURCE: &str = "mkdir -p keep/sub was-file; echo same > keep/same; echo new > keep/differs; echo n > was-file/n; echo f > was-folder
    echo l > l1; ln l1 l2; echo s1 > s1; echo s1 > s2; ln -s a link; mkfifo pipe; head -c 9000000 /dev/zero > big; head -c 9000001 /dev/urandom > big2
    setfattr -n user.k -v v keep; chmod 500 keep/sub; touch -d @10.5 keep/same; touch -d @999.25 .";
const TARGET: &str = "mkdir -p keep/sub/gone was-folder/deep keep/closed; echo same > keep/same; echo old > keep/differs; echo x > was-file; echo y > was-folder/deep/y
    echo s1 > s1; ln s1 s2; echo l > l1; echo gone > gone; ln -s b link; mkfifo pipe; cp SRC/big big; echo z > keep/closed/z; chmod 0 keep/closed
    setfattr -n user.old -v o keep; echo a > a-first; echo z > zz-last; chmod 600 pipe; mkdir -m 700 lost+found";

#[test]
fn a_live_tree_becomes_the_set_in_place() {
    let (_guard, source, target) = folders();
    shell(&source, SOURCE);
    shell(&target, &TARGET.replace("SRC", "../source"));
    let same = std::fs::metadata(target.join("keep/same")).unwrap().ino();
    let (memory, kept) = backup(&source);
    let place = stage(&target, &memory, &kept, Road::InPlace);
    shell(&target, "rmdir lost+found");
    shell(&source, "touch -d @999.25 .");
    assert_eq!(outside(&target), outside(&source));
    assert_eq!(std::fs::metadata(target.join("keep/same")).unwrap().ino(), same, "what is the same is not written again");
    let (store, context) = (store(&target), context());
    store.cut_over(&context, &place).unwrap();
    assert!(store.undo(&context, &place).is_err());
    store.discard(&context, &place, plan::ports::Discard::Previous).unwrap();
    assert!(!target.join(".threescale-backup").exists());
    assert_eq!(outside(&target), outside(&source));
}

#[test]
fn an_interrupted_replacement_goes_on() {
    let (_guard, source, target) = folders();
    shell(&source, SOURCE);
    shell(&target, &TARGET.replace("SRC", "../source"));
    let (memory, kept) = backup(&source);
    for reads in 0..8 {
        let broken = Arc::new(Broken { memory: Arc::clone(&memory), left: Mutex::new(reads) });
        let place = store(&target).reserve(&context(), &kept, Road::InPlace).unwrap();
        assert!(store(&target).stage(&context(), &place, broken, &kept).is_err());
        assert!(store(&target).prove(&context(), &place, &kept).is_err(), "half a staging is not proven");
    }
    stage(&target, &memory, &kept, Road::InPlace);
    shell(&target, "rmdir lost+found");
    assert_eq!(outside(&target), outside(&source));
}

/// A snapshot that breaks after some reads.
pub(super) struct Broken {
    pub(super) memory: Arc<Memory>,
    pub(super) left: Mutex<u32>,
}

impl Snapshot for Broken {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        self.memory.entries()
    }

    fn find(&self, path: &Path) -> Result<Entry> {
        self.memory.find(path)
    }

    fn read(&self, entry: &Entry) -> Result<Box<dyn Read + Send>> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 {
            return Err(Error::failed("the repository is gone"));
        }
        *left -= 1;
        self.memory.read(entry)
    }
}

#[test]
fn a_broken_snapshot_leaves_the_live_tree_alone() {
    let (_guard, source, target) = folders();
    shell(&source, SOURCE);
    shell(&target, "echo live > live");
    let before = outside(&target);
    let (memory, kept) = backup(&source);
    let place = store(&target).reserve(&context(), &kept, Road::SideCopy).unwrap();
    let broken = Arc::new(Broken { memory: Arc::clone(&memory), left: Mutex::new(3) });
    let error = store(&target).stage(&context(), &place, broken, &kept).unwrap_err();
    assert_eq!(error.to_string(), "the repository is gone");
    assert!(store(&target).cut_over(&context(), &place).is_err());
    assert_eq!(outside(&target), before);
    stage(&target, &memory, &kept, Road::SideCopy);
    store(&target).cut_over(&context(), &place).unwrap();
    assert_eq!(outside(&target), outside(&source));
}
