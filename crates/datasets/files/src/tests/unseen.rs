//! A disk that gives other bytes than were written, in a real repository: found when the file's turn comes, or with `--read-all`; and a volume that comes back
//! under another number is read. The volume is an image behind a loop device, so that its bytes can change without its file system.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use plan::ids::SetId;
use plan::ports::{Earlier, Keep, Repository as _};
use repository::{Location, RusticRepository};

use super::*;

const SMALL: &[u8] = b"0123456789abcdef-small-0123456789abcdef";
const LARGE: &[u8] = b"0123456789abcdef-large-0123456789abcdef";

struct Volume {
    image: PathBuf,
    device: String,
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Volume {
    fn make(folder: &Path) -> Self {
        let (image, at) = (folder.join("image"), folder.join("volume"));
        std::fs::create_dir(&at).unwrap();
        std::fs::File::create(&image).unwrap().set_len(24 << 20).unwrap();
        run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        let mut volume = Self { image, device: String::new(), at };
        volume.attach();
        volume
    }

    fn attach(&mut self) {
        self.device = run("losetup", &["--find", "--show", self.image.to_str().unwrap()]);
        self.mount();
    }

    fn mount(&self) {
        run("mount", &[&self.device, self.at.to_str().unwrap()]);
    }

    fn unmount(&self) {
        run("umount", &[self.at.to_str().unwrap()]);
    }

    /// Changes one byte of a content where it is on the disk, and nothing else.
    fn rot(&self, content: &[u8]) {
        self.unmount();
        let found = run("grep", &["-obaF", std::str::from_utf8(content).unwrap(), &self.device]);
        assert_eq!(found.lines().count(), 1, "{found}");
        let place: u64 = found.split(':').next().unwrap().parse().unwrap();
        let device = OpenOptions::new().write(true).open(&self.device).unwrap();
        device.write_all_at(b"X", place).unwrap();
        device.sync_all().unwrap();
        drop(device);
        self.mount();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.at).status().ok();
        Command::new("losetup").args(["--detach", &self.device]).status().ok();
    }
}

struct Scene {
    repository: RusticRepository,
    folder: PathBuf,
    store: FilesStore,
    number: u32,
}

impl Scene {
    fn take(&mut self, before: Option<&KeptDataSet>, reads_all: bool) -> KeptDataSet {
        self.number += 1;
        let dump = match before {
            Some(kept) => {
                let snapshot = Arc::from(self.repository.open(&kept.snapshot).unwrap());
                self.store.dump_since(&context(), Earlier { snapshot, kept: kept.clone(), reads_all }).unwrap()
            }
            None => self.store.dump(&context()).unwrap(),
        };
        let earlier = before.map(|kept| kept.snapshot.clone());
        let keep = Keep { set: SetId(format!("set-{}", self.number)), data_set: DataSetName::SystemStorage, earlier };
        let kept = self.repository.keep(&context(), &keep, dump).unwrap();
        KeptDataSet {
            snapshot: kept.snapshot,
            kind: plan::ports::StoreKind::Files,
            store: "folder".to_owned(),
            identity: None,
            started_at: Timestamp::UNIX_EPOCH,
            consistent_at: kept.verdict.consistent_at,
            finished_at: kept.verdict.consistent_at,
            parts: kept.parts,
            bytes: kept.bytes,
            stored_bytes: kept.stored_bytes,
            evidence: kept.verdict.evidence,
            problems: kept.verdict.problems,
        }
    }

    /// What a set has of a file, as restic reads it.
    fn read(&self, kept: &KeptDataSet, name: &str) -> Vec<u8> {
        let mut restic = Command::new("restic");
        restic.args(["--no-cache", "--no-lock", "-r"]).arg(&self.folder).args(["dump", kept.snapshot.as_str(), &format!("/{name}")]);
        let output = restic.env("RESTIC_PASSWORD", "password").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// restic passes over what is noted beside the files, and says nothing about it.
    fn restored_by_restic(&self, kept: &KeptDataSet) -> String {
        let target = tempfile::tempdir().unwrap();
        let mut restic = Command::new("restic");
        restic.args(["--no-cache", "--no-lock", "-q", "-r"]).arg(&self.folder).args(["restore", kept.snapshot.as_str(), "--target"]);
        let output = restic.arg(target.path()).env("RESTIC_PASSWORD", "password").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("note") && !said.contains("attr"), "{said}");
        outside(target.path())
    }

