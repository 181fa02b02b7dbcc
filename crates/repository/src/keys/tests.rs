//! Tests of keys.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use super::*;
use crate::location::Location;
use crate::{init, storage};

fn restic(folder: &std::path::Path, key: &std::path::Path) -> bool {
    let mut command = Command::new("restic");
    command.args(["--no-cache", "--no-lock", "-r"]).arg(folder).arg("--password-file").arg(key).args(["cat", "masterkey"]);
    command.output().unwrap().status.success()
}

#[test]
fn a_key_of_a_release_asks_for_dear_work_and_opens_the_repository_here_and_by_restic() {
    let folder = tempfile::tempdir().unwrap();
    let (at, right, wrong) = (folder.path().join("r"), folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, "right").unwrap();
    std::fs::write(&wrong, "wrong").unwrap();
    let location = Location::Folder(at.clone());
    let password = SecretString::from("right");
    init::init(&location, &password).unwrap();
    let storage = storage::at(&location).unwrap();
    let (before, master) = find(&*storage, &password).unwrap();
    // In a release `Work::NEW` is `Work::DEAR`; scripts/dist looks at a key of the very program that is released.
    let dear = small::write_plain(&*storage, FileType::Key, sealed(&master, &password, None, Work::DEAR).unwrap()).unwrap();
    storage.remove(FileType::Key, &before, false).unwrap();
    let text = std::fs::read_to_string(at.join("keys").join(dear.to_hex().as_str())).unwrap();
    let fields: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&fields["N"], &fields["r"], &fields["p"]), (&32_768.into(), &8.into(), &3.into()), "{text}");
    assert!(!text.contains("created"), "{text}");
    assert_eq!(find(&*storage, &password).unwrap().0, dear);
    assert_eq!(find(&*storage, &SecretString::from("wrong")).unwrap_err().class(), Class::WrongPassword);
    assert!(restic(&at, &right));
    assert!(!restic(&at, &wrong));
}
