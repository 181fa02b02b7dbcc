//! `diff`: what differs between two sets; `ls` and `find`: what is in them.

use crate::small::{Home, Small};

#[test]
fn two_sets_are_compared_by_what_each_knows_of_itself() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let first = a.backup(&[]);
    let same = a.backup(&[]);
    let said = a.ok(&["diff", &first, &same]);
    assert!(said.contains("system-redis: equal, ") && said.contains("system-storage: equal, ") && !said.contains("differ"), "{said}");

    let (_, noted) = a.both(&["diff", "latest"]);
    assert!(noted.contains("that is the same set twice") && noted.contains("`threescale-backup diff OLDER NEWER`"), "{noted}");

    a.write("something else");
    let second = a.backup(&[]);
    let said = a.ok(&["diff", &first]);
    assert!(said.starts_with(&format!("from set {first} of ")) && said.contains(&format!("to set {second} of ")), "{said}");
    assert!(said.contains("\n  system/persistent: 1, other contents\n"), "{said}");
    let document = a.json(&["diff", &first, &second]);
    let redis = document["data_sets"].as_array().unwrap().iter().find(|it| it["data_set"] == "system-redis").unwrap().clone();
    assert_eq!(redis["collections"][0]["elements"], serde_json::json!({"from": 1, "to": 1}), "{document}");
    assert!(a.ok(&["diff", &first, "--limit", "0"]).contains("more: --limit "));

    // A part has what it has.
    let part = a.backup(&["--only", "system-redis"]);
    let said = a.ok(&["diff", &second, &part]);
    assert!(said.contains("system-storage: only in the first") && said.contains("system-redis: equal"), "{said}");
    assert!(a.refused(&["diff", "nothing", &part]).contains("nothing"));

    // A set is meant by its id, whosever it is: an installation and its clone.
    let b = Small::start(&home, "b");
    let of_b = b.backup(&[]);
    assert!(a.ok(&["diff", &second, &of_b]).contains("system-storage: "));
}

#[test]
fn what_sets_hold_is_listed_and_found_by_name() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let first = a.backup(&[]);
    let files = home.path("a-files");
    std::fs::create_dir_all(files.join("invoices/2026")).unwrap();
    std::fs::write(files.join("invoices/2026/one.pdf"), "12345").unwrap();
    std::os::unix::fs::symlink("one.pdf", files.join("invoices/2026/link")).unwrap();
    let second = a.backup(&[]);
    let names = |arguments: &[&str]| -> Vec<(String, String, Option<u64>)> {
        let document = a.json(arguments);
        let list = document["entries"].as_array().or_else(|| document["found"].as_array()).unwrap().clone();
        let text = |entry: &serde_json::Value, field: &str| entry[field].as_str().unwrap().to_owned();
        list.iter().map(|entry| (text(entry, "name"), text(entry, "kind"), entry["bytes"].as_u64())).collect()
    };
    let of = |name: &str, kind: &str, bytes| (name.to_owned(), kind.to_owned(), bytes);

    assert_eq!(names(&["ls", "latest"]).into_iter().map(|named| named.0).collect::<Vec<_>>(), ["system-storage", "system-redis"]);
    assert_eq!(names(&["ls", &first, "system-storage"]), [of("file", "file", Some(1))]);
    assert_eq!(names(&["ls", "latest", "system-storage"]), [of("file", "file", Some(1)), of("invoices", "folder", None)]);
    let within = [of("link", "link", None), of("one.pdf", "file", Some(5))];
    for path in ["invoices/2026", "/invoices/./2026/"] {
        assert_eq!(names(&["ls", "latest", "system-storage", path]), within, "{path}");
    }
    assert_eq!(names(&["ls", "latest", "system-storage", "invoices/2026/one.pdf"]), [of("invoices/2026/one.pdf", "file", Some(5))]);
    assert!(a.refused(&["ls", "latest", "system-storage", "invoice"]).contains("there is no invoice in system-storage"));
    assert!(a.refused(&["ls", "latest", "system-redis", "x"]).contains("system-redis has no folders"));
    assert!(a.refused(&["ls", "latest", "backend-redis"]).contains("has no backend-redis"));
    assert_eq!(names(&["ls", "latest", "system-redis"]), [of("system/persistent", "keys", None)]);

    // In which sets: all of this installation, newest first.
    let sets = |arguments: &[&str]| -> Vec<String> {
        a.json(arguments)["found"].as_array().unwrap().iter().map(|found| found["set"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(sets(&["find", "file"]), [second.as_str(), first.as_str()]);
    assert_eq!(sets(&["find", "*.pdf"]), [second.as_str()]);
    assert_eq!(names(&["find", "*.pdf", &second]), [of("invoices/2026/one.pdf", "file", Some(5))]);
    assert_eq!(names(&["find", "invoices/*/one*"]), [of("invoices/2026/one.pdf", "file", Some(5))]);
    assert_eq!(sets(&["find", "one.pdf", &first]), Vec::<String>::new());
    // No more is held than is told.
    let document = a.json(&["find", "*", "--limit", "2"]);
    assert_eq!((document["found"].as_array().unwrap().len(), document["more"].as_u64()), (2, Some(6)), "{document}");
    assert!(a.ok(&["ls", "latest", "system-storage", "--limit", "1"]).contains("… and 1 more: --limit 2 tells them"));
}
