//! `copy`: second repositories, from the command line to a restore from one.

use std::fs;

use crate::small::{Home, Small};
use crate::support::text;

/// An installation with a second repository of a name, which is not made yet.
fn with_copy<'a>(home: &'a Home, more: &str) -> Small<'a> {
    let small = Small::start(home, "a");
    fs::write(home.path("key2"), "another password\n").unwrap();
    configure(home, &small, more);
    small
}

fn configure(home: &Home, small: &Small<'_>, more: &str) {
    let copies = format!("[copies.offsite]\nurl = {:?}\npassword-file = {:?}\n{more}", home.path("second"), home.path("key2"));
    small.configure(&format!("[installation]\nname = \"a\"\n{copies}"), &["system-database", "zync-database", "backend-redis"]);
}

#[test]
fn a_set_goes_back_from_its_second_copy() {
    let home = Home::make();
    let a = with_copy(&home, "");
    let first = a.backup(&[]);
    // It is not made silently.
    let output = a.run(&["copy"]);
    assert_eq!(output.status.code(), Some(10), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("threescale-backup init --repository offsite"), "{}", text(&output.stderr));
    assert!(!home.path("second").exists());
    a.ok(&["init", "--repository", "offsite"]);
    let said = a.ok(&["copy", "--dry-run"]);
    assert!(said.contains(&format!("would copy {first} to offsite (")) && said.contains("1 to copy"), "{said}");
    assert!(a.listed(&["--repository", "offsite"]).is_empty());

    let said = a.ok(&["copy"]);
    assert!(said.contains(&format!("copied {first} to offsite (")) && said.contains("1 copied"), "{said}");
    a.write("later");
    let second = a.backup(&[]);
    let partial = a.backup(&["--only", "system-redis"]);
    let document = a.json(&["copy", "--to", "offsite"]);
    let outcomes: Vec<_> = document["copies"][0]["sets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|set| (set["set"].as_str().unwrap(), set["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(outcomes, [(first.as_str(), "there"), (second.as_str(), "copied")]);
    assert_eq!(a.listed(&["--repository", "offsite"]), [first.clone(), second.clone()]);
    a.ok(&["check", "--read-data", "--repository", "offsite"]);
    // By its id, and then once.
    a.ok(&["copy", &partial[..12], &partial, "--to", "offsite"]);
    assert_eq!(a.listed(&["--repository", "offsite"]), [first.clone(), second, partial]);

    // What is shown of a set there is what is shown here; and it goes back, with the first repository lost.
    let of = |more: &[&str]| a.json(&[&["show", &first], more].concat())["data_sets"].clone();
    assert_eq!(of(&[]), of(&["--repository", "offsite"]));
    fs::rename(home.path("repository"), home.path("lost")).unwrap();
    a.write("damaged");
    a.ok(&["restore", &first, "--yes", "--repository", "offsite"]);
    assert_eq!(a.content(), ["a", "a"]);
    a.ok(&["undo", "--yes", "--repository", "offsite"]);
    assert_eq!(a.content(), ["damaged", "damaged"]);
    // And the sets come back into a new first one.
    a.ok(&["init"]);
    fs::write(home.path("key3"), fs::read(home.path("key")).unwrap()).unwrap();
    let (to, key) = (home.path("repository"), home.path("key3"));
    a.ok(&["copy", &first, "--repository", "offsite", "--to", to.to_str().unwrap(), "--to-password-file", key.to_str().unwrap()]);
    assert_eq!(a.listed(&[]), [first]);
}

#[test]
fn a_backup_copies_and_is_never_failed_by_its_copy() {
    let home = Home::make();
    let a = with_copy(&home, "after-backup = true\n");
    let output = a.run(&["backup", "--quiet"]);
    let (set, said) = (text(&output.stdout).trim().to_owned(), text(&output.stderr));
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("set {set} was taken, and not copied everywhere: there is no repository at ")), "{said}");
    assert!(said.contains("--init") && said.contains("`threescale-backup copy` tries it again"), "{said}");
    assert!(a.run(&["backup", "--quiet", "--warnings-are-fine"]).status.success());
    a.ok(&["init", "--repository", "offsite"]);
    // What was missed is copied too, and the only result is the set's id.
    let third = a.ok(&["backup"]);
    assert_eq!(third.trim().len(), set.len(), "{third}");
    assert_eq!(a.listed(&["--repository", "offsite"]), a.listed(&[]));
    assert_eq!(a.listed(&[]).len(), 3);
    // A second repository that is there and does not open.
    fs::write(home.path("key2"), "wrong\n").unwrap();
    let output = a.run(&["backup"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("the second repository offsite ("), "{}", text(&output.stderr));
    let output = a.run(&["copy"]);
    assert_eq!(output.status.code(), Some(12), "{}", text(&output.stderr));
}

