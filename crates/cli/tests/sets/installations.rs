//! Two installations, one repository: each is about its own sets, and another's goes in only by its name, said aloud.

use crate::small::{Home, Small, command};
use crate::support::text;
use crate::written::{repository, write};

#[test]
fn latest_is_of_this_installation_and_anothers_set_is_taken_by_its_name_only() {
    let home = Home::make();
    let (a, b) = (Small::start(&home, "a"), Small::start(&home, "b"));
    let of_a = a.backup(&[]);
    let of_b = b.backup(&[]);

    // What is looked at is one's own, and the other is told in one line.
    assert_eq!((a.listed(&[]), b.listed(&[])), (vec![of_a.clone()], vec![of_b.clone()]));
    let list = a.ok(&["list"]);
    assert!(list.contains("1 set of 1 other installation: b; `threescale-backup list --all-installations` shows them"), "{list}");
    assert!(!list.contains("INSTALLATION") && list.contains(" 2/2"), "{list}");
    let all = a.ok(&["list", "--all-installations"]);
    assert!(all.contains("INSTALLATION") && all.contains(&of_a) && all.contains(&of_b) && !all.contains("other installation"), "{all}");
    assert_eq!(a.listed(&["--installation", "b"]), [of_b.as_str()]);
    let document = a.json(&["list"]);
    assert_eq!((&document["sets"][0]["installation"]["name"], &document["other_installations"][0]["name"]), (&"a".into(), &"b".into()));

    // `latest` is one's own, whoever was last.
    a.write("changed");
    a.ok(&["restore", "latest", "--yes"]);
    assert_eq!(a.content(), ["a", "a"]);
    a.ok(&["settle", "--yes"]);
    assert_eq!(a.json(&["show", "latest"])["set"], of_a.as_str());
    for arguments in [["restore", &of_b], ["plan", &of_b], ["show", &of_b], ["rehearse", &of_b]] {
        let refusal = a.refused(&arguments);
        assert!(refusal.contains("is of another installation: b") && refusal.contains("this one is a"), "{refusal}");
        assert!(refusal.contains(&format!("`threescale-backup {} {of_b} --installation b`", arguments[0])), "{refusal}");
    }
    let to = home.path("out");
    let export = ["export", &of_b, "system-storage", "--to", to.to_str().unwrap()];
    let way = format!("`threescale-backup {} --installation b`", export.join(" "));
    assert!(a.refused(&export).contains(&way), "{way}");
    a.ok(&[export.as_slice(), &["--installation", "b"]].concat());
    assert_eq!(std::fs::read_to_string(to.join("file")).unwrap(), "b");

    // A clone, said aloud in the plan's first line.
    let plan = a.ok(&["plan", "latest", "--installation", "b"]);
    assert!(plan.starts_with("Taken from another installation, b"), "{plan}");
    let document = a.json(&["plan", &of_b, "--installation", "b"]);
    let plan = &document["plan"];
    assert_eq!((&plan["from"]["name"], &plan["installation"]["name"], &plan["set"]), (&"b".into(), &"a".into(), &of_b.as_str().into()));
    assert!(a.json(&["plan", "latest"])["plan"]["from"].is_null());
    let (_, told) = a.both(&["restore", "latest", "--installation", "b", "--yes"]);
    assert!(told.contains("Taken from another installation, b"), "{told}");
    assert_eq!(a.content(), ["b", "b"]);
    a.ok(&["undo", "--yes"]);
    assert_eq!((a.content(), b.content()), (["a".to_owned(), "a".to_owned()], ["b".to_owned(), "b".to_owned()]));
    assert!(a.refused(&["restore", "latest", "--installation", "c", "--yes"]).contains("no set of c"));
}

#[test]
fn an_installation_is_named_by_option_before_variable_before_file_before_address() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let name_of = |set: &str, of: &str| a.json(&["show", set, "--installation", of])["installation"]["name"].as_str().unwrap().to_owned();
    let by_option = a.backup(&["--installation", "by option"]);
    assert_eq!(name_of(&by_option, "by option"), "by option");
    let mut command = a.command(&["backup", "--quiet"]);
    let output = command.env("THREESCALE_BACKUP_INSTALLATION_NAME", "by-variable").output().unwrap();
    assert_eq!(name_of(text(&output.stdout).trim(), "by-variable"), "by-variable");
    assert_eq!(a.listed(&[]).len(), 0);
    // Without a name it is where the first store is: two folders, two installations.
    a.configure("", &["system-database", "zync-database", "backend-redis"]);
    let set = a.backup(&[]);
    assert_eq!(a.listed(&[]), [set.as_str()]);
    let path = home.path("a-files").display().to_string();
    assert_eq!(a.json(&["show", "latest"])["installation"]["name"], path.as_str());
    let list = a.ok(&["list"]);
    assert!(list.contains("2 sets of 2 other installations: by option, by-variable"), "{list}");
}

