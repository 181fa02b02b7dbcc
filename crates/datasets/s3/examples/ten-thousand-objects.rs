//! How long 10,000 objects of 10 KB take: the first backup, the next one in which nothing has changed, and the way back. `ten-thousand-objects [OBJECTS]`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bucket::{Credentials, Origin, Service};
use plan::ids::{DataSetName, SetId};
use plan::manifest::KeptDataSet;
use plan::ports::{Context, DataSet as _, Earlier, Keep, Repository as _, Road, Snapshot};
use repository::{Location, RusticRepository};
use s3_data_set::{Bucket, Options, S3Store};

const NAME: DataSetName = DataSetName::SystemStorage;

fn main() {
    let objects = std::env::args().nth(1).map_or(10_000, |text| text.parse().unwrap());
    let s3 = lab::S3::start().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..objects {
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(10_000).collect();
        s3.put(
            &format!("tenant-{}/2026/{:02}/{:02}/file-{number}.png", number % 50, number % 12, number % 28),
            bytes,
            &[("content-type", "image/png")],
        );
    }
    s3.pass(10);
    let (id, secret) = s3.keys();
    let bucket = Bucket {
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
        retry: Duration::from_secs(10),
    };
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().join("repository"));
    RusticRepository::init(&location, &"password".into()).unwrap();
    let repository = RusticRepository::open(&location, &"password".into()).unwrap();
    let store = S3Store::new(NAME, &bucket, Options::default()).unwrap();
    let before = memory();
    let take = |set: &str, earlier: Option<&KeptDataSet>| -> KeptDataSet {
        let context = Context { workers: 4, ..Context::new("measure") };
        let dump = match earlier {
            Some(kept) => {
                let snapshot = Arc::from(repository.open(&kept.snapshot).unwrap());
                store.dump_since(&context, Earlier { snapshot, kept: kept.clone(), reads_all: false }).unwrap()
            }
            None => store.dump(&context).unwrap(),
        };
        let keep = Keep { set: SetId(set.into()), data_set: NAME, earlier: earlier.map(|earlier| earlier.snapshot.clone()) };
        let kept = repository.keep(&context, &keep, dump).unwrap();
        KeptDataSet {
            snapshot: kept.snapshot,
            kind: store.kind().unwrap(),
            store: String::new(),
            identity: None,
            started_at: kept.verdict.consistent_at,
            consistent_at: kept.verdict.consistent_at,
            finished_at: kept.verdict.consistent_at,
            parts: kept.parts,
            bytes: kept.bytes,
            stored_bytes: kept.stored_bytes,
            evidence: kept.verdict.evidence,
            problems: kept.verdict.problems,
        }
    };
    let first = timed("first backup", || take("one", None));
    let second = timed("unchanged again", || take("two", Some(&first)));
    assert_eq!(second.evidence.facts["unchanged"], objects.to_string());
    s3.objects().keys().for_each(|key| s3.remove(key));
    let context = Context { workers: 4, ..Context::new("run-1") };
    let place = store.reserve(&context, &second, Road::SideCopy).unwrap();
    let snapshot: Arc<dyn Snapshot> = Arc::from(repository.open(&second.snapshot).unwrap());
    timed("stage all of it", || store.stage(&context, &place, snapshot, &second).unwrap());
    let found = timed("prove", || store.prove(&context, &place, &second).unwrap());
    assert!(second.evidence.differences(&found).is_empty());
    timed("cut over", || store.cut_over(&context, &place).unwrap());
    println!("memory: {} MiB more at most than the service with its objects", memory().saturating_sub(before) >> 10);
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    println!("{what}: {:.1} s", begun.elapsed().as_secs_f64());
    done
}

/// The most that this process had, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
