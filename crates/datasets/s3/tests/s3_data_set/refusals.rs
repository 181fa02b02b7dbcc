//! Rights taken away one by one, wrong keys, and another bucket.

use bucket::{Credentials, Service};
use plan::Class;
use plan::ports::{DataSet as _, Problem, Road, Severity};
use s3_data_set::{Bucket, Options, S3Store};

use crate::scene::{NAME, Scene};

#[test]
fn each_right_that_is_missing_is_named_before_anything_is_touched() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    let before = scene.live();
    for (right, at_look) in [("s3:ListBucket", true), ("s3:GetObject", true), ("s3:PutObject", false), ("s3:DeleteObject", false)] {
        scene.s3.deny(&[right]);
        let told = |text: &str| text.contains(&format!("Allow {right} on arn:aws:s3:::system-files"));
        let context = scene.context("run-1");
        if at_look {
            let said = match store.look(&context) {
                Err(error) => error.hints().join(" "),
                Ok(findings) => {
                    findings.backup_problems.iter().filter(|problem| problem.severity == Severity::Blocks).map(Problem::sentence).collect()
                }
            };
            assert!(told(&said), "{right}: {said}");
        }
        let error = store.reserve(&context, &kept, Road::SideCopy).unwrap_err();
        assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| told(hint)), "{right}: {error:?}");
        scene.s3.deny(&[]);
        store.release(&context).unwrap();
        assert_eq!((scene.live(), scene.left()), (before.clone(), Vec::<String>::new()), "{right}");
    }
}

#[test]
fn wrong_keys_another_bucket_and_no_service_are_told_apart() {
    let scene = Scene::new();
    let context = scene.context("look");
    let look = |bucket: Bucket| S3Store::new(NAME, &bucket, Options::default()).unwrap().look(&context).unwrap_err();
    let with = |change: &dyn Fn(&mut Service)| {
        let mut bucket = scene.address();
        change(&mut bucket.service);
        bucket
    };
    let keys = |id: &str, secret: &str| Credentials::Keys { id: id.into(), secret: secret.into() };
    let (id, secret) = scene.s3.keys();
    for credentials in [keys("AKIAOTHER", secret), keys(id, "wrong")] {
        let error = look(with(&|service| service.credentials = credentials.clone()));
        assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains("keys")), "{error:?}");
    }
    let error = look(Bucket { name: "other-bucket".to_owned(), ..scene.address() });
    assert!(error.class() == Class::Refused && error.hints().iter().any(|hint| hint.contains("no such bucket")), "{error:?}");
    let error = look(with(&|service| service.endpoint = Some("http://127.0.0.1:9".to_owned())));
    assert_eq!(error.class(), Class::Transient, "{error:?}");
    let error = look(with(&|service| service.endpoint = Some(scene.s3.endpoint().replace("http", "https"))));
    assert_eq!(error.class(), Class::Refused, "{error:?}");
}

#[test]
fn a_run_of_another_bucket_is_refused() {
    let (scene, other) = (Scene::new(), Scene::new());
    scene.fill();
    let kept = scene.keep(&scene.store(), None).unwrap();
    let place = scene.stage(&scene.store(), "run-1", &kept).unwrap();
    let error = other.store().cut_over(&other.context("run-1"), &place).unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error:?}");
    assert!(other.s3.objects().is_empty());
}

#[test]
fn a_bucket_is_never_replaced_in_place() {
    let scene = Scene::new();
    scene.fill();
    let store = scene.store();
    let kept = scene.keep(&store, None).unwrap();
    let problems = store.fits(&scene.context("fits"), &kept, Road::InPlace).unwrap();
    assert!(problems.iter().any(|problem| problem.severity == Severity::Blocks));
    store.reserve(&scene.context("run-1"), &kept, Road::InPlace).unwrap_err();
    assert!(scene.left().is_empty());
}
