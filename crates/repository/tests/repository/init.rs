//! A repository is made whole, once, and nowhere where there is something of one.

use plan::Class;
use repository::{Location, RusticRepository};

use crate::scene::*;

#[test]
fn what_a_killed_init_left_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().join("repository"));
    RusticRepository::init(&location, &password()).unwrap();
    std::fs::remove_file(folder.path().join("repository/config")).unwrap();
    let error = RusticRepository::open(&location, &password()).unwrap_err();
    assert_eq!(error.class(), Class::NoRepository, "{error:?}");
    assert!(error_text(&error).contains("init"), "{error:?}");
    // With another password nobody can tell whose key that is.
    assert_eq!(RusticRepository::init(&location, &"another".into()).unwrap_err().class(), Class::Refused);
    RusticRepository::init(&location, &password()).unwrap();
    assert_eq!(files(&folder.path().join("repository/keys")).len(), 1);
    RusticRepository::open(&location, &password()).unwrap();
    assert!(restic(&folder.path().join("repository"), &["check"]).status.success());
}

#[test]
fn of_many_at_once_one_makes_it_and_the_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().join("repository"));
    let results: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| RusticRepository::init(&location, &password()))).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|error| error.class() == Class::Refused), "{results:?}");
    assert_eq!(files(&folder.path().join("repository/keys")).len(), 1);
    RusticRepository::open(&location, &password()).unwrap();
}

#[test]
fn a_key_that_is_of_no_repository_keeps_nobody_out() {
    let scene = Scene::new();
    take(&scene.repository, "one", parts(1, 2, 1000));
    let stray = Scene::new();
    let key = stray.files("keys").remove(0);
    std::fs::copy(&key, scene.path().join("keys").join(key.file_name().unwrap())).unwrap();
    assert_eq!(set_names(&scene.again()), ["one"]);
}
