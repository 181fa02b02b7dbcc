//! Makes a repository with many small sets of several installations, for `scripts/bench`: `many-sets FOLDER PASSWORD SETS INSTALLATIONS`.
//!
//! Of each set all five stores are there, with one part each; one set an hour, the installations take turns.
#![expect(clippy::unwrap_used, reason = "run by hand; it is to stop where it fails")]

use jiff::{SignedDuration, Timestamp};
use lab::OnePart;
use plan::InstallationId;
use plan::ids::{DataSetName, SetId};
use plan::manifest::{FORMAT, KeptDataSet, Manifest};
use plan::ports::{Context, Keep, Repository, StoreKind};
use repository::{Location, RusticRepository};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, password, sets, installations] = arguments.as_slice() else { panic!("give a folder, a password and two numbers") };
    let (sets, installations): (i64, i64) = (sets.parse().unwrap(), installations.parse().unwrap());
    let (location, password) = (Location::Folder(folder.into()), password.as_str().into());
    RusticRepository::init(&location, &password).unwrap();
    let repository = RusticRepository::open(&location, &password).unwrap();
    let context = Context::new("many-sets");
    for number in 0..sets {
        let at = Timestamp::now() - SignedDuration::from_hours(sets - number);
        let set = SetId(format!("set-{number:06}"));
        let keep = |name| {
            let part = OnePart::of(format!("{name} of {}", set.as_str()));
            (name, kept(&repository, &context, &Keep { set: set.clone(), data_set: name, earlier: None }, part, at))
        };
        let data_sets = DataSetName::STORES.into_iter().map(keep).collect();
        repository
            .write_manifest(&Manifest {
                format: FORMAT.to_owned(),
                set,
                program_version: env!("CARGO_PKG_VERSION").to_owned(),
                host: "bench".to_owned(),
                started_at: at,
                finished_at: at,
                frozen: false,
                safety_for: None,
                installation: Some(InstallationId::named(format!("installation-{}", number % installations))),
                release: None,
                newest_migration: None,
                left_out: std::collections::BTreeMap::new(),
                absent: Vec::new(),
                agreement: None,
                data_sets,
            })
            .unwrap();
    }
}

fn kept(repository: &RusticRepository, context: &Context, keep: &Keep, part: OnePart, at: Timestamp) -> KeptDataSet {
    let kept = repository.keep(context, keep, Box::new(part)).unwrap();
    KeptDataSet {
        snapshot: kept.snapshot,
        kind: StoreKind::Redis,
        store: "bench".to_owned(),
        identity: None,
        started_at: at,
        consistent_at: at,
        finished_at: at,
        parts: kept.parts,
        bytes: kept.bytes,
        stored_bytes: kept.stored_bytes,
        evidence: kept.verdict.evidence,
        problems: Vec::new(),
    }
}
