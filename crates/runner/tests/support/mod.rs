//! A fake installation behind the ports: data sets that are one string each, a repository in memory, writers that count.

pub mod live;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use plan::evidence::{Evidence, Tally};
use plan::ids::{DataSetName, RunId, SetId, SnapshotId};
use plan::manifest::{KeptDataSet, Manifest};
use plan::ports::*;
use plan::{Around, Care, Error, Plan, Policies, Result, Target, WritersAre, plan_restore};
use runner::{Hands, Journal};

use self::live::Keys;

/// Of this one staging leaves something for the stop of the writers.
pub const WITH_REST: DataSetName = DataSetName::BackendRedis;

/// One store: what is live, and what lies beside it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Data {
    pub live: String,
    pub side: Option<String>,
    pub before: Option<String>,
    /// Whether some of the side is still to be loaded.
    pub lacks_rest: bool,
}

pub struct FakeDataSet {
    pub name: DataSetName,
    pub data: Arc<Mutex<Data>>,
    pub faults: Arc<Mutex<Faults>>,
    pub keys: Keys,
}

/// What goes wrong in which store.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    /// Swaps back fail.
    pub undo: Option<DataSetName>,
    /// What was kept cannot be dropped.
    pub discard: Option<DataSetName>,
    /// The same, and it says so when it is asked.
    pub keeps: Option<DataSetName>,
    /// It is another store than it was.
    pub identity: Option<DataSetName>,
    /// What is dumped could not be loaded again.
    pub restorable: Option<DataSetName>,
    /// So many dumps of it give way to the application.
    pub gives_way: Option<(DataSetName, usize)>,
    /// The dumps that were begun.
    pub dumps: Vec<DataSetName>,
    /// So many stagings of it fail, for a while or for good.
    pub stage: Option<(DataSetName, usize, plan::Class)>,
}

fn evidence(text: &str) -> Evidence {
    let mut tally = Tally::default();
    tally.add(text.as_bytes());
    Evidence { collections: BTreeMap::from([("text".to_owned(), tally)]), ..Evidence::default() }
}

fn is_live(place: &Place) -> bool {
    place.0 == "live" || keeps(place)
}

/// In place, and what is replaced is kept all the same: the system database does that.
fn keeps(place: &Place) -> bool {
    place.0 == "live, kept"
}

