//! The table of `docs/when-something-is-damaged.md`: kind of file × damage × what is done later, walked cell by cell.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use plan::Class;
use plan::ports::{Kept, Part, Repository as _, Silent, StopFlag};
use repository::{CheckReport, Location, ReadData, Retention, RusticRepository};

use crate::scene::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    DataPack,
    TreePack,
    Index,
    Snapshot,
    Manifest,
    Temporary,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Flipped,
    Cut,
    Empty,
    Removed,
    /// With the same file of another set.
    Exchanged,
    /// Two chunks in the pack.
    ChunksSwapped,
}

/// Of the set that needs the file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Set {
    /// It restores, equal byte for byte.
    Whole,
    /// It is refused; a new backup of the same data makes it whole again.
    Heals,
    /// It is refused, and stays so.
    Lost,
    /// It is not listed any more.
    Gone,
}

/// What must be seen. Everywhere: untouched sets restore equal, and a backup after `check --read-data` is whole.
#[derive(Debug, Clone, Copy)]
struct Row {
    kind: Kind,
    damage: Damage,
    set: Set,
    /// `list` says that something is damaged, before any check.
    is_listed: bool,
    /// `check` finds it without reading the data.
    is_checked: bool,
    /// A backup before any check is whole.
    backup_is_whole: bool,
    /// `forget` deletes nothing before it is repaired.
    forget_refuses: bool,
}

const fn row(kind: Kind, damage: Damage, set: Set, seen: [bool; 4]) -> Row {
    let [is_listed, is_checked, backup_is_whole, forget_refuses] = seen;
    Row { kind, damage, set, is_listed, is_checked, backup_is_whole, forget_refuses }
}

const Y: bool = true;
const N: bool = false;

/// Not listed here: the key and `config`, which every command needs (see the other test).
const TABLE: &[Row] = &[
    //                                                     list check backup forget-refuses
    row(Kind::DataPack, Damage::Flipped, Set::Heals, [N, N, N, N]),
    row(Kind::DataPack, Damage::Cut, Set::Heals, [N, Y, Y, N]),
    row(Kind::DataPack, Damage::Empty, Set::Heals, [N, Y, Y, N]),
    row(Kind::DataPack, Damage::Removed, Set::Heals, [N, Y, Y, N]),
    row(Kind::DataPack, Damage::Exchanged, Set::Heals, [N, N, N, N]),
    row(Kind::DataPack, Damage::ChunksSwapped, Set::Heals, [N, N, N, N]),
    row(Kind::TreePack, Damage::Flipped, Set::Heals, [N, Y, Y, N]),
    row(Kind::TreePack, Damage::Cut, Set::Heals, [N, Y, Y, N]),
    row(Kind::TreePack, Damage::Empty, Set::Heals, [N, Y, Y, N]),
    row(Kind::TreePack, Damage::Removed, Set::Heals, [N, Y, Y, N]),
    row(Kind::TreePack, Damage::Exchanged, Set::Heals, [N, Y, Y, N]),
    row(Kind::Index, Damage::Flipped, Set::Whole, [N, Y, Y, N]),
    row(Kind::Index, Damage::Cut, Set::Whole, [N, Y, Y, N]),
    row(Kind::Index, Damage::Empty, Set::Whole, [N, Y, Y, N]),
    row(Kind::Index, Damage::Removed, Set::Whole, [N, Y, Y, N]),
    row(Kind::Index, Damage::Exchanged, Set::Whole, [N, Y, Y, N]),
    row(Kind::Snapshot, Damage::Flipped, Set::Lost, [Y, Y, Y, Y]),
    row(Kind::Snapshot, Damage::Cut, Set::Lost, [Y, Y, Y, Y]),
    row(Kind::Snapshot, Damage::Empty, Set::Lost, [Y, Y, Y, Y]),
    row(Kind::Snapshot, Damage::Removed, Set::Lost, [Y, Y, Y, N]),
    row(Kind::Snapshot, Damage::Exchanged, Set::Lost, [Y, Y, Y, Y]),
    row(Kind::Manifest, Damage::Flipped, Set::Gone, [Y, Y, Y, Y]),
    row(Kind::Manifest, Damage::Cut, Set::Gone, [Y, Y, Y, Y]),
    row(Kind::Manifest, Damage::Empty, Set::Gone, [Y, Y, Y, Y]),
    row(Kind::Manifest, Damage::Removed, Set::Gone, [N, N, Y, N]),
    row(Kind::Manifest, Damage::Exchanged, Set::Gone, [Y, Y, Y, Y]),
    row(Kind::Temporary, Damage::Empty, Set::Whole, [N, N, Y, N]),
];

