//! The demo tells its story and ends with everything proven.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// What it says on standard output, and on standard error.
fn demo(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_threescale-backup"))
        .args(["demo", "--size", "3M"])
        .args(arguments)
        // Of a real installation: it must not lead there.
        .env("THREESCALE_BACKUP_SYSTEM_REDIS_URL", "redis://192.0.2.1/0")
        .env("THREESCALE_BACKUP_NAMESPACE", "3scale")
        .output()
        .unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{stdout}\n{stderr}");
    (stdout, stderr)
}

#[test]
fn the_demo_proves_everything_on_mysql() {
    let (stdout, stderr) = demo(&["--json"]);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(document["equal"], true, "{document}\n{stderr}");
    assert!(document["compared"].as_u64().unwrap() > 50);
}

#[test]
fn the_demo_proves_everything_on_mariadb_and_tells_its_story() {
    let (stdout, stderr) = demo(&["--system-database", "mariadb"]);
    for word in ["dump → keep", "stage → prove → cut over", "settle"] {
        assert!(stderr.contains(word), "{stderr}");
    }
    let compared = stdout.lines().find_map(|line| line.strip_prefix("compared from outside")).unwrap_or_else(|| panic!("{stdout}"));
    assert!(compared.trim().ends_with("checksums, 0 differences") && !stdout.contains("DIFFERS"), "{stdout}");
}