impl DataSet for FakeDataSet {
    fn name(&self) -> DataSetName {
        self.name
    }
    fn kind(&self) -> Result<StoreKind> {
        Ok(StoreKind::Other("fake".into()))
    }
    fn identity(&self, _: &Context) -> Result<Option<String>> {
        let is_other = self.faults.lock().unwrap().identity == Some(self.name);
        Ok(Some(if is_other { "another" } else { "the one" }.into()))
    }
    fn look(&self, _: &Context) -> Result<Findings> {
        Ok(findings())
    }
    fn fits(&self, _: &Context, _: &KeptDataSet, _: Road) -> Result<Vec<Problem>> {
        Ok(Vec::new())
    }
    fn dump(&self, _: &Context) -> Result<Box<dyn Dump>> {
        let text = self.data.lock().unwrap().live.clone();
        {
            let mut faults = self.faults.lock().unwrap();
            faults.dumps.push(self.name);
            if let Some((name, left @ 1..)) = &mut faults.gives_way
                && *name == self.name
            {
                *left -= 1;
                return Err(Error::giving_way("somebody wants a table"));
            }
        }
        let is_useless = self.faults.lock().unwrap().restorable == Some(self.name);
        let problems = is_useless.then(|| Problem::new(Severity::Blocks, "a table would be refused")).into_iter().collect();
        Ok(Box::new(FakeDump { text: Some(text.clone()), evidence: evidence(&text), problems }))
    }
    fn reserve(&self, _: &Context, _: &KeptDataSet, road: Road) -> Result<Place> {
        Ok(Place(match road {
            Road::InPlace if self.name == DataSetName::SystemDatabase => "live, kept".into(),
            Road::InPlace => "live".into(),
            Road::SideCopy => "side".into(),
        }))
    }
    fn stage(&self, _: &Context, place: &Place, snapshot: Arc<dyn Snapshot>, _: &KeptDataSet) -> Result<()> {
        if let Some((name, left, class)) = &mut self.faults.lock().unwrap().stage
            && *name == self.name
            && *left > 0
        {
            *left -= 1;
            return Err(Error::new(*class, "its pod was lost"));
        }
        let text = String::from_utf8(snapshot.read_all(&snapshot.find(Path::new("text"))?)?).unwrap();
        live::load(&self.keys, &text);
        let mut data = self.data.lock().unwrap();
        if keeps(place) && data.before.is_none() {
            data.before = Some(std::mem::replace(&mut data.live, text));
        } else if is_live(place) {
            data.live = text;
        } else {
            assert_eq!(data.before, None, "staged over the previous data");
            data.side = Some(text);
            data.lacks_rest = self.name == WITH_REST;
        }
        Ok(())
    }
    fn load_rest(&self, _: &Context, _: &Place, _: Arc<dyn Snapshot>, _: &KeptDataSet) -> Result<()> {
        assert!(self.data.lock().unwrap().before.is_none(), "loaded after the cut-over");
        self.data.lock().unwrap().lacks_rest = false;
        Ok(())
    }
    fn prove(&self, _: &Context, place: &Place, _: &KeptDataSet) -> Result<Evidence> {
        let data = self.data.lock().unwrap();
        Ok(evidence(if is_live(place) { &data.live } else { data.side.as_deref().unwrap_or("") }))
    }
    fn change_keys(&self, _: &Context, place: &Place, database: &str, changes: &mut dyn KeyChanges) -> Result<()> {
        assert_eq!(database, "storage");
        let mut data = self.data.lock().unwrap();
        while let Some(change) = changes.next_change()? {
            let text = if is_live(place) { &mut data.live } else { data.side.as_mut().unwrap() };
            let changed = format!("{}, {}", text.split(',').next().unwrap(), String::from_utf8_lossy(change.key()));
            let keys = self.keys.lock().unwrap()[text.as_str()].clone();
            self.keys.lock().unwrap().insert(changed.clone(), keys);
            *text = changed;
        }
        Ok(())
    }
    fn keeps_previous(&self, place: &Place) -> bool {
        keeps(place)
    }
    fn cut_over(&self, _: &Context, _: &Place) -> Result<()> {
        let mut data = self.data.lock().unwrap();
        assert!(!data.lacks_rest, "cut over before all is loaded");
        if data.before.is_none() {
            let side = data.side.take().unwrap();
            data.before = Some(std::mem::replace(&mut data.live, side));
        }
        Ok(())
    }
    fn undo(&self, _: &Context, _: &Place) -> Result<Undone> {
        if self.faults.lock().unwrap().undo == Some(self.name) {
            return Err(Error::failed("somebody holds it"));
        }
        let mut data = self.data.lock().unwrap();
        if let Some(before) = data.before.take() {
            data.side = Some(std::mem::replace(&mut data.live, before));
        }
        Ok(if data.side.is_some() { Undone::PreviousIsLive } else { Undone::NothingThere })
    }
    fn check_discard(&self, _: &Context, _: &Place, _: Discard) -> Result<()> {
        match self.faults.lock().unwrap().keeps == Some(self.name) {
            true => Err(Error::refused("it belongs to another user")),
            false => Ok(()),
        }
    }
    fn discard(&self, _: &Context, place: &Place, what: Discard) -> Result<()> {
        if is_live(place) && !keeps(place) {
            return Ok(());
        }
        if self.faults.lock().unwrap().discard == Some(self.name) {
            return Err(Error::failed("somebody holds it"));
        }
        let mut data = self.data.lock().unwrap();
        match what {
            Discard::Staged if data.before.is_some() => return Err(Error::needs_person("the previous data is there")),
            Discard::Staged => data.side = None,
            Discard::Previous => (data.side, data.before) = (None, None),
        }
        Ok(())
    }
    fn kept_bytes(&self, _: &Context, _: &Place) -> Result<u64> {
        Ok(0)
    }
    fn live_keys(&self) -> Option<&dyn LiveKeys> {
        Some(self)
    }
    fn live_rows(&self) -> Option<&dyn LiveRows> {
        (self.name == DataSetName::SystemDatabase).then_some(self as &dyn LiveRows)
    }
    fn leftovers(&self, context: &Context) -> Result<Vec<Leftover>> {
        let data = self.data.lock().unwrap();
        let (run, handle) = (context.run.0.clone(), serde_json::Value::Null);
        let left = Leftover { what: "data".into(), run, installation: None, holds: Holds::Unknown, bytes: None, handle };
        // A pod of the run says nothing of the data.
        let helper = Leftover { what: "a pod".into(), holds: Holds::Nothing, ..left.clone() };
        Ok(if data.side.is_some() || data.before.is_some() { vec![helper, left] } else { vec![helper] })
    }
}

struct FakeDump {
    text: Option<String>,
    evidence: Evidence,
    problems: Vec<Problem>,
}

