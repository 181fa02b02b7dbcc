//! `status`: what is told, by which exit code, and as metrics, read from outside.

use std::fs;

use jiff::{SignedDuration, Timestamp};

use crate::machine::machine;
use crate::small::{Home, Small};
use crate::support::text;
use crate::written::{repository, write};

/// The values of a file of metrics by name and labels, as the format of Prometheus has them: every sample after its HELP and TYPE, nothing twice.
pub fn metrics(text: &str) -> std::collections::BTreeMap<String, f64> {
    let (mut found, mut announced) = (std::collections::BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<_> = rest.splitn(3, ' ').collect();
            assert!(words.len() == 3 && ["HELP", "TYPE"].contains(&words[0]), "{line}");
            if words[0] == "TYPE" {
                assert!(words[2] == "gauge" && !announced.contains(&words[1].to_owned()), "{line}");
                announced.push(words[1].to_owned());
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap();
        assert_eq!(Some(name), announced.last().map(String::as_str), "{line}");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') && labels.ends_with("\"}"),
            "{line}"
        );
        assert!(found.insert(series.to_owned(), value.parse().unwrap()).is_none(), "{line} twice");
    }
    assert!(text.ends_with('\n'));
    found
}

#[test]
fn what_is_good_and_what_is_bad_is_told_with_its_reasons() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let (one, other) = (machine(&home, &a, "one"), machine(&home, &a, "other"));
    let said = one.code(1, &["status"]);
    assert!(said.starts_with("BAD: a\n  there is no set; `threescale-backup backup` takes one\n"), "{said}");

    let set = a.backup(&[]);
    let said = other.code(0, &["status", "--max-age", "1h"]);
    assert!(said.starts_with("GOOD: a\n") && said.contains(&format!("newest   {set}, ")) && said.contains(" old, 2/2, "), "{said}");
    // What nobody asked for is no reason; what was asked for and never done is.
    let said = other.code(1, &["status", "--max-unproven", "8d", "--max-unchecked", "8d"]);
    assert!(said.contains("no whole set was ever proven") && said.contains("the repository was never checked"), "{said}");

    // A part is no proof of the whole.
    one.code(0, &["rehearse", "latest", "--only", "system-redis"]);
    assert!(other.code(1, &["status", "--max-unproven", "8d"]).contains("was ever proven"));
    one.code(0, &["rehearse", "latest"]);
    one.code(0, &["check", "--read-data"]);
    let said = other.code(0, &["status", "--max-unproven", "8d", "--max-unchecked", "8d", "--max-age", "26h"]);
    assert!(
        said.contains(&format!("proven   {set}, rehearsed 2/2 ")) && said.contains("nothing wrong") && !said.contains("never"),
        "{said}"
    );

    // A check that reads nothing is one, and does not hide when everything was read.
    one.code(0, &["check"]);
    let document = a.json(&["status"]);
    assert_eq!((&document["checked"]["packs_read"], document["everything_read_since"].is_string()), (&0.into(), true), "{document}");
    assert_eq!(document["newest_whole_set"]["set"], set.as_str());
    assert_eq!((&document["good"], &document["sets"], &document["proven"]["purpose"]), (&true.into(), &1.into(), &"rehearse".into()));
    let free = document["space"]["free_bytes"].as_u64().unwrap();
    assert!(free > 0 && free < document["space"]["total_bytes"].as_u64().unwrap());
    assert!(other.code(1, &["status", "--min-free", "900000G"]).contains("is free where the repository is, less than 900 TB"));
}

#[test]
fn what_is_old_is_told_by_its_age() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
    write(&repository(&home), "00old", |manifest| {
        manifest.installation = Some(plan::InstallationId::named("a".to_owned()));
        (manifest.started_at, manifest.finished_at) = (ago(200), ago(199));
    });
    let one = machine(&home, &a, "one");
    let said = one.code(1, &["status", "--max-age", "26h"]);
    assert!(said.contains("the newest whole set is 8 d old, more than 26 h\n"), "{said}");
    assert!(one.code(1, &["status", "--max-age", "2d"]).contains("more than 2 d\n"));
    assert!(one.code(0, &["status", "--max-age", "2w"]).contains("\nsets     1; 0 in the last 7 days added 0 B\n"));
    // What a wrong clock dated says nothing, and is named.
    write(&repository(&home), "01zfuture", |manifest| {
        manifest.installation = Some(plan::InstallationId::named("a".to_owned()));
        (manifest.started_at, manifest.finished_at) = (ago(-5000), ago(-5000));
    });
    assert!(
        one.code(1, &["status", "--max-age", "26h"]).contains("\nunknown  set 01zfuture was finished in the future: a clock was wrong")
    );
    let young = a.backup(&[]);
    assert!(one.code(0, &["status", "--max-age", "26h"]).contains(&young), "the newest counts");
    let document = a.json(&["status"]);
    assert_eq!((&document["sets"], &document["growth"]["sets"]), (&2.into(), &1.into()));
}

