//! Some files of a set go into a bucket that stays, and out of it again.

use std::path::PathBuf;
use std::sync::Arc;

use lab::S3Fault;
use plan::ports::{DataSet as _, Discard, PutsFiles as _, Snapshot, SomeFiles};

use crate::scene::Scene;

const LOGO: &str = "acme/2026/01/02/logo-a1b2.png";
const INVOICE: &str = "acme/invoices/1/pdfs/original/invoice.pdf";
const SAME: &str = "acme/2026/01/02/style sheet+ü-c3.css";

#[test]
fn some_files_go_into_a_bucket_and_out_of_it_though_it_is_killed() {
    let scene = Scene::new();
    scene.fill();
    let (store, context) = (scene.store(), scene.context("run-1"));
    let kept = scene.keep(&store, None).unwrap();
    let whole = scene.live();
    scene.s3.remove(LOGO);
    scene.s3.put(INVOICE, vec![8; 100_000], &[]);
    // Nobody asks for this one; and one that the set does not have.
    scene.s3.put("acme-two/2026/01/03/empty-d4.txt", b"theirs".to_vec(), &[]);
    scene.s3.put("zoo/extra.txt", b"extra".to_vec(), &[]);
    let before = scene.live();
    let mut expected = before.clone();
    [LOGO, INVOICE].iter().for_each(|key| drop(expected.insert((*key).to_owned(), whole[*key].clone())));

    let some =
        |files: &[&str]| -> Arc<dyn Snapshot> { Arc::new(SomeFiles::new(scene.open(&kept), files.iter().map(PathBuf::from).collect())) };
    let compared = store.compare_files(&context, &*some(&[LOGO, INVOICE, SAME])).unwrap();
    assert_eq!((compared.missing, compared.other, compared.equal), (vec![LOGO.into()], vec![INVOICE.into()], 1));
    let some = some(&[LOGO, INVOICE]);
    let these = SomeFiles::kept(&*some, &kept).unwrap();
    for at in 0.. {
        let place = store.reserve(&context, &kept, plan::ports::Road::SideCopy).unwrap();
        store.stage_files(&context, &place, Arc::clone(&some), &these).unwrap();
        assert_eq!(scene.heard.take(), Vec::<String>::new(), "what else is there is none of its business");
        assert_eq!(scene.live()[INVOICE], before[INVOICE]);
        scene.s3.fail(S3Fault { right: "s3:PutObject", has: String::new(), after: at, times: 1_000_000, status: 400, code: "Killed" });
        let died = store.cut_over(&context, &place).is_err();
        scene.s3.mend();
        if at % 2 == 0 {
            store.cut_over(&context, &place).unwrap();
            assert_eq!(scene.live(), expected, "killed at {at}");
        }
        store.undo(&context, &place).unwrap();
        store.discard(&context, &place, Discard::Staged).unwrap();
        assert_eq!((scene.live(), scene.left()), (before.clone(), Vec::new()), "undone, killed at {at}");
        if !died {
            assert!(at > 2, "{at}");
            break;
        }
    }
    let place = store.reserve(&context, &kept, plan::ports::Road::SideCopy).unwrap();
    store.stage_files(&context, &place, some, &these).unwrap();
    store.cut_over(&context, &place).unwrap();
    store.discard(&context, &place, Discard::Previous).unwrap();
    assert_eq!((scene.live(), scene.left()), (expected, Vec::new()), "settled");
}
