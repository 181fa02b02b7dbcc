//! A repository in a temporary folder, dumps made of closures, and `restic` beside it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use plan::evidence::Evidence;
use plan::ids::{DataSetName, SetId};
use plan::manifest::{FORMAT, KeptDataSet, Manifest};
use plan::ports::{Content, Context, Dump, Keep, Kept, Meta, Part, Repository, Silent, StopFlag, Verdict};
use plan::{Error, InstallationId, Result};
use repository::{CheckReport, ForgetOptions, Location, ReadData, RusticRepository, Whose};
use secrecy::SecretString;

pub const PASSWORD: &str = "correct horse";
pub const DATA_SET: DataSetName = DataSetName::SystemDatabase;

pub fn password() -> SecretString {
    PASSWORD.into()
}

pub struct Scene {
    pub folder: tempfile::TempDir,
    pub repository: RusticRepository,
}

impl Scene {
    pub fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// In memory, for tests of many small backups: each file of a repository is synced, and disks take their time.
    pub fn in_memory() -> Self {
        Self::at(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    fn at(folder: tempfile::TempDir) -> Self {
        let location = Location::Folder(folder.path().join("repository"));
        RusticRepository::init(&location, &password()).unwrap();
        Self { repository: RusticRepository::open(&location, &password()).unwrap(), folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub fn location(&self) -> Location {
        Location::Folder(self.path())
    }

    pub fn again(&self) -> RusticRepository {
        RusticRepository::open(&self.location(), &password()).unwrap()
    }

    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        files(&self.path().join(folder))
    }

    pub fn restic(&self, arguments: &[&str]) -> String {
        // This scene may hold the lock of a set that was never finished, which restic's check heeds.
        let no_lock: &[&str] = if arguments.first() == Some(&"check") { &["--no-lock"] } else { &[] };
        let output = restic(&self.path(), &[arguments, no_lock].concat());
        assert!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    walk.into_iter().map(|entry| entry.unwrap()).filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

pub fn restic(repository: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new("restic")
        .args(["--no-cache", "-r", repository.to_str().unwrap()])
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .expect("restic is installed")
}

pub fn context() -> Context {
    Context { workers: 2, ..Context::new("run") }
}

pub fn keep_of(set: &str) -> Keep {
    Keep { set: SetId(set.into()), data_set: DATA_SET, earlier: None }
}

/// A dump made of a closure and a verdict.
pub struct Script {
    pub next: Box<dyn FnMut() -> Result<Option<Part>> + Send>,
    pub finish: Box<dyn FnOnce() -> Result<Verdict> + Send>,
}

impl Script {
    pub fn new(next: impl FnMut() -> Result<Option<Part>> + Send + 'static) -> Box<Self> {
        Box::new(Self { next: Box::new(next), finish: Box::new(|| Ok(verdict())) })
    }

    pub fn parts(parts: Vec<Part>) -> Box<Self> {
        let mut parts = parts.into_iter();
        Self::new(move || Ok(parts.next()))
    }
}

impl Dump for Script {
    fn next_part(&mut self) -> Result<Option<Part>> {
        (self.next)()
    }

    fn finish(self: Box<Self>) -> Result<Verdict> {
        (self.finish)()
    }
}

pub fn verdict() -> Verdict {
    Verdict { evidence: Evidence::default(), consistent_at: Timestamp::now(), problems: Vec::new() }
}

/// Bytes that look random, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// `count` parts of `length` bytes of noise.
pub fn parts(seed: u64, count: u64, length: usize) -> Vec<Part> {
    (0..count)
        .map(|number| Part::bytes(format!("tables/t{}/{number:06}", number * 4 / count.max(1)), noise(seed * 1000 + number, length)))
        .collect()
}

pub fn stream(path: &str, size_bytes: u64, reader: impl Read + Send + 'static) -> Part {
    Part {
        path: path.into(),
        meta: Meta { mode: 0o600, ..Meta::default() },
        content: Content::Stream { size_bytes, reader: Box::new(reader) },
    }
}

/// Gives one byte at a time.
pub struct Trickle<R>(pub R);

impl<R: Read> Read for Trickle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

/// Always fails.
pub struct Broken;

impl Read for Broken {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by test"))
    }
}

pub fn manifest(set: &str, kept: &Kept) -> Manifest {
    let now = Timestamp::now();
    let data_set = KeptDataSet {
        snapshot: kept.snapshot.clone(),
        kind: plan::ports::StoreKind::MySql,
        store: "MySQL 9.7.0".into(),
        identity: None,
        started_at: now,
        consistent_at: kept.verdict.consistent_at,
        finished_at: now,
        parts: kept.parts,
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        evidence: kept.verdict.evidence.clone(),
        problems: Vec::new(),
    };
    Manifest {
        format: FORMAT.into(),
        set: SetId(set.into()),
        program_version: "0.1.0".into(),
        host: "test".into(),
        started_at: now,
        finished_at: now,
        frozen: false,
        safety_for: None,
        installation: None,
        release: None,
        newest_migration: None,
        left_out: std::collections::BTreeMap::new(),
        absent: Vec::new(),
        agreement: None,
        data_sets: [(DATA_SET, data_set)].into(),
    }
}

/// Keeps small data sets as a set of an installation, finished at a time.
pub fn take_of(repository: &RusticRepository, name: &str, set: &str, at: Timestamp, seeds: &[(DataSetName, u64)]) -> Manifest {
    take_some_of(repository, name, set, at, seeds, &ALL_OF_THEM)
}

/// The same of an installation that has these data sets.
pub fn take_some_of(
    repository: &RusticRepository,
    name: &str,
    set: &str,
    at: Timestamp,
    seeds: &[(DataSetName, u64)],
    has: &[DataSetName],
) -> Manifest {
    let mut taken: Option<Manifest> = None;
    for (data_set, seed) in seeds {
        let keep = Keep { set: SetId(set.into()), data_set: *data_set, earlier: None };
        let kept = repository.keep(&context(), &keep, Script::parts(parts(*seed, 2, 3000))).unwrap();
        let mut one = manifest(set, &kept);
        let kept = one.data_sets.remove(&DATA_SET).unwrap();
        taken.get_or_insert(one).data_sets.insert(*data_set, kept);
    }
    let mut taken = taken.unwrap();
    (taken.started_at, taken.finished_at) = (at, at);
    taken.installation = Some(InstallationId { name: name.into(), identity: Some(format!("namespace {name}")) });
    let left_out = has.iter().filter(|name| !taken.data_sets.contains_key(*name));
    taken.left_out = left_out.map(|name| (*name, "not asked for".to_owned())).collect();
    repository.write_manifest(&taken).unwrap();
    taken
}

/// What the installations of [`take_of`] have.
pub const ALL_OF_THEM: [DataSetName; 3] = [DataSetName::SystemDatabase, DataSetName::BackendRedis, DataSetName::SystemRedis];

/// All of them, with contents of a seed.
pub fn all_of(seed: u64) -> [(DataSetName, u64); 3] {
    ALL_OF_THEM.map(|name| (name, seed * 10 + name as u64))
}

/// About the sets of an installation.
pub fn forget_of(name: &str, now: Timestamp) -> ForgetOptions {
    ForgetOptions {
        now: now.to_zoned(jiff::tz::TimeZone::UTC),
        whose: Whose { installation: Some(InstallationId::named(name)), unnamed: false },
        ..forget_options(true, false)
    }
}

/// Bytes of all files.
pub fn disk_usage(folder: &Path) -> u64 {
    files(folder).iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
}

/// Keeps parts as a whole set.
pub fn take(repository: &RusticRepository, set: &str, parts: Vec<Part>) -> Kept {
    let kept = repository.keep(&context(), &keep_of(set), Script::parts(parts)).unwrap();
    repository.write_manifest(&manifest(set, &kept)).unwrap();
    kept
}

pub fn check(repository: &RusticRepository) -> CheckReport {
    repository.check(ReadData::All, &StopFlag::default(), &Silent).unwrap()
}

pub fn set_names(repository: &RusticRepository) -> Vec<String> {
    repository.manifests().unwrap().into_iter().map(|manifest| manifest.set.0).collect()
}

/// All files of a set, read through the port.
pub fn contents(repository: &RusticRepository, kept: &Kept) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let snapshot = Repository::open(repository, &kept.snapshot)?;
    let mut files = Vec::new();
    for entry in snapshot.entries()? {
        let entry = entry?;
        if entry.is_file() {
            files.push((entry.path.clone(), snapshot.read_all(&entry)?));
        }
    }
    Ok(files)
}

pub fn expected(parts: Vec<Part>) -> Vec<(PathBuf, Vec<u8>)> {
    let bytes = |part: Part| match part.content {
        Content::Bytes(bytes) => (part.path, bytes),
        other => panic!("{other:?}"),
    };
    parts.into_iter().map(bytes).collect()
}

/// About the sets that have no installation's name, as those of this scene.
pub fn forget_options(apply: bool, prune: bool) -> ForgetOptions {
    ForgetOptions {
        now: jiff::Zoned::now(),
        whose: Whose { installation: None, unnamed: true },
        prune,
        apply,
        shown: None,
        backup_hours_max: repository::BACKUP_HOURS_MAX,
        at_once: false,
    }
}

pub fn error_text(error: &Error) -> String {
    format!("{error:?}")
}