impl Dump for FakeDump {
    fn next_part(&mut self) -> Result<Option<Part>> {
        Ok(self.text.take().map(|text| Part::bytes("text", text.into_bytes())))
    }
    fn finish(self: Box<Self>) -> Result<Verdict> {
        Ok(Verdict { evidence: self.evidence, consistent_at: Timestamp::UNIX_EPOCH, problems: self.problems })
    }
}

/// Snapshots by id, manifests in order.
#[derive(Default)]
pub struct FakeRepository {
    pub snapshots: Mutex<BTreeMap<SnapshotId, Vec<u8>>>,
    pub manifests: Mutex<Vec<Manifest>>,
    pub records: Mutex<BTreeMap<(String, String), Record>>,
}

struct FakeSnapshot(Vec<u8>);

impl Snapshot for FakeSnapshot {
    fn entries(&self) -> Result<Box<dyn Iterator<Item = Result<Entry>> + Send + '_>> {
        Ok(Box::new(std::iter::once(self.find(Path::new("text")))))
    }
    fn find(&self, path: &Path) -> Result<Entry> {
        Ok(Entry {
            path: path.to_owned(),
            meta: Meta::default(),
            size_bytes: self.0.len() as u64,
            kind: EntryKind::File,
            handle: EntryHandle(Box::new(())),
        })
    }
    fn read(&self, _: &Entry) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(self.0.clone())))
    }
}

impl Repository for FakeRepository {
    fn keep(&self, _: &Context, keep: &Keep, mut dump: Box<dyn Dump>) -> Result<Kept> {
        let mut bytes = Vec::new();
        while let Some(part) = dump.next_part()? {
            if let Content::Bytes(more) = part.content {
                bytes.extend(more);
            }
        }
        let verdict = dump.finish()?;
        let count = bytes.len() as u64;
        let snapshot = SnapshotId(format!("{}/{}", keep.set, keep.data_set));
        self.snapshots.lock().unwrap().insert(snapshot.clone(), bytes);
        Ok(Kept { snapshot, parts: 1, bytes: count, stored_bytes: count, verdict })
    }
    fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.manifests.lock().unwrap().push(manifest.clone());
        Ok(())
    }
    fn manifests(&self) -> Result<Vec<Manifest>> {
        Ok(self.manifests.lock().unwrap().clone())
    }
    fn damaged(&self) -> Result<Vec<Damaged>> {
        Ok(Vec::new())
    }
    fn put_record(&self, kind: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let record = Record { name: name.to_owned(), at: Timestamp::UNIX_EPOCH, bytes: bytes.to_vec() };
        self.records.lock().unwrap().insert((kind.to_owned(), name.to_owned()), record);
        Ok(())
    }
    fn records(&self, kind: &str) -> Result<Vec<Record>> {
        Ok(self.records.lock().unwrap().iter().filter(|((of, _), _)| of == kind).map(|(_, record)| record.clone()).collect())
    }
    fn remove_record(&self, kind: &str, name: &str) -> Result<()> {
        self.records.lock().unwrap().remove(&(kind.to_owned(), name.to_owned()));
        Ok(())
    }
    fn open(&self, snapshot: &SnapshotId) -> Result<Box<dyn Snapshot>> {
        let bytes = self.snapshots.lock().unwrap().get(snapshot).cloned();
        bytes.map(|bytes| Box::new(FakeSnapshot(bytes)) as Box<dyn Snapshot>).ok_or_else(|| Error::failed("no such snapshot"))
    }
}

/// Writers that run one by one, and who holds them.
#[derive(Default)]
pub struct FakeWriters {
    pub running: Mutex<BTreeMap<WriterGroup, u32>>,
    pub operator_runs: Mutex<bool>,
}

impl Writers for FakeWriters {
    fn note(&self, _: &Context, _: &[DataSetName]) -> Result<Noted> {
        Ok(Noted(serde_json::to_value(&*self.running.lock().unwrap()).unwrap()))
    }
    fn stop(&self, _: &Context, _: &Noted) -> Result<()> {
        *self.operator_runs.lock().unwrap() = false;
        self.running.lock().unwrap().values_mut().for_each(|count| *count = 0);
        Ok(())
    }
    fn start(&self, _: &Context, noted: &Noted, group: WriterGroup) -> Result<()> {
        let noted: BTreeMap<WriterGroup, u32> = serde_json::from_value(noted.0.clone()).unwrap();
        self.running.lock().unwrap().insert(group, noted[&group]);
        Ok(())
    }
    fn release(&self, _: &Context, noted: &Noted) -> Result<()> {
        let noted: BTreeMap<WriterGroup, u32> = serde_json::from_value(noted.0.clone()).unwrap();
        assert_eq!(*self.running.lock().unwrap(), noted, "let go before all run");
        *self.operator_runs.lock().unwrap() = true;
        Ok(())
    }
    fn stopped(&self, _: &Context) -> Result<Option<bool>> {
        Ok(Some(self.running.lock().unwrap().values().all(|count| *count == 0)))
    }
    fn can_stop(&self) -> bool {
        true
    }
}

