//! The arrows of ARCHITECTURE.md, and the house rules that the compiler does not keep.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dependencies(manifest: &str, section: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("crates").join(manifest).join("Cargo.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    table.get(section).and_then(toml::Value::as_table).map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// Crates of ours that each crate may depend on, besides `plan`.
const ARROWS: [(&str, &[&str]); 18] = [
    ("plan", &[]),
    ("threescale", &[]),
    ("beneath", &[]),
    ("children", &[]),
    ("tls", &[]),
    ("bucket", &["tls"]),
    ("line", &[]),
    ("herald", &["tls"]),
    ("datasets/mysql", &["tls", "line"]),
    ("datasets/postgres", &["tls", "line", "children"]),
    ("datasets/redis", &["tls", "threescale"]),
    ("datasets/files", &["beneath"]),
    ("datasets/objects", &[]),
    ("datasets/s3", &["bucket"]),
    ("platforms", &["children", "tls"]),
    ("repository", &["bucket"]),
    ("runner", &[]),
    ("lab", &["children"]),
];

#[test]
fn crates_depend_on_plan_only_and_plan_on_none() {
    let ours = [
        "plan",
        "threescale",
        "beneath",
        "children",
        "tls",
        "bucket",
        "line",
        "herald",
        "mysql-data-set",
        "postgres-data-set",
        "redis-data-set",
        "files-data-set",
        "objects-data-set",
        "s3-data-set",
        "platforms",
        "repository",
        "runner",
        "lab",
    ];
    for (name, allowed) in ARROWS {
        for dependency in dependencies(name, "dependencies").iter().filter(|dependency| ours.contains(&dependency.as_str())) {
            let is_allowed = allowed.contains(&dependency.as_str()) || dependency == "plan" && name != "plan";
            assert!(is_allowed, "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_repository_engine_is_named_in_the_repository_only() {
    for (path, text) in sources() {
        let is_in = |crates: &str| path.starts_with(root().join("crates").join(crates));
        for engine in ["rustic_core", "rustic_backend", "object_store"] {
            let may = is_in("repository") || engine == "object_store" && (is_in("bucket") || is_in("datasets/s3"));
            assert!(may || !text.contains(engine) || path.ends_with("architecture.rs"), "{} names {engine}", path.display());
        }
    }
}

#[test]
fn the_client_of_kubernetes_is_named_in_its_platform_only() {
    let platform = root().join("crates/platforms");
    for (path, text) in sources() {
        let is_platform = path.starts_with(platform.join("src/kubernetes")) || path.starts_with(platform.join("tests"));
        assert!(is_platform || !text.contains(concat!("kube", "::")), "{} names the client", path.display());
    }
    for (name, _) in ARROWS.iter().filter(|(name, _)| *name != "platforms") {
        assert!(!dependencies(name, "dependencies").contains(&"kube".to_owned()), "{name} depends on kube");
    }
}

#[test]
fn every_child_process_begins_in_children() {
    for (path, text) in sources() {
        let is_test = path.components().any(|part| ["tests", "examples"].iter().any(|name| part.as_os_str() == *name));
        let is_exempt =
            is_test || path.ends_with("tests.rs") || path.ends_with("build.rs") || path.starts_with(root().join("crates/children"));
        assert!(is_exempt || !text.contains(concat!("Command", "::new(")), "{} gives a child our secrets", path.display());
    }
}

#[test]
fn what_is_pure_has_no_clock_no_files_no_network_and_no_threads() {
    let is_pure = |path: &Path| ["plan", "threescale"].iter().any(|name| path.starts_with(root().join("crates").join(name).join("src")));
    for (path, text) in sources().into_iter().filter(|(path, _)| is_pure(path)) {
        for banned in ["std::fs", "std::net", "std::thread", "std::process", "SystemTime", "Instant::now", "Timestamp::now", "std::env"] {
            assert!(!text.contains(banned), "{} uses {banned}", path.display());
        }
    }
}

#[test]
fn files_are_short_and_have_a_purpose() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
        let has = |name: &str| path.components().any(|part| part.as_os_str() == name);
        if has("src") && !has("tests") {
            assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
        }
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(!["utils", "helpers", "common", "misc", "manager"].contains(&stem), "{}", path.display());
    }
}

#[test]
fn allow_is_never_used_and_documents_name_files_that_exist() {
    for (path, text) in sources() {
        assert!(!text.contains(concat!("#[", "allow(")) && !text.contains(concat!("#![", "allow(")), "{}", path.display());
    }
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| !link.starts_with("http")) {
            let file = link.split('#').next().unwrap();
            assert!(root().join(file).exists(), "{document} names {link}");
        }
    }
}

