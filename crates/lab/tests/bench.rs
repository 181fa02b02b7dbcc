//! `scripts/bench` compares a run with an earlier one: it names what got slower, and no noise; and what failed is never a number.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_benchmark_names_what_got_slower_and_no_noise() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/bench/test_against.py");
    let output = Command::new("python3").arg("-B").arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.ends_with("\nOK\n"), "{said}{}", String::from_utf8_lossy(&output.stdout));
}
