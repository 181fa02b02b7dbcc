//! What a dump reads, and when there is none.

use lab::S3Fault;
use plan::Class;
use plan::ports::DataSet as _;

use crate::scene::Scene;

fn fault(right: &'static str, has: &str, after: u64, times: u64, status: u16) -> S3Fault {
    S3Fault { right, has: has.to_owned(), after, times, status, code: "InternalError" }
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let scene = Scene::new();
    scene.fill();
    scene.s3.put("large.bin", vec![3; 9 << 20], &[]);
    scene.s3.pass(10);
    let store = scene.store();
    let first = scene.keep(&store, None).unwrap();
    drop(scene.s3.asked());
    let second = scene.keep(&store, Some(&first)).unwrap();
    assert_eq!(scene.s3.asked().get("s3:GetObject"), None, "nothing was read");
    assert_eq!(second.evidence.facts["unchanged"], "5");
    assert_eq!(second.evidence.differences(&first.evidence), Vec::<String>::new());
    assert_eq!((second.parts, second.bytes), (first.parts, first.bytes));

    // Of these each is another object, though size or content are the same.
    scene.s3.put("acme/2026/01/02/logo-a1b2.png", b"A PICTURE".to_vec(), &[]);
    scene.s3.put("acme-three/new.txt", b"new".to_vec(), &[]);
    scene.s3.remove("acme-two/2026/01/03/empty-d4.txt");
    let third = scene.keep(&store, Some(&second)).unwrap();
    assert_eq!((scene.s3.asked()["s3:GetObject"], third.evidence.facts["unchanged"].as_str()), (2, "3"));
    let whole = scene.keep(&store, None).unwrap();
    assert_eq!(whole.evidence.differences(&third.evidence), Vec::<String>::new());

    // It goes back, whoever has read what.
    let before = scene.live();
    for key in before.keys() {
        scene.s3.remove(key);
    }
    scene.restore(&store, "run-1", &third);
    assert_eq!(scene.live(), before);
}

#[test]
fn properties_that_changed_in_the_second_of_a_backup_are_in_the_next() {
    let scene = Scene::new();
    let store = scene.store();
    let [changed, kept] = ["acme/changed.css", "acme/kept.css"];
    scene.s3.stop_clock();
    for key in [changed, kept] {
        scene.s3.put(key, b"body {}".to_vec(), &[("content-type", "text/plain")]);
    }
    let first = scene.keep(&store, None).unwrap();
    // As a copy onto itself does: the same bytes, ETag and time.
    scene.s3.put(changed, b"body {}".to_vec(), &[("content-type", "text/css")]);
    scene.s3.pass(10);
    drop(scene.s3.asked());
    let second = scene.keep(&store, Some(&first)).unwrap();
    // Both are asked for, one of them is read.
    assert_eq!((scene.s3.asked()["s3:GetObject"], second.evidence.facts["unchanged"].as_str()), (3, "1"));
    assert_eq!(second.evidence.differences(&scene.keep(&store, None).unwrap().evidence), Vec::<String>::new());
    let third = scene.keep(&store, Some(&second)).unwrap();
    assert_eq!(third.evidence.facts["unchanged"], "2");
    drop(scene.s3.asked());
    scene.keep(&store, Some(&third)).unwrap();
    assert_eq!(scene.s3.asked().get("s3:GetObject"), None, "what is settled is not asked for again");
    let before = scene.live();
    scene.s3.remove(changed);
    scene.restore(&store, "run-1", &third);
    assert_eq!(scene.live(), before);
}

#[test]
fn a_listing_that_fails_on_its_second_page_is_an_error() {
    let scene = Scene::new();
    scene.fill();
    scene.s3.page(2);
    let store = scene.store();
    scene.s3.fail(fault("s3:ListBucket", "continuation-token", 0, 1000, 400));
    let error = scene.keep(&store, None).unwrap_err();
    assert!(error.chain().contains("failed to list"), "{error:?}");
    scene.s3.mend();
    // Once is tried again.
    scene.s3.fail(fault("s3:ListBucket", "continuation-token", 0, 1, 503));
    assert_eq!(scene.keep(&store, None).unwrap().parts, 4);
    assert_eq!(scene.s3.mend(), 0);
}

#[test]
fn a_stream_that_breaks_goes_on_where_it_was() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(3);
    let large: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(20 << 20).collect();
    scene.s3.put("large.bin", large, &[]);
    scene.s3.put("small.bin", vec![1; 100_000], &[]);
    let store = scene.store();
    let whole = scene.keep(&store, None).unwrap();
    for key in ["large.bin", "small.bin"] {
        // After the HEAD of a large one.
        scene.s3.fail(fault("s3:GetObject", key, u64::from(key == "large.bin"), 2, 0));
    }
    let broken = scene.keep(&store, None).unwrap();
    assert_eq!(scene.s3.mend(), 0, "the faults were hit");
    assert_eq!(broken.evidence.differences(&whole.evidence), Vec::<String>::new());
}

#[test]
fn an_object_that_vanishes_is_told_and_one_that_cannot_be_read_ends_the_dump() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    scene.s3.fail(fault("s3:GetObject", "logo", 0, 2, 404));
    let kept = scene.keep(&store, None).unwrap();
    assert_eq!(kept.parts, 3);
    assert!(kept.evidence.warnings.iter().any(|text| text.contains("logo") && text.contains("removed")), "{:?}", kept.evidence.warnings);
    scene.s3.mend();
    scene.s3.fail(fault("s3:GetObject", "logo", 0, 1000, 500));
    let error = scene.keep(&store, None).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    assert!(!format!("{error:?} {}", error.chain()).contains("lab-secret"));
}

#[test]
fn a_look_counts_and_changes_nothing() {
    let scene = Scene::new();
    scene.fill();
    scene.s3.say(true, true);
    let before = scene.s3.objects();
    let findings = scene.store().look(&scene.context("look")).unwrap();
    assert_eq!((findings.count, findings.size_bytes), (Some(4), 100_016));
    assert!(findings.restore_problems.iter().any(|problem| problem.text.contains("keeps versions")));
    assert!(findings.restore_problems.iter().any(|problem| problem.text.contains("locks objects")));
    assert!(findings.backup_problems.is_empty(), "{:?}", findings.backup_problems);
    assert_eq!(scene.s3.objects(), before);
    assert!(scene.s3.asked().keys().all(|right| !right.contains("Put") && !right.contains("Delete")));
}
