//! Every rule of the choice, by small sets.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::ids::{RunId, SetId, SnapshotId};
use crate::manifest::{FORMAT, KeptDataSet};
use crate::ports::StoreKind;

const NOW: &str = "2026-11-29T12:00:00Z";

fn kept(identity: Option<&str>) -> KeptDataSet {
    let at = NOW.parse().unwrap();
    KeptDataSet {
        snapshot: SnapshotId("0".repeat(64)),
        kind: StoreKind::Redis,
        store: "Redis 7.0.15".to_owned(),
        identity: identity.map(str::to_owned),
        started_at: at,
        consistent_at: at,
        finished_at: at,
        parts: 1,
        bytes: 1,
        stored_bytes: 1,
        evidence: crate::evidence::Evidence::default(),
        problems: Vec::new(),
    }
}

/// A whole set of `prod`, taken at noon of a day of November.
fn set(id: &str, day: u32) -> Manifest {
    let at: Timestamp = format!("2026-11-{day:02}T11:00:00Z").parse().unwrap();
    Manifest {
        format: FORMAT.to_owned(),
        set: SetId(id.to_owned()),
        program_version: "0.2.0".to_owned(),
        host: "h".to_owned(),
        started_at: at,
        finished_at: at,
        frozen: false,
        safety_for: None,
        installation: Some(InstallationId::named("prod")),
        release: None,
        newest_migration: None,
        left_out: BTreeMap::new(),
        absent: Vec::new(),
        agreement: None,
        data_sets: DataSetName::STORES.into_iter().map(|name| (name, kept(None))).collect(),
    }
}

fn without(mut manifest: Manifest, name: DataSetName) -> Manifest {
    manifest.data_sets.remove(&name);
    if manifest.installation.is_some() {
        manifest.left_out.insert(name, "not configured".to_owned());
    }
    manifest
}

fn of(manifest: Manifest, name: &str, identity: Option<&str>) -> Manifest {
    let installation = InstallationId { name: name.to_owned(), identity: identity.map(str::to_owned) };
    Manifest { installation: Some(installation), ..manifest }
}

fn unnamed(manifest: Manifest) -> Manifest {
    Manifest { format: "1.0".to_owned(), installation: None, ..manifest }
}

fn prod() -> Whose {
    Whose::ours(InstallationId::named("prod"))
}

fn ask(sets: &[Manifest], wanted: &str, partial: bool, whose: &Whose) -> Result<Chosen> {
    let candidates = sets.iter().map(|manifest| Candidate { manifest: manifest.clone(), damage: None }).collect();
    let command = |set: &str| format!("restore {set}");
    choose(candidates, &Asked { set: wanted, partial, whose, now: NOW.parse().unwrap(), command: &command })
}

fn latest(sets: &[Manifest]) -> Result<Chosen> {
    ask(sets, "latest", false, &prod())
}

fn text(error: &Error) -> String {
    format!("{error} {}", error.hints().join(" "))
}

#[test]
fn latest_is_the_newest_whole_set_of_ours_and_newer_ones_are_told() {
    let safety = Manifest { safety_for: Some(RunId("r".to_owned())), ..set("05", 5) };
    let sets = [
        set("01", 1),
        set("02", 2),
        without(set("03", 3), DataSetName::ZyncDatabase),
        of(set("04", 4), "test", None),
        safety,
        unnamed(set("06", 6)),
        Manifest { finished_at: "2031-01-01T00:00:00Z".parse().unwrap(), ..set("07", 7) },
    ];
    let chosen = latest(&sets).unwrap();
    assert_eq!(chosen.manifest.set.as_str(), "02");
    assert_eq!(
        chosen.notes,
        [
            "newer, not whole: 03: 4/5 without zync-database",
            "not taken: 07: finished 2031-01-01 00:00:00 UTC, in the future: a clock was wrong, here or on h"
        ]
    );
    assert_eq!(ask(&sets, "latest", true, &prod()).unwrap().manifest.set.as_str(), "03", "--partial: the newest, whole or not");
}

#[test]
fn what_is_declared_absent_is_missing_in_no_set() {
    let mut sets = [set("01", 1), set("02", 2)];
    sets[1].data_sets.remove(&DataSetName::ZyncDatabase);
    sets[1].absent = vec![DataSetName::ZyncDatabase];
    assert_eq!(latest(&sets).unwrap().manifest.set.as_str(), "02");
    assert_eq!(sets[1].extent(), "4/4");
}

#[test]
fn a_clock_that_is_a_little_ahead_is_no_future() {
    let at = |text: &str| Manifest { finished_at: text.parse().unwrap(), ..set("02", 29) };
    assert_eq!(latest(&[set("01", 1), at("2026-11-29T12:04:59Z")]).unwrap().manifest.set.as_str(), "02");
    assert_eq!(latest(&[set("01", 1), at("2026-11-29T12:05:01Z")]).unwrap().manifest.set.as_str(), "01");
}

#[test]
fn a_damaged_set_is_never_latest_and_is_taken_by_its_id() {
    let candidates = || {
        let of = |manifest, damage: Option<&str>| Candidate { manifest, damage: damage.map(str::to_owned) };
        vec![of(set("01", 1), None), of(set("02", 2), Some("a pack is missing"))]
    };
    let command = |set: &str| set.to_owned();
    let whose = prod();
    let asked = |set| Asked { set, partial: false, whose: &whose, now: NOW.parse().unwrap(), command: &command };
    let chosen = choose(candidates(), &asked("latest")).unwrap();
    assert_eq!(
        (chosen.manifest.set.as_str(), chosen.notes.as_slice()),
        ("01", ["newer, damaged: 02: damaged: a pack is missing".to_owned()].as_slice())
    );
    assert!(choose(candidates(), &asked("02")).unwrap().notes[0].contains("a pack is missing"));
}