#[test]
fn what_makes_no_sense_is_refused_and_says_the_way_out() {
    let home = Home::make();
    let a = with_copy(&home, "");
    let refused = |arguments: &[&str], what: &str| {
        let said = a.refused(arguments);
        assert!(said.contains(what), "{arguments:?}: {said}");
    };
    let (second, key, own) = (home.path("second"), home.path("key2"), home.path("repository"));
    let (second, key, own) = (second.to_str().unwrap(), key.to_str().unwrap(), own.to_str().unwrap());
    a.ok(&["init", "--repository", "offsite"]);
    refused(&["copy"], "there is no whole set of a to copy");
    a.backup(&[]);
    refused(&["copy", "--to", "ofsite"], "Did you mean offsite?");
    refused(&["copy", "--to", "s3://bucket/x"], "[copies.NAME]");
    refused(&["copy", "--to", "/somewhere"], "--to-password-file FILE");
    refused(&["copy", "--to", "offsite", "--to-password-file", key], "stands in [copies.offsite]");
    let own_key = home.path("key");
    refused(&["copy", "--to", own, "--to-password-file", own_key.to_str().unwrap()], "is the repository itself");
    // By another name of the same place.
    let link = home.path("link");
    std::os::unix::fs::symlink(own, &link).unwrap();
    refused(&["copy", "--to", link.to_str().unwrap(), "--to-password-file", own_key.to_str().unwrap()], "is the repository itself");
    refused(&["copy", "--repository", "offsite", "--to", "offsite"], "there is no whole set of a to copy");
    refused(&["list", "--repository", "nowhere"], "there is no [copies.nowhere]");
    refused(&["copy", "nothing"], "there is no set nothing");
    assert_eq!(a.run(&["copy", "--to-password-command", "echo x", "--to-password-file", key]).status.code(), Some(2));
    // A folder that no section is about, by a command.
    let third = home.path("third");
    let said = a.both(&["copy", "latest", "--to", third.to_str().unwrap(), "--to-password-command", "echo third password", "--init"]).0;
    assert!(said.contains("1 copied") && !said.contains("third password"), "{said}");
    // The address of a section is that section.
    assert!(a.ok(&["copy", "--to", second]).contains("to offsite ("));
}

