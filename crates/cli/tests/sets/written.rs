//! Sets that no backup of today would write: by other clocks, by other installations, by earlier releases.

use jiff::Timestamp;
use lab::OnePart;
use plan::InstallationId;
use plan::evidence::Evidence;
use plan::ids::{DataSetName, SetId};
use plan::manifest::{FORMAT, KeptDataSet, Manifest};
use plan::ports::{Context, Keep, Repository, StoreKind};
use repository::{Location, RusticRepository};

use crate::small::Home;

/// The repository of a home, by its own interface.
pub fn repository(home: &Home) -> RusticRepository {
    let location = Location::Folder(home.path("repository"));
    if !home.path("repository").exists() {
        RusticRepository::init(&location, &"a password".into()).unwrap();
    }
    RusticRepository::open(&location, &"a password".into()).unwrap()
}

/// Writes a set of one small data set, after its manifest was changed.
pub fn write(repository: &RusticRepository, set: &str, change: impl FnOnce(&mut Manifest)) {
    let context = Context::new("r");
    let (name, set) = (DataSetName::SystemRedis, SetId(set.to_owned()));
    let kept = repository
        .keep(&context, &Keep { set: set.clone(), data_set: name, earlier: None }, Box::new(OnePart::of(set.to_string())))
        .unwrap();
    let now = Timestamp::now();
    let data_set = KeptDataSet {
        snapshot: kept.snapshot,
        kind: StoreKind::Redis,
        store: "Redis 7.0.15".to_owned(),
        identity: None,
        started_at: now,
        consistent_at: now,
        finished_at: now,
        parts: kept.parts,
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        evidence: Evidence::default(),
        problems: Vec::new(),
    };
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        set,
        program_version: "0.2.0".to_owned(),
        host: "elsewhere".to_owned(),
        started_at: now,
        finished_at: now,
        frozen: false,
        safety_for: None,
        installation: Some(InstallationId::named("a")),
        release: None,
        newest_migration: None,
        left_out: std::collections::BTreeMap::new(),
        agreement: None,
        absent: DataSetName::STORES.into_iter().filter(|other| *other != name).collect(),
        data_sets: [(name, data_set)].into(),
    };
    change(&mut manifest);
    repository.write_manifest(&manifest).unwrap();
}
