//! What is released (`scripts/dist`), read back as those read it who get it: dpkg, rpm, an engine of containers, kubectl, a scanner of what is linked in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::small::Home;
use crate::support::{PROGRAM, text};

fn out(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?} {}", text(&output.stderr));
    text(&output.stdout)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn script(name: &str) -> Command {
    Command::new(root().join("scripts").join(name))
}

fn dist(folder: &Path, is_for_development: &str) -> Command {
    let mut dist = script("dist");
    dist.arg(folder).env("THREESCALE_DIST_BINARY", PROGRAM).env("SOURCE_DATE_EPOCH", "1700000000");
    dist.env("THREESCALE_DIST_FOR_DEVELOPMENT", is_for_development).env_remove("THREESCALE_DIST_STATIC");
    dist
}

/// What was made into a folder.
struct Release {
    folder: PathBuf,
    sums: String,
}

impl Release {
    fn make(home: &Home, name: &str) -> Self {
        let folder = home.path(name);
        out(&mut dist(&folder, "1"));
        Self { sums: fs::read_to_string(folder.join("SHA256SUMS")).unwrap(), folder }
    }

    /// The one file with such an end.
    fn file(&self, ending: &str) -> PathBuf {
        let names: Vec<_> = self.sums.lines().filter_map(|line| line.split("  ").nth(1).filter(|name| name.ends_with(ending))).collect();
        assert_eq!(names.len(), 1, "{ending}: {}", self.sums);
        self.folder.join(names[0])
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The digests of all files below a folder, by their paths.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let listed = out(Command::new("find").args([".", "-type", "f"]).current_dir(folder));
    listed.lines().map(|path| (path.to_owned(), sha256(&fs::read(folder.join(path)).unwrap()))).collect()
}

fn unpack(archive: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    out(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(to));
}

#[test]
fn what_is_released_is_whole_and_the_same_each_time() {
    let home = Home::make();
    let (release, again) = (Release::make(&home, "one"), Release::make(&home, "two"));
    assert_eq!(release.sums, again.sums);
    let checked = out(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&release.folder));
    assert_eq!(checked.lines().count(), fs::read_dir(&release.folder).unwrap().count() - 1, "{checked}");
    assert!(out(Command::new("tar").arg("-tf").arg(release.file(".tgz"))).contains("/Chart.yaml"));
    unpack(&release.file(".tar.gz"), &home.path("unpacked"));
    let unpacked = fs::read_dir(home.path("unpacked")).unwrap().next().unwrap().unwrap().path();
    let files = tree(&unpacked);
    for name in [
        "usr/bin/threescale-backup",
        "usr/share/man/man1/threescale-backup-restore.1.gz",
        "usr/share/man/man5/threescale-backup.toml.5.gz",
        "usr/share/bash-completion/completions/threescale-backup",
    ] {
        assert!(files.contains_key(&format!("./{name}")), "{name}");
    }
    packages_have_the_files_of_the_archive(&home, &release, &files);
    the_image_has_the_program(&home, &release, &files["./usr/bin/threescale-backup"]);
    the_list_of_what_is_linked_in_is_true(&release, &files["./usr/bin/threescale-backup"]);
    kubectl_calls_the_program_as_krew_puts_it(&home, &release);
}