/// Parts of one chunk each, all of the same length when stored.
fn content(seed: u64) -> Vec<Part> {
    parts(seed, 8, 60_000)
}

/// A repository with two sets, and the files of each.
struct Ground {
    scene: Scene,
    touched: Kept,
    other: Kept,
    files: Vec<(Kind, PathBuf, PathBuf)>,
}

fn new_files(scene: &Scene, folder: &str, known: &mut Vec<PathBuf>) -> Vec<PathBuf> {
    let now = scene.files(folder);
    let mut new: Vec<_> = now.iter().filter(|file| !known.contains(file)).cloned().collect();
    new.sort_by_key(|file| std::fs::metadata(file).unwrap().len());
    *known = now;
    new
}

impl Ground {
    fn new() -> Self {
        let scene = Scene::new();
        let (mut packs, mut index, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
        let mut make = |set: &str, seed| {
            let kept = scene.repository.keep(&context(), &keep_of(set), Script::parts(content(seed))).unwrap();
            let new_packs = new_files(&scene, "data", &mut packs);
            let (tree, data) = (new_packs.first().unwrap().clone(), new_packs.last().unwrap().clone());
            let index_file = new_files(&scene, "index", &mut index).remove(0);
            let snapshot = new_files(&scene, "snapshots", &mut snapshots).remove(0);
            scene.repository.write_manifest(&manifest(set, &kept)).unwrap();
            // The manifest's own: passed over.
            drop(new_files(&scene, "data", &mut packs));
            drop(new_files(&scene, "index", &mut index));
            let manifest = new_files(&scene, "snapshots", &mut snapshots).remove(0);
            (kept, [data, tree, index_file, snapshot, manifest])
        };
        let (touched, its) = make("touched", 1);
        let (other, others) = make("other", 2);
        let kinds = [Kind::DataPack, Kind::TreePack, Kind::Index, Kind::Snapshot, Kind::Manifest];
        let files = kinds.into_iter().zip(its.into_iter().zip(others)).map(|(kind, (its, others))| (kind, its, others)).collect();
        Self { scene, touched, other, files }
    }

    /// A copy of the repository with the damage.
    fn damaged(&self, row: &Row) -> Copy {
        let folder = tempfile::tempdir().unwrap();
        let copy = Copy { path: folder.path().join("repository"), _folder: folder };
        for file in files(&self.scene.path()) {
            let target = copy.path.join(file.strip_prefix(self.scene.path()).unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(&file, target).unwrap();
        }
        std::fs::create_dir_all(copy.path.join("locks")).unwrap();
        let at = |file: &Path| copy.path.join(file.strip_prefix(self.scene.path()).unwrap());
        match self.files.iter().find(|(kind, ..)| *kind == row.kind) {
            Some((_, its, others)) => damage(row.damage, &at(its), &at(others)),
            None => {
                let name = format!("{}-tmp-1-0", "ab".repeat(32));
                std::fs::create_dir_all(copy.path.join("data/ab")).unwrap();
                std::fs::write(copy.path.join("data/ab").join(name), b"").unwrap();
            }
        }
        copy
    }
}

fn damage(damage: Damage, file: &Path, other: &Path) {
    let good = std::fs::read(file).unwrap();
    let mut bad = good.clone();
    match damage {
        Damage::Flipped => bad[good.len() / 2] ^= 4,
        Damage::Cut => bad.truncate(good.len() / 2),
        Damage::Empty => bad.clear(),
        Damage::Removed => return std::fs::remove_file(file).unwrap(),
        Damage::Exchanged => bad = std::fs::read(other).unwrap(),
        Damage::ChunksSwapped => {
            let header = u32::from_le_bytes(good[good.len() - 4..].try_into().unwrap()) as usize;
            let length = (good.len() - 4 - header) / 8;
            let (first, rest) = bad.split_at_mut(length);
            first.swap_with_slice(&mut rest[..length]);
        }
    }
    assert!(bad != good);
    std::fs::write(file, bad).unwrap();
}

struct Copy {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Copy {
    fn location(&self) -> Location {
        Location::Folder(self.path.clone())
    }

    fn open(&self) -> RusticRepository {
        RusticRepository::open(&self.location(), &password()).unwrap()
    }
}

fn check_at(repository: &RusticRepository, read_data: ReadData) -> CheckReport {
    repository.check(read_data, &StopFlag::default(), &Silent).unwrap()
}

/// The content of a set, through the port.
fn is_equal(repository: &RusticRepository, kept: &Kept, seed: u64, what: &str) -> bool {
    match contents(repository, kept) {
        Err(_) => false,
        Ok(found) => {
            assert!(found == expected(content(seed)), "{what}: wrong data");
            true
        }
    }
}

fn back_up(repository: &RusticRepository) -> Kept {
    let kept = repository.keep(&context(), &keep_of("new"), Script::parts(content(1))).unwrap();
    repository.write_manifest(&manifest("new", &kept)).unwrap();
    kept
}

/// Looked at from outside: Debian's `restic` restores it, equal.
fn restic_restores(copy: &Copy, kept: &Kept, seed: u64, what: &str) {
    let target = copy.path.with_file_name(format!("target-{seed}"));
    let output = restic(&copy.path, &["restore", kept.snapshot.as_str(), "--target", target.to_str().unwrap()]);
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<_> =
        files(&target).into_iter().map(|file| (file.strip_prefix(&target).unwrap().to_owned(), std::fs::read(&file).unwrap())).collect();
    assert!(found == expected(content(seed)), "{what}: restic restored something else");
}

fn keep_all() -> Retention {
    Retention { last: 100, ..Retention::default() }
}

fn looks(ground: &Ground, row: &Row) {
    let copy = ground.damaged(row);
    let repository = copy.open();
    let what = format!("{:?} {:?}", row.kind, row.damage);
    let mut names = set_names(&repository);
    names.retain(|name| name != "other");
    assert_eq!(names, if row.set == Set::Gone { vec![] } else { vec!["touched"] }, "{what}: list");
    let damaged = repository.damaged().unwrap();
    assert_eq!(!damaged.is_empty(), row.is_listed, "{what}: {damaged:?}");
    assert!(is_equal(&repository, &ground.other, 2, &what), "{what}: the untouched set");
    let is_whole = is_equal(&repository, &ground.touched, 1, &what);
    if row.kind != Kind::Manifest {
        assert_eq!(is_whole, row.set == Set::Whole, "{what}: the touched set");
    }
    let report = check_at(&repository, ReadData::Nothing);
    assert_eq!(!report.is_whole(), row.is_checked, "{what}: check: {report:?}");
    for set in report.sets.iter().filter(|set| set.set.as_str() == "other") {
        assert!(set.problems.is_empty(), "{what}: check: {report:?}");
    }
    let init = RusticRepository::init(&copy.location(), &password()).unwrap_err();
    assert_eq!(init.class(), Class::Refused, "{what}: {init:?}");
}

fn backs_up(ground: &Ground, row: &Row) {
    let what = format!("{:?} {:?}", row.kind, row.damage);
    let copy = ground.damaged(row);
    let kept = back_up(&copy.open());
    assert_eq!(is_equal(&copy.open(), &kept, 1, &what), row.backup_is_whole, "{what}: a backup before any check");

    let copy = ground.damaged(row);
    let report = check_at(&copy.open(), ReadData::All);
    let harmless = row.kind == Kind::Temporary || (row.kind, row.damage) == (Kind::Manifest, Damage::Removed);
    assert_eq!(report.is_whole(), harmless, "{what}: check --read-data: {report:?}");
    let kept = back_up(&copy.open());
    let repository = copy.open();
    assert!(is_equal(&repository, &kept, 1, &what), "{what}: a backup after check --read-data");
    assert!(is_equal(&repository, &ground.other, 2, &what), "{what}: the untouched set after that");
    if row.set == Set::Heals {
        assert!(is_equal(&repository, &ground.touched, 1, &what), "{what}: the touched set is whole again");
    }
    repository.repair(true, &StopFlag::default()).unwrap();
    let report = check_at(&copy.open(), ReadData::All);
    let is_lost = row.set == Set::Lost;
    assert_eq!(report.is_whole(), !is_lost, "{what}: check after backup and repair: {report:?}");
    restic_restores(&copy, &kept, 1, &what);
    restic_restores(&copy, &ground.other, 2, &what);
    let outside = restic(&copy.path, &["check", "--read-data"]);
    assert!(outside.status.success(), "{what}: restic check: {}", String::from_utf8_lossy(&outside.stderr));
}

fn forgets_and_repairs(ground: &Ground, row: &Row) {
    let what = format!("{:?} {:?}", row.kind, row.damage);
    let copy = ground.damaged(row);
    let forget = copy.open().forget(&keep_all(), &forget_options(true, false));
    assert_eq!(forget.is_err(), row.forget_refuses, "{what}: forget: {forget:?}");
    if let Err(error) = forget {
        assert!(error_text(&error).contains("snapshots/") && error_text(&error).contains("repair"), "{what}: {error:?}");
    }
    // Whether it goes on or refuses: what is whole stays so.
    drop(copy.open().forget(&keep_all(), &forget_options(true, true)));
    assert!(is_equal(&copy.open(), &ground.other, 2, &what), "{what}: the untouched set after forget --prune");

    let copy = ground.damaged(row);
    check_at(&copy.open(), ReadData::All);
    let before = files(&copy.path);
    let dry = copy.open().repair(false, &StopFlag::default()).unwrap();
    assert_eq!(files(&copy.path), before, "{what}: a repair without --yes touched something");
    let done = copy.open().repair(true, &StopFlag::default()).unwrap();
    assert_eq!((&dry.set_aside, &dry.put_back), (&done.set_aside, &done.put_back), "{what}: it did not do what it said");
    let again = copy.open().repair(true, &StopFlag::default()).unwrap();
    assert!(again.is_empty(), "{what}: a second repair found more to do: {again:?}");
    let repository = copy.open();
    assert!(is_equal(&repository, &ground.other, 2, &what), "{what}: the untouched set after repair");
    let is_lost = matches!(row.set, Set::Heals | Set::Lost);
    let told: Vec<_> = done.lost.iter().map(|(set, ..)| set.as_str()).collect();
    assert_eq!(told, if is_lost { vec!["touched"] } else { vec![] }, "{what}: lost: {done:?}");
    let shown = repository.damaged().unwrap();
    assert_eq!(shown.iter().any(|damaged| damaged.set.as_ref().is_some_and(|set| set.as_str() == "touched")), is_lost, "{what}: {shown:?}");
    repository.forget(&keep_all(), &forget_options(true, false)).unwrap();
    assert!(is_equal(&copy.open(), &back_up(&repository), 1, &what), "{what}: a backup after repair");
}

#[test]
fn every_cell_of_the_table_is_so() {
    let ground = Ground::new();
    let next = AtomicUsize::new(0);
    let steps: [fn(&Ground, &Row); 3] = [looks, backs_up, forgets_and_repairs];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = TABLE.get(next.fetch_add(1, Ordering::Relaxed)) {
                    steps.iter().for_each(|step| step(&ground, row));
                }
            });
        }
    });
}