/// "error: list snapshots" says nothing: what failed stands behind "failed to", which [`plan::error::During`] puts there itself.
#[test]
fn errors_say_in_one_form_that_something_failed() {
    let verbs = [
        "ask", "connect", "find", "get", "list", "load", "make", "open", "read", "remove", "rename", "send", "start", "take", "wait",
        "write",
    ];
    let makers = ["Error::failed(", "Error::refused(", "Error::transient(", "Error::needs_person(", ".during("];
    let mut looked_at = 0;
    for (path, text) in sources() {
        for maker in makers {
            for made in text.split(maker).skip(1) {
                let made = made.trim_start().trim_start_matches("format!(").trim_start();
                let Some(what) = made.strip_prefix('"') else { continue };
                looked_at += 1;
                let word = what.split_once(' ').map(|(word, _)| word).unwrap_or_default();
                assert!(!verbs.contains(&word) || path.ends_with("error.rs"), "{}: {maker}{:.60}", path.display(), what);
            }
        }
    }
    assert!(looked_at > 500, "only {looked_at} errors were found");
}

#[test]
fn the_book_has_every_page_and_every_link_leads_somewhere() {
    let docs = root().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    assert!(std::fs::read_to_string(root().join("book.toml")).unwrap().contains("src = \"docs\""));
    let mut pages = 0;
    for entry in std::fs::read_dir(&docs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(stem) = name.strip_suffix(".md") else { continue };
        assert!(name == "SUMMARY.md" || summary.contains(&format!("]({name})")), "SUMMARY.md does not name {name}");
        let text = std::fs::read_to_string(&path).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            assert!(docs.join(file).exists(), "{stem} names {link}");
        }
        pages += 1;
    }
    assert!(pages > 15, "{pages}");
}

/// The texts of a source, with `…` for what is filled in.
fn texts(source: &str) -> Vec<String> {
    let (mut texts, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, from) = rest.split_at(at);
        rest = if from.starts_with("//") {
            from.split_once('\n').map_or("", |(_, behind)| behind)
        } else if let Some(behind) = from.strip_prefix("'\"'").or_else(|| from.strip_prefix("'\\\"'")) {
            behind
        } else if from.starts_with('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let is_raw = before.trim_end_matches('#').ends_with('r');
            let end = format!("\"{}", "#".repeat(if is_raw { hashes } else { 0 }));
            let mut length = 1;
            while !from[length..].starts_with(&end) {
                length += usize::from(!is_raw && from[length..].starts_with('\\'));
                length += from[length..].chars().next().map_or(1, char::len_utf8);
            }
            texts.push(as_told(&from[1..length]));
            &from[length + 1..]
        } else {
            &from[1..]
        };
    }
    texts
}

/// A literal as people read it.
fn as_told(literal: &str) -> String {
    let mut pieces = literal.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    let joined = pieces.fold(first, |text, piece| text + piece.trim_start()).replace("\\\"", "\"");
    let mut told = String::new();
    let mut rest = joined.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        told.push_str(before);
        told.push('…');
        rest = behind.split_once('}').map_or("", |(_, behind)| behind);
    }
    told + rest
}

#[test]
fn every_message_of_the_page_about_them_is_one_of_the_program() {
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let of_tests = |path: &Path| path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    let all: Vec<String> = sources().iter().filter(|(path, _)| !of_tests(path)).flat_map(|(_, source)| texts(source)).collect();
    let quoted: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let unknown: Vec<_> = quoted.iter().filter(|message| !all.iter().any(|text| text.contains(**message))).collect();
    assert!(unknown.is_empty(), "docs/troubleshooting.md quotes what no source has: {unknown:#?}");
    assert!(quoted.len() > 40, "{}", quoted.len());
    let example = "fail('\"', \"set {set} \\\n     has no \\\"{}\\\"\"); // a \"comment\nr#\"a \"b\"\"#";
    assert_eq!(texts(example), ["set … has no \"…\"", "a \"b\""]);
}

/// What the port does by default a wrapper would do in the place of what it wraps.
#[test]
fn a_data_set_within_another_is_passed_every_call_that_it_answers() {
    let names = |file: &str, begin: &str| -> Vec<String> {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let begin = text.find(begin).unwrap();
        let body = text[begin..].split("\n}").next().unwrap();
        body.lines().filter_map(|line| Some(line.strip_prefix("    fn ")?.split('(').next()?.to_owned())).collect()
    };
    let port = names("crates/plan/src/ports/data_set.rs", "pub trait DataSet");
    let reached = names("crates/cli/src/join/reached.rs", "DataSet for Reached {");
    let remote = names("crates/datasets/files/src/remote.rs", "DataSet for RemoteFilesStore {");
    let volume = names("crates/cli/src/join/kubernetes/files.rs", "DataSet for VolumeFiles {");
    for (inner, outer, least) in [(port, reached, 25), (remote, volume, 15)] {
        assert!(inner.len() > least, "{inner:?}");
        for name in inner {
            assert!(outer.contains(&name), "{name} is not passed on");
        }
    }
}

fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 50);
    found
}
