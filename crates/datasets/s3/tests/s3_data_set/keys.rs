//! Keys that are no plain paths.

use plan::Class;
use plan::ports::{DataSet as _, Severity};

use crate::scene::Scene;

#[test]
fn keys_with_empty_segments_folder_markers_and_odd_characters_go_back() {
    let scene = Scene::new();
    let long = format!("long/{}", "k".repeat(1024 - 5));
    let keys = [
        "/leading/slash.txt",
        "//two/slashes.txt",
        "mid//dle.txt",
        "Case.txt",
        "case.txt",
        "plus+ percent%2F &<>\"'.txt",
        "tab\tand\u{1}.txt",
        "ümläut/日本.txt",
        "a-b/x",
        "a/x",
        "a.b",
        "...",
        ".hidden",
        "~",
        &long,
    ];
    for key in keys {
        scene.s3.put(key, key.as_bytes().to_vec(), &[("content-type", "text/plain")]);
    }
    scene.s3.put("folder/", Vec::new(), &[("content-type", "application/x-directory")]);
    scene.s3.put("folder/inside.txt", b"inside".to_vec(), &[]);
    scene.s3.put("bare/folder/", Vec::new(), &[]);
    let before = scene.live();
    scene.s3.page(3);
    let store = scene.store();
    let mut listed = Vec::new();
    let mut each = |key: &[u8], size_bytes| {
        listed.push((key.to_vec(), size_bytes));
        Ok(())
    };
    store.live_files().unwrap().each_file(&scene.context("look"), &mut each).unwrap();
    listed.sort();
    let mut wanted: Vec<(Vec<u8>, u64)> = before.iter().map(|(key, (bytes, _))| (key.as_bytes().to_vec(), bytes.len() as u64)).collect();
    wanted.retain(|(key, _)| !key.ends_with(b"/"));
    assert_eq!(listed, wanted);
    let kept = scene.keep(&store, None).unwrap();
    assert_eq!(kept.evidence.collections["objects"].count, 18);
    for key in before.keys() {
        scene.s3.remove(key);
    }
    let place = scene.restore(&store, "run-1", &kept);
    assert_eq!(scene.live(), before);

    // Each replaced, and back.
    for key in before.keys().filter(|key| !key.ends_with('/')) {
        scene.s3.put(key, b"another".to_vec(), &[]);
    }
    store.discard(&scene.context("run-1"), &place, plan::ports::Discard::Previous).unwrap();
    let second = scene.restore(&store, "run-2", &kept);
    assert_eq!(scene.live(), before);
    store.undo(&scene.context("run-2"), &second).unwrap();
    assert!(scene.live().iter().all(|(key, (bytes, _))| key.ends_with('/') || bytes == b"another"));
}

#[test]
fn keys_that_no_tree_can_have_are_named_and_refused_before_anything_is_read() {
    let scene = Scene::new();
    for (bad, beside) in [
        ("a/../b", "x"),
        ("./a", "x"),
        ("a/.", "x"),
        ("full/", "x"),
        ("//", "x"),
        ("/same", "same"),
        ("file", "file/inside"),
        ("s//t", "s/t"),
    ] {
        scene.s3.objects().keys().for_each(|key| scene.s3.remove(key));
        scene.s3.put(bad, b"content".to_vec(), &[]);
        scene.s3.put(beside, b"content".to_vec(), &[]);
        let store = scene.store();
        let findings = store.look(&scene.context("look")).unwrap();
        let told = |text: &str| text.contains(&format!("{bad:?}"));
        let blocks = |problem: &plan::ports::Problem| problem.severity == Severity::Blocks && told(&problem.sentence());
        assert!(findings.backup_problems.iter().any(blocks), "{bad}: {:?}", findings.backup_problems);
        drop(scene.s3.asked());
        let error = scene.keep(&store, None).unwrap_err();
        assert_eq!(error.class(), Class::Refused, "{bad}: {error:?}");
        assert!(error.hints().iter().any(|hint| told(hint)), "{bad}: {error:?}");
        assert_eq!(scene.s3.asked().get("s3:GetObject"), None, "{bad}");
    }
}