#[test]
fn a_damaged_set_is_told_and_the_others_are_copied() {
    let home = Home::make();
    let a = with_copy(&home, "");
    a.ok(&["init", "--repository", "offsite"]);
    let bad = a.backup(&[]);
    let snapshot = a.json(&["show", &bad])["data_sets"]["system-storage"]["snapshot"].as_str().unwrap().to_owned();
    a.write("another content");
    let good = a.backup(&[]);
    fs::remove_file(home.path("repository/snapshots").join(snapshot)).unwrap();
    let output = a.run(&["copy"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 of 2 sets could not be copied to offsite (") && said.contains(&bad), "{said}");
    assert_eq!(a.listed(&["--repository", "offsite"]), [good]);
    assert!(a.ok(&["status", "--repository", "offsite"]).starts_with("GOOD"));
}

#[test]
fn status_says_how_far_a_second_copy_is_behind() {
    let home = Home::make();
    let a = with_copy(&home, "");
    a.backup(&[]);
    let said = a.ok(&["status"]);
    assert!(said.contains("\ncopy     offsite: nothing was copied yet\n"), "{said}");
    let bad = |arguments: &[&str], what: &str| {
        let output = a.run(arguments);
        let said = text(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains(what), "{said}");
    };
    bad(
        &["status", "--max-copy-age", "26h"],
        "  the copy offsite has no whole set; `threescale-backup copy --to offsite` copies what is missing\n",
    );
    a.ok(&["copy", "--init"]);
    let said = a.ok(&["status", "--max-copy-age", "26h"]);
    let copied = a.listed(&[]).remove(0);
    assert!(said.contains(&format!(": {copied}, ")) && said.contains("; none is younger here\n"), "{said}");
    a.backup(&[]);
    assert!(a.ok(&["status"]).contains("; 1 younger set here\n"));
    let document = a.json(&["status"]);
    assert_eq!((&document["copies"][0]["behind"], &document["copies"][0]["newest"]), (&1.into(), &copied.as_str().into()), "{document}");
    let file = home.path("metrics.prom");
    a.ok(&["status", "--metrics", file.to_str().unwrap()]);
    let metrics = fs::read_to_string(&file).unwrap();
    assert!(metrics.contains("threescale_backup_copy_newest_timestamp_seconds{installation=\"a\",copy=\"offsite\"} "), "{metrics}");
    // Without a copy at all.
    a.configure("[installation]\nname = \"a\"\n", &["system-database", "zync-database", "backend-redis"]);
    a.ok(&["status", "--max-copy-age", "26h"]);
    let b = Small::start(&home, "b");
    b.backup(&[]);
    let said = text(&b.run(&["status", "--max-copy-age", "26h"]).stdout);
    assert!(said.contains("there is no second copy of any set; `threescale-backup copy` makes one"), "{said}");
}

#[test]
fn a_configuration_with_copies_is_shown_and_checked_whole() {
    let home = Home::make();
    let a = with_copy(&home, "");
    let said = a.ok(&["config", "show"]);
    assert!(said.contains("[copies.offsite]\n") && said.contains("after-backup = false"), "{said}");
    a.ok(&["config", "check"]);
    let broken = |more: &str, what: &str| {
        configure(&home, &a, more);
        let said = text(&a.run(&["config", "check"]).stdout);
        assert!(said.contains(what), "{more}: {said}");
    };
    broken("[copies.\"a b\"]\nurl = \"/x\"\n", "cannot be the name of a copy");
    broken("[copies.two]\npassword-file = \"/x\"\n", "[copies.two] has no url");
    broken("[copies.two]\nurl = \"/x\"\npasword = \"secret\"\n", "unknown key pasword in [copies.two]");
    broken("[copies.two]\nurl = \"/x\"\n", "[copies.two] has no password");
    broken("[copies.two]\nurl = \"s3://b/x\"\npassword = \"x\"\n", "[copies.two.s3]");
    broken("[copies.two]\nurl = \"/x\"\npassword-file = \"/nowhere/at/all\"\n", "/nowhere/at/all");
    configure(&home, &a, "");
    // The environment goes before the file, and makes one of its own.
    let mut command = a.command(&["config", "show"]);
    command.env("THREESCALE_BACKUP_COPIES_OFFSITE_AFTER_BACKUP", "true").env("THREESCALE_BACKUP_COPIES_TAPE_ROOM_URL", "/tapes");
    let said = text(&command.output().unwrap().stdout);
    assert!(said.contains("after-backup = true    # environment") && said.contains("[copies.tape-room]\nurl = \"/tapes\""), "{said}");
}
