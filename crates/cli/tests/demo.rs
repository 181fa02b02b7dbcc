//! The demo tells its story and ends with everything proven.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

fn demo(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_threescale-backup"))
        .args(["demo", "--size", "3M", "--json"])
        .args(arguments)
        // Of a real installation: it must not lead there.
        .env("THREESCALE_BACKUP_SYSTEM_REDIS_URL", "redis://192.0.2.1/0")
        .env("THREESCALE_BACKUP_NAMESPACE", "3scale")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["equal"], true, "{document}\n{stderr}");
    assert!(document["compared"].as_u64().unwrap() > 50);
    for word in ["dump → keep", "stage → prove → cut over", "settle"] {
        assert!(stderr.contains(word), "{stderr}");
    }
}

#[test]
fn the_demo_proves_everything_on_mysql() {
    demo(&[]);
}

#[test]
fn the_demo_proves_everything_on_mariadb() {
    demo(&["--system-database", "mariadb"]);
}
