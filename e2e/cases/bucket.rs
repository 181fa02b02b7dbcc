//! The files of an installation go from a volume into a bucket, and back.

use e2e::{Fingerprint, Installation, Program, Settings, Steps, assert_equal};

pub(crate) fn there_and_back() {
    let settings = Settings::read();
    let mut steps = Steps::of("case 19: files from a volume into a bucket, and back");
    steps.step("a set of the files on a volume; another installation, whose bucket is not as it should be");
    let (volume, bucket) = (Installation::of_era(&settings, "2.15"), Installation::of_variant(&settings, "s3"));
    bucket.wait_ready();
    let before = Fingerprint::of_data(&volume).only(&["system-storage/"]);
    let program = Program::new(&settings, &volume.namespace);
    program.ok(&["backup", "--only", "system-storage"]);
    let target = program.for_namespace(&bucket.namespace);
    bucket.destroy_bucket();
    let ruined = contents(&bucket);

    steps.step("into the bucket; undone; once more, and settled");
    let restore = ["restore", "latest", "--installation", &volume.namespace, "--partial", "--remove-extra", "--yes"];
    target.ok(&restore);
    bucket.wait_ready();
    assert_equal(&contents(&bucket), &contents(&volume), "in the bucket");
    target.ok(&["undo", "--yes"]);
    assert_equal(&contents(&bucket), &ruined, "after undo");
    target.ok(&restore);
    target.ok(&["settle", "--yes"]);
    bucket.wait_ready();
    assert_equal(&contents(&bucket), &contents(&volume), "in the bucket, once more");
    let left = bucket.bucket("print([key for key in keys if key.startswith('.threescale-backup')])");
    assert_eq!(left.trim(), "[]", "after settle");

    steps.step("a set of the bucket, into the volume");
    target.ok(&["backup", "--only", "system-storage"]);
    volume.destroy_files();
    program.ok(&["restore", "latest", "--installation", &bucket.namespace, "--partial", "--yes"]);
    volume.wait_ready();
    assert_equal(&contents(&volume), &contents(&bucket), "on the volume");
    program.ok(&["settle", "--yes"]);
    bucket.remove();

    steps.step("the volume's own set, with what a bucket does not keep");
    program.ok(&["restore", "latest", "--partial", "--yes"]);
    volume.wait_ready();
    assert_equal(&Fingerprint::of_data(&volume).only(&["system-storage/"]), &before, "on the volume, of its own set");
    program.ok(&["settle", "--yes"]);
    assert_eq!(volume.leftovers(), Vec::<String>::new());
}

/// Digests of the files by their paths: what a folder and a bucket have both.
fn contents(place: &Installation) -> Fingerprint {
    let files = Fingerprint::of_data(place).only(&["system-storage/"]).0;
    let contents: std::collections::BTreeMap<_, _> = files.into_iter().filter(|(name, _)| name.ends_with(" content")).collect();
    assert!(contents.len() > 2, "{contents:?}");
    Fingerprint(contents)
}
