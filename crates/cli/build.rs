//! Says of which commit the program is built, for `--version`. Without git, or outside of the project's own repository (a released archive), only the version is
//! said; `THREESCALE_COMMIT="1a2b3c4 of 2026-01-31"` says it there.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=THREESCALE_COMMIT");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let given = std::env::var("THREESCALE_COMMIT").ok().filter(|text| !text.trim().is_empty());
    let built_at = given.or_else(commit).map(|commit| format!(" (commit {})", commit.trim())).unwrap_or_default();
    println!("cargo::rustc-env=THREESCALE_LONG_VERSION={version}{built_at}");
}

/// The commit that is checked out, and its day.
fn commit() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok()?;
    // An archive that was unpacked inside of another repository is not of its commits.
    if Path::new(&git(&root, &["rev-parse", "--show-toplevel"])?).canonicalize().ok()? != root {
        return None;
    }
    // It is written whenever another commit is checked out or made. One that is not there would make every build begin anew.
    let log = root.join(git(&root, &["rev-parse", "--git-path", "logs/HEAD"])?);
    if log.is_file() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    git(&root, &["log", "-1", "--format=%h of %cs", "--abbrev=10"])
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|text| output.status.success() && !text.trim().is_empty())?;
    Some(text.trim().to_owned())
}
