//! What a set lacks is told, and `latest` lacks nothing unless that is asked for.

use crate::small::{Home, Small};
use crate::written::{repository, write};

#[test]
fn latest_is_the_newest_whole_set_and_a_partial_one_is_asked_for() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let whole = a.backup(&[]);
    a.write("later");
    let output = a.run(&["backup", "--only", "system-redis"]);
    let (partial, told) = (crate::support::text(&output.stdout), crate::support::text(&output.stderr));
    assert!(told.contains("1 of 2 data sets; without system-storage: left out by --only"), "{told}");
    let partial = partial.trim();

    let list = a.ok(&["list"]);
    assert!(list.contains(" 2/2") && list.contains("1/2 without system-storage"), "{list}");
    let document = a.json(&["show", partial]);
    assert_eq!((&document["whole"], &document["expected"]), (&false.into(), &2.into()));
    assert_eq!(document["left_out"]["system-storage"], "left out by --only");
    assert_eq!(document["absent"].as_array().unwrap().len(), 3);
    let shown = a.ok(&["show", partial]);
    assert!(shown.contains("without system-storage: left out by --only") && shown.contains("zync-database: declared absent"), "{shown}");

    // Row 4: latest was the partial one, and said nothing.
    let (_, told) = a.both(&["restore", "latest", "--yes"]);
    assert!(told.contains(&format!("newer, not whole: {partial}: 1/2 without system-storage")), "{told}");
    assert_eq!(a.content(), ["a", "a"]);
    a.ok(&["undo", "--yes"]);
    for arguments in [["show", "latest"], ["plan", "latest"]] {
        let document = a.json(&[arguments.as_slice(), &["--partial"]].concat());
        let set = if arguments[0] == "show" { &document["set"] } else { &document["plan"]["set"] };
        assert_eq!(set, partial);
    }

    // What stays behind is said in the plan.
    let plan = a.ok(&["plan", partial]);
    assert!(plan.contains("warning: the set has no system-storage (left out by --only)"), "{plan}");
    let only = a.ok(&["plan", &whole, "--only", "system-redis"]);
    assert!(!only.contains("the set has no"), "{only}");
    a.write("now");
    a.ok(&["restore", "latest", "--partial", "--yes"]);
    assert_eq!(a.content(), ["now", "later"]);
}

#[test]
fn where_no_set_is_whole_latest_is_refused_with_the_ids_and_the_way() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    // One that is not configured is missing too, unless it is declared absent.
    a.configure("[installation]\nname = \"a\"\n", &["system-database", "backend-redis"]);
    let output = a.run(&["backup"]);
    let (set, told) = (crate::support::text(&output.stdout), crate::support::text(&output.stderr));
    assert!(told.contains("2 of 3 data sets; without zync-database: not configured"), "{told}");
    let set = set.trim();
    assert!(a.ok(&["list"]).contains("2/3 without zync-database"));
    for command in ["restore", "plan", "rehearse", "show"] {
        let refusal = a.refused(&[command, "latest"]);
        assert!(refusal.contains(&format!("{set}: 2/3 without zync-database")), "{refusal}");
        assert!(refusal.contains(&format!("`threescale-backup {command} latest --partial`")), "{refusal}");
    }
    assert_eq!(a.json(&["show", "latest", "--partial"])["set"], set);
    a.configure("[installation]\nname = \"a\"\n", &["system-database", "backend-redis", "zync-database"]);
    let whole = a.backup(&[]);
    assert_eq!(a.json(&["show", "latest"])["set"], whole.as_str());
    assert_eq!(a.json(&["show", "latest"])["whole"], true);
}

#[test]
fn a_set_from_the_future_is_told_and_is_never_latest() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let today = a.backup(&[]);
    write(&repository(&home), "01zfuture", |manifest| {
        (manifest.started_at, manifest.finished_at) = ("2031-01-01T00:00:00Z".parse().unwrap(), "2031-01-01T00:01:00Z".parse().unwrap());
    });
    let list = a.ok(&["list"]);
    assert!(list.contains("in the future") && !list.contains(" -"), "{list}");
    assert!(list.contains("set 01zfuture was finished in the future") && list.contains("on elsewhere"), "{list}");
    let document = a.json(&["show", "01zfuture"]);
    assert_eq!((&document["in_the_future"], &document["age_seconds"]), (&true.into(), &0.into()));
    let (shown, told) = a.both(&["show", "latest"]);
    assert!(shown.contains(&today) && told.contains("01zfuture: finished 2031-01-01 00:01:00 UTC, in the future"), "{told}");
    assert!(a.both(&["show", "latest", "--partial"]).0.contains(&today));
}

#[test]
fn an_unset_variable_of_a_shell_names_no_set() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    a.backup(&[]);
    assert!(a.refused(&["restore", "", "--yes"]).contains("no set is named"));
}
