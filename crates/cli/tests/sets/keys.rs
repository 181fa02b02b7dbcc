//! `key`: the passwords of a repository, from the command line.

use std::fs;

use crate::small::{Home, Small};
use crate::support::text;

#[test]
fn passwords_are_listed_added_changed_and_removed() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let set = a.backup(&[]);
    fs::write(home.path("new"), "a new zebra\n").unwrap();
    let new = home.path("new");
    let said = a.both(&["key", "add", "--new-password-command", "echo a second zebra"]);
    assert!(said.0.contains("opens the repository too") && !format!("{said:?}").contains("zebra"), "{said:?}");
    let keys = a.json(&["key", "list"])["keys"].as_array().unwrap().clone();
    let of = |current: bool| keys.iter().find(|key| key["current"] == current).unwrap()["key"].as_str().unwrap().to_owned();
    assert_eq!(keys.len(), 2);
    let said = a.ok(&["key", "list"]);
    assert!(said.contains("in use") && said.contains(&of(false)[..8]), "{said}");
    assert!(a.refused(&["key", "remove", &of(true)]).contains("by which the repository was opened now"));

    let (said, notes) = a.both(&["key", "change", "--new-password-file", new.to_str().unwrap()]);
    assert!(said.contains(" is in the place of ") && notes.contains("[repository]") && !(said + &notes).contains("zebra"));
    let output = a.run(&["list"]);
    assert_eq!(output.status.code(), Some(12), "{}", text(&output.stderr));
    fs::copy(&new, home.path("key")).unwrap();
    assert_eq!(a.listed(&[]), [set]);
    a.ok(&["key", "remove", &of(false)]);
    assert_eq!(a.json(&["key", "list"])["keys"].as_array().unwrap().len(), 1);
    // Nobody to ask, and nothing to take it from.
    for arguments in [&["key", "add"][..], &["key", "change"]] {
        assert!(a.refused(arguments).contains("--new-password-file FILE"));
    }
    fs::write(home.path("empty"), "\n").unwrap();
    for file in ["empty", "nowhere"] {
        assert!(
            a.refused(&["key", "change", "--new-password-file", home.path(file).to_str().unwrap()])
                .contains("the new password cannot be had")
        );
    }
    assert_eq!(a.json(&["key", "list"])["keys"].as_array().unwrap().len(), 1);
}
