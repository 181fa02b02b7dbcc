//! How many requests and how much memory: what bounds the time of a real backup.

use crate::scene::Scene;

#[test]
fn many_small_objects_take_one_request_each_and_none_again() {
    let scene = Scene::new();
    for number in 0..3000 {
        scene.s3.put(&format!("tenant-{}/2026/{:02}/file-{number}.png", number % 17, number % 12), vec![number as u8; 512], &[]);
    }
    scene.s3.pass(10);
    let store = scene.store();
    drop(scene.s3.asked());
    let first = scene.keep(&store, None).unwrap();
    let asked = scene.s3.asked();
    assert_eq!(asked["s3:GetObject"], 3000);
    assert!(asked["s3:ListBucket"] < 10, "{asked:?}");
    scene.keep(&store, Some(&first)).unwrap();
    assert_eq!(scene.s3.asked().get("s3:GetObject"), None);
}
