//! `diff`: what differs between two sets.

use crate::small::{Home, Small};

#[test]
fn two_sets_are_compared_by_what_each_knows_of_itself() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let first = a.backup(&[]);
    let same = a.backup(&[]);
    let said = a.ok(&["diff", &first, &same]);
    assert!(said.contains("system-redis: equal, ") && said.contains("system-storage: equal, ") && !said.contains("differ"), "{said}");

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