fn packages_have_the_files_of_the_archive(home: &Home, release: &Release, files: &BTreeMap<String, String>) {
    out(Command::new("dpkg-deb").arg("-x").arg(release.file(".deb")).arg(home.path("deb")));
    assert_eq!(&tree(&home.path("deb")), files);
    let rpm = |arguments: &[&str]| {
        // Without a database of packages in somebody's home.
        out(Command::new("rpm").arg("--dbpath").arg(home.path("rpm-database")).arg("-qp").args(arguments).arg(release.file(".rpm")))
    };
    let said = rpm(&["--queryformat", "%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDTIME} %{BUILDHOST}"]);
    let version = env!("CARGO_PKG_VERSION").replace('-', "~");
    assert_eq!(said, format!("threescale-backup {version} {} Apache-2.0 1700000000 localhost", std::env::consts::ARCH));
    let control = out(Command::new("dpkg-deb").arg("--field").arg(release.file(".deb")));
    let libc = control.split("libc6 (>= ").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let required = rpm(&["--requires"]);
    assert!(required.lines().any(|line| line == format!("glibc >= {libc}")), "{required}");
    let archive = home.path("rpm.tar");
    let unpacked = Command::new("rpm2archive")
        .args(["-n", "-"])
        .stdin(fs::File::open(release.file(".rpm")).unwrap())
        .stdout(fs::File::create(&archive).unwrap())
        .status();
    assert!(unpacked.unwrap().success());
    unpack(&archive, &home.path("rpm"));
    // Two files are where rpm's systems look for them.
    let moved =
        [("zsh/vendor-completions/", "zsh/site-functions/"), ("doc/threescale-backup/copyright", "licenses/threescale-backup/LICENSE")];
    let wanted: BTreeMap<_, _> = files
        .iter()
        .map(|(path, digest)| (moved.iter().fold(path.clone(), |path, (from, to)| path.replace(from, to)), digest.clone()))
        .collect();
    assert_eq!(tree(&home.path("rpm")), wanted);
    let listed = rpm(&["--list"]);
    assert!(wanted.keys().all(|path| listed.lines().any(|line| line == &path[1..])), "{listed}");
    assert_eq!(rpm(&["--queryformat", "[%{FILEUSERNAME}:%{FILEGROUPNAME}\n]"]).lines().collect::<BTreeSet<_>>(), ["root:root"].into());
}

fn the_image_has_the_program(home: &Home, release: &Release, digest: &str) {
    let folder = home.path("image");
    unpack(&release.file(".tar"), &folder);
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = fs::read(folder.join("blobs/sha256").join(digest)).unwrap();
        assert_eq!((sha256(&bytes).as_str(), Some(bytes.len() as u64)), (digest, descriptor["size"].as_u64()));
        (folder.join("blobs/sha256").join(digest), bytes)
    };
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0]).1).unwrap();
    let config: Value = serde_json::from_slice(&blob(&manifest["config"]).1).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    assert_eq!((&config["architecture"], &index["manifests"][0]["platform"]["architecture"]), (&architecture.into(), &architecture.into()));
    assert_eq!(config["config"]["Entrypoint"][0], "/threescale-backup");
    unpack(&blob(&manifest["layers"][0]).0, &home.path("layer"));
    assert_eq!(sha256(&fs::read(home.path("layer/threescale-backup")).unwrap()), digest);
    assert!(home.path("layer/etc/ssl/certs/ca-certificates.crt").exists());
}