#[test]
fn without_key_or_config_the_way_out_is_told_and_nothing_is_touched() {
    let scene = Scene::new();
    take(&scene.repository, "one", content(1));
    let key = scene.files("keys").remove(0);
    for (file, name) in [(key, "keys/"), (scene.path().join("config"), "config")] {
        let good = std::fs::read(&file).unwrap();
        for how in [Damage::Flipped, Damage::Cut, Damage::Empty, Damage::Removed] {
            damage(how, &file, &file);
            let before: Vec<_> = files(&scene.path()).into_iter().map(|file| (std::fs::read(&file).unwrap(), file)).collect();
            let error = RusticRepository::open(&scene.location(), &password()).unwrap_err();
            assert_eq!(error.class(), Class::Failed, "{name} {how:?}: {error:?}");
            let text = error_text(&error);
            assert!(text.contains(name.trim_end_matches('/')) && text.contains("from a copy"), "{name} {how:?}: {text}");
            let error = RusticRepository::init(&scene.location(), &password()).unwrap_err();
            assert_eq!(error.class(), Class::Refused, "{name} {how:?}: {error:?}");
            let after: Vec<_> = files(&scene.path()).into_iter().map(|file| (std::fs::read(&file).unwrap(), file)).collect();
            assert!(before == after, "{name} {how:?}: something was touched");
            std::fs::write(&file, &good).unwrap();
            assert_eq!(set_names(&scene.again()), ["one"]);
        }
    }
}