    /// How many files of a set were taken over, what was told, and whether restic puts it back as it was dumped.
    fn check(&self, kept: &KeptDataSet, unchanged: &str, told: &[&str]) {
        let warnings = &kept.evidence.warnings;
        assert_eq!(kept.evidence.facts.get("unchanged").unwrap(), unchanged, "{warnings:?}");
        assert_eq!(warnings.len(), told.len(), "{warnings:?}");
        for name in told {
            assert!(warnings.iter().any(|text| text.starts_with(&format!("{name:?}: its content is not the one"))), "{warnings:?}");
        }
        let snapshot: Arc<dyn Snapshot> = Arc::from(self.repository.open(&kept.snapshot).unwrap());
        let (_guard, _, target) = folders();
        let store = store(&target);
        let place = store.reserve(&context(), kept, Road::SideCopy).unwrap();
        store.stage(&context(), &place, snapshot, kept).unwrap();
        assert_eq!(kept.evidence.differences(&store.prove(&context(), &place, kept).unwrap()), Vec::<String>::new());
    }
}

#[test]
fn rot_is_found_when_a_file_is_read_again_and_a_volume_under_another_number_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut volume = Volume::make(folder.path());
    let at = volume.at.join("tree");
    shell(&volume.at, "mkdir tree; cd tree; for n in $(seq 20); do echo $n > $n; done");
    write(at.join("small"), SMALL);
    write(at.join("large"), [vec![7; 9_000_000], LARGE.to_vec()].concat());
    let location = Location::Folder(folder.path().join("repository"));
    RusticRepository::init(&location, &"password".into()).unwrap();
    let repository = RusticRepository::open(&location, &"password".into()).unwrap();
    let store = FilesStore { settled: Duration::ZERO, ..store(&at) };
    let mut scene = Scene { repository, folder: folder.path().join("repository"), store, number: 0 };

    let first = scene.take(None, false);
    scene.check(&first, "0", &[]);
    let second = scene.take(Some(&first), false);
    scene.check(&second, "22", &[]);
    assert_eq!(scene.restored_by_restic(&second), outside(&at));
    // Only the folder with the note on the large file, whose digest is known now.
    assert!(second.stored_bytes < 8_000, "{}", second.stored_bytes);
    let third = scene.take(Some(&second), false);
    scene.check(&third, "22", &[]);
    assert_eq!(third.stored_bytes, 0);

    // Nobody looks at what is the same: the set has what was written, and not what the disk gives now. Whoever reads is told.
    volume.rot(SMALL);
    volume.rot(LARGE);
    let mut rotten = (SMALL.to_vec(), [vec![7; 9_000_000], LARGE.to_vec()].concat());
    (rotten.0[0], rotten.1[9_000_000]) = (b'X', b'X');
    assert!(std::fs::read(at.join("small")).unwrap() == rotten.0 && std::fs::read(at.join("large")).unwrap() == rotten.1);
    let all = scene.take(Some(&third), true);
    scene.check(&all, "20", &["large", "small"]);
    assert!(scene.read(&all, "small") == rotten.0 && scene.read(&all, "large") == rotten.1);
    assert_eq!(scene.read(&third, "small"), SMALL);
    let mut before = third;
    let mut sets = 0;
    loop {
        let kept = scene.take(Some(&before), false);
        sets += 1;
        let is_told = kept.evidence.warnings.iter().any(|text| text.starts_with("\"small\": its content is not the one"));
        assert_eq!(kept.evidence.facts.get("unchanged").unwrap(), &(22 - kept.evidence.warnings.len()).to_string());
        assert!(is_told || sets < 50, "fifty sets, and it was not found");
        before = kept;
        if is_told {
            break;
        }
        // Until then it is what was written.
        assert!(sets > 1 || scene.read(&before, "small") == SMALL);
    }
    assert_eq!(scene.read(&before, "small"), rotten.0);
    // What is told is told once: the next set has it, and agrees.
    before = scene.take(Some(&before), false);
    assert!(!before.evidence.warnings.iter().any(|text| text.contains("small")), "{:?}", before.evidence.warnings);

    // Under another number.
    let number = run("stat", &["-c", "%d", at.to_str().unwrap()]);
    let old = volume.device.clone();
    volume.unmount();
    let other = run("losetup", &["--find", "--show", volume.image.to_str().unwrap()]);
    run("losetup", &["--detach", &old]);
    volume.device = other;
    volume.mount();
    assert_ne!(run("stat", &["-c", "%d", at.to_str().unwrap()]), number);
    let moved = scene.take(Some(&before), false);
    scene.check(&moved, "0", &[]);
}