/// What was made anew from what was live then.
#[derive(Default)]
pub struct FakeCopies {
    pub source: BTreeMap<DataSetName, Arc<Mutex<Data>>>,
    pub copies: Mutex<BTreeMap<SyncTask, String>>,
}

impl FakeCopies {
    fn truth(&self) -> String {
        self.source[&DataSetName::SystemDatabase].lock().unwrap().live.clone()
    }
}

impl Synchronise for FakeCopies {
    fn offers(&self) -> Vec<SyncTask> {
        SyncTask::ALL.to_vec()
    }
    fn synchronise(&self, _: &Context, task: SyncTask) -> Result<()> {
        self.copies.lock().unwrap().insert(task, self.truth());
        Ok(())
    }
}

pub fn findings() -> Findings {
    Findings {
        store: "Fake 1".into(),
        address: "nowhere".into(),
        identity: Some("the one".into()),
        half_loaded_by: None,
        is_gone: false,
        size_bytes: 0,
        count: None,
        backup_problems: Vec::new(),
        restore_problems: Vec::new(),
        road: Road::SideCopy,
        facts: Vec::new(),
    }
}

/// The whole fake installation.
pub struct World {
    pub data: BTreeMap<DataSetName, Arc<Mutex<Data>>>,
    pub repository: Arc<FakeRepository>,
    pub writers: Arc<FakeWriters>,
    pub copies: Arc<FakeCopies>,
    pub faults: Arc<Mutex<Faults>>,
    pub rests: Vec<std::time::Duration>,
    pub keys: Keys,
}

impl World {
    /// Every data set holds `damaged …`; the repository holds a set with `good …`.
    pub fn new() -> (Self, Manifest) {
        let repository = Arc::new(FakeRepository::default());
        let mut data_sets = BTreeMap::new();
        let mut data = BTreeMap::new();
        for name in DataSetName::ALL {
            let (good, snapshot) = (format!("good {name}"), SnapshotId(name.to_string()));
            repository.snapshots.lock().unwrap().insert(snapshot.clone(), good.clone().into_bytes());
            data.insert(name, Arc::new(Mutex::new(Data { live: format!("damaged {name}"), ..Data::default() })));
            let now = Timestamp::UNIX_EPOCH;
            data_sets.insert(
                name,
                KeptDataSet {
                    snapshot,
                    kind: StoreKind::Other("fake".into()),
                    store: "Fake 1".into(),
                    identity: None,
                    started_at: now,
                    consistent_at: now,
                    finished_at: now,
                    parts: 1,
                    bytes: 1,
                    stored_bytes: 1,
                    evidence: evidence(&good),
                    problems: Vec::new(),
                },
            );
        }
        let now = Timestamp::UNIX_EPOCH;
        let manifest = Manifest {
            format: "1.0".into(),
            set: SetId("the-set".into()),
            program_version: "0".into(),
            host: "h".into(),
            started_at: now,
            finished_at: now,
            frozen: false,
            safety_for: None,
            installation: None,
            release: None,
            newest_migration: None,
            left_out: BTreeMap::new(),
            absent: Vec::new(),
            agreement: None,
            data_sets,
        };
        repository.manifests.lock().unwrap().push(manifest.clone());
        let running = WriterGroup::ALL.into_iter().zip([1, 2, 3]).collect();
        let writers = Arc::new(FakeWriters { running: Mutex::new(running), operator_runs: Mutex::new(true) });
        let copies = Arc::new(FakeCopies { source: data.clone(), copies: Mutex::default() });
        SyncTask::ALL.into_iter().for_each(|task| drop(copies.copies.lock().unwrap().insert(task, copies.truth())));
        let keys = Keys::default();
        DataSetName::ALL.iter().for_each(|name| live::load(&keys, &format!("damaged {name}")));
        (Self { data, repository, writers, copies, faults: Arc::default(), rests: Vec::new(), keys }, manifest)
    }

