//! What is parsed, refused and said.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn load_with(text: &str, cluster: &[&'static str]) -> Result<Config> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(&Sources { file: Some(file.path()), cluster: cluster.to_vec(), ..Sources::default() })
}

fn load(text: &str) -> Result<Config> {
    load_with(text, &[])
}

/// The error, with its hints.
fn refused(text: &str) -> String {
    let error = load(text).err().unwrap();
    assert_eq!(error.class(), plan::Class::Refused, "{error:?}");
    format!("{error:?}")
}

#[test]
fn malformed_toml_is_named_with_its_place_and_without_its_text() {
    let error = refused("[system-database]\nurl = \"mysql2://root:topsecret@h/system\nx = 1");
    assert!(error.contains(":2:") && !error.contains("topsecret"), "{error}");
}

#[test]
fn unknown_sections_and_keys_are_refused_at_every_level_with_the_nearest_name() {
    let cases = [
        ("[sytem-redis]\nurl = \"x\"", ":1: unknown section [sytem-redis]", "Did you mean [system-redis]?"),
        ("url = \"x\"", ":1: unknown key url outside of every section", "Sections are: "),
        ("[system-storage]\npath = \"/y\"\npaht = \"/x\"", ":3: unknown key paht in [system-storage]", "Did you mean path?"),
        ("[state]\nfoldr = \"/x\"", ":2: unknown key foldr in [state]", "Did you mean folder?"),
        ("[platform]\nknd = \"direct\"", ":2: unknown key knd in [platform]", "Did you mean kind?"),
        (
            "[repository]\nurl = \"/r\"\n[repository.s3]\nregoin = \"x\"",
            ":4: unknown key regoin in [repository.s3]",
            "Did you mean region?",
        ),
        ("[repository]\nregion = \"x\"", ":2: unknown key region in [repository]", "Did you mean region in [repository.s3]?"),
        ("[repository]\npassword-fil = \"x\"", ":2: unknown key password-fil in [repository]", "Did you mean password-file?"),
        ("[system-redis]\nurl = \"x\"\ntls = { mod = \"require\" }", ":3: unknown key mod in [system-redis.tls]", "Did you mean mode?"),
        ("[options]\nworker = 4", ":2: unknown key worker in [options]", "Did you mean workers?"),
        ("[repository]\ns3 = \"x\"", ":2: s3 in [repository] is a table of keys", "[repository.s3]"),
        ("repository = 3", ":1: repository is not a section", "[repository]"),
        ("[backend-redis]\nurl = \"x\"", ":2: unknown key url in [backend-redis]", "storage-url"),
    ];
    for (text, what, way_out) in cases {
        let error = refused(text);
        assert!(error.contains(what) && error.contains(way_out), "{text}: {error}");
    }
}

#[test]
fn no_error_of_a_value_shows_the_value() {
    let cases = [
        ("[repository]\nurl = \"/r\"\npassword = 8675309", "[repository] password is not text"),
        ("[repository]\nurl = [\"8675309\"]", "[repository] url is not text"),
        ("[system-storage]\npath = \"/x\"\nskip-unreadable = \"8675309\"", "skip-unreadable is not true or false"),
        ("[system-database]\nurl = \"mysql2://h/s\"\nlock-wait-seconds = \"a8675309\"", "lock-wait-seconds is not a number"),
        ("[system-database]\nurl = \"mysql2://h/s\"\nlock-wait-seconds = -8675309", "lock-wait-seconds is not a number"),
        ("[system-database]\nurl = \"mysql2://h/s\"\nlog-bin = \"8675309\"", "log-bin is not known"),
        ("[system-database]\nurl = \"mysql2://h/s\"\ntls = { mode = \"8675309\" }", "[system-database.tls] mode is not known"),
        ("[system-redis]\nurl = \"redis://h\"\nsentinel-role = \"8675309\"", "sentinel-role is not known"),
        ("[writers]\nstop = 8675309\nstart = \"true\"", "[writers] stop is not text"),
        ("[options]\nworkers = 8675309.5", "[options] workers is not a number"),
        ("[options]\nworkers = 0", "[options] workers is not a number from 1 to 64"),
        ("[options]\nworkers = 8675309", "[options] workers is not a number from 1 to 64"),
        ("[options]\nio-seconds-max = 0", "[options] io-seconds-max is not a number from 1 to 86400"),
    ];
    for (text, what) in cases {
        let error = refused(text);
        assert!(error.contains(what) && !error.contains("8675309"), "{text}: {error}");
    }
    assert!(refused("[platform]\nkind = \"kuberntes\"").contains("Did you mean \"kubernetes\"?"));
}

