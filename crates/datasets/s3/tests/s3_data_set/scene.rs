//! A bucket, a repository, and the verbs between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bucket::{Credentials, Origin, Service};
use jiff::Timestamp;
use lab::{S3, S3Object};
use plan::evidence::Evidence;
use plan::ids::{DataSetName, SetId};
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet, Earlier, Event, Keep, Place, Repository as _, Road, Snapshot, Watch};
use plan::{InstallationId, Result};
use repository::{Location, RusticRepository};
use s3_data_set::{Bucket, Limits, Options, S3Store};

pub(crate) const NAME: DataSetName = DataSetName::SystemStorage;

pub(crate) struct Scene {
    pub(crate) s3: S3,
    pub(crate) folder: tempfile::TempDir,
    repository: RusticRepository,
    pub(crate) heard: Arc<Heard>,
}

/// Keeps warnings.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Watch for Heard {
    fn see(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }
}

/// What an object is, without its time.
pub(crate) fn what(object: &S3Object) -> (Vec<u8>, BTreeMap<String, String>) {
    (object.bytes.to_vec(), object.headers.clone())
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().join("repository"));
        RusticRepository::init(&location, &"password".into()).unwrap();
        let repository = RusticRepository::open(&location, &"password".into()).unwrap();
        Self { s3: S3::start().unwrap(), folder, repository, heard: Arc::default() }
    }

    pub(crate) fn address(&self) -> Bucket {
        address(&self.s3)
    }

    pub(crate) fn store(&self) -> S3Store {
        self.store_with(Options::default())
    }

    pub(crate) fn store_with(&self, options: Options) -> S3Store {
        S3Store::new(NAME, &self.address(), options).unwrap()
    }

    /// With limits as low as a test can bear.
    pub(crate) fn store_in_parts(&self) -> S3Store {
        self.store_with(Options { limits: Limits { part_bytes: 1 << 20, copy_bytes: 1 << 20 }, ..Options::default() })
    }

    pub(crate) fn context(&self, run: &str) -> Context {
        let installation = InstallationId::named("prod".to_owned());
        Context { workers: 2, watch: Arc::clone(&self.heard) as Arc<dyn Watch>, installation, ..Context::new(run) }
    }

    /// Takes a set, as the runner does.
    pub(crate) fn keep(&self, store: &dyn DataSet, earlier: Option<&KeptDataSet>) -> Result<KeptDataSet> {
        let context = self.context("backup");
        let started_at = Timestamp::now();
        let dump = match earlier {
            Some(kept) => store.dump_since(&context, Earlier { snapshot: self.open(kept), kept: kept.clone(), reads_all: false })?,
            None => store.dump(&context)?,
        };
        let set = SetId(format!("set-{}", started_at.as_nanosecond()));
        let keep = Keep { set, data_set: NAME, earlier: earlier.map(|earlier| earlier.snapshot.clone()) };
        let kept = self.repository.keep(&context, &keep, dump)?;
        Ok(KeptDataSet {
            snapshot: kept.snapshot,
            kind: store.kind()?,
            store: String::new(),
            identity: store.identity(&context)?,
            started_at,
            consistent_at: kept.verdict.consistent_at,
            finished_at: Timestamp::now(),
            parts: kept.parts,
            bytes: kept.bytes,
            stored_bytes: kept.stored_bytes,
            evidence: kept.verdict.evidence,
            problems: kept.verdict.problems,
        })
    }

    pub(crate) fn open(&self, kept: &KeptDataSet) -> Arc<dyn Snapshot> {
        Arc::from(self.repository.open(&kept.snapshot).unwrap())
    }

    /// Reserves and stages.
    pub(crate) fn stage(&self, store: &dyn DataSet, run: &str, kept: &KeptDataSet) -> Result<Place> {
        let context = self.context(run);
        let place = store.reserve(&context, kept, Road::SideCopy)?;
        store.stage(&context, &place, self.open(kept), kept)?;
        Ok(place)
    }

    /// The proof, which must be one.
    pub(crate) fn prove(&self, store: &dyn DataSet, run: &str, place: &Place, kept: &KeptDataSet) -> Evidence {
        let found = store.prove(&self.context(run), place, kept).unwrap();
        assert_eq!(kept.evidence.differences(&found), Vec::<String>::new());
        found
    }

    /// Stages, proves and cuts over.
    pub(crate) fn restore(&self, store: &dyn DataSet, run: &str, kept: &KeptDataSet) -> Place {
        let place = self.stage(store, run, kept).unwrap();
        self.prove(store, run, &place, kept);
        store.cut_over(&self.context(run), &place).unwrap();
        place
    }

    /// What is live: all but what runs left.
    pub(crate) fn live(&self) -> BTreeMap<String, (Vec<u8>, BTreeMap<String, String>)> {
        let is_live = |key: &String| !key.starts_with(".threescale-backup/");
        self.s3.objects().iter().filter(|(key, _)| is_live(key)).map(|(key, object)| (key.clone(), what(object))).collect()
    }

    /// What runs left.
    pub(crate) fn left(&self) -> Vec<String> {
        self.s3.objects().into_keys().filter(|key| key.starts_with(".threescale-backup/")).collect()
    }

    /// Some objects as porta makes them.
    pub(crate) fn fill(&self) {
        self.s3.put("acme/2026/01/02/logo-a1b2.png", b"a picture".to_vec(), &[("content-type", "image/png"), ("x-amz-meta-by", "porta")]);
        self.s3.put(
            "acme/2026/01/02/style sheet+ü-c3.css",
            b"body {}".to_vec(),
            &[("content-type", "text/css"), ("cache-control", "max-age=60")],
        );
        self.s3.put("acme-two/2026/01/03/empty-d4.txt", Vec::new(), &[("content-type", "text/plain")]);
        self.s3.put("acme/invoices/1/pdfs/original/invoice.pdf", vec![7; 100_000], &[("content-type", "application/pdf")]);
    }
}

pub(crate) fn address(s3: &S3) -> Bucket {
    let (id, secret) = s3.keys();
    Bucket {
        name: s3.bucket().to_owned(),
        service: Service {
            endpoint: Some(s3.endpoint()),
            region: "us-east-1".to_owned(),
            path_style: true,
            dial: None,
            ca_file: None,
            credentials: Credentials::Keys { id: id.into(), secret: secret.into() },
            origin: Origin::Section("[system-storage.s3]".to_owned()),
        },
        known_as: None,
        retry: Duration::from_secs(2),
    }
}