#[test]
fn without_a_whole_set_latest_is_refused_with_the_ids_and_the_way() {
    let error =
        latest(&[without(set("01", 1), DataSetName::ZyncDatabase), set("02", 2)].map(|one| without(one, DataSetName::BackendRedis)));
    let text = text(&error.unwrap_err());
    assert!(text.contains("02: 4/5 without backend-redis") && text.contains("01: 3/5 without zync-database, backend-redis"), "{text}");
    assert!(text.contains("`threescale-backup restore latest --partial`"), "{text}");
    // Nothing that --partial would take is not offered it.
    let safety = Manifest { safety_for: Some(RunId("r".to_owned())), ..set("01", 1) };
    assert!(!self::text(&latest(&[safety]).unwrap_err()).contains("--partial"));
}

#[test]
fn latest_never_takes_anothers_nor_one_without_a_name() {
    let sets = [of(set("01", 1), "test", None), of(set("02", 2), "prod", Some("namespace 2"))];
    assert_eq!(latest(&sets).unwrap().manifest.set.as_str(), "02", "an identity that only one of both knows contradicts nothing");
    let here = Whose::ours(InstallationId { name: "prod".to_owned(), identity: Some("namespace 1".to_owned()) });
    let error = text(&ask(&sets, "latest", false, &here).unwrap_err());
    assert!(error.contains("2 sets of 2 other installations: prod on another server, test"), "{error}");
    let error = text(&latest(&[unnamed(set("01", 1)), unnamed(without(set("02", 2), DataSetName::ZyncDatabase))]).unwrap_err());
    assert!(error.contains("`threescale-backup restore 01` takes it"), "the newest whole one: {error}");
}

#[test]
fn anothers_set_is_taken_by_its_installations_name_only() {
    let sets = [set("01", 1), of(set("02", 2), "test 'x'", None), unnamed(set("03", 3))];
    let error = text(&ask(&sets, "02", false, &prod()).unwrap_err());
    assert!(error.contains(r"`threescale-backup restore 02 --installation 'test '\''x'\'''`"), "{error}");
    let test = Whose::Named("test 'x'".to_owned());
    assert_eq!(ask(&sets, "02", false, &test).unwrap().owner, Owner::Ours);
    assert_eq!(ask(&sets, "latest", false, &test).unwrap().manifest.set.as_str(), "02");
    assert!(text(&ask(&sets, "01", false, &test).unwrap_err()).contains("not of test"));
    assert!(text(&ask(&sets, "03", false, &test).unwrap_err()).contains("without a name"));
    assert_eq!(ask(&sets, "03", false, &prod()).unwrap().owner, Owner::Unnamed);
}

#[test]
fn a_beginning_of_an_id_is_looked_for_among_ours_first() {
    let sets = [set("01a", 1), of(set("01b", 2), "test", None), set("02a", 3), set("02b", 4)];
    assert_eq!(ask(&sets, "01", false, &prod()).unwrap().manifest.set.as_str(), "01a");
    assert_eq!(ask(&sets, "01A", false, &prod()).unwrap().manifest.set.as_str(), "01a");
    assert!(text(&ask(&sets, "02", false, &prod()).unwrap_err()).contains("2 sets begin with 02"));
    assert!(text(&ask(&sets, "", false, &prod()).unwrap_err()).contains("no set is named"), "an unset variable of a shell names nothing");
}

#[test]
fn a_store_tells_apart_what_has_the_same_name() {
    let on = |identity: &str, id: &str, day| {
        let mut manifest = of(set(id, day), "127.0.0.1:3306/system", Some(identity));
        manifest.data_sets.insert(DataSetName::SystemDatabase, kept(Some(identity)));
        manifest
    };
    let sets = [on("mysql A/system", "01", 1), on("mysql B/system", "02", 2)];
    let id = InstallationId::named("127.0.0.1:3306/system");
    assert!(Whose::ours(id.clone()).asks_a_store(sets.iter()));
    let store = Some((DataSetName::SystemDatabase, "mysql A/system".to_owned()));
    let here = Whose::Ours { id, store };
    assert_eq!(ask(&sets, "latest", false, &here).unwrap().manifest.set.as_str(), "01");
    let error = text(&ask(&sets, "02", false, &here).unwrap_err());
    assert!(error.contains("on another server") && error.contains("mysql B") && error.contains("mysql A"), "{error}");
    // One who may look at namespaces here, one who may not there: the database decides.
    let seen = InstallationId { name: "127.0.0.1:3306/system".to_owned(), identity: Some("namespace 1".to_owned()) };
    let here = Whose::Ours { id: seen, store: Some((DataSetName::SystemDatabase, "mysql B/system".to_owned())) };
    assert_eq!(ask(&sets, "latest", false, &here).unwrap().manifest.set.as_str(), "02");
}

#[test]
fn where_nobody_says_which_installation_this_is_only_one_alone_is_meant() {
    let sets = [set("01", 1), of(set("02", 2), "test", None)];
    assert!(text(&ask(&sets, "latest", false, &Whose::Unknown).unwrap_err()).contains("--installation NAME"));
    assert_eq!(ask(&sets[..1], "latest", false, &Whose::Unknown).unwrap().manifest.set.as_str(), "01");
    assert_eq!(ask(&sets, "02", false, &Whose::Unknown).unwrap().manifest.set.as_str(), "02");
}
