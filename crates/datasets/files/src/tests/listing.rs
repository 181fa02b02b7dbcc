//! The live files are listed with their names and sizes, with the volume mounted and through a pod alike.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::over_there::pod;
use super::*;

fn listed(store: &dyn DataSet) -> plan::Result<BTreeMap<Vec<u8>, u64>> {
    let mut all = BTreeMap::new();
    store.live_files().unwrap().each_file(&context(), &mut |path, size_bytes| {
        assert_eq!(all.insert(path.to_vec(), size_bytes), None);
        Ok(())
    })?;
    Ok(all)
}

#[test]
fn live_files_are_listed_with_their_sizes_whatever_they_are_called() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("system");
    let names: [&[u8]; 5] = [b"a.png", b"acme/2026/two words\nand a line", b"acme/\xff\xfe.pdf", b"-rf", b"acme/2026/empty"];
    for name in names {
        let path = root.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if name.ends_with(b"empty") { &b""[..] } else { b"12345" }).unwrap();
    }
    std::os::unix::fs::symlink("a.png", root.join("link")).unwrap();
    fs::create_dir_all(root.join(".threescale-backup/run")).unwrap();
    fs::write(root.join(".threescale-backup/run/mark"), "x").unwrap();
    let wanted: BTreeMap<Vec<u8>, u64> = names.iter().map(|name| (name.to_vec(), if name.ends_with(b"empty") { 0 } else { 5 })).collect();
    let mounted = FilesStore::new(DataSetName::SystemStorage, root.clone(), Options::default());
    assert_eq!(listed(&mounted).unwrap(), wanted);
    assert_eq!(listed(&pod(&root)).unwrap(), wanted);
    fs::rename(&root, home.path().join("elsewhere")).unwrap();
    assert!(listed(&mounted).is_err() && listed(&pod(&root)).is_err());
}