#[test]
fn what_a_section_needs_is_asked_for_also_when_no_command_uses_it() {
    let cases = [
        ("[zync-database]", "[zync-database] has no url"),
        ("[system-database]\nlog-bin = \"auto\"", "[system-database] has no url"),
        ("[backend-redis]\nstorage-url = \"redis://h\"", "[backend-redis] has no queues-url"),
        ("[writers]\nstop = \"true\"", "[writers] has no start"),
        ("[system-storage]\npath = \"\"", "[system-storage] path is empty"),
        ("[zync-database]\nabsent = true\nurl = \"postgresql://h/z\"", "[zync-database] is absent and has url"),
        ("[repository]\npassword-file = \"/x\"\npassword-command = \"echo x\"", "password-file and password-command"),
        ("[installation]\nname = \"a b\"", "cannot be the name of an installation"),
        ("[installation]\nname = \"\"", "cannot be the name of an installation"),
    ];
    for (text, what) in cases {
        assert!(refused(text).contains(what), "{text}: {}", refused(text));
    }
    let several = refused("[state]\nfoldr = \"/x\"\n[platform]\nknd = \"x\"");
    assert!(several.contains("1 more: `threescale-backup config check` tells all."), "{several}");
}

#[test]
fn absent_data_sets_are_not_configured_and_have_nothing_else() {
    let config = load(
        "[platform]\nkind = \"direct\"\n[system-storage]\npath = \"/x\"\n[zync-database]\nabsent = true\n[system-redis]\nabsent = false",
    )
    .unwrap();
    assert_eq!(config.absent(), [DataSetName::ZyncDatabase]);
    assert_eq!(config.data_sets(), [DataSetName::SystemStorage]);
    assert_eq!(load("[zync-database]\nabsent = true").unwrap().platform().unwrap(), Platform::Kubernetes, "it is no address");
}

#[test]
fn options_that_name_a_cluster_are_obeyed_or_refused() {
    let section = "[system-redis]\nurl = \"redis://h\"\n";
    assert_eq!(load(section).unwrap().platform().unwrap(), Platform::Direct);
    assert_eq!(load_with(section, &["--namespace"]).unwrap().platform().unwrap(), Platform::Kubernetes);
    let explicit = format!("[platform]\nkind = \"direct\"\n{section}");
    let error = load_with(&explicit, &["--context"]).err().unwrap();
    assert!(error.to_string().contains("--context is given, and [platform] kind is \"direct\""), "{error}");
    assert_eq!(load(&explicit).unwrap().platform().unwrap(), Platform::Direct);
}

#[test]
fn a_secret_comes_from_a_file_that_is_named_from_where_the_configuration_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "from-file\n").unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "[repository]\nurl = \"sets\"\npassword-file = \"key\"").unwrap();
    let (section, _) = Config::load(&Sources { file: Some(&file), ..Sources::default() }).unwrap().repository().unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&section.password.unwrap()), "from-file");
    assert_eq!(section.url, folder.path().join("sets").to_str().unwrap());
}

#[test]
fn a_missing_section_is_named() {
    let error = load("[system-storage]\npath = \"/x\"").unwrap().repository().err().unwrap();
    assert!(error.to_string().contains("section [repository] is missing"), "{error}");
}

#[test]
fn modes_that_let_everybody_read_a_secret_are_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("c.toml"), folder.path().join("key"));
    std::fs::write(&key, "k").unwrap();
    let warned = |text: &str, mode: u32, key_mode: u32| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(key_mode)).unwrap();
        Config::load(&Sources { file: Some(&file), ..Sources::default() }).unwrap().warnings().join("\n")
    };
    let with_file = "[repository]\nurl = \"/r\"\npassword-file = \"key\"";
    assert_eq!(warned(with_file, 0o644, 0o600), "", "the file holds no secret");
    assert!(warned(with_file, 0o644, 0o644).contains("key ([repository] password-file) holds a secret"));
    assert!(warned("[repository]\nurl = \"/r\"\npassword = \"x\"", 0o644, 0o600).contains("holds a secret ([repository] password)"));
    assert!(warned("[system-redis]\nurl = \"redis://:pw@h\"", 0o644, 0o600).contains("[system-redis] url"));
    assert_eq!(warned("[system-redis]\nurl = \"redis://h\"", 0o644, 0o600), "", "an address without a password");
    assert_eq!(warned("[repository]\nurl = \"/r\"\npassword = \"x\"", 0o640, 0o640), "");
}
