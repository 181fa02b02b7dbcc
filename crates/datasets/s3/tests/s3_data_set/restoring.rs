//! Dump, stage, prove, cut over, undo, settle.

use plan::ports::{DataSet as _, Discard, Holds, Undone};
use s3_data_set::Options;

use crate::scene::Scene;

#[test]
fn a_bucket_goes_back_as_it_was() {
    let scene = Scene::new();
    scene.fill();
    let (store, before) = (scene.store(), scene.live());
    let kept = scene.keep(&store, None).unwrap();
    assert_eq!(kept.evidence.collections["files"].count, 4);

    // Removed, replaced, with another type, and new.
    scene.s3.remove("acme/2026/01/02/logo-a1b2.png");
    scene.s3.put("acme/invoices/1/pdfs/original/invoice.pdf", b"damaged".to_vec(), &[]);
    scene.s3.put("acme-two/2026/01/03/empty-d4.txt", Vec::new(), &[("content-type", "text/html")]);
    scene.s3.put("acme/2026/02/01/later.txt", b"later".to_vec(), &[]);
    let damaged = scene.live();

    let place = scene.stage(&store, "run-1", &kept).unwrap();
    // What is missing is at its key, what differs is not; the application sees what it saw.
    assert!(scene.live().contains_key("acme/2026/01/02/logo-a1b2.png"));
    assert!(damaged.iter().all(|(key, object)| scene.live().get(key) == Some(object)));
    scene.prove(&store, "run-1", &place, &kept);
    let context = scene.context("run-1");
    store.cut_over(&context, &place).unwrap();
    let mut wanted = before.clone();
    wanted.insert("acme/2026/02/01/later.txt".to_owned(), damaged["acme/2026/02/01/later.txt"].clone());
    assert_eq!(scene.live(), wanted);
    assert!(scene.heard.take().iter().any(|text| text.contains("later.txt") && text.contains("--remove-extra")));
    scene.prove(&store, "run-1", &place, &kept);

    // Back, and forth again.
    assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
    assert!(damaged.iter().all(|(key, object)| scene.live().get(key) == Some(object)));
    store.cut_over(&context, &place).unwrap();
    assert_eq!(scene.live(), wanted);
    assert_eq!(store.leftovers(&context).unwrap()[0].holds, Holds::Previous);
    store.discard(&context, &place, Discard::Staged).unwrap_err();
    store.discard(&context, &place, Discard::Previous).unwrap();
    assert_eq!((scene.live(), scene.left()), (wanted, Vec::<String>::new()));
    assert!(store.leftovers(&context).unwrap().is_empty());
}

#[test]
fn an_undo_and_a_discard_leave_what_was_there_before() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.remove("acme/2026/01/02/logo-a1b2.png");
    scene.s3.put("acme/invoices/1/pdfs/original/invoice.pdf", b"other".to_vec(), &[]);
    let before = scene.live();
    for cuts_over in [false, true] {
        let place = scene.stage(&store, "run-1", &kept).unwrap();
        let context = scene.context("run-1");
        if cuts_over {
            store.cut_over(&context, &place).unwrap();
        }
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
        store.discard(&context, &place, Discard::Staged).unwrap();
        assert_eq!((scene.live(), scene.left()), (before.clone(), Vec::<String>::new()), "{cuts_over}");
        assert_eq!(store.undo(&context, &place).unwrap(), Undone::NothingThere);
    }
}

#[test]
fn surplus_objects_are_taken_away_when_that_is_wanted_and_come_back_with_an_undo() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store_with(Options { remove_extra: true, ..Options::default() });
    let (before, kept) = (scene.live(), scene.keep(&store, None).unwrap());
    scene.s3.put("acme/2026/02/01/later.txt", b"later".to_vec(), &[("content-type", "text/plain")]);
    scene.s3.put("zoo/last.txt", b"last".to_vec(), &[]);
    let damaged = scene.live();
    let place = scene.restore(&store, "run-1", &kept);
    assert_eq!(scene.live(), before);
    assert_eq!(store.undo(&scene.context("run-1"), &place).unwrap(), Undone::PreviousIsLive);
    assert_eq!(scene.live(), damaged);
}