/// What CycloneDX 1.5 requires of a list, and that it names what cargo names.
fn the_list_of_what_is_linked_in_is_true(release: &Release, digest: &str) {
    let list: Value = serde_json::from_slice(&fs::read(release.file(".cdx.json")).unwrap()).unwrap();
    assert_eq!((&list["bomFormat"], &list["specVersion"], &list["version"]), (&"CycloneDX".into(), &"1.5".into(), &1.into()));
    let serial = list["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    assert!(serial.len() == 36 && serial.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{serial}");
    assert_eq!(list["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    let whole = &list["metadata"]["component"];
    assert_eq!(
        (&whole["type"], &whole["name"], &whole["hashes"][0]["content"]),
        (&"application".into(), &"threescale-backup".into(), &digest.into())
    );

    let components = list["components"].as_array().unwrap();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut named = BTreeSet::new();
    let mut references: BTreeSet<&str> = whole["bom-ref"].as_str().into_iter().collect();
    for component in components {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        assert_eq!(component["type"], "library");
        assert!(component["licenses"][0]["expression"].as_str().is_some_and(|text| !text.is_empty()), "{component}");
        assert!(references.insert(component["bom-ref"].as_str().unwrap()), "{component}");
        match (component["purl"].as_str(), component["hashes"][0]["content"].as_str(), component["group"].as_str()) {
            (Some(purl), Some(hash), None) => {
                assert_eq!(purl, format!("pkg:cargo/{name}@{version}"));
                let lines = format!("name = \"{name}\"\nversion = \"{version}\"\n");
                let entry = lock.split("\n\n").find(|entry| entry.contains(&lines)).unwrap();
                assert!(entry.contains(&format!("checksum = \"{hash}\"")), "{component}");
            }
            // Changed here: found by its purl, but these are not the bytes of the registry.
            (Some(purl), None, None) => {
                assert!(root().join("vendor").join(name).exists() && component["pedigree"]["ancestors"][0]["purl"] == purl, "{component}");
            }
            (None, None, Some(group)) => assert!(["threescale-backup", "rust-lang"].contains(&group), "{component}"),
            _ => panic!("{component}"),
        }
        if component["group"] != "rust-lang" {
            named.insert(format!("{name} v{version}"));
        }
    }
    named.insert(format!("threescale-backup v{}", env!("CARGO_PKG_VERSION")));
    assert!(components.iter().any(|component| component["pedigree"].is_object()), "vendor/");
    assert_eq!(named, linked_in());

    let dependencies = list["dependencies"].as_array().unwrap();
    let said: BTreeSet<_> = dependencies.iter().map(|dependency| dependency["ref"].as_str().unwrap()).collect();
    assert_eq!(said, references);
    let needed = dependencies.iter().filter_map(|dependency| dependency["dependsOn"].as_array()).flatten();
    assert!(needed.map(|reference| reference.as_str().unwrap()).all(|reference| references.contains(reference)));
}

/// What cargo says is linked into the program.
fn linked_in() -> BTreeSet<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args([
        "tree",
        "--locked",
        "--package",
        "threescale-backup",
        "--edges",
        "normal,no-proc-macro",
        "--target",
        &target,
        "--prefix",
        "none",
    ]);
    let tree = out(cargo.args(["--no-dedupe", "--format", "{p}"]).current_dir(root()));
    tree.lines().map(|line| line.split(" (").next().unwrap().to_owned()).collect()
}

/// Krew takes files out of the archive, and makes a link to the program under the name by which kubectl finds it.
fn kubectl_calls_the_program_as_krew_puts_it(home: &Home, release: &Release) {
    let manifest = fs::read_to_string(release.file(".yaml")).unwrap();
    let value =
        |key: &str| manifest.lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)).unwrap().trim().to_owned();
    let archive = release.file(".tar.gz");
    assert!(value("uri:").starts_with("https://where-the-release-is.invalid/threescale-backup-"), "{manifest}");
    assert!(value("uri:").ends_with(archive.file_name().unwrap().to_str().unwrap()));
    assert_eq!(value("sha256:"), sha256(&fs::read(&archive).unwrap()));
    krew_takes(&manifest);
    // All that it takes out is in the archive.
    let taken: Vec<_> = manifest.lines().filter_map(|line| line.trim().strip_prefix("- from: ")).collect();
    assert!(taken.len() == 2 && taken.iter().all(|file| home.path("unpacked").join(file).is_file()), "{taken:?}");
    let program = home.path("unpacked").join(value("from:"));
    assert_eq!(program.file_name().unwrap().to_str().unwrap(), value("bin:"));
    let bin = home.path("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program, bin.join("kubectl-threescale_backup")).unwrap();
    let prefix = std::env::var_os("THREESCALE_BACKUP_HELM_PREFIX")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/threescale-backup/helm"), PathBuf::from);
    let mut kubectl = Command::new(prefix.join("bin/kubectl"));
    let help = out(kubectl.args(["threescale-backup", "--help"]).env("PATH", &bin));
    assert!(help.contains("Usage: kubectl threescale-backup"), "{help}");
}

/// The rules by which krew refuses a manifest (its validation of plugins).
fn krew_takes(manifest: &str) {
    let (head, platforms) = manifest.split_once("  platforms:\n").unwrap();
    let of = |text: &str, key: &str| {
        let value = text.lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("{key}: {text}")).trim_matches('"').to_owned()
    };
    assert_eq!((of(head, "apiVersion"), of(head, "kind")), ("krew.googlecontainertools.github.com/v1alpha2".into(), "Plugin".into()));
    let name = of(head, "name");
    assert!(!name.is_empty() && name.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-".contains(sign)), "{name}");
    let version = of(head, "version");
    let numbers = version.strip_prefix('v').unwrap().split('-').next().unwrap();
    assert!(numbers.split('.').filter(|number| number.parse::<u32>().is_ok()).count() == 3, "{version}");
    // `kubectl krew search` shows 50 letters of it.
    let short = of(head, "shortDescription");
    assert!((1..=50).contains(&short.chars().count()), "{short}");
    let platforms: Vec<_> = platforms.split("  - selector:\n").filter(|platform| !platform.is_empty()).collect();
    assert!(!platforms.is_empty());
    for platform in platforms {
        assert!(
            platform.starts_with("      matchLabels:\n        os: linux\n        arch: ") && of(platform, "uri").starts_with("https://")
        );
        let digest = of(platform, "sha256");
        assert!(digest.len() == 64 && digest.chars().all(|sign| sign.is_ascii_digit() || ('a'..='f').contains(&sign)), "{digest}");
        let lines = |start: &str| platform.lines().filter(|line| line.trim().starts_with(start)).count();
        assert!(lines("- from: ") > 0 && lines("- from: ") == lines("to: ") && !of(platform, "bin").is_empty(), "{platform}");
    }
}

