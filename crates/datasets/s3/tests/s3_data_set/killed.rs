//! Every verb dies at each of its requests, is called again, and ends as if nothing had been.

use lab::S3Fault;
use plan::ports::{DataSet as _, Discard, Undone};

use crate::scene::Scene;

/// A set, to be put back into [`damaged`].
fn scene() -> (Scene, plan::manifest::KeptDataSet) {
    let scene = Scene::new();
    scene.fill();
    let kept = scene.keep(&scene.store(), None).unwrap();
    damage(&scene);
    (scene, kept)
}

/// Objects of which each has another fate, and nothing of any run.
fn damage(scene: &Scene) {
    scene.s3.objects().keys().for_each(|key| scene.s3.remove(key));
    scene.fill();
    scene.s3.remove("acme/2026/01/02/logo-a1b2.png");
    scene.s3.put("acme/invoices/1/pdfs/original/invoice.pdf", b"damaged".to_vec(), &[]);
    scene.s3.put("acme-two/2026/01/03/empty-d4.txt", b"damaged too".to_vec(), &[]);
    scene.s3.put("zoo/extra.txt", b"extra".to_vec(), &[]);
}

fn store(scene: &Scene) -> s3_data_set::S3Store {
    scene.store_with(s3_data_set::Options { remove_extra: true, ..s3_data_set::Options::default() })
}

/// Fails the request of a number and all after it, until the verb has given up; then mends, and tells whether it was hit.
fn dies(scene: &Scene, right: &'static str, at: u64, verb: impl FnOnce() -> bool) -> bool {
    scene.s3.fail(S3Fault { right, has: String::new(), after: at, times: 1_000_000, status: 400, code: "Killed" });
    let failed = !verb();
    scene.s3.mend();
    failed
}

const WRITES: [&str; 2] = ["s3:PutObject", "s3:DeleteObject"];

#[test]
fn a_cut_over_that_died_goes_on_and_can_be_undone() {
    let (scene, kept) = scene();
    let (store, context) = (store(&scene), scene.context("run-1"));
    for right in WRITES {
        for at in 0.. {
            damage(&scene);
            let before = scene.live();
            let place = scene.stage(&store, "run-1", &kept).unwrap();
            let staged = scene.live();
            if !dies(&scene, right, at, || store.cut_over(&context, &place).is_ok()) {
                assert!(at > 0, "{right}");
                break;
            }
            let is_half = store.look(&context).unwrap().half_loaded_by.is_some();
            assert!(is_half || scene.live() == staged, "{right} {at}: it is not seen that the bucket is half replaced");
            if is_half {
                assert_eq!(scene.keep(&store, None).unwrap_err().class(), plan::Class::Refused);
            }
            // One goes on, the other back.
            if at % 2 == 0 {
                store.cut_over(&context, &place).unwrap();
                scene.prove(&store, "run-1", &place, &kept);
                assert!(!scene.live().contains_key("zoo/extra.txt"));
            }
            assert_eq!(store.undo(&context, &place).unwrap(), Undone::PreviousIsLive);
            assert_eq!(scene.live(), staged, "{right} {at}");
            store.discard(&context, &place, Discard::Staged).unwrap();
            assert_eq!((scene.live(), scene.left()), (before, Vec::new()), "{right} {at}");
        }
    }
}

#[test]
fn a_staging_an_undo_and_a_removal_that_died_are_done_again() {
    let (scene, kept) = scene();
    let (store, context) = (store(&scene), scene.context("run-1"));
    for right in WRITES {
        for at in 0.. {
            damage(&scene);
            let before = scene.live();
            let mut hit = dies(&scene, right, at, || scene.stage(&store, "run-1", &kept).is_ok());
            // Whatever it left, nothing live was changed.
            assert!(before.iter().all(|(key, object)| scene.live().get(key) == Some(object)), "{right} {at}");
            let place = scene.stage(&store, "run-1", &kept).unwrap();
            let staged = scene.live();
            scene.prove(&store, "run-1", &place, &kept);
            store.cut_over(&context, &place).unwrap();
            hit |= dies(&scene, right, at, || store.undo(&context, &place).is_ok());
            store.undo(&context, &place).unwrap();
            assert_eq!(scene.live(), staged, "{right} {at}");
            hit |= dies(&scene, right, at, || store.discard(&context, &place, Discard::Staged).is_ok());
            store.discard(&context, &place, Discard::Staged).unwrap();
            assert_eq!((scene.live(), scene.left()), (before, Vec::new()), "{right} {at}");
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn an_upload_in_parts_that_died_is_taken_back() {
    let scene = Scene::new();
    scene.s3.put("large.bin", vec![9; 5 << 20], &[]);
    let store = scene.store_in_parts();
    let kept = scene.keep(&store, None).unwrap();
    scene.s3.remove("large.bin");
    scene.s3.fail(S3Fault { right: "s3:AbortMultipartUpload", has: String::new(), after: 0, times: 1, status: 400, code: "Killed" });
    dies(&scene, "s3:PutObject", 6, || scene.stage(&store, "run-1", &kept).is_ok());
    assert_eq!(scene.s3.uploads(), ["large.bin"], "the test killed it in the middle");
    let place = scene.stage(&store, "run-1", &kept).unwrap();
    assert!(scene.s3.uploads().is_empty());
    scene.prove(&store, "run-1", &place, &kept);
}

#[test]
fn what_somebody_else_put_at_a_key_meanwhile_stays() {
    let (scene, kept) = scene();
    let (store, context) = (store(&scene), scene.context("run-1"));
    let place = scene.stage(&store, "run-1", &kept).unwrap();
    scene.s3.put("acme/2026/01/02/logo-a1b2.png", b"uploaded by a user".to_vec(), &[]);
    store.discard(&context, &place, Discard::Staged).unwrap();
    assert_eq!(scene.live()["acme/2026/01/02/logo-a1b2.png"].0, b"uploaded by a user");
    assert!(scene.left().is_empty() && scene.heard.take().iter().any(|text| text.contains("logo-a1b2")));
}