    pub fn hands(&self) -> Hands {
        let make = |name: &DataSetName, data: &Arc<Mutex<Data>>| {
            let (data, faults, keys) = (Arc::clone(data), Arc::clone(&self.faults), Arc::clone(&self.keys));
            (*name, Arc::new(FakeDataSet { name: *name, data, faults, keys }) as Arc<dyn DataSet>)
        };
        let context = Context::new("run");
        Hands {
            repository: Arc::clone(&self.repository) as Arc<dyn Repository>,
            data_sets: self.data.iter().map(|(name, data)| make(name, data)).collect(),
            writers: Arc::clone(&self.writers) as Arc<dyn Writers>,
            synchronise: Arc::clone(&self.copies) as Arc<dyn Synchronise>,
            context,
            copies_journal: true,
            host: "h".into(),
            lanes: runner::LANES,
            reads_all: false,
            rests: self.rests.clone(),
            examine: None,
            rewriter: Some(live::rewriter()),
            repairer: None,
            row_worker: None,
            file_finder: None,
            onlooker: Some(Arc::new(|looking| {
                assert!(looking.command == "look" && !looking.staged.is_empty());
                Ok(())
            })),
        }
    }

    pub fn live(&self) -> Vec<String> {
        self.data.values().map(|data| data.lock().unwrap().live.clone()).collect()
    }

    pub fn is_clean(&self) -> bool {
        self.data.values().all(|data| matches!(&*data.lock().unwrap(), Data { side: None, before: None, .. }))
    }

    pub fn writers_run(&self) -> bool {
        *self.writers.operator_runs.lock().unwrap() && self.writers.running.lock().unwrap().values().copied().eq([1, 2, 3])
    }

    /// Whether every copy equals its source of truth.
    pub fn copies_are_true(&self) -> bool {
        self.copies.copies.lock().unwrap().values().all(|copy| *copy == self.copies.truth())
    }
}

/// A restore of everything; the data sets in `in_place` go that road.
pub fn restore(manifest: &Manifest, in_place: &[DataSetName]) -> Plan {
    restore_of(&DataSetName::ALL, manifest, in_place, WritersAre::Ours)
}

/// A restore of some of it.
pub fn restore_of(names: &[DataSetName], manifest: &Manifest, in_place: &[DataSetName], writers: WritersAre) -> Plan {
    restore_with(names, manifest, in_place, writers, live::care())
}

/// A restore of some of it, and what it sets right.
pub fn restore_with(names: &[DataSetName], manifest: &Manifest, in_place: &[DataSetName], writers: WritersAre, care: Care) -> Plan {
    let target = |name: &DataSetName, kept: &KeptDataSet| {
        let road = if in_place.contains(name) { Road::InPlace } else { Road::SideCopy };
        (
            *name,
            Target {
                findings: findings(),
                kept: kept.clone(),
                road,
                fits: Vec::new(),
                rest: (*name == WITH_REST).then(|| "takes long".into()),
            },
        )
    };
    // What is staged is looked at, wherever something is.
    let look_first = names.iter().any(|name| manifest.data_sets.contains_key(name) && !in_place.contains(name)).then(|| "look".to_owned());
    let around = Around { writers, offers: SyncTask::ALL.to_vec(), policies: Policies::default(), readers: Vec::new(), care, look_first };
    let targets = manifest.data_sets.iter().filter(|(name, _)| names.contains(name)).map(|(name, kept)| target(name, kept)).collect();
    let plan = plan_restore(RunId("run".into()), manifest.set.clone(), targets, &around);
    plan.check().unwrap();
    plan
}

/// Lines that outlive the process, and a process that dies at the n-th of them.
pub struct DyingStore {
    pub lines: Arc<Mutex<Vec<String>>>,
    /// Records that still reach the store.
    pub lives: usize,
}

impl Append for DyingStore {
    fn append(&mut self, line: &[u8]) -> Result<()> {
        if self.lives == 0 {
            return Err(Error::failed("the process is dead"));
        }
        self.lives -= 1;
        self.lines.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
        Ok(())
    }
}

/// What a new process reads from the lines.
pub fn reopen(lines: &Arc<Mutex<Vec<String>>>, lives: usize) -> Journal {
    let text = lines.lock().unwrap().clone();
    let mut parsed = text.iter().map(|line| serde_json::from_str(line).unwrap());
    let mut run = plan::journal::Run::open(parsed.next().unwrap()).unwrap();
    parsed.for_each(|line| run.apply(line).unwrap());
    Journal::over(Box::new(DyingStore { lines: Arc::clone(lines), lives }), text.concat().into_bytes(), run)
}

/// A folder in memory where there is one: these tests write thousands of synced lines.
pub fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