#[test]
fn the_files_of_all_machines_are_told_together() {
    let home = Home::make();
    let folder = home.path("files");
    fs::create_dir(&folder).unwrap();
    for machine in ["x86_64", "aarch64"] {
        fs::write(folder.join(format!("threescale-backup-1.2.3-linux-{machine}.tar.gz")), machine).unwrap();
    }
    out(script("release-sums").arg(&folder).arg("https://example.org/v1.2.3"));
    let manifest = fs::read_to_string(folder.join("threescale-backup.yaml")).unwrap();
    for (machine, architecture) in [("x86_64", "amd64"), ("aarch64", "arm64")] {
        let uri = format!(
            "uri: https://example.org/v1.2.3/threescale-backup-1.2.3-linux-{machine}.tar.gz\n    sha256: {}\n",
            sha256(machine.as_bytes())
        );
        assert!(manifest.contains(&format!("        arch: {architecture}\n    {uri}")), "{manifest}");
    }
    assert!(manifest.contains("version: \"v1.2.3\""));
    krew_takes(&manifest);
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    // Once more, when there are sums already.
    out(script("release-sums").arg(&folder).arg("https://example.org/v1.2.3"));
    assert_eq!((sums.lines().count(), fs::read_to_string(folder.join("SHA256SUMS")).unwrap()), (3, sums));
    fs::write(folder.join("threescale-backup-1.2.4-linux-x86_64.tar.gz"), "another").unwrap();
    let refused = script("release-sums").arg(&folder).output().unwrap();
    assert!(!refused.status.success() && text(&refused.stderr).contains("is of another version"), "{refused:?}");
}

#[test]
fn what_must_not_be_released_is_refused_and_nothing_is_lost_by_it() {
    let home = Home::make();
    // What is there and was not made by it stays.
    let of_somebody = home.path("of-somebody");
    fs::create_dir(&of_somebody).unwrap();
    fs::write(of_somebody.join("file"), "a file").unwrap();
    let refused = |is_for_development: &str, said: &str| {
        let refused = dist(&of_somebody, is_for_development).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(said), "{refused:?}");
        assert_eq!(fs::read_to_string(of_somebody.join("file")).unwrap(), "a file");
    };
    refused("1", "nothing that was made here");
    // The program of the tests derives its keys cheaply, and says nowhere so: the script sees it by a key.
    refused("", "is a build for development");
    // A program with a crate that the list would lack.
    let program = home.path("program");
    fs::write(&program, b"rustc version 1.95.0 (59807616e 2026-04-14)\0/registry/src/x/left-out-1.0.0/src/lib.rs\0").unwrap();
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let refused = script("sbom").arg(&program).args([&target, "1700000000"]).stdin(Stdio::null()).output().unwrap();
    assert!(!refused.status.success() && text(&refused.stderr).contains("left-out"), "{refused:?}");
}

#[test]
fn the_workflow_of_a_release_calls_what_is_here_and_takes_what_is_pinned() {
    let workflow = fs::read_to_string(root().join(".github/workflows/release.yml")).unwrap();
    let uses: Vec<_> = workflow.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("uses: ")).collect();
    assert!(!uses.is_empty());
    for action in uses {
        let commit = action.split('@').nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{action}");
    }
    let called: BTreeSet<_> = workflow.split_whitespace().filter(|word| word.starts_with("scripts/")).collect();
    assert!(called.contains("scripts/release-sums"), "{called:?}");
    assert!(called.iter().all(|script| root().join(script).exists()), "{called:?}");
    assert!(!workflow.contains("secrets."), "what it needs is the token of the run itself");
}