#[test]
fn what_was_put_over_a_restored_object_is_kept_by_an_undo() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    let key = "acme/invoices/1/pdfs/original/invoice.pdf";
    scene.s3.put(key, b"before".to_vec(), &[]);
    let place = scene.restore(&store, "run-1", &kept);
    scene.s3.put(key, b"since".to_vec(), &[]);
    let context = scene.context("run-1");
    store.undo(&context, &place).unwrap();
    assert_eq!(scene.live()[key].0, b"before");
    store.discard(&context, &place, Discard::Staged).unwrap();
    let left: Vec<_> = scene.left().into_iter().filter(|key| key.contains("/since/")).collect();
    assert_eq!((left.len(), scene.s3.objects()[&left[0]].bytes.as_slice()), (1, b"since".as_slice()));
    let leftovers = store.leftovers(&context).unwrap();
    assert_eq!(leftovers[0].holds, Holds::Previous);
    store.remove_leftover(&context, &leftovers[0]).unwrap();
    assert!(scene.left().is_empty());
}

#[test]
fn what_changed_since_the_staging_stops_the_cut_over_before_anything_is_touched() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.put("acme/2026/01/02/logo-a1b2.png", b"other".to_vec(), &[]);
    let place = scene.stage(&store, "run-1", &kept).unwrap();
    scene.s3.remove("acme/invoices/1/pdfs/original/invoice.pdf");
    let before = scene.live();
    let error = store.cut_over(&scene.context("run-1"), &place).unwrap_err();
    assert!(error.to_string().contains("invoice.pdf"), "{error:?}");
    assert_eq!(scene.live(), before);
    // Staged again it goes.
    let place = scene.stage(&store, "run-1", &kept).unwrap();
    scene.prove(&store, "run-1", &place, &kept);
    store.cut_over(&scene.context("run-1"), &place).unwrap();
}

#[test]
fn large_objects_pass_in_parts_and_are_copied_in_parts() {
    let scene = Scene::new();
    let store = scene.store_in_parts();
    // As Amazon's refuses more than 5 GiB in one request.
    scene.s3.allow(2 << 20);
    scene.s3.lock_what_is_written();
    let mut random = fastrand::Rng::with_seed(7);
    let large: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(11 << 20).collect();
    scene.s3.put("large.bin", large.clone(), &[("content-type", "application/zip"), ("x-amz-meta-a", "b")]);
    let before = scene.live();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.put("large.bin", vec![1; 3 << 20], &[("content-type", "text/plain")]);
    let damaged = scene.live();
    let place = scene.restore(&store, "run-1", &kept);
    assert!(scene.live() == before);
    store.undo(&scene.context("run-1"), &place).unwrap();
    assert!(scene.live() == damaged && scene.s3.uploads().is_empty());
}

#[test]
fn two_runs_are_undone_in_the_order_in_which_they_came() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    let key = "acme/invoices/1/pdfs/original/invoice.pdf";
    scene.s3.put(key, b"first".to_vec(), &[]);
    let first = scene.restore(&store, "run-1", &kept);
    scene.s3.put(key, b"second".to_vec(), &[]);
    let second = scene.restore(&store, "run-2", &kept);
    let error = store.undo(&scene.context("run-1"), &first).unwrap_err();
    assert!(error.to_string().contains("run-2"), "{error:?}");
    store.undo(&scene.context("run-2"), &second).unwrap();
    assert_eq!(scene.live()[key].0, b"second");
    store.undo(&scene.context("run-1"), &first).unwrap();
    assert_eq!(scene.live()[key].0, b"first");
}
