//! Services that behave badly, and buckets with rules of their own.

use std::time::{Duration, Instant};

use lab::S3Fault;
use plan::Class;
use plan::ports::{DataSet as _, Discard, Holds};

use s3_data_set::{Bucket, Options, S3Store};

use crate::scene::{NAME, Scene};

const INVOICE: &str = "acme/invoices/1/pdfs/original/invoice.pdf";

#[test]
fn a_listing_that_goes_round_ends() {
    let scene = Scene::new();
    (0..20).for_each(|number| scene.s3.put(&format!("file-{number:02}"), b"x".to_vec(), &[]));
    scene.s3.page(2);
    scene.s3.go_round();
    let error = scene.keep(&scene.store(), None).unwrap_err();
    assert!(error.chain().contains("goes round"), "{error:?}");
}

#[test]
fn a_service_that_wants_to_be_left_alone_is() {
    let scene = Scene::new();
    scene.fill();
    scene.s3.fail(S3Fault { right: "s3:ListBucket", has: String::new(), after: 0, times: 1, status: 503, code: "SlowDown" });
    let bucket = Bucket { retry: Duration::from_secs(60), ..scene.address() };
    let store = S3Store::new(NAME, &bucket, Options::default()).unwrap();
    let begun = Instant::now();
    scene.keep(&store, None).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "it said for how long: {:?}", begun.elapsed());
    assert_eq!(scene.s3.mend(), 0);
}

#[test]
fn what_will_be_refused_again_is_told_once_with_the_way_out() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    for (right, has, status, code, told) in [
        ("s3:ListBucket", "", 403, "RequestTimeTooSkewed", "clock"),
        ("s3:ListBucket", "", 301, "PermanentRedirect", "region and endpoint in [system-storage.s3]"),
        ("s3:ListBucket", "", 400, "AuthorizationHeaderMalformed", "region"),
        ("s3:GetObject", "invoice", 403, "AccessDenied", "Allow s3:GetObject on arn:aws:s3:::system-files/*"),
    ] {
        scene.s3.fail(S3Fault { right, has: has.to_owned(), after: 0, times: 1000, status, code });
        drop(scene.s3.asked());
        let error = scene.keep(&store, None).unwrap_err();
        assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains(told)), "{code}: {error:?}");
        assert!(has.is_empty() || error.chain().contains(has), "{code}: {error:?}");
        assert!(!has.is_empty() || scene.s3.asked()["s3:ListBucket"] <= 2, "{code} was tried again");
        scene.s3.mend();
    }
}

#[test]
fn what_a_lifecycle_rule_took_is_told_and_nothing_live_is_removed_for_it() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.put(INVOICE, b"other".to_vec(), &[]);
    scene.s3.put("acme-two/2026/01/03/empty-d4.txt", b"other too".to_vec(), &[]);
    let before = scene.live();
    let context = scene.context("run-1");

    // The staged copy: before anything is changed.
    let place = scene.stage(&store, "run-1", &kept).unwrap();
    let staged = scene.left().into_iter().find(|key| key.contains("/stage/")).unwrap();
    scene.s3.remove(&staged);
    let error = store.cut_over(&context, &place).unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("lifecycle")), "{error:?}");
    assert_eq!(scene.live(), before);
    store.undo(&context, &place).unwrap();
    store.discard(&context, &place, Discard::Staged).unwrap();

    // One of the previous objects: the other comes back, and the restored one stays.
    let place = scene.restore(&store, "run-1", &kept);
    let restored = scene.live();
    let previous = |scene: &Scene| scene.left().into_iter().filter(|key| key.contains("/before/")).collect::<Vec<_>>();
    let lost = previous(&scene).into_iter().find(|key| scene.s3.objects()[key].bytes.as_slice() == b"other").unwrap();
    scene.s3.remove(&lost);
    drop(scene.heard.take());
    store.undo(&context, &place).unwrap();
    assert!(scene.heard.take().iter().any(|text| text.contains(INVOICE) && text.contains("lifecycle")));
    assert_eq!(scene.live()[INVOICE], restored[INVOICE]);
    assert_eq!(scene.live()["acme-two/2026/01/03/empty-d4.txt"].0, b"other too");
}

#[test]
fn nobody_guesses_what_is_live_when_what_says_so_is_gone() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.remove("acme/2026/01/02/logo-a1b2.png");
    scene.s3.put(INVOICE, b"other".to_vec(), &[]);
    let place = scene.restore(&store, "run-1", &kept);
    let (context, restored) = (scene.context("run-1"), scene.live());
    scene.s3.remove(".threescale-backup/run-1/swap.json");
    for failed in [
        store.undo(&context, &place).map(drop),
        store.cut_over(&context, &place),
        store.discard(&context, &place, Discard::Staged),
        scene.stage(&store, "run-1", &kept).map(drop),
    ] {
        let error = failed.unwrap_err();
        assert!(error.class() == Class::NeedsPerson && error.hints().iter().any(|hint| hint.contains("abandon run-1")), "{error:?}");
    }
    let leftovers = store.leftovers(&context).unwrap();
    assert_eq!(leftovers[0].holds, Holds::Previous);
    store.remove_leftover(&context, &leftovers[0]).unwrap();
    assert_eq!((scene.live(), scene.left()), (restored, Vec::<String>::new()));
}

#[test]
fn a_settle_that_may_not_remove_is_done_again_later() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.put(INVOICE, b"other".to_vec(), &[]);
    let place = scene.restore(&store, "run-1", &kept);
    let (context, restored) = (scene.context("run-1"), scene.live());
    // As under an object lock.
    scene.s3.deny(&["s3:DeleteObject"]);
    let error = store.discard(&context, &place, Discard::Previous).unwrap_err();
    assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains("s3:DeleteObject")), "{error:?}");
    scene.keep(&store, None).unwrap();
    scene.s3.deny(&[]);
    store.discard(&context, &place, Discard::Previous).unwrap();
    assert_eq!((scene.live(), scene.left()), (restored, Vec::<String>::new()));
}

#[test]
fn a_repository_in_the_same_bucket_is_neither_taken_nor_removed() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store_with(Options { remove_extra: true, ..Options::default() });
    let kept = scene.keep(&store, None).unwrap();
    let pack = format!("backups/data/ab/{}", "ab".repeat(32));
    scene.s3.put(&pack, b"a pack".to_vec(), &[]);
    let refusals = [scene.keep(&store, None).map(drop), scene.stage(&store, "run-1", &kept).map(drop)];
    for error in refusals.map(Result::unwrap_err) {
        assert!(error.class() == Class::Refused && error.to_string().contains("s3://system-files/backups"), "{error:?}");
    }
    let findings = store.look(&scene.context("look")).unwrap();
    assert!(findings.backup_problems.iter().any(|problem| problem.sentence().contains("bucket of its own")));
    assert!(scene.live().contains_key(&pack));
}