#[test]
fn a_run_that_is_not_over_is_a_reason_until_somebody_ends_it() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let one = machine(&home, &a, "one");
    a.backup(&[]);
    one.killed_after(5, &["restore", "latest", "--yes"]);
    let said = one.code(1, &["status"]);
    assert!(said.contains("under way or interrupted; `threescale-backup resume "), "{said}");
    assert!(one.code(1, &["status", "--installation", "a"]).contains("under way or interrupted"), "its own name means itself");
    one.code(0, &["resume", "--yes"]);
    // A backup that stopped the writers is over on every machine.
    let other = machine(&home, &a, "other");
    one.code(0, &["undo", "--yes"]);
    one.code(0, &["backup", "--freeze"]);
    for each in [&one, &other] {
        let said = each.code(0, &["status"]);
        assert!(!said.contains("\nrun "), "{said}");
    }
    one.code(0, &["restore", "latest", "--yes"]);
    // What is kept is no reason before its time.
    let said = one.code(0, &["status", "--max-kept", "1h"]);
    assert!(said.contains("finished, keeps what it replaced, "), "{said}");
    one.code(0, &["settle", "--yes"]);
    assert!(!one.code(0, &["status"]).contains("run      "));
}

#[test]
fn another_installation_is_judged_by_its_own_sets() {
    let home = Home::make();
    let (a, b) = (Small::start(&home, "a"), Small::start(&home, "b"));
    a.backup(&[]);
    assert!(b.run(&["status"]).status.code() == Some(1) && a.run(&["status"]).status.success());
    let of_a = b.ok(&["status", "--installation", "a"]);
    assert!(of_a.starts_with("GOOD: a\n"), "{of_a}");
    // What is to be done for another is said so, and a name that nobody has is told.
    let of_a = text(&b.run(&["status", "--installation", "a", "--max-unproven", "8d"]).stdout);
    assert!(of_a.contains("`threescale-backup rehearse latest --installation a`"), "{of_a}");
    let of_nobody = text(&b.run(&["status", "--installation", "nobody"]).stdout);
    assert!(of_nobody.contains("there is no set; the repository has sets of a\n"), "{of_nobody}");
}

#[test]
fn share_after_share_every_pack_is_read() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    a.backup(&[]);
    for _ in 0..3 {
        assert!(a.json(&["status"])["everything_read_since"].is_null());
        a.ok(&["check", "--read-data=30%"]);
    }
    a.ok(&["check"]);
    assert!(a.ok(&["status"]).contains("; not all were ever read"));
    let (sum, packs) = (|| a.json(&["status"])["checked"].clone(), a.json(&["check"])["packs"].as_u64().unwrap());
    a.ok(&["check", "--read-data=10%"]);
    assert!(sum()["packs_read"].as_u64().unwrap() <= packs);
    assert!(a.json(&["status"])["everything_read_since"].is_string());
    assert!(a.ok(&["status"]).contains("; all were read within the last "));
}

#[test]
fn metrics_are_replaced_as_a_whole_and_hold_what_the_page_says() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let file = home.path("threescale.prom");
    let name = file.to_str().unwrap().to_owned();
    assert_eq!(a.run(&["status", "--metrics", &name]).status.code(), Some(1), "there is no set");
    let none = metrics(&fs::read_to_string(&file).unwrap());
    assert_eq!((none["threescale_backup_good{installation=\"a\"}"], none["threescale_backup_sets{installation=\"a\"}"]), (0.0, 0.0));
    let set = a.backup(&[]);
    a.ok(&["status", "--metrics", &name]);
    let found = metrics(&fs::read_to_string(&file).unwrap());
    let of = |name: &str, data_set: &str| found[&format!("threescale_backup_{name}{{installation=\"a\",data_set=\"{data_set}\"}}")];
    let shown = a.json(&["show", &set]);
    for data_set in ["system-storage", "system-redis"] {
        assert_eq!(of("last_set_bytes", data_set), shown["data_sets"][data_set]["bytes"].as_f64().unwrap());
        let at: Timestamp = shown["data_sets"][data_set]["consistent_at"].as_str().unwrap().parse().unwrap();
        assert!((of("last_success_timestamp_seconds", data_set) - at.as_millisecond() as f64 / 1000.0).abs() < 0.002);
    }
    assert_eq!(found["threescale_backup_good{installation=\"a\"}"], 1.0);
    let names: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with(".threescale")), "{names:?}");
    // What is no file is not put aside for one.
    let link = home.path("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(a.run(&["status", "--metrics", link.to_str().unwrap()]).status.code(), Some(75));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // Neither good nor bad: it could not be told.
    assert_eq!(a.run(&["status", "--metrics", "/nowhere/at/all"]).status.code(), Some(75));
}