#[test]
fn sets_without_a_name_are_told_and_taken_by_their_ids_only() {
    let home = Home::make();
    let repository = repository(&home);
    write(&repository, "01old0", |manifest| (manifest.format, manifest.installation) = ("1.0".to_owned(), None));
    let a = Small::start(&home, "a");
    let list = a.ok(&["list"]);
    assert!(list.contains("(without a name)") && list.contains("1 set is without a name"), "{list}");
    assert!(a.json(&["list"])["sets"][0]["installation"].is_null());
    let refusal = a.refused(&["restore", "latest", "--yes"]);
    assert!(refusal.contains("no set of a") && refusal.contains("`threescale-backup restore 01old0`"), "{refusal}");
    // What is in it does not fit into a Redis; whose it is, is told all the same.
    let plan = text(&a.run(&["plan", "01old0", "--only", "system-redis"]).stdout);
    assert!(plan.starts_with("Taken by release 0.2.0, which did not write down from which installation"), "{plan}");
    assert!(a.refused(&["show", "01old0", "--installation", "a"]).contains("without a name"));
    // As soon as there is one with our name, that is latest.
    let set = a.backup(&[]);
    assert_eq!(a.json(&["show", "latest"])["set"], set.as_str());
}

#[test]
fn sets_of_one_name_from_two_servers_are_told_apart() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let repository = repository(&home);
    for (set, identity) in [("01on1", "mysql 1/system"), ("01on2", "mysql 2/system")] {
        write(&repository, set, |manifest| {
            manifest.installation.as_mut().unwrap().identity = Some(identity.to_owned());
        });
    }
    let list = a.ok(&["list"]);
    assert!(
        list.contains("INSTALLATION") && list.contains("a (mysql 1/system)") && list.contains("2 servers have installations called a"),
        "{list}"
    );
    let (_, told) = a.both(&["show", "latest"]);
    assert!(told.contains("the sets of a were taken from 2 servers; set 01on2 is of a (mysql 2/system)"), "{told}");
}

#[test]
fn a_cluster_that_does_not_answer_breaks_no_list() {
    let home = Home::make();
    let repository = repository(&home);
    write(&repository, "01here", |_| ());
    write(&repository, "01there", |manifest| manifest.installation = Some(plan::InstallationId::named("b")));
    std::fs::write(home.path("c.toml"), home.repository_toml()).unwrap();
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                      contexts: [{name: x, context: {cluster: x, namespace: a}}]\n";
    std::fs::write(home.path("kubeconfig"), kubeconfig).unwrap();
    let run = |kubeconfig: &str, arguments: &[&str]| {
        let mut command = command(&home.path("c.toml"), &home.path("state"), arguments);
        command.env_remove("KUBERNETES_SERVICE_HOST").env("KUBECONFIG", home.path(kubeconfig)).output().unwrap()
    };
    let output = run("kubeconfig", &["list"]);
    let (list, told) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && list.contains("01here") && !list.contains("01there"), "{list}{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("note: ")).count(), 1, "{told}");
    // Where nothing says which installation this is, all are shown, and `latest` is nobody's.
    let output = run("nowhere", &["list"]);
    assert!(output.status.success() && text(&output.stdout).contains("01there"), "{}", text(&output.stderr));
    let output = run("nowhere", &["show", "latest"]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("--installation NAME"), "{}", text(&output.stderr));
    assert!(run("nowhere", &["show", "latest", "--installation", "b"]).status.success());
}

#[test]
fn a_state_folder_that_cannot_be_read_breaks_no_list() {
    let home = Home::make();
    let a = Small::start(&home, "a");
    let set = a.backup(&[]);
    std::fs::write(home.path("no-folder"), "").unwrap();
    for arguments in [vec!["list"], vec!["show", "latest"]] {
        let output = a.command(&arguments).env("THREESCALE_BACKUP_STATE_FOLDER", home.path("no-folder")).output().unwrap();
        let told = text(&output.stderr);
        assert!(output.status.success() && text(&output.stdout).contains(&set), "{told}");
        assert_eq!(told.lines().filter(|line| line.starts_with("note: ")).count(), 1, "{told}");
    }
}
